"""Network statistics on surrogates whose statistics are known."""

import numpy as np
import pytest

from netml.errors import RunError
from netml.runs import Run
from netml.validation import network, network_metrics
from netml.validation.speed import speed

LENGTH = 20_000.0


def surrogate(seed, cells=60, rate=8.0, shared=0.0, modulation=0.0, length=LENGTH):
    """Poisson cells; ``shared`` is the part of spikes drawn from one common train (= their correlation)."""
    random = np.random.default_rng(seed)
    n = int(length)
    p = rate / 1000 * (1 + modulation * np.sin(2 * np.pi * 40 * np.arange(n) / 1000))
    if shared:
        # each cell keeps a spike of a faster common train with probability `shared`: pairwise correlation = shared
        mother = random.random(n) < p / shared
        spikes = mother & (random.random((cells, n)) < shared)
    else:
        spikes = random.random((cells, n)) < p
    ids, bins = np.nonzero(spikes)
    return bins + random.random(len(bins)), ids


def stats(*spikes, cells=60, start=0.0, stop=LENGTH):
    return network_metrics.population(*spikes, cells, start, stop)


def test_poisson_cells():
    s = stats(*surrogate(0)).summary()
    assert s["rate_hz"] == pytest.approx(8.0, rel=0.03)  # 9,600 spikes: 1 %
    assert s["cv"] == pytest.approx(1.0, abs=0.03)
    assert s["correlation"] == pytest.approx(0.0, abs=0.005) and s["correlation_pairs"] == 60 * 59 // 2
    assert s["silent_fraction"] == 0.0


def test_correlated_cells():
    assert stats(*surrogate(1, shared=0.2)).summary()["correlation"] == pytest.approx(0.2, abs=0.02)


def test_spectrum_of_poisson_cells_is_flat_at_one_and_shows_a_rhythm():
    flat = stats(*surrogate(2))
    assert flat.power.mean() == pytest.approx(1.0, abs=0.05)
    rhythm = stats(*surrogate(2, modulation=0.8))
    assert rhythm.summary()["peak_hz"] == pytest.approx(40, abs=2) and rhythm.summary()["peak_power"] > 5
    assert network_metrics.difference(flat, rhythm)["spectrum_db"] > network_metrics.difference(
        flat, stats(*surrogate(3)))["spectrum_db"] * 2  # fmt: skip


def test_a_peak_is_looked_for_from_2_to_200_hz():
    assert network_metrics.in_band(np.array([1.9, 2.0, 200.0, 200.1])).tolist() == [False, True, True, False]


def test_a_run_does_not_differ_from_itself_and_differs_from_a_faster_one():
    a, again, other, faster = (stats(*surrogate(seed, rate=rate)) for seed, rate in ((4, 8), (4, 8), (5, 8), (6, 12)))
    assert {k: round(v, 12) for k, v in network_metrics.difference(a, again).items()} == dict.fromkeys(
        network_metrics.difference(a, a), 0.0)  # fmt: skip
    floor, real = network_metrics.difference(a, other), network_metrics.difference(a, faster)
    assert real["rate"] == pytest.approx(0.5, abs=0.05) and abs(floor["rate"]) < 0.05
    assert real["rate_ks"] > 0.9 > floor["rate_ks"]


def test_differences_are_b_less_a():
    """Clocks of unlike periods against one Poisson train that all cells share: CV 0 and 1, correlation 0 and 1."""
    beats = [np.arange(k, 20_000.0, 50.0 + k) for k in range(1, 11)]
    shared = np.sort(np.random.default_rng(5).uniform(0, 20_000, 400))
    clocks, same = (
        stats(np.concatenate(trains), np.repeat(np.arange(10), [len(t) for t in trains]), cells=10, stop=20_000.0)
        for trains in (beats, [shared] * 10)
    )
    found, back = network_metrics.difference(clocks, same), network_metrics.difference(same, clocks)
    assert found["cv"] == pytest.approx(1.0, abs=0.1)
    assert found["correlation"] == pytest.approx(1.0, abs=0.1)
    for name in ("cv", "correlation"):
        assert back[name] == -found[name]


def test_the_window_counts_and_nothing_outside():
    times = np.array([50.0, 250.0, 999.0, 1000.0])
    s = stats(times, np.array([0, 0, 1, 1]), cells=3, start=200.0, stop=1000.0)
    assert s.spike_count == 2
    np.testing.assert_allclose(s.rates_hz, [1.25, 1.25, 0.0])


