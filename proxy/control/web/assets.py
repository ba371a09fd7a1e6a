"""Style sheets and modules, read once; a digest in their addresses lets browsers keep them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Final

TEMPLATES: Final = Path(__file__).parent / "templates"
_STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_IMPORT: Final = re.compile(r'^(?:import|export) [^"]*"(\.{1,2}/[^"]+)";', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the pages, as it is and compressed."""

    content: bytes
    packed: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All of them by name (`core/dom.js`), and a digest that changes when any does."""

    files: Mapping[str, Asset]
    digest: str

    def needed(self, name: str) -> list[str]:
        """Return the modules that a module imports, and those that they do, to be asked for at once."""
        found: dict[str, None] = {}
        waiting = [name]
        while waiting:
            for each in self._imports(waiting.pop()):
                if each not in found:
                    found[each] = None
                    waiting.append(each)
        return sorted(found)

    def _imports(self, name: str) -> Iterator[str]:
        for wanted in _IMPORT.findall(self.files[name].content.decode()):
            yield normpath(str(PurePosixPath(name).parent / wanted))


@cache
def assets() -> Assets:
    """Read them."""
    paths = sorted(path for path in _STATIC.rglob("*") if path.suffix in _TYPES)
    files = {path.relative_to(_STATIC).as_posix(): _asset(path) for path in paths}
    digest = sha256()
    for name, asset in files.items():
        digest.update(f"{name}\0{len(asset.content)}\0".encode() + asset.content)
    return Assets(files, digest.hexdigest()[:16])


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, gzip.compress(content, mtime=0), _TYPES[path.suffix])
