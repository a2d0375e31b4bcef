"""The network on a torch device against the C++ engine, which has proofs of its own."""

import numpy as np
import pytest
import torch
from test_kernel import one_thread  # noqa: F401
from test_population import CELLS, DURATION_MS, SOURCES, filled, random_model, random_rows, spikes

from netml.artifact import Artifact
from netml.device import ranges
from netml.device.network import DeviceNetwork
from netml.device.population import DevicePopulation
from netml.errors import DeviceError, ModelError
from netml.population import population as engine
from netml.population.plasticity import RewardStdp, ShortTerm

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
RELATIVE = 1e-5  # float32 sums in another order
STEPS = round(DURATION_MS)


def on_device(artifact, rows, device: str) -> DevicePopulation:
    population = DevicePopulation(artifact, "X", device)
    population.add_cells(CELLS)
    population.add_rows(SOURCES)
    population.add_synapses(*rows)
    return population


def run_engine(population, outside, rewards=None):
    """logit, v, spike (steps, cells) of the engine, the cells feeding the first rows."""
    population.reset()
    queue = sorted((t, row) for row, times in enumerate(outside) for t in times if row >= CELLS)[::-1]
    out = []
    for n in range(STEPS):
        while queue and queue[-1][0] < n + 1 - 1e-6:
            at, row = queue.pop()
            population.deliver(row, at)
        if rewards and n in rewards:
            population.reward(rewards[n])
        fired = np.zeros(CELLS, bool)
        fired[population.step()] = True
        for cell in np.flatnonzero(fired).tolist():
            population.deliver(cell, n + 1.0)
        out.append((population.logit(), population.voltage(), fired))
    return [np.stack(o) for o in zip(*out, strict=True)]


def run_device(population, outside, rewards=None):
    """The same in a network on a device."""
    network = DeviceNetwork({"X": population}, {"X": np.arange(SOURCES)})
    events = sorted((t, row) for row, times in enumerate(outside) for t in times if row >= CELLS)
    at, row = np.array([t for t, _ in events]), np.array([r for _, r in events])
    out = []
    for n in range(STEPS):
        now = (at >= n - 1e-6) & (at < n + 1 - 1e-6)
        if rewards and n in rewards:
            network.reward(rewards[n])
        _, cells = network.advance(1.0, row[now], at[now])
        fired = np.zeros(CELLS, bool)
        fired[cells] = True
        out.append((population.logit(), population.voltage(), fired))
    return [np.stack(o) for o in zip(*out, strict=True)]


def assert_same(found, expected):
    assert expected[2].sum() > 100
    np.testing.assert_array_equal(found[2], expected[2])
    for a, b in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=RELATIVE, atol=RELATIVE * np.abs(b).max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", [0, 1])
def test_spikes_are_those_of_the_engine(seed, device, monkeypatch):
    """A recurrent network with outside spikes: identical spikes, whatever the size of the pieces of a step."""
    _, artifact = random_model(seed)
    rows, outside = random_rows(seed), spikes(seed)
    reference, population = filled(artifact, rows), on_device(artifact, rows, device)
    expected = run_engine(reference, outside)
    assert_same(run_device(population, outside), expected)
    events = {name: population.stats()[name] for name in ("spikes", "late", "saturated")}
    assert events == {name: reference.stats()[name] for name in events}
    monkeypatch.setitem(ranges.LIMIT, device, 7)
    assert_same(run_device(population, outside), expected)


def test_two_populations_feed_each_other():
    """One population of all cells, or two of some each: the same spikes."""
    _, artifact = random_model(0)
    rows, outside = random_rows(0), spikes(0)
    whole = DeviceNetwork({"X": on_device(artifact, rows, "cpu")}, {"X": np.arange(SOURCES)})
    first = np.arange(CELLS) < 8
    parts, sources = {}, {}
    for label, mine in (("A", first), ("B", ~first)):
        parts[label] = DevicePopulation(artifact, label, "cpu")
        parts[label].add_cells(int(mine.sum()))
        parts[label].add_rows(SOURCES)
        here = mine[rows[1]]
        renumbered = np.cumsum(mine) - 1
        parts[label].add_synapses(rows[0][here], renumbered[rows[1][here]], *(c[here] for c in rows[2:]))
        sources[label] = np.arange(SOURCES)
    row = np.concatenate([[k] * len(t) for k, t in enumerate(outside) if k >= CELLS])
    at = np.concatenate([t for k, t in enumerate(outside) if k >= CELLS])
    found, expected = (n.advance(DURATION_MS, row, at) for n in (DeviceNetwork(parts, sources), whole))
    assert expected[0].size > 100
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("device", DEVICES)
def test_background_is_that_of_the_engine(device):
    """The same events from the same counters, over two backgrounds and cells with names."""
    _, artifact = random_model(0)
    gids, found = 2**33 + 7 * np.arange(CELLS), []
    for population in (engine.ReducedPopulation(artifact, "X"), DevicePopulation(artifact, "X", device)):
        population.add_cells(CELLS, gids)
        population.add_background(np.arange(14), np.linspace(0, 150, 14), 0.005, seed=3)
        population.add_background([1, 5], 30.0, [0.01, 0.002], seed=4)
        population.reset()
        out = []
        for _ in range(200):
            fired = np.zeros(CELLS, bool)
            fired[np.asarray(population.step())] = True
            out.append((population.logit(), population.voltage(), fired))
        found.append([np.stack(o) for o in zip(*out, strict=True)])
    assert_same(found[1], found[0])


