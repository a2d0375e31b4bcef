"""An entry of NetPyNE's ``cellParams`` from a file, checked: its sections, and that their numbers are some."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from netml.circuit.cell import segment_table
from netml.errors import ModelError
from netml.plain import is_number


def read_entry(path: Path) -> dict:
    """The entry in a JSON file.

    Raises:
        ModelError: Not there, no JSON, no cell, or see :func:`check_entry`.
    """
    entry = read_json(path)
    if not isinstance(entry, dict) or not isinstance(entry.get("secs"), dict):
        raise ModelError(f"{path} holds no cell; expected a NetPyNE cellParams entry (with 'secs')")
    try:
        check_entry(entry)
        segment_table(entry)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return entry


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ModelError: Not there, or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error


def check_entry(entry: Mapping) -> None:
    """Refuse a cellParams entry that is none, or whose numbers are none.

    Raises:
        ModelError: What is wrong, and in which section.
    """
    sections = _mapping(entry["secs"], "the cell's secs")
    for name, sec in sections.items():
        where = f"section {name} of the cell"
        if not isinstance(sec, Mapping):
            raise ModelError(f"{where} is a {type(sec).__name__}; expected values by name")
        topol = _mapping(sec.get("topol"), f"{where}: topol")
        if not isinstance(topol.get("parentSec"), (str, type(None))):
            raise ModelError(f"{where}: parentSec is {topol['parentSec']!r:.80}; expected a section's name")
        for key in ("parentX", "childX"):
            if topol.get(key) is not None and not (_is_number(topol[key]) and 0 <= topol[key] <= 1):
                raise ModelError(f"{where}: {key} is {topol[key]!r:.80}; expected a number from 0 to 1")
        _check_geometry(_mapping(sec.get("geom"), f"{where}: geom"), where)
        for group in ("mechs", "ions"):
            for mechanism, values in _mapping(sec.get(group), f"{where}: {group}").items():
                for key, value in _mapping(values, f"{where}: {mechanism}").items():
                    if not all(map(_is_number, _flat(value))):
                        raise ModelError(f"{where}: {key} of {mechanism} is {value!r:.80}; expected a number")
    for name, value in _mapping(entry.get("globals"), "the cell's globals").items():
        if not all(map(_is_number, _flat(value))):
            raise ModelError(f"globals of the cell: {name} is {value!r:.80}; expected a number")
    for name, members in _mapping(entry.get("secLists"), "the cell's secLists").items():
        if not isinstance(members, (list, tuple)) or not all(isinstance(one, str) for one in members):
            raise ModelError(f"secLists of the cell: {name} is {members!r:.80}; expected names of sections")


def _check_geometry(geom: Mapping, where: str) -> None:
    for key in ("L", "diam", "Ra", "nseg"):
        if geom.get(key) is not None and not (_is_number(geom[key]) and 0 < geom[key] < 1e12):
            raise ModelError(f"{where}: {key} is {geom[key]!r:.80}; expected a number above 0")
    nseg = geom.get("nseg") or 1
    if nseg != int(nseg) or nseg >= 2**15:
        raise ModelError(f"{where}: nseg is {nseg}; expected a whole number below {2**15}")
    if not all(map(_is_number, _flat(geom.get("cm", 1.0)))):
        raise ModelError(f"{where}: cm is {geom['cm']!r:.80}; expected a number")
    points = geom.get("pt3d") or []
    for point in points if isinstance(points, (list, tuple)) else [points]:
        if not isinstance(point, (list, tuple)) or len(point) != 4 or not all(map(_is_number, point)) or point[3] < 0:
            raise ModelError(f"{where}: pt3d has {point!r:.80}; expected x, y, z and diameter in um")


def _mapping(value: Any, what: str) -> Mapping:
    """The value, or none, as a mapping."""
    if value is not None and not isinstance(value, Mapping):
        raise ModelError(f"{what} is a {type(value).__name__}; expected values by name")
    return value or {}


def _flat(value: Any) -> Iterator[Any]:
    """A value, or those of a list or array."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    yield from plain if isinstance(plain, (list, tuple)) else [plain]


def _is_number(value: Any) -> bool:
    return is_number(value) and abs(value) < 1e300
