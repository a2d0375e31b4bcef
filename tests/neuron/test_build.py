"""netml.build and its Simulation in this process: errors by their key, input, stepping, recording, checkpoints."""

import gc
import json
import zipfile

import numpy as np
import pytest
import stepped
from scipy import stats

import netml
from netml.circuit.cell import fingerprint
from netml.engine.reduced_network.stream_writer import merged
from netml.errors import ArtifactError, CheckpointError, ModelError, OutputError, RunError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("built")
    stepped.save(stepped.network()[2], path)
    return path


def changed(folder, change, **options):
    """The network with one change to its netParams."""
    net, cfg, artifacts = stepped.network()
    change(net, cfg)
    return netml.build(net, {label: folder / f"{label}.netml" for label in artifacts}, cfg, **options)


def rule(**values):
    return lambda net, cfg: net.connParams["E->E"].update(values)


def kind(**values):
    """Another kind of rule."""

    def change(net, cfg):
        del net.connParams["E->E"]["probability"]
        net.connParams["E->E"].update(values)

    return change


def stim(**values):
    return lambda net, cfg: net.stimSourceParams["bg0"].update(values)


@pytest.mark.parametrize("change, words", [
    (rule(plast={"mech": "STDP"}), ["connParams 'E->E'", "'plast'"]),
    (rule(shape={}), ["'shape'"]),
    (rule(disynapticBias=0.1), ["'disynapticBias'"]),
    (rule(probability="0.1*other"), ["probability of connParams 'E->E'", "unknown name 'other'"]),
    (rule(probability=None), ["probability", "None"]),
    (rule(sec="nowhere"), ["'nowhere'", "dendrites", "apical"]),
    (rule(synMech="nmda"), ["'nmda'", "exc, inh"]),
    (rule(loc=0.5), ["loc and distributeSynsUniformly"]),
    (rule(synsPerConn="uniform(1, 3)"), ["synsPerConn", "whole numbers"]),
    (rule(weight=[0.1, 0.2]), ["weight", "list of 3"]),
    (rule(weight="0.001*log(dist_3D - 1000)"), ["connParams 'E->E'", "weight of nan"]),
    (rule(weight=-0.001), ["weight of -0.001"]),
    (rule(delay=0), ["delay of 0.0"]),
    (rule(delay="-dist_3D"), ["delay of -"]),
    (rule(delay=5000.0), ["delay of 5000.0"]),
    (rule(preConds={"gid": 3}), ["preConds", "'gid'"]),
    (rule(preConds={"x": 50}), ["x of preConds", "50", "[from, to]"]),
    (rule(sec=[["soma"]]), ["sec [['soma']]", "section list"]),
    (rule(postConds={"pop": "S"}), ["connects onto S"]),
    (lambda net, cfg: net.connParams["V->I"].update(delay=0.001), ["from V to I", "0.001"]),
    (lambda net, cfg: net.connParams["V->I"].update(connList=[[5, 0]]) or net.connParams["V->I"].pop("convergence"),
     ["connList", "presynaptic cell 5", "has 3"]),
    (kind(connList=[[0, 1, 2], [0, 1, 2]]), ["connList", "(2, 3)", "pairs"]),
    (kind(connList="pairs.txt"), ["connList", "pairs of whole numbers"]),
    (kind(convergence="sqrt(-1 - post_x)"), ["convergence of connParams 'E->E'", "gives nan"]),
    (kind(divergence="1/(pre_x - pre_x)"), ["divergence", "gives inf"]),
    (lambda net, cfg: net.popParams["E"].update(diversity=True), ["popParams 'E'", "'diversity'"]),
    (lambda net, cfg: net.popParams["E"].update(numCells="many"), ["numCells", "'many'"]),
    (lambda net, cfg: net.popParams.update(X={"cellType": "Ecell", "numCells": 2}), ["X has no reduction"]),
    (lambda net, cfg: net.subConnParams.update(a={}), ["subConnParams"]),
    (lambda net, cfg: setattr(net, "shape", "torus"), ["'torus'"]),
    (lambda net, cfg: net.cellParams["Ecell"]["secs"]["soma"]["geom"].update(L=21.0), ["is of another cell"]),
    (stim(type="VClamp", amp=1), ["'VClamp'"]),
    (stim(shape={}), ["stimSourceParams 'bg0'", "'shape'"]),
    (stim(rate="variable"), ["rate", "'variable'"]),
    (stim(noise=2.0), ["noise 2.0"]),
    (lambda net, cfg: net.popParams["E"].update(xRange="left"), ["xRange of popParams 'E'", "'left'"]),
    (lambda net, cfg: net.stimTargetParams["bg0->all"].update(delay=-1.0), ["'bg0->all'", "delay of -1.0"]),
    (stim(rate=-5.0), ["interval of -200"]),
    (lambda net, cfg: net.stimTargetParams["bg0->all"].update(source="no"), ["'no'", "bg0, bg1, bg2"]),
    (lambda net, cfg: net.popParams["V"].pop("spkTimes"), ["'V'", "without spkTimes"]),
])  # fmt: skip
def test_what_is_not_supported_or_wrong_is_named(folder, change, words):
    with pytest.raises((ModelError, ArtifactError)) as error:
        changed(folder, change)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("plasticity, words", [
    ({"x": netml.ShortTerm(0.5, 100.0)}, ["'x'", "E->E"]), ({"E->E": 0.5}, ["0.5", "ShortTerm"]),
])  # fmt: skip
def test_wrong_plasticity_is_named(folder, plasticity, words):
    with pytest.raises(ModelError) as error:
        changed(folder, lambda net, cfg: None, plasticity=plasticity)
    assert all(word in str(error.value) for word in words)


