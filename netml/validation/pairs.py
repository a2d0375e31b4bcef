"""Connections of a model against published pair recordings: features of the somatic potential, as z values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from netml.circuit.connections import Pair
from netml.engine.experiments.paired_recording import SAMPLE_MS


def rows(pair: Pair, potentials: Sequence[Mapping[float | None, np.ndarray]]) -> list[dict[str, Any]]:
    """A row for each recorded feature of a connection, as of :func:`netml.validation.physiology.scores`.

    Args:
        pair: The connection type and its recordings.
        potentials: Of each pair, mV every SAMPLE_MS from the first spike on, by the interval to a second one.
    """
    found = []
    for one in pair.recorded:
        values = [measure(each, one.feature, one.interval_ms) for each in potentials]
        known = [v for v in values if v is not None]
        value = float(np.mean(known)) if len(known) == len(values) else None
        found.append({
            "cell": pair.name, "protocol": f"held at {pair.hold_mv:g} mV", "feature": one.feature,
            "target": one.target, "sd": one.sd, "value": value,
            "z": None if value is None else (value - one.target) / one.sd, "source": one.source,
        })  # fmt: skip
    return found


def measure(potentials: Mapping[float | None, np.ndarray], feature: str, interval_ms: float | None) -> float | None:
    """A feature of one pair's potential; None where it has not fallen far enough for one to be measured."""
    single = potentials[None]
    if feature == "paired_pulse_ratio":
        assert interval_ms is not None, "find_pairs refuses a ratio without an interval"
        # What the second spike adds: the whole less the response to the first alone, from the second on.
        size, start = min(single.size, potentials[interval_ms].size), round(interval_ms / SAMPLE_MS)
        return peak(potentials[interval_ms][start:size] - single[start:size]) / peak(single)
    if feature == "amplitude_mv":
        return peak(single)
    shape = single / peak(single)
    top = int(shape.argmax())
    low, half, high = (crossing(shape[: top + 1], level) for level in (0.2, 0.5, 0.8))
    assert low is not None and half is not None and high is not None, "the peak of the shape is 1"
    if feature == "rise_20_80_ms":
        return SAMPLE_MS * (high - low)
    falling = -shape[top:]
    if feature == "half_width_ms":
        end = crossing(falling, -0.5)
        return None if end is None else SAMPLE_MS * (top + end - half)
    first, last = crossing(falling, -0.8), crossing(falling, -0.2)
    if first is None or last is None:
        return None
    part = shape[top + int(np.ceil(first)) : top + int(last) + 1]
    return -SAMPLE_MS / float(np.polyfit(np.arange(part.size), np.log(part), 1)[0])


def peak(potential: np.ndarray) -> float:
    """The extreme value, with its sign."""
    return float(potential[np.abs(potential).argmax()])


def crossing(values: np.ndarray, level: float) -> float | None:
    """Where values first rise to a level, as an index with its fraction; None: never."""
    above = np.flatnonzero(values >= level)
    if not above.size:
        return None
    k = int(above[0])
    return float(k) if k == 0 else k - (values[k] - level) / (values[k] - values[k - 1])
