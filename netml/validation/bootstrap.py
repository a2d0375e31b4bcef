"""95 % confidence intervals of the scores of a reduced cell, by the bootstrap over trials.

Trials are drawn with replacement (Efron 1979, 10.1214/aos/1176344552; percentile intervals), because bins of one trial
depend on each other. Every score is a function of sums over trials, so a resample is a weighted sum and nothing is
sorted or run again.
"""

from collections.abc import Callable

import numpy as np

from netml.metrics import area, true_positives_at
from netml.validation import spikes
from netml.validation.cell_metrics import MIN_SD_MV, Prediction, clipped, pooled, probability

RESAMPLES = 1000
MIN_TRIALS = 5  # fewer say nothing about how trials differ
CHUNK = 100
BORDERS = 2000  # scores that the ROC curve is resolved at; with fewer spikes it is exact
QUANTILES = (0.025, 0.975)


def intervals(predictions: list[Prediction], skip_ms: float, v_clip_mv: float, shift: int = 0) -> dict:
    """Intervals of the main scores.

    Args:
        predictions: The trials; the same draws whatever their content.
        skip_ms: Start of each that does not count.
        v_clip_mv: Where the voltages are clipped, and below which the truth counts.
        shift: Bins that the model is read later (of spike detection alone).

    Returns:
        ``auc``, ``tp_at_0.25_fp``, ``tp_at_1_fp``, ``explained_variance_clipped``, ``explained_variance_below``,
        ``gamma``, ``rate_error``, ``isi_model_ms``, ``brier``: [low, high], or None where it is undefined: fewer than
        5 trials, or a score that one resample in twenty does not have.
    """
    names = ("auc", "tp_at_0.25_fp", "tp_at_1_fp", "explained_variance_clipped", "explained_variance_below", "gamma",
             "rate_error", "isi_model_ms", "brier")  # fmt: skip
    predictions = [p for p in predictions if p.duration_ms(skip_ms) > 0]
    if (n := len(predictions)) < MIN_TRIALS:
        return dict.fromkeys(names)
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(float)
    bins = [pooled([p], skip_ms, shift) for p in predictions]
    trains = [(*p.spike_trains(skip_ms), p.duration_ms(skip_ms)) for p in predictions]
    values = detection(bins, draws)
    for name, keep in (("clipped", {"clip_mv": v_clip_mv}), ("below", {"below_mv": v_clip_mv})):
        sums = np.array([voltage_sums(*clipped([p], skip_ms, **keep)) for p in predictions])
        values[f"explained_variance_{name}"] = over(draws, sums, explained)
    coincidences = np.array([spikes.coincidence_sums(*train) for train in trains])
    values["gamma"] = over(draws, coincidences, spikes.gamma_of_sums)
    values["rate_error"] = over(draws, coincidences, lambda s: s[1] / s[0] - 1 if s[0] else None)
    isi = np.array([[len(i), i.sum()] for i in (np.diff(train[1]) for train in trains)])
    values["isi_model_ms"] = over(draws, isi, lambda s: s[1] / s[0] if s[0] else None)
    squares = np.array([[len(logit), ((probability(logit) - true) ** 2).sum()] for logit, true in bins])
    values["brier"] = over(draws, squares, lambda s: s[1] / s[0])
    return {name: interval(values[name]) for name in names}


def interval(values) -> list[float] | None:
    """[low, high] of the resamples' values; NaN: undefined in one."""
    values = np.asarray(values, float)
    if np.isnan(values).mean() > 0.05:
        return None
    return [float(q) for q in np.nanquantile(values, QUANTILES)]


def over(draws: np.ndarray, sums: np.ndarray, score: Callable) -> list[float]:
    """Score of every resample from sums (trials, quantities); NaN where it is None."""
    return [np.nan if (value := score(row)) is None else value for row in draws @ sums]


def detection(bins, draws: np.ndarray) -> dict[str, list[float]]:
    """AUC and true positives of every resample.

    Scores are counted, trial by trial, between and at those of the true spikes: only there does the ROC curve rise.
    """
    positive = np.unique(np.concatenate([logit[true] for logit, true in bins]))
    found: dict[str, list[float]] = {"auc": [], "tp_at_0.25_fp": [], "tp_at_1_fp": []}
    if not len(positive):
        return {name: [np.nan] for name in found}
    if len(positive) > BORDERS:
        positive = np.unique(np.quantile(positive, np.linspace(0, 1, BORDERS), method="nearest"))
    cells = 2 * len(positive) + 1
    counts = np.zeros((2, len(bins), cells))  # without and with a spike
    for k, (logit, true) in enumerate(bins):
        cell = np.searchsorted(positive, logit, "left") + np.searchsorted(positive, logit, "right")
        counts[0, k] = np.bincount(cell[~true], minlength=cells)
        counts[1, k] = np.bincount(cell[true], minlength=cells)
    for start in range(0, len(draws), CHUNK):
        some = draws[start : start + CHUNK]
        false, hits = (np.cumsum((some @ c)[:, ::-1], axis=1) for c in counts)
        for f, h in zip(false, hits, strict=True):
            curve = (np.append(0.0, f / f[-1]), np.append(0.0, h / h[-1])) if h[-1] > 0 and f[-1] > 0 else None
            found["auc"].append(area(*curve) if curve else np.nan)
            for name, rate in (("tp_at_0.25_fp", 0.0025), ("tp_at_1_fp", 0.01)):
                found[name].append(true_positives_at(*curve, rate) if curve else np.nan)
    return found


def voltage_sums(true: np.ndarray, model: np.ndarray) -> list[float]:
    """Samples, sum and sum of squares of the truth (about -65 mV), sum of squared errors."""
    centred = true + 65.0
    return [len(true), centred.sum(), (centred**2).sum(), ((true - model) ** 2).sum()]


def explained(sums) -> float | None:
    """Explained variance from :func:`voltage_sums`; None where the truth hardly moves."""
    samples, total, squares, errors = sums
    variance = squares / samples - (total / samples) ** 2 if samples else 0.0
    return 1.0 - errors / samples / variance if variance > MIN_SD_MV**2 else None
