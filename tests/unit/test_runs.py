"""Run folders: SONATA's readers agree; what is unfinished or damaged is refused."""

import libsonata
import numpy as np
import pytest

from netml.errors import RunError
from netml.runs import Run, write_run

METADATA = {"duration_ms": 10.0, "populations": {"PYR": {"size": 3, "gids": [0, 1, 2]}, "PV": {"size": 1, "gids": [3]}}}
SPIKES = {"PYR": (np.array([5.0, 1.0, 1.0]), np.array([0, 2, 1])), "PV": (np.array([]), np.array([]))}
TRACES = {"V_soma": (np.array([0, 3]), 0.0, 0.1, np.arange(8.0).reshape(2, 4))}


def test_round_trip(tmp_path):
    run = Run.open(write_run(tmp_path / "run", METADATA, SPIKES, TRACES))
    times, ids = run.spikes("PYR")
    assert times.tolist() == [1.0, 1.0, 5.0] and ids.tolist() == [1, 2, 0]
    assert run.populations["PV"]["size"] == 1 and run.duration_ms == 10.0
    gids, start, step, values = run.traces["V_soma"]
    assert gids.tolist() == [0, 3] and (start, step) == (0.0, 0.1) and values.shape == (2, 4)
    with pytest.raises(RunError, match="no population 'SST'; it has PV, PYR"):
        run.spikes("SST")


def test_libsonata_reads_the_spikes(tmp_path):
    write_run(tmp_path, METADATA, SPIKES)
    reader = libsonata.SpikeReader(str(tmp_path / "spikes.h5"))
    assert sorted(reader.get_population_names()) == ["PV", "PYR"]
    population = reader["PYR"]
    assert population.sorting == "by_time" and population.time_units == "ms"
    assert population.get() == [(1, 1.0), (2, 1.0), (0, 5.0)]


def test_unfinished_and_damaged_are_refused(tmp_path):
    with pytest.raises(RunError, match="no run"):
        Run.open(tmp_path / "absent")
    folder = write_run(tmp_path / "run", METADATA, SPIKES, TRACES)
    spikes = (folder / "spikes.h5").read_bytes()
    (folder / "spikes.h5").write_bytes(spikes[: len(spikes) // 2])
    with pytest.raises(RunError, match="damaged"):
        Run.open(folder)
    (folder / "run.h5").unlink()
    with pytest.raises(RunError, match="unfinished run"):
        Run.open(folder)


def test_a_failed_rewrite_loses_nothing_of_the_earlier_run(tmp_path):
    folder = write_run(tmp_path / "run", METADATA, SPIKES, TRACES)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for metadata, spikes in ((METADATA | {"bad": object()}, SPIKES), (METADATA, SPIKES | {"PV": (["?"], [0])})):
        with pytest.raises((TypeError, ValueError)):
            write_run(folder, metadata, spikes)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_any_name_of_a_population_survives(tmp_path):
    names = ["L5/6 PYR", "a%2Fb", "..", "L5", "L5/PV", "é ü"]
    populations = {name: {"size": 1, "gids": [k]} for k, name in enumerate(names)}
    spikes = {name: (np.array([float(k)]), np.array([0])) for k, name in enumerate(names)}
    traces = {f"V {name}": (np.array([k]), 0.0, 0.1, np.zeros((1, k + 1))) for k, name in enumerate(names)}
    run = Run.open(write_run(tmp_path, METADATA | {"populations": populations}, spikes, traces))
    assert [run.spikes(name)[0].tolist() for name in names] == [[float(k)] for k in range(len(names))]
    assert {label: values.shape[1] for label, (*_, values) in run.traces.items()} == {
        f"V {name}": k + 1 for k, name in enumerate(names)
    }
