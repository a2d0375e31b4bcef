"""The population engine, alone and inside NEURON, against plain torch and straightforward binning."""

import numpy as np
import pytest
import torch

from netml.artifact import Artifact
from netml.circuit.current import Clamp, mean_of_steps, total
from netml.errors import ArtifactError, ModelError
from netml.population import state as population_state
from netml.population.c_interface import TICKS_PER_MS
from netml.population.ensemble import Ensemble, population_of
from netml.population.population import ReducedPopulation
from netml.records.windows import event_step
from netml.reductions.kernel import LANES
from netml.reductions.leaky_memory import LeakyMemory

SYNAPSES = ("exc", "inh")
SEGMENTS = 7
CELLS, SOURCES, DURATION_MS = 21, 30, 300.0  # 21 cells: one full block of lanes, one that is padded
RELATIVE = 1e-5  # float32 in another order of summation; spikes must be equal


def random_model(seed: int, dt_ms: float = 1.0, expected: bool = False):
    """A torch cell with random weights that fires now and then, and its artifact."""
    rng = np.random.default_rng(seed)
    synapse_sites, inputs = SEGMENTS * len(SYNAPSES), 6
    trace_input = np.repeat(np.arange(inputs), 2)
    tau_ms = np.tile([3.0, 30.0], inputs)
    model = LeakyMemory(trace_input, tau_ms, inputs=inputs, memory=9, hidden=19, expected=expected, dt_ms=dt_ms,
                        seed=seed)  # fmt: skip
    with torch.no_grad():
        model.readout *= 8
        model.logit_mean.fill_(0.0)
        model.refractory.fill_(3)
    model.settle()
    arrays = {
        "params": model.pack().detach().numpy(),
        "wiring": trace_input.astype(np.int32),
        "channel_input": rng.integers(0, inputs, synapse_sites).astype(np.int32),
        "channel_gain": rng.uniform(50, 150, synapse_sites).astype(np.float32),
        "channel_seen": np.ones(synapse_sites, np.int64),
    }
    header = {
        "format": "netml-reduction", "version": 1, "reduction": "leaky_memory",
        "cell": {"label": "x", "fingerprint": ""},
        "synapses": list(SYNAPSES), "sections": [["soma", 1], ["dend", SEGMENTS - 1]], "dims": model.dims._asdict(),
        "dt_r_ms": dt_ms, "threshold": -1.0 if expected else 1.0, "v_rest_mv": -70.0,
        "weight_range_us": {s: [0.001, 0.01] for s in SYNAPSES},
        "provenance": {}, "scores": {},
    }  # fmt: skip
    return model, Artifact(header, arrays)


def random_model_with_current(seed: int, dt_ms: float = 1.0):
    """The same with one input more, the current into the soma, and a fast and a slow trace of it."""
    plain, artifact = random_model(seed, dt_ms)
    inputs, trace_input = plain.inputs + 1, np.append(plain.wiring.numpy(), [plain.inputs] * 2)
    model = LeakyMemory(trace_input, np.append(np.tile([3.0, 30.0], plain.inputs), [0.2, 5.0]), inputs=inputs, memory=9,
                        hidden=19, dt_ms=dt_ms, seed=seed)  # fmt: skip
    with torch.no_grad():
        model.readout *= 8
        model.logit_mean.fill_(0.0)
        model.refractory.fill_(3)
    model.settle()
    arrays = artifact.arrays | {"params": model.pack().detach().numpy(), "wiring": trace_input.astype(np.int32)}
    for name, last in (("channel_input", inputs - 1), ("channel_gain", 4.0), ("channel_seen", 1)):
        arrays[name] = np.append(arrays[name], np.asarray(last, arrays[name].dtype))
    header = artifact.header | {"dims": model.dims._asdict(), "current": True, "current_range_na": [-0.5, 1.0]}
    return model, Artifact(header, arrays)


def random_clamps(seed: int):
    """Clamps by cell: none, one, or several that overlap; on and off at any time, some within one step."""
    rng = np.random.default_rng([seed, 9])
    clamps = {cell: [Clamp(*values) for values in zip(rng.uniform(0, DURATION_MS, n), rng.exponential(60.0, n),
                                                      rng.uniform(-0.4, 0.8, n), strict=True)]
              for cell, n in enumerate(rng.integers(0, 4, CELLS))}  # fmt: skip
    clamps[0].append(Clamp(17.3, 0.4, 2.0))
    return clamps


