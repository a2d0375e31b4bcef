"""The leaky-memory cell in plain torch: its trainable parameters and the reference of the C++ kernel.

After A. Spieler, N. Rahaman, G. Martius, B. Schölkopf, A. Levina (2024), "The Expressive Leaky Memory Neuron: an
Efficient and Expressive Phenomenological Neuron Model Can Solve Long-Horizon Tasks", ICLR 2024.  Theirs: leaky memory
units of many time constants, driven through a small network by filtered branch inputs and by themselves (their
eqs. 1-5).  Ours: weighted inputs with a gain a channel, one trace a receptor kinetics (AMPA, NMDA, GABA-A), feedback
of the cell's own spikes, and outputs that also read the hidden units.

    u_k = a_k u_k + x[input(k)]
    f_j = c_j f_j + s(n - 1)
    h   = relu(W1 [u; m; f] + b1)
    m   = k m + (1 - exp(-lambda dt / tau_m)) tanh(W2 h + b2),   k = exp(-dt / tau_m): |m| stays bounded
    logit = w_y . [m; h] + b_y,   v = w_v . [m; h] + b_v
    s = logit > threshold and the last spike is `refractory` steps back or more
"""

import math

import numpy as np
import torch
from torch import nn

from netml.reductions.kernel import Dims, parameter_shapes

LAMBDA = 5.0  # Spieler et al. 2024: how fast a memory unit follows its drive, beside its decay
MEMORY_TAU_MS = (1.0, 150.0)
FEEDBACK_TAU_MS = (2.0, 8.0, 30.0, 120.0)


