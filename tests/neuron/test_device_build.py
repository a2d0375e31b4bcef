"""The network of netml.build on a torch device against the one in NEURON: the same synapses, inputs and spikes."""

import json
import subprocess
import sys

import hybrid
import numpy as np
import pytest
import stepped
import torch

import netml
from netml.circuit.cell import to_plain_python
from netml.device.simulation import build
from netml.errors import ModelError


def test_spikes_are_those_of_netml_build(tmp_path):
    net, cfg, artifacts = stepped.network()
    stepped.save(artifacts, tmp_path)
    reductions = {label: tmp_path / f"{label}.netml" for label in artifacts}
    torch.set_num_threads(1)
    on_device = build(net, reductions, cfg, plasticity=stepped.PLASTICITY, device="cpu")
    with stepped.build(tmp_path) as in_neuron:
        spikes = []
        for simulation in (in_neuron, on_device):
            simulation.advance(60)
            simulation.set_reward(0.5)
            simulation.advance(90)
            spikes.append(simulation.spikes())
        report = in_neuron.report()
    for label in artifacts:
        expected, found = (np.stack(one[label]) for one in spikes)
        assert expected.shape[1] > 50
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        assert on_device.report()[label]["synapses"] == report[label]["synapses"]
        assert on_device.report()[label]["late"] == 0


def test_clamps_are_those_of_netml_build(tmp_path):
    net, cfg = hybrid.network(n_e=6, n_i=2)
    for name in ("connParams", "stimTargetParams"):
        getattr(net, name).clear()
    del net.popParams["S"]
    hybrid.clamp(net)
    reductions = {label: hybrid.artifact(net, cell, current=label == "E").save(tmp_path / f"{label}.netml")
                  for label, cell in (("E", "Ecell"), ("I", "Icell"))}  # fmt: skip
    on_device = build(net, reductions, cfg, device="cpu")
    with netml.build(net, reductions, cfg) as in_neuron:
        found = []
        for simulation in (in_neuron, on_device):
            found.append([(simulation.advance(1), simulation.voltage("E"))[1] for _ in range(200)])
    np.testing.assert_allclose(found[1], found[0], atol=1e-2)
    assert np.ptp(found[0], axis=1).max() > 1  # clamped cells are unlike others
    with pytest.raises(ModelError, match="a network on a device has no checkpoints"):
        on_device.save("x")
    net.stimTargetParams["on->E"]["conds"] = {"pop": "I"}
    with pytest.raises(ModelError, match="reduction of I was trained without a current into the soma"):
        build(net, reductions, cfg, device="cpu")


WITHOUT_NEURON = """
import json, sys, types
sys.modules["neuron"] = sys.modules["netpyne"] = sys.modules["mpi4py"] = None  # an import of one is an ImportError
from netml.device.simulation import build
net = types.SimpleNamespace(**json.loads(sys.stdin.read()))
simulation = build(net, {"E": "E.netml", "I": "I.netml"}, seed=1, device="cpu")
simulation.advance(100)
print(json.dumps({label: [one.tolist() for one in found] for label, found in simulation.spikes().items()}))
"""


def test_a_device_network_needs_no_neuron(tmp_path):
    """Built and run in a process that cannot import NEURON, NetPyNE or mpi4py: the same spikes."""
    net, cfg, artifacts = stepped.network()
    stepped.save(artifacts, tmp_path)
    net.cellParams = {label: {**rule, "conds": {}} for label, rule in to_plain_python(net.cellParams).items()}
    plain = json.dumps({name: to_plain_python(value) for name, value in vars(net).items() if not name.startswith("_")})
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NEURON], input=plain, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    here = build(net, {label: tmp_path / f"{label}.netml" for label in artifacts}, seed=1, device="cpu")
    here.advance(100)
    found, expected = json.loads(done.stdout), here.spikes()
    assert sum(len(times) for times, _ in expected.values()) > 50
    for label in artifacts:
        np.testing.assert_array_equal(np.array(found[label]), np.stack(expected[label]))