def random_rows(seed: int, longest_ms: float = 20.0):
    """Synapses (row, cell, synapse site, weight, delay); some delays fall on borders of steps."""
    rng = np.random.default_rng(seed)
    n = 600
    delay = np.round(rng.uniform(0.1, longest_ms, n), 3)
    delay[:80] = np.round(delay[:80] * 2) / 2 + 0.5
    tops = SOURCES, CELLS, SEGMENTS * len(SYNAPSES)
    return *(rng.integers(0, top, n) for top in tops), rng.uniform(0.001, 0.01, n), delay


def spikes(seed: int):
    """Times of the sources' spikes, by row; some fall on borders of steps."""
    rng = np.random.default_rng(seed)
    times = [np.sort(rng.uniform(0, DURATION_MS - 1, 6)) for _ in range(SOURCES)]
    return [np.where(rng.random(6) < 0.3, np.round(t), t) for t in times]


def inputs(artifact, number: int, rows, source_spikes):
    """(steps, cells, inputs) weight x gain of the events of each step, summed."""
    row, cell, synapse_site, weight, delay = rows
    dt = artifact.header["dt_r_ms"]
    steps = round(DURATION_MS / dt)
    x = np.zeros((steps, CELLS, number))
    gain = artifact.arrays["channel_gain"][synapse_site].astype(float)
    for source, times in enumerate(source_spikes):
        mine = row == source
        for t in times:
            step = event_step(np.round((t + delay[mine]) * TICKS_PER_MS) / TICKS_PER_MS, dt)
            seen = step < steps
            target = step[seen], cell[mine][seen], artifact.arrays["channel_input"][synapse_site[mine]][seen]
            np.add.at(x, target, (weight[mine] * gain[mine])[seen])
    return x


def reference(model, artifact, rows, source_spikes, clamps=None, set_na=0.0):
    """logit, v, spike (steps, cells) of the free-running torch cells; set_na: a current from the start."""
    x, dt = inputs(artifact, model.dims.inputs, rows, source_spikes), artifact.header["dt_r_ms"]
    steps = len(x)
    for cell, own in (clamps or {}).items():
        x[:, cell, -1] += (mean_of_steps(*total(own), steps, dt) + set_na) * artifact.arrays["channel_gain"][-1]
    state, last, out = model.init_state(CELLS), torch.zeros(CELLS), []
    with torch.no_grad():
        for n in range(steps):
            state, logit, v = model.step(state, torch.as_tensor(x[n], dtype=torch.float32), last)
            state, spike, last = model.emit(state, logit, artifact.header["threshold"])
            out.append((logit.numpy(), v.numpy(), spike.numpy()))
    return [np.stack(o) for o in zip(*out, strict=True)]


def filled(artifact, rows) -> ReducedPopulation:
    population = population_of(artifact, "X")
    for _ in range(CELLS):
        population.add_cell()
    for _ in range(SOURCES):
        population.add_row()
    for synapse in zip(*(column.tolist() for column in rows), strict=True):
        population.add_synapse(*synapse)
    return population


def run(population, source_spikes, set_na=None):
    """logit, v, spike (steps, cells), spikes handed over at their own time; set_na: a current from the start."""
    population.reset()
    if set_na is not None:
        population.set_current(set_na)
    queue = sorted((t, row) for row, times in enumerate(source_spikes) for t in times)
    out = []
    for n in range(round(DURATION_MS / population.dt_r_ms)):
        while queue and queue[0][0] < (n + 1) * population.dt_r_ms - 1e-6:
            t, row = queue.pop(0)
            population.deliver(row, t)
        fired = np.zeros(CELLS, bool)
        fired[population.step()] = True
        out.append((population.logit(), population.voltage(), fired))
    return [np.stack(o) for o in zip(*out, strict=True)]


def assert_same(found, expected):
    for a, b in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=RELATIVE, atol=RELATIVE * np.abs(b).max())
    assert expected[2].sum() > 100
    np.testing.assert_array_equal(found[2], expected[2])


@pytest.mark.parametrize("seed, dt_ms, expected", [(0, 1.0, False), (1, 0.5, False), (0, 1.0, True)])
def test_matches_torch(seed, dt_ms, expected):
    model, artifact = random_model(seed, dt_ms, expected)
    rows, source_spikes = random_rows(seed), spikes(seed)
    assert_same(run(filled(artifact, rows), source_spikes), reference(model, artifact, rows, source_spikes))


