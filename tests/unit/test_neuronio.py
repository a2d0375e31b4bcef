"""The public data set comes in as it is, and nothing else does: no code, no file of another layout."""

import gzip
import os
import pickle
import pickletools

import neuronio
import numpy as np
import pytest

from netml.errors import PickleError, RecordsError
from netml.records import Records, windows
from netml.records.neuronio import import_neuronio
from netml.records.writer import INDEX


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else neuronio.dumps(content))
    return path


def test_the_generator_writes_what_python_2_wrote():
    names = {arg for op, arg, _ in pickletools.genops(neuronio.dumps(neuronio.experiment())) if op.name == "GLOBAL"}
    assert names == {
        "numpy.core.multiarray _reconstruct",
        "numpy.core.multiarray scalar",
        "numpy ndarray",
        "numpy dtype",
    }
    opcodes = {op.name for op, _, _ in pickletools.genops(neuronio.dumps(neuronio.experiment()))}
    assert opcodes & {"SHORT_BINSTRING", "BINSTRING"} and not opcodes & {"BINUNICODE", "BINBYTES", "FRAME"}


def test_simulations_become_trials(tmp_path):
    files = [write(tmp_path / f"{k}.p", neuronio.experiment(seeds)) for k, seeds in enumerate([(0, 1, 2), (3, 4)])]
    records = Records.open(import_neuronio(files, output=tmp_path / "records"))
    assert len(records) == 5 and set(records.kinds) == {"neuronio"}
    assert records.provenance["trials_with_exact_spike_times"] == 5
    finer = 0
    for k in range(5):
        source, trial = neuronio.simulation(k), records.trial(k)
        assert trial.duration_ms == 599
        np.testing.assert_array_equal(trial.voltage["soma"], source["somaVoltageLowRes"].astype(np.float32))
        np.testing.assert_array_equal(trial.voltage["nexus"], source["nexusVoltageLowRes"].astype(np.float32))
        fine = source["somaVoltageHighRes"].astype(float)
        inner = (fine[1:-1] > fine[:-2]) & (fine[1:-1] >= fine[2:]) & (fine[1:-1] > -25)
        np.testing.assert_array_equal(trial.spike_time, source["recordingTimeHighRes"][1:-1][inner])
        assert len(trial.spike_time) == 3
        finer += int((trial.spike_time.astype(np.float16) != trial.spike_time).sum())
        expected = sorted(
            (time, (segment + 1) * 2 + synapse, (0.0004, 0.001)[synapse])
            for synapse, name in enumerate(("exInputSpikeTimes", "inhInputSpikeTimes"))
            for segment, times in source[name].items() for time in times if time <= 599
        )  # fmt: skip
        found = list(zip(trial.event_time, trial.event_synapse_site, trial.event_weight, strict=True))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert windows.spike_train(trial, 1.0).sum() == 3
    assert finer  # than float16, in which the files give them


def test_the_tree_is_found_from_the_distances(tmp_path):
    folder = import_neuronio([write(tmp_path / "a.p", neuronio.experiment())], output=tmp_path / "records")
    cell = Records.open(folder).cell
    assert cell.segments.sections == (("soma", 1), ("dend_0", 2), ("dend_1", 3), ("apic_0", 4), ("apic_1", 1))
    assert cell.segments.parent.tolist() == [-1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9]  # dend_1 on dend_0, apic_1 on apic_0
    np.testing.assert_allclose(cell.segments.path_um[1:], neuronio.experiment()["Params"]["allSegments_DistFromSoma"])
    assert cell.synapses == ("AMPA_NMDA", "GABAA") and cell.dt_ms == 0.125


def test_less_than_the_published_entries_will_do(tmp_path):
    """Only the kinds of segments in Params, and no voltages but the soma's: plain keys, coarse spike times."""
    content = neuronio.experiment()
    content["Params"] = {"allSegmentsType": content["Params"]["allSegmentsType"], "totalSimDurationInSec": 0.6}
    for simulation in content["Results"]["listOfSingleSimulationDicts"]:
        for name in ("nexusVoltageLowRes", "nexusVoltageHighRes", "somaVoltageHighRes", "recordingTimeHighRes"):
            del simulation[name]
        for name in ("exInputSpikeTimes", "inhInputSpikeTimes"):
            simulation[name] = {int(s): np.array(times) for s, times in simulation[name].items()}
    records = Records.open(import_neuronio([write(tmp_path / "a.p", content)], output=tmp_path / "records"))
    assert list(records.cell.probes) == ["soma"] and len(records.cell.segments) == 1 + neuronio.SEGMENTS
    assert "segments in their order" in records.provenance["geometry"]
    assert records.provenance["trials_with_exact_spike_times"] == 0
    coarse = neuronio.simulation(0)["outputSpikeTimes"].astype(float)
    np.testing.assert_array_equal(records.trial(0).spike_time, coarse)


class Gadget:
    """Would run a command where a pickle is loaded in the ordinary way."""

    def __init__(self, call, *arguments):
        self.made = call, arguments

    def __reduce__(self):
        return self.made


