"""What hoc files say about themselves: their templates, the files that they load, and which file defines a name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_TEMPLATE = re.compile(r"^\s*begintemplate\s+(\w+)", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_LOADED = re.compile(r'\b(?:load_file|xopen|load_proc|load_template)\s*\([^)"]*"([^"]+)"')
HOC = (".hoc", ".tem")


def hoc_text(file: Path) -> str:
    """Text of a hoc file without comments."""
    return _COMMENT.sub("", file.read_text(errors="replace"))


def templates(file: Path) -> list[str]:
    """Names of the templates that stand in a hoc file."""
    return _TEMPLATE.findall(hoc_text(file))


def with_loaded(files: Iterable[Path], folders: Iterable[Path] = ()) -> list[Path]:
    """Hoc files and those that they load, as far as they lie beside them or in one of the folders, each once."""
    found: list[Path] = []
    waiting, places = list(files), list(folders)
    while waiting:
        file = waiting.pop(0)
        if file in found:
            continue
        found.append(file)
        beside = [place / name for name in _LOADED.findall(hoc_text(file)) for place in (file.parent, *places)]
        waiting += [path.resolve() for path in beside if path.suffix in HOC and path.is_file()]
    return found


def defining(name: str, folders: Iterable[Path]) -> list[Path]:
    """Hoc files in these folders, or in those in them, that define a template, procedure or function of this name."""
    here = re.compile(rf"^\s*\{{?\s*(?:begintemplate|proc|func|obfunc)\s+{re.escape(name)}\b", re.MULTILINE)
    files = {path.resolve(): None for folder in folders for deep in ("*", "*/*") for path in sorted(folder.glob(deep))
             if path.suffix in HOC and path.is_file()}  # fmt: skip
    return [path for path in files if here.search(hoc_text(path))]
