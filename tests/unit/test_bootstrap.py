"""Confidence intervals against trials really drawn again and scored from scratch."""

import numpy as np
import pytest

from netml.validation import bootstrap, cell_metrics
from netml.validation.cell_metrics import Prediction


def noisy(seed, steps=1200, kind="network"):
    """A trial whose model is right about spikes and voltage, to its noise; scores have ties."""
    random = np.random.default_rng(seed)
    true = np.unique(random.integers(210, steps, random.poisson(8))).astype(float) - 0.1
    true_spike = np.zeros(steps, bool)
    true_spike[np.floor(true + 0.5).astype(int) - 1] = True
    logit = np.round(random.normal(-2, 1, steps) + 2 * true_spike, 1)
    v = np.where(true_spike, -40.0, random.normal(-65, 3, steps))
    return Prediction(
        kind=kind, dt_ms=1.0, logit=logit, v_mv=v + random.normal(0.2, 1.5, steps), spike=logit > 0.6, true_v_mv=v,
        true_spike=true_spike, true_spike_ms=true,
    )  # fmt: skip


def scored_again(predictions):
    scores = cell_metrics.all_trials(predictions, 200, -55)
    return {
        **{k: scores[k] for k in ("auc", "tp_at_0.25_fp", "tp_at_1_fp")},
        "explained_variance_clipped": scores["voltage_clipped"]["explained_variance"],
        "explained_variance_below": scores["voltage_below"]["explained_variance"],
        **{k: scores["spikes"][k] for k in ("gamma", "rate_error", "isi_model_ms")},
        "brier": scores["calibration"]["brier"],
    }


def test_intervals_equal_those_of_trials_scored_again(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 60)
    trials = [noisy(seed) for seed in range(7)]
    found = bootstrap.intervals(trials, 200, -55)
    draws = np.random.default_rng(0).multinomial(7, np.full(7, 1 / 7), 60)
    again = [scored_again([t for t, times in zip(trials, d, strict=True) for _ in range(times)]) for d in draws]
    for name, expected in {k: np.quantile([a[k] for a in again], [0.025, 0.975]) for k in again[0]}.items():
        assert found[name] == pytest.approx(expected, abs=1e-9), name


def test_the_interval_holds_the_score_and_shrinks_with_more_trials():
    few, many = (bootstrap.intervals([noisy(seed) for seed in range(n)], 200, -55) for n in (18, 162))
    exact = scored_again([noisy(seed) for seed in range(162)])
    for name, (low, high) in many.items():
        assert low < exact[name] < high, name
        # nine times as many trials: a third of the width; 18 trials know the deviation of one to 17 %, twice that here
        assert (high - low) / (few[name][1] - few[name][0]) == pytest.approx(1 / 3, abs=0.12), name


def test_few_trials_and_absent_spikes_have_no_interval():
    assert set(bootstrap.intervals([noisy(0)] * 4, 200, -55).values()) == {None}
    assert None not in bootstrap.intervals([noisy(0)] * 5, 200, -55).values()
    quiet = [Prediction(kind="silence", dt_ms=1.0, logit=np.zeros(900), v_mv=np.full(900, -70.0),
                        spike=np.zeros(900, bool), true_v_mv=np.full(900, -70.0), true_spike=np.zeros(900, bool),
                        true_spike_ms=np.zeros(0))] * 6  # fmt: skip
    found = bootstrap.intervals(quiet, 200, -55)
    assert found.pop("brier") == [0.25, 0.25] and set(found.values()) == {None}


@pytest.mark.parametrize("undefined, defined", [(0, True), (50, True), (51, False), (1000, False)])
def test_a_score_that_more_than_one_resample_in_twenty_lacks_has_no_interval(undefined, defined):
    """Of 1,000 resamples; the interval is that of the others."""
    values = np.append(np.linspace(0, 1, 1000 - undefined), np.full(undefined, np.nan))
    assert bootstrap.interval(values) == (pytest.approx([0.025, 0.975]) if defined else None)


def test_trials_of_which_too_few_spike_have_no_interval_of_spikes():
    """A resample of 7 has none of 4 trials in 0.3 % of the cases, none of 2 in 9 %."""
    silent = [Prediction(kind="silence", dt_ms=1.0, logit=np.zeros(900), v_mv=np.full(900, -70.0),
                         spike=np.zeros(900, bool), true_v_mv=np.full(900, -70.0), true_spike=np.zeros(900, bool),
                         true_spike_ms=np.zeros(0))] * 5  # fmt: skip
    few = bootstrap.intervals([noisy(seed) for seed in range(2)] + silent, 200, -55)
    enough = bootstrap.intervals([noisy(seed) for seed in range(4)] + silent[:3], 200, -55)
    assert few["auc"] is few["rate_error"] is few["tp_at_1_fp"] is None and few["brier"]
    assert enough["auc"] and enough["rate_error"] and enough["tp_at_1_fp"]


def test_a_trial_within_the_part_that_is_skipped_counts_for_nothing():
    trials = [noisy(seed) for seed in range(5)]
    short = noisy(9, steps=250)
    assert bootstrap.intervals([*trials, short], 300, -55) == bootstrap.intervals(trials, 300, -55)


def test_more_spikes_than_borders_change_little(monkeypatch):
    trials = [noisy(seed) for seed in range(12)]
    for k, trial in enumerate(trials):
        trial.logit[:] += 0.04 * np.random.default_rng(k).random(trial.logit.size)  # no ties: as many borders as spikes
    exact = bootstrap.intervals(trials, 200, -55)
    monkeypatch.setattr(bootstrap, "BORDERS", 40)
    coarse = bootstrap.intervals(trials, 200, -55)
    assert coarse["auc"] == pytest.approx(exact["auc"], abs=0.002)  # a border in 2.5 % of the spikes
