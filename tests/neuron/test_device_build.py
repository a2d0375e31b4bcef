"""The network of netml.build on a torch device against the one in NEURON: the same synapses, inputs and spikes."""

import sys
from pathlib import Path

import numpy as np
import torch

from netml.device.simulation import build

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "fixtures"))
import stepped  # noqa: E402


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
