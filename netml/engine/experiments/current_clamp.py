"""One isolated cell under current clamp: a protocol in, voltages out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from netml.circuit.cell import segment_table
from netml.circuit.physiology import CellTargets, Current, Protocol, Site
from netml.errors import ModelError
from netml.progress import reporter

VARIABLE_ATOL = 1e-2  # of the variable step: features as at a fixed step of 0.025 ms within a fraction of an SD
SHAPE_POINTS, SHAPE_TAILS = 200, 20  # of a synaptic current: interpolated points, length in decay times

Traces = dict[str, tuple[np.ndarray, np.ndarray]]  # time in ms and voltage in mV by recorded site


@dataclass(frozen=True)
class ClampJob:
    """Cells to run under all their protocols (plain data).

    Attributes:
        model: a NetPyNE project folder; its mod files are built beside netml's.
        cells: the cells and their protocols.
        dt_ms: fixed time step; None for the variable one.
        progress: show it.
    """

    model: str
    cells: tuple[CellTargets, ...]
    dt_ms: float | None = 0.025
    progress: bool = True


class ClampedCell:
    """A cell built by NetPyNE from a ``cellParams`` entry, alone in this process. Mechanisms must be loaded.

    Every rank must build it (NetPyNE waits for all), and may then run what it likes.

    Args:
        spec: the entry; ``secLists`` name the groups that sites refer to.
        celsius: temperature, degC.
        v_init_mv: voltage at the start of each protocol.

    Raises:
        ModelError: A mechanism that is not there.
    """

    def __init__(self, spec: dict, celsius: float = 34.0, v_init_mv: float = -75.0):
        from netpyne import sim, specs
        from neuron import h

        wanted = {name for sec in spec["secs"].values() for name in sec.get("mechs", ())}
        if missing := sorted(name for name in wanted if not hasattr(h, name)):  # NetPyNE would leave it out and go on
            raise ModelError(f"no mechanism {', '.join(missing)}; put its mod file into the model's mod folder")
        params = specs.NetParams()
        params.cellParams["cell"] = {"secs": spec["secs"]}
        params.popParams["cell"] = {"cellType": "cell", "numCells": int(sim.pc.nhost())}  # one a rank
        config = specs.SimConfig({"hParams": {"celsius": celsius, "v_init": v_init_mv}})
        config.verbose = config.pt3dRelativeToCellLocation = False
        config.progressBar = 0
        sim.initialize(params, config)
        sim.net.createPops()
        sim.net.createCells()
        self._sections = {name: sec["hObj"] for name, sec in sim.net.cells[0].secs.items()}
        self._lists, self._table = spec.get("secLists", {}), segment_table(spec)
        self._celsius, self._v_init = celsius, v_init_mv

    def segment(self, site: Site) -> Any:
        """NEURON's segment at a site.

        Raises:
            ModelError: No such section or list, or no section of the list reaches that distance.
        """
        if site.path_um is None:
            self._table.find(site.section, site.x)  # says what is wrong with it
            return self._sections[site.section](site.x)
        if site.section not in self._lists:
            raise ModelError(f"cell has no section list {site.section!r}; it has {', '.join(self._lists)}")
        inside = np.flatnonzero(np.isin(self._table.section, self._lists[site.section]))
        away = np.abs(self._table.path_um[inside] - site.path_um)
        nearest = inside[np.argmin(away)] if away.size else 0
        if not away.size or away.min() > self._table.length_um[nearest]:
            raise ModelError(f"{site.section} does not reach {site.path_um:g} um from the soma")
        return self._sections[self._table.section[nearest]](self._table.x[nearest])

    def run(self, protocol: Protocol, dt_ms: float | None = 0.025, atol: float = VARIABLE_ATOL) -> Traces:
        """Run a protocol.

        Args:
            protocol: currents, sites to record and length.
            dt_ms: fixed time step; None for NEURON's variable one.
            atol: absolute tolerance of the variable step.

        Returns:
            Time in ms and voltage in mV by the protocol's names of recorded sites.
        """
        from neuron import h

        clamps = [self._inject(h, current, protocol.total_ms) for current in protocol.currents]
        time = h.Vector().record(h._ref_t)
        traces = {name: h.Vector().record(self.segment(site)._ref_v) for name, site in protocol.record.items()}
        variable = h.CVode()
        variable.active(dt_ms is None)
        if dt_ms is None:
            variable.atol(atol)
        else:
            h.dt = dt_ms
        h.celsius = self._celsius
        h.finitialize(self._v_init)
        while h.t < protocol.total_ms - 1e-9:  # not psolve: ranks run protocols of their own
            h.fadvance()
        variable.active(False)
        del clamps
        t = time.as_numpy().copy()
        return {name: (t, trace.as_numpy().copy()) for name, trace in traces.items()}

    def _inject(self, h: Any, current: Current, total_ms: float) -> Iterable[Any]:
        """NEURON objects that inject a current as long as they live."""
        clamp = h.IClamp(self.segment(current.site))
        if current.rise_ms is None or current.decay_ms is None:
            clamp.delay, clamp.dur, clamp.amp = current.start_ms, current.duration_ms, current.amp_na
            return (clamp,)
        clamp.delay, clamp.dur = 0.0, total_ms
        since = np.geomspace(1.0, 1.0 + SHAPE_TAILS * current.decay_ms, SHAPE_POINTS) - 1.0
        t = np.concatenate([[0.0], current.start_ms + since])
        amplitude, times = h.Vector(current.shape_na(t)), h.Vector(t)
        amplitude.play(clamp._ref_amp, times, True)
        return clamp, amplitude, times


def run_clamps(job: ClampJob) -> dict[tuple[str, str], Traces]:
    """The task of `netml validate-cells`: traces as of :meth:`ClampedCell.run` by cell and protocol.

    Ranks share the protocols, the longest first; every rank gets all traces.
    """
    from neuron import h

    from netml.engine.circuit.run import CircuitRun, SimulateConfig
    from netml.engine.ranks import mpi

    world = mpi.start()
    progress = reporter(job.progress, world.rank)
    CircuitRun(SimulateConfig(job.model), world, progress).load_mechanisms()
    traces = {}
    for cell in job.cells:
        clamped = ClampedCell(cell.spec(), cell.celsius, cell.v_init_mv)
        mine = sorted(cell.protocols, key=lambda protocol: -protocol.total_ms)[world.rank :: world.size]
        progress.begin(cell.cell, len(mine))
        for done, protocol in enumerate(mine):
            traces[cell.cell, protocol.name] = clamped.run(protocol, job.dt_ms)
            progress.update(done + 1)
    progress.close()
    return {key: one for part in h.ParallelContext().py_allgather(traces) for key, one in part.items()}
