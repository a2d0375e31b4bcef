"""Where a user's cell comes from, and the forms that need no NEURON to be read: NetPyNE's cellParams, SWC files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netml import unpickle
from netml.circuit.cell_entry import check_entry, read_json
from netml.circuit.hoc_files import hoc_text, templates
from netml.errors import ModelError

KINDS = {
    ".hoc": "hoc", ".tem": "hoc", ".json": "cellParams", ".pkl": "cellParams", ".pickle": "cellParams", ".py": "python",
    ".swc": "morphology", ".asc": "morphology",
}  # fmt: skip
#: What NEURON starts with: degC, mV.
DEFAULTS = {"celsius": 6.3, "v_init": -65.0}


@dataclass(frozen=True)
class CellSource:
    """One cell as a user has it (plain data).

    Attributes:
        kind: "hoc", "cellParams", "python" or "morphology".
        file: It.
        name: Of the template, the cellParams entry or the function in the file; "" for a file with only one.
        biophysics: "file.py:function" that gives a morphology its channels.
        arguments: Positional and named ones of the template or function.
        load: Hoc files that are loaded before it.
    """

    kind: str
    file: Path
    name: str = ""
    biophysics: str = ""
    arguments: tuple[tuple, Mapping[str, Any]] = ((), {})
    load: tuple[Path, ...] = ()

    @property
    def label(self) -> str:
        """What the cell is called where nobody says."""
        return re.sub(r"\W", "_", self.name.rpartition(".")[2] or self.file.stem)


def find_source(
    source: str | Path, biophysics: str = "", arguments: Any = (), load: Iterable[str | Path] = ()
) -> CellSource:
    """Return what "cell.hoc:Template", "cells.json:PYR", "cell.py:make" or "cell.swc" means.

    Args:
        source: One of these forms.
        biophysics: "file.py:function", for a morphology.
        arguments: A list or a dictionary for the template or function; a file in it is looked for beside the source,
            then in the present folder.
        load: Hoc files that a hoc file expects to be loaded before it.

    Raises:
        ModelError: No such file, another kind of file, a template that is not in it, a morphology without biophysics.
    """
    text, name = str(source), ""
    if not Path(text).exists() and ":" in text:
        text, _, name = text.rpartition(":")
    file = Path(text).expanduser()
    if not file.is_file():
        raise ModelError(
            f"no file {file}; expected a hoc template (cell.hoc:Template), NetPyNE cellParams (cell.json, cell.pkl), a "
            "Python function (cell.py:function) or a morphology (cell.swc, cell.asc)"
        )
    kind = KINDS.get(file.suffix.lower())
    if kind is None:
        raise ModelError(f"{file} is no kind of cell; expected a file that ends in {', '.join(KINDS)}")
    first = tuple(Path(path).expanduser().resolve() for path in load)
    if absent := [path for path in first if not path.is_file()]:
        raise ModelError(f"no file {absent[0]}; expected a hoc file to load before {file.name}")
    if first and kind != "hoc":
        raise ModelError(f"{first[0].name} shall be loaded before {file.name}, which is no hoc file; load it in there")
    if biophysics:
        path, colon, function = biophysics.rpartition(":")
        biophysics = f"{Path(path).expanduser().resolve()}{colon}{function}"
    found = CellSource(kind, file.resolve(), name, biophysics, _arguments(arguments, file.resolve().parent), first)
    if kind == "python" and not name:
        raise ModelError(f"{file} needs the name of the function that builds the cell: {file.name}:function")
    if kind == "morphology" and not biophysics:
        raise ModelError(
            f"{file} is a morphology without channels; give a function that inserts some: --biophysics file.py:function"
        )
    if kind != "morphology" and biophysics:
        raise ModelError(f"biophysics {biophysics} was given, but {file.name} is no morphology (.swc, .asc)")
    if kind == "morphology":
        {".swc": check_swc, ".asc": check_asc}[file.suffix.lower()](found.file)
    return replace(found, name=_template(found)) if kind == "hoc" else found


def _arguments(given: Any, folder: Path) -> tuple[tuple, Mapping[str, Any]]:
    """Positional and named ones; a path that leads to a file from here, but not from the source's folder, is whole."""

    def found(value: Any) -> Any:
        if not isinstance(value, (str, Path)) or not str(value) or (folder / value).exists():
            return str(value) if isinstance(value, Path) else value
        return str(Path(value).resolve()) if Path(value).is_file() else str(value)

    if isinstance(given, Mapping):
        return (), {key: found(value) for key, value in given.items()}
    return tuple(map(found, given)), {}


def _template(source: CellSource) -> str:
    """The template of a hoc file: the one asked for, or the only one; "" for a file that makes its sections itself."""
    declared = templates(source.file)
    if declared and not re.search(
        r"^\s*endtemplate\b", hoc_text(source.file).rpartition("begintemplate")[2], re.MULTILINE
    ):
        raise ModelError(f"{source.file} is cut: its template {declared[-1]} has no endtemplate")  # it crashes NEURON
    if source.name or len(declared) < 2:  # one that is asked for may come from a file that this one loads
        return source.name or "".join(declared)
    raise ModelError(
        f"{source.file.name} has templates {', '.join(declared)}; say which: {source.file.name}:{declared[-1]}"
    )


