"""models/cortex as the column: its numbers, where its synapses lie, and what its cells do."""

import re

import numpy as np
import pytest

import netml
from netml.circuit.project import find_project, load_project
from netml.errors import ModelError
from netml.toolchain import source_folder
from netml.validation.network import statistics

MODEL = source_folder("models") / "cortex"
#: Published range of the mean rate in awake barrel cortex, Hz: models/cortex/README.md.
RATES = {"L23": (0.2, 4.0), "IT": (0.5, 6.0), "PT": (1.5, 8.0), "PV": (5.0, 25.0), "SST": (2.0, 15.0)}
VOLLEY_MS = 4000.0


def column(cells: int, **settings):
    return load_project(find_project(MODEL), {"circuit": "column", "n_cells": cells} | settings)


def background(net_params) -> dict[str, float]:
    """Events a second of each kind onto a cell of each population."""
    found: dict[str, float] = {}
    for label, source in net_params.stimSourceParams.items():
        kind = re.sub(r"_\d+$", "", label)
        found[kind] = found.get(kind, 0.0) + source["rate"]
    return found


def test_any_size_keeps_the_proportions_and_the_density():
    for cells in (20, 100, 5000):
        net_params, _ = column(cells)
        numbers = {label: pop["numCells"] for label, pop in net_params.popParams.items()}
        assert sum(numbers.values()) == pytest.approx(cells, abs=3) and min(numbers.values()) >= 1
        assert cells / (net_params.sizeX * net_params.sizeZ) == pytest.approx(0.08)  # a um2
    assert numbers["L23"] == 2500 and numbers["PT"] == 600


def test_background_stands_for_the_partners_that_are_not_there():
    """In-degree: what cells in the piece send and what the background sends come to the same at every size."""
    cfg = column(20)[1]
    alone = dict.fromkeys(cfg.external, 0.0)  # without what is chosen
    settings = {"external": alone, "others": alone, "layer1": {}}
    small, large = (background(column(cells, **settings)[0]) for cells in (20, 40_000))
    assert small.keys() >= large.keys() and all(large[kind] < 0.5 * small[kind] for kind in large)
    for name, kind, share, peak, area in (
        ("SST23 E", "L23", 0.50, 0.33, 2 * np.pi * 120**2), ("PV5 PV", "PV", 0.05, 0.55, np.pi * 140**2),
    ):  # fmt: skip
        spikes = area * 0.08 * share * peak * cfg.rates[kind]  # a second
        assert small[name] == pytest.approx(spikes, rel=0.02)  # 20 cells are hardly any of them


def test_a_spike_of_layer_1_opens_both_receptors_at_one_place_of_the_tuft():
    net_params, _ = column(20)
    for pop, cell in (("L23", "L23"), ("IT", "IT"), ("PT", "PT")):
        both = []
        for synapse in ("GABAB", "SST"):
            targets = {label: target for label, target in net_params.stimTargetParams.items()
                       if label.startswith(f"{pop} layer 1 {synapse}_")}  # fmt: skip
            assert {target["synMech"] for target in targets.values()} == {f"outside {synapse}"}
            both.append([(net_params.stimSourceParams[target["source"]], target["sec"], target["loc"])
                         for target in targets.values()])  # fmt: skip
        assert both[0] == both[1]
        assert {section for _, section, _ in both[0]} <= set(net_params.cellParams[cell]["secLists"]["tuft"])


def test_synapses_lie_where_the_type_puts_them():
    net_params, _ = column(100)
    rules = net_params.connParams.values()
    targets = {(rule["preConds"]["pop"], rule["postConds"]["pop"], rule["sec"]) for rule in rules}
    for pyramidal, pv, sst in (("L23", "PV23", "SST23"), ("IT", "PV5", "SST5"), ("PT", "PV5", "SST5")):
        assert {sec for pre, post, sec in targets if (pre, post) == (pv, pyramidal)} == {"soma", "perisomatic"}
        onto = {sec for pre, post, sec in targets if (pre, post) == (sst, pyramidal)}
        assert "tuft" in onto and not onto & {"soma", "perisomatic", "basal"}
    assert not any(post.startswith("SST") and pre.startswith("SST") for pre, post, _ in targets)


def test_an_unknown_circuit_is_said():
    with pytest.raises(ModelError, match=r"netParams.py.* cfg.circuit is 'colum'; expected layer5 or column"):
        load_project(find_project(MODEL), {"circuit": "colum"})


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> netml.Run:
    """50 cells for four seconds, then a volley of the thalamus."""
    settings = {"circuit": "column", "n_cells": 50, "volley.start": VOLLEY_MS}
    return netml.Run.open(netml.simulate(
        MODEL, duration=VOLLEY_MS + 40, engine="coreneuron", build="fast", cfg=settings,
        output=tmp_path_factory.mktemp("column") / "run",
    ))  # fmt: skip


@pytest.mark.slow
def test_asynchronous_irregular_state(run):
    stats = statistics(run, 200.0, VOLLEY_MS)
    for kind, (low, high) in RATES.items():
        of_it = [stats[population] for population, about in run.populations.items() if about["cell_model"] == kind]
        rate = np.concatenate([one.rates_hz for one in of_it]).mean()
        assert low <= rate <= high, (kind, rate)
        cv = np.concatenate([one.cv for one in of_it])
        assert len(cv) >= 3 and 0.7 <= cv.mean() <= 1.3, (kind, cv)
    correlations = np.concatenate([one.correlations for one in stats.values()])
    assert len(correlations) >= 50 and abs(correlations.mean()) < 0.1


@pytest.mark.slow
def test_a_volley_of_the_thalamus_reaches_layer_5_before_layer_2_3(run):
    first, answered = {}, {}
    for population, about in run.populations.items():
        times, nodes = run.spikes(population)
        after = (times > VOLLEY_MS) & (times < VOLLEY_MS + 20)
        earliest = [times[after & (nodes == node)].min() for node in set(nodes[after])]
        first[population] = float(np.median(earliest)) - VOLLEY_MS if earliest else np.inf
        answered[population] = len(earliest) / about["size"]
    assert 1.5 < first["PV5"] < 5 and 2 < first["IT"] < 8  # the axons' delay is 1.5 ms
    assert first["PV23"] < first["L23"] and first["IT"] + 1 < first["L23"] < 14
    assert min(answered["IT"], answered["L23"], answered["PV5"]) > 0.4  # at rest, 1.5 to 12 Hz: 0.05 to 0.25 in 20 ms


@pytest.mark.slow
def test_spikes_and_voltages_to_the_last_bit_on_two_ranks(tmp_path):
    """With a volley, so that spikes cross between ranks and plastic synapses of several kinds act on one segment."""
    settings = {"circuit": "column", "n_cells": 16, "volley.start": 3.0, "scale_probability": 4.0}
    common = {"cfg": settings, "duration": 40.0, "progress": False}
    one, two = (netml.Run.open(netml.simulate(MODEL, ranks=ranks, output=tmp_path / str(ranks), **common))
                for ranks in (1, 2))  # fmt: skip
    assert sum(len(one.spikes(population)[0]) for population in one.populations) > 10
    for population in one.populations:
        for own, expected in zip(two.spikes(population), one.spikes(population), strict=True):
            np.testing.assert_array_equal(own, expected)
    np.testing.assert_array_equal(two.traces["V_soma"][3], one.traces["V_soma"][3])
