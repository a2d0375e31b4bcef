"""Synapses that learn: reward-modulated STDP with an eligibility trace, after netml/population/README.md.

An event needs the weight at its arrival, so spikes wait in flight, and their synapses are visited in the step in which
they arrive. A synapse's eligibility is brought up to date when something happens to it: an arrival, or a spike of its
cell, which finds it by an index of the cells' synapses. A reward visits all.
"""

import numpy as np
import torch

from netml.device.ranges import pieces
from netml.device.ring import Ring
from netml.device.sources import Sources
from netml.device.time import NEVER, decay
from netml.population.plasticity import RewardStdp

DELAYS = 2**32  # keys are row x DELAYS + delay


class Learning:
    """Rows of plastic synapses, sorted by row and delay.

    Args:
        rule: Of the projection.
        sources: State of the rows.
        row, target, delay: As for :class:`netml.device.projection.Projection`.
        weight, gain: (synapses) uS and quanta per uS, float32.
        inputs: Of a cell: a target is cell x inputs + input.
        cells: How many.
        step_ticks: Length of a step.
    """

    def __init__(self, rule: RewardStdp, sources: Sources, row, target, delay, weight, gain, *, inputs: int, cells: int,
                 step_ticks: int):  # fmt: skip
        self.rule, self._sources, self._inputs, self._step_ticks = rule, sources, inputs, step_ticks
        self._key, order = torch.sort(row * DELAYS + delay, stable=True)
        self._target = target.to(torch.int32)[order]
        self._initial, self._gain = (c[order] for c in (weight, gain))
        self.weight, self.eligibility, self._trace = torch.empty(3, order.numel(), device=row.device)
        self._updated, self._arrival = torch.empty(2, order.numel(), dtype=torch.int64, device=row.device)
        cell = self._target.long() // inputs
        self._of_cell = torch.argsort(cell, stable=True)
        self._cell_start = torch.zeros(cells + 1, dtype=torch.int64, device=row.device)
        torch.cumsum(torch.bincount(cell, minlength=cells), 0, out=self._cell_start[1:])
        self._post_last = torch.empty(cells, dtype=torch.int64, device=row.device)
        self._post_trace = torch.empty(cells, dtype=torch.float64, device=row.device)
        self.longest = int(delay.max()) if delay.numel() else 0
        self.reset()

    @property
    def synapses(self) -> int:
        return self._key.numel()

    @property
    def bytes(self) -> int:
        """Of the synapses, and of the index by cell."""
        return (8 + 4 + 5 * 4 + 2 * 8 + 8) * self.synapses

    def add_highest(self, sums: torch.Tensor) -> None:
        """Add to (targets) float64 what a spike of every source can bring, quanta."""
        sums.index_add_(0, self._target.long(), self.rule.high_us * self._gain.double())

    def reset(self) -> None:
        self._sources.reset()
        self.weight.copy_(self._initial)
        self.eligibility.zero_(), self._trace.zero_(), self._post_trace.zero_()
        self._updated.fill_(NEVER), self._arrival.fill_(NEVER), self._post_last.fill_(NEVER)
        nothing = self._key.new_empty(0)
        self._flights = [nothing, nothing, nothing.double(), nothing.double()]  # row, tick, factor, trace

    def spike(self, rows: torch.Tensor, tick: torch.Tensor, next_step: int, ring: Ring) -> int:
        """Spikes of rows, none of them twice, take off; returns 0 events."""
        missed = (next_step * self._step_ticks - tick - 1).clamp(0, DELAYS - 1)
        ring.late(torch.searchsorted(self._key, rows * DELAYS + missed) - torch.searchsorted(self._key, rows * DELAYS))
        new = rows, tick, *self._sources.spike(rows, tick)
        self._flights = [torch.cat(pair) for pair in zip(self._flights, new, strict=True)]
        return 0

    def batch(self) -> tuple[torch.Tensor, ...]:
        """Row, target, delay, weight and gain, as they were given."""
        return (self._key // DELAYS).int(), self._target, (self._key % DELAYS).int(), self._initial, self._gain

    def held(self, tick: int) -> dict[str, np.ndarray]:
        """Row, target, delay, weight (uS) and eligibility at a tick of every synapse."""
        eligibility = self.eligibility * decay(tick - self._updated, self.rule.tau_eligibility_ms)
        columns = {"row": self._key // DELAYS, "target": self._target, "delay": self._key % DELAYS,
                   "weight": self.weight.double(), "eligibility": eligibility}  # fmt: skip
        return {name: column.cpu().numpy() for name, column in columns.items()}

    def begin(self, step: int, ring: Ring) -> int:
        """The arrivals of a step, before it is taken. Returns how many."""
        row, tick, factor, trace = self._flights
        first, last = (
            (row * DELAYS + (n * self._step_ticks - tick - 1).clamp(0, DELAYS - 1)) for n in (step, step + 1)
        )
        first, last = torch.searchsorted(self._key, first), torch.searchsorted(self._key, last)
        events = 0
        for which, synapse in pieces(first, last):
            events += synapse.numel()
            for own in _once_each(synapse):
                self._arrive(synapse[own], tick[which[own]], factor[which[own]], trace[which[own]], step, ring)
        on_its_way = tick + 1 + self.longest >= (step + 1) * self._step_ticks
        self._flights = [column[on_its_way] for column in self._flights]
        return events

    def _arrive(self, synapse, tick, factor, trace, step: int, ring: Ring) -> None:
        rule, target = self.rule, self._target[synapse].long()
        cell, now = target // self._inputs, tick + self._key[synapse] % DELAYS
        eligibility = self.eligibility[synapse] * decay(now - self._updated[synapse], rule.tau_eligibility_ms)
        eligibility -= rule.a_minus * self._post_trace[cell] * decay(now - self._post_last[cell], rule.tau_minus_ms)
        self.eligibility[synapse], self._trace[synapse] = eligibility.float(), trace.float()
        self._updated[synapse], self._arrival[synapse] = now, now
        weight = torch.round(self.weight[synapse].double() * self._gain[synapse] * factor).to(torch.int32)
        ring.add(step, torch.full_like(target, step), target, weight)

    def fired(self, cells: torch.Tensor, tick: int) -> None:
        """Spikes of target cells at the end of a step."""
        rule = self.rule
        for _, k in pieces(self._cell_start[cells], self._cell_start[cells + 1]):
            synapse = self._of_cell[k]
            eligibility = self.eligibility[synapse] * decay(tick - self._updated[synapse], rule.tau_eligibility_ms)
            eligibility += rule.a_plus * self._trace[synapse] * decay(tick - self._arrival[synapse], rule.tau_plus_ms)
            self.eligibility[synapse] = eligibility.float()
            self._updated[synapse] = tick
        self._post_trace[cells] = 1 + self._post_trace[cells] * decay(tick - self._post_last[cells], rule.tau_minus_ms)
        self._post_last[cells] = tick

    def reward(self, amount: float, tick: int) -> None:
        """A reward at the beginning of the step to be taken next."""
        rule = self.rule
        eligibility = self.eligibility * decay(tick - self._updated, rule.tau_eligibility_ms)
        weight = self.weight + rule.rate_us * amount * eligibility
        self.weight.copy_(weight.clamp(rule.low_us, rule.high_us).float())


def _once_each(synapse: torch.Tensor):
    """Masks that part a list in which a synapse may stand several times, in its order, into lists where it does not."""
    ordered, at = torch.sort(synapse, stable=True)
    again = torch.zeros_like(ordered, dtype=torch.bool)
    again[1:] = ordered[1:] == ordered[:-1]
    if not again.any():
        yield slice(None)
        return
    number = torch.arange(ordered.numel(), device=synapse.device)
    rank = number - torch.where(again, 0, number).cummax(0).values
    turn = torch.empty_like(rank)
    turn[at] = rank
    for n in range(int(rank.max()) + 1):
        yield turn == n
