"""What is learned: a reduction and the gain of every synapse site."""

import numpy as np
import torch
from torch import nn

from netml.circuit.synapses import alike
from netml.records import CellInfo
from netml.reductions.branches import group_segments, synapse_site_inputs
from netml.reductions.cable import GATES, INACTIVATING_GATES, Cable
from netml.reductions.head import Head
from netml.reductions.leaky_memory import LeakyMemory, trace_layout
from netml.reductions.receptors import receptors_of
from netml.reductions.tree import reduce_tree
from netml.training.config import TrainConfig

CURRENT_TAU_MS = 1.0  # at first, of the trace of a current in a leaky-memory cell


class Learner(nn.Module):
    """A reduced cell with its synapse sites.

    Args:
        cell: The recorded cell.
        config: Kind and sizes.
        typical_weight: (synapse_sites) mean weight (uS) of the site's synapse type in the training data, mean size
            (nA) of the somatic current where the last synapse site is one.
        sites: Names of recorded dendritic sites that the voltage is learned of too.
    """

    typical_gain: torch.Tensor

    def __init__(self, cell: CellInfo, config: TrainConfig, typical_weight, sites=()):
        super().__init__()
        current = len(typical_weight) > cell.synapse_sites
        first, kind = np.unique(alike(cell.synapses, cell.syn_mech_params), return_inverse=True)
        distinct = [cell.synapses[s] for s in first]
        build = {"cable": _cable, "leaky_memory": _leaky_memory}[config.reduction]
        self.model: Head
        self.model, group = build(cell, distinct, config, current, sites)
        self.channel_input = synapse_site_inputs(group, kind)
        if current:
            self.channel_input = np.append(self.channel_input, np.int32(self.model.inputs - 1))
        self.log_gain = nn.Parameter(torch.zeros(self.channel_input.size))
        # The cable's inputs are conductances and currents as they are; a trace starts from events of size 1.
        typical = np.ones(self.channel_input.size) if config.reduction == "cable" else np.asarray(typical_weight)
        self.register_buffer("typical_gain", torch.as_tensor(1.0 / typical, dtype=torch.float32))

    def gain(self) -> torch.Tensor:
        """(synapse_sites) what an event's weight is multiplied by: positive."""
        return self.typical_gain * torch.exp(self.log_gain)

    def parameter_groups(self, config: TrainConfig) -> list[dict]:
        """For AdamW: weights decay towards no effect, what deviates from the known cell towards it, log gains towards
        the typical gain, the rest does not. ``pace``: learning rate in units of the schedule's."""
        model = self.model
        groups = [
            (model.weights(), config.weight_decay, 1.0),
            (model.deviations(), config.prior_decay, config.tree_lr_scale),
            (model.physics(), 0.0, config.tree_lr_scale),
            ([self.log_gain], config.gain_decay, 1.0),
        ]
        taken = {id(p) for parameters, _, _ in groups for p in parameters}
        groups.append(([p for p in self.parameters() if id(p) not in taken], 0.0, 1.0))
        return [{"params": p, "weight_decay": decay / pace, "pace": pace} for p, decay, pace in groups if p]

    def parameter_count(self, used_synapse_sites: int) -> int:
        """Learned numbers: the model's, and one gain a synapse site in use."""
        return sum(p.numel() for p in self.model.parameters()) + used_synapse_sites


def _cable(cell: CellInfo, synapses: list[str], config: TrainConfig, current: bool, sites) -> tuple[Cable, np.ndarray]:
    where = [cell.segments.find(*cell.probes[name]) for name in sites]
    tree = reduce_tree(cell.segments, config.compartments, sites=where, focus=config.site_focus)
    at = [int(tree.group[segment]) for segment in where]
    model = Cable(
        tree, receptors_of(synapses, cell.syn_mech_params), synapses=len(synapses), current=current,
        reads=config.reads, rank=config.rank, sites=at,
        gates=INACTIVATING_GATES if config.inactivation else GATES, memory=config.memory, hidden=config.hidden,
        feedback_tau_ms=config.feedback_tau_ms, expected=config.feeds_back_probability(current),
        site_readout=config.site_readout, dt_ms=config.dt_r_ms, seed=config.seed,
    )  # fmt: skip
    return model, tree.group


def _leaky_memory(
    cell: CellInfo, synapses: list[str], config: TrainConfig, current: bool, sites
) -> tuple[LeakyMemory, np.ndarray]:
    branch = group_segments(cell.segments, config.branches)
    branches = int(branch.max()) + 1
    trace_input, trace_tau = trace_layout(synapses, cell.syn_mech_params, branches, CURRENT_TAU_MS if current else None)
    model = LeakyMemory(
        trace_input, trace_tau, inputs=branches * len(synapses) + current, memory=config.memory,
        hidden=config.hidden, feedback_tau_ms=config.feedback_tau_ms, expected=config.feeds_back_probability(current),
        dt_ms=config.dt_r_ms, seed=config.seed,
    )  # fmt: skip
    return model, branch
