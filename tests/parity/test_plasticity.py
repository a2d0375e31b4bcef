"""Plasticity, background, threads and checkpoints of the engine against plain sums over all spikes (README)."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from test_population import CELLS, RELATIVE, SEGMENTS, SOURCES, SYNAPSES, filled, random_model, random_rows, spikes

from netml.errors import ModelError
from netml.population import state as population_state
from netml.population.plasticity import RewardStdp, ShortTerm
from netml.population.population import ReducedPopulation
from netml.records.windows import event_step

STEPS = 300
STDP = RewardStdp(rate_us=4e-4, high_us=0.012, low_us=0.0005, a_plus=1.0, a_minus=0.6, tau_plus_ms=17.0,
                  tau_minus_ms=30.0, tau_eligibility_ms=150.0)  # fmt: skip
DEPRESSING, FACILITATING = ShortTerm(0.5, 120.0), ShortTerm(0.1, 20.0, 300.0)
REWARDS = {60: 1.0, 61: 0.5, 140: -1.5, 200: 2.0}  # before which step, how much


def short_term_factors(rule: ShortTerm | None, times) -> list[float]:
    """u r of every spike of a source."""
    factors, u, r = [], 0.0, 0.0
    for k, t in enumerate(times):
        if rule is None:
            factors.append(1.0)
            continue
        since = t - times[k - 1] if k else 0.0
        r = 1.0 + (r * (1 - u) - 1.0) * np.exp(-since / rule.tau_rec_ms) if k else 1.0
        keeps = np.exp(-since / rule.tau_facil_ms) if rule.tau_facil_ms else 0.0
        u = rule.use + u * (1 - rule.use) * keeps if k else rule.use
        factors.append(u * r)
    return factors


@dataclass
class Synapse:
    """One synapse by the table of the spec: all pairs summed anew at every event."""

    rule: RewardStdp
    weight: float
    eligibility: float = 0.0
    at: float = 0.0
    arrivals: list = field(default_factory=list)

    def _decay_to(self, t):
        self.eligibility *= np.exp(-(t - self.at) / self.rule.tau_eligibility_ms)
        self.at = t

    def spike(self, t):
        self._decay_to(t)
        x = sum(np.exp(-(t - a) / self.rule.tau_plus_ms) for a in self.arrivals)
        self.eligibility += self.rule.a_plus * x

    def reward(self, t, amount):
        self._decay_to(t)
        self.weight += self.rule.rate_us * amount * self.eligibility
        self.weight = min(max(self.weight, self.rule.low_us), self.rule.high_us)

    def arrive(self, t, own_spikes) -> float:
        self._decay_to(t)
        y = sum(np.exp(-(t - s) / self.rule.tau_minus_ms) for s in own_spikes)
        self.eligibility -= self.rule.a_minus * y
        self.arrivals.append(t)
        return self.weight


def reference(model, artifact, rows, source_spikes, projection, rules):
    """spike (steps, cells), and weight and eligibility of each synapse at the end; the cells step in plain torch."""
    row, cell, synapse_site, weight, delay = rows
    gain, feeds = artifact.arrays["channel_gain"].astype(float), artifact.arrays["channel_input"]
    learning = {i: Synapse(rules[k][1], weight[i]) for i, k in enumerate(projection) if rules[k][1]}
    factor = {
        (k, r): short_term_factors(rule[0], times)
        for k, rule in enumerate(rules)
        for r, times in enumerate(source_spikes)
    }
    events = sorted(
        (t + delay[i], i, n) for i in range(len(row)) for n, t in enumerate(source_spikes[row[i]])
    )  # fmt: skip
    step_of = event_step(np.round([t for t, _, _ in events], 6), 1.0)
    own = [[] for _ in range(CELLS)]
    state, last, fired = model.init_state(CELLS), torch.zeros(CELLS), np.zeros((STEPS, CELLS), bool)
    done = 0
    with torch.no_grad():
        for n in range(STEPS):
            if n in REWARDS:
                for synapse in learning.values():
                    synapse.reward(float(n), REWARDS[n])
            x = np.zeros((CELLS, model.dims.inputs))
            while done < len(events) and step_of[done] == n:
                t, i, k = events[done]
                w = learning[i].arrive(max(t, float(n)), own[cell[i]]) if i in learning else weight[i]
                x[cell[i], feeds[synapse_site[i]]] += w * gain[synapse_site[i]] * factor[projection[i], row[i]][k]
                done += 1
            state, logit, _ = model.step(state, torch.as_tensor(x, dtype=torch.float32), last)
            state, spike, last = model.emit(state, logit, artifact.header["threshold"])
            fired[n] = spike.numpy()
            for c in np.flatnonzero(fired[n]):
                own[c].append(n + 1.0)
                for i, synapse in learning.items():
                    if cell[i] == c:
                        synapse.spike(n + 1.0)
    for synapse in learning.values():
        synapse._decay_to(float(STEPS))
    return fired, {i: (s.weight, s.eligibility) for i, s in learning.items()}


RULES = [(None, None), (DEPRESSING, None), (None, STDP), (FACILITATING, STDP)]


def plastic(artifact, rows, projection, rules=RULES, threads=1, gids=None, order=None) -> ReducedPopulation:
    """Cells and synapses in the order of the test, or in another one (cells `gids`, synapses `order`)."""
    population = ReducedPopulation(artifact, "X", threads=threads)
    gids = np.arange(CELLS) if gids is None else gids
    index = np.argsort(gids) if len(gids) == CELLS else {gid: k for k, gid in enumerate(gids)}
    population.add_cells(len(gids), gids)
    population.add_rows(SOURCES, np.arange(SOURCES) + 100)
    for short_term, stdp in rules[1:]:
        population.add_projection(short_term, stdp)
    row, cell, synapse_site, weight, delay = rows
    order = np.arange(len(row)) if order is None else order
    for k in range(len(rules)):
        mine = np.array([i for i in order if projection[i] == k and cell[i] in set(gids)], int)
        where = [index[c] for c in cell[mine]]
        population.add_synapses(row[mine], where, synapse_site[mine], weight[mine], delay[mine], projection=k)
    return population


def advance(population, source_spikes, first, last, fired=None) -> np.ndarray:
    """Steps first to last; spikes (steps, cells).  The population's clock began at step 0."""
    queue = sorted((t, row) for row, times in enumerate(source_spikes) for t in times if first <= t < last)
    out = np.zeros((last - first, population.cells), bool)
    for n in range(first, last):
        while queue and queue[0][0] < n + 1 - 1e-6:
            t, row = queue.pop(0)
            population.deliver(row, t)
        if n in REWARDS:
            population.reward(REWARDS[n])
        out[n - first, population.step()] = True
    return out


