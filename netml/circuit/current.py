"""Current into the soma of a cell as plain data.

A current is piecewise constant: two arrays, the times (ms) at which it changes and what it changes to (nA).  It is 0
before the first change and stays after the last.  Sums of NEURON's IClamps are of this form without loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from netml.errors import ModelError


class Clamp(NamedTuple):
    """One current step, as NEURON's IClamp has it: start and duration in ms, amplitude in nA."""

    start_ms: float
    duration_ms: float
    amplitude_na: float

    @classmethod
    def of(cls, stim: Mapping[str, Any], where: str) -> Clamp:
        """From the parameters of a NetPyNE stimulation of type IClamp (``del`` or ``delay``, ``dur``, ``amp``).

        Args:
            stim: The parameters, ms and nA.
            where: What the message calls it.

        Raises:
            ModelError: A value that is no finite number, or a negative duration.
        """
        given = {"del": stim.get("delay", 0.0), "dur": 0.0, "amp": 0.0}
        given = {name: stim.get(name, value) for name, value in given.items()}
        for name, value in given.items():
            if not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
                unit = "nA" if name == "amp" else "ms"
                raise ModelError(f"{where} has {name} = {value!r}; expected a number, {unit}")
        if given["dur"] < 0:
            raise ModelError(f"{where} lasts {given['dur']} ms; expected 0 or more")
        start, end = max(float(given["del"]), 0.0), float(given["del"]) + float(given["dur"])
        return cls(start, max(end - start, 0.0), float(given["amp"]))


def total(clamps: Iterable[Clamp]) -> tuple[np.ndarray, np.ndarray]:
    """The sum of some clamps: times (changes) ms, ascending and unlike, and the current (changes) nA from then on."""
    clamps = [clamp for clamp in clamps if clamp.duration_ms > 0 and clamp.amplitude_na != 0]
    edges = np.array([[start, start + duration] for start, duration, _ in clamps]).reshape(-1, 2)
    time = np.unique(edges)
    current = np.zeros(time.size)
    for (start, end), clamp in zip(edges, clamps, strict=True):
        current[(time >= start) & (time < end)] += clamp.amplitude_na
    return time, current


def mean_of_steps(time: np.ndarray, current: np.ndarray, steps: int, dt_ms: float) -> np.ndarray:
    """(steps) float64 nA: the exact mean of a current over each step [n dt, (n + 1) dt)."""
    if not time.size or not steps:
        return np.zeros(steps)
    borders = np.arange(steps + 1) * dt_ms
    knots = np.concatenate([[min(0.0, time[0])], time, [max(borders[-1], time[-1])]])
    charge = np.concatenate([[0.0], np.cumsum(np.concatenate([[0.0], current]) * np.diff(knots))])
    return np.diff(np.interp(borders, knots, charge)) / dt_ms