@pytest.mark.slow
@pytest.mark.parametrize("seed, dt_ms, set_na", [(0, 1.0, 0.0), (1, 0.5, 0.25)])
def test_currents_match_torch(seed, dt_ms, set_na):
    """Clamps that begin and end within steps, and a current set from outside, beside synaptic events."""
    model, artifact = random_model_with_current(seed, dt_ms)
    rows, source_spikes, clamps = random_rows(seed), spikes(seed), random_clamps(seed)
    population = filled(artifact, rows)
    for cell, own in clamps.items():
        for clamp in own:
            population.add_clamp(cell, clamp)
    expected = reference(model, artifact, rows, source_spikes, clamps, set_na)
    assert_same(run(population, source_spikes, np.full(CELLS, set_na)), expected)
    without = reference(model, artifact, rows, source_spikes)
    assert (expected[2] != without[2]).any(axis=0).sum() > CELLS / 2
    # A current that was set ends with a reset, the clamps do not.
    assert_same(run(population, source_spikes), reference(model, artifact, rows, source_spikes, clamps))


def test_a_checkpoint_holds_currents_and_events_to_come():
    """Saved on two ranks, restored on three: what was injected for later, a current that was set, and clamps."""
    _, artifact = random_model_with_current(0)
    rng, cut, steps = np.random.default_rng(5), 40, 90
    current, n = rng.uniform(-0.3, 0.3, CELLS), 400
    events = rng.integers(0, CELLS, n), rng.integers(0, 14, n), rng.uniform(0.001, 0.01, n), rng.uniform(0, steps, n)

    def split(ranks):
        parts = [ReducedPopulation(artifact, "X") for _ in range(ranks)]
        for rank, part in enumerate(parts):
            own = np.arange(rank, CELLS, ranks)
            part.add_cells(len(own), own)
            for cell, clamps in random_clamps(0).items():
                if cell % ranks == rank:
                    for clamp in clamps:
                        part.add_clamp(cell // ranks, clamp)
            part.reset()
        return parts

    def logits(parts, count):
        found = np.empty((count, CELLS), np.float32)
        for rank, part in enumerate(parts):
            found[:, rank :: len(parts)] = [(part.step(), part.logit())[1] for _ in range(count)]
        return found

    def act(parts):
        for rank, part in enumerate(parts):
            part.set_current(current[rank :: len(parts)])
            mine = events[0] % len(parts) == rank
            part.inject(events[0][mine] // len(parts), *(column[mine] for column in events[1:]))

    (whole,), before, after = split(1), split(2), split(3)
    act([whole])
    act(before)
    expected = logits([whole], steps)
    np.testing.assert_array_equal(logits(before, cut), expected[:cut])
    saved = population_state.merge([part.save_state() for part in before])
    assert len(saved["injected"]) == (events[3] >= cut).sum() and len(saved["currents"]) == CELLS
    for part in after:
        part.restore_state(saved)
    np.testing.assert_array_equal(logits(after, steps - cut), expected[cut:])
    np.testing.assert_array_equal(logits(before, steps - cut), expected[cut:])  # saving disturbs nothing


def test_currents_that_are_refused_or_counted():
    _, artifact = random_model(0)
    population = ReducedPopulation(artifact, "X")
    population.add_cells(5)
    for use in (lambda: population.add_clamp(0, Clamp(0, 1, 0.1)), lambda: population.set_current(0.1)):
        with pytest.raises(ModelError, match="reduction of X was trained without a current.*train it again"):
            use()
    assert population.out_of_range().currents == 0
    _, artifact = random_model_with_current(0)
    population = ReducedPopulation(artifact, "X")
    population.add_cells(5)
    for wrong in (np.zeros(4), np.nan, 1e300, [0.1] * 4 + [np.inf]):
        with pytest.raises(ModelError, match="expected 5 finite numbers, or one"):
            population.set_current(wrong)
    for wrong in (Clamp(0, 1, 1e300), Clamp(np.nan, 1, 0.1), Clamp(0, np.inf, 0.1)):
        with pytest.raises(ModelError, match="expected finite numbers"):
            population.add_clamp(0, wrong)
    with pytest.raises(ModelError, match="has cell 5; expected 0 to 4"):
        population.add_clamp(5, Clamp(0, 1, 0.1))
    with pytest.raises(ModelError, match="synapse site 14; expected 0 to 13"):  # the current's is no synapse's
        population.add_synapses([population.add_row()], [0], [14], [0.001], [1.0])
    for cell, amplitude in ((0, 1.0), (1, 0.9), (1, 0.2), (2, -0.6), (3, -0.5)):
        population.add_clamp(cell, Clamp(10 * cell, 5, amplitude))
    assert population.out_of_range().currents == 2  # 1: the sum of two; 2: below the range


@pytest.mark.slow
def test_counts_the_steps_of_each_cell_that_pass_the_limits_of_training():
    model, artifact = random_model(0)
    rows, source_spikes = random_rows(0), spikes(0)
    x = inputs(artifact, model.dims.inputs, rows, source_spikes)
    limit = np.quantile(x[x > 0], np.linspace(0.6, 0.99, model.dims.inputs)).astype(np.float32)
    limit[2] = 0.0
    watched = Artifact(artifact.header, artifact.arrays | {"input_limit": limit})
    population = filled(watched, rows)
    for _ in range(2):  # a reset starts the counts anew
        assert_same(run(population, source_spikes), reference(model, artifact, rows, source_spikes))
        expected = (x > limit).any(axis=2).mean(axis=0)
        assert 0 < expected.min() < expected.max() < 1
        np.testing.assert_array_equal(population.past_training_range(), expected)
    plain = filled(artifact, rows)
    run(plain, source_spikes)
    assert not plain.past_training_range().any()
    with pytest.raises(ArtifactError, match="input_limit has shape"):
        Artifact(artifact.header, artifact.arrays | {"input_limit": limit[1:]})


def test_judges_of_an_ensemble_get_the_same_input():
    (_, acting), (_, shadow) = random_model(0), random_model(3)
    shadow = Artifact(shadow.header, shadow.arrays | {"channel_gain": shadow.arrays["channel_gain"] * 1.5})
    rows, source_spikes = random_rows(0), spikes(0)
    ensemble = filled(acting.with_members([shadow], {}), rows)
    assert isinstance(ensemble, Ensemble)
    for _ in range(2):
        found = run(ensemble, source_spikes)
        rates = [run(filled(one, rows), source_spikes)[2].sum(axis=0) for one in (acting, shadow)]
        assert (rates[0] != rates[1]).any()
        np.testing.assert_allclose(ensemble.rates_hz() * DURATION_MS / 1000, rates)
        for a, b in zip(found, run(filled(acting, rows), source_spikes), strict=True):
            np.testing.assert_array_equal(a, b)  # to the bit: the shadow only watches


def test_reset_starts_over():
    _, artifact = random_model(0)
    population, source_spikes = filled(artifact, random_rows(0)), spikes(0)
    first = run(population, source_spikes)
    assert population.stats()["late"] == 0
    second = run(population, source_spikes)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_order_of_synapses_and_cells_does_not_matter():
    """Any split of the cells over populations (ranks) and any order of synapses gives the same bits."""
    _, artifact = random_model(3)
    rows, source_spikes = random_rows(3), spikes(3)
    whole = run(filled(artifact, rows), source_spikes)
    turned = np.random.default_rng(0).permutation(CELLS)
    shuffled = np.random.default_rng(1).permutation(len(rows[0]))
    moved = [column[shuffled] for column in (rows[0], turned[rows[1]], *rows[2:])]
    other = run(filled(artifact, moved), source_spikes)
    for a, b in zip(whole, other, strict=True):
        np.testing.assert_array_equal(a, b[:, turned])


def test_a_border_belongs_to_the_later_step():
    """One synapse, one spike: what arrives at 4.999999 ms and later is seen by the step from 5 to 6 ms."""
    _, artifact = random_model(0)
    expected = {3.0: 5, 2.999999: 5, 2.99999: 4, 2.5: 4, 3.999: 5, 3.9999995: 6}
    silent = None
    for delay, step in expected.items():
        population = ReducedPopulation(artifact, "X")
        population.add_cell()
        population.add_synapse(population.add_row(), 0, 0, 0.01, delay)
        population.reset()
        logits = []
        for n in range(8):
            if n == 2:
                population.deliver(0, 2.0)
            population.step()
            logits.append(population.logit()[0])
        if silent is None:
            population.reset()
            silent = [(population.step(), population.logit()[0])[1] for _ in range(8)]
        assert int(np.argmax(np.array(logits) != silent)) == step, delay


def test_memory_of_a_synapse():
    _, artifact = random_model(0)
    population = filled(artifact, random_rows(0))
    before = ReducedPopulation(artifact, "X")
    for _ in range(CELLS):
        before.add_cell()
    for p in (population, before):
        p.freeze()
    ring = 4 * LANES * 2 * artifact.header["dims"]["inputs"] * 20  # 20 more slots for delays up to 20 ms
    assert population.stats()["bytes"] - before.stats()["bytes"] <= 12 * 600 + ring + 8 * SOURCES


def test_saturates_and_says_so():
    _, artifact = random_model(0)
    population = ReducedPopulation(artifact, "X")
    population.add_cell()
    row = population.add_row()
    for _ in range(4000):
        population.add_synapse(row, 0, 0, 0.01, 1.0)
    population.reset()
    population.deliver(row, 0.2)
    for _ in range(3):
        population.step()
    assert population.stats()["saturated"] > 0
    assert np.isfinite(population.logit()).all()


@pytest.mark.parametrize(
    "weight, delay", [(np.nan, 1.0), (-0.1, 1.0), (1e6, 1.0), (0.001, np.nan), (0.001, -1.0), (0.001, 1e5)]
)
def test_refuses(weight, delay):
    _, artifact = random_model(0)
    population = ReducedPopulation(artifact, "X")
    population.add_cell()
    population.add_synapse(population.add_row(), 0, 0, weight, delay)
    with pytest.raises(ModelError):
        population.freeze()


def test_counts_what_training_never_saw():
    _, artifact = random_model(0)
    artifact.arrays["channel_seen"][3] = 0
    population = ReducedPopulation(artifact, "X")
    population.add_cell()
    row = population.add_row()
    for synapse_site, weight in ((3, 0.005), (2, 0.02), (1, 0.0001), (0, 0.005), (0, 0.0)):
        population.add_synapse(row, 0, synapse_site, weight, 1.0)
    assert population.out_of_range().weights == 2
    assert population.out_of_range().synapse_sites == 1


def test_inside_neuron():
    """NetStims drive it through one NetCon a source; voltages, spikes and their times are those of the reference."""
    from neuron import h

    from netml.engine.mechanisms.build import build_engine_library, load_mechanisms

    load_mechanisms(h, build_engine_library())
    seed = 5
    model, artifact = random_model(seed)
    rows = random_rows(seed, longest_ms=9.0)
    population = filled(artifact, rows)
    engine = h.NetmlPopulation()
    outlets = [h.NetmlCell() for _ in range(CELLS)]
    times = [h.Vector() for _ in outlets]
    keep = []
    for cell, (outlet, vector) in enumerate(zip(outlets, times, strict=True)):
        engine.add_cell(outlet, 1000 + cell)
        engine.watch(cell)
        keep.append(h.NetCon(outlet, None))
        keep[-1].record(vector)
    voltage = [h.Vector().record(outlet._ref_v_soma, 1.0) for outlet in outlets]
    sources, source_times, gates = [], [], []
    for row in range(SOURCES):
        stim = h.NetStim()
        stim.interval, stim.number, stim.start, stim.noise = 40.0, 1e9, 1.0, 1.0 if row % 3 else 0.0
        stim.noiseFromRandom123(row, 1, 2)
        netcon, vector = h.NetCon(stim, engine), h.Vector()
        netcon.delay = float(rows[4][rows[0] == row].min())
        netcon.weight[0], netcon.weight[1] = row, netcon.delay
        netcon.record(vector)
        sources.append(stim), gates.append(netcon), source_times.append(vector)
    engine.address = population.freeze()
    h.dt, pc = 0.05, h.ParallelContext()
    pc.set_maxstep(10)
    runs = []
    for _ in range(2):  # the second run shows that finitialize resets everything
        h.finitialize(-65)
        pc.psolve(DURATION_MS)
        samples = round(DURATION_MS) + 1
        runs.append(([t.as_numpy().copy() for t in times], np.array([v.as_numpy()[:samples] for v in voltage])))
    expected = reference(model, artifact, rows, [t.as_numpy().copy() for t in source_times])
    engine.address = 0
    assert expected[2].sum() > 100
    for spike_times, v in runs:
        np.testing.assert_allclose(v[:, 1:], expected[1].T, rtol=RELATIVE, atol=RELATIVE * np.abs(expected[1]).max())
        np.testing.assert_array_equal(v[:, 0], -70.0)
        for cell, found in enumerate(spike_times):
            steps = np.flatnonzero(expected[2][:, cell])
            np.testing.assert_array_equal(np.round(found, 6), steps + 1.0)
            assert (np.abs(found - np.round(found)) < 5e-7).all()
    assert population.stats()["late"] == 0