@pytest.fixture(scope="module")
def case():
    model, artifact = random_model(11)
    rows, source_spikes = random_rows(11), [np.round(t, 6) for t in spikes(11)]
    return model, artifact, rows, source_spikes, np.arange(len(rows[0])) % len(RULES)


def learned(population, k):
    """{(gid, source, delay, input): [(weight, eligibility)]} of a projection."""
    held, found = population.synapses(k), {}
    for row, cell, delay, channel_input, weight, eligibility in zip(
        *(held[n].tolist() for n in ("row", "cell", "delay", "input", "weight", "eligibility")), strict=True
    ):
        found.setdefault((population.gids[cell], row, delay, channel_input), []).append((weight, eligibility))
    return {key: sorted(values) for key, values in found.items()}


@pytest.mark.slow
def test_closed_loop_matches_the_spec(case):
    """Cells, short-term plasticity, STDP and rewards together: the same spikes, weights and eligibilities."""
    model, artifact, rows, source_spikes, projection = case
    population = plastic(artifact, rows, projection)
    population.reset()
    fired = advance(population, source_spikes, 0, STEPS)
    expected, synapses = reference(model, artifact, rows, source_spikes, projection, RULES)
    assert expected.sum() > 100
    np.testing.assert_array_equal(fired, expected)
    changed = 0
    for k in (2, 3):
        mine = {}
        for i, (weight, eligibility) in synapses.items():
            if projection[i] == k:
                feeds = int(artifact.arrays["channel_input"][rows[2][i]])
                key = (int(rows[1][i]), int(rows[0][i]), round(rows[4][i] * 1e6), feeds)
                mine.setdefault(key, []).append((weight, eligibility))
                changed += weight != rows[3][i]
        found = learned(population, k)
        assert found.keys() == mine.keys()
        for key, values in mine.items():
            np.testing.assert_allclose(found[key], sorted(values), rtol=RELATIVE, atol=1e-6, err_msg=str(key))
    assert changed > 100


