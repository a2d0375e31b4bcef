"""What every reduction ends in: leaky memory units behind a hidden layer, spike feedback, and the readout.

After A. Spieler, N. Rahaman, G. Martius, B. Schölkopf, A. Levina (2024), "The Expressive Leaky Memory Neuron: an
Efficient and Expressive Phenomenological Neuron Model Can Solve Long-Horizon Tasks", ICLR 2024, their eqs. 2-5.  With
``front`` what a model feeds it:

    f_j = c_j f_j + s(n - 1)
    h   = relu(W1 [front; m; f] + b1)
    m   = k m + (1 - exp(-lambda dt / tau_m)) tanh(W2 h + b2),   k = exp(-dt / tau_m): |m| stays bounded
    logit = w_y . [m; h] + b_y,   v = w_v . [m; h] + b_v within V_RANGE_MV
    and in the same way what is added to the voltage of recorded sites, where a model has such
    s = logit > threshold and the last spike is `refractory` steps back or more

An ``expected`` head feeds back the probability of a spike, 1 / (1 + exp(-logit)), in place of the spike s(n - 1): it
does not commit itself to a spike that it is unsure of, and its voltage is a mean over what may have happened.  Its
state at rest takes that probability for 0, as it nearly is in a cell that does not fire by itself.
"""

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from netml.reductions import kernel
from netml.reductions.layouts import AnyDims, parameter_shapes

LAMBDA = 5.0  # Spieler et al. 2024: how fast a memory unit follows its drive, beside its decay
SITE_MV = 10.0  # unit of what the head adds to the voltage of a recorded site
MEMORY_TAU_MS = (1.0, 150.0)
FEEDBACK_TAU_MS = (2.0, 8.0, 30.0, 120.0)


def log_parameter(values) -> nn.Parameter:
    """A positive quantity, learned as its logarithm."""
    return nn.Parameter(torch.log(torch.as_tensor(np.asarray(values), dtype=torch.float32)))