class LeakyMemory(nn.Module):
    """Parameters of a leaky-memory cell, in units that suit the optimiser.

    Arguments:
        trace_input: (traces) input of each trace.
        trace_tau_ms: (traces) start of its time constant.
        inputs: Number of inputs.
        memory, hidden: Sizes.
        feedback_tau_ms: Time constants of the spike feedback; none switches it off.
        dt_ms: Step.
        seed: Of the initial weights.
    """

    def __init__(self, trace_input, trace_tau_ms, *, inputs: int, memory: int = 20, hidden: int = 40,
                 feedback_tau_ms=FEEDBACK_TAU_MS, dt_ms: float = 1.0, seed: int = 0):  # fmt: skip
        super().__init__()
        traces, feedback = len(trace_input), len(feedback_tau_ms)
        self.dims = Dims(inputs, traces, feedback, memory, hidden)
        self.inputs, self.dt_ms = inputs, dt_ms
        random = torch.Generator().manual_seed(seed)
        z = traces + memory + feedback

        def normal(*shape, fan_in):
            return nn.Parameter(torch.randn(*shape, generator=random) / math.sqrt(fan_in))

        def log(values):
            return nn.Parameter(torch.log(torch.as_tensor(values, dtype=torch.float32)))

        self.trace_log_tau = log(trace_tau_ms)
        self.feedback_log_tau = log(feedback_tau_ms)
        self.memory_log_tau = log(np.geomspace(*MEMORY_TAU_MS, memory))
        self.w1 = normal(hidden, z, fan_in=z / 2)
        self.b1 = nn.Parameter(torch.zeros(hidden))
        self.w2 = normal(memory, hidden, fan_in=hidden)
        self.b2 = nn.Parameter(torch.zeros(memory))
        self.readout = normal(2, memory + hidden, fan_in=16 * (memory + hidden))
        self.readout_b = nn.Parameter(torch.zeros(2))
        # Fixed by `normalise`: what turns the plain numbers above into physical ones.
        self.register_buffer("trace_input", torch.as_tensor(np.asarray(trace_input), dtype=torch.int64))
        self.register_buffer("trace_mean", torch.zeros(traces))
        self.register_buffer("trace_scale", torch.ones(traces))
        self.register_buffer("v_mean", torch.tensor(-70.0))
        self.register_buffer("v_scale", torch.tensor(5.0))
        self.register_buffer("logit_mean", torch.tensor(-6.0))
        self.register_buffer("memory_rest", torch.zeros(memory))
        self.register_buffer("refractory", torch.zeros(1))

    def effective(self) -> dict[str, torch.Tensor]:
        """The kernel's parameters by name, differentiable."""
        n, dt = self.dims, self.dt_ms
        memory_rate = dt * torch.exp(-self.memory_log_tau)
        to_traces = self.w1[:, : n.traces] / self.trace_scale
        return {
            "trace_decay": torch.exp(-dt * torch.exp(-self.trace_log_tau)),
            "feedback_decay": torch.exp(-dt * torch.exp(-self.feedback_log_tau)),
            "memory_decay": torch.exp(-memory_rate),
            "memory_drive": 1 - torch.exp(-LAMBDA * memory_rate),
            "memory_rest": self.memory_rest,
            "b1": self.b1 - to_traces @ self.trace_mean,
            "w1": torch.cat([to_traces, self.w1[:, n.traces :]], dim=1),
            "b2": self.b2,
            "w2": self.w2,
            "logit_w": self.readout[0],
            "logit_b": self.readout_b[:1] + self.logit_mean,
            "v_w": self.readout[1] * self.v_scale,
            "v_b": self.readout_b[1:] * self.v_scale + self.v_mean,
            "refractory": self.refractory,
        }

    def pack(self) -> torch.Tensor:
        """Flat float32 parameters of the kernel, differentiable."""
        arrays = self.effective()
        return torch.cat([arrays[name].reshape(-1) for name in parameter_shapes(self.dims)])

    def init_state(self, batch: int) -> dict[str, torch.Tensor]:
        """At rest: no input for ever."""
        zeros = self.b1.new_zeros
        return {
            "traces": zeros(batch, self.dims.traces),
            "memory": self.memory_rest.expand(batch, -1),
            "feedback": zeros(batch, self.dims.feedback),
            "wait": zeros(batch),
        }

    def step(self, state, x, last_spike):
        """See :class:`netml.reductions.base.ReductionModel`."""
        p = self.effective()
        traces = p["trace_decay"] * state["traces"] + x[:, self.trace_input]
        feedback = p["feedback_decay"] * state["feedback"] + last_spike[:, None]
        z = torch.cat([traces, state["memory"], feedback], dim=1)
        hidden = torch.relu(z @ p["w1"].T + p["b1"])
        drive = torch.tanh(hidden @ p["w2"].T + p["b2"])
        memory = p["memory_decay"] * state["memory"] + p["memory_drive"] * drive
        readout = torch.cat([memory, hidden], dim=1)
        logit = readout @ p["logit_w"] + p["logit_b"]
        v = readout @ p["v_w"] + p["v_b"]
        wait = torch.where(last_spike > 0, p["refractory"], state["wait"]).sub(1).clamp(min=0)
        return {"traces": traces, "memory": memory, "feedback": feedback, "wait": wait}, logit, v

    @staticmethod
    def spikes(state, logit, threshold: float) -> torch.Tensor:
        """See :class:`netml.reductions.base.ReductionModel`."""
        return (logit > threshold) & (state["wait"] == 0)

    @torch.no_grad()
    def settle(self, steps: int = 1000) -> None:
        """Set the memory at rest to where the cell goes without input."""
        p = self.effective()
        memory = self.memory_rest.clone()
        rest = torch.zeros(self.dims.traces), torch.zeros(self.dims.feedback)
        for _ in range(steps):
            z = torch.cat([rest[0], memory, rest[1]])
            drive = torch.tanh(p["w2"] @ torch.relu(p["w1"] @ z + p["b1"]) + p["b2"])
            memory = p["memory_decay"] * memory + p["memory_drive"] * drive
        self.memory_rest.copy_(memory)


def trace_layout(synapses, syn_mech_params: dict, branches: int) -> tuple[np.ndarray, np.ndarray]:
    """Traces of every branch: one a receptor kinetics of each synapse type.

    Arguments:
        synapses: Synapse types in the order of the channels.
        syn_mech_params: Their parameters; decay times are read from ``tau_d*`` or ``tau2*`` where given.
        branches: Number of branches.

    Returns:
        trace_input (traces) int32 and the initial time constant (traces), ms.
    """
    trace_input, tau = [], []
    for branch in range(branches):
        for s, label in enumerate(synapses):
            for decay in decay_times(label, syn_mech_params.get(label, {})):
                trace_input.append(branch * len(synapses) + s)
                tau.append(decay)
    return np.asarray(trace_input, np.int32), np.asarray(tau, np.float32)


def decay_times(label: str, parameters: dict) -> tuple[float, ...]:
    """Decay times (ms) of a synapse type's receptors, from its parameters, else from what its name says."""
    given = [float(v) for k, v in sorted(parameters.items()) if k.lower().startswith(("tau_d", "tau2", "taud"))]
    if given:
        return tuple(given)
    name = label.upper()
    if "GABA" in name or "INH" in name:
        return (8.0,)
    fast, slow = ("AMPA" in name, "NMDA" in name)
    return (3.0,) * fast + (60.0,) * slow or (3.0, 60.0)