def test_plasticity_changes_the_spikes_and_reset_starts_over(case):
    _, artifact, rows, source_spikes, projection = case
    population, static = plastic(artifact, rows, projection), filled(artifact, rows)
    population.reset()
    static.reset()
    runs = []
    for _ in range(2):
        runs.append(advance(population, source_spikes, 0, STEPS))
        population.reset()
    np.testing.assert_array_equal(*runs)
    assert (advance(static, source_spikes, 0, STEPS) != runs[0]).any()


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_and_order_do_not_matter(case, threads):
    _, artifact, rows, source_spikes, projection = case
    rng = np.random.default_rng(5)
    gids = rng.permutation(CELLS)
    one = plastic(artifact, rows, projection)
    other = plastic(artifact, rows, projection, threads=threads, gids=gids, order=rng.permutation(len(rows[0])))
    for population in (one, other):
        population.reset()
    np.testing.assert_array_equal(
        advance(one, source_spikes, 0, STEPS)[:, gids], advance(other, source_spikes, 0, STEPS)
    )
    for k in (2, 3):
        assert learned(one, k) == learned(other, k)


@pytest.mark.parametrize("cut", [1, 37, 61, 150, 201])
def test_a_cut_run_goes_on_with_the_same_spikes_on_other_ranks(case, cut):
    """Saved by two ranks (one of two threads), restored on three: bit for bit the uncut run."""
    _, artifact, rows, source_spikes, projection = case

    def split(count, **options):
        populations = [
            plastic(artifact, rows, projection, gids=np.arange(k, CELLS, count), **options) for k in range(count)
        ]
        for population in populations:
            population.add_background([1, 4, 4], 20.0, [0.004, 0.002, 0.01], seed=3)
            population.reset()
        return populations

    def together(populations, first, last):
        out = np.zeros((last - first, CELLS), bool)
        for population in populations:
            out[:, np.array(population.gids)] = advance(population, source_spikes, first, last)
        return out

    (whole,) = split(1)
    expected = together([whole], 0, STEPS)
    before = split(2, threads=2)
    first = together(before, 0, cut)
    saved = population_state.merge([p.save_state() for p in before])
    after = split(3)
    for population in after:
        population.restore_state(saved)
    shifted = [np.asarray(t) - cut for t in source_spikes]  # the restored population's own clock began at the cut
    rest = np.zeros((STEPS - cut, CELLS), bool)
    for population in after:
        queue = sorted((t, row) for row, times in enumerate(shifted) for t in times if t >= 0)
        for n in range(STEPS - cut):
            while queue and queue[0][0] < n + 1 - 1e-6:
                t, row = queue.pop(0)
                population.deliver(row, t)
            if n + cut in REWARDS:
                population.reward(REWARDS[n + cut])
            rest[n, np.array(population.gids)[population.step()]] = True
    np.testing.assert_array_equal(np.concatenate([first, rest]), expected)
    np.testing.assert_array_equal(together(before, cut, STEPS), expected[cut:])  # saving disturbs nothing
    for k in (2, 3):
        assert learned(whole, k) == {key: value for p in after for key, value in learned(p, k).items()}


