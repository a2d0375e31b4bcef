"""A user's cell, built in NEURON as its author wrote it: hoc template, Python function, morphology and biophysics."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from netml.circuit.cell_source import CellSource
from netml.circuit.hoc_files import defining, templates, with_loaded
from netml.engine.cell_import.sections import Cell, is_alive
from netml.errors import ModelError

SEGMENT_UM = 80.0  # length that no segment of a morphology reaches, unless its biophysics sets nseg
_MISSING = re.compile(r"(\w+) (?:is not a template|not declared at the top level|undefined function)")
READERS = {".swc": "Import3d_SWC_read", ".asc": "Import3d_Neurolucida3"}


def build_cell(h: Any, source: CellSource) -> tuple[Any, list[Any]]:
    """Build the cell of a source.

    Args:
        h: neuron.h, mechanisms loaded.
        source: What :func:`netml.circuit.cell_source.find_source` returned.

    Returns:
        (what the source gave, its sections in the order they were made; they live as long as that).

    Raises:
        ModelError: The source fails, gives no cell, or one of several trees.
    """
    folder = os.getcwd()
    os.environ["HOC_LIBRARY_PATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("HOC_LIBRARY_PATH")]))
    os.chdir(source.file.parent)  # so that what the source loads is found as when it is run there
    try:
        h.load_file("stdrun.hoc")  # a source may set what it defines, such as v_init
        h.load_file("import3d.hoc")  # so do the templates of published cells; nrngui.hoc brings both
        made = {"hoc": _hoc, "python": _python, "morphology": _morphology}[source.kind](h, source, Path(folder))
    finally:
        os.chdir(folder)
    return made, _tree(h, made, source)


def _hoc(h: Any, source: CellSource, start: Path) -> Any:
    before = set(h.allsec())
    for file in (*source.load, source.file):
        _load(h, file, start)
    os.chdir(source.file.parent)
    made = [sec for sec in h.allsec() if sec not in before]
    name = source.name or ("" if made else _only_template(source, start))
    if not name:
        return made
    template = getattr(h, name, None)
    if template is None:
        known = ", ".join(_templates(source, start)) or "none"
        raise ModelError(f"{source.file} defines no template {name!r}; it has {known}")
    positional, named = source.arguments
    if named:
        raise ModelError(f"template {name} got arguments by name ({', '.join(named)}); give hoc a list")
    return _neuron(lambda: template(*positional), f"template {name} of {source.file} fails")


def _load(h: Any, file: Path, start: Path) -> None:
    """Load a hoc file in its folder; of a name that another file defines, say which."""
    os.chdir(file.parent)
    what = f"{file} does not load"
    try:
        if not _neuron(lambda: h.load_file(file.name), what):
            raise ModelError(what)
    except ModelError as error:
        missing = _MISSING.search(str(error))
        if not missing or missing[1].startswith("Import3d"):
            raise
        others = [path for path in defining(missing[1], (file.parent, start)) if path != file]
        if not others:
            raise ModelError(
                f"{error}; name the hoc file that defines {missing[1]} by --load, it is loaded first"
            ) from error
        choice = (
            f"{others[0]} defines it" if len(others) == 1 else f"{len(others)} files do: {', '.join(map(str, others))}"
        )
        raise ModelError(f"{error}; {choice}: give --load {others[0]}, which loads it first") from error


def _only_template(source: CellSource, start: Path) -> str:
    """The template of a file that has none and makes no section itself: the only one in the files that it loads."""
    known = _templates(source, start)
    if len(known) > 1:
        raise ModelError(
            f"{source.file.name} makes no section and has no template; the files that it loads have "
            f"{', '.join(known)}: say which is the cell, {source.file.name}:{known[-1]}"
        )
    return "".join(known)


def _templates(source: CellSource, start: Path) -> list[str]:
    """Names of the templates in the source and in the files that it loads."""
    files = with_loaded((*source.load, source.file), (source.file.parent, start))
    return list(dict.fromkeys(name for file in files for name in templates(file)))


def _python(h: Any, source: CellSource, start: Path) -> Any:
    function = _function(source.file, source.name)
    positional, named = source.arguments
    before = set(h.allsec())
    made = _call(function, source.file, source.name, *positional, **named)
    if made is None:  # a script's function that makes its sections in NEURON, as Import3d does without an object
        return [sec for sec in h.allsec() if sec not in before] or None
    return made


def _morphology(h: Any, source: CellSource, start: Path) -> Any:
    reader = getattr(h, READERS[source.file.suffix.lower()])()
    cell = Cell()

    def read() -> None:
        reader.input(source.file.name)
        h.Import3d_GUI(reader, 0).instantiate(cell)

    _neuron(read, f"{source.file} is no morphology that NEURON can read")
    if not cell.all:
        raise ModelError(f"{source.file} is no morphology that NEURON can read: it gives no section")
    for sec in cell.all:
        sec.nseg = 1 + 2 * int(sec.L / SEGMENT_UM)
    file, colon, name = source.biophysics.rpartition(":")
    if not colon or not name.isidentifier():
        raise ModelError(f"biophysics is {source.biophysics!r}; expected file.py:function")
    _call(_function(Path(file), name), Path(file), name, cell)
    return cell


def _function(file: Path, name: str) -> Callable:
    """A function of a Python file, its folder importable."""
    if not file.is_file():
        raise ModelError(f"no file {file}; expected file.py:function")
    spec = spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[file.stem] = module
    sys.path.insert(0, str(file.parent))
    _call(spec.loader.exec_module, file, "", module)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        known = ", ".join(key for key, value in vars(module).items()
                          if callable(value) and getattr(value, "__module__", "") == module.__name__)  # fmt: skip
        raise ModelError(f"{file} has no function {name!r}" + (f"; it has {known}" if known else ""))
    return found


def _call(function: Callable, file: Path, name: str, *positional: Any, **named: Any) -> Any:
    """Call a user's function; whatever it raises is told with the line of its file."""
    try:
        return _neuron(lambda: function(*positional, **named), "")
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file]
        where = f"{file}, line {lines[-1]}" if lines else f"{file}:{name}".rstrip(":")
        kind = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
        raise ModelError(f"{where} fails: {kind}{_with_remedy(str(error))}") from error


