"""Events that a user puts into a running network: spikes of sources, and single synaptic events."""

from __future__ import annotations

import numpy as np

from netml.errors import ModelError


class Pending:
    """Events of one call that are still to come, on this rank.

    Arguments:
        network: What was built.
        population: Its label.
        cells: Numbers within the population; times: ms; broadcast.
        now_ms: The present.
        sec, loc, synMech, weight: As in ``Simulation.inject``.

    Raises:
        ModelError: A population, cell, time or synapse that does not fit.
    """

    def __init__(self, network, population: str, cells, times, now_ms: float, sec, loc, synMech, weight):
        populations = network.layout.populations
        if population not in populations:
            raise ModelError(f"no population {population!r}; the network has {', '.join(populations)}")
        cells, times = (a.ravel() for a in np.broadcast_arrays(np.asarray(cells), np.asarray(times, float)))
        size = len(populations[population])
        if cells.dtype.kind not in "iu" or (cells.size and (cells.min() < 0 or cells.max() >= size)):
            raise ModelError(
                f"cells of {population} to inject into are {cells[:5]}; expected whole numbers, 0 to {size - 1}"
            )
        late = ~(np.isfinite(times) & (times >= now_ms))
        if late.any():
            raise ModelError(f"a time to inject at is {times[late][0]} ms; expected {now_ms} ms (now) or later")
        gids = cells.astype(np.int64) + populations[population].first
        mine = np.flatnonzero(gids % network.world.size == network.world.rank)
        mine = mine[np.argsort(times[mine], kind="stable")]
        self.population, self.times, self.cells = population, times[mine], network.index[gids[mine]]
        self.channel, self.weight_us = self._synapse(network, sec, loc, synMech, weight)

    def __len__(self) -> int:
        return len(self.times)

    def until(self, end_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """Cells (indices on this rank) and times of those before a time, which are then no longer pending."""
        due = int(np.searchsorted(self.times, end_ms))
        cells, times = self.cells[:due], self.times[:due]
        self.cells, self.times = self.cells[due:], self.times[due:]
        return cells, times

    def _synapse(self, network, sec, loc: float, synMech, weight) -> tuple[int | None, float]:
        """Channel and weight of an event onto reduced cells; no channel of a source."""
        where = f"inject into {self.population}"
        if self.population in network.sources:
            if sec is not None or synMech is not None or weight is not None:
                raise ModelError(f"{where}: it holds sources of spikes; leave out sec, synMech and weight")
            return None, 0.0
        if weight is None or not (np.isfinite(weight) and weight >= 0):
            raise ModelError(f"{where}: weight is {weight}; expected uS, 0 or more")
        if not 0 <= loc <= 1:
            raise ModelError(f"{where}: loc is {loc}; expected 0 to 1")
        kind = network.circuit.kinds[self.population]
        section = kind.named(sec, where)[:1]
        segment = kind.at(np.array(section), np.array([float(loc)])).segment[0]
        synapse = kind.synapse(synMech, network.circuit.default_synapse, where)
        return int(segment * len(kind.synapses) + synapse), float(weight)
