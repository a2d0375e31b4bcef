"""NetPyNE's default, one synapse object a connection: sums do not depend on how cells are dealt out to ranks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netml.engine.ranks import mpi

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "fixtures" / "final_voltages.py"


def voltages(ranks: int) -> str:
    command = mpi.command(mpi.find(), ranks, [sys.executable, str(SCRIPT)])
    environment = os.environ | mpi.environment(mpi.find())
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return next(line for line in done.stdout.splitlines() if line.startswith("voltages"))


def test_voltages_are_equal_to_the_last_bit_on_1_2_and_4_ranks():
    one = voltages(1)
    assert one.count("0x") == 32
    assert voltages(2) == one and voltages(4) == one