class Head(nn.Module, ABC):
    """Parameters in units that suit the optimiser; a subclass adds the front, ``dims``, ``wiring`` and ``advance``.

    Args:
        front: How many numbers the model feeds it.
        memory, hidden: Sizes.
        feedback_tau_ms: Time constants of the spike feedback; none switches it off.
        dt_ms: Step.
        random: Generator of the initial weights.
        site_outputs: Recorded sites to whose voltage it adds.
    """

    dims: AnyDims
    inputs: int
    wiring: Tensor
    site_w: Tensor
    site_b: Tensor
    front_mean: Tensor
    front_scale: Tensor
    v_mean: Tensor
    v_scale: Tensor
    logit_mean: Tensor
    memory_rest: Tensor
    refractory: Tensor

    def __init__(self, front: int, *, memory: int, hidden: int, feedback_tau_ms, dt_ms: float, random: torch.Generator,
                 site_outputs: int = 0):  # fmt: skip
        super().__init__()
        self.dt_ms = dt_ms
        z = front + memory + len(feedback_tau_ms)

        def normal(*shape, fan_in):
            return nn.Parameter(torch.randn(*shape, generator=random) / math.sqrt(fan_in))

        self.feedback_log_tau = log_parameter(feedback_tau_ms)
        self.memory_log_tau = log_parameter(np.geomspace(*MEMORY_TAU_MS, memory))
        self.w1 = normal(hidden, z, fan_in=z / 2)
        self.b1 = nn.Parameter(torch.zeros(hidden))
        self.w2 = normal(memory, hidden, fan_in=hidden)
        self.b2 = nn.Parameter(torch.zeros(memory))
        self.readout = normal(2, memory + hidden, fan_in=16 * (memory + hidden))
        self.readout_b = nn.Parameter(torch.zeros(2))
        for name, shape in {"site_w": (site_outputs, memory + hidden), "site_b": (site_outputs,)}.items():
            if site_outputs:
                self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
            else:
                self.register_buffer(name, torch.zeros(shape), persistent=False)
        # Fixed by the trainer: what turns the plain numbers above into physical ones.
        self.register_buffer("front_mean", torch.zeros(front))
        self.register_buffer("front_scale", torch.ones(front))
        self.register_buffer("v_mean", torch.tensor(-70.0))
        self.register_buffer("v_scale", torch.tensor(5.0))
        self.register_buffer("logit_mean", torch.tensor(-6.0))
        self.register_buffer("memory_rest", torch.zeros(memory))
        self.register_buffer("refractory", torch.zeros(1))

    @abstractmethod
    def effective(self) -> dict[str, Tensor]:
        """The kernel's parameters by name, differentiable."""

    @abstractmethod
    def init_state(self, batch: int) -> dict[str, Tensor]:
        """At rest: no input for ever."""

    @abstractmethod
    def advance(self, p, state, x, last_spike):
        """``step`` with the effective parameters at hand."""

    @abstractmethod
    def site_voltage(self, state) -> Tensor:
        """See :class:`netml.reductions.base.ReductionModel`."""

    def weights(self) -> list[nn.Parameter]:
        """Parameters that decay towards no effect."""
        return [self.w1, self.w2, self.readout]

    def deviations(self) -> list[nn.Parameter]:
        """Parameters that are drawn to what is known of the cell."""
        return []

    def physics(self) -> list[nn.Parameter]:
        """Further parameters with a physical meaning."""
        return []

    def effective_head(self) -> dict[str, Tensor]:
        """The kernel's parameters of the head by name, differentiable."""
        dt, front = self.dt_ms, self.front_mean.numel()
        memory_rate = dt * torch.exp(-self.memory_log_tau)
        to_front = self.w1[:, :front] / self.front_scale
        return {
            "feedback_decay": torch.exp(-dt * torch.exp(-self.feedback_log_tau)),
            "memory_decay": torch.exp(-memory_rate),
            "memory_drive": 1 - torch.exp(-LAMBDA * memory_rate),
            "memory_rest": self.memory_rest,
            "b1": self.b1 - to_front @ self.front_mean,
            "w1": torch.cat([to_front, self.w1[:, front:]], dim=1),
            "b2": self.b2,
            "w2": self.w2,
            "logit_w": self.readout[0],
            "logit_b": self.readout_b[:1] + self.logit_mean,
            "v_w": self.readout[1] * self.v_scale,
            "v_b": self.readout_b[1:] * self.v_scale + self.v_mean,
            "refractory": self.refractory,
            "site_w": self.site_w * SITE_MV,
            "site_b": self.site_b * SITE_MV,
        }

    @staticmethod
    def advance_feedback(p, state, last_spike) -> Tensor:
        return p["feedback_decay"] * state["feedback"] + last_spike[:, None]

    def advance_head(self, p, state, front, feedback, last_spike):
        """The new state of the head, logit and its part of the voltage."""
        z = torch.cat([front, state["memory"], feedback], dim=1)
        hidden = torch.relu(z @ p["w1"].T + p["b1"])
        drive = torch.tanh(hidden @ p["w2"].T + p["b2"])
        memory = p["memory_decay"] * state["memory"] + p["memory_drive"] * drive
        readout = torch.cat([memory, hidden], dim=1)
        wait = state["wait"] if self.dims.expected else torch.where(last_spike > 0, p["refractory"], state["wait"])
        wait = wait.sub(1).clamp(min=0)
        added = readout @ p["site_w"].T + p["site_b"]
        new = {"memory": memory, "feedback": feedback, "wait": wait, "added": added}
        return new, readout @ p["logit_w"] + p["logit_b"], readout @ p["v_w"] + p["v_b"]

    def pack(self) -> Tensor:
        """Flat float32 parameters of the kernel, differentiable."""
        arrays = self.effective()
        return torch.cat([arrays[name].reshape(-1) for name in parameter_shapes(self.dims)])

    def step(self, state, x, last_spike):
        """See :class:`netml.reductions.base.ReductionModel`."""
        return self.advance(self.effective(), state, x, last_spike)

    @torch.no_grad()
    def settle(self, steps: int = 1000) -> None:
        """Set the state at rest to where the cell goes without input."""
        reduction = kernel.Reduction(self.dims, self.pack().numpy(), self.wiring.numpy(), math.inf)
        state = kernel.load().rest(reduction, 1)
        for _ in range(steps):
            kernel.load().run_step(reduction, state, np.zeros((1, self.dims.inputs, kernel.LANES), np.float32))
        rows = torch.from_numpy(state[0, :, 0].copy())
        at = self.dims.own + self.dims.front
        self.memory_rest.copy_(rows[at : at + self.dims.memory])
        self.rest_of(rows[: self.dims.own])

    def scale_membrane(self, log: float) -> bool:
        """Start with a membrane of exp(log) times the conductance; False where the model has none."""
        return False

    def scale_front(self, mean: Tensor, deviation: Tensor) -> None:
        """Let the hidden units see the front in units of its deviation from its mean."""
        self.front_mean.copy_(mean)
        self.front_scale.copy_(deviation)

    def rest_of(self, own: Tensor) -> None:  # noqa: B027
        """Take over what the kernel found of the model's own state at rest."""

    def rest_head(self, batch: int) -> dict[str, Tensor]:
        zeros = self.b1.new_zeros
        return {"memory": self.memory_rest.expand(batch, -1), "feedback": zeros(batch, self.dims.feedback),
                "wait": zeros(batch), "added": zeros(batch, self.dims.site_outputs)}  # fmt: skip

    def emit(self, state, logit, threshold: float):
        """See :class:`netml.reductions.base.ReductionModel`."""
        spike = (logit > threshold) & (state["wait"] == 0)
        if not self.dims.expected:
            return state, spike, spike.to(logit.dtype)
        # The probability says nothing of the spike, whose wait begins at once.
        return state | {"wait": torch.where(spike, self.refractory, state["wait"])}, spike, torch.sigmoid(logit)
