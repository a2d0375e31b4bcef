"""The engine with plasticity, background, two kinds of cells and detailed ones on several ranks and threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netml.engine.ranks import mpi

PROGRAM = Path(__file__).resolve().parent.parent / "fixtures" / "engine_run.py"


def run(folder: Path, ranks: int, threads: int) -> dict:
    out = folder / f"{ranks}-{threads}.json"
    program = [sys.executable, str(PROGRAM), str(out), str(threads)]
    command = program if ranks == 1 else mpi.command(mpi.find(), ranks, program)
    environment = os.environ | mpi.environment(mpi.find())
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    return folder, run(folder, 1, 1)


def test_everything_is_going_on(one):
    found = one[1]
    border = found["sizes"][0], sum(found["sizes"]), sum(found["sizes"]) + 4
    gids = [gid for _, gid in found["spikes"]]
    for low, high in zip((0, *border), (*border, 10**9), strict=True):
        assert sum(low <= gid < high for gid in gids) > 10
    assert len({row[5] for row in found["weights"]}) > 500 and found["late"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("ranks, threads", [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_spikes_and_weights_do_not_depend_on_ranks_and_threads(one, ranks, threads):
    folder, expected = one
    assert run(folder, ranks, threads) == expected
