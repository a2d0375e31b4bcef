"""Current clamps of netml.build: the cells of netml.swap under the same clamps are the truth."""

import hybrid
import numpy as np
import pytest
from neuron import h

import netml
from netml.errors import ModelError


@pytest.fixture
def net(tmp_path):
    """Two populations without any connection, clamps on some cells of E, and their reductions."""
    params, cfg = hybrid.network(n_e=6, n_i=2)
    params.connParams.clear()
    params.stimTargetParams.clear()
    del params.popParams["S"]
    hybrid.clamp(params)
    artifacts = {label: hybrid.artifact(params, cell, current=label == "E").save(tmp_path / f"{label}.netml")
                 for label, cell in (("E", "Ecell"), ("I", "Icell"))}  # fmt: skip
    yield params, cfg, artifacts
    h.ParallelContext().gid_clear()  # of NetPyNE's network, or of one that was refused half way


def test_clamps_do_what_they_do_in_netpyne(net):
    params, cfg, artifacts = net
    params.stimSourceParams["on"]["amp"] = "0.05 + 0.3 * post_xnorm"
    with netml.build(params, artifacts, cfg) as simulation:
        built = []
        for _ in range(200):
            simulation.advance(1)
            built.append(simulation.voltage("E"))
    from netpyne import sim

    sim.create(netml.swap(params, artifacts), cfg)
    sim.simulate()
    swapped = np.array([sim.allSimData["V_soma"][f"cell_{k}"] for k in range(6)])[:, 2:402:2].T
    np.testing.assert_array_equal(np.array(built, np.float32), swapped.astype(np.float32))
    assert len({tuple(column) for column in swapped.T}) == 4  # three clamped cells, three alike without


def test_clamps_go_on_after_a_checkpoint(net, tmp_path):
    """Their times are those of the run: one that is on, and one still to come, at the cut."""
    params, cfg, artifacts = net
    whole = []
    with netml.build(params, artifacts, cfg) as simulation:
        for ms in range(200):
            simulation.advance(1)
            whole.append(simulation.voltage("E"))
            if ms in (24, 59):
                simulation.save(tmp_path / f"{ms + 1}.checkpoint")
    rest = np.ptp(np.array(whole), axis=1) > 1  # clamped cells are unlike others
    assert rest[25:].any() and rest[60:].any()
    for cut in (25, 60):
        with netml.build(params, artifacts, cfg) as simulation:
            simulation.restore(tmp_path / f"{cut}.checkpoint")
            for expected in whole[cut:]:
                simulation.advance(1)
                np.testing.assert_array_equal(simulation.voltage("E"), expected)


@pytest.mark.parametrize("where, change, message", [
    ("target", {"sec": "apical"}, r"stimTargetParams 'on->E' lies at apical\(0.5\); a reduction takes current at soma"),
    ("source", {"type": "SEClamp"}, "netml.build supports NetStim, and IClamp at the soma"),
    ("source", {"phase": 1.0}, "stimSourceParams 'on' has 'phase', which netml.build does not support"),
    ("source", {"amp": None}, "on cell 0 has amp = None; expected a number, nA"),
    ("target", {"conds": {"pop": "I"}}, "reduction of I was trained without a current into the soma"),
])  # fmt: skip
def test_refuses(net, where, change, message):
    params, cfg, artifacts = net
    {"target": params.stimTargetParams["on->E"], "source": params.stimSourceParams["on"]}[where].update(change)
    with pytest.raises(ModelError, match=message):
        netml.build(params, artifacts, cfg)
