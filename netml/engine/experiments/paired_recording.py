"""A presynaptic spike or two onto an isolated cell held by a constant current: somatic potentials out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netml.circuit.connections import Pair
from netml.circuit.physiology import Current, Protocol, Site
from netml.engine.experiments.current_clamp import ClampedCell
from netml.progress import reporter

SETTLE_MS, TAIL_MS = 600.0, 200.0  # before the first spike and after the last
SAMPLE_MS = 0.05
PAIRS = 5  # placements of the contacts; a feature is the mean over them
ATOL = 1e-3  # of the variable step: potentials are tenths of a mV


@dataclass(frozen=True)
class PairJob:
    """Connection types to run (plain data).

    Attributes:
        model: a NetPyNE project folder; its mod files are built beside netml's.
        pairs: the connection types.
        progress: show it.
    """

    model: str
    pairs: tuple[Pair, ...]
    progress: bool = True


class HeldCell:
    """A cell whose soma a constant current holds at a voltage."""

    def __init__(self, spec: dict, hold_mv: float):
        self._cell = ClampedCell(spec, v_init_mv=hold_mv)
        self._hold_na = self._holding_na(hold_mv)
        self._rest: dict[float, np.ndarray] = {}

    def potential(self, mod: str, parameters: dict, weight_us: float, contacts: Sequence[tuple[str, float]],
                  interval_ms: float | None = None) -> np.ndarray:  # fmt: skip
        """What the contacts add to the soma's voltage from the first presynaptic spike on, mV, every SAMPLE_MS.

        Args:
            mod: mechanism of the synapses.
            parameters: its values by name.
            weight_us: of each contact, uS.
            contacts: (section, loc) of each.
            interval_ms: to a second spike, if there is one.

        Returns:
            (samples) float64.
        """
        from neuron import h

        spikes = h.NetStim()
        spikes.number, spikes.start, spikes.noise = (2 if interval_ms else 1), SETTLE_MS, 0.0
        spikes.interval = interval_ms or 1.0
        alive: list[Any] = []
        for section, x in contacts:
            synapse = getattr(h, mod)(self._cell.segment(Site(section, x)))
            for name, value in parameters.items():
                setattr(synapse, name, value)
            connection = h.NetCon(spikes, synapse, 0.0, 0.0, weight_us)
            alive += [synapse, connection]
        total = SETTLE_MS + (interval_ms or 0.0) + TAIL_MS
        found = self._run(total)
        del alive, spikes
        if total not in self._rest:
            self._rest[total] = self._run(total)
        return found - self._rest[total]

    def _run(self, total_ms: float) -> np.ndarray:
        held = Current(Site("soma"), 0.0, self._hold_na, duration_ms=total_ms)
        protocol = Protocol("pair", total_ms, (0.0, total_ms), (held,), {"soma": Site("soma")}, ())
        t, v = self._cell.run(protocol, None, ATOL)["soma"]
        return np.interp(np.arange(SETTLE_MS, total_ms, SAMPLE_MS), t, v)

    def _holding_na(self, hold_mv: float) -> float:
        """The current that a voltage clamp needs in the end."""
        from neuron import h

        clamp = h.SEClamp(self._cell.segment(Site("soma")))
        clamp.rs, clamp.dur1, clamp.amp1 = 0.01, 1e9, hold_mv
        protocol = Protocol("hold", SETTLE_MS, (0.0, SETTLE_MS), (), {"soma": Site("soma")}, ())
        self._cell.run(protocol, None, ATOL)
        return float(clamp.i)


def run_pairs(job: PairJob) -> dict[str, list[dict[float | None, np.ndarray]]]:
    """The task of `netml validate-cells` for connections: somatic potentials of each pair by interval, by connection.

    Ranks share the connections; every rank gets all of them.
    """
    from neuron import h

    from netml.engine.circuit.run import CircuitRun, SimulateConfig
    from netml.engine.ranks import mpi

    world = mpi.start()
    progress = reporter(job.progress, world.rank)
    CircuitRun(SimulateConfig(job.model), world, progress).load_mechanisms()
    found: dict[str, list[dict[float | None, np.ndarray]]] = {}
    progress.begin("pairs", len(job.pairs))
    for done, pair in enumerate(job.pairs):
        spec = pair.spec()
        cell = HeldCell(spec, pair.hold_mv)  # every rank makes it: NetPyNE waits for all
        if done % world.size == world.rank:
            intervals = [None, *dict.fromkeys(r.interval_ms for r in pair.recorded if r.interval_ms)]
            found[pair.name] = [
                {i: cell.potential(pair.mod, pair.parameters, pair.weight_us, contacts, i) for i in intervals}
                for contacts in pair.placements(spec, PAIRS)
            ]
        progress.update(done + 1)
    progress.close()
    return {name: one for part in h.ParallelContext().py_allgather(found) for name, one in part.items()}
