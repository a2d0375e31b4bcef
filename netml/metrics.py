"""Scores of a predicted spike train and voltage against the true ones: the one definition, for training and validation.

Pure functions on numpy arrays.
"""

import numpy as np


def roc_curve(score: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Exact receiver operating characteristic; equal scores make one sloped step, so its area is the exact AUC.

    Args:
        score: (n) higher means more likely a spike.
        target: (n) whether there is one.

    Returns:
        False and true positive rate, both from 0 to 1; None without both classes.
    """
    score, target = np.asarray(score), np.asarray(target, bool)
    n_true = int(target.sum())
    if n_true == 0 or n_true == len(target):
        return None
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(target[order])[last_of_tie]
    false = last_of_tie + 1 - hits
    return np.append(0.0, false / (len(target) - n_true)), np.append(0.0, hits / n_true)


def area(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Area under a ROC curve."""
    return float(np.trapezoid(tpr, fpr))


def roc_auc(score: np.ndarray, target: np.ndarray) -> float | None:
    """Area under the ROC curve: how often a bin with a spike outscores one without, ties half; None if undefined."""
    curve = roc_curve(score, target)
    return None if curve is None else area(*curve)


def true_positives_at(fpr: np.ndarray, tpr: np.ndarray, rate: float) -> float:
    """True positive rate where the false positive rate is ``rate`` (linear between the points of the ROC curve)."""
    # on a vertical step of the curve take its top
    right = np.searchsorted(fpr, rate, "right")
    if right == len(fpr):
        return 1.0
    x0, x1, y0, y1 = fpr[right - 1], fpr[right], tpr[right - 1], tpr[right]
    return float(y0 + (y1 - y0) * (rate - x0) / (x1 - x0))


def explained_variance(true: np.ndarray, predicted: np.ndarray, least_sd: float = 0.0) -> float | None:
    """1 - mean (true - predicted)^2 / Var(true), so that a constant offset counts too.

    Args:
        true: (n) in any unit.
        predicted: (n) in the same unit.
        least_sd: Standard deviation that the truth must exceed: a ratio of noises says nothing.

    Returns:
        None where the truth does not move so much.
    """
    if len(true) < 2 or not np.std(true) > least_sd:
        return None
    return float(1.0 - np.mean((true - predicted) ** 2) / np.var(true))
