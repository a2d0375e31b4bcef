"""A NetPyNE project folder -> netParams and simConfig, as plain NetPyNE specs.

A project has an `index.npjson` (keys simConfig, netParams, mod_folder, as NetPyNE writes it), an `init.py` that names
its files, or `cfg.py` and `netParams.py`, in the folder or in its `src/`. Its files run as its authors expect: in the
project's folder, with `from __main__ import cfg` and `from cfg import cfg` both giving the configuration, changed
values included.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from netml import toolchain
from netml.circuit.cell import canonical
from netml.circuit.cell_files import check_imported
from netml.circuit.init_file import InitFile, read_init_file
from netml.errors import ModelError
from netml.plain import is_number, make_plain

INDEX = "index.npjson"
HOLDS = {"simConfig": "hParams", "netParams": "popParams"}  # what is one has this
#: In this order; "." is the folder of the project, or of its cfg.py, itself.
MOD_FOLDERS = ("mod", "mechanisms", "src/mod", "mods", "mechs", ".")

logger = logging.getLogger("netml")


@dataclass(frozen=True)
class Project:
    """Where the parts of a project lie.

    Attributes:
        folder: its folder; the working folder while its files run.
        config, net_params: the two files, .py or .json.
        config_name, net_params_name: the variables in them; None: the only one of its kind.
        mods: the folder of its mod files, None if it has none.
        init: its own init file, which netml reads and does not run; None if it has none.
    """

    folder: Path
    config: Path
    net_params: Path
    config_name: str | None
    net_params_name: str | None
    mods: Path | None
    init: InitFile | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    def warn_of_init(self) -> None:
        """Say what the project's own init file does that is not run, if it does anything."""
        if self.init and self.init.beyond:
            logger.warning("%s", self.init)


def find_project(model: str | Path) -> Project:
    """Return the project of a folder, of an index file, or of a model that travels with netml ("models/cortex").

    Raises:
        ModelError: no such folder, or no project in it.
    """
    path = toolchain.shipped(model)
    if not path.exists():
        raise ModelError(
            f"no model {model}; expected a NetPyNE project folder (with {INDEX}, or cfg.py and netParams.py)"
        )
    path = path.resolve()
    if path.is_file() and path.suffix != ".npjson":
        raise ModelError(f"{model} is a file; expected a NetPyNE project folder or its {INDEX}")
    if path.is_file() or (path / INDEX).is_file():
        return _from_index(path if path.is_file() else path / INDEX)
    for source in (path, path / "src"):
        init = _init_file(source)
        named = (init.config, init.net_params) if init else (None, None)
        for config, net_params in (named, ("cfg.py", "netParams.py")):
            # NetPyNE takes what init.py names from the folder that it runs in.
            names = config or "cfg.py", net_params or "netParams.py"
            files = [next((one for one in (path / name, source / name) if one.is_file()), None) for name in names]
            if files[0] and files[1]:
                mods = _mod_folder(path, files[0].parent)
                return Project(path, files[0], files[1], None, None, mods, init)
    inside = sorted(file.parent for file in path.glob("*/cfg.py") if (file.parent / "netParams.py").is_file())
    hint = f"; there is one in {' and one in '.join(map(str, inside))}" if inside else ""
    raise ModelError(
        f"no NetPyNE project in {path}: neither {INDEX} nor cfg.py and netParams.py there or in src/, and no init.py "
        f"that names others{hint}"
    )


def _init_file(folder: Path) -> InitFile | None:
    """A folder's init.py, or the only init_SOMETHING.py."""
    found = [file for file in (folder / "init.py",) if file.is_file()] or sorted(folder.glob("init_*.py"))
    return read_init_file(found[0]) if len(found) == 1 else None


def _mod_folder(folder: Path, source: Path) -> Path | None:
    """Where a project's mod files are: the first of the usual folders that holds any, in it or beside its cfg.py."""
    places = [parent / name for parent in dict.fromkeys((folder, source)) for name in MOD_FOLDERS]
    return next((place for place in places if any(place.glob("*.mod"))), None)


