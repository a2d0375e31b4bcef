"""Statistics of spike times, for one cell or a population. Pure functions; times in ms, rates in Hz."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import ks_2samp

COINCIDENCE_MS = 2.0
MIN_ISIS = 4


def count_coincidences(times_a: np.ndarray, times_b: np.ndarray, window_ms: float = COINCIDENCE_MS) -> int:
    """Count spikes of two sorted trains that pair up one to one within +-``window_ms``.

    A spike takes part in one pair only, so that two identical trains give their spike count and never more.
    """
    i = j = found = 0
    while i < len(times_a) and j < len(times_b):
        lag = times_b[j] - times_a[i]
        if abs(lag) <= window_ms + 1e-9:
            found, i, j = found + 1, i + 1, j + 1
        elif lag > 0:
            i += 1
        else:
            j += 1
    return found


def coincidence_factor(
    trials: Iterable[tuple[np.ndarray, np.ndarray, float]], window_ms: float = COINCIDENCE_MS
) -> float | None:
    """Coincidence factor Gamma of model spikes with reference spikes.

        Gamma = (N_coinc - <N_coinc>) / (0.5 (N_data + N_model)) / N
        <N_coinc> = 2 nu Delta N_data,   N = 1 - 2 nu Delta

    with nu the rate of the model: 1 for identical trains, 0 for a Poisson train of the model's rate
    (Kistler, Gerstner, van Hemmen 1997, 10.1162/neco.1997.9.5.1015; Jolivet, Lewis, Gerstner 2004,
    10.1152/jn.00190.2004; Jolivet et al. 2008, 10.1016/j.jneumeth.2007.11.006). Counts and chance expectations
    are summed over the trials, each with its own rate, so that trials without spikes need no special case.

    Args:
        trials: iterable of (reference times [ms], model times [ms], duration [ms]), times sorted.
        window_ms: Delta.

    Returns:
        float, or None where it is undefined: no spike in any trial, or a model that fires so fast that chance
        alone fills every window (2 nu Delta >= 1).
    """
    return gamma_of_sums(sum((coincidence_sums(r, m, ms, window_ms) for r, m, ms in trials), np.zeros(5)), window_ms)


def coincidence_sums(
    reference: np.ndarray, model: np.ndarray, duration_ms: float, window_ms: float = COINCIDENCE_MS
) -> np.ndarray:
    """What one trial adds to Gamma: N_data, N_model, N_coinc, <N_coinc>, duration [ms]."""
    expected = 2.0 * window_ms * len(model) / duration_ms * len(reference)
    coincidences = count_coincidences(reference, model, window_ms)
    return np.array([len(reference), len(model), coincidences, expected, duration_ms])


def gamma_of_sums(sums: np.ndarray, window_ms: float = COINCIDENCE_MS) -> float | None:
    """Gamma from the sums over trials of :func:`coincidence_sums`."""
    n_data, n_model, n_coinc, expected, total_ms = sums
    if n_data + n_model == 0:
        return None
    chance = expected / n_data if n_data else 2.0 * window_ms * n_model / total_ms
    if chance >= 1.0:
        return None
    return float((n_coinc - expected) / (0.5 * (n_data + n_model)) / (1.0 - chance))


def intervals(trains: Iterable[np.ndarray]) -> np.ndarray:
    """Interspike intervals [ms] of a list of sorted spike trains, in one array."""
    parts = [np.diff(np.asarray(train, float)) for train in trains]
    return np.concatenate(parts) if parts else np.zeros(0)


def cv_of_isi(trains: Iterable[np.ndarray], min_isis: int = MIN_ISIS) -> np.ndarray:
    """Coefficient of variation of the interspike intervals of each train that has at least ``min_isis`` of them.

    Returns:
        array, one value a train that qualifies (a train with fewer intervals has no meaningful CV).
    """
    values = [
        isi.std() / isi.mean()
        for isi in (np.diff(train) for train in trains)
        if len(isi) >= min_isis and isi.mean() > 0
    ]
    return np.asarray(values, float)


def ks_distance(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float | None:
    """Largest gap between the cumulative distributions of two samples (Kolmogorov-Smirnov); None if one is empty."""
    if not len(a) or not len(b):
        return None
    with np.errstate(divide="ignore"):  # in its p-value of single samples, which is not asked for
        return float(ks_2samp(a, b, method="asymp").statistic)
