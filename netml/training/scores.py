"""Scores of a free-running reduction, and the threshold that makes its rate true."""

import math

import numpy as np

from netml import metrics


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve; NaN without both classes."""
    return _number(metrics.roc_auc(score, label))


def explained_variance(v: np.ndarray, v_true: np.ndarray, v_clip_mv: float) -> float:
    """Of the voltage, both clipped; NaN where the truth does not move."""
    v, v_true = np.minimum(v, v_clip_mv).astype(float), np.minimum(v_true, v_clip_mv).astype(float)
    return _number(metrics.explained_variance(v_true, v))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def calibrate(run, spikes: int, start: np.ndarray, rounds: int):
    """Threshold at which a free-running model emits as many spikes as the cell.

    Args:
        run: threshold -> (outcome, spikes emitted).
        spikes: True number.
        start: Logits of an earlier run: their quantile is the first guess.
        rounds: Runs to spend.

    Returns:
        threshold, outcome and spikes emitted, of the best run.
    """
    guess = float(np.partition(start, -spikes)[-spikes])
    low, high, step = -np.inf, np.inf, 0.5
    best = None
    for _ in range(rounds):
        outcome, emitted = run(guess)
        if best is None or abs(emitted - spikes) < abs(best[2] - spikes):
            best = (guess, outcome, emitted)
        if emitted == spikes:
            break
        if emitted > spikes:
            low = guess
        else:
            high = guess
        if np.isfinite(low) and np.isfinite(high):
            guess = 0.5 * (low + high)
        else:
            guess, step = guess + (step if emitted > spikes else -step), 2 * step
    return best
