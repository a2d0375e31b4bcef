"""Random input of the protocol: reproducible, in range, and of the rates and places that were asked for."""

from dataclasses import replace

import numpy as np
import pytest

from netml.errors import RecordsError
from netml.records import Trial
from netml.stimuli.random_input import KINDS, PAUSE_MS, InputCounts, InputProfile, Ranges, draw_input, paused, shuffled

SEGMENTS, SECONDS = 60, 10.0
EXACT = Ranges(excitation=(1.0, 1.0), inhibition=(1.0, 1.0), weight=(1.0, 1.0), unseen=0.0)


def network_trial(synapse_site, weight):
    events = len(synapse_site)
    return Trial(
        "network",
        0,
        1,
        SECONDS * 1000,
        np.sort(np.random.default_rng(0).uniform(0, 10_000, events)),
        np.asarray(synapse_site, np.int32),
        np.asarray(weight, np.float32),
        np.empty(0),
        {},
    )


@pytest.fixture
def profile():
    """Excitation on the first 30 segments at 100 Hz each, inhibition on the last 30 at 50 Hz each."""
    synapse_site = np.concatenate([np.repeat(np.arange(30) * 2, 1000), np.repeat(np.arange(30, 60) * 2 + 1, 500)])
    weight = np.where(synapse_site % 2 == 0, 5e-4, 1e-3)
    drive = InputCounts.of(network_trial(synapse_site, weight), 2 * SEGMENTS)
    excites = {"exc": True, "inh": False}
    return InputProfile.from_drive(drive, np.full(SEGMENTS, 10.0), np.arange(SEGMENTS) // 6, excites)


def test_profile_measures_the_network(profile):
    assert profile.rate_hz[0] == pytest.approx(100) and profile.rate_hz[1] == 0
    assert profile.weight_us[::2] == pytest.approx(5e-4, rel=1e-6)  # also where no event was seen
    assert profile.weight_us[1::2] == pytest.approx(1e-3, rel=1e-6)


def test_a_synapse_type_without_events_is_an_error():
    drive = InputCounts.of(network_trial([0, 2], [1e-3, 1e-3]), 2 * SEGMENTS)
    with pytest.raises(RecordsError, match="no event at a synapse of type 'inh'.*--protocol-trials 0"):
        InputProfile.from_drive(drive, np.full(SEGMENTS, 10.0), np.zeros(SEGMENTS, int), {"exc": True, "inh": False})


@pytest.mark.parametrize("kind", KINDS)
def test_trials_are_reproducible_sorted_and_in_range(profile, kind):
    time, synapse_site, weight = draw_input(kind, profile, 2000.0, seed=3, trial=5)
    again = draw_input(kind, profile, 2000.0, seed=3, trial=5)
    assert all(np.array_equal(a, b) for a, b in zip((time, synapse_site, weight), again, strict=True))
    assert time.size and (np.diff(time) >= 0).all() and time[0] > 0 and time[-1] < 2000
    assert synapse_site.min() >= 0 and synapse_site.max() < 2 * SEGMENTS
    assert weight.shape == (2 * SEGMENTS,) and weight.dtype == np.float32 and (weight > 0).all()
    assert not np.array_equal(time[:10], draw_input(kind, profile, 2000.0, seed=3, trial=6)[0][:10])


def test_kinds_cover_rates_from_silence_to_more_than_the_network(profile):
    rate = {kind: np.array([draw_input(kind, profile, 2000.0, 0, k)[0].size / 2 for k in range(30)]) for kind in KINDS}
    network = profile.rate_hz.sum()
    assert rate["silence"].max() < 0.05 * network
    assert 0.02 * network < np.median(rate["sparse"]) < 0.4 * network
    assert rate["dense"].max() > 1.2 * network
    assert rate["dense"].min() < 0.8 * network


def test_dense_input_falls_where_the_network_puts_it(profile):
    synapse_site = np.concatenate([draw_input("dense", profile, 5000.0, 0, k, EXACT)[1] for k in range(20)])
    count = np.bincount(synapse_site, minlength=2 * SEGMENTS) / 100.0
    unused = profile.rate_hz == 0
    assert count[unused].sum() == 0
    # Rates wander by up to 80 % a branch, over 20 trials; the mean over all branches is bound closer.
    assert count[~unused].mean() == pytest.approx(profile.rate_hz[~unused].mean(), rel=0.15)


def test_weights_move_against_rates(profile):
    twice = Ranges(excitation=(1.0, 1.0), inhibition=(1.0, 1.0), weight=(2.0, 2.0), weight_spread=0.0, strong=0.0)
    once = Ranges(excitation=(1.0, 1.0), inhibition=(1.0, 1.0), weight=(1.0, 1.0), weight_spread=0.0, strong=0.0)
    many, weight_once = draw_input("sparse", profile, 60_000.0, 1, 1, once)[::2]
    few, weight_twice = draw_input("sparse", profile, 60_000.0, 1, 1, twice)[::2]
    assert weight_twice == pytest.approx(2 * weight_once, rel=1e-6)
    assert many.size / few.size == pytest.approx(2.0, rel=0.2)


def test_volleys_are_synchronous(profile):
    silent = replace(profile, rate_hz=profile.rate_hz * 1e-6)
    time = np.concatenate([draw_input("volleys", silent, 2000.0, 0, k)[0] for k in range(10)])
    gaps = np.diff(np.sort(time))
    assert np.median(gaps) < 1.0  # ms; as many events spread evenly would lie further apart


def test_scattered_weights_span_the_range_at_the_same_total_conductance(profile):
    drawn = [draw_input("weights", profile, 2000.0, 0, k, EXACT) for k in range(40)]
    factors = np.concatenate([weight / profile.weight_us for _, _, weight in drawn])
    assert factors.min() == pytest.approx(0.1, rel=1e-6) and factors.max() == pytest.approx(10, rel=1e-6)
    assert ((factors > 0.1001) & (factors < 9.999)).mean() == pytest.approx(0.954, abs=0.01)  # two deviations
    assert np.median(factors) == pytest.approx(1, abs=0.05)
    given = np.mean([weight[synapse_site].sum() for _, synapse_site, weight in drawn]) / 2
    assert given == pytest.approx((profile.rate_hz * profile.weight_us).sum(), rel=0.2)  # rates wander


def test_moved_synapses_lie_on_a_third_of_the_segments(profile):
    places = [np.unique(draw_input("moved", profile, 20_000.0, 0, k)[1] // 2) for k in range(5)]
    assert [len(p) for p in places] == [18] * 5
    assert len(np.unique(np.concatenate(places))) > 40  # others in every trial
    rate = np.mean([draw_input("moved", profile, 2000.0, 0, k, EXACT)[0].size / 2 for k in range(40)])
    assert rate == pytest.approx(profile.rate_hz.sum(), rel=0.15)


def test_crowded_channels_get_several_events_a_millisecond(profile):
    silent = replace(profile, rate_hz=profile.rate_hz * 1e-6)
    most = []
    for k in range(10):
        time, synapse_site, _ = draw_input("crowded", silent, 2000.0, 0, k)
        most.append(np.unique(np.floor(time).astype(int) * 1000 + synapse_site, return_counts=True)[1].max(initial=0))
    assert np.median(most) >= 4


def test_a_shuffled_trial_is_made_of_whole_channels_of_trials_of_the_network():
    """Each synapse site has the weights of one trial, in their order, and its intervals, but two at the seam."""
    rng = np.random.default_rng(0)
    trials = [network_trial(rng.integers(40, size=4000), rng.random(4000) + k) for k in range(3)]
    time, synapse_site, weight = shuffled(trials, 2 * SEGMENTS, seed=3, trial=5)
    sources = []
    for c in range(40):
        own, at = weight[synapse_site == c], time[synapse_site == c]
        sources.append(int(own[0]))
        network = trials[sources[-1]]
        there = network.event_synapse_site == c
        first = int(np.flatnonzero(network.event_weight[there] == own[0])[0])
        assert np.array_equal(np.roll(network.event_weight[there], -first), own)
        shifted = np.roll(network.event_time[there], -first) - at
        assert np.ptp(shifted % (SECONDS * 1000)) == pytest.approx(0, abs=1e-6)
    assert set(sources) == {0, 1, 2} and (np.diff(time) >= 0).all()
    assert weight.dtype == np.float32 and synapse_site.dtype == np.int32
    assert all(map(np.array_equal, shuffled(trials, 2 * SEGMENTS, 3, 5), (time, synapse_site, weight)))
    assert not np.array_equal(shuffled(trials, 2 * SEGMENTS, 3, 6)[0][:9], time[:9])


def test_a_paused_trial_is_a_shuffled_one_that_is_silent_for_a_while():
    rng = np.random.default_rng(0)
    trials = [network_trial(rng.integers(40, size=4000), rng.random(4000)) for _ in range(3)]
    ends = []
    for k in range(20):
        full, (time, synapse_site, weight) = shuffled(trials, 2 * SEGMENTS, 3, k), paused(trials, 2 * SEGMENTS, 3, k)
        assert time.size < full[0].size
        kept = np.isin(full[0], time)
        assert all(map(np.array_equal, (part[kept] for part in full), (time, synapse_site, weight)))
        left_out = full[0][~kept]
        assert not ((time > left_out[0]) & (time < left_out[-1])).any()
        ends.append(left_out[-1] == full[0][-1])
        assert ends[-1] or left_out[-1] - left_out[0] > 0.9 * PAUSE_MS[0]
    assert 2 < sum(ends) < 18  # some end in silence, the others wake from it


def test_unknown_kind(profile):
    with pytest.raises(RecordsError, match="unknown kind of protocol 'storm'; known: silence"):
        draw_input("storm", profile, 100.0, 0, 0)
