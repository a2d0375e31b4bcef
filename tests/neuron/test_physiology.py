"""Cells under current clamp, and what `netml validate-cells` says of those of models/cortex."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from netml.circuit.physiology import Current, Site, read_targets
from netml.errors import ModelError
from netml.stages.validate_cells import validate_cells
from netml.toolchain import source_folder
from netml.validation.physiology import measure, row, summary, time_above_threshold

CELLS = source_folder("models") / "cortex" / "cells"
L_UM = DIAM_UM = 20.0
G_PAS, CM, E_PAS = 1e-4, 1.0, -70.0
BALL = {
    "secs": {
        "soma": {
            "geom": {"L": L_UM, "diam": DIAM_UM, "nseg": 1, "cm": CM, "Ra": 100.0},
            "topol": {},
            "mechs": {"pas": {"g": G_PAS, "e": E_PAS}},
        }
    }
}


def model(folder, protocols, cell=BALL):
    """A model folder with one cell and its targets."""
    cells = folder / "cells"
    cells.mkdir()
    (folder / "cfg.py").write_text("from netpyne import specs\ncfg = specs.SimConfig()\n")
    (folder / "netParams.py").write_text("from netpyne import specs\nnetParams = specs.NetParams()\n")
    (cells / "BALL.json").write_text(json.dumps(cell))
    conditions = {"cell": "BALL.json", "source": "closed form", "celsius": 34.0, "v_init_mv": E_PAS}
    (cells / "BALL.targets.json").write_text(json.dumps(conditions | {"protocols": protocols}))
    return folder


def step(**changes):
    return {
        "total_ms": 200.0,
        "window_ms": [50.0, 150.0],
        "currents": [{"site": "soma", "start_ms": 50.0, "duration_ms": 100.0, "amp_na": -0.01}],
        "record": {"soma": "soma"},
        "features": [],
    } | changes


@pytest.mark.slow
@pytest.mark.parametrize("dt", [0.025, None], ids=["fixed", "variable"])
def test_ball_answers_a_step_as_ohm_says(tmp_path, dt):
    """R = 1/(g area), tau = cm/g: 0.3 % for the step (backward Euler), 0.1 ms for eFEL's sampling."""
    resistance = 1 / (G_PAS * np.pi * L_UM * DIAM_UM * 1e-8) * 1e-6  # MOhm
    features = [
        {"feature": "steady_state_voltage_stimend", "target": E_PAS - 0.01 * resistance, "sd": 3e-5 * resistance},
        {"feature": "decay_time_constant_after_stim", "target": 1e-3 * CM / G_PAS, "sd": 0.1},
    ]
    rows = validate_cells(model(tmp_path, {"step": step(features=features)}), dt=dt, progress=False)["features"]
    assert [row["cell"] for row in rows] == ["BALL", "BALL"] and rows[0]["source"] == "closed form"
    assert all(abs(row["z"]) < 1 for row in rows), rows


def test_z_has_the_sign_of_what_is_too_much_and_its_bounds_count_as_within():
    target = SimpleNamespace(target=10.0, sd=2.0, source="a paper")
    values = (14.0, 6.0, 16.0, 16.1, 0.0, 20.1, None)
    rows = [row("PT", "step", "AP_height", target, value) for value in values]
    assert [one["z"] for one in rows[:3]] == [2.0, -2.0, 3.0] and rows[-1]["z"] is None
    assert summary(rows) == {"features": 7, "within_2_sd": 2, "beyond_3_sd": 4, "beyond_5_sd": 2}


@pytest.mark.slow
def test_a_feature_without_spikes_is_missing_not_zero(tmp_path):
    features = [
        {"feature": "AP_height", "target": 20.0, "sd": 5.0},
        {"feature": "Spikecount", "target": 0.0, "sd": 1.0},
    ]
    rows = validate_cells(model(tmp_path, {"step": step(features=features)}), progress=False)["features"]
    assert rows[0]["value"] is None and rows[0]["z"] is None
    assert rows[1]["z"] == 0
    assert summary(rows) == {"features": 2, "within_2_sd": 1, "beyond_3_sd": 1, "beyond_5_sd": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"features": [{"feature": "AP_hight", "target": 1, "sd": 1}]}, "eFEL has no feature AP_hight"),
        ({"features": [{"feature": "Spikecount", "target": 1, "sd": 0}]}, "expected a positive one"),
        ({"features": [{"feature": "Spikecount", "target": 1, "sd": 1, "at": "dend"}]}, "which is not recorded"),
        ({"record": {"soma": "axon"}}, "no section 'axon'"),
        ({"record": {"soma": {"list": "trunk", "path_um": 600}}}, "no section list 'trunk'"),
        ({"currents": [{"site": "soma", "start_ms": 0, "amp": 1}]}, "amp"),
    ],
)
def test_wrong_targets_are_said(tmp_path, changes, message):
    with pytest.raises(ModelError, match=message):
        validate_cells(model(tmp_path, {"step": step(**changes)}), progress=False)


def test_unknown_cell_is_said():
    with pytest.raises(ModelError, match="no targets for XX; there are some for .*PT"):
        validate_cells("models/cortex", ["XX"])


