"""Records hold all that decided what the cell did: played back into the cell alone they give its voltage again."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netml.engine.recording.record import parse_cells, parse_probe, record
from netml.errors import LaunchError, ModelError, RecordsError
from netml.records import Records

HERE = Path(__file__).resolve().parent
TINY = HERE.parent / "fixtures" / "tiny"
DURATION = 200.0
ENGINES = ["neuron", pytest.param("coreneuron", marks=pytest.mark.slow)]
COMMON = {"population": "E", "duration": DURATION, "engine": "neuron", "build": "exact", "progress": False}


def clamped(folder, section):
    """A copy of the tiny model with two current clamps on cells 0 and 3 of E."""
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "netParams.py").open("a") as file:
        for label, delay, duration, amplitude in (("a", 20, 100, 0.1), ("b", 80.25, 1e9, -0.05)):
            file.write(f"""
netParams.stimSourceParams["{label}"] = {{"type": "IClamp", "del": {delay}, "dur": {duration}, "amp": {amplitude}}}
netParams.stimTargetParams["{label}->E"] = {{
    "source": "{label}", "conds": {{"pop": "E", "cellList": [0, 3]}}, "sec": "{section}", "loc": 0.5}}
""")
    return folder


@pytest.fixture(scope="module", params=ENGINES)
def recorded(request, tmp_path_factory):
    """Six cells of one network run, two with current clamps, thirteen trials of single cells, a dendritic site."""
    folder = tmp_path_factory.mktemp(request.param) / "records"
    record(
        clamped(folder.parent / "model", "soma"),
        **COMMON | {"engine": request.param},
        network_trials=1,
        protocol_trials=10,
        current_trials=3,
        cfg={"rate": 150.0},
        probes={"tip": ("dend_1", 0.9)},
        output=folder,
    )
    return Records.open(folder)


def check_replay(model, population, recorded, out, atol=2e-5):
    """Voltages (mV) and spikes of all trials come out of the cell alone."""
    subprocess.run(
        [sys.executable, str(HERE / "replay.py"), str(model), population, str(recorded.folder), str(out)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    replay = np.load(out)
    for k in range(len(recorded)):
        trial = recorded.trial(k)
        for site in recorded.cell.probes:
            # Exact arithmetic, but for the order of simultaneous events: well within float32 (1e-5 mV at 100 mV).
            np.testing.assert_allclose(
                replay[f"{k}/{site}"], trial.voltage[site], rtol=0, atol=atol, err_msg=f"{trial.kind} {k}"
            )
        np.testing.assert_allclose(replay[f"{k}/spikes"], trial.spike_time, rtol=0, atol=1e-6)


def test_replay_gives_back_voltage_and_spikes(recorded, tmp_path):
    check_replay(TINY, "E", recorded, tmp_path / "replay.npz")


def plastic(folder):
    """A copy of the tiny model with a second population of E's cells, and short-term plasticity from E and from I."""
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "netParams.py").open("a") as file:
        file.write("""
netParams.popParams["E2"] = {"cellType": "E", "numCells": 3}
netParams.synMechParams["exc_stp"] = {"mod": "netml_ampa_nmda_stp", "U": 0.5, "tau_rec": 100.0, "tau_facil": 20.0}
netParams.synMechParams["inh_stp"] = {"mod": "netml_gaba_stp", "U": 0.1, "tau_rec": 5.0, "tau_facil": 300.0}
for rule, synapse in (("E->E", "exc_stp"), ("E->I", "exc_stp"), ("I->E", "inh_stp")):
    changed = {**netParams.connParams[rule], "synMech": synapse, "probability": 1.0}
    if not rule.endswith("I"):
        changed["postConds"] = {"pop": ["E", "E2"]}
    netParams.connParams[rule] = changed
for target in netParams.stimTargetParams.values():
    target["conds"] = {"pop": ["E", "E2"] if target["conds"]["pop"] == "E" else "I"}
""")
    return folder


