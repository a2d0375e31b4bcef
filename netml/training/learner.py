"""What is learned: a reduction and the gain of every channel."""

import numpy as np
import torch
from torch import nn

from netml.circuit.cell import SegmentTable
from netml.records import CellInfo
from netml.reductions.branches import channel_inputs, group_segments
from netml.reductions.leaky_memory import LeakyMemory, trace_layout
from netml.training.config import TrainConfig

CURRENT_TAU_MS = 1.0  # at first, of the trace of a current


class Learner(nn.Module):
    """A leaky-memory cell with its channels.

    Arguments:
        cell: The recorded cell.
        config: Sizes.
        typical_weight: (channels) mean weight (uS) of the channel's synapse type in the training data: an event of
            that weight starts as an input of 1.
    """

    def __init__(self, cell: CellInfo, config: TrainConfig, typical_weight):
        super().__init__()
        segments: SegmentTable = cell.segments
        branch = group_segments(segments, config.branches)
        branches, synapses = int(branch.max()) + 1, len(cell.synapses)
        self.channel_input = channel_inputs(branch, synapses)
        trace_input, trace_tau = trace_layout(cell.synapses, cell.syn_mech_params, branches)
        inputs, current = branches * synapses, len(typical_weight) > cell.channels
        if current:
            self.channel_input = np.append(self.channel_input, np.int32(inputs))
            trace_input, trace_tau = np.append(trace_input, inputs), np.append(trace_tau, CURRENT_TAU_MS)
        self.model = LeakyMemory(
            trace_input, trace_tau, inputs=inputs + current, memory=config.memory, hidden=config.hidden,
            feedback_tau_ms=config.feedback_tau_ms, dt_ms=config.dt_r_ms, seed=config.seed,
        )  # fmt: skip
        self.log_gain = nn.Parameter(torch.zeros(self.channel_input.size))
        self.register_buffer("typical_gain", torch.as_tensor(1.0 / typical_weight, dtype=torch.float32))

    def gain(self) -> torch.Tensor:
        """(channels) 1/uS, positive."""
        return self.typical_gain * torch.exp(self.log_gain)

    def parameter_groups(self, weight_decay: float) -> list[dict]:
        """For AdamW: weights and log gains decay (towards no effect, and the typical gain), the rest does not."""
        decaying = [self.model.w1, self.model.w2, self.model.readout, self.log_gain]
        rest = [p for p in self.parameters() if all(p is not d for d in decaying)]
        return [{"params": decaying, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]

    def parameter_count(self, used_channels: int) -> int:
        """Learned numbers: the model's, and one gain a channel in use."""
        return sum(p.numel() for p in self.model.parameters()) + used_channels
