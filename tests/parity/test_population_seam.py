"""Where Python meets C++: what a population is given is refused in words, and never ends the process."""

import numpy as np
import pytest
from test_population import CELLS, random_model, random_model_with_current

from netml.artifact import Artifact
from netml.errors import ArtifactError, ModelError
from netml.population.c_interface import TICKS_PER_MS
from netml.population.handle import MOST_PLACES, PopulationHandle
from netml.population.plasticity import RewardStdp, ShortTerm
from netml.population.population import ReducedPopulation

STDP = RewardStdp(rate_us=1e-3, high_us=0.01)


def population(stdp: RewardStdp | None = STDP) -> ReducedPopulation:
    """Cells, rows, and a synapse in each of projection 0 and, with STDP, 1."""
    made = ReducedPopulation(random_model_with_current(0)[1], "X")
    made.add_cells(CELLS)
    made.add_rows(2)
    made.add_synapses([0], [1], [2], [0.001], [1.0])
    if stdp:
        made.add_projection(ShortTerm(use=0.5, tau_rec_ms=100.0), stdp)
        made.add_synapses([1], [3], [0], [0.002], [1.5], projection=1)
    return made


#: Every call that runs or reads cells.
CALLS = {
    "step": lambda p: p.step(),
    "voltage": lambda p: p.voltage(),
    "logit": lambda p: p.logit(),
    "deliver": lambda p: p.deliver(0, 0.5),
    "inject": lambda p: p.inject([0], [0], [0.001], [5.0]),
    "set_current": lambda p: p.set_current(0.1),
    "reward": lambda p: p.reward(1.0),
    "states": lambda p: p.states(np.arange(2)),
    "clock": lambda p: p.handle.clock(),
    "row_states": lambda p: p.handle.row_states(1),
    "flights": lambda p: p.handle.flights(),
    "post_spikes": lambda p: p.handle.post_spikes(),
    "spike_counts": lambda p: p.handle.spike_counts(),
}


@pytest.mark.parametrize("name", CALLS)
def test_before_it_is_in_use_and_after_it_is_closed(name):
    made = population()
    if name != "clock":
        with pytest.raises(ModelError, match="not in use yet"):
            CALLS[name](made)
    made.freeze()
    CALLS[name](made)
    made.close()
    made.close()
    with pytest.raises(ModelError, match="closed"):
        CALLS[name](made)


@pytest.mark.parametrize(
    "name", ["freeze", "reset", "stats", "save_state", "add_projection", "synapses", "past_training_range"]
)
def test_what_builds_or_saves_is_refused_when_closed_too(name):
    made = population()
    made.freeze()
    made.close()
    with pytest.raises(ModelError, match="closed"):
        getattr(made, name)()


@pytest.mark.parametrize("projection", [-1, 2, 99, 2**40])
def test_projections_that_are_not_there(projection):
    made = population()
    made.freeze()
    for call in (
        lambda: made.synapses(projection),
        lambda: made.reward(1.0, projection),
        lambda: made.handle.row_states(projection),
        lambda: made.handle.write_synapses(projection, np.zeros(1), np.zeros(1, np.float32)),
        lambda: made.add_synapses([0], [0], [0], [0.001], [1.0], projection=projection),
    ):
        with pytest.raises(ModelError, match="projections 0 to 1, no"):
            call()


def test_a_reward_needs_a_projection_that_learns_and_a_number():
    made = population()
    made.freeze()
    with pytest.raises(ModelError, match="projection with STDP: 1"):
        made.reward(1.0, 0)
    with pytest.raises(ModelError, match="expected a finite number"):
        made.reward(np.nan)
    made.reward(1.0)
    assert made.handle.rewards()["projection"].tolist() == [1]


@pytest.mark.parametrize("cell, said", [
    (2**32 + 1, "expected below 2\\^31"), (-(2**40), "expected below"), (1.7, "is 1.7; expected whole numbers"),
    (np.nan, "expected whole numbers"), ("1", "expected numbers"), (None, "expected numbers"),
    (1j, "expected numbers"), ([1], "."), (10**30, "."),
])  # fmt: skip
def test_a_cell_that_is_no_cell_is_not_turned_into_one(cell, said):
    """In bulk and one by one, of synapses and of events."""
    made = population()
    for call in (
        lambda: made.add_synapses([0], [cell], [0], [0.001], [1.0]),
        lambda: (made.add_synapse(0, cell, 0, 0.001, 1.0), made.freeze()),
        lambda: (made.freeze(), made.inject([cell], [0], [0.001], [1.0])),
    ):
        with pytest.raises(ModelError, match=said):
            call()
    made.freeze()
    assert made.stats()["synapses"] == 2


def test_whole_numbers_of_other_dtypes_are_numbers():
    made = population()
    for dtype in (np.int8, np.uint16, np.int64, np.uint64, np.float32, np.float64):
        made.add_synapses(np.array([1], dtype), np.array([4], dtype), np.array([2], dtype), [0.001], [1.0])
    made.freeze()
    assert made.synapses()["cell"].tolist().count(4) == 6


@pytest.mark.parametrize("row, spike_ms", [(2, 0.5), (-1, 0.5), (2**40, 0.5), (0, np.nan), (0, np.inf), (0, 1e300)])
def test_a_spike_needs_a_row_and_a_time(row, spike_ms):
    made = population()
    made.freeze()
    with pytest.raises(ModelError, match="a spike for reduced X has"):
        made.deliver(row, spike_ms)


