"""The spikes of a stepped network: taken from NEURON stretch by stretch, counted, and kept until somebody asks."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

logger = logging.getLogger("netml")

#: Spikes that a rank keeps; of more, the oldest are dropped, with a warning.
KEPT_SPIKES = 5_000_000


class SpikeLog:
    """Spikes of this rank's cells, and of all ranks' where they are asked for.

    Args:
        network: What was built.
        context: NEURON's ParallelContext.
    """

    def __init__(self, network, context):
        from neuron import h

        self._network, self._context = network, context
        self._times, self._gids = h.Vector(), h.Vector()
        context.spike_record(-1, self._times, self._gids)
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []
        self._recent: list[tuple[np.ndarray, np.ndarray]] = []  # that NEURON may not have delivered yet
        self._dropped = False
        self._counted, self._counted_from = dict.fromkeys(network.layout.populations, 0), 0.0

    def take(self, now_ms: float, origin_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """The spikes since the last time: times (ms) and gids.

        Args:
            now_ms: Time of the network.
            origin_ms: What NEURON's clock lags behind.
        """
        # A reduced spike carries a fraction of a tick that orders those of one step; see netml_population.mod.
        times = np.round(self._times.as_numpy() + origin_ms, 6)
        gids = self._gids.as_numpy().astype(np.int64)
        self._times.resize(0)
        self._gids.resize(0)
        for label, inside in self._inside(gids):
            self._counted[label] += int(inside.sum())
        oldest = now_ms - self._network.held_back_ms
        self._recent = [part for part in (*self._recent, (times, gids)) if len(part[0]) and part[0].max() >= oldest]
        if len(times):
            self._kept.append((times, gids))
        while len(self._kept) > 1 and sum(len(part[0]) for part in self._kept) > KEPT_SPIKES:
            self._kept.pop(0)
            self._dropped = True
        return times, gids

    def since(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """All ranks' spikes since the last call, by population: times and cells; every rank calls it."""
        if self._dropped:
            logger.warning("spikes() was not called for long: of a rank only the last %d or so are there", KEPT_SPIKES)
        times, gids = self._all(self._kept)
        self._kept, self._dropped = [], False
        first = {label: cells.first for label, cells in self._network.layout.populations.items()}
        return {label: (times[inside], gids[inside] - first[label]) for label, inside in self._inside(gids)}

    def recent(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and gids of all ranks' spikes that NEURON may hold back still; every rank calls it."""
        return self._all(self._recent)

    def rates(self, now_ms: float) -> dict[str, float]:
        """Mean rate of each population since the last call, Hz; every rank calls it."""
        counts = self._network.summed(list(self._counted.values()))
        seconds = (now_ms - self._counted_from) / 1000
        self.count_from(now_ms)
        sizes = {label: len(cells) for label, cells in self._network.layout.populations.items()}
        return {label: count / (size * seconds) if size and seconds else 0.0
                for (label, size), count in zip(sizes.items(), counts, strict=True)}  # fmt: skip

    def count_from(self, now_ms: float) -> None:
        """Begin to count for :meth:`rates`."""
        self._counted, self._counted_from = dict.fromkeys(self._counted, 0), now_ms

    def _inside(self, gids: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Populations, and which of some gids are theirs."""
        for label, population in self._network.layout.populations.items():
            yield label, (gids >= population.first) & (gids < population.first + len(population))

    def _all(self, parts: list) -> tuple[np.ndarray, np.ndarray]:
        """All ranks' spikes, by time and gid."""
        mine = tuple(np.concatenate([*(part[k] for part in parts), np.empty(0, kind)])
                     for k, kind in ((0, float), (1, np.int64)))  # fmt: skip
        times, gids = (np.concatenate(columns) for columns in zip(*self._network.gathered(mine), strict=True))
        order = np.lexsort((gids, times))
        return times[order], gids[order]
