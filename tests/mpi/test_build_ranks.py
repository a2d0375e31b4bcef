"""A network of netml.build on 1, 2 and 4 ranks of a real mpiexec."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netml.engine import mpi

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
sys.path.insert(0, str(FIXTURES))
import stepped  # noqa: E402

INJECTED = [
    ["inject", "V", [0, 1, 2, 1], [3.25, 17.0, 99.5, 60.0], {}],
    ["inject", "E", list(range(30)), 20.5, {"sec": "apical", "loc": 0.5, "synMech": "exc", "weight": 0.05}],
]


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
    return run(folder, 1, [*INJECTED, ["advance", 120]], "whole")


def test_the_run_is_worth_comparing(whole):
    fired = {(label, cell) for _, label, cell in whole["spikes"]}
    assert sum(label == "E" for label, _ in fired) > 20 and sum(label == "I" for label, _ in fired) == 10
    given = {cell: [t for t, label, c in whole["spikes"] if (label, c) == ("V", cell)] for cell in range(3)}
    assert given == {0: [3.25, 5.0, 11.25], 1: [7.5, 17.0, 60.0], 2: [40.0, 41.0, 55.5, 99.5]}
    assert all(one["late"] == one["saturated"] == 0 for one in whole["report"].values())


@pytest.mark.parametrize("ranks", [2, 4])
def test_spikes_do_not_depend_on_ranks(folder, whole, ranks):
    several = run(folder, ranks, [*INJECTED, ["advance", 120]], "whole")
    assert several.pop("report") == {k: v | {"rows": ranks * v["rows"]} for k, v in whole["report"].items()}
    assert several == {name: whole[name] for name in several}


def test_spikes_do_not_depend_on_the_stretches_of_a_run(folder, whole):
    pieces = run(folder, 2, [*INJECTED, *[["advance", ms] for ms in (1, 2, 7, 50, 1, 59)]], "pieces")
    assert pieces["spikes"] == whole["spikes"] and pieces["voltage"] == whole["voltage"]


def test_a_failing_rank_ends_all_with_its_message(folder):
    done = start(folder, 2, [["advance", 10], ["advance", 0.3]], "wrong")
    assert done.returncode != 0
    assert "cannot advance by 0.3 ms; expected a whole number of steps of 1.0 ms" in done.stderr