@pytest.mark.parametrize("arrival", [np.nan, np.inf, -np.inf, 1e300, -1.0])
def test_an_event_needs_a_time_to_come(arrival):
    made = population()
    made.freeze()
    with pytest.raises(ModelError, match="an event for reduced X"):
        made.inject([0], [0], [0.001], [arrival])
    assert made.handle.injected().size == 0


def test_more_cells_than_sums_have_places_is_said_before_memory_is_asked_for():
    handle = PopulationHandle(random_model(0)[1], "X")
    most = MOST_PLACES // (16 * handle.inputs) * 16
    handle.check_size(most)
    with pytest.raises(ModelError, match=f"expected at most {most}: use more ranks"):
        handle.check_size(most + 1)
    with pytest.raises(ModelError, match="expected at most"):
        ReducedPopulation(random_model(0)[1], "X").add_cells(2**31)


@pytest.mark.parametrize("count", [-1, 1.5, True, None])
def test_numbers_of_cells_and_rows(count):
    made = population()
    for call in (made.add_cells, made.add_rows):
        with pytest.raises(ModelError, match="expected a whole number"):
            call(count)


def test_a_state_with_an_unknown_projection_row_or_cell_is_refused():
    made = population()
    made.freeze()
    made.deliver(0, 0.5)
    made.deliver(1, 0.5)
    made.inject([2], [0], [0.001], [30.0])
    made.reward(1.0)
    made.step()
    saved = made.save_state()
    for part in ("flights", "rewards"):
        assert saved[part].size
        for wrong in (-1, 2, 99):
            changed = saved[part].copy()
            changed["projection"] = wrong
            with pytest.raises(ModelError):
                population().restore_state(saved | {part: changed})
    for part, name in (("injected", "input"), ("synapses", "projection")):
        changed = saved[part].copy()
        changed[name] = 99
        with pytest.raises(ModelError):
            population().restore_state(saved | {part: changed})
    with pytest.raises(ModelError, match="in its clock step -5"):
        clock = saved["clock"].copy()
        clock["step"] = -5
        population().restore_state(saved | {"clock": clock})
    whole = population()
    whole.restore_state(saved)
    np.testing.assert_array_equal(whole.voltage(), made.voltage())


@pytest.mark.parametrize("threads", [0, -1, "two"])
def test_refuses_impossible_threads(threads, monkeypatch):
    _, artifact = random_model(0)
    with pytest.raises(ModelError, match="threads"):
        ReducedPopulation(artifact, "X", threads=threads)
    monkeypatch.setenv("NETML_THREADS", str(threads))
    with pytest.raises(ModelError, match="NETML_THREADS"):
        ReducedPopulation(artifact, "X")


def test_bulk_synapses_are_all_refused_or_all_taken():
    """What is wrong is named; then none of the call's synapses is there."""
    _, artifact = random_model(0)
    population = ReducedPopulation(artifact, "X")
    population.add_cells(3)
    population.add_rows(2)
    good = dict(row=[0, 1, 1], cell=[0, 1, 2], synapse_site=[0, 1, 2], weight_us=[0.001] * 3, delay_ms=[1.0] * 3)
    for name, wrong, said in (
        ("row", 2, "row 2; expected 0 to 1"), ("cell", 3, "cell 3; expected 0 to 2"), ("cell", -1, "cell -1"),
        ("synapse_site", 14, "synapse site 14; expected 0 to 13"), ("weight_us", np.nan, "weight of nan"),
        ("weight_us", -1.0, "weight of -1"), ("delay_ms", np.inf, "delay of inf"),
        ("delay_ms", 0.0, "delay of 0.0 ms; expected above 0"), ("delay_ms", -1.0, "delay of -1"),
        ("delay_ms", 2200.0, "at most 2147 ms"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=said):
            population.add_synapses(**good | {name: [*good[name][:2], wrong]})
    with pytest.raises(ModelError, match="expected one length"):
        population.add_synapses(**good | {"row": [0, 1]})
    with pytest.raises(ModelError, match="no 1"):
        population.add_synapses(**good, projection=1)
    population.freeze()
    assert population.stats()["synapses"] == 0
    population.add_synapses(**good)
    population.freeze()
    held = population.synapses()
    assert (
        held["row"].tolist() == [0, 1, 1] and held["cell"].tolist() == [0, 1, 2] and set(held["delay"]) == {1_000_000}
    )


@pytest.mark.parametrize("step_ms", [0.0, -1.0, 1000.000001, 2**31 / TICKS_PER_MS])
def test_a_step_out_of_range_is_no_artifact(step_ms):
    """Ticks of 1e-6 ms are 32-bit numbers in the engine; the file's schema stays well below."""
    artifact = random_model(0)[1]
    with pytest.raises(ArtifactError, match="header field dt_r_ms"):
        Artifact(artifact.header | {"dt_r_ms": step_ms}, artifact.arrays)


@pytest.mark.parametrize("step_ms", [0.4e-6, 0.5e-6, 1.5e-6, 1 / 3])
def test_a_step_that_ticks_cannot_count_is_refused(step_ms):
    artifact = random_model(0)[1]
    with pytest.raises(ArtifactError, match=r"step of .* ms; expected whole 1e-6 ms above 0"):
        ReducedPopulation(Artifact(artifact.header | {"dt_r_ms": step_ms}, artifact.arrays), "x")


@pytest.mark.parametrize("ticks", [1, 10**9])
def test_the_shortest_and_the_longest_step_are_taken(ticks):
    artifact = random_model(0)[1]
    population = ReducedPopulation(Artifact(artifact.header | {"dt_r_ms": ticks / TICKS_PER_MS}, artifact.arrays), "x")
    assert round(population.dt_r_ms * TICKS_PER_MS) == ticks
    population.close()