def _from_index(index: Path) -> Project:
    from netml import checked
    from netml.circuit.schema import Index

    entries = checked.read(Index, index, ModelError, "expected simConfig and netParams with file names")
    files = {key: index.parent / getattr(entries, key) for key in ("simConfig", "netParams")}
    for key, file in files.items():
        if not os.path.isfile(file):  # unlike Path's, of any text
            raise ModelError(f"{index} names {file.name!r:.99} as {key}, which is not there")
    named = entries.mod_folder or entries.modFolder
    if named and not os.path.isdir(index.parent / named):
        raise ModelError(f"{index} names the mod folder {named!r:.99}, which is not there")
    init = entries.python_run and index.parent / entries.python_run
    read = read_init_file(init) if init and os.path.isfile(init) else _init_file(files["simConfig"].parent)
    return Project(
        folder=index.parent,
        config=files["simConfig"],
        net_params=files["netParams"],
        config_name=entries.simConfig_variable,
        net_params_name=entries.netParams_variable,
        mods=(index.parent / named).resolve() if named else _mod_folder(index.parent, files["simConfig"].parent),
        init=read,
    )


def load_project(project: Project, overrides: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
    """Run a project's files.

    Args:
        project: What :func:`find_project` returned.
        overrides: cfg values by name ("duration", "hParams.celsius"); set between the two files, so that netParams sees
            them. What cfg.py itself computed from a changed value is not computed again.

    Returns:
        (netParams, simConfig), NetPyNE's specs objects.

    Raises:
        ModelError: a file fails, has no such variable, or an override names no cfg value.
    """
    check_imported(project.folder, project.config)
    with _inside(project):
        called, cfg = _read(project.config, project.config_name, "simConfig")
        for name, value in (overrides or {}).items():
            set_value(cfg, name, value)
        main = vars(sys.modules["__main__"])
        names = {"cfg", called}
        previous = {name: main[name] for name in names & main.keys()}
        main.update(dict.fromkeys(names, cfg))
        if "cfg" not in sys.modules:  # a JSON configuration, or one in a file of another name
            sys.modules["cfg"] = ModuleType("cfg")
        sys.modules["cfg"].cfg = cfg  # type: ignore[attr-defined]
        try:
            _, net_params = _read(project.net_params, project.net_params_name, "netParams")
        finally:
            for name in names:
                main.pop(name, None)
            main.update(previous)
    for holder in (net_params, cfg):
        for name, value in vars(holder).items():
            setattr(holder, name, make_plain(value))
    return net_params, cfg


@contextmanager
def _inside(project: Project) -> Iterator[None]:
    """Run in the project's folder with its modules importable; leave no trace of them."""
    folder, path, before = os.getcwd(), list(sys.path), dict(sys.modules)
    own = ("cfg", "netParams", project.config.stem, project.net_params.stem)
    for name in own:
        sys.modules.pop(name, None)
    os.chdir(project.folder)
    sys.path[:0] = list(
        dict.fromkeys([str(project.config.parent), str(project.net_params.parent), str(project.folder)])
    )
    try:
        yield
    finally:
        os.chdir(folder)
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if name in own or (name not in before and file and Path(file).is_relative_to(project.folder)):
                del sys.modules[name]
        sys.modules.update({name: before[name] for name in own if name in before})


def _read(file: Path, variable: str | None, kind: str) -> tuple[str, Any]:
    """Run or read one file and return the name and the specs object of its kind."""
    from netpyne import specs

    made = specs.SimConfig if kind == "simConfig" else specs.NetParams
    try:
        if file.suffix == ".py":
            module = ModuleType(file.stem)
            module.__file__ = str(file)
            sys.modules[file.stem] = module
            SourceFileLoader(file.stem, str(file)).exec_module(module)
            values = vars(module)
            variable = variable or _only(values, made, kind)
        else:
            content = json.loads(file.read_text())
            values = (
                content.get("net", content) if kind == "netParams" and "params" in content.get("net", {}) else content
            )
            variable = variable or kind
            values = {variable: made(values.get(variable) or values.get("params") or values[kind])}
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        where = [
            frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(file.parent))
        ]
        line = f", line {where[-1].lineno}" if where else ""
        raise ModelError(
            f"{where[-1].filename if where else file}{line} failed: {type(error).__name__}: {error}"
        ) from error
    if variable not in values:
        raise ModelError(f"{file} has no variable {variable!r}")
    value = values[variable]
    value = made(value) if isinstance(value, dict) else value
    if not hasattr(value, HOLDS[kind]):
        raise ModelError(f"{variable!r} of {file} is a {type(value).__name__}; expected NetPyNE's {made.__name__}")
    for name, entries in vars(value).items() if kind == "netParams" else ():
        if name.endswith("Params") and name in vars(made()) and not isinstance(entries, Mapping):
            raise ModelError(f"{name} of {file} is a {type(entries).__name__}; expected entries by label")
    return variable, value