def read_cell_params(source: CellSource) -> tuple[str, dict, dict]:
    """Return (label, cellParams entry, synMechParams) of a JSON or pickle file: an entry, several by label, or a saved
    network of NetPyNE. Where the network was saved with celsius and v_init, they are among the entry's globals.

    Raises:
        ModelError: Not JSON, no cell in it, several and none named, or see :func:`check_entry`.
        PickleError: See :mod:`netml.unpickle`.
    """
    file = source.file
    data = read_json(file) if file.suffix.lower() == ".json" else unpickle.load_pickle(file)
    expected = "a NetPyNE cellParams entry (with 'secs'), several by label, or a saved network"
    if not isinstance(data, Mapping):
        raise ModelError(f"{file} holds a {type(data).__name__}; expected {expected}")
    synapses: Mapping = {}
    settings = _inside(data, ("simConfig", "hParams")) or _inside(data, ("net", "simConfig", "hParams")) or {}
    for path in (("net", "params"), ("netParams",), ("params",), ()):
        inner = _inside(data, path)
        if inner and isinstance(inner.get("cellParams"), Mapping):
            data, synapses = inner["cellParams"], inner.get("synMechParams") or {}
            break
    label = source.label
    if "secs" not in data:
        label, data = _chosen(source, data, expected)
    check_entry(data)
    return label, _with_settings(data, settings), dict(synapses)


def _inside(data: Any, path: tuple[str, ...]) -> Mapping | None:
    """The dictionary at a path of keys, if there is one."""
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else None


def _chosen(source: CellSource, data: Mapping, expected: str) -> tuple[str, Mapping]:
    """Label and entry of the one that is asked for, or the only one."""
    file = source.file
    cells = {str(label): entry for label, entry in data.items() if isinstance(entry, Mapping) and "secs" in entry}
    if not cells:
        raise ModelError(f"{file} holds no cell; expected {expected}")
    if source.name and source.name not in cells:
        raise ModelError(f"{file} has no cell {source.name!r}; it has {', '.join(cells)}")
    if not source.name and len(cells) > 1:
        raise ModelError(f"{file} holds cells {', '.join(cells)}; say which: {file.name}:{next(iter(cells))}")
    label = source.name or next(iter(cells))
    return label, cells[label]


def _with_settings(entry: Mapping, settings: Mapping) -> dict:
    """An entry whose globals have celsius and v_init: those that the network was run at, as in NetPyNE before the
    cell's own, unless the network left NEURON's."""
    own = dict(entry.get("globals") or {})
    if "vinit" in own:
        own.setdefault("v_init", own.pop("vinit"))
    for name, default in DEFAULTS.items():
        if name in settings and (settings[name] != default or name not in own):
            own[name] = settings[name]
    return {**entry, "globals": own} if own else dict(entry)


def check_swc(path: Path) -> None:
    """Refuse an SWC file that NEURON would read as another cell, or not at all.

    Raises:
        ModelError: What is wrong, and in which line.
    """
    kinds: dict[int, int] = {}
    roots = 0
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{path}, line {number}"
        try:
            values = [float(word) for word in words[:7]]
            if len(values) < 7 or not all(map(math.isfinite, values)):
                raise ValueError
            point, kind, parent = (int(words[k]) for k in (0, 1, 6))
        except ValueError:
            raise ModelError(f"{where} is {line.strip()!r:.80}; expected n type x y z radius parent") from None
        if point in kinds:
            raise ModelError(f"{where}: point {point} is there twice")
        if values[5] <= 0:
            raise ModelError(f"{where}: point {point} has the radius {words[5]}; expected a positive number of um")
        if parent != -1 and parent not in kinds:
            raise ModelError(f"{where}: point {point} hangs on {parent}, which is not above it")
        roots += parent == -1
        kinds[point] = kind
    if not kinds:
        raise ModelError(f"{path} holds no point; expected lines of n type x y z radius parent")
    if roots != 1:
        raise ModelError(f"{path} has {roots} points without a parent; expected one tree")
    if 1 not in kinds.values():
        raise ModelError(f"{path} has no soma (no point of type 1)")


def check_asc(path: Path) -> None:
    """Refuse a Neurolucida file that ends too early or has no soma: NEURON reads what there is of it.

    Raises:
        ModelError: Brackets that do not match, or none; no contour of a cell body.
    """
    text = re.sub(r';[^\n]*|"[^"\n]*"', "", path.read_text(errors="replace"))
    depth = 0
    for line, row in enumerate(text.splitlines(), 1):
        for bracket in re.findall(r"[()]", row):
            depth += 1 if bracket == "(" else -1
            if depth < 0:
                raise ModelError(f"{path}, line {line}: a closing bracket without an opening one")
    if depth or "(" not in text:
        state = f"{depth} open brackets at its end" if depth else "no bracket in it"
        raise ModelError(f"{path} is no whole Neurolucida file: {state}")
    if not re.search(r"\(\s*CellBody\s*\)", text):
        raise ModelError(f"{path} has no soma (no contour of type CellBody)")