def test_spikes_that_neuron_holds_back_are_in_the_checkpoint_once(case):
    """A spike still to be handed over is saved, and ignored when it comes after all."""
    _, artifact, rows, source_spikes, projection = case
    plain, saved_early = plastic(artifact, rows, projection), plastic(artifact, rows, projection)
    restored = plastic(artifact, rows, projection)
    for population in (plain, saved_early, restored):
        population.reset()
        for _ in range(10):
            population.step()
    for population in (plain, saved_early):
        population.deliver(3, 9.9)
    state = saved_early.save_state(sources=[103, 105], spikes_ms=[9.9, 9.95])
    restored.restore_state(state)
    for population in (plain, saved_early):
        population.deliver(5, 9.95)
    logits = []
    for population in (plain, saved_early, restored):
        logits.append([(population.step(), population.logit())[1] for _ in range(25)])
        assert population.stats()["late"] == 0
    np.testing.assert_array_equal(logits[0], logits[1])
    np.testing.assert_array_equal(logits[0], logits[2])


def test_history_is_forgotten_without_a_trace():
    """Beyond the step where all synapses are brought up to date: weights as by the spec, and the history is gone."""
    _, artifact = random_model(0)
    population = ReducedPopulation(artifact, "X")
    population.add_cell()
    row = population.add_row()
    k = population.add_projection(stdp=STDP)
    synapse_sites = np.arange(SEGMENTS * len(SYNAPSES))
    population.add_synapses(
        0 * synapse_sites,
        0 * synapse_sites,
        synapse_sites,
        np.full(synapse_sites.size, 0.01),
        2.5 + synapse_sites,
        projection=k,
    )
    population.add_background(synapse_sites, 40.0, 0.01)
    population.reset()
    spec = [Synapse(STDP, 0.01) for _ in synapse_sites]
    times = [100.2, 8185.0, 8189.5, 8195.25, 8300.0]
    queue = list(times)
    arrivals = sorted((t + 2.5 + i, i) for t in times for i in synapse_sites)
    own = []
    for n in range(8320):
        while queue and queue[0] < n + 1 - 1e-6:
            population.deliver(row, queue.pop(0))
        if n in (8191, 8192, 8310):
            population.reward(1.0)
            for synapse in spec:
                synapse.reward(float(n), 1.0)
        while arrivals and arrivals[0][0] < n + 1 - 1e-6:
            t, i = arrivals.pop(0)
            spec[i].arrive(t, own)
        if population.step().size:
            own.append(n + 1.0)
            for synapse in spec:
                synapse.spike(n + 1.0)
    for synapse in spec:
        synapse._decay_to(8320.0)
    held = population.synapses(k)
    assert len(own) > 500 and own[-1] > 8192
    by_delay = np.argsort(held["delay"])
    np.testing.assert_allclose(held["weight"][by_delay], [s.weight for s in spec], rtol=RELATIVE)
    np.testing.assert_allclose(held["eligibility"][by_delay], [s.eligibility for s in spec], rtol=RELATIVE, atol=1e-6)
    assert len(set(held["weight"])) > 3
    assert population.save_state()["post_spikes"].size <= 1 + sum(t > 8192 for t in own)


def philox(counter, key):
    """Philox 4x32-10 of Salmon et al. 2011 in Python's own integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def test_philox_of_the_test_gives_the_published_numbers():
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_background_is_poisson_of_its_counters(case):
    """One synapse site: event counts are the Poisson quantiles of Philox's first word; many: rates come out right."""
    _, artifact, *_ = case
    gids, rate_hz = [7, 123456, 3], 400.0
    one, fed = ReducedPopulation(artifact, "X"), ReducedPopulation(artifact, "X")
    border = np.cumsum([np.exp(-0.4) * 0.4**k / np.prod(np.arange(1, k + 1)) for k in range(12)])
    for population in (one, fed):
        population.add_cells(3, gids)
        population.add_rows(3)
    one.add_background([2], rate_hz, 0.003, seed=9)
    fed.add_synapses([0, 1, 2], [0, 1, 2], [2, 2, 2], [0.003] * 3, [0.5] * 3)
    for population in (one, fed):
        population.reset()
    total = 0
    for n in range(200):
        for cell, gid in enumerate(gids):
            count = int((philox([gid, n, 0, 0], [9, 0])[0] / 2**32 >= border).sum())
            total += count
            for _ in range(count):
                fed.deliver(cell, n + 0.25)
        one.step()
        fed.step()
        np.testing.assert_array_equal(one.logit(), fed.logit())
    assert one.stats()["background"] == total > 150

    many = ReducedPopulation(artifact, "X")
    many.add_cells(200)
    many.add_background(np.arange(4), [100.0, 50.0, 0.0, 350.0], 0.001, seed=1)
    many.reset()
    for _ in range(500):
        many.step()
    assert abs(many.stats()["background"] - 50_000) < 4 * np.sqrt(50_000)