@pytest.fixture(scope="module", params=ENGINES)
def together(request, tmp_path_factory):
    """Three populations from one run, two of them, of one cell, as one; the connections have short-term plasticity.

    Of the protocol, three trials are the network's input put together anew, one of them with a pause.
    """
    folder = tmp_path_factory.mktemp(request.param)
    made = record(
        plastic(folder / "model"),
        **COMMON | {"engine": request.param, "population": ["E+E2", "I"]},
        network_trials=2,
        protocol_trials=5,
        current_trials=1,
        kinds=("dense", "shuffled", "paused", "shuffled", "dense"),
        cfg={"rate": 150.0},
        output=folder / "records",
    )
    assert made == folder / "records"
    return folder / "model", {name: Records.open(made / name) for name in ("E+E2", "I")}


@pytest.mark.slow
def test_records_are_extended_by_trials_of_the_same_cell(recorded, tmp_path):
    """Trials that are there stay, seeds go on behind theirs, and the new ones replay as well as the old."""
    engine, model = recorded.provenance["engine"], recorded.folder.parent / "model"
    folder = tmp_path / "records"
    shutil.copytree(recorded.folder, folder)
    wanted = COMMON | {"engine": engine, "output": folder, "extend": True}
    record(model, **wanted, network_trials=0, protocol_trials=2, current_trials=0, cfg={"rate": 150.0},
           kinds=("dense", "shuffled"), probes={"tip": ("dend_1", 0.9)})  # fmt: skip
    record(model, **wanted, network_trials=1, protocol_trials=0, current_trials=0, cfg={"rate": 150.0},
           probes={"tip": ("dend_1", 0.9)})  # fmt: skip
    extended = Records.open(folder)
    assert len(extended) == len(recorded) + 2 + 6
    assert extended.provenance["seeds"] == [1, 3] and extended.provenance["protocol_seeds"] == [1, 2, 3]
    assert [extended.provenance[name] for name in ("network_trials", "protocol_trials")] == [2, 12]
    named = {(kind, extended.trial(k).seed, extended.trial(k).gid): k for k, kind in enumerate(extended.kinds)}
    assert len(named) == len(extended)  # none is there twice
    for k, kind in enumerate(recorded.kinds):
        old = recorded.trial(k)
        np.testing.assert_array_equal(old.spike_time, extended.trial(named[kind, old.seed, old.gid]).spike_time)
    check_replay(TINY, "E", extended, tmp_path / "replay.npz")


@pytest.mark.slow
def test_other_records_are_not_extended(recorded, tmp_path):
    folder = tmp_path / "records"
    shutil.copytree(recorded.folder, folder)
    before = sorted((path.name, path.stat().st_size) for path in folder.iterdir())
    wanted = COMMON | {"output": folder, "extend": True, "network_trials": 1, "protocol_trials": 0}
    with pytest.raises(RecordsError, match="cannot be extended: the recorded voltages were"):
        record(TINY, **wanted)
    with pytest.raises(RecordsError, match=r"cannot be extended: the time steps in ms were 0.05 and are 0.1 now"):
        record(TINY, **wanted, dt=0.1, probes={"tip": ("dend_1", 0.9)})
    assert sorted((path.name, path.stat().st_size) for path in folder.iterdir()) == before


@pytest.mark.slow
def test_populations_are_recorded_together(together, tmp_path):
    model, records = together
    for name, gids in {"E+E2": [0, 1, 2, 3, 4, 5, 8, 9, 10], "I": [6, 7]}.items():
        trials = [records[name].trial(k) for k in np.flatnonzero(records[name].kinds == "network")]
        assert [(trial.seed, trial.gid) for trial in trials] == [(seed, gid) for seed in (1, 2) for gid in gids]
        assert [(records[name].kinds == kind).sum() for kind in ("shuffled", "paused")] == [2, 1]
        assert len(records[name]) == len(trials) + 6 and records[name].provenance["population"] == name
    assert records["E+E2"].cell.label == "E" and records["E+E2"].cell.synapses == ("exc", "exc_stp", "inh_stp")
    for name, one in records.items():
        # Weights that plasticity leaves are float32 in the records: 1e-7 of them, which a spike's upstroke amplifies.
        check_replay(model, name[0], one, tmp_path / f"{name}.npz", atol=1e-3)


