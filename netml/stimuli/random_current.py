"""Random currents into the soma of single cells, in units of the current at which the cell begins to fire.

Only numpy here: the same trial comes out of the same (seed, trial number) on any number of ranks.
"""

from __future__ import annotations

import numpy as np

#: ``steps``: one step after another, nothing else: the f-I curve.  ``currents``: steps, a ramp or noise over synaptic
#: input of any strength.
KINDS = ("steps", "currents")
STEP_RANGE, MIXED_RANGE = (-1.0, 4.0), (-1.0, 2.0)
#: Kind of synaptic input (see :mod:`netml.stimuli.random_input`) under a trial of ``currents``.
UNDER = ("silence", "sparse", "dense")


def draw_current(
    kind: str, scale_na: float, duration_ms: float, seed: int, trial: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """The current of one trial.

    Args:
        kind: Of :data:`KINDS`.
        scale_na: Current at which the cell begins to fire.
        duration_ms: Whole milliseconds.
        seed: Of the protocol.
        trial: Its number.

    Returns:
        Times (changes) ms and currents (changes) nA as in :mod:`netml.circuit.current`, whole milliseconds; and the
        kind of synaptic input under it, "" for none.
    """
    rng = np.random.default_rng([seed, trial, KINDS.index(kind)])
    steps = int(duration_ms)
    if kind == "steps":
        return *_changes(scale_na * _stretches(rng, steps, STEP_RANGE, rest=0.2)), ""
    under = str(rng.choice(UNDER))
    course = (_stretches, _ramp, _noise)[rng.integers(3)](rng, steps, MIXED_RANGE)
    return *_changes(scale_na * course), under


def _changes(course: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What changes in a current a millisecond."""
    at = np.flatnonzero(np.diff(course, prepend=0.0))
    return at.astype(float), course[at]


def _stretches(rng, steps: int, limits, rest: float = 0.4) -> np.ndarray:
    """Constant stretches of 100 to 800 ms, a share of them without current."""
    course = np.zeros(steps)
    at = int(rng.integers(20, 100))
    while at < steps:
        length = int(np.exp(rng.uniform(np.log(100), np.log(800))))
        course[at : at + length] = 0.0 if rng.random() < rest else rng.uniform(*limits)
        at += length
    return course


def _ramp(rng, steps: int, limits) -> np.ndarray:
    """Up or down in a straight line, then held."""
    start, length = int(rng.integers(0, steps // 2 + 1)), int(rng.uniform(0.1, 1.0) * steps) + 1
    return np.interp(np.arange(steps), [start, start + length], rng.uniform(*limits, 2), left=0.0)


def _noise(rng, steps: int, limits) -> np.ndarray:
    """An Ornstein-Uhlenbeck process, one value a millisecond."""
    from scipy.signal import lfilter

    mean, spread = 0.5 * rng.uniform(*limits), np.exp(rng.uniform(np.log(0.1), np.log(1.0)))
    keep = np.exp(-1.0 / np.exp(rng.uniform(np.log(1.0), np.log(100.0))))
    driven = spread * np.sqrt(1 - keep**2) * rng.standard_normal(steps)
    return mean + lfilter([1.0], [1.0, -keep], driven, zi=[keep * spread * rng.standard_normal()])[0]