def with_plastic_synapse(net, artifacts, folder, synapse="inh"):
    """The network with one synapse type's mechanism replaced by that with short-term plasticity."""
    net.synMechParams[synapse] = {"mod": "netml_gaba_stp", "U": 0.4, "tau_rec": 120.0, "tau_facil": 30.0}
    for label, cell in (("E", "Ecell"), ("I", "Icell")):
        print_of_cell = fingerprint(net.cellParams[cell], {s: net.synMechParams[s] for s in ("exc", "inh")})
        artifacts[label].header["cell"]["fingerprint"] = print_of_cell
    return stepped.save(artifacts, folder)


def test_a_mechanism_with_short_term_plasticity_has_it_without_being_named(folder, tmp_path):
    rule = netml.ShortTerm(use=0.4, tau_rec_ms=120.0, tau_facil_ms=30.0)

    def voltage(plastic_synapse, plasticity=None):
        net, cfg, artifacts = stepped.network()
        reductions = stepped.save(artifacts, tmp_path)
        if plastic_synapse:
            reductions = with_plastic_synapse(net, artifacts, tmp_path)
        with netml.build(net, reductions, cfg, plasticity=plasticity) as simulation:
            simulation.advance(100)
            return simulation.voltage("E")

    named = voltage(False, {"I->E": rule, "I->I": rule})
    np.testing.assert_array_equal(voltage(True), named)
    assert not np.array_equal(voltage(False), named)
    with pytest.raises(ModelError, match="'I->E' is ShortTerm.*has short-term plasticity already"):
        voltage(True, {"I->E": rule})
    net, cfg, artifacts = stepped.network()
    reductions = with_plastic_synapse(net, artifacts, tmp_path, synapse="exc")
    with pytest.raises(ModelError, match="'bg0->all' is on synMech 'exc', which has short-term plasticity"):
        netml.build(net, reductions, cfg)


def test_one_network_a_process_and_close_frees_it(folder):
    with stepped.build(folder) as simulation:
        simulation.advance(5)
        with pytest.raises(ModelError, match="another network"):
            stepped.build(folder)
        simulation.advance(1)
        first = simulation.spikes()
    simulation.close()
    with pytest.raises(ModelError, match="closed"):
        simulation.advance(1)
    with stepped.build(folder) as again:
        again.advance(6)
        second = again.spikes()
    for label in first:
        np.testing.assert_array_equal(first[label], second[label])


def test_a_failed_build_leaves_nothing_in_neuron(folder):
    """Its populations, kept alive by the exception, must not step in the next network, nor die while they do."""
    with pytest.raises(ModelError) as failure:
        changed(folder, lambda net, cfg: net.connParams["V->I"].update(delay=0.001))  # E is whole by then
    with stepped.build(folder) as simulation:
        simulation.advance(3)
        del failure
        gc.collect()
        simulation.advance(20)
        assert simulation.report()["E"]["steps"] == 23


