"""Events that a user puts into a running network: spikes of sources, and single synaptic events."""

from __future__ import annotations

import numpy as np

from netml.errors import ModelError

#: An event that is still to come, as a checkpoint holds it; of a source's spike, the synapse site is -1.
EVENT = np.dtype([("gid", "i8"), ("time", "f8"), ("channel", "i4"), ("weight", "f8")])


class Pending:
    """Events for the cells of one population that are still to come, on this rank.

    Args:
        network: What was built.
        population: Its label.
        events: Of all ranks' cells, :data:`EVENT` each.
    """

    def __init__(self, network, population: str, events: np.ndarray):
        mine = events[events["gid"] % network.world.size == network.world.rank]
        self.population, self._index = population, network.index
        self.events = mine[np.argsort(mine["time"], kind="stable")]

    @classmethod
    def of(cls, network, population: str, cells, times, now_ms: float, sec, loc, synMech, weight) -> Pending:
        """Those of one call of ``NetworkSimulation.inject``.

        Args:
            network: What was built.
            population: Its label.
            cells: Numbers within the population.
            times: ms; broadcast with cells.
            now_ms: The present.
            sec: Section, onto reduced cells.
            loc: Place along it, 0 to 1.
            synMech: Synapse type.
            weight: Peak conductance, uS.

        Raises:
            ModelError: A population, cell, time or synapse that does not fit.
        """
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
        events = np.empty(len(cells), EVENT)
        events["gid"], events["time"] = cells.astype(np.int64) + populations[population].first, times
        events["channel"], events["weight"] = _synapse(network, population, sec, loc, synMech, weight)
        return cls(network, population, events)

    def __len__(self) -> int:
        return len(self.events)

    def until(self, end_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """Cells (indices on this rank) and events of those before a time, which are then no longer pending."""
        due, self.events = np.split(self.events, [np.searchsorted(self.events["time"], end_ms)])
        return self._index[due["gid"]], due


def _synapse(network, population: str, sec, loc: float, synMech, weight) -> tuple[int, float]:
    """Channel and weight of an event onto reduced cells; synapse site -1 of a source."""
    where = f"inject into {population}"
    if population in network.sources:
        if sec is not None or synMech is not None or weight is not None:
            raise ModelError(f"{where}: it holds sources of spikes; leave out sec, synMech and weight")
        return -1, 0.0
    if weight is None or not (np.isfinite(weight) and weight >= 0):
        raise ModelError(f"{where}: weight is {weight}; expected uS, 0 or more")
    if not 0 <= loc <= 1:
        raise ModelError(f"{where}: loc is {loc}; expected 0 to 1")
    kind = network.circuit.kinds[population]
    section = kind.named(sec, where)[:1]
    segment = kind.at(np.array(section), np.array([float(loc)])).segment[0]
    synapse = kind.synapse(synMech, network.circuit.default_synapse, where)
    return int(segment * len(kind.synapses) + synapse), float(weight)
