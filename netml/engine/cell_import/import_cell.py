"""`import cell`: a user's cell, in whatever form, becomes a NetPyNE project that is shown to be the same cell."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from netml import toolchain
from netml.circuit.cell import segment_table, to_plain_python
from netml.circuit.cell_files import SYNAPSES, CellValues, importing, prepare_folder, write_cell, write_values
from netml.circuit.cell_source import DEFAULTS, find_source, read_cell_params
from netml.engine.cell_import.cell_params import check_facts
from netml.engine.cell_import.tasks import (
    BuildJob,
    Built,
    EntryJob,
    ReplayJob,
    Response,
    TuneJob,
    build_entry,
    build_original,
    replay_import,
    tune_weights,
)
from netml.engine.mechanisms import mod_file
from netml.engine.mechanisms.build import collect_mod_files
from netml.engine.mechanisms.syntax_tree import companions
from netml.engine.ranks.launch import launch
from netml.errors import ModelError
from netml.plain import plain_arguments

#: Largest difference of the imported cell's voltage from the original's, mV. Both take the same steps through the same
#: equations; what differs is rounding, which a spike's upstroke amplifies.
TOLERANCE_MV = 0.01
#: Background by default: sites, Hz, and weight in parts of the cell's input conductance, as that of models/cortex.
EXCITATION = (120, 10.0, 0.033)
INHIBITION = (40, 20.0, 0.05)
EXCITATORY_ABOVE_MV = -45.0


@plain_arguments
def import_cell(
    source: str | Path | Callable,
    output: str | Path,
    *,
    mods: Iterable[str | Path] = (),
    biophysics: str | Callable = "",
    arguments: Any = (),
    load: Iterable[str | Path] = (),
    label: str = "",
    celsius: float | None = None,
    v_init: float | None = None,
    dt: float = 0.025,
    threshold: float = -20.0,
    rate: float = 4.0,
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Make a NetPyNE project of one cell, as a population under random input, to record, train and swap.

    Args:
        source: "cell.hoc:Template", "cell.hoc" (with one template, or sections at top level), "cells.json:PYR",
            "cells.pkl", "cell.py:function", a function that stands in a file, "cell.swc" or "cell.asc".
        output: Folder of the project.
        mods: Folders of its mod files; they are built beside netml's, and those that it uses copied into the project.
        biophysics: For a morphology: "file.py:function", or a function; it is called with the cell (lists soma, dend,
            apic, axon and all, of sections) and inserts the channels.
        arguments: List or dictionary for the template or function.
        load: Hoc files to load before a hoc file that expects it, in this order.
        label: Of the cell, its population and files; by default the template's or function's name.
        celsius: Temperature, degC; by default what the source leaves in NEURON.
        v_init: Voltage at the start, mV; by default what the source leaves in NEURON.
        dt: Time step, ms.
        threshold: Voltage at the soma whose upward crossing is a spike, mV.
        rate: Hz, at which the cell fires once the excitatory weights are tuned; 0 leaves them.
        overwrite: Replace a cell that is there.
        progress: Show it, where standard error is a terminal.
        say: Gets a line of news at a time; none: nobody does.

    Returns:
        The project's folder.

    Raises:
        ModelError: The source fails, holds what NetPyNE cannot, or the imported cell is another than the original.
        CompileError: Its mod files do not compile.
        PickleError: Its pickle is damaged, or asks for more than plain data.
        OutputError: The folder cannot be written.

    Example:
        >>> netml.import_cell("cell.hoc:Pyramidal", "project", mods=["mod"])
        >>> netml.record("project", population="Pyramidal")
    """
    say = say or (lambda line: None)
    found = find_source(_written(source), _written(biophysics), arguments, load)
    for name, value in (("celsius", celsius), ("v_init", v_init), ("threshold", threshold), ("rate", rate)):
        if value is not None and not math.isfinite(value):
            raise ModelError(f"{name} is {value}; expected a number")
    if not 0 < dt < math.inf or rate < 0:
        raise ModelError(f"dt is {dt} ms and rate {rate} Hz; expected a dt above 0 and a rate of 0 or more")
    if label and not label.isidentifier():
        raise ModelError(f"label is {label!r}; expected a name of letters, digits and _")
    folders = [Path(path).expanduser().resolve() for path in mods]
    files = collect_mod_files([toolchain.source_folder("mod"), *folders])
    own = [path for path in files.values() if path.parent in folders]
    folder = prepare_folder(output, overwrite)
    try:
        if found.kind == "cellParams":
            name, spec, synapses = read_cell_params(found)
            built = _of_entry(spec, synapses, celsius, v_init)
            entry = EntryJob(built.spec, tuple(map(str, folders)), built.celsius, built.v_init, dt, celsius is None)
        else:
            entry = None
            job = BuildJob(found, tuple(map(str, folders)), celsius, v_init, dt)
            name, built = found.label, launch(build_original, job, progress=progress)
        table = segment_table(built.spec)
        _check(built.spec, table.sections[0][0], files)
        values = CellValues(
            cell=label or re.sub(r"\W", "_", name),
            root=table.sections[0][0],
            celsius=built.celsius,
            v_init=built.v_init,
            dt=dt,
            threshold=threshold,
            background={},
            source=f"{found.file.name}:{found.name}".rstrip(":"),
        )
        size = f"{len(table.sections)} sections, {len(table)} segments"
        say(f"{values.cell}: {size}, {values.celsius:g} degC, starting at {values.v_init:g} mV")
        for note in built.notes:
            say(note)
        with importing(folder) as made:
            kinds = _synapse_types(built.synapses, files)
            used = _mechanisms(built.spec) | {str(kind.get("mod")) for kind in kinds.values()}
            own = mod_file.needed(own, used)
            write_cell(made, built.spec, kinds, values, [*own, *companions(own)])
            _finish(made, built, entry, values, kinds, rate, progress, say)
    finally:
        with suppress(OSError):  # nothing was written
            folder.rmdir()
    return folder


