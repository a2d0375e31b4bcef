"""Cell metrics against brute force and closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from netml import metrics
from netml.validation import cell_metrics, currents, spikes
from netml.validation.cell_metrics import Prediction


def prediction(true_ms, model_ms, steps=2000, kind="network", v=None, true_v=None, logit=None):
    true_ms = np.asarray(true_ms, float)
    spike, true_spike = np.zeros((2, steps), bool)
    spike[np.asarray(model_ms, int) - 1] = True
    true_spike[np.floor(true_ms + 0.5).astype(int) - 1] = True
    flat = np.full(steps, -70.0)
    return Prediction(
        kind=kind, dt_ms=1.0, logit=np.where(spike, 3.0, -3.0) if logit is None else logit,
        v_mv=flat if v is None else v,
        spike=spike, true_v_mv=flat if true_v is None else true_v, true_spike=true_spike, true_spike_ms=true_ms,
    )  # fmt: skip


def poisson(random, rate_hz, duration_ms):
    return np.sort(random.uniform(0, duration_ms, random.poisson(rate_hz * duration_ms / 1000)))


@pytest.mark.parametrize("seed", range(3))
def test_auc_equals_counting_all_pairs_with_ties(seed):
    random = np.random.default_rng(seed)
    score = random.integers(0, 6, 200).astype(float)  # many ties
    target = random.random(200) < 0.2
    wins = score[target][:, None] - score[~target][None]
    expected = ((wins > 0) + 0.5 * (wins == 0)).mean()
    assert metrics.roc_auc(score, target) == pytest.approx(expected, abs=1e-12)


def test_auc_at_its_limits():
    target = np.array([0, 0, 1, 1], bool)
    assert metrics.roc_auc(np.array([1.0, 2, 3, 4]), target) == 1.0
    assert metrics.roc_auc(np.array([4.0, 3, 2, 1]), target) == 0.0
    assert metrics.roc_auc(np.zeros(4), target) == 0.5
    assert metrics.roc_auc(np.zeros(4), np.zeros(4, bool)) is None


def test_true_positives_at_a_false_positive_rate():
    # 100 negatives; 3 of 4 positives outscore all of them but one
    score = np.concatenate([np.arange(100.0), [200, 200.5, 98.5, 50.25]])
    target = np.arange(104) >= 100
    fpr, tpr = metrics.roc_curve(score, target)
    assert metrics.true_positives_at(fpr, tpr, 0.0) == 0.5
    assert metrics.true_positives_at(fpr, tpr, 0.01) == 0.75
    assert metrics.true_positives_at(fpr, tpr, 1.0) == 1.0


def test_a_constant_shift_is_found_and_reported():
    true = np.arange(50, 1950, 37)
    late = cell_metrics.detection([prediction(true, true + 1)])
    assert late["auc"] < 0.6 and late["auc_best_shift"] == 1.0 and late["shift_bins"] == 1
    early = cell_metrics.detection([prediction(true, true - 1)])
    assert early["auc_best_shift"] == 1.0 and early["shift_bins"] == -1
    exact = cell_metrics.detection([prediction(true, true)])
    assert exact["auc"] == exact["auc_best_shift"] == 1.0 and exact["shift_bins"] == 0


def test_gamma_of_identical_and_of_independent_trains():
    random = np.random.default_rng(1)
    trains = [poisson(random, 10, 20_000) for _ in range(20)]
    assert spikes.coincidence_factor([(t, t, 20_000) for t in trains]) == pytest.approx(1.0)
    others = [poisson(random, 10, 20_000) for _ in range(20)]
    # about 4,000 spikes with 4 % chance coincidences: standard error 0.003
    assert abs(spikes.coincidence_factor([(t, o, 20_000) for t, o in zip(trains, others, strict=True)])) < 0.015


def test_gamma_of_a_train_with_part_of_the_spikes():
    # every second of N spikes, far apart: (N/2 - 2 nu D N) / (0.5 * 1.5 N) / (1 - 2 nu D), nu = (N/2) / T
    times = np.arange(100, 10_000, 100.0)[:98]
    chance = 2 * 2.0 * 49 / 10_000
    expected = (49 - chance * 98) / (0.5 * (98 + 49)) / (1 - chance)
    assert spikes.coincidence_factor([(times, times[::2], 10_000)]) == pytest.approx(expected)


def test_gamma_without_spikes():
    none, some = np.zeros(0), np.array([10.0, 50.0])
    assert spikes.coincidence_factor([(none, none, 1000)]) is None
    assert spikes.coincidence_factor([(none, some, 1000)]) == 0.0
    assert spikes.coincidence_factor([(some, none, 1000)]) == 0.0
    assert spikes.coincidence_factor([(none, none, 1000), (some, some, 1000)]) == pytest.approx(1.0)
    assert spikes.coincidence_factor([(some, np.arange(0, 1000, 2.0), 1000)]) is None


def test_coincidences_pair_one_to_one():
    assert spikes.count_coincidences([10.0], [9.0, 10.0, 11.0]) == 1
    assert spikes.count_coincidences([10.0, 20.0], [12.0, 22.1]) == 1
    assert spikes.count_coincidences([0.0, 3.0], [2.0, 4.0]) == 2


def test_explained_variance_and_rmse():
    random = np.random.default_rng(2)
    true = -70 + 4 * random.standard_normal(2000)
    noise = 2 * random.standard_normal(2000)
    p = prediction([], [], true_v=true, v=true + noise + 1.0)
    result = cell_metrics.voltage([p])
    assert result["explained_variance"] == pytest.approx(1 - np.mean((noise + 1) ** 2) / true.var())
    assert result["rmse_mv"] == pytest.approx(np.sqrt(np.mean((noise + 1) ** 2)))
    # a spike that only one of them shows disappears when both are clipped
    spiky = true.copy()
    spiky[::100] = 30.0
    high = np.where(spiky > -55, -40.0, spiky)
    p = prediction([], [], true_v=spiky, v=high)
    assert cell_metrics.voltage([p], clip_mv=-55)["explained_variance"] == 1.0
    assert cell_metrics.voltage([p])["explained_variance"] < 0.9
    assert cell_metrics.voltage([p], below_mv=-55)["samples"] == (spiky < -55).sum()
    assert cell_metrics.voltage([prediction([], [])])["explained_variance"] is None  # the truth does not move


def test_calibration_of_a_calibrated_and_of_an_overconfident_model():
    random = np.random.default_rng(3)
    p = random.uniform(0.01, 0.6, 200_000)
    truth = prediction(np.flatnonzero(random.random(p.size) < p) + 1, [], steps=p.size, logit=np.log(p / (1 - p)))
    good = cell_metrics.calibration([truth])
    assert good["ece"] < 0.005
    assert good["brier"] == pytest.approx((p * (1 - p)).mean(), abs=0.002)  # what even the true probability leaves
    assert sum(b["count"] for b in good["bins"]) == p.size
    doubled = prediction(truth.true_spike_ms, [], steps=p.size, logit=2 * truth.logit)
    bad = cell_metrics.calibration([doubled])
    assert bad["ece"] > 0.05 and bad["brier"] > good["brier"] and bad["brier_skill"] < good["brier_skill"]
    extreme = prediction([5], [5], logit=np.where(np.arange(2000) == 4, 1e4, -1e4))
    assert cell_metrics.calibration([extreme])["brier"] == 0.0  # no overflow


def test_rates_and_trials_without_spikes():
    quiet = prediction([], [], kind="silence")
    noisy = prediction([], [100, 200, 300], kind="silence")
    busy = prediction(np.arange(300, 2000, 50), np.arange(300, 2000, 40))
    result = cell_metrics.all_trials([quiet, noisy, busy], skip_ms=200, v_clip_mv=-55)
    assert (result["trials"], result["trials_without_spikes"]) == (3, 2)
    assert result["seconds"] == pytest.approx(5.4)
    emitted = result["spikes"]
    assert (emitted["spikes_true"], emitted["spikes_model"]) == (34, 45)  # 100 ms is skipped
    assert emitted["rate_error"] == pytest.approx(45 / 34 - 1)
    assert emitted["isi_true_ms"] == 50 and emitted["cv_true"] == 0.0
    alone = cell_metrics.all_trials([quiet], skip_ms=0, v_clip_mv=-55)
    assert alone["auc"] is None and alone["spikes"]["gamma"] is None and alone["spikes"]["rate_error"] is None
    assert alone["spikes"]["rate_model_hz"] == 0.0


def test_a_bin_counts_if_it_starts_after_the_part_that_is_skipped():
    p = prediction([], [], steps=1000)
    assert [p.after(skip) for skip in (0, 200, 200.5, 201)] == [0, 200, 201, 201]
    assert p.duration_ms(200.5) == 799


def test_the_published_protocol_leaves_trials_out():
    few = prediction([700.0, 900.0], [700, 900])
    none, many = prediction([], []), prediction(np.arange(10, 2000, 50), [])
    result = cell_metrics.published([few, none, many])
    assert (result["trials"], result["trials_left_out"]) == (1, 2) and result["auc"] == 1.0
    edges = [prediction(np.arange(600, 600 + 10 * n, 10), []) for n in (1, 24, 25)]
    assert cell_metrics.published_trials(edges) == edges[:2]
    empty = cell_metrics.published([none])
    assert empty["trials"] == 0 and empty["auc"] is None and empty["explained_variance"] is None


def test_f_i_curve_counts_spikes_of_constant_stretches():
    """Two trials of known stretches; stretches below 100 ms, trials with events and ramps count for nothing."""
    current = np.repeat([0.0, 0.2, -0.1, 0.3], [300, 90, 410, 200])
    a = replace(prediction([250, 350, 820, 900], [250, 810, 850, 900], steps=1000), current_na=current)
    b = replace(prediction([100], [], steps=1000), current_na=np.full(1000, 0.3), events=0)
    found = currents.f_i_curve([a, b, replace(b, events=3), prediction([5], [5])])
    assert found["stretches"] == 4
    points = {round(p["current_na"], 6): p for p in found["points"]}
    assert [(p["current_na"], p["seconds"]) for p in found["points"]][0] == (-0.1, 0.41)
    assert points[0.0]["rate_true_hz"] == points[0.0]["rate_model_hz"] == pytest.approx(1 / 0.3)
    assert found["rate_error_hz"] == pytest.approx((0 + 0 + 1 + 1) / (0.3 + 0.41 + 0.2 + 1.0))
    assert found["one_silent"] == 0.25
    border = replace(prediction([300], [300], steps=600), current_na=np.repeat([0.0, 0.2], 300))  # its bin ends there
    assert currents.stretches(border) == [(0.0, 0.3, 1, 1), (0.2, 0.3, 0, 0)]
    ramp = replace(prediction([5], [5], steps=1000), current_na=np.linspace(0, 1, 1000))
    assert currents.f_i_curve([ramp]) is None


def test_cv_and_ks():
    random = np.random.default_rng(4)
    assert spikes.cv_of_isi([np.arange(0, 1000, 10.0)]) == pytest.approx([0.0])
    assert spikes.cv_of_isi([poisson(random, 50, 200_000)]) == pytest.approx([1.0], abs=0.03)
    assert len(spikes.cv_of_isi([np.array([1.0, 5.0]), np.zeros(0)])) == 0
    assert len(spikes.cv_of_isi([np.arange(5.0), np.arange(4.0)])) == 1  # four intervals are enough, three are not
    assert spikes.ks_distance([1, 2, 3], [1, 2, 3]) == 0.0
    assert spikes.ks_distance([1, 2], [3, 4]) == 1.0
    assert spikes.ks_distance([], [1]) is None
