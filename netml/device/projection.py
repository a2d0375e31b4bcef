"""Synapses whose weight stays, with or without short-term plasticity: 12 bytes each."""

import numpy as np
import torch

from netml.device.ranges import pieces
from netml.device.ring import Ring
from netml.device.sources import Sources

CHUNK = 1 << 22  # synapses at once, where all are visited


class Projection:
    """Rows of synapses, one row a source.

    Args:
        sources: State of the rows; None where nothing depends on a source's past.
        row, target, delay, weight: (synapses) int64, ring target, ticks, quanta; in any order.
        rows: How many.
        step_ticks: Length of a step.
    """

    def __init__(self, sources: Sources | None, row, target, delay, weight, *, rows: int, step_ticks: int):
        self._sources, self._step_ticks = sources, step_ticks
        order = torch.argsort(row, stable=True)
        self._start = torch.zeros(rows + 1, dtype=torch.int64, device=row.device)
        torch.cumsum(torch.bincount(row, minlength=rows), 0, out=self._start[1:])
        self._target, self._delay, self._weight = (c.to(torch.int32)[order] for c in (target, delay, weight))
        self.longest = int(delay.max()) if delay.numel() else 0

    @property
    def synapses(self) -> int:
        return self._target.numel()

    @property
    def bytes(self) -> int:
        """Of the synapses."""
        return 4 * 3 * self.synapses

    def add_highest(self, sums: torch.Tensor) -> None:
        """Add to (targets) float64 what a spike of every source can bring, quanta."""
        for at in range(0, self.synapses, CHUNK):
            part = slice(at, at + CHUNK)
            sums.index_add_(0, self._target[part].long(), self._weight[part].double())

    def reset(self) -> None:
        if self._sources:
            self._sources.reset()

    def spike(self, rows: torch.Tensor, tick: torch.Tensor, next_step: int, ring: Ring) -> int:
        """Spikes of rows, none of them twice: their synapses' events enter the ring. Returns how many these are."""
        factor = self._sources.spike(rows, tick)[0] if self._sources else None
        events = 0
        for which, synapse in pieces(self._start[rows], self._start[rows + 1]):
            weight = self._weight[synapse]
            if factor is not None:
                weight = torch.round(weight * factor[which]).to(torch.int32)
            # One tick later than it is: an event a rounding error before a border counts as on it.
            step = (tick[which] + 1 + self._delay[synapse]) // self._step_ticks
            ring.add(next_step, step, self._target[synapse].long(), weight)
            events += synapse.numel()
        return events

    def batch(self) -> tuple[torch.Tensor, ...]:
        """Row, target, delay and weight, int32, as they were given."""
        rows = torch.arange(self._start.numel() - 1, dtype=torch.int32, device=self._start.device)
        return torch.repeat_interleave(rows, self._start.diff()), self._target, self._delay, self._weight

    def held(self, tick: int) -> dict[str, np.ndarray]:
        """Row, target, delay, weight (quanta) and eligibility of every synapse."""
        row, target, delay, weight = self.batch()
        columns = {"row": row, "target": target, "delay": delay, "weight": weight.double(),
                   "eligibility": torch.zeros_like(weight)}  # fmt: skip
        return {name: column.cpu().numpy() for name, column in columns.items()}

    def begin(self, step: int, ring: Ring) -> int:
        """Before a step is taken; events are in the ring already."""
        return 0

    def fired(self, cells: torch.Tensor, tick: int) -> None:
        """Spikes of the target cells change nothing here."""
