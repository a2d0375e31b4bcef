"""The network on a torch device against the C++ engine, and its plasticity against sums over all pairs."""

import numpy as np
import pytest
import torch
from test_population import CELLS, DURATION_MS, SOURCES, filled, random_model, random_rows, spikes

from netml.device import ranges
from netml.device.network import Network
from netml.device.population import Population
from netml.engine.plasticity import RewardStdp, ShortTerm
from netml.errors import ModelError

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
RELATIVE = 1e-5  # float32 sums in another order
STEPS = round(DURATION_MS)


def on_device(artifact, rows, device: str) -> Population:
    population = Population(artifact, "X", device)
    population.add_cells(CELLS)
    population.add_rows(SOURCES)
    population.add_synapses(*rows)
    return population


def run_engine(population, outside):
    """logit, v, spike (steps, cells) of the engine, the cells feeding the first rows."""
    population.reset()
    queue = sorted((t, row) for row, times in enumerate(outside) for t in times if row >= CELLS)[::-1]
    out = []
    for n in range(STEPS):
        while queue and queue[-1][0] < n + 1 - 1e-6:
            at, row = queue.pop()
            population.deliver(row, at)
        fired = np.zeros(CELLS, bool)
        fired[population.step()] = True
        for cell in np.flatnonzero(fired).tolist():
            population.deliver(cell, n + 1.0)
        out.append((population.logit(), population.voltage(), fired))
    return [np.stack(o) for o in zip(*out, strict=True)]


def run_device(population, outside):
    """The same in a network on a device."""
    network = Network({"X": population}, {"X": np.arange(SOURCES)})
    events = sorted((t, row) for row, times in enumerate(outside) for t in times if row >= CELLS)
    at, row = np.array([t for t, _ in events]), np.array([r for _, r in events])
    out = []
    for n in range(STEPS):
        now = (at >= n - 1e-6) & (at < n + 1 - 1e-6)
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
    engine, population = filled(artifact, rows), on_device(artifact, rows, device)
    expected = run_engine(engine, outside)
    assert_same(run_device(population, outside), expected)
    events = {name: population.stats()[name] for name in ("spikes", "events", "late", "saturated")}
    assert events == {name: engine.stats()[name] for name in events}
    monkeypatch.setitem(ranges.LIMIT, device, 7)
    assert_same(run_device(population, outside), expected)


def test_two_populations_feed_each_other():
    """One population of all cells, or two of some each: the same spikes."""
    _, artifact = random_model(0)
    rows, outside = random_rows(0), spikes(0)
    whole = Network({"X": on_device(artifact, rows, "cpu")}, {"X": np.arange(SOURCES)})
    first = np.arange(CELLS) < 8
    parts, sources = {}, {}
    for label, mine in (("A", first), ("B", ~first)):
        parts[label] = Population(artifact, label, "cpu")
        parts[label].add_cells(int(mine.sum()))
        parts[label].add_rows(SOURCES)
        here = mine[rows[1]]
        renumbered = np.cumsum(mine) - 1
        parts[label].add_synapses(rows[0][here], renumbered[rows[1][here]], *(c[here] for c in rows[2:]))
        sources[label] = np.arange(SOURCES)
    row = np.concatenate([[k] * len(t) for k, t in enumerate(outside) if k >= CELLS])
    at = np.concatenate([t for k, t in enumerate(outside) if k >= CELLS])
    found, expected = (n.advance(DURATION_MS, row, at) for n in (Network(parts, sources), whole))
    assert expected[0].size > 100
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


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
    one = np.rint(0.01 * artifact.arrays["channel_gain"][0] / Population(artifact, "X", "cpu").quantum)
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


def drive(population, projection: int, seed: int):
    """Plastic synapses of 6 rows and a strong static drive; returns their columns, and outside spikes."""
    rng = np.random.default_rng(seed)
    n = 40
    columns = (rng.integers(0, 6, n), rng.integers(0, CELLS, n), rng.integers(0, 14, n), rng.uniform(1e-3, 4e-3, n),
               np.round(rng.uniform(0.5, 9, n), 2))  # fmt: skip
    population.add_synapses(*columns, projection=projection)
    strong = np.arange(6, SOURCES)
    population.add_synapses(strong, rng.integers(0, CELLS, strong.size), rng.integers(0, 14, strong.size),
                            np.full(strong.size, 0.01), np.ones(strong.size))  # fmt: skip
    # Some spikes of one source fall into one step.
    return columns, [np.sort(rng.uniform(0, 190, 60 if row < 6 else 20)) for row in range(SOURCES)]


def run_plastic(population, outside, rewards=None):
    """Spikes (tick) of every cell over 200 ms, and the input sums of every step."""
    population.reset()
    fired, sums = [[] for _ in range(CELLS)], []
    row = np.concatenate([[k] * len(t) for k, t in enumerate(outside)])
    at = np.concatenate(outside)
    for n in range(200):
        now = (at >= n) & (at < n + 1)
        population.deliver(row[now], at[now])
        if rewards and n in rewards:
            population.reward(rewards[n])
        for cell in population.step().tolist():
            fired[cell].append(n + 1.0)
        sums.append(population._cells.x.cpu().numpy().copy())
    assert population.stats()["late"] == 0
    return fired, np.array(sums)


