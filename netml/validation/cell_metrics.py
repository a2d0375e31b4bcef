"""How well a reduced cell predicts the detailed one: pure functions on numpy arrays.

A *prediction* of a trial (`Prediction`) holds, a time step of the reduction: the logit of a spike, the soma voltage and
the emitted spikes of the model, and the same of the detailed cell. Everything below sums over such trials.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from netml.metrics import explained_variance, roc_auc, roc_curve, true_positives_at
from netml.validation import spikes

PUBLISHED_SKIP_MS = 500.0
PUBLISHED_CLIP_MV = -55.0
PUBLISHED_SPIKES = (1, 24)
CALIBRATION_EDGES = np.array([0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
MIN_SD_MV = 0.05


@dataclass(frozen=True)
class Prediction:
    """Model and truth of one trial, T bins of ``dt_ms``; bin n ends at (n + 1) dt_ms.

    A bin is a step of the reduction, or the steps of a millisecond where these are shorter.
    """

    kind: str
    dt_ms: float
    logit: np.ndarray  # [T] logit of a spike, free-running
    v_mv: np.ndarray  # [T] soma voltage of the model at the end of the step
    spike: np.ndarray  # [T] bool, spikes the model emits (at the end of the step)
    true_v_mv: np.ndarray  # [T] soma voltage of the detailed cell at the same times
    true_spike: np.ndarray  # [T] bool, step to which each true spike belongs
    true_spike_ms: np.ndarray  # true spike times, not binned, sorted
    input_us_per_s: np.ndarray | None = None  # [synapse types] weights of the trial's events, summed, a second
    current_na: np.ndarray | None = None  # [T] mean of the current into the soma over the step; None: none
    events: int = 0  # number of synaptic events
    #: [steps] bool, an input passes what it got in training; None: an older artifact
    past_training_range: np.ndarray | None = None

    def after(self, skip_ms: float) -> int:
        """Index of the first step that starts at or after ``skip_ms``."""
        return int(np.ceil(skip_ms / self.dt_ms - 1e-6))

    def duration_ms(self, skip_ms: float = 0.0) -> float:
        return (len(self.logit) - self.after(skip_ms)) * self.dt_ms

    def spike_trains(self, skip_ms: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Return true and emitted spike times [ms] that lie at or after ``skip_ms``."""
        model = (np.flatnonzero(self.spike) + 1) * self.dt_ms
        return self.true_spike_ms[self.true_spike_ms >= skip_ms], model[model >= skip_ms]


# ---- spikes as detection ------------------------------------------------------------------------------------------


def pooled(predictions: list[Prediction], skip_ms: float, shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and true spike bins of all trials, the model read ``shift`` bins later (> 0: the model is late).

    Bins that a shift would pair across the edge of a trial are left out.
    """
    scores, targets = [np.zeros(0)], [np.zeros(0, bool)]
    for p in predictions:
        steps = np.arange(max(p.after(skip_ms), -shift, 0), len(p.logit) - max(shift, 0))
        scores.append(p.logit[steps + shift])
        targets.append(p.true_spike[steps])
    return np.concatenate(scores), np.concatenate(targets)


def detection(predictions: list[Prediction], skip_ms: float = 0.0, max_shift: int = 1) -> dict[str, Any]:
    """ROC AUC and true positives at 0.25 % and 1 % false positives.

    The headline figures are taken without shift. ``auc_best_shift`` allows one constant shift of at most ``max_shift``
    bins for all trials and says which (``shift_bins`` > 0: the model is late).
    """
    curve = roc_curve(*pooled(predictions, skip_ms))
    if curve is None:
        return {key: None for key in ("auc", "tp_at_0.25_fp", "tp_at_1_fp", "auc_best_shift", "shift_bins")}
    by_shift = {s: roc_auc(*pooled(predictions, skip_ms, s)) for s in range(-max_shift, max_shift + 1)}
    best = max((s for s in by_shift if by_shift[s] is not None), key=lambda s: (by_shift[s], -abs(s)))
    return {
        "auc": by_shift[0],
        "tp_at_0.25_fp": true_positives_at(*curve, 0.0025),
        "tp_at_1_fp": true_positives_at(*curve, 0.01),
        "auc_best_shift": by_shift[best],
        "shift_bins": best,
    }


def probability(logit: np.ndarray) -> np.ndarray:
    """Logistic function that cannot overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logit.astype(float)))


def calibration(
    predictions: list[Prediction], skip_ms: float = 0.0, edges: np.ndarray = CALIBRATION_EDGES
) -> dict[str, Any]:
    """Predicted spike probability a bin against the observed frequency.

    Returns:
        dict: ``brier`` (mean squared error of the probability), ``brier_skill`` (1 - brier / brier of always saying the
        mean rate), ``ece`` (expected calibration error over ``edges``), and ``bins``: predicted mean, observed
        frequency and count of every bin of probability that is not empty.
    """
    logit, target = pooled(predictions, skip_ms)
    if not len(logit):
        return {"brier": None, "brier_skill": None, "ece": None, "bins": []}
    p = probability(logit)
    which = np.clip(np.searchsorted(edges, p, "right") - 1, 0, len(edges) - 2)
    count = np.bincount(which, minlength=len(edges) - 1)
    predicted = np.bincount(which, p, len(edges) - 1)
    observed = np.bincount(which, target, len(edges) - 1)
    base = target.mean() * (1.0 - target.mean())
    brier = float(np.mean((p - target) ** 2))
    return {
        "brier": brier,
        "brier_skill": float(1.0 - brier / base) if base > 0 else None,
        "ece": float(np.abs(predicted - observed).sum() / len(p)),
        "bins": [
            {
                "predicted": float(predicted[k] / count[k]),
                "observed": float(observed[k] / count[k]),
                "count": int(count[k]),
            }
            for k in np.flatnonzero(count)
        ],
    }