def test_events_reach_the_synapse_that_was_named(folder):
    """An injected event is the population's own step with that input, and only of that cell."""

    def quiet(net, cfg):
        net.connParams.clear()
        net.stimTargetParams.clear()

    voltages = []
    for events in ([], [("E", [3], 4.25, {"sec": "apical", "loc": 0.9, "synMech": "inh", "weight": 0.004})]):
        with changed(folder, quiet) as simulation:
            for population, cells, times, where in events:
                simulation.inject(population, cells, times, **where)
            found = []
            for _ in range(8):
                simulation.advance(1)
                found.append(simulation.voltage("E"))
            voltages.append(np.array(found))
    differ = voltages[0] != voltages[1]
    assert set(np.flatnonzero(differ.any(axis=0))) == {3}
    assert not differ[:4].any() and differ[4, 3]  # the step from 4 to 5 ms


def test_wrong_calls_say_what_was_expected(folder):
    with stepped.build(folder) as simulation:
        simulation.advance(3)
        simulation.inject("V", [0], 3.0)  # now is not too late
        for call, words in (
            (lambda: simulation.advance(0.5), "whole number of steps of 1.0 ms"),
            (lambda: simulation.advance(float("nan")), "cannot advance by nan"),
            (lambda: simulation.inject("Q", [0], 5), "no population 'Q'"),
            (lambda: simulation.inject("V", [7], 5), "0 to 2"),
            (lambda: simulation.inject("V", [0], 2.0), "expected 3.0 ms"),
            (lambda: simulation.inject("V", [0], 5, weight=1.0), "leave out"),
            (lambda: simulation.inject("E", [0], 5, synMech="exc"), "weight is None"),
            (lambda: simulation.inject("E", [0], 5, weight=0.1, sec="no"), "'no'"),
            (lambda: simulation.voltage("S"), "no reduced population 'S'"),
            (lambda: simulation.set_reward(1.0, "I->I"), "'I->I'"),
            (lambda: simulation.set_reward(float("inf")), "reward is inf"),
            (lambda: simulation.record(folder / "r", voltage={"E": [40]}), "0 to 29"),
        ):  # fmt: skip
            with pytest.raises(ModelError, match=words):
                call()


def test_rates_count_since_the_last_call(folder):
    with stepped.build(folder) as simulation:
        simulation.advance(40)
        rates, spikes = simulation.rates(), simulation.spikes()
        expected = {label: len(times) / simulation.populations[label] / 0.04 for label, (times, _) in spikes.items()}
        assert rates == pytest.approx(expected, rel=1e-12) and rates["E"] > 10
        assert simulation.rates() == dict.fromkeys(rates, 0.0)


def test_background_has_the_statistics_of_netstims(folder):
    """Regular, noisy and Poisson trains; those with one seed are one train of a cell, as NetPyNE's are."""
    from neuron import h

    from netml.network.trains import Trains, own_keys

    for noise in (0.0, 0.3, 1.0):
        trains = Trains(own_keys(7, np.arange(200)), 20.0, noise, 5.0, 1e9, "x")
        parts = [trains.until(end) for end in (3.0, 30.0, 31.0, 1000.0)]
        which, times = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        mine = [np.sort(times[which == k]) for k in range(200)]
        theirs = []
        for k in range(200):
            stim, spikes = h.NetStim(), h.Vector()
            stim.interval, stim.noise, stim.start, stim.number = 20.0, noise, 5.0, 1e9
            stim.noiseFromRandom123(1, k, 7)
            netcon = h.NetCon(stim, None)
            netcon.record(spikes)
            theirs.append((stim, netcon, spikes))
        h.finitialize()
        h.CVode().active(1)
        h.CVode().solve(1000.0)
        theirs = [np.array(spikes) for _, _, spikes in theirs]
        firsts, gaps = ([np.concatenate([of(train) for train in side]) for side in (mine, theirs)]
                        for of in (lambda train: train[:1], np.diff))  # fmt: skip
        if noise == 0:
            assert all(np.allclose(t, np.arange(5.0, 1000.0, 20.0)) for t in mine) and np.allclose(theirs[0], mine[0])
        else:
            assert stats.ks_2samp(*firsts).pvalue > 1e-3 and stats.ks_2samp(*gaps).pvalue > 1e-3
    three = [Trains(own_keys(seed, np.arange(3)), 20.0, 1.0, 0.0, 1e9, "x") for seed in (1, 1, 2)]
    one, same, other = (trains.until(500.0)[1] for trains in three)
    np.testing.assert_array_equal(one, same)
    assert not np.isin(one, other).any()