def _finish(
    project: Path, built: Built, entry: EntryJob | None, values: CellValues, kinds: Mapping, rate: float,
    progress: bool, say: Callable,
) -> None:  # fmt: skip
    """Show that the project's cell is the original, and give it a background."""
    currents = built.response.currents if built.response else None
    replay = ReplayJob(str(project), values.cell, values.root, currents)
    response, found = launch(replay_import, replay, progress=progress)
    if entry:
        job = replace(entry, root=values.root, currents=response.currents)
        original, facts, notes = launch(build_entry, job, progress=progress)
        for note in notes:
            say(note)
    else:
        original, facts = built.response, built.facts
    check_facts(facts, found)
    say(_compare(original, response, values.threshold))
    say(f"rests at {response.rest_mv:.1f} mV, input resistance {response.input_mohm:.4g} MOhm")
    exciting = tuple(label for label, kind in kinds.items() if _excites(kind))
    background: dict[str, dict[str, float]] = {}
    for label in kinds:
        sites, hz, share = EXCITATION if label in exciting else INHIBITION
        background[label] = {"sites": sites, "rate": hz, "weight": float(f"{share / response.input_mohm:.3g}")}
    values = replace(values, background=background)
    write_values(project, values)
    if rate > 0:
        tuning = TuneJob(str(project), exciting, rate)
        factor, fires = launch(tune_weights, tuning, progress=progress)
        for label in exciting:
            background[label]["weight"] = float(f"{factor * background[label]['weight']:.3g}")
        write_values(project, values)
        weights = ", ".join(f"{background[label]['weight'] * 1000:g} nS ({label})" for label in exciting)
        sites, hz, _ = EXCITATION
        missed = "" if 0.5 * rate <= fires <= 2 * rate else "; set them by hand in cells/values.json"
        say(f"excitatory weights of {weights} at {sites} sites of {hz:g} Hz let it fire at {fires:.2g} Hz, "
            f"asked for: {rate:g}{missed}")  # fmt: skip


