"""swap() and what it refuses; small networks in this process."""

import copy
import logging

import hybrid
import numpy as np
import pytest

import netml
from netml.errors import ArtifactError, ModelError


@pytest.fixture
def net():
    return hybrid.network(n_e=4, n_i=2)


@pytest.fixture
def path(net, tmp_path):
    return hybrid.artifact(net[0], "Ecell").save(tmp_path / "e.netml")


def create(net, cfg):
    from netpyne import sim

    sim.create(net, cfg)
    return sim


def test_leaves_the_original_alone(net, path):
    params, cfg = net
    swapped = netml.swap(params, {"E": path}, fraction=0.5, seed=1)
    assert swapped is not params and not hasattr(params, "netmlSwap")
    assert swapped.netmlSwap["E"] == {"artifact": str(path), "cell": "Ecell", "fraction": 0.5, "seed": 1}
    from netpyne.cell import CompartCell

    sim = create(params, cfg)
    assert all(type(cell) is not CompartCell or "reduction" not in cell.tags for cell in sim.net.cells)


def test_unknown_population_lists_the_known(net, path):
    with pytest.raises(ModelError, match="'PYR'.*E, I, S"):
        netml.swap(net[0], {"PYR": path})


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_fraction(net, path, fraction):
    with pytest.raises(ModelError, match="expected 0 to 1"):
        netml.swap(net[0], {"E": path}, fraction=fraction)
    assert netml.swap(net[0], {"E": path}, fraction=0).netmlSwap["E"]["fraction"] == 0  # the detailed network


def test_missing_file(net, tmp_path):
    with pytest.raises(ArtifactError, match="no reduction at"):
        netml.swap(net[0], {"E": tmp_path / "none.netml"})


def test_parameters_that_do_not_fit_the_sizes(net, tmp_path):
    artifact = hybrid.artifact(net[0], "Ecell")
    artifact.arrays["params"] = artifact.arrays["params"][:-1]
    with pytest.raises(ArtifactError, match="parameters, its sizes .* need .*: train it again"):
        create(netml.swap(net[0], {"E": artifact.save(tmp_path / "e.netml")}), net[1])


def test_another_cell(net, path):
    with pytest.raises(ArtifactError, match="of another cell"):
        netml.swap(net[0], {"I": path})


@pytest.mark.parametrize("change", ["mechs", "synapse"])
def test_changed_cell(net, path, change):
    params = net[0]
    if change == "mechs":
        params.cellParams["Ecell"]["secs"]["soma"]["mechs"]["hh"]["gnabar"] = 0.1
    else:
        params.synMechParams["exc"]["tau2"] = 4.0
    with pytest.raises(ArtifactError, match="of another cell"):
        netml.swap(params, {"E": path})


def test_synapse_that_the_network_lacks(net, path):
    del net[0].synMechParams["inh"]
    with pytest.raises(ArtifactError, match="no inh"):
        netml.swap(net[0], {"E": path})


def test_point_cells_and_subcellular_rules(net, path):
    with pytest.raises(ModelError, match="no cellParams entry"):
        netml.swap(net[0], {"S": path})
    net[0].subConnParams["x"] = {"postConds": {"pop": "E"}}
    with pytest.raises(ModelError, match="subConnParams"):
        netml.swap(net[0], {"E": path})


def test_coreneuron(net, path):
    net[1].coreneuron = True
    with pytest.raises(ModelError, match="NEURON only"):
        create(netml.swap(net[0], {"E": path}), net[1])


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("delay", 0.01, "delay of 0.01 ms"),
        ("delay", -1.0, "delay of -1"),
        ("delay", float("nan"), "delay of nan"),
        ("delay", 5e3, r"connection 'I->E' from \d+ onto reduced E \d+ has a delay of 5000.0 ms; .* at most 2147 ms"),
        ("weight", 1e5, r"connection 'I->E' from \d+ onto reduced E \d+ has a weight of 100000.0 uS, over 1024 times"),
        ("weight", -0.1, "weight of -0.1"),
        ("weight", float("nan"), "weight of nan"),
        ("plast", {"mech": "STDP", "params": {}}, "plasticity"),
        ("shape", {"switchOnOff": [0, 10]}, "time course"),
        ("synMech", "other", "knows exc, inh"),
    ],
)
def test_connection(net, path, key, value, message):
    params, cfg = net
    params.synMechParams["other"] = {"mod": "ExpSyn"}
    params.connParams["I->E"][key] = value
    with pytest.raises(ModelError, match=message):
        create(netml.swap(params, {"E": path}), cfg)


