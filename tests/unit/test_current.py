"""Current into the soma as plain data: exact sums and means, and the random currents of the protocol."""

import numpy as np
import pytest

from netml.circuit.current import Clamp, mean_of_steps, total
from netml.errors import ModelError
from netml.stimuli import random_current as currents


def test_clamps_add_up():
    time, current = total([Clamp(10, 20, 0.1), Clamp(15.5, 100, -0.3), Clamp(30, 5, 0.2), Clamp(0, 50, 0.0)])
    assert time.tolist() == [10, 15.5, 30, 35, 115.5]
    np.testing.assert_allclose(current, [0.1, -0.2, -0.1, -0.3, 0.0], atol=1e-15)
    assert total([])[0].size == 0


def test_mean_of_a_step_is_exact():
    """Against a sum over a grid so fine that every change lies on it."""
    rng = np.random.default_rng(0)
    for dt in (1.0, 0.5, 2.5):
        time = np.unique(rng.integers(0, 50_000, 30)) / 1000
        current = rng.normal(size=time.size)
        fine = np.concatenate([[0.0], current])[np.searchsorted(time, (np.arange(50_000) + 0.5) / 1000)]
        expected = fine.reshape(int(50 / dt), -1).mean(axis=1)
        np.testing.assert_allclose(mean_of_steps(time, current, int(50 / dt), dt), expected, atol=1e-12)
    assert mean_of_steps(np.empty(0), np.empty(0), 3, 1.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("stim, expected", [
    ({"del": 5, "dur": 10, "amp": -0.2}, (5, 10, -0.2)),
    ({"delay": 5, "dur": 10, "amp": 1}, (5, 10, 1)),
    ({"del": -5, "dur": 15, "amp": 1}, (0, 10, 1)),  # it has been on for a while when the run begins
    ({"amp": 1}, (0, 0, 1)),
])  # fmt: skip
def test_clamp_of_a_stimulation(stim, expected):
    assert Clamp.of(stim, "x") == expected


@pytest.mark.parametrize("stim, message", [
    ({"amp": float("nan"), "dur": 1}, "x has amp = nan; expected a number, nA"),
    ({"amp": "0.1*post_x", "dur": 1}, "has amp = '0.1.post_x'"),
    ({"amp": [0.1, 0.2], "dur": 1}, "has amp ="),
    ({"amp": 0.1, "dur": -1}, "x lasts -1 ms"),
])  # fmt: skip
def test_clamp_that_is_no_current(stim, message):
    with pytest.raises(ModelError, match=message):
        Clamp.of(stim, "x")


@pytest.mark.parametrize("kind", currents.KINDS)
def test_random_currents_are_reproducible_and_in_range(kind):
    drawn = [currents.draw_current(kind, 0.25, 2000.0, 3, k) for k in range(40)]
    for k, (time, current, under) in enumerate(drawn):
        again = currents.draw_current(kind, 0.25, 2000.0, 3, k)
        assert np.array_equal(time, again[0]) and np.array_equal(current, again[1]) and under == again[2]
        assert (np.diff(time) >= 1).all() and time.min(initial=0) >= 0 and time.max(initial=0) < 2000
        assert (np.diff(current) != 0).all() and np.isfinite(current).all()
    every = np.concatenate([current for _, current, _ in drawn]) / 0.25
    assert every.min() < -0.5 and every.max() > (3 if kind == "steps" else 1.5)
    assert {under for *_, under in drawn} == ({""} if kind == "steps" else set(currents.UNDER))
    if kind == "steps":
        assert every.min() >= -1 and every.max() <= 4
        assert max(time.size for time, *_ in drawn) <= 20


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_the_spread_and_the_memory_that_were_drawn(seed):
    course = currents._noise(np.random.default_rng(seed), 400_000, (0.0, 0.0))
    random = np.random.default_rng(seed)
    random.uniform(0.0, 0.0)  # the mean
    spread, tau_ms = np.exp(random.uniform(np.log(0.1), 0.0)), np.exp(random.uniform(0.0, np.log(100.0)))
    assert course.std() == pytest.approx(spread, rel=0.1)  # 2,000 times the longest memory, or more
    assert -1 / np.log(np.corrcoef(course[1:], course[:-1])[0, 1]) == pytest.approx(tau_ms, rel=0.1)


def test_two_fifths_of_the_stretches_are_without_current():
    course = currents._stretches(np.random.default_rng(2), 400_000, (1.0, 2.0))
    assert (course == 0).mean() == pytest.approx(0.4, abs=0.06)  # of some 1,200; three deviations
    lengths = np.diff(np.flatnonzero(np.diff(course)))
    assert lengths.min() >= 100
