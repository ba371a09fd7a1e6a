"""The dashboards: what each asks Prometheus, and in which order an operator reads it."""

from __future__ import annotations

from typing import Final

from . import bench, money, overview, process, upstreams

BOARDS: Final = (overview.BOARD, upstreams.BOARD, money.BOARD, process.BOARD, bench.BOARD)