def _only(values: Mapping[str, Any], made: type, kind: str) -> str:
    """The name of a file's specs object: NetPyNE's usual one, else the only one that there is.

    Raises:
        ModelError: Several, none of which has a usual name.
    """
    usual = ("cfg", "simConfig") if kind == "simConfig" else ("netParams",)
    found = {id(value): name for name, value in values.items() if isinstance(value, made)}
    if several := [name for name in usual if name in values] or list(found.values()):
        if len(several) == 1 or several[0] in usual:
            return several[0]
        raise ModelError(
            f"{values['__file__']} has {len(several)} {made.__name__} ({', '.join(several)}) and none called "
            f"{' or '.join(usual)}: name one as {kind}_variable in {INDEX}"
        )
    return usual[0]


def set_value(cfg: Any, name: str, value: Any) -> None:
    """Set one value of a configuration by its dotted name: "duration", "hParams.celsius".

    Raises:
        ModelError: no such value (names near ones), or a value of another kind than the one it replaces.
    """
    *parents, last = name.split(".")
    holder = cfg
    for depth, part in enumerate((*parents, last)):
        known = holder if isinstance(holder, Mapping) else vars(holder) if hasattr(holder, "__dict__") else {}
        if part not in known:
            prefix = ".".join([*parents, last][:depth])
            near = difflib.get_close_matches(part, map(str, known), 3, 0.5)
            hint = f"; did you mean {' or '.join(f'{prefix}.{n}' if prefix else n for n in near)}?" if near else ""
            raise ModelError(f"the model's cfg has no value {name!r}{hint}")
        if depth < len(parents):
            holder = known[part]
    _check_kind(name, known[last], value)
    if isinstance(holder, Mapping):
        holder[last] = value  # type: ignore[index]
    else:
        setattr(holder, last, value)


def _check_kind(name: str, present: Any, value: Any) -> None:
    """Refuse text for a number of NetPyNE's own, and anything but a mapping or list for one; None always passes.

    A number of the project's own may become text: NetPyNE takes functions ("uniform(0, 2)") for weights and delays.
    """
    from netpyne import specs

    kinds: dict[str, Any] = {"mapping": Mapping, "list": (list, tuple, str), "number": (int, float, list, tuple)}
    if isinstance(present, Mapping):
        kind = "mapping"
    elif isinstance(present, (list, tuple)):
        kind = "list"
    elif is_number(present) and name in vars(specs.SimConfig()):
        kind = "number"
    else:
        return
    if value is not None and not isinstance(value, kinds[kind]):
        raise ModelError(f"cfg.{name} is a {kind} ({present!r:.60}); expected one, got {value!r}")


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Return {name: value} of "name=value" words; values are JSON, or else text.

    Raises:
        ModelError: a word without "=".
    """
    parsed = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise ModelError(f"--set {setting!r} has no value; expected NAME=VALUE, e.g. --set duration=500")
        try:
            parsed[name.strip()] = json.loads(text)
        except ValueError:
            parsed[name.strip()] = {"True": True, "False": False, "None": None}.get(text, text)
    return parsed


def fingerprint(net_params: Any) -> str:
    """SHA-256 (hex) of a project's populations, cells, synapse types, rules and stimulations, their seeds left out."""

    def seedless(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): seedless(one) for key, one in value.items() if key != "seed"}
        if isinstance(value, (list, tuple)):
            return [seedless(one) for one in value]
        plain = isinstance(value, (str, int, float, np.generic, np.ndarray))
        return canonical(value) if plain else type(value).__name__

    parts = {name: seedless(value) for name, value in vars(net_params).items() if name.endswith("Params")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
