"""Write the dashboards: `python -m grafana`, from the repository's root."""

from __future__ import annotations

from .build import DIRECTORY, files

for path, text in files().items():
    (DIRECTORY / path).write_text(text, encoding="utf-8")