@pytest.mark.parametrize("clamp, current, message", [
    ({}, False, "reduction of E was trained without a current into the soma: record .* and train it again"),
    ({"sec": "apical"}, True, r"IClamp 'on->E' on reduced E 0 lies at apical\(0.5\); a reduction .* soma\(0.5\) only"),
    ({"amp": float("nan")}, True, "IClamp 'on->E' on reduced E 0 has amp = nan; expected a number, nA"),
    ({"type": "SEClamp"}, True, "SEClamp 'on->E' on reduced E 0: a reduction has synaptic input, and current clamps"),
])  # fmt: skip
def test_current_clamps_that_are_refused(net, tmp_path, clamp, current, message):
    params, cfg = net
    hybrid.clamp(params, cells=[0], **clamp)
    path = hybrid.artifact(params, "Ecell", current=current).save(tmp_path / "e.netml")
    with pytest.raises(ModelError, match=message):
        create(netml.swap(params, {"E": path}), cfg)


def test_current_clamps(net, tmp_path, caplog):
    """They move the voltage of their cells while they are on, are listed where NetPyNE lists them, and are counted."""
    params, cfg = net
    params.connParams.clear()
    for label in [label for label in params.stimTargetParams if label.startswith("bg")]:
        del params.stimTargetParams[label]
    hybrid.clamp(params, cells=[0, 3])
    artifact = hybrid.artifact(params, "Ecell", current=True)
    artifact.header["threshold"], artifact.header["current_range_na"] = 1e9, [-0.2, 0.25]
    path = artifact.save(tmp_path / "e.netml")
    sim = create(netml.swap(params, {"E": path}), cfg)
    with caplog.at_level(logging.WARNING, logger="netml"):
        sim.simulate()
    cells = [np.array(sim.allSimData["V_soma"][f"cell_{k}"])[::2] for k in range(4)]
    for quiet in (1, 2):
        np.testing.assert_array_equal(cells[quiet], cells[1])
    np.testing.assert_array_equal(cells[0], cells[3])
    moved = np.flatnonzero(cells[0] != cells[1])
    assert moved[0] == 21  # ms: the end of the first step with the current
    assert [(stim["type"], stim["amp"], stim["sec"]) for stim in sim.net.cells[0].stims] == [
        ("IClamp", 0.3, "soma"), ("IClamp", -0.1, "soma")]  # fmt: skip
    from netml.engine.circuit.swap import report

    assert report()["E"]["currents_out_of_range"] == 2
    said = "2 cells of reduced E get a current outside the range of training"
    assert [r.getMessage() for r in caplog.records].count(said) == 1


def test_rule_by_conditions(net, path):
    params = copy.deepcopy(net[0])
    params.cellParams["Ecell"]["conds"] = {"cellType": ["Ecell", "other"]}
    assert netml.swap(params, {"E": path}).netmlSwap["E"]["cell"] == "Ecell"
    params.cellParams["again"] = {"conds": {"pop": "E"}, "secs": {}}
    with pytest.raises(ModelError, match="2 cellParams entries"):
        netml.swap(params, {"E": path})


def test_chosen_cells_depend_on_seed_and_gid_alone():
    from netml.engine.circuit.swapped_population import chosen

    half = chosen(range(100), 0.5, 0)
    assert len(half) == 50 and half != chosen(range(100), 0.5, 1)
    assert chosen(range(100), 0.3, 0) < half
    assert chosen(range(100), 0.0, 0) == set() and chosen(range(100), 1.0, 0) == set(range(100))
    assert chosen(reversed(range(100)), 0.5, 0) == half


def test_out_of_range_is_counted_and_said_once(net, tmp_path, caplog):
    params, cfg = net
    artifact = hybrid.artifact(params, "Ecell")
    artifact.header["weight_range_us"]["inh"] = [0.0001, 0.0002]
    artifact.arrays["channel_seen"][:] = 0
    path = artifact.save(tmp_path / "e.netml")
    cfg.duration = 5.0
    cfg.recordTraces["V_dend"] = {"sec": "apical", "loc": 0.5, "var": "v"}
    sim = create(netml.swap(params, {"E": path}), cfg)
    with caplog.at_level(logging.WARNING, logger="netml"):
        for _ in range(2):
            sim.runSim()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3 and "V_dend" in said[2]
    from netml.engine.circuit.swap import report

    inhibitory = sum(c["synMech"] == "inh" for cell in sim.net.cells[:4] for c in cell.conns)
    found = report()["E"]
    assert found["weights_out_of_range"] == inhibitory > 0
    assert found["channels_unseen"] == found["synapses"] == sum(len(cell.conns) for cell in sim.net.cells[:4])


def test_what_users_do_with_a_network_still_works(net, path, tmp_path):
    """Raster, traces, saving and stims of NetPyNE, through its one call."""
    from netpyne import sim

    params, cfg = net
    cfg.duration, cfg.recordStim = 30.0, True
    cfg.filename, cfg.saveJson, cfg.savePickle = str(tmp_path / "out"), True, True
    cfg.analysis = {
        "plotRaster": {"saveFig": str(tmp_path / "raster.png"), "showFig": False},
        "plotTraces": {"include": [0, 4], "saveFig": str(tmp_path / "traces.png"), "showFig": False},
    }
    sim.createSimulateAnalyze(netml.swap(params, {"E": path}), cfg)
    assert (tmp_path / "raster.png").exists() and list(tmp_path.glob("traces*.png"))
    assert (tmp_path / "out_data.json").stat().st_size > 1000 and (tmp_path / "out_data.pkl").exists()
    voltage = np.array(sim.allSimData["V_soma"]["cell_0"])
    assert voltage.size >= 60 and voltage[0] == -70.0 and np.ptp(voltage) > 0
    # Each millisecond's value stands from that millisecond on.
    np.testing.assert_array_equal(voltage[2:60:2], voltage[3:60:2])
    assert sim.allSimData["stims"]["cell_0"]