@pytest.mark.parametrize(
    "synapse_site, rate, weight", [(99, 1.0, 0.1), (0, -1.0, 0.1), (0, np.nan, 0.1), (0, 1.0, np.nan), (0, 1e6, 0.1)]
)
def test_background_refuses(case, synapse_site, rate, weight):
    with pytest.raises(ModelError, match="background"):
        ReducedPopulation(case[1], "X").add_background(synapse_site, rate, weight)


@pytest.mark.parametrize(
    "rule, values",
    [(ShortTerm, (0.0, 100.0)), (ShortTerm, (1.5, 100.0)), (ShortTerm, (0.5, 0.0)), (ShortTerm, (0.5, 10.0, -1.0)),
     (ShortTerm, (np.nan, 10.0)), (RewardStdp, (0.1, -1.0)), (RewardStdp, (np.inf, 1.0)),
     (RewardStdp, (0.1, 1.0, 0.0, 1.0, 1.0, 0.0))],
)  # fmt: skip
def test_rules_refuse(rule, values):
    with pytest.raises(ModelError):
        rule(*values)


def test_refuses_a_checkpoint_of_another_network(case):
    _, artifact, rows, _, projection = case
    state = plastic(artifact, rows, projection).save_state()
    fewer = [column[:-4] for column in rows]
    with pytest.raises(ModelError, match="other synapses"):
        plastic(artifact, fewer, projection[:-4]).restore_state(state)
    with pytest.raises(ModelError, match="lacks some cells"):
        plastic(artifact, rows, projection, gids=np.arange(CELLS) + 1).restore_state(state)
    with pytest.raises(ModelError, match="bounds"):
        plastic(artifact, (*rows[:3], rows[3] * 3, rows[4]), projection)


@pytest.mark.slow
def test_a_long_run_takes_no_more_memory():
    """Spikes, rewards and history come and go: as much again leaves no more behind."""
    _, artifact = random_model(0)
    population = ReducedPopulation(artifact, "X")
    population.add_cells(64)
    population.add_rows(64)
    k = population.add_projection(ShortTerm(0.3, 100.0, 50.0), STDP)
    rng = np.random.default_rng(0)
    n = 64 * 40
    synapse_sites = SEGMENTS * len(SYNAPSES)
    for projection in (0, k):
        population.add_synapses(rng.integers(0, 64, n), rng.integers(0, 64, n), rng.integers(0, synapse_sites, n),
                                rng.uniform(0.001, 0.003, n), rng.uniform(1, 20, n), projection)  # fmt: skip
    population.add_background(np.arange(synapse_sites), 40.0, 0.006)
    population.reset()
    seconds, held = 34, []
    for _ in range(seconds):
        for _ in range(1000):
            end_ms = population.handle.clock() + 1.0
            for cell in population.step().tolist():
                population.deliver(cell, end_ms)
        population.reward(0.1)
        held.append(population.stats()["bytes"])
    stats = population.stats()
    assert stats["spikes"] > 64 * seconds and stats["late"] == 0
    assert np.isfinite(population.voltage()).all() and np.isfinite(population.synapses(k)["weight"]).all()
    assert max(held[-17:]) <= 1.02 * max(held[:17])  # the history is forgotten every 8.192 s