# ---- voltage ------------------------------------------------------------------------------------------------------


def clipped(
    predictions: list[Prediction], skip_ms: float = 0.0, clip_mv: float | None = None, below_mv: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """True and model's soma voltage, all trials pooled.

    Args:
        predictions: of the trials.
        skip_ms: start of each trial that does not count.
        clip_mv: both voltages are clipped from above at this value (the published way: spikes become plateaus).
        below_mv: instead, only samples where the *true* voltage is below this value; the prediction as it is.
    """
    true = np.concatenate([np.zeros(0)] + [p.true_v_mv[p.after(skip_ms) :] for p in predictions]).astype(float)
    model = np.concatenate([np.zeros(0)] + [p.v_mv[p.after(skip_ms) :] for p in predictions]).astype(float)
    if clip_mv is not None:
        true, model = np.minimum(true, clip_mv), np.minimum(model, clip_mv)
    if below_mv is not None:
        keep = true < below_mv
        true, model = true[keep], model[keep]
    return true, model


def voltage(
    predictions: list[Prediction], skip_ms: float = 0.0, clip_mv: float | None = None, below_mv: float | None = None
) -> dict[str, Any]:
    """Explained variance and RMSE of the soma voltage, all trials pooled; arguments of :func:`clipped`."""
    true, model = clipped(predictions, skip_ms, clip_mv, below_mv)
    rmse = float(np.sqrt(np.mean((true - model) ** 2))) if len(true) else None
    return {"explained_variance": explained_variance(true, model, MIN_SD_MV), "rmse_mv": rmse, "samples": len(true)}


# ---- emitted spikes -----------------------------------------------------------------------------------------------


def emitted_spikes(
    predictions: list[Prediction], skip_ms: float = 0.0, window_ms: float = spikes.COINCIDENCE_MS
) -> dict[str, Any]:
    """Compare the spikes that the model emits with the true ones: counts, rates, Gamma, ISI and CV distributions."""
    trials = [(*p.spike_trains(skip_ms), p.duration_ms(skip_ms)) for p in predictions]
    trials = [t for t in trials if t[2] > 0]
    seconds = sum(t[2] for t in trials) / 1000.0
    n_true, n_model = sum(len(t[0]) for t in trials), sum(len(t[1]) for t in trials)
    true, model = [t[0] for t in trials], [t[1] for t in trials]
    isi = spikes.intervals(true), spikes.intervals(model)
    cv = spikes.cv_of_isi(true), spikes.cv_of_isi(model)
    per_trial = np.array([(len(m) - len(r)) / (ms / 1000.0) for r, m, ms in trials])
    return {
        "spikes_true": n_true,
        "spikes_model": n_model,
        "rate_true_hz": n_true / seconds if seconds else None,
        "rate_model_hz": n_model / seconds if seconds else None,
        "rate_error": n_model / n_true - 1.0 if n_true else None,
        "rate_error_per_trial_hz": float(np.abs(per_trial).mean()) if len(per_trial) else None,
        "gamma": spikes.coincidence_factor(trials, window_ms),
        "isi_true_ms": mean(isi[0]),
        "isi_model_ms": mean(isi[1]),
        "isi_ks": spikes.ks_distance(*isi),
        "cv_true": mean(cv[0]),
        "cv_model": mean(cv[1]),
        "cv_ks": spikes.ks_distance(*cv),
        "cv_trials": [len(cv[0]), len(cv[1])],
    }


def mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


# ---- together -----------------------------------------------------------------------------------------------------


def all_trials(predictions: list[Prediction], skip_ms: float, v_clip_mv: float) -> dict[str, Any]:
    """All metrics on all trials (those without spikes included)."""
    return {
        "trials": len(predictions),
        "trials_without_spikes": sum(len(p.spike_trains(skip_ms)[0]) == 0 for p in predictions),
        "seconds": sum(p.duration_ms(skip_ms) for p in predictions) / 1000.0,
        "skip_ms": skip_ms,
        **detection(predictions, skip_ms),
        "voltage_clipped": {"clip_mv": v_clip_mv, **voltage(predictions, skip_ms, clip_mv=v_clip_mv)},
        "voltage_below": {"below_mv": v_clip_mv, **voltage(predictions, skip_ms, below_mv=v_clip_mv)},
        "spikes": emitted_spikes(predictions, skip_ms),
        "calibration": calibration(predictions, skip_ms),
    }


def published_trials(predictions: list[Prediction]) -> list[Prediction]:
    """Those of 1 to 24 true spikes that are longer than 500 ms."""
    few, many = PUBLISHED_SPIKES
    return [p for p in predictions if few <= len(p.true_spike_ms) <= many and p.duration_ms(PUBLISHED_SKIP_MS) > 0]


def published(predictions: list[Prediction]) -> dict[str, Any]:
    """The headline protocol of Beniaguev et al. 2021 and Spieler et al. 2024, for comparison with their figures.

    The first 500 ms are skipped, voltages clipped at -55 mV, and only trials of 1 to 24 true spikes count (their trials
    last 6 s). Reported beside `all_trials`, never instead of it: it leaves the hardest trials out.
    """
    chosen = published_trials(predictions)
    result: dict[str, Any] = {
        "trials": len(chosen),
        "trials_left_out": len(predictions) - len(chosen),
        "skip_ms": PUBLISHED_SKIP_MS,
    }
    result |= {"clip_mv": PUBLISHED_CLIP_MV, "spikes_per_trial": list(PUBLISHED_SPIKES)}
    return result | detection(chosen, PUBLISHED_SKIP_MS) | voltage(chosen, PUBLISHED_SKIP_MS, clip_mv=PUBLISHED_CLIP_MV)
