"""The network of netml.build on a torch device against the one in NEURON: the same synapses, inputs and spikes."""


import hybrid
import numpy as np
import pytest
import stepped
import torch

import netml
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
