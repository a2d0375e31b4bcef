"""A network of netml.build on 1, 2 and 4 ranks of a real mpiexec."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hybrid
import libsonata
import numpy as np
import pytest
import stepped

import netml
from netml.engine.ranks import mpi

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

pytestmark = pytest.mark.slow

SYNAPSE = {"sec": "apical", "loc": 0.5, "synMech": "exc", "weight": 0.05}
# At the beginning of the run, some of it for after the checkpoints, which must hold it.
INJECTED = [
    ["inject", "V", [0, 1, 2, 1, 1, 0], [3.25, 17.0, 29.5, 60.0, 101.5, 110.25], {}],
    ["inject", "E", list(range(30)), 20.5, SYNAPSE],
    ["inject", "E", [3, 4, 28], 105.0, SYNAPSE],
]
RECORDED = {"voltage": {"E": [4, 0, 7], "I": "all"}, "state": {"E": [29]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("stepped")
    stepped.save(stepped.network()[2], path)
    return path


def start(folder, ranks: int, actions: list, name: str) -> subprocess.CompletedProcess:
    program = [sys.executable, str(FIXTURES / "stepped.py"), str(folder / f"{name}-{ranks}.json"), json.dumps(actions)]
    command = program if ranks == 1 else mpi.command(mpi.find(), ranks, program)
    environment = os.environ | mpi.environment(mpi.find())
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)


def run(folder, ranks: int, actions: list, name: str) -> dict:
    done = start(folder, ranks, actions, name)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads((folder / f"{name}-{ranks}.json").read_text())


@pytest.fixture(scope="module")
def whole(folder):
    return run(folder, 1, [*INJECTED, ["advance", 60], ["set_reward", 1.5], ["advance", 60]], "whole")


@pytest.fixture(scope="module")
def pieces(folder):
    """The same on 2 ranks, in pieces, two checkpoints and a recording on the way."""
    actions = [
        *INJECTED, ["advance", 1], ["advance", 2], ["record", str(folder / "recorded"), RECORDED], ["advance", 57],
        ["set_reward", 1.0], ["set_reward", 0.5, "E->E"], ["advance", 1], ["save", str(folder / "61.checkpoint")],
        ["advance", 39], ["save", str(folder / "100.checkpoint")], ["advance", 20], ["finish"],
    ]  # fmt: skip
    return run(folder, 2, actions, "pieces")


def test_the_run_is_worth_comparing(whole):
    fired = {(label, cell) for _, label, cell in whole["spikes"]}
    assert sum(label == "E" for label, _ in fired) > 15 and sum(label == "I" for label, _ in fired) == 10
    given = {cell: [t for t, label, c in whole["spikes"] if (label, c) == ("V", cell)] for cell in range(3)}
    assert given == {0: [3.25, 5.0, 11.25, 110.25], 1: [7.5, 17.0, 60.0, 101.5], 2: [29.5, 40.0, 41.0, 55.5]}
    assert all(one["late"] == one["saturated"] == 0 for one in whole["report"].values())


def test_spikes_do_not_depend_on_ranks_and_pieces(folder, whole, pieces):
    four = run(folder, 4, [*INJECTED, ["advance", 60], ["set_reward", 1.5], ["advance", 60]], "whole")
    for ranks, several in ((2, pieces), (4, four)):
        assert several["spikes"] == whole["spikes"]
        assert several["rates"] == whole["rates"] and several["voltage"] == whole["voltage"]
        assert several["report"] == {k: v | {"rows": ranks * v["rows"]} for k, v in whole["report"].items()}


@pytest.mark.parametrize("ranks, cut", [(1, 61), (4, 100)])
def test_a_checkpoint_goes_on_on_another_number_of_ranks(folder, whole, pieces, ranks, cut):
    actions = [["restore", str(folder / f"{cut}.checkpoint")], ["advance", 120 - cut]]
    resumed = run(folder, ranks, actions, f"resumed-{cut}")
    assert len(resumed["spikes"]) > 20
    assert resumed["spikes"] == [spike for spike in whole["spikes"] if spike[0] > cut]
    assert resumed["voltage"] == whole["voltage"]


def test_a_recording_of_several_ranks_is_one_run(folder, whole, pieces):
    found = netml.Run.open(folder / "recorded")
    for label, cells in {"E": 30, "I": 10, "S": 4, "V": 3}.items():
        expected = [[t, cell] for t, name, cell in whole["spikes"] if name == label and t > 3]
        assert [list(pair) for pair in zip(*found.spikes(label), strict=True)] == expected
        assert found.populations[label]["size"] == cells
    gids, start, step, voltage = found.traces["V_soma"]
    assert gids.tolist() == [0, 4, 7, *range(30, 40)] and (start, step) == (4.0, 1.0) and voltage.shape == (13, 117)
    np.testing.assert_array_equal(voltage[:3, -1], np.float32(whole["voltage"])[[0, 4, 7]])
    states = [trace for name, trace in found.traces.items() if name.startswith("state_")]
    assert len(states) > hybrid.DIMS.traces and all(trace[0].tolist() == [29] for trace in states)
    assert not list((folder / "recorded").glob("*.part.h5"))
    nodes = libsonata.SpikeReader(folder / "recorded" / "spikes.h5")["V"].get_dict()
    assert nodes["timestamps"].tolist() == [t for t, name, _ in whole["spikes"] if name == "V" and t > 3]


def test_a_rank_that_is_killed_ends_all_and_the_last_checkpoint_goes_on(folder, whole):
    file = folder / "killed.checkpoint"
    actions = [*INJECTED, ["advance", 60], ["set_reward", 1.5], ["advance", 3], ["save", str(file)], ["advance", 5],
               ["die"], ["advance", 100000]]  # fmt: skip
    done = start(folder, 2, actions, "killed")
    assert done.returncode != 0 and not (folder / "killed-2.json").exists()
    assert "signal 9" in done.stderr + done.stdout
    resumed = run(folder, 1, [["restore", str(file)], ["advance", 57]], "after-killed")
    assert resumed["spikes"] == [spike for spike in whole["spikes"] if spike[0] > 63] != []
    assert resumed["voltage"] == whole["voltage"]


def test_a_failing_rank_ends_all_with_its_message(folder):
    done = start(folder, 2, [["advance", 10], ["advance", 0.3]], "wrong")
    assert done.returncode != 0
    assert "cannot advance by 0.3 ms; expected a whole number of steps of 1.0 ms" in done.stderr