@pytest.mark.parametrize("device", DEVICES)
def test_current_into_the_soma_is_that_of_the_engine(device):
    _, artifact = random_model(0)
    wired = artifact.arrays["channel_input"] == 5  # the last input becomes the current's
    arrays = artifact.arrays | {
        "channel_input": np.append(np.where(wired, 4, artifact.arrays["channel_input"]), 5).astype(np.int32),
        "channel_gain": np.append(artifact.arrays["channel_gain"], 2.5).astype(np.float32),
        "channel_seen": np.append(artifact.arrays["channel_seen"], 1),
    }
    artifact = Artifact(artifact.header | {"current": True, "current_range_na": [-1.0, 1.0]}, arrays)
    found = []
    for population in (engine.ReducedPopulation(artifact, "X"), DevicePopulation(artifact, "X", device)):
        population.add_cells(CELLS)
        population.reset()
        population.set_current(np.linspace(-0.3, 0.6, CELLS))
        for _ in range(20):
            population.step()
        found.append(population.logit())
    np.testing.assert_allclose(found[1], found[0], rtol=RELATIVE, atol=RELATIVE * np.abs(found[0]).max())
    assert np.ptp(found[0]) > 0.1


@pytest.mark.parametrize("device", DEVICES)
def test_a_border_belongs_to_the_later_step(device):
    _, artifact = random_model(0)
    for delay, step in {3.0: 5, 2.999999: 5, 2.99999: 4, 2.5: 4, 3.999: 5, 3.9999995: 6}.items():
        logits = []
        for size in (0.01, 0.0):
            population = on_device(artifact, ([0], [0], [0], [size], [delay]), device)
            population.reset()
            for n in range(8):
                if n == 2:
                    population.deliver(0, 2.0)
                population.step()
                logits.append(population.logit()[0])
        assert int(np.argmax(np.array(logits[:8]) != logits[8:])) == step, delay


def test_saturates_and_counts_late_events():
    _, artifact = random_model(0)
    one = np.rint(0.01 * artifact.arrays["channel_gain"][0] / DevicePopulation(artifact, "X", "cpu").quantum)
    n = int(3e9 / one)
    population = on_device(artifact, (np.zeros(n), np.zeros(n), np.zeros(n), np.full(n, 0.01), np.ones(n)), "cpu")
    population.reset()
    population.deliver(0, 0.2)
    for _ in range(3):
        population.step()
    assert population.stats()["saturated"] == 1 and np.isfinite(population.logit()).all()
    population.deliver(0, 0.2)
    assert population.stats()["late"] == n
    population.add_synapses(np.zeros(n), np.zeros(n), np.zeros(n), np.full(n, 0.01), np.ones(n))
    with pytest.raises(ModelError, match="in one step"):
        population.freeze()


RULES = {
    "depression": (ShortTerm(0.5, 100.0), None),
    "facilitation": (ShortTerm(0.2, 50.0, 200.0), None),
    "reward": (None, RewardStdp(rate_us=5e-3, high_us=0.01, a_minus=0.7, tau_plus_ms=15.0, tau_eligibility_ms=60.0)),
    "both": (ShortTerm(0.6, 80.0), RewardStdp(rate_us=5e-3, high_us=0.01, low_us=5e-4, tau_minus_ms=30.0)),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rule", RULES)
def test_plasticity_is_that_of_the_engine(rule, device):
    """Identical spikes and events; weights and eligibilities but for the rounding of float32."""
    _, artifact = random_model(0)
    rows, outside = random_rows(0), spikes(0)
    # A source that spikes three times within one step.
    outside[SOURCES - 1] = np.sort(np.concatenate([outside[SOURCES - 1], [50.1, 50.4, 50.9]]))
    plastic = np.arange(rows[0].size) % 3 > 0
    found = []
    for population, run in (
        (engine.ReducedPopulation(artifact, "X"), run_engine),
        (DevicePopulation(artifact, "X", device), run_device),
    ):
        population.add_cells(CELLS)
        population.add_rows(SOURCES)
        projection = population.add_projection(*RULES[rule])
        population.add_synapses(*(c[~plastic] for c in rows))
        population.add_synapses(*(c[plastic][:50] for c in rows), projection=projection)
        population.freeze()  # what is added later joins the rows
        population.add_synapses(*(c[plastic][50:] for c in rows), projection=projection)
        found.append(run(population, outside, rewards={40: 0.5, 90: -0.3, 91: 0.2, 250: 1.0}))
        held = population.synapses(projection)
        order = np.lexsort([held[name] for name in ("input", "delay", "cell", "row")])
        found[-1].append({name: column[order] for name, column in held.items()})
    (*expected, synapses), (*same, synapses_) = found
    assert_same(same, expected)
    for name in synapses:
        scale = np.abs(synapses[name]).max()
        np.testing.assert_allclose(synapses_[name], synapses[name], rtol=RELATIVE, atol=RELATIVE * scale, err_msg=name)
    if RULES[rule][1]:
        start = np.sort(rows[3][plastic])
        assert np.abs(np.sort(synapses["weight"]) - start).max() > 1e-3


@pytest.mark.parametrize(
    "weight, delay", [(np.nan, 1.0), (-0.1, 1.0), (1e6, 1.0), (0.001, np.nan), (0.001, 0.0), (0.001, 1e5)]
)
def test_refuses(weight, delay):
    _, artifact = random_model(0)
    with pytest.raises(ModelError):
        on_device(artifact, ([0], [0], [0], [weight], [delay]), "cpu")


def test_a_device_that_is_not_there():
    _, artifact = random_model(0)
    with pytest.raises(DeviceError, match="cannot be used"):
        DevicePopulation(artifact, "X", "cuda:99")
