"""What runs in processes of their own to import a cell: the original, the imported one, and its background."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from netml import toolchain
from netml.circuit.cell_source import CellSource
from netml.engine.cell_import.cell_params import cell_params, check_variables, facts, globals_of
from netml.engine.cell_import.experiment import default_conditions, set_aside
from netml.engine.cell_import.user_cell import build_cell
from netml.engine.circuit.run import CircuitRun, SimulateConfig
from netml.engine.mechanisms.build import build_mechanisms, load_mechanisms
from netml.engine.ranks import mpi
from netml.engine.recording.protocol import isolate
from netml.errors import ModelError

DELAY_MS, PULSE_MS, END_MS = 100.0, 200.0, 350.0
PROBE_NA = -0.01
STEPS_MV = (-10.0, 20.0, 100.0)  # that the currents would move a passive cell of the same input resistance
TUNING_MS, TUNING_DT_MS = 1500.0, 0.1
FIRST, LOWEST, HIGHEST = 2.0**-3, 2.0**-10, 2.0**7  # factors on the excitatory weights that are tried


@dataclass(frozen=True)
class BuildJob:
    """Build a source in NEURON and read it (plain data).

    Attributes:
        source: Of the cell.
        mods: Its folders of mod files.
        celsius, v_init: Given by the user, else the source's.
        dt: ms.
    """

    source: CellSource
    mods: tuple[str, ...]
    celsius: float | None
    v_init: float | None
    dt: float


@dataclass(frozen=True)
class Response:
    """What a cell does under current steps at its soma.

    Attributes:
        rest_mv: Before a step.
        input_mohm: From a small step.
        currents: nA.
        traces: (currents, 2, samples) mV, at the soma and in the middle of the last section.
    """

    rest_mv: float
    input_mohm: float
    currents: tuple[float, ...]
    traces: np.ndarray


@dataclass(frozen=True)
class Built:
    """A cell read from NEURON: its cellParams entry, synapse types on it, settings, and what it is compared by."""

    spec: dict
    synapses: dict
    celsius: float
    v_init: float
    response: Response | None = None
    facts: Mapping[str, Mapping] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EntryJob:
    """Build a cellParams entry by NetPyNE alone and step currents into it (plain data).

    Attributes:
        entry: As its file has it.
        mods: Its folders of mod files.
        celsius, v_init, dt: degC, mV, ms.
        tell: Whether to tell of a temperature that is NEURON's own.
        root: Its soma's section.
        currents: nA.
    """

    entry: Mapping[str, Any]
    mods: tuple[str, ...]
    celsius: float
    v_init: float
    dt: float
    tell: bool
    root: str = ""
    currents: tuple[float, ...] = ()


@dataclass(frozen=True)
class ReplayJob:
    """Run the cell of a project alone under current steps, by default of its own choice (plain data)."""

    project: str
    cell: str
    root: str
    currents: tuple[float, ...] | None


@dataclass(frozen=True)
class TuneJob:
    """Find the weights of the synapse types ``exciting`` at which the cell of a project fires at ``target`` Hz."""

    project: str
    exciting: tuple[str, ...]
    target: float


def build_original(job: BuildJob) -> Built:
    """Build the source, read it, and step currents into it."""
    mpi.start()
    from neuron import h

    load_mechanisms(h, build_mechanisms([toolchain.source_folder("mod"), *map(Path, job.mods)]))
    defaults = globals_of(h)
    cell, sections = build_cell(h, job.source)
    notes, _kept = set_aside(h, sections)
    spec, synapses = cell_params(h, cell, sections, defaults)
    celsius = float(h.celsius if job.celsius is None else job.celsius)
    v_init = float(getattr(h, "v_init", -65.0) if job.v_init is None else job.v_init)
    h.celsius, h.dt, h.secondorder = celsius, job.dt, 0
    h.CVode().active(0)
    by_name = dict(zip(spec["secs"], sections, strict=True))
    found = facts(h, by_name)
    if job.celsius is None:
        used = [mechanism for sec in spec["secs"].values() for mechanism in sec["mechs"]]
        notes += default_conditions(h, used, celsius, v_init)
    root = next(sec for sec in sections if sec.parentseg() is None)
    return Built(spec, synapses, celsius, v_init, _respond(h, root, sections[-1], v_init, None), found, notes)


def build_entry(job: EntryJob) -> tuple[Response, dict, tuple[str, ...]]:
    """Return what NetPyNE's own cell of an entry does, its :func:`facts`, and lines to tell the user."""
    mpi.start()
    from netpyne import sim, specs
    from neuron import h

    load_mechanisms(h, build_mechanisms([toolchain.source_folder("mod"), *map(Path, job.mods)]))
    net, cfg = specs.NetParams(), specs.SimConfig()
    net.cellParams["cell"] = dict(job.entry)
    net.popParams["cell"] = {"cellType": "cell", "numCells": 1}
    cfg.verbose = cfg.timing = cfg.printRunTime = False
    cfg.pt3dRelativeToCellLocation = False
    cfg.dt, cfg.hParams = job.dt, {"celsius": job.celsius, "v_init": job.v_init}
    sim.initialize(net, cfg)
    sim.net.createPops()
    sim.net.createCells()
    sections = {name: sec["hObj"] for name, sec in sim.net.cells[0].secs.items()}
    sim.preRun()
    used = [mechanism for sec in job.entry["secs"].values() for mechanism in sec.get("mechs") or ()]
    notes = default_conditions(h, used, job.celsius, job.v_init) if job.tell else ()
    *_, last = sections.values()
    return _respond(h, sections[job.root], last, job.v_init, job.currents), facts(h, sections), notes


