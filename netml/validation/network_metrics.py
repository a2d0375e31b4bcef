"""Statistics of a population's spikes: pure functions on numpy arrays, and how two sets of them differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import welch

from netml.validation.spikes import cv_of_isi, ks_distance

BIN_MS = 20.0
PAIRS = 5000
SEGMENT_MS = 512.0
BAND_HZ = (2.0, 200.0)
BANDS = 12


@dataclass(frozen=True)
class PopulationStatistics:
    """Statistics of one population in one run, over the window that counts.

    Attributes:
        spike_count: Spikes in the window.
        rates_hz: (cells) rate of every cell, silent ones too.
        cv: CV of interspike intervals, cells with enough of them.
        correlations: Pearson correlation of spike counts in bins, one value a pair of cells that both spiked.
        frequency_hz, power: Spectrum of the population's summed spikes relative to independent Poisson cells of the
            same rate (1 = no rhythm, no synchrony); empty without spikes.
    """

    spike_count: int
    rates_hz: np.ndarray
    cv: np.ndarray
    correlations: np.ndarray
    frequency_hz: np.ndarray
    power: np.ndarray

    def summary(self) -> dict:
        """Plain numbers; None where undefined."""
        band = in_band(self.frequency_hz)
        peak = np.argmax(self.power[band]) if band.any() else None
        return {
            "cells": len(self.rates_hz),
            "spikes": self.spike_count,
            "rate_hz": float(self.rates_hz.mean()),
            "rate_sd_hz": float(self.rates_hz.std()),
            "rate_quartiles_hz": [float(q) for q in np.percentile(self.rates_hz, [25, 50, 75])],
            "silent_fraction": float((self.rates_hz == 0).mean()),
            "cv": _mean(self.cv),
            "cv_cells": len(self.cv),
            "correlation": _mean(self.correlations),
            "correlation_pairs": len(self.correlations),
            "peak_hz": None if peak is None else float(self.frequency_hz[band][peak]),
            "peak_power": None if peak is None else float(self.power[band][peak]),
        }


def population(
    times_ms: ArrayLike, cells: ArrayLike, size: int, start_ms: float, stop_ms: float, bin_ms: float = BIN_MS
) -> PopulationStatistics:
    """Statistics of a population between ``start_ms`` and ``stop_ms``.

    Args:
        times_ms: [spikes] times.
        cells: [spikes] cell of each, 0 .. size - 1.
        size: Number of cells.
        start_ms: Where the window begins.
        stop_ms: Where it ends.
        bin_ms: Width of the bins in which pairs are correlated.
    """
    times_ms, cells = np.asarray(times_ms, float), np.asarray(cells, np.int64)
    inside = (times_ms >= start_ms) & (times_ms < stop_ms)
    times, cells = times_ms[inside] - start_ms, cells[inside]
    length = stop_ms - start_ms
    order = np.lexsort((times, cells))
    counts = np.bincount(cells, minlength=size)
    trains = np.split(times[order], np.cumsum(counts)[:-1])
    frequency, power = spectrum(times, length)
    return PopulationStatistics(
        spike_count=len(times),
        rates_hz=counts / (length / 1000.0),
        cv=cv_of_isi(trains),
        correlations=pair_correlations(trains, length, bin_ms),
        frequency_hz=frequency,
        power=power,
    )


def pair_correlations(
    trains: Sequence[np.ndarray], length_ms: float, bin_ms: float = BIN_MS, pairs: int = PAIRS
) -> np.ndarray:
    """Pearson correlations of spike counts in bins, over all pairs of cells that spike.

    Silent cells have no correlation and are left out. With more than ``pairs`` pairs a fixed-seed sample of cells is
    taken, the largest whose pairs do not exceed it.
    """
    trains = [train for train in trains if len(train)]
    most = int((1 + np.sqrt(1 + 8 * pairs)) / 2)
    if len(trains) > most:
        trains = [trains[k] for k in np.sort(np.random.default_rng(0).choice(len(trains), most, replace=False))]
    bins = int(length_ms // bin_ms)
    if len(trains) < 2 or bins < 2:
        return np.zeros(0)
    edges = np.arange(bins + 1) * bin_ms
    counts = np.array([np.histogram(train, edges)[0] for train in trains], float)
    counts -= counts.mean(axis=1, keepdims=True)
    norm = np.sqrt((counts**2).sum(axis=1))
    counts, norm = counts[norm > 0], norm[norm > 0]  # all spikes after the last whole bin, or the same count in all
    matrix = counts @ counts.T / np.outer(norm, norm)
    return matrix[np.triu_indices(len(matrix), 1)]


def spectrum(times_ms: np.ndarray, length_ms: float, segment_ms: float = SEGMENT_MS) -> tuple[np.ndarray, np.ndarray]:
    """Power spectrum of summed spikes over that of independent Poisson cells of the same rate.

    Counts in 1 ms bins, the mean of half-overlapping Hann windows of ``segment_ms`` (Welch 1967,
    10.1109/TAU.1967.1161901), divided by the flat spectrum that a Poisson process with as many spikes has. So rates and
    sizes need not agree for two spectra to be compared.

    Returns:
        frequencies [Hz] above 0, and relative power; both empty without spikes.
    """
    bins = int(length_ms)
    segment = int(min(segment_ms, bins))
    if not len(times_ms) or segment < 8:
        return np.zeros(0), np.zeros(0)
    counts = np.histogram(times_ms, np.arange(bins + 1.0))[0].astype(float)
    if not counts.any():
        return np.zeros(0), np.zeros(0)
    _, power = welch(
        counts - counts.mean(), window=np.hanning(segment), noverlap=segment - segment // 2, detrend=False,
        return_onesided=False,
    )  # fmt: skip
    frequency = np.fft.rfftfreq(segment, 0.001)[1:]
    return frequency, power[1 : len(frequency) + 1] / counts.mean()


def bands(frequency_hz: np.ndarray, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean power in 12 bands of equal width on a logarithmic scale, 2 to 200 Hz: a spectrum of a short run is noisy.

    Returns:
        centre of each band [Hz] and its mean power; bands narrower than the resolution are left out.
    """
    edges = np.geomspace(*BAND_HZ, BANDS + 1)
    which = np.digitize(frequency_hz, edges) - 1
    used = [k for k in range(BANDS) if (which == k).any()]
    return np.sqrt(edges[:-1] * edges[1:])[used], np.array([power[which == k].mean() for k in used])


