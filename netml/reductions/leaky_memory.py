"""The leaky-memory cell in plain torch: its trainable parameters and the reference of the C++ kernel.

The head (``head.py``, after Spieler et al. 2024) fed by one leaky trace a receptor kinetics (AMPA, NMDA, GABA-A) of
every branch:  u_k = a_k u_k + x[input(k)].
"""

import numpy as np
import torch

from netml.reductions.head import FEEDBACK_TAU_MS, Head, log_parameter
from netml.reductions.layouts import V_RANGE_MV, Dims
from netml.reductions.receptors import decay_times


class LeakyMemory(Head):
    """Parameters of a leaky-memory cell.

    Args:
        trace_input: (traces) input of each trace.
        trace_tau_ms: (traces) start of its time constant.
        inputs: Number of inputs.
        memory, hidden: Sizes.
        feedback_tau_ms: Time constants of the spike feedback; none switches it off.
        expected: Whether the probability of a spike is fed back.
        dt_ms: Step.
        seed: Of the initial weights.
    """

    dims: Dims

    def __init__(self, trace_input, trace_tau_ms, *, inputs: int, memory: int = 20, hidden: int = 40,
                 feedback_tau_ms=FEEDBACK_TAU_MS, expected: bool = False, dt_ms: float = 1.0,
                 seed: int = 0):  # fmt: skip
        super().__init__(
            len(trace_input), memory=memory, hidden=hidden, feedback_tau_ms=feedback_tau_ms, dt_ms=dt_ms,
            random=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        self.dims = Dims(inputs, len(trace_input), len(feedback_tau_ms), memory, hidden, int(expected))
        self.inputs = inputs
        self.trace_log_tau = log_parameter(trace_tau_ms)
        self.register_buffer("wiring", torch.as_tensor(np.asarray(trace_input), dtype=torch.int32))

    def effective(self) -> dict[str, torch.Tensor]:
        """The kernel's parameters by name, differentiable."""
        return {"trace_decay": torch.exp(-self.dt_ms * torch.exp(-self.trace_log_tau))} | self.effective_head()

    def init_state(self, batch: int) -> dict[str, torch.Tensor]:
        """At rest: no input for ever."""
        return {"traces": self.b1.new_zeros(batch, self.dims.traces)} | self.rest_head(batch)

    def advance(self, p, state, x, last_spike):
        """``step`` with the effective parameters at hand."""
        traces = p["trace_decay"] * state["traces"] + x[:, self.wiring.long()]
        feedback = self.advance_feedback(p, state, last_spike)
        new, logit, v = self.advance_head(p, state, traces, feedback, last_spike)
        return {"traces": traces} | new, logit, v.clamp(*V_RANGE_MV)

    def site_voltage(self, state) -> torch.Tensor:
        """See the contract: it has no dendrite."""
        return state["added"]


def trace_layout(synapses, syn_mech_params: dict, branches: int, current_tau_ms: float | None = None):
    """Traces of every branch: one a receptor kinetics of each synapse type.

    Args:
        synapses: Synapse types in the order of the synapse sites.
        syn_mech_params: Their parameters; decay times are read from ``tau_d*`` or ``tau2*`` where given.
        branches: Number of branches.
        current_tau_ms: Time constant of a last trace, of the somatic current; None: the cell has no such input.

    Returns:
        trace_input (traces) int32 and the initial time constant (traces), ms.
    """
    trace_input, tau = [], []
    for branch in range(branches):
        for s, label in enumerate(synapses):
            for decay in decay_times(label, syn_mech_params.get(label, {})):
                trace_input.append(branch * len(synapses) + s)
                tau.append(decay)
    if current_tau_ms is not None:
        trace_input.append(branches * len(synapses))
        tau.append(current_tau_ms)
    return np.asarray(trace_input, np.int32), np.asarray(tau, np.float32)