def _neuron(function: Callable, what: str) -> Any:
    """Call a function; an error of NEURON becomes one line with what NEURON printed, any other stays itself.

    Raises:
        ModelError: ``what``, if given, and NEURON's message.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            result, error = function(), None
        except (Exception, SystemExit) as raised:
            result, error = None, raised
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    sys.stderr.write(text)
    # NEURON reports some failures, such as a file that is not there, in print alone.
    said = re.findall(r"NEURON: ([^\n]*)(?:\n in ([^\n]*)|\n near ([^\n]*))?", text)
    if not what or not (error or said):
        if error:
            raise error
        return result
    message, inside, _ = said[0] if said else (str(error), "", "")
    raise ModelError(f"{what}: {_with_remedy(message)}" + (f" (in {inside})" if inside else "")) from error


def _with_remedy(message: str) -> str:
    """NEURON's message, with what to do about a channel that it does not know."""
    unknown = re.search("not a (density )?mechanism", message, re.IGNORECASE)
    message = " ".join(message.split())  # one line
    return message.rstrip(".") + "; is its mod file in a folder given by --mod?" if unknown else message


def _tree(h: Any, made: Any, source: CellSource) -> list[Any]:
    """The sections of a cell, checked to be one tree."""
    of = f"{source.file.name}:{source.name}".rstrip(":")
    some = list(sections_in(made))
    if not some:
        gave = "nothing" if made is None else f"no section (a value of type {type(made).__name__})"
        raise ModelError(
            f"{of} gave {gave}; expected the cell: a section, a list of sections, or an object that has them "
            "as attributes (soma, dend, all)"
        )
    roots = {root.name(): root for root in map(_root, some)}
    if len(roots) != 1:
        raise ModelError(f"{of} made {len(roots)} separate trees (roots {', '.join(sorted(roots)[:5])}); expected one "
                         "cell, whose sections are connected")  # fmt: skip
    members = set(next(iter(roots.values())).wholetree())
    return [sec for sec in h.allsec() if sec in members]


def _root(sec: Any) -> Any:
    while (parent := sec.parentseg()) is not None:
        sec = parent.sec
    return sec


def sections_in(value: Any, depth: int = 2) -> Iterable[Any]:
    """Sections that a value is, holds, or has as attributes."""
    import nrn

    if isinstance(value, nrn.Section):
        if is_alive(value):
            yield value
    elif isinstance(value, (list, tuple, set)) or type(value).__name__ == "SectionList":
        for item in value:
            yield from sections_in(item, 0)
    elif isinstance(value, Mapping):
        yield from sections_in(list(value.values()), 0)
    elif depth and value is not None and not isinstance(value, (str, bytes, int, float)):
        for _, attribute in attributes(value):
            yield from sections_in(attribute, 0)


def attributes(cell: Any) -> Iterable[tuple[str, Any]]:
    """Public attributes of a cell, hoc's or Python's, by name; those that cannot be read are left out."""
    for name in dir(cell):
        if not name.startswith("_"):
            try:
                yield name, getattr(cell, name)
            except Exception:  # a hoc member that needs an argument or a section, a property that fails
                continue