def test_second_network_in_one_process(net, path):
    params, cfg = net
    cfg.duration = 20.0
    swapped = netml.swap(params, {"E": path})
    runs = []
    for _ in range(2):
        sim = create(swapped, cfg)
        sim.simulate()
        runs.append((list(sim.allSimData["spkt"]), list(sim.allSimData["V_soma"]["cell_1"])))
    assert runs[0] == runs[1]


def test_lengths_that_only_neuron_knows(net, tmp_path):
    """Sections of pt3d points without L: synapses spread over them land where the detailed cell has them."""
    params, cfg = net
    for name, sec in params.cellParams["Ecell"]["secs"].items():
        length, depth = sec["geom"].pop("L"), 0 if name == "soma" else 7.3
        sec["geom"]["pt3d"] = [[0, 0, 0, 3.1], [length / 3, depth, 0.1, 2.2], [length, 2 * depth, 1.7, 1.1]]
    params.connParams["I->E"].update(sec="dendrites", synsPerConn=7)
    swapped = netml.swap(params, {"E": hybrid.artifact(params, "Ecell").save(tmp_path / "e.netml")})

    def connections(net_params):
        sim = create(copy.deepcopy(net_params), cfg)
        keys = ("preGid", "sec", "loc", "weight", "delay")
        return [[conn[key] for key in keys] for cell in sim.net.cells for conn in cell.conns]

    detailed = connections(params)
    assert connections(swapped) == detailed and len({loc for _, _, loc, _, _ in detailed}) > 5


def test_short_term_plasticity_of_a_synapse(tmp_path):
    """A source's spikes bring what u and r leave of the weight: as sources of one spike each, with that weight, do."""
    shares = [0.5]  # u r by hand: U 0.5, recovery in 50 ms, facilitation in 20 ms, spikes every 12 ms
    u, r = 0.5, 1.0
    for _ in range(5):
        r = 1 + (r * (1 - u) - 1) * np.exp(-12 / 50)
        u = 0.5 + u * 0.5 * np.exp(-12 / 20)
        shares.append(u * r)

    def voltage(synapse, sources):
        """Sources are the first spike, the number of spikes and the weight, of a cell and of a stimulation each."""
        params, cfg = hybrid.network(n_e=1, n_i=1)
        for rules in (params.connParams, params.stimSourceParams, params.stimTargetParams):
            rules.clear()
        params.synMechParams["exc"] = synapse
        for k, (start, number, weight) in enumerate(sources):
            train = {"interval": 12.0, "noise": 0.0, "start": start, "number": number}
            onto = {"synMech": "exc", "weight": weight, "delay": 1.3, "sec": "apical"}
            params.popParams[f"V{k}"] = {"cellModel": "NetStim", "numCells": 1, **train}
            params.connParams[f"V{k}->E"] = {"preConds": {"pop": f"V{k}"}, "postConds": {"pop": "E"}, **onto}
            params.stimSourceParams[f"W{k}"] = {"type": "NetStim", **train, "start": start + 5.0}
            params.stimTargetParams[f"W{k}->E"] = {"source": f"W{k}", "conds": {"pop": "E"}, "loc": 0.5, **onto}
        cfg.duration, cfg.recordStep = 120.0, 1.0
        path = hybrid.artifact(params, "Ecell").save(tmp_path / "e.netml")
        sim = create(netml.swap(params, {"E": path}), cfg)
        sim.simulate()
        return np.array(sim.allSimData["V_soma"]["cell_0"])

    plastic = {"mod": "netml_ampa_nmda_stp", "U": 0.5, "tau_rec": 50.0, "tau_facil": 20.0}
    static = {"mod": "Exp2Syn", "tau1": 0.3, "tau2": 3.0, "e": 0.0}
    expected = voltage(static, [(5.0 + 12.0 * k, 1, 0.008 * share) for k, share in enumerate(shares)])
    np.testing.assert_allclose(voltage(plastic, [(5.0, 6, 0.008)]), expected, rtol=0, atol=1e-3)
    assert np.abs(voltage(static, [(5.0, 6, 0.008)]) - expected).max() > 0.1
    with pytest.raises(ModelError, match=r"synMech 'exc' \(netml_gaba_stp\): 'tau_rec'; give it U, tau_rec"):
        voltage({"mod": "netml_gaba_stp", "U": 0.5}, [(5.0, 6, 0.008)])