def _written(function: str | Path | Callable) -> str:
    """ "file.py:function" of a function; a process of its own runs it."""
    if not callable(function):
        return str(function)
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        file = None
    name = getattr(function, "__qualname__", repr(function))
    if file is None or "<" in name or not Path(file).is_file():
        raise ModelError(
            f"{name} cannot be run in another process; give a function at the top level of a file, or file.py:function"
        )
    return f"{file}:{name}"


def _of_entry(spec: Mapping, synapses: Mapping, celsius: float | None, v_init: float | None) -> Built:
    """A cell that NetPyNE holds: at the user's temperature and initial voltage, else those among its globals."""
    entry = _entry(spec)
    found = {name: float(entry.get("globals", {}).pop(name, value)) for name, value in DEFAULTS.items()}
    return Built(
        entry, to_plain_python(synapses), found["celsius"] if celsius is None else celsius,
        found["v_init"] if v_init is None else v_init,
    )  # fmt: skip


def _entry(spec: Mapping) -> dict:
    """A user's cellParams entry without what is NetPyNE's business of another network."""
    left_out = ("conds", "label", "cellModel", "cellType")
    kept = {key: value for key, value in to_plain_python(spec).items() if key not in left_out}
    for name, sec in kept["secs"].items():
        for key in ("hObj", "synMechs"):
            sec.pop(key, None)
        if sec.get("pointps"):
            raise ModelError(f"section {name} has point processes (pointps), which a reduction cannot stand for")
    return kept


def _check(spec: Mapping, root: str, files: Mapping[str, Path]) -> None:
    """Refuse what is no cell to reduce: its root not the soma, mechanisms that point elsewhere."""
    if "soma" not in root.lower() and (somata := [name for name in spec["secs"] if "soma" in name.lower()]):
        raise ModelError(
            f"the root of the cell's sections is {root}, not {somata[0]}; netml takes the root as the soma: connect "
            "the others to it, not it to them"
        )
    used = _mechanisms(spec)
    for path in files.values():
        if used.intersection(mod_file.mechanism_names(path)) and (names := mod_file.pointers(path)):
            raise ModelError(f"{path} has the pointer or random stream {names[0]}, which nothing sets in NetPyNE")


def _mechanisms(spec: Mapping) -> set[str]:
    return {mechanism for sec in spec["secs"].values() for mechanism in sec.get("mechs") or ()}


def _synapse_types(synapses: Mapping[str, Mapping], files: Mapping[str, Path]) -> dict[str, dict]:
    """The cell's own synapse types that an event of a conductance describes; netml's, of a sign it has none of."""
    paths = {name: path for path in files.values() for name in mod_file.mechanism_names(path)}
    kinds = {}
    for label, kind in synapses.items():
        path = paths.get(str(kind.get("mod")))
        plastic = path is not None and (mod_file.pointers(path) or mod_file.event_arguments(path) > 1)
        if isinstance(kind.get("e"), (int, float)) and not plastic:
            kinds[label] = dict(kind)
    for label, kind in SYNAPSES.items():
        if _excites(kind) not in map(_excites, kinds.values()):
            kinds[label] = dict(kind)
    return kinds


def _compare(original: Response, imported: Response, threshold: float) -> str:
    """Say how near the imported cell is to the original.

    Raises:
        ModelError: Farther than :data:`TOLERANCE_MV`.
    """
    steps = ", ".join(f"{current:g}" for current in original.currents)
    difference = float(np.abs(original.traces - imported.traces).max())
    if difference > TOLERANCE_MV:
        raise ModelError(
            f"under steps of {steps} nA the imported cell differs from the original by up to {difference:.3g} mV "
            f"(allowed: {TOLERANCE_MV}); something acts on the original that is no property of its sections, such as a "
            "procedure at initialisation, a played vector or a variable set in a run"
        )
    crossed = (original.traces[:, 0, 1:] >= threshold) & (original.traces[:, 0, :-1] < threshold)
    near = f"within {difference:.1g} mV of the original's" if difference else "exactly the original's"
    where = "at the soma and in the last section"
    return f"under steps of {steps} nA ({crossed.sum()} spikes) its voltage is {near}, {where}"


def _excites(kind: Mapping[str, Any]) -> bool:
    return float(kind["e"]) > EXCITATORY_ABOVE_MV
