"""Predictions of a reduction whose steps are shorter than the bins of the scores."""

import numpy as np
import pytest
from surrogate import CELL, calibrated_threshold, make_artifact

from netml.records import Trial, windows
from netml.reductions import kernel
from netml.validation.prediction import predict

MS = 300


@pytest.fixture(scope="module")
def trial() -> Trial:
    random = np.random.default_rng(3)
    times = np.sort(random.uniform(0, MS, 400))
    return Trial(
        kind="dense", gid=-1, seed=0, duration_ms=float(MS), event_time=times,
        event_synapse_site=random.integers(0, CELL.synapse_sites, times.size).astype(np.int32),
        event_weight=np.full(times.size, 1e-3, np.float32), spike_time=np.array([40.3, 90.0, 200.7]),
        voltage={"soma": random.normal(-65, 3, MS + 1).astype(np.float32)},
    )  # fmt: skip


def test_half_steps_are_scored_in_milliseconds(trial):
    """A bin's spike is that of one of its steps, its voltage that of its last; the truth is that of whole steps."""
    artifact = make_artifact(dt_r_ms=0.5)
    artifact = make_artifact(dt_r_ms=0.5, threshold=calibrated_threshold(artifact))
    found, whole = (next(predict(one, [trial])) for one in (artifact, make_artifact()))
    arrays = artifact.arrays
    x = windows.inputs(trial, arrays["channel_input"], arrays["channel_gain"], 4, 0.5)
    logit, v, spike = (one[:, 0] for one in kernel.load().free_run(kernel.Reduction.of(artifact), x[:, :, None]))
    silent = (1 - 1 / (1 + np.exp(-logit.astype(float)))).reshape(MS, 2).prod(axis=1)
    assert found.dt_ms == 1.0 and found.logit.shape == (MS,) and 5 < found.spike.sum() < spike.sum()
    np.testing.assert_allclose(1 / (1 + np.exp(-found.logit)), 1 - silent, rtol=1e-9)
    np.testing.assert_array_equal(found.v_mv, v[1::2])
    np.testing.assert_array_equal(found.spike, spike.astype(bool)[0::2] | spike.astype(bool)[1::2])
    for name in ("true_v_mv", "true_spike", "true_spike_ms"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_voltage_between_samples_is_the_straight_line(trial):
    samples, half = trial.voltage["soma"], windows.soma_voltage(trial, 0.5)
    assert half.shape == (2 * MS,)
    np.testing.assert_array_equal(half[1::2], samples[1:])
    np.testing.assert_allclose(half[0::2], (samples[:-1] + samples[1:]) / 2, rtol=1e-6)