def hostile(marker) -> dict:
    command = f"touch {marker}"
    content = {name: neuronio.experiment() for name in ("alone", "key", "spikes", "array", "state", "numpy", "import")}
    first = {k: c["Results"]["listOfSingleSimulationDicts"][0] for k, c in content.items()}
    content["alone"] = Gadget(os.system, command)
    first["key"]["exInputSpikeTimes"] = {3: [Gadget(eval, f"__import__('os').system({command!r})")]}
    first["spikes"]["outputSpikeTimes"] = Gadget(os.system, command)
    objects = np.empty(2, object)
    objects[:] = [1.0, Gadget(os.system, command)]
    first["array"]["outputSpikeTimes"] = objects
    content["state"]["Params"]["randomSeed"] = Gadget(getattr, os, "system")
    content["numpy"]["Params"]["ISICV"] = Gadget(np.load, str(marker))
    content["import"]["Params"]["ISICV"] = Gadget(__import__, "antigravity")
    raw = {name: pickle.dumps(c, protocol=2) for name, c in content.items() if name != "state"}
    raw["state"] = b"cposix\nsystem\n(S'" + command.encode() + b"'\ntR."
    raw["frombuffer"] = b"cnumpy\nfromfile\n(S'/etc/hostname'\ntR."
    raw["ctypes"] = b"cnumpy.ctypeslib\nload_library\n(S'libc.so.6'\nS'/'\ntR."
    return raw


def test_malicious_pickles_are_refused_and_never_run(tmp_path):
    marker = tmp_path / "owned"
    good = write(tmp_path / "good.p", neuronio.experiment())
    assert pickle.loads(hostile(marker)["spikes"]) and marker.exists()  # the ordinary way: the gadget does its work
    marker.unlink()
    for name, raw in hostile(marker).items():
        bad = write(tmp_path / f"{name}.p", raw)
        with pytest.raises(PickleError, match="asks for .*nothing of it was run"):
            import_neuronio([good, bad], output=tmp_path / "records")
        assert not marker.exists(), name
        assert not (tmp_path / "records").exists()


def damaged(content, where, name, value):
    """``content`` with one entry replaced; None removes it."""
    target = content["Params"] if where == "Params" else content["Results"]["listOfSingleSimulationDicts"][1]
    if value is None:
        del target[name]
    else:
        target[name] = value
    return content


@pytest.mark.parametrize(
    ("where", "name", "value", "message"),
    [
        ("Params", "allSegmentsType", None, "allSegmentsType"),
        ("Params", "allSegmentsLength", [1.0], "allSegmentsLength has shape .1,., expected 10 values"),
        ("Params", "excitatorySynapseType", "CURRENT", "excitatorySynapseType is 'CURRENT'; known are AMPA"),
        ("simulation", "somaVoltageLowRes", None, "simulation 1 lacks 'somaVoltageLowRes'"),
        ("simulation", "outputSpikeTimes", None, "simulation 1 lacks 'outputSpikeTimes'"),
        ("simulation", "exInputSpikeTimes", None, "lacks the dict 'exInputSpikeTimes'"),
        ("simulation", "exInputSpikeTimes", {99: [3]}, "segments 99 to 99; the file's parameters have 10 segments"),
        ("simulation", "inhInputSpikeTimes", {0: [600]}, "inhInputSpikeTimes has times outside 0 to 600 ms"),
        ("simulation", "inhInputSpikeTimes", {0: ["soon"]}, "no mapping of segments to times"),
        ("simulation", "nexusVoltageLowRes", np.zeros(9), "nexusVoltageLowRes has shape .9,., expected .600,."),
        ("simulation", "recordingTimeLowRes", np.arange(600) * 2.0, "recordingTimeLowRes is not 0, 1"),
        ("simulation", "outputSpikeTimes", np.array([700.0]), "no times between 0 and 600 ms"),
        ("simulation", "somaVoltageLowRes", np.full(600, np.nan), "NaN"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(tmp_path, where, name, value, message):
    path = write(tmp_path / "a.p", damaged(neuronio.experiment(), where, name, value))
    with pytest.raises(RecordsError, match=message):
        import_neuronio([path], output=tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_truncated_compressed_and_other_files_are_refused(tmp_path):
    whole = neuronio.dumps(neuronio.experiment())
    cases = [
        (whole[: len(whole) // 2], PickleError, "damaged"),
        (b"", PickleError, "damaged"),
        (gzip.compress(whole), RecordsError, "compressed .gzip.; unpack it"),
        (b"time,voltage\n0,-70\n", PickleError, "no pickle"),
        (neuronio.dumps([1, 2]), RecordsError, "lacks the dict 'Params'.*is a list"),
        (neuronio.dumps({"Params": {}, "Results": {}}), RecordsError, "lacks the list 'listOfSingleSimulationDicts'"),
        (neuronio.dumps({"Params": {}, "Results": {"listOfSingleSimulationDicts": []}}), RecordsError, "no simulation"),
    ]
    for content, error, message in cases:
        with pytest.raises(error, match=message):
            import_neuronio([write(tmp_path / "a.p", content)], output=tmp_path / "records")
    with pytest.raises(PickleError, match="cannot read"):
        import_neuronio([tmp_path / "none.p"], output=tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_records_are_replaced_on_demand_and_kept_where_the_import_fails(tmp_path):
    good, other = (write(tmp_path / f"{k}.p", neuronio.experiment(**changed))
                   for k, changed in enumerate([{}, {"excitatorySynapseType": "AMPA"}]))  # fmt: skip
    folder = import_neuronio([good], output=tmp_path / "records")
    before = (folder / INDEX).read_bytes()
    with pytest.raises(RecordsError, match="holds records already"):
        import_neuronio([good], output=folder)
    with pytest.raises(RecordsError, match="of another cell"):
        import_neuronio([good, other], output=folder, overwrite=True)
    assert (folder / INDEX).read_bytes() == before and len(Records.open(folder)) == 3
    import_neuronio([other], output=folder, overwrite=True)
    assert Records.open(folder).cell.synapses == ("AMPA", "GABAA")