@pytest.mark.slow
def test_a_population_belongs_to_one_set_of_records(tmp_path):
    wanted = COMMON | {"population": ["E+E2", "I", "E"]}
    with pytest.raises(ModelError, match="population E is in two of the sets"):
        record(plastic(tmp_path / "m"), **wanted, network_trials=1, protocol_trials=0, output=tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_events_have_the_weight_that_short_term_plasticity_leaves(together):
    """E fires at some 50 Hz: with U 0.5 and 100 ms of recovery a third is left; a first spike's event has the half."""
    _, records = together
    cell = records["I"].cell
    for k in np.flatnonzero(records["I"].kinds == "network"):
        trial = records["I"].trial(k)
        share = (
            trial.event_weight[trial.event_synapse_site % len(cell.synapses) == cell.synapses.index("exc_stp")] / 2e-3
        )
        assert share.size > 20 and np.isclose(share, 0.5).sum() >= 5 and (share < 0.45).sum() > 0.2 * share.size


@pytest.mark.slow
def test_one_population_is_recorded_as_alone(together, tmp_path):
    """What else is recorded, or how many are joined, changes no trial of the network."""
    model, records = together
    if records["I"].provenance["engine"] == "neuron":
        alone = Records.open(record(
            model, **COMMON | {"population": "I"}, network_trials=2, protocol_trials=0, cfg={"rate": 150.0},
            output=tmp_path / "r",
        ))  # fmt: skip
        both = [k for k in range(len(records["I"])) if records["I"].kinds[k] == "network"]
        for k, other in zip(range(len(alone)), both, strict=True):
            for name in ("event_time", "event_synapse_site", "event_weight", "spike_time"):
                np.testing.assert_array_equal(getattr(alone.trial(k), name), getattr(records["I"].trial(other), name))


def test_trials_are_what_was_asked_for(recorded):
    assert sorted(set(recorded.kinds)) == [
        "bursts", "crowded", "currents", "dense", "moved", "network", "silence", "sparse", "steps", "volleys",
        "weights",
    ]  # fmt: skip
    assert (recorded.kinds == "network").sum() == 6 and len(recorded) == 19
    assert (recorded.durations_ms == DURATION).all()
    network = [recorded.trial(k) for k in np.flatnonzero(recorded.kinds == "network")]
    assert [trial.gid for trial in network] == [0, 1, 2, 3, 4, 5]
    assert recorded.spike_counts[recorded.kinds == "network"].sum() > 0
    assert recorded.spike_counts[recorded.kinds == "silence"].sum() <= 2
    assert recorded.provenance["seeds"] == [1] and recorded.provenance["population"] == "E"


def test_clamps_of_the_network_are_recorded(recorded):
    trials = {trial.gid: trial for trial in map(recorded.trial, np.flatnonzero(recorded.kinds == "network"))}
    for gid, trial in trials.items():
        assert trial.current_time.tolist() == ([20.0, 80.25, 120.0] if gid in (0, 3) else [])
        np.testing.assert_allclose(trial.current_na, [0.1, 0.05, -0.05][: trial.current_time.size], rtol=1e-15)
    assert recorded.with_current[recorded.kinds == "network"].sum() == 2
    has = [recorded.trial(k).current_na.size > 0 for k in range(len(recorded))]  # a short trial may be all pause
    assert recorded.with_current.tolist() == has
    assert recorded.with_current[np.isin(recorded.kinds, ["steps", "currents"])].sum() == 2


def test_currents_of_the_protocol_make_the_cell_fire_or_not(recorded):
    """Their scale is the current at which the cell begins to fire: tried on the cell itself."""
    trials = [recorded.trial(k) for k in np.flatnonzero(recorded.kinds == "steps")]
    assert len(trials) == 2 and all(trial.event_time.size == 0 for trial in trials)
    assert any(trial.spike_time.size for trial in trials) or all((trial.current_na < 0.1).all() for trial in trials)
    mixed = [recorded.trial(k) for k in np.flatnonzero(recorded.kinds == "currents")]
    assert len(mixed) == 1 and mixed[0].current_na.size


@pytest.mark.slow
@pytest.mark.parametrize("section, kind, message", [
    ("dend_0", "IClamp", r"IClamp 'a->E' on cell 0 lies at dend_0\(0.5\); a reduction .* at soma\(0.5\) only"),
    ("soma", "SEClamp", "cell 0 also gets SEClamp, which is neither"),
])  # fmt: skip
def test_other_clamps_are_refused(tmp_path, section, kind, message):
    model = clamped(tmp_path / "model", section)
    text = (model / "netParams.py").read_text()
    seclamp = '"type": "SEClamp", "dur1": 10.0, "amp1": -60.0'
    if kind == "SEClamp":
        text = text.replace('"type": "IClamp", "del": 20, "dur": 100, "amp": 0.1', seclamp)
    (model / "netParams.py").write_text(text)
    with pytest.raises(ModelError, match=message):
        record(model, **COMMON, network_trials=1, protocol_trials=0, output=tmp_path / "r")


def test_background_is_recorded(recorded):
    """Three trains of 150 Hz a cell, each on its own segment: 180 events of each expected in six cells and 0.2 s."""
    cell = recorded.cell
    trials = [recorded.trial(k) for k in np.flatnonzero(recorded.kinds == "network")]
    for site in (0.5, 1.5, 2.5):
        synapse_site = cell.synapse_site("dend_0", site / 3, "exc")
        events = sum((trial.event_synapse_site == synapse_site).sum() for trial in trials)
        assert events > 0.7 * 180  # at the middle segment recurrent events come on top
    weights = set(np.round(np.concatenate([trial.event_weight for trial in trials]).astype(float), 6))
    assert {0.001, 0.003} <= weights  # recurrent excitation, inhibition


def test_the_cell_is_the_one_that_a_swap_will_find(recorded):
    """The fingerprint is that of the model's files, as `swap` computes it before NetPyNE makes the network."""
    script = (
        "import sys; from netml.circuit.project import find_project, load_project\n"
        "from netml.circuit.cell import fingerprint\n"
        "n, c = load_project(find_project(sys.argv[1]))\n"
        "print(fingerprint(n.cellParams['E'], {s: n.synMechParams[s] for s in ('exc', 'inh')}))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script, str(TINY)], check=True, capture_output=True, text=True, timeout=120
    )
    assert recorded.cell.synapses == ("exc", "inh")
    assert recorded.cell.fingerprint == printed.stdout.split()[-1]
    assert recorded.cell.probes == {"soma": ("soma", 0.5), "tip": ("dend_1", 0.9)}
    assert recorded.cell.spike_threshold_mv == -20.0


@pytest.mark.slow
def test_chosen_cells_and_seeds(tmp_path):
    folder = record(TINY, **COMMON, cells=[1, 4], network_trials=2, protocol_trials=0, seed=5, output=tmp_path / "r")
    records = Records.open(folder)
    trials = [records.trial(k) for k in range(len(records))]
    assert [(trial.seed, trial.gid) for trial in trials] == [(5, 1), (5, 4), (6, 1), (6, 4)]
    assert not np.array_equal(trials[0].event_time, trials[2].event_time)
    with pytest.raises(RecordsError, match="holds records already"):
        record(TINY, **COMMON, output=folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"population": "X"}, ModelError, "no population 'X'; it has E, I"),
        ({"population": ["E", "X"]}, ModelError, "no population 'X'; it has E, I"),
        ({"population": "E+I"}, ModelError, r"joins populations of different cells \(E: E, I: I\)"),
        ({"population": "E+E"}, ModelError, "names a population twice"),
        ({"population": ["E", "I+I2", "I"]}, ModelError, "no population 'I2'"),
        ({"sites": {"tip": ("apic", 0.5)}}, ModelError, "no section 'apic'; it has soma, dend_0"),
        ({"cells": 7}, ModelError, "cannot record 7 cells of E; it has 6"),
        ({"cells": [0, 6]}, ModelError, r"gids \[6\] are not in population E"),
        ({"dt": 0.03}, ModelError, "dt is 0.03 ms.*must divide"),
        (
            {"duration": 1.0, "protocol_trials": 5},
            RecordsError,
            "no event at a synapse of type 'exc'.*--protocol-trials 0",
        ),
    ],
)
def test_a_failure_in_the_run_is_said_and_leaves_no_index(tmp_path, wrong, error, message):
    with pytest.raises(error, match=message):
        record(TINY, **{"network_trials": 1, "protocol_trials": 0, "output": tmp_path / "r"} | COMMON | wrong)
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_silence_is_said_after_the_first_run(tmp_path, capsys):
    """What all trials together would fail for stands on the screen once, while the others are still to come."""
    wanted = COMMON | {"population": ["E", "I"], "network_trials": 2, "protocol_trials": 0, "current_trials": 0}
    record(TINY, **wanted, cfg={"rate": 1e-3}, output=tmp_path / "silent")
    said = capsys.readouterr().err
    for line in ("no spike of the recorded cells of E", "no event at synapses of type exc, inh,", "no spike .* of I"):
        assert len(re.findall(line, said)) == 1
    record(TINY, **wanted | {"network_trials": 1}, cfg={"rate": 150.0}, output=tmp_path / "active")
    assert "no spike" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_failed_overwrite_loses_no_record(recorded, tmp_path):
    folder = tmp_path / "records"
    shutil.copytree(recorded.folder, folder)
    (folder / ".recording-1").mkdir()  # left by a killed one
    before = {path.name: path.read_bytes() for path in folder.glob("*.*") if path.is_file()}
    with pytest.raises(ModelError, match="no population"):
        record(TINY, **COMMON | {"population": "X"}, network_trials=1, protocol_trials=0, output=folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    record(TINY, **COMMON, network_trials=1, protocol_trials=0, output=folder, overwrite=True)
    assert len(Records.open(folder)) == 6
    assert sorted(path.name for path in folder.iterdir()) == ["index.json", "shard-0000.h5"]


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"network_trials": 0}, ModelError, "0 network, .* expected at least 1"),
        ({"protocol_trials": -1}, ModelError, "-1 protocol"),
        ({"current_trials": -1}, ModelError, "-1 current trials"),
        ({"duration": float("nan")}, ModelError, "positive whole number of milliseconds"),
        ({"duration": 0.5}, ModelError, "positive whole number of milliseconds"),
        ({"ranks": 4, "protocol_trials": 3}, LaunchError, "4 ranks are more than the 3 protocol trials"),
        ({"ranks": 0}, LaunchError, "ranks is 0"),
        ({"cells": []}, ModelError, "no cells"),
        ({"sites": {"soma": ("dend_0", 0.5)}}, ModelError, "site label 'soma' has a meaning of its own"),
        ({"preset": "huge"}, ModelError, "unknown preset 'huge'; expected demo or default"),
        ({"population": []}, ModelError, r"populations to record are \[\]"),
        ({"population": ["E", "E"]}, ModelError, "'E', 'E'.*each once"),
        ({"population": ["E", "I"], "cells": [3]}, ModelError, "gids to record are of one population"),
        ({"population": ["E", "../I"]}, ModelError, "'../I' cannot name a folder"),
    ],
)
def test_a_wrong_request_is_refused_at_once(tmp_path, wrong, error, message):
    with pytest.raises(error, match=message):
        record(TINY, **{"output": tmp_path / "r"} | COMMON | wrong)
    assert not (tmp_path / "r").exists()


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RecordsError, match="holds other files .thesis.tex."):
        record(TINY, **COMMON, output=tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").exists()


def test_command_line_words():
    assert (
        parse_cells(None) is None
        and parse_cells("5") == 5
        and parse_cells("3,7") == [3, 7]
        and parse_cells("3,") == [3]
    )
    assert parse_probe("tuft=apic_3:0.25") == ("tuft", ("apic_3", 0.25))
    with pytest.raises(ModelError, match="expected a number, or gids"):
        parse_cells("all")
    with pytest.raises(ModelError, match="expected label=section:loc"):
        parse_probe("apic_3:0.5")
