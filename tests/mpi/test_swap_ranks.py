"""A network of detailed and reduced cells on 1, 2 and 4 ranks of a real mpiexec."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hybrid
import numpy as np
import pytest

from netml.circuit.cell import segment_table
from netml.engine.ranks import mpi
from netml.population.c_interface import TICKS_PER_MS
from netml.population.population import ReducedPopulation

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """run(ranks, fraction or None for the detailed network), each made once."""
    folder, done = tmp_path_factory.mktemp("hybrid"), {}
    hybrid.artifact(hybrid.network()[0], "Ecell", seed=2, current=True).save(folder / "e.netml")

    def once(ranks: int, fraction: float | None) -> dict:
        if (ranks, fraction) not in done:
            out = folder / f"{ranks}-{fraction}.json"
            program = [sys.executable, str(FIXTURES / "hybrid_run.py"), str(out),
                       "none" if fraction is None else str(folder / "e.netml"), str(fraction or 0.0)]  # fmt: skip
            environment = os.environ | mpi.environment(mpi.find())
            command = program if ranks == 1 else mpi.command(mpi.find(), ranks, program)
            process = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
            assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
            done[ranks, fraction] = json.loads(out.read_text())
        return done[ranks, fraction]

    return once


@pytest.mark.parametrize("ranks, fraction", [(2, 0.5), (4, 0.5), (4, 1.0)])
def test_spikes_do_not_depend_on_ranks(run, ranks, fraction):
    one, several = run(1, fraction), run(ranks, fraction)
    gids = {gid for _, gid in one["spikes"]}
    assert any(gid in one["reduced"] for gid in gids) and any(12 <= gid < 17 for gid in gids)
    assert several["reduced"] == one["reduced"]
    assert several["spikes"] == one["spikes"]
    for cell, trace in one["traces"].items():
        # A detailed cell sums the currents of several synapses on a segment in the order in which they were made.
        tolerance = 0 if int(cell.removeprefix("cell_")) in one["reduced"] else 1e-9
        np.testing.assert_allclose(several["traces"][cell], trace, rtol=0, atol=tolerance, err_msg=cell)
    assert one["report"]["E"]["currents_out_of_range"] == 0  # 0.3 - 0.1 nA under both clamps; -0.2 to 0.4 allowed
    for key in ("cells", "reduced", "synapses", "spikes", "saturated", "late"):
        assert several["report"]["E"][key] == one["report"]["E"][key]
    assert one["report"]["E"]["late"] == 0


@pytest.mark.parametrize("ranks, fraction", [(1, 0.5), (4, 0.5), (1, 1.0)])
def test_connections_are_those_of_the_detailed_network(run, ranks, fraction):
    detailed, swapped = run(1, None), run(ranks, fraction)
    assert len(detailed["conns"]) > 300
    assert swapped["conns"] == detailed["conns"]
    table = segment_table(hybrid.network()[0].cellParams["Ecell"])
    reduction = hybrid.artifact(hybrid.network()[0], "Ecell", seed=2, current=True)
    gain, feeds = (reduction.arrays[name] for name in ("channel_gain", "channel_input"))
    quantum = ReducedPopulation(reduction, "E").quantum
    expected = []
    for post, pre, sec, loc, synapse, weight, delay in detailed["conns"]:
        if post in swapped["reduced"]:
            synapse_site = table.find(sec, loc) * 2 + hybrid.SYNAPSES.index(synapse)
            fixed = np.rint(weight * float(gain[synapse_site]) / quantum) * quantum
            expected.append([post, pre, int(feeds[synapse_site]), float(fixed), round(delay * TICKS_PER_MS)])
    assert swapped["rows"] == sorted(expected, key=str)


def test_nothing_swapped_is_the_detailed_network(run):
    detailed, none = run(1, None), run(1, 0.0)
    assert none["reduced"] == [] and none["spikes"] == detailed["spikes"]


def test_half_is_half(run):
    assert len(run(1, 0.5)["reduced"]) == 6
    assert set(run(1, 0.5)["reduced"]) < set(run(1, 1.0)["reduced"])
