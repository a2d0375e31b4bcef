"""Artificial input for a reduction, from the rates and weights of its synapse sites in training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from netml.artifact import Artifact
from netml.reductions import kernel
from netml.reductions.kernel import LANES
from netml.training.recurrence import EventTable, Recurrence, Window

FALLBACK_HZ = 5.0  # rate of a synapse site, where an artifact does not say how long it was trained


class Events(NamedTuple):
    """Events of one lane: step, synapse site and weight (uS) of each."""

    step: np.ndarray
    synapse_site: np.ndarray
    weight: np.ndarray

    @classmethod
    def join(cls, *parts: "Events") -> "Events":
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def until(self, stop: int) -> "Events":
        return Events(*(array[self.step < stop] for array in self))

    def later(self, steps: int) -> "Events":
        return self._replace(step=self.step + steps)


NOTHING = Events(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


@dataclass
class Outcome:
    """Of 16 lanes: (steps, 16) each, and the state behind them."""

    logit: np.ndarray
    v_mv: np.ndarray
    spike: np.ndarray
    state: np.ndarray


class Driver:
    """Draws events like those of the training, and runs the reduction free on them.

    Attributes:
        dt_ms: Step of the reduction.
        current_range_na: Lowest and highest current of the training; None for a reduction that takes none.
        types: Synapse types.
        excites: (types) bool, found by trial: whether more of its events raise the logit.
        rate: (synapse_sites) events a step in training. weight_us: (synapse_sites) typical weight of the synapse type.
    """

    def __init__(self, artifact: Artifact, seed: int = 0):
        header, arrays = artifact.header, artifact.arrays
        self.reduction = kernel.Reduction.of(artifact)
        self.dt_ms = float(header["dt_r_ms"])
        self.types = list(header["synapses"])
        self._synapse_site_input, self._gain = arrays["channel_input"], arrays["channel_gain"]
        self.type = np.arange(artifact.synapse_sites) % len(self.types)
        self.current_range_na = header["current_range_na"] if header.get("current") else None
        seen = arrays["channel_seen"]
        seconds = header["provenance"].get("training_seconds")
        hz = seen / seconds if seconds else FALLBACK_HZ * (seen > 0)
        self.rate = hz * self.dt_ms / 1000.0
        if self.current_range_na:
            self.rate[-1] = 0.0  # the last synapse site is no synapse
        log_weight = -np.log(np.maximum(self._gain, 1e-12))
        typical = [np.exp(log_weight[(self.type == s) & (seen > 0)].mean()) if (seen[self.type == s] > 0).any() else 0.0
                   for s in range(len(self.types))]  # fmt: skip
        self.weight_us = np.asarray(typical)[self.type]
        self.random = np.random.default_rng(seed)
        self.excites = self._find_excitation()

    def poisson(self, steps: int, factors: ArrayLike, weight: float = 1.0) -> Events:
        """Independent events on all synapse sites that training saw.

        Args:
            steps: How many steps they spread over.
            factors: (types) of the rates of training.
            weight: Factor of the typical weights.
        """
        rate = self.rate * np.asarray(factors, float)[self.type]
        total = rate.sum()
        n = self.random.poisson(total * steps)
        synapse_site = self.random.choice(rate.size, n, p=rate / total) if n else np.zeros(0, int)
        return Events(self.random.integers(0, steps, n), synapse_site.astype(np.int32),
                      (weight * self.weight_us[synapse_site]).astype(np.float32))  # fmt: skip

    def every_input(self, step: ArrayLike, weight: float, types: ArrayLike | None = None) -> Events:
        """One event at each input of the reduction at the given steps, as strong as ``weight`` typical ones together.

        Args:
            step: (n) steps at which they come.
            weight: How many typical events one is worth.
            types: (types) bool, which take part; all by default.
        """
        usable = (self.rate > 0) & (np.ones(len(self.types), bool) if types is None else np.asarray(types))[self.type]
        inputs, first = np.unique(np.where(usable, self._synapse_site_input, -1), return_index=True)
        synapse_site = first[inputs >= 0]
        step = np.asarray(step)
        return Events(np.repeat(step, synapse_site.size), np.tile(synapse_site, step.size).astype(np.int32),
                      np.tile(weight * self.weight_us[synapse_site], step.size).astype(np.float32))  # fmt: skip

    def current(self, step: ArrayLike, na: float) -> Events:
        """A current into the soma at the given steps, nA; of a reduction that takes one."""
        step = np.asarray(step)
        return Events(step, np.full(step.size, self.type.size - 1, np.int32), np.full(step.size, na, np.float32))

    def run(
        self, lanes: list[Events], steps: int, *, repeats: int = 1, each: Callable[[Outcome], object] | None = None
    ) -> Outcome:
        """Run up to 16 lanes of events from rest, ``repeats`` times one after the other without a break.

        Args:
            lanes: Events of each lane.
            steps: Length of a run.
            repeats: How many runs.
            each: Called with the outcome of every repeat; the last is returned.
        """
        row, synapse_site, weight = (np.concatenate(parts) for parts in zip(
            *((events.step + lane * steps, events.synapse_site, events.weight) for lane, events in enumerate(lanes)),
            strict=True))  # fmt: skip
        order = np.argsort(row, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=LANES * steps))]).astype(np.int64)
        table = EventTable(start, synapse_site[order].astype(np.int32), weight[order].astype(np.float32))
        r = self.reduction
        recurrence = Recurrence(kernel.load(), r.dims, r.wiring, self._synapse_site_input, table, threads=1)
        try:
            first = np.arange(LANES, dtype=np.int64)[None] * steps
            window = Window(steps, first, np.full((1, LANES), steps, np.int32), np.zeros((1, steps, LANES), np.uint8),
                            np.ones((1, LANES), np.uint8), recurrence.rest(r.params, 1))  # fmt: skip
            for _ in range(repeats):
                logit, v, spike = recurrence.run(r.params, self._gain, r.threshold, window)
                outcome = Outcome(logit[0], v[0], spike[0].astype(bool), window.state[0])
                if each:
                    each(outcome)
        finally:
            recurrence.close()
        return outcome

    def _find_excitation(self) -> np.ndarray:
        steps = round(1000 / self.dt_ms)
        base = [self.poisson(steps, np.full(len(self.types), 0.5)) for _ in range(LANES)]
        plain = self.run(base, steps).logit.mean()
        found = []
        for s in range(len(self.types)):
            more = [Events.join(b, self.poisson(steps, 0.3 * (np.arange(len(self.types)) == s))) for b in base]
            found.append(self.run(more, steps).logit.mean() > plain)
        return np.array(found)