def in_band(frequency_hz: np.ndarray) -> np.ndarray:
    return (frequency_hz >= BAND_HZ[0]) & (frequency_hz <= BAND_HZ[1])


def difference(a: PopulationStatistics, b: PopulationStatistics) -> dict:
    """How b differs from a; each entry is 0 for equal populations, None where undefined.

    ``rate``, ``cv``, ``correlation``: b against a (rate as a fraction of a's, the others as a difference);
    ``..._ks``: largest distance between the two distributions over cells (over pairs), 0 to 1;
    ``rate_mismatch``: 1 - Pearson correlation of the rates of the same cells in the two runs;
    ``spectrum_db``: root mean square difference of the two spectra over `bands`, in dB.
    """
    power_a, power_b = bands(a.frequency_hz, a.power)[1], bands(b.frequency_hz, b.power)[1]
    same_grid = len(power_a) == len(power_b) > 0
    correlated = len(a.correlations) and len(b.correlations)
    varied = a.rates_hz.std() > 0 and b.rates_hz.std() > 0
    return {
        "rate": float(b.rates_hz.mean() / a.rates_hz.mean() - 1) if a.spike_count else None,
        "rate_ks": ks_distance(a.rates_hz, b.rates_hz),
        "rate_mismatch": float(1 - np.corrcoef(a.rates_hz, b.rates_hz)[0, 1]) if varied else None,
        "cv": float(b.cv.mean() - a.cv.mean()) if len(a.cv) and len(b.cv) else None,
        "cv_ks": ks_distance(a.cv, b.cv),
        "correlation": float(b.correlations.mean() - a.correlations.mean()) if correlated else None,
        "correlation_ks": ks_distance(a.correlations, b.correlations),
        "spectrum_db": _decibels(power_a, power_b) if same_grid else None,
    }  # fmt: skip


def _decibels(power_a: np.ndarray, power_b: np.ndarray) -> float:
    """Root mean square difference."""
    return float(np.sqrt(np.mean((10 * np.log10((power_b + 1e-12) / (power_a + 1e-12))) ** 2)))


def _mean(values) -> float | None:
    return float(np.mean(values)) if len(values) else None