@pytest.mark.parametrize("change", [{}, {"noise": 0.8}, {"start": 20.0}, {"number": 2}])
def test_a_stimulation_gives_its_events(folder, change):
    """By the engine where it is a plain Poisson process, else by trains: the counts are those of its rate."""

    def one(net, cfg):
        net.connParams.clear()
        for name in ("bg1->all", "bg2->all"):
            del net.stimTargetParams[name]
        net.stimSourceParams["bg0"].update(change)

    with changed(folder, one) as simulation:
        assert bool(simulation._network.backgrounds) == bool(change)
        simulation.advance(500)
        events = sum(one["events"] + one["background"] for one in simulation.report().values())
    expected = 40 * 2 if "number" in change else 40 * 60.0 * (0.5 - change.get("start", 0.0) / 1000)
    assert abs(events - expected) < 4 * np.sqrt(expected) and (events == expected or "number" not in change)


def test_a_recording_is_a_run_and_keeps_little_in_memory(folder, tmp_path, monkeypatch):
    from netml.engine.reduced_network import stream_writer as recorder

    monkeypatch.setattr(recorder, "HELD", 50)
    with stepped.build(folder) as simulation:
        simulation.record(tmp_path / "run", voltage={"I": "all"})
        simulation._recorder._held = 50
        simulation.advance(60)
        assert sum(map(len, simulation._recorder._times)) < 100
        spikes, run = simulation.spikes(), netml.Run.open(simulation.finish())
        assert run.duration_ms == 60 and run.metadata["reduced"]["E"]["late"] == 0
        for label, found in spikes.items():
            np.testing.assert_array_equal(run.spikes(label), found)
        assert run.traces["V_soma"][3].shape == (10, 60)
        with pytest.raises(RunError, match="already holds a finished run"):
            simulation.record(tmp_path / "run")
        simulation.record(tmp_path / "later")
        simulation.advance(10)
        assert netml.Run.open(simulation.finish()).spikes("V")[0].size == 0  # which spikes no more after 55.5 ms


def test_files_of_many_spikes_are_merged_in_blocks():
    rng = np.random.default_rng(0)
    groups = []
    for rank in range(3):
        times = np.sort(rng.integers(0, 60, 200 * (rank + 1)).astype(float))
        groups.append({"timestamps": times, "node_ids": rng.integers(0, 9, len(times))})
    groups.append({"timestamps": np.empty(0), "node_ids": np.empty(0, int)})
    blocks = list(merged(groups, block=40))
    times, cells = (np.concatenate(c) for c in zip(*blocks, strict=True))
    every = [np.concatenate([g[name] for g in groups]) for name in ("timestamps", "node_ids")]
    order = np.lexsort(every[::-1])
    np.testing.assert_array_equal(times, every[0][order])
    np.testing.assert_array_equal(cells, every[1][order])
    assert len(blocks) > 10


def test_a_checkpoint_is_whole_or_refused(folder, tmp_path):
    path = tmp_path / "a.checkpoint"
    with stepped.build(folder) as simulation:
        simulation.advance(30)
        simulation.save(path)
        first = path.read_bytes()
        simulation.advance(1)
        with pytest.raises(OutputError, match="cannot write"):
            simulation.save(folder / "E.netml" / "no" / "x")
    with stepped.build(folder) as simulation:
        with pytest.raises(CheckpointError, match="no checkpoint at"):
            simulation.restore(tmp_path / "none")
        rng = np.random.default_rng(1)
        cuts = [0, 1, 30, len(first) - 1, len(first) - 22, *rng.integers(2, len(first), 60).tolist()]
        for cut in cuts:
            path.write_bytes(first[:cut])
            with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
                simulation.restore(path)
        with zipfile.ZipFile(tmp_path / "a.checkpoint", "w") as archive:
            archive.writestr("header.json", json.dumps({"format": "netml-checkpoint", "version": 99}))
        with pytest.raises(CheckpointError, match="version 99"):
            simulation.restore(path)
        flipped = 0
        for at in rng.integers(0, len(first), 40).tolist():
            path.write_bytes(first[:at] + bytes([first[at] ^ 0x10]) + first[at + 1 :])
            try:
                simulation.restore(path)
            except CheckpointError:
                flipped += 1
            simulation._now = simulation._origin = 0
        assert flipped >= 38  # a bit of a date or of padding between members changes nothing
        path.write_bytes(first)
        assert simulation.restore(path).t == 30.0
        with pytest.raises(ModelError, match="just built"):
            simulation.restore(path)
    for change, word in (({"seed": 5}, "seeds"), ({"plasticity": None}, "network")):
        with stepped.build(folder, **change) as other, pytest.raises(CheckpointError, match=f"its {word} is"):
            other.restore(path)
