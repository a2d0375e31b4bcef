"""Scores of a free-running reduction, and the threshold that makes its rate true."""

import numpy as np
from scipy.stats import rankdata


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve (Mann-Whitney), ties counted half; NaN without both classes."""
    positive = int(label.sum())
    negative = label.size - positive
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[label > 0].sum() - positive * (positive + 1) / 2) / (positive * negative))


def explained_variance(v: np.ndarray, v_true: np.ndarray, v_clip_mv: float) -> float:
    """1 - mean squared error / variance, both clipped."""
    v, v_true = np.minimum(v, v_clip_mv).astype(float), np.minimum(v_true, v_clip_mv).astype(float)
    variance = v_true.var()
    return float(1 - np.mean((v - v_true) ** 2) / variance) if variance > 0 else float("nan")


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