def test_silent_and_nearly_silent_populations():
    silent = stats(np.zeros(0), np.zeros(0), cells=5)
    summary = silent.summary()
    assert summary["rate_hz"] == 0.0 and summary["silent_fraction"] == 1.0
    assert summary["cv"] is None and summary["correlation"] is None and summary["peak_hz"] is None
    one = stats(np.array([10.0]), np.array([2]), cells=5)
    assert one.summary()["spikes"] == 1
    difference = network_metrics.difference(silent, one)
    assert difference["rate"] is None and difference["spectrum_db"] is None and difference["cv"] is None
    assert network_metrics.difference(one, silent)["rate"] == -1.0


def test_many_cells_are_sampled_the_same_way_each_time():
    spikes = surrogate(7, cells=300, length=2000.0)
    first, second = (stats(*spikes, cells=300, stop=2000.0).correlations for _ in range(2))
    assert 4000 < len(first) <= network_metrics.PAIRS
    np.testing.assert_array_equal(first, second)


def metadata(run_s, reduced_s=None, **changes):
    wall = {"setup_s": 1.0, "build_s": 2.0, "run_s": run_s} | ({} if reduced_s is None else {"reduced_s": reduced_s})
    swap = {"swap": {"PYR": {}}} if reduced_s is not None else {}
    return {"duration_ms": 2000.0, "dt_ms": 0.05, "ranks": 2, "wall": wall} | swap | changes


def test_cost_of_replaced_cells():
    # 100 s detailed; 4 s swapped, 0.05 s of it in reduced cells: 96.05 s of detailed cells fell away
    result = speed(metadata(100.0), metadata(4.0, 0.05))
    assert result["ratio"] == pytest.approx(25) and result["cells_ratio"] == pytest.approx(96.05 / 0.05)
    assert result["whole_s"] == {"a": 103.0, "b": 7.0}
    assert speed(metadata(4.0, 0.05), metadata(100.0))["cells_ratio"] == pytest.approx(96.05 / 0.05)
    longer = speed(metadata(100.0), metadata(8.0, 0.1, duration_ms=4000.0))
    assert longer["cells_ratio"] == pytest.approx(96.05 / 0.05)


@pytest.mark.parametrize(
    "a, b, why",
    [
        (metadata(100.0), metadata(90.0), "neither run is swapped"),
        (metadata(4.0, 0.1), metadata(4.0, 0.1), "both runs are swapped"),
        (metadata(100.0), metadata(4.0, 0.05, ranks=1), "differ in ranks"),
        (metadata(100.0), metadata(4.0, 0.05, dt_ms=0.025), "differ in dt_ms"),
        (metadata(100.0), metadata(4.0, 0.05, engine="coreneuron", build="fast"), "differ in engine, build"),
        (metadata(4.0), metadata(5.0, 0.05), "as long as the detailed one"),
        ({"duration_ms": 10.0}, metadata(4.0, 0.05, ranks=None, dt_ms=None), "does not say how long"),
    ],
)
def test_cost_that_cannot_be_known(a, b, why):
    result = speed(a, b)
    assert result["cells_ratio"] is None and why in result["why_not"]


def run(seed, duration_ms=2000.0, **changes) -> Run:
    about = {"seed": seed, "duration_ms": duration_ms, "populations": {"PYR": {"size": 3}}}
    return Run(f"run-{seed}", about | changes, {}, {"PYR": (np.array([500.0]), np.array([0]))})


def test_the_window_skips_a_fifth_and_at_most_200_ms():
    assert network.window([run(1), run(2, 3000.0)], None) == (200.0, 2000.0)
    assert network.window([run(1), run(2, 500.0)], None) == (100.0, 500.0)
    assert network.window([run(1), run(2, 1200.0)], None) == (200.0, 1200.0)
    assert network.window([run(1)], 50) == (50.0, 2000.0)
    for skip in (-1, 2000):
        with pytest.raises(RunError, match=f"skip is {skip} ms, the shortest run lasts 2000 ms"):
            network.window([run(1)], skip)


def test_a_noise_floor_is_a_detailed_run_of_another_seed():
    assert network.warnings(run(1), run(1), [run(2)]) == []
    for floor, message in ((run(1), "may be the same run again"), (run(2, swap={"PYR": {}}), "is swapped")):
        (found,) = network.warnings(run(1), run(1), [floor])
        assert message in found
    (found,) = network.warnings(run(1), run(1), [])
    assert found.startswith("No noise floor")
