"""A model whose numbers are NumPy's, run with arguments that are NumPy's, does what it does with Python's."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import netml

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "tiny"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The tiny model, every number of its parameters one of NumPy; float32 where that is exact."""
    folder = tmp_path_factory.mktemp("numpy") / "tiny"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "cfg.py").open("a") as file:
        file.write("""
import numpy as np

cfg.seeds = dict(zip(cfg.seeds, np.ones(4, int)))
cfg.recordCells = [("E", list(np.arange(2))), ("I", [np.int64(0)])]
cfg.dt, cfg.recordStep, cfg.n_exc = np.float64(0.05), np.float32(0.5), np.int32(6)
""")
    with (folder / "netParams.py").open("a") as file:
        file.write("""
import numpy as np


def numpied(value):
    if isinstance(value, dict):
        for key in list(value):
            value[key] = numpied(value[key])
    elif isinstance(value, list):
        return [numpied(one) for one in value]
    elif isinstance(value, int) and not isinstance(value, bool):
        return np.int64(value)
    elif isinstance(value, float):
        return np.float32(value) if float(np.float32(value)) == value else np.float64(value)
    return value


for name, value in vars(netParams).items():
    if name.endswith("Params"):
        numpied(value)
netParams.defaultThreshold = np.float32(-20)
""")
    return folder


@pytest.mark.slow
def test_a_run(model, tmp_path):
    ours = {"duration": 100.0, "seed": 2, "cfg": {"rate": 80.0}}
    theirs = {"duration": np.int64(100), "seed": np.arange(4)[2], "cfg": {"rate": np.float32(80)}}
    runs = [
        netml.Run.open(netml.simulate(folder, output=tmp_path / folder.parent.name, progress=False, **arguments))
        for folder, arguments in ((TINY, ours), (model, theirs))
    ]
    for population in ("E", "I"):
        for one, other in zip(*(run.spikes(population) for run in runs), strict=True):
            np.testing.assert_array_equal(one, other)
    assert sum(len(run.spikes("E")[0]) for run in runs) > 0


def test_records(model, tmp_path):
    common = {"population": "E", "engine": "neuron", "build": "exact", "progress": False, "protocol_trials": 0}
    ours = netml.record(TINY, cells=[0, 3], duration=100.0, network_trials=1, output=tmp_path / "ours", **common)
    theirs = netml.record(
        model, cells=np.array([0, 3]), duration=np.float32(100), network_trials=np.int64(1), output=tmp_path / "theirs",
        seed=np.int64(1), **common,
    )  # fmt: skip
    one, other = netml.Records.open(ours), netml.Records.open(theirs)
    assert one.cell.fingerprint == other.cell.fingerprint and len(one) == len(other) == 2
    for a, b in zip(one.trials(range(2)), other.trials(range(2)), strict=True):
        np.testing.assert_array_equal(a.voltage["soma"], b.voltage["soma"])
        np.testing.assert_array_equal(a.event_time, b.event_time)