def short_term_factors(times, rule: ShortTerm):
    use, resources, factors = rule.use, 1.0, []
    for k, t in enumerate(times):
        if k:
            since = t - times[k - 1]
            resources = 1 + (resources * (1 - use) - 1) * np.exp(-since / rule.tau_rec_ms)
            use = rule.use + use * (1 - rule.use) * (np.exp(-since / rule.tau_facil_ms) if rule.tau_facil_ms else 0)
        factors.append(use * resources)
    return factors


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rule", [ShortTerm(0.5, 100.0), ShortTerm(0.2, 50.0, 200.0)])
def test_short_term_plasticity(rule, device):
    """The sums of every step are those of the static synapses plus those of events of weight w u r."""
    _, artifact = random_model(4)
    plastic, static = Population(artifact, "X", device), Population(artifact, "X", device)
    for population in (plastic, static):
        population.add_cells(CELLS)
        population.add_rows(SOURCES)
    columns, outside = drive(plastic, plastic.add_projection(rule), 5)
    _, found = run_plastic(plastic, outside)
    drive(static, static.add_projection(), 5)
    _, unscaled = run_plastic(static, outside)
    expected = unscaled.astype(float)
    scale = artifact.arrays["channel_gain"].astype(float)
    for row, cell, channel, weight, delay in zip(*(c.tolist() for c in columns), strict=True):
        quanta = np.rint(weight * scale[channel] / plastic.quantum)
        for t, factor in zip(outside[row], short_term_factors(outside[row], rule), strict=True):
            if t + delay < 200:
                change = (np.rint(quanta * factor) - quanta) * plastic.quantum
                expected[int(t + delay), cell, artifact.arrays["channel_input"][channel]] += change
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * expected.max())
    assert np.abs(found - unscaled).max() > 0.1 * expected.max()


@pytest.mark.parametrize("device", DEVICES)
def test_reward_modulated_stdp(device):
    """Weights and eligibilities after 200 ms are sums over all pairs; events arrive with the weight of their time."""
    rule = RewardStdp(rate_us=2e-2, high_us=5e-3, low_us=5e-4, a_minus=0.7, tau_plus_ms=15.0, tau_minus_ms=25.0,
                      tau_eligibility_ms=60.0)  # fmt: skip
    _, artifact = random_model(6)
    population = Population(artifact, "X", device)
    population.add_cells(CELLS)
    population.add_rows(SOURCES)
    columns, outside = drive(population, population.add_projection(stdp=rule), 7)
    rewards = {40: 0.5, 90: -0.3, 150: 1.0}
    fired, _ = run_plastic(population, outside, rewards)
    assert sum(map(len, fired)) > 50
    learning = population.projections[1]
    held = sorted(zip(learning._key.tolist(), (learning._target // 6).tolist(), learning.weight.tolist(), strict=True))
    expected, moved = [], 0
    for row, cell, _, weight, delay in zip(*(c.tolist() for c in columns), strict=True):
        arrivals, posts = outside[row] + delay, np.array(fired[cell])
        w = weight
        for t, amount in rewards.items():
            w = np.clip(
                w + rule.rate_us * amount * eligibility(rule, arrivals, posts, float(t)), rule.low_us, rule.high_us
            )
        moved += abs(w - weight) > 1e-4
        expected.append((row * 2**32 + round(delay * 1e6), cell, w))
    assert moved > 10
    for (key, cell, w), (key_, cell_, w_) in zip(held, sorted(expected), strict=True):
        assert (key, cell) == (key_, cell_) and w == pytest.approx(w_, rel=1e-5)


def eligibility(rule: RewardStdp, arrivals, posts, now: float) -> float:
    """By the table of netml/engine/README.md: at a time, spikes come first, then rewards, then arrivals."""
    total = 0.0
    for post in posts[posts <= now]:
        x = np.exp(-(post - arrivals[arrivals < post]) / rule.tau_plus_ms).sum()
        total += rule.a_plus * x * np.exp(-(now - post) / rule.tau_eligibility_ms)
    for arrival in arrivals[arrivals < now]:
        y = np.exp(-(arrival - posts[posts <= arrival]) / rule.tau_minus_ms).sum()
        total -= rule.a_minus * y * np.exp(-(now - arrival) / rule.tau_eligibility_ms)
    return total


@pytest.mark.parametrize(
    "weight, delay", [(np.nan, 1.0), (-0.1, 1.0), (1e6, 1.0), (0.001, np.nan), (0.001, 0.0), (0.001, 1e5)]
)
def test_refuses(weight, delay):
    _, artifact = random_model(0)
    with pytest.raises(ModelError):
        on_device(artifact, ([0], [0], [0], [weight], [delay]), "cpu")


def test_a_device_that_is_not_there():
    _, artifact = random_model(0)
    with pytest.raises(ModelError, match="cannot be used"):
        Population(artifact, "X", "cuda:99")