def replay_import(job: ReplayJob) -> tuple[Response, dict]:
    """Return what the project's cell does, and its :func:`facts`."""
    world = mpi.start()
    simulation = _Alone(job, world)
    simulation.build()
    from neuron import h

    sim = simulation.sim
    sections = {name: sec["hObj"] for name, sec in sim.net.cells[0].secs.items()}
    sim.preRun()
    *_, last = sections.values()
    return _respond(h, sections[job.root], last, float(sim.cfg.hParams["v_init"]), job.currents), facts(h, sections)


class _Alone(CircuitRun):
    """One cell of a project, without input."""

    def __init__(self, job: ReplayJob, world: mpi.World):
        super().__init__(SimulateConfig(model=job.project, duration=END_MS), world)
        self._cell = job.cell

    def create(self, net_params: Any, cfg: Any) -> None:
        from neuron import h

        check_variables(h, net_params.cellParams[self._cell])
        cfg.recordTraces = {}
        super().create(isolate(net_params, self._cell, 1), cfg)

    def mods_belong(self) -> str:
        return "a folder given by --mod"  # the project is not in its place yet


def _respond(h: Any, root: Any, last: Any, v_init: float, currents: tuple[float, ...] | None) -> Response:
    clamp = h.IClamp(root(0.5))
    clamp.delay, clamp.dur = DELAY_MS, PULSE_MS
    vectors = [h.Vector().record(sec(0.5)._ref_v) for sec in (root, last)]
    pc = h.ParallelContext()
    pc.set_maxstep(10)

    def step(current: float) -> np.ndarray:
        clamp.amp = current
        h.finitialize(v_init)
        pc.psolve(END_MS)
        return np.array([vector.as_numpy().copy() for vector in vectors])

    at = [round(ms / h.dt) - 1 for ms in (DELAY_MS, DELAY_MS + PULSE_MS)]
    rest, probe = step(0.0)[0], step(PROBE_NA)[0]
    resistance = float((probe[at[1]] - rest[at[1]]) / PROBE_NA)
    if not np.isfinite(resistance) or resistance <= 0:  # it fires by itself: what its channels pass at the start
        h.finitialize(v_init)
        impedance = h.Impedance()
        impedance.loc(root(0.5))
        impedance.compute(0)
        resistance = float(impedance.input(root(0.5)))
    if not np.isfinite(resistance) or resistance <= 0:
        raise ModelError(f"the cell's input resistance came out as {resistance:g} MOhm; its voltage does not settle")
    currents = currents or tuple(float(f"{mv / resistance:.3g}") for mv in STEPS_MV)
    return Response(float(rest[at[0]]), resistance, currents, np.array([step(current) for current in currents]))


def tune_weights(job: TuneJob) -> tuple[float, float]:
    """Return (factor on the exciting weights, rate of the cell in Hz), see :func:`search`."""
    world = mpi.start()
    config = SimulateConfig(
        model=job.project, duration=TUNING_MS, dt=TUNING_DT_MS, cfg={"cells": 1, "recordTraces": {}, "recordCells": []}
    )
    simulation = CircuitRun(config, world)
    simulation.build()
    from neuron import h

    sim = simulation.sim
    inputs = [conn["hObj"] for conn in sim.net.cells[0].conns if conn["synMech"] in job.exciting]
    weights = [netcon.weight[0] for netcon in inputs]
    sim.preRun()

    def fires(factor: float) -> float:
        for netcon, weight in zip(inputs, weights, strict=True):
            netcon.weight[0] = factor * weight
        sim.simData["spkt"].resize(0)
        h.finitialize(float(sim.cfg.hParams["v_init"]))
        sim.pc.psolve(TUNING_MS)
        return len(sim.simData["spkt"]) / TUNING_MS * 1000.0

    return search(fires, job.target)


def search(fires: Callable[[float], float], target: float) -> tuple[float, float]:
    """The factor whose rate is nearest to the target, and that rate, of those that are tried.

    From the first one up or down by doublings to the other side of the target, then by halving the interval.

    Args:
        fires: Rate in Hz at a factor.
        target: Hz.
    """
    factor, tried = FIRST, {FIRST: fires(FIRST)}
    rises = tried[FIRST] < target
    turn = 2.0 if rises else 0.5
    while (tried[factor] < target) == rises and LOWEST <= factor * turn <= HIGHEST:
        factor *= turn
        tried[factor] = fires(factor)
    if (tried[factor] < target) != rises:
        low, high = sorted((factor, factor / turn))
        for _ in range(4):
            middle = float(np.sqrt(low * high))
            tried[middle] = fires(middle)
            low, high = (low, middle) if tried[middle] >= target else (middle, high)
    return min(tried.items(), key=lambda one: abs(one[1] - target))
