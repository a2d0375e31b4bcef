"""Which mechanisms a network is built of, so that missing ones are named before anything is built."""

import pytest
from netpyne import specs

from netml.engine.circuit import model_checks


@pytest.fixture
def net_params():
    """Cells of one section, a clamp onto them, nothing that is not NEURON's."""
    found = specs.NetParams()
    found.cellParams["E"] = {"secs": {"soma": {"geom": {"L": 20, "diam": 20}, "mechs": {"hh": {}}}}}
    found.popParams["E"] = {"cellType": "E", "numCells": 2}
    found.synMechParams["A"] = {"mod": "Exp2Syn", "e": 0}
    found.stimSourceParams["clamp"] = {"type": "IClamp", "amp": 0.3}
    found.stimTargetParams["clamp->E"] = {"source": "clamp", "conds": {"pop": "E"}, "sec": "soma", "loc": 0.5}
    return found


def added(net_params) -> set:
    return set(model_checks.to_build(net_params)) - {"hh", "Exp2Syn", "IClamp"}


@pytest.mark.parametrize("pop", [
    {"cellModel": "VecStim", "numCells": 2, "spkTimes": [5]},
    {"cellModel": "IzhiX", "numCells": 2},
    {"cellModel": "IzhiX", "cellType": "nobody", "numCells": 2},
    {"cellModel": "VecStim", "cellType": "E", "numCells": 2},
])  # fmt: skip
def test_artificial_cells(net_params, pop):
    net_params.popParams["drive"] = pop
    assert added(net_params) == {pop["cellModel"]}
    assert model_checks.to_build(net_params)[pop["cellModel"]] == "popParams 'drive'"


def test_an_artificial_cell_that_cell_params_describe(net_params):
    net_params.cellParams["point"] = {"cellModel": "CustomFire", "params": {"tau": 5}}
    net_params.popParams["points"] = {"cellType": "point", "numCells": 2}
    assert added(net_params) == {"CustomFire"}
    assert model_checks.to_build(net_params)["CustomFire"] == "cellParams 'point'"


@pytest.mark.parametrize("pop, conds", [
    ({"cellModel": "HH_full", "cellType": "E", "numCells": 2}, None),
    ({"cellModel": "HH_full", "cellType": "PYR", "numCells": 2}, {"cellType": "PYR"}),
    ({"cellModel": "HH_full", "numCells": 2}, {"cellModel": ["HH_full", "HH_reduced"]}),
    ({"cellModel": "HH_full", "numCells": 2}, {"pop": "tagged"}),
    ({"cellModel": "none", "numCells": 0}, None),
    ({"cellModel": "HH_full", "cellsList": [{"cellType": "E", "x": 1}]}, None),
    ({"cellType": "E", "numCells": 2}, None),
])  # fmt: skip
def test_a_cell_model_that_is_a_tag_for_rules_needs_no_mechanism(net_params, pop, conds):
    if conds:
        net_params.cellParams["by conditions"] = {"conds": conds, "secs": net_params.cellParams["E"]["secs"]}
    net_params.popParams["tagged"] = pop
    assert added(net_params) == set()


def test_types_of_stimulation(net_params):
    net_params.stimSourceParams["noise"] = {"type": "NoisyClamp", "amp": 0.3}
    assert added(net_params) == set()  # a source that stimulates nobody
    net_params.stimTargetParams["noise->E"] = {"source": "noise", "conds": {"pop": "nobody"}}
    assert added(net_params) == set()
    net_params.stimTargetParams["noise->E"]["conds"] = {"cellType": "E"}
    assert model_checks.to_build(net_params)["NoisyClamp"] == "stimSourceParams 'noise'"


def test_a_stimulation_by_a_field_needs_no_mechanism(net_params):
    net_params.stimSourceParams["field"] = {"type": "XStim", "field": {"class": "uniform"}}
    net_params.stimTargetParams["field->E"] = {"source": "field", "conds": {"pop": "E"}}
    assert added(net_params) == set()


def test_plasticity_that_is_not_made_is_told(net_params):
    net_params.connParams["E->E"] = {"plast": {"mech": "STDP", "params": {}}, "synMech": "A"}
    assert model_checks.unmade_plasticity(net_params, lambda mech: mech != "STDP") == [
        "connParams 'E->E': no mechanism 'STDP'"
    ]
    assert model_checks.unmade_plasticity(net_params, lambda mech: True) == []
