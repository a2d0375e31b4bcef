"""What tells that a reduction is wrong where nobody has the truth, judged where the truth is known.

Two signs: an input that gets more than training ever gave (:mod:`netml.training.ranges`), and the spread of the rates
of an ensemble whose members get the same input.
"""

from collections.abc import Iterable

import numpy as np
from scipy.stats import spearmanr

from netml.artifact import Artifact
from netml.records import Trial
from netml.validation.cell_metrics import Prediction
from netml.validation.prediction import predict

MIN_TRIALS = 5


def uncertainty(artifact: Artifact, predictions: list[Prediction], trials: Iterable[Trial], skip_ms: float) -> dict:
    """Both signs on trials whose truth is known, as far as the artifact gives them.

    Args:
        artifact: The reduction.
        predictions: Of the member that acts.
        trials: The same trials, in the same order.
        skip_ms: Start of each trial that does not count.

    Returns:
        ``beyond`` (:func:`past_training_range`) and ``ensemble`` (:func:`spread`), each None where the artifact has
        none.
    """
    return {
        "beyond": past_training_range(artifact, predictions, skip_ms),
        "ensemble": spread(rates(artifact, predictions, trials, skip_ms), true_rates(predictions, skip_ms))
        if artifact.members
        else None,
    }


def past_training_range(artifact: Artifact, predictions: list[Prediction], skip_ms: float) -> dict | None:
    """Trials in which inputs pass what they got in training more often than in any held-out trial of the training.

    Returns:
        ``mean`` share of steps beyond, ``held_out`` (the worst held-out trial's), ``distrusted`` (how many trials have
        more), ``error_hz`` and ``error_distrusted_hz``: root mean square error of the rate in the others and in these;
        ``rank_correlation`` of share and error (Spearman), None where undefined.
    """
    held_out = artifact.header.get("held_out_beyond")
    known = [p.past_training_range for p in predictions if p.past_training_range is not None]
    if held_out is None or len(known) < len(predictions):
        return None
    share = np.array([one.mean() for one in known])
    error = _own_rates(predictions, skip_ms) - true_rates(predictions, skip_ms)
    far = share > held_out["largest"]
    return {
        "mean": float(share.mean()),
        "held_out": held_out["largest"],
        "distrusted": int(far.sum()),
        "error_hz": _rms(error[~far]),
        "error_distrusted_hz": _rms(error[far]),
        "rank_correlation": _rank_correlation(share, np.abs(error)),
    }


def spread(members_hz: np.ndarray, true_hz: np.ndarray) -> dict:
    """How the spread of an ensemble's rates goes with the error of the member that acts.

    Args:
        members_hz: (members, trials), the one that acts first.
        true_hz: (trials).

    Returns:
        ``trials``; root mean squares over them ``error_hz`` and ``sd_hz`` (standard deviation over the members), and
        their ratio ``factor``: what to multiply a spread by for the error to expect; ``largest_sd_hz`` of a trial;
        ``rank_correlation`` of spread and error (Spearman), None where undefined.
    """
    sd, error = members_hz.std(axis=0, ddof=1), np.abs(members_hz[0] - true_hz)
    error_hz, sd_hz = _rms(error), _rms(sd)
    return {
        "trials": len(sd),
        "error_hz": error_hz,
        "sd_hz": sd_hz,
        "factor": error_hz / sd_hz if error_hz is not None and sd_hz else None,
        "largest_sd_hz": float(sd.max()),
        "rank_correlation": _rank_correlation(sd, error),
    }


def rates(artifact: Artifact, predictions: list[Prediction], trials: Iterable[Trial], skip_ms: float) -> np.ndarray:
    """(members, trials) Hz: the acting member's from its predictions, the others' by running them free."""
    trials = list(trials)
    others = [_own_rates(list(predict(member, trials)), skip_ms) for member in artifact.members]
    return np.array([_own_rates(predictions, skip_ms), *others])


def true_rates(predictions: list[Prediction], skip_ms: float) -> np.ndarray:
    """(trials) Hz, of the detailed cell."""
    return np.array([1000 * len(p.spike_trains(skip_ms)[0]) / p.duration_ms(skip_ms) for p in predictions])


def _own_rates(predictions: list[Prediction], skip_ms: float) -> np.ndarray:
    return np.array([1000 * len(p.spike_trains(skip_ms)[1]) / p.duration_ms(skip_ms) for p in predictions])


def _rank_correlation(sign: np.ndarray, error: np.ndarray) -> float | None:
    if len(sign) < MIN_TRIALS or not np.ptp(sign) > 0 or not np.ptp(error) > 0:
        return None
    return float(spearmanr(sign, error).statistic)


def _rms(values: np.ndarray) -> float | None:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else None
