"""Spike trains of NetPyNE's NetStims and VecStims, made as the time goes on, the same on any number of ranks.

A NetStim's intervals are (1 - noise) x interval plus an exponential part of mean noise x interval; the first spike
stands noise x interval after `start` on average (NEURON's netstim.mod).
"""

from typing import Any

import numpy as np

from netml.errors import ModelError
from netml.network.draws import key, keys, uniform

#: Of a train: spikes made, and the time of the next (ms).
STATE = np.dtype([("count", "i8"), ("next", "f8")])


class Trains:
    """Renewal trains, one a number.

    Args:
        own: (trains) key of each.
        interval_ms, noise, start_ms, number: Numbers or (trains); number is how many spikes there are at most.
        where: For messages.
        delay_ms: Added to every spike.

    Raises:
        ModelError: A value out of its range.
    """

    def __init__(self, own: np.ndarray, interval_ms, noise, start_ms, number, where: str, delay_ms=0.0):
        self._keys = own
        self._interval, self._noise = np.asarray(interval_ms, float), np.asarray(noise, float)
        self._number = np.asarray(number, float)
        start = np.asarray(start_ms, float)
        for name, value, fits in (
            ("interval", self._interval, self._interval > 0), ("start", start, np.isfinite(start)),
            ("noise", self._noise, np.abs(self._noise - 0.5) <= 0.5), ("number", self._number, self._number >= 0),
        ):  # fmt: skip
            if not np.all(fits):
                raise ModelError(f"{where} has {name} {np.extract(~fits, value)[0]}; expected a positive interval or "
                                 "rate, noise 0 to 1, a finite start and number 0 or more")  # fmt: skip
        self._count = np.zeros(len(own), np.int64)
        runs = (self._number > 0) & (start >= 0) & np.isfinite(self._interval)
        with np.errstate(invalid="ignore"):  # of an infinite interval, which never runs
            first = start - self._interval * (1 - self._noise) + self._gap(slice(None))
        self._next = np.where(runs, np.maximum(first, 0.0) + delay_ms, np.inf)

    def __len__(self) -> int:
        return len(self._keys)

    def until(self, end_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """The further spikes before a time: trains and times (ms), in no order."""
        trains, times = [], []
        due = np.flatnonzero(self._next < end_ms)
        while len(due):
            trains.append(due)
            times.append(self._next[due])
            self._count[due] += 1
            following = self._next[due] + self._gap(due)
            self._next[due] = np.where(
                self._count[due] < np.broadcast_to(self._number, len(self))[due], following, np.inf
            )
            due = due[self._next[due] < end_ms]
        if not trains:
            return np.empty(0, np.int64), np.empty(0)
        return np.concatenate(trains), np.concatenate(times)

    def state(self) -> np.ndarray:
        """(trains) how many spikes were made, and the next one's time (ms)."""
        state = np.empty(len(self), STATE)
        state["count"], state["next"] = self._count, self._next
        return state

    def check(self, state: np.ndarray, now_ms: float, where: str) -> None:
        """Refuse a state that is not of this time.

        Raises:
            ModelError: A count below 0, or a next spike before now or at no time.
        """
        good = (state["count"] >= 0) & (state["next"] >= now_ms)
        if not good.all():
            count, following = state[~good][0].tolist()
            raise ModelError(f"{where} has a train of {count} spikes so far and the next at {following} ms; expected "
                             f"0 or more, and {now_ms} ms (now) or later")  # fmt: skip

    def resume(self, state: np.ndarray, now_ms: float) -> None:
        """Go on from a state."""
        self._count, self._next = state["count"].copy(), state["next"].copy()

    def _gap(self, which) -> np.ndarray:
        """The next interval of trains."""
        interval, noise = (np.broadcast_to(a, len(self))[which] for a in (self._interval, self._noise))
        if not np.any(noise):
            return interval.copy()
        drawn = -np.log(uniform(self._keys[which], self._count[which]))
        return interval * (1 - noise) + interval * noise * drawn


class FixedTrains:
    """Trains given by their spikes.

    Args:
        times: Spike times (ms) by train.
    """

    def __init__(self, times: list[np.ndarray]):
        which = np.repeat(np.arange(len(times)), [len(one) for one in times])
        every = np.concatenate([*times, np.empty(0)])
        order = np.lexsort((which, every))
        self._which, self._times, self._at, self._size = which[order], every[order], 0, len(times)

    def __len__(self) -> int:
        return self._size

    def until(self, end_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """The further spikes before a time: trains and times (ms)."""
        start, self._at = self._at, int(np.searchsorted(self._times, end_ms))
        return self._which[start : self._at], self._times[start : self._at]

    def state(self) -> np.ndarray:
        """Nothing: where they stand follows from the time."""
        return np.zeros(len(self), STATE)

    def check(self, state: np.ndarray, now_ms: float, where: str) -> None:
        """Nothing to check: where they stand follows from the time."""

    def resume(self, state: np.ndarray, now_ms: float) -> None:
        """Go on from a time."""
        self._at = int(np.searchsorted(self._times, now_ms))


def own_keys(seed: Any, gids: np.ndarray) -> np.ndarray:
    """Keys of NetStims on or as cells; as in NetPyNE, those of one cell and one seed are the same train."""
    seeds = np.broadcast_to(np.asarray(seed, np.int64), len(gids))
    unique, which = np.unique(seeds, return_inverse=True)
    return keys(np.array([key("NetStim", int(one)) for one in unique], np.uint64)[which], gids)


def interval_of(params: dict, where: str) -> Any:
    """Mean interval (ms) of a NetStim's rate (Hz) or interval.

    Raises:
        ModelError: Neither is there, or one is no number.
    """
    name = next((name for name in ("rate", "interval") if name in params), None)
    if name is None:
        raise ModelError(f"{where} has neither rate nor interval")
    try:
        value = np.asarray(params[name], float)
    except (TypeError, ValueError):
        raise ModelError(f"{where} has {name} {params[name]!r}; netml.build takes a number") from None
    with np.errstate(divide="ignore"):
        return 1000.0 / value if name == "rate" else value