def test_synaptic_current_peaks_at_its_amplitude():
    current = Current(Site("soma"), 10.0, 0.5, rise_ms=0.5, decay_ms=5.0)
    t = np.linspace(0, 100, 100_001)
    shape = current.shape_na(t)
    assert shape[t <= 10].max() == 0 and shape.max() == pytest.approx(0.5, rel=1e-6)
    assert t[shape.argmax()] - 10 == pytest.approx(0.5 * 5 / 4.5 * np.log(10), abs=1e-3)
    charge = 0.5 * (5.0 - 0.5) / (np.exp(-shape_peak() / 5) - np.exp(-shape_peak() / 0.5))
    assert np.trapezoid(shape, t) == pytest.approx(charge, rel=1e-6)


def shape_peak() -> float:
    return 0.5 * 5 / 4.5 * np.log(10)


def test_features_of_a_drawn_spike():
    """Triangular spikes 2 ms wide at -20 mV, 100 ms apart, peak 20 mV."""
    t = np.arange(0, 400, 0.1)
    v = np.full(t.size, -70.0)
    for at in (110.0, 210.0, 310.0):
        v = np.maximum(v, 20.0 - 40.0 * np.abs(t - at))
    targets = read_targets(CELLS / "PT.targets.json")
    protocol = next(p for p in targets.protocols if p.name == "Step1")
    shifted = {"soma": (t + 600, v)}
    values = dict(zip([x.feature for x in protocol.targets], measure(protocol, shifted), strict=True))
    assert values["AP_height"] == pytest.approx(20, abs=0.1)
    assert values["AP_width"] == pytest.approx(2.0, abs=0.1)
    assert values["doublet_ISI"] == pytest.approx(100, abs=0.1)
    assert values["time_to_first_spike"] == pytest.approx(10, abs=0.1)


def test_time_above_threshold_counts_all_excursions_in_the_window():
    """7 and 3 ms above -55 mV with a dent between them, and one before the window."""
    t = np.arange(0, 600, 0.025)
    v = np.full(t.size, -70.0)
    for start, stop in ((100, 120), (310, 317), (320, 323)):
        v[(t >= start) & (t < stop)] = 0.0
    assert time_above_threshold(t, v, -55.0, (295.0, 600.0)) == pytest.approx(10.0, abs=0.06)
    protocol = next(p for p in read_targets(CELLS / "PT.targets.json").protocols if p.name == "BAC")
    values = measure(protocol, {"soma": (t, v), "trunk_620": (t, v)})
    at = [target.feature for target in protocol.targets].index("time_above_threshold")
    assert values[at] == pytest.approx(10.0, abs=0.06)


@pytest.fixture(scope="module")
def rows():
    cells = ["PT", "IT", "L23", "PV", "SST"]  # without the connections: test_connections.py
    return validate_cells("models/cortex", cells, dt=None, progress=False)["features"]


def of(rows, cell, protocol):
    return {row["feature"]: row for row in rows if (row["cell"], row["protocol"]) == (cell, protocol)}


@pytest.mark.slow
def test_pt_meets_the_published_targets(rows):
    """The criterion of Hay et al. (2011)'s features: most within 2 SD, none beyond 5."""
    steps = [row for row in rows if row["cell"] == "PT" and row["protocol"] in ("Step1", "Step2", "Step3", "bAP")]
    count = summary(steps)
    assert count["features"] == 35
    assert count["within_2_sd"] >= 0.85 * 35, count
    assert count["beyond_3_sd"] <= 2 and count["beyond_5_sd"] == 0, count


@pytest.mark.slow
def test_pt_fires_when_the_back_propagating_spike_meets_an_epsp(rows):
    """Larkum, Zhu & Sakmann (1999)."""
    assert of(rows, "PT", "soma alone")["Spikecount"]["value"] == 1
    assert of(rows, "PT", "EPSP alone")["Spikecount"]["value"] == 0
    both = of(rows, "PT", "BAC")
    assert 2 <= both["Spikecount"]["value"] <= 3
    assert both["all_ISI_values"]["value"] < 20  # ms: a burst
    assert both["trunk_620.maximum_voltage"]["value"] > -5  # mV: a calcium spike,
    above = both["trunk_620.time_above_threshold"]["value"]  # ms above -55 mV
    assert 20 < above < 80  # a back-propagating spike has a few, a plateau that does not end hundreds


@pytest.mark.slow
@pytest.mark.parametrize("cell, features, within", [("PV", 6, 6), ("L23", 6, 6), ("IT", 7, 6), ("SST", 8, 8)])
def test_others_meet_theirs(rows, cell, features, within):
    count = summary(row for row in rows if row["cell"] == cell)
    assert count["features"] == features and count["within_2_sd"] >= within and count["beyond_3_sd"] == 0, count


@pytest.mark.slow
def test_sst_fires_after_hyperpolarisation_and_adapts(rows):
    assert of(rows, "SST", "rebound")["Spikecount"]["value"] >= 1
    assert of(rows, "SST", "0.06 nA")["inv_last_ISI/inv_first_ISI"]["value"] < 0.7
