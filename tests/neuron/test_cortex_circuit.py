"""models/cortex as a plain NetPyNE project: active, reproducible, and built as its README says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "cortex_facts.py"


def facts(duration_ms, stim_seed) -> dict:
    command = [sys.executable, str(SCRIPT), str(duration_ms), str(stim_seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def circuit() -> dict:
    return facts(200, 1)


def test_both_populations_fire(circuit):
    pops = [cell["pop"] for cell in circuit["cells"]]
    firing = {pops[int(gid)] for gid in circuit["spkid"]}
    assert firing == {"PYR", "PV"}
    rate = len(circuit["spkt"]) / len(pops) / 0.2
    assert 1 < rate < 60  # Hz; the background is raised by half here to see spikes soon


def test_delays_are_long_and_never_tie(circuit):
    """Events of two cells that reach one synapse at one time would add in the order of arrival."""
    for cell in circuit["cells"]:
        recurrent = [c for c in cell["conns"] if c[0] != "NetStim"]
        assert all(c[5] >= 0.5 for c in cell["conns"])
        delays = {(pre, delay) for pre, *_, delay in recurrent}
        assert len({delay for _, delay in delays}) == len({pre for pre, _ in delays})


def test_one_synapse_object_a_segment_and_type(circuit):
    """So that no sum over a segment's synapses depends on the order in which ranks create them."""
    for cell in circuit["cells"]:
        assert len({tuple(synapse) for synapse in cell["synapses"]}) == len(cell["synapses"])


def test_background_trains_are_independent(circuit):
    for trains in circuit["trains"].values():
        firsts = [times[0] for times in trains.values() if times]
        assert len(firsts) == len(set(firsts))
    assert circuit["trains"]["cell_0"]["pyr_exc_0"] != circuit["trains"]["cell_1"]["pyr_exc_0"]


def test_background_is_poisson_at_its_rate(circuit):
    counts = [
        len(t) for name, trains in circuit["trains"].items() for s, t in trains.items() if s.startswith("pyr_exc")
    ]
    expected = circuit["pyr_exc_rate"] * 0.2  # Hz x s
    assert np.mean(counts) == pytest.approx(expected, rel=0.15)  # 480 trains: SD of the mean 2 %
    assert np.var(counts) == pytest.approx(expected, rel=0.3)


def test_stim_seed_changes_the_background_and_nothing_else(circuit):
    again, other = facts(40, 1), facts(40, 2)
    assert again["cells"] == other["cells"] == circuit["cells"]
    assert again["trains"] != other["trains"]
    first = [t for t in circuit["trains"]["cell_0"]["pyr_exc_3"] if t < 39]
    assert [t for t in again["trains"]["cell_0"]["pyr_exc_3"] if t < 39] == first
