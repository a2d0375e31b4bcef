"""Two processes, and three, train to the weights of one: the sums are the same, in the same order."""

import os
import subprocess
import sys
from pathlib import Path

import lif
import numpy as np
import pytest

from netml.artifact import Artifact
from netml.engine.ranks import mpi
from netml.errors import TrainingError
from netml.training import log, train
from netml.training.team import Team, launched

pytestmark = pytest.mark.slow

FIELDS = {"branches": 3, "memory": 6, "hidden": 12, "batch_size": 48, "window_ms": 100.0, "updates": 30,
          "validate_every": 10}  # fmt: skip
LAUNCHERS = {
    "mpirun": lambda program: mpi.command(mpi.find(), 2, [sys.executable, *program]),
    "torchrun": lambda program: [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "3", *program],
}


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lif")
    lif.write(folder, [lif.trial(seed, 300, strength=0.85) for seed in range(114)])  # validation: two blocks of lanes
    return folder


@pytest.fixture(scope="module")
def single(records, tmp_path_factory) -> Artifact:
    return Artifact.load(train(records, output=tmp_path_factory.mktemp("one") / "a.netml", progress=False, **FIELDS))


def environment() -> dict:
    """This process's, for a launcher of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PMIX_", "PRTE_"))}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_ranks_train_what_one_process_trains(records, single, tmp_path, launcher):
    output = tmp_path / "b.netml"
    sets = [word for name, value in FIELDS.items() for word in ("--set", f"{name}={value}")]
    program = ["-m", "netml.cli", "train", str(records), "--output", str(output), *sets]
    done = subprocess.run(
        LAUNCHERS[launcher](program), capture_output=True, text=True, timeout=300, env=environment(), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("validation trials") == 1  # one rank speaks
    shared = Artifact.load(output)
    for name, expected in single.arrays.items():
        np.testing.assert_array_equal(shared.arrays[name], expected)  # no tolerance: the same sums in the same order
    assert shared.header["threshold"] == single.header["threshold"]
    assert shared.header["scores"] == single.header["scores"]
    assert len(log.read(f"{output}.log")) == 3
    assert {p.name for p in tmp_path.iterdir()} == {"b.netml", "b.netml.log"}


def test_more_ranks_than_blocks_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launched() == (0, 4)
    with pytest.raises(TrainingError, match="4 ranks are more than the 3 blocks"), Team.joined(tmp_path / "x", 3):
        pass


def test_blocks_are_shared_out():
    for size in range(1, 6):
        for blocks in range(9):
            shares = [list(Team(0, size).share(blocks, rank)) for rank in range(size)]
            assert sum(shares, []) == list(range(blocks))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
