"""The cable cell in plain torch: its trainable parameters and the reference of the C++ kernel.

A reduced dendritic tree (``tree.py``) carries what is known of the cell: synaptic conductances with their kinetics and
reversal potentials, the magnesium block of NMDA, membrane and axial resistance from geometry.  All of it is learned
from there, positive quantities as logarithms.  Gated conductances of a few shared kinetics stand for the dendrite's own
ion channels.  The head (``head.py``) reads some voltages, and injects a current of low rank back into the tree: what
spikes and slow processes do to the dendrite.  With G the conductances of a step and g_a the axial ones,

    (C / dt + G + g_a) v(n) - g_a v_neighbours(n) = C v(n - 1) / dt + sum G_i E_i + U V [m; f],

one implicit Euler step of the whole tree (Hines 1984, Int J Biomed Comput 15:69-76), stable for every input: without
the injection no voltage leaves the range of the reversal potentials.  Block and gates follow the voltage of the step
before.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from netml.reductions.head import FEEDBACK_TAU_MS, Head, log_parameter
from netml.reductions.layouts import V_RANGE_MV, CableDims
from netml.reductions.receptors import NMDA_HALF, NMDA_SLOPE_PER_MV, Receptor
from netml.reductions.tree import Tree

CAPACITY_NF_UM2 = 2e-5  # 1 uF/cm2, spines double it
LEAK_US_UM2 = 1e-6  # 0.05 mS/cm2, a membrane of 20 kOhm cm2, likewise
LEAK_MV = -75.0
UNIT_MV = 20.0  # voltages are learned in this unit, as fast as logarithms of the rest
INJECTION_MV = 10.0  # an injection of 1 moves a compartment so far against its own leak

#: Where the gated conductances start: reversal (mV), half activation (mV), slope (mV), time constant (ms), uS/um2 at
#: the soma, and the log of how many times that at the farthest compartment. They are not far from making dendritic
#: spikes: from weaker and flatter ones, learning takes several times as long to find these.
GATES = (
    (-45.0, -82.0, -7.0, 30.0, 5e-7, 2.0),  # like Ih
    (100.0, -42.0, 4.0, 3.0, 5e-8, 2.0),  # like a calcium current of low threshold
    (100.0, -35.0, 6.0, 10.0, 5e-8, 2.0),  # and of a higher one
    (50.0, -50.0, 3.0, 1.0, 3e-8, 1.0),  # like a persistent sodium current
    (-90.0, -50.0, 4.0, 40.0, 3e-7, 1.0),  # like a slow potassium current
    (-90.0, -40.0, 5.0, 5.0, 3e-7, 1.0),  # and a faster one
)

#: The same where calcium and sodium channels inactivate too, as in the cell of Hay et al. 2011 (PLoS Comput Biol
#: 7:e1002107): half inactivation (mV), slope (mV) and time constant (ms) follow. Denser, for part is shut at rest.
INACTIVATING_GATES = (
    (100.0, -42.0, 4.0, 3.0, 1e-7, 2.0, -70.0, -6.4, 20.0),
    (100.0, -35.0, 6.0, 10.0, 7e-8, 2.0, -45.0, -15.0, 150.0),
    (50.0, -50.0, 3.0, 1.0, 6e-8, 1.0, -60.0, -6.0, 8.0),
    *(gate for gate in GATES if gate[0] < 0),
)


class Wires(NamedTuple):
    """The wiring of a cable cell as indices on a device.

    Attributes:
        synapse: (receptors) synapse type of each.
        blocked: (receptors) bool, whether it has a voltage-dependent block.
        rising: Receptors with a rise time.
        rows: Of the kernel's state, in units of the compartments: the decaying traces of all receptors, the rising ones
            of those, and the gates. Row 0 is the voltage.
        read, sites: Compartments that the hidden units read, and those of recorded sites.
        levels: Compartments of each distance from the root in branchings, from 1 on, and their parents.
    """

    synapse: Tensor
    blocked: Tensor
    rising: Tensor
    rows: tuple[Tensor, Tensor, Tensor]
    read: Tensor
    sites: Tensor
    levels: list[tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, dims: CableDims, wiring: np.ndarray, device: torch.device | str = "cpu") -> "Wires":
        sizes = dims.compartments, dims.receptors, dims.receptors, dims.reads
        parent, synapse, flags, read, sites = np.split(np.asarray(wiring, np.int64), np.cumsum(sizes))
        level = np.zeros(dims.compartments, int)
        for b in range(1, dims.compartments):
            level[b] = level[parent[b]] + 1

        def sent(array):
            return torch.as_tensor(array, device=device)

        levels = [np.flatnonzero(level == k) for k in range(1, level.max() + 1)]
        rises = flags & 1
        slow = 1 + np.arange(dims.receptors) + np.cumsum(rises) - rises  # a receptor's rise follows its decay
        gates = 1 + dims.receptors + rises.sum() + np.arange(dims.particles)
        rows = sent(slow), sent((slow + 1)[rises > 0]), sent(gates)
        return cls(sent(synapse), sent(flags & 2 > 0), sent(np.flatnonzero(rises)), rows, sent(read), sent(sites),
                   [(sent(own), sent(parent[own])) for own in levels])  # fmt: skip


def voltages(values_mv) -> nn.Parameter:
    return nn.Parameter(torch.as_tensor(np.asarray(values_mv, dtype=np.float32) / UNIT_MV))


class Cable(Head):
    """Parameters of a cable cell.

    Args:
        tree: Its compartments.
        receptors: Of every synapse type, in their order.
        synapses: Number of synapse types.
        current: Whether the last input is a somatic current (nA).
        reads: How many compartments the hidden units read.
        rank: Of the injection.
        sites: Compartments of recorded sites; the hidden units read them too.
        site_readout: Whether memory and hidden units add to the voltage there: they must then know of the dendritic
            spikes that the compartments alone do not make.
        gates: Initial kinetics of the gated conductances, as ``GATES``; those that inactivate too, as in
            ``INACTIVATING_GATES``, come first.
        memory, hidden, feedback_tau_ms, expected, dt_ms, seed: As for the leaky-memory cell.
    """

    dims: CableDims
    d_capacity: nn.Parameter
    d_leak: nn.Parameter
    d_axial: nn.Parameter
    d_leak_mv: nn.Parameter
    d_scale: nn.Parameter
    d_gate: nn.Parameter
    area_capacity: Tensor
    area_leak: Tensor
    area: Tensor
    distance: Tensor
    tree_axial: Tensor
    rises: Tensor
    v_rest: Tensor
    gate_rest: Tensor

    def __init__(self, tree: Tree, receptors: list[Receptor], *, synapses: int, current: bool = False, reads: int = 16,
                 rank: int = 4, sites=(), gates=GATES, memory: int = 20, hidden: int = 40,
                 feedback_tau_ms=FEEDBACK_TAU_MS, expected: bool = False, site_readout: bool = False,
                 dt_ms: float = 1.0, seed: int = 0):  # fmt: skip
        random = torch.Generator().manual_seed(seed)
        read = tree.spread(reads, sites)
        super().__init__(
            len(read),
            memory=memory,
            hidden=hidden,
            feedback_tau_ms=feedback_tau_ms,
            dt_ms=dt_ms,
            random=random,
            site_outputs=len(sites) * site_readout,
        )
        n, r, k, fed = len(tree), len(receptors), len(gates), memory + len(feedback_tau_ms)
        closing = [gate[6:] for gate in gates if len(gate) > 6]
        rises = [c.rise_ms >= 0.5 * dt_ms for c in receptors]  # what is faster is over within a step
        self.inputs = n * synapses + current
        self.dims = CableDims(
            self.inputs, n, synapses, int(current), r, sum(rises), sum(c.blocked for c in receptors), k, len(read),
            rank, len(sites), len(feedback_tau_ms), memory, hidden, int(expected), int(site_readout), len(closing),
        )  # fmt: skip
        flags = [rise + 2 * c.blocked for rise, c in zip(rises, receptors, strict=True)]
        wiring = np.concatenate([tree.parent, [c.synapse for c in receptors], flags, read, np.asarray(sites, int)])
        self.register_buffer("wiring", torch.as_tensor(wiring.astype(np.int32)))
        self.wires = Wires.of(self.dims, wiring)

        area = np.asarray(tree.area_um2)
        self.log_decay = log_parameter([c.decay_ms for c in receptors])
        self.log_rise = log_parameter([max(c.rise_ms, 0.1) for c in receptors])
        self.reversal = voltages([c.reversal_mv for c in receptors])
        self.log_ratio = log_parameter([c.ratio / c.peak for c in receptors])
        self.block_log_slope = log_parameter(np.full(r, NMDA_SLOPE_PER_MV))
        self.block_offset = nn.Parameter(torch.full((r,), -math.log(NMDA_HALF)))
        e, half, slope, tau, density, reach = np.array([gate[:6] for gate in gates], float).reshape(-1, 6).T
        half, slope, tau = np.hstack([[half, slope, tau], np.array(closing, float).reshape(-1, 3).T])
        self.gate_reversal, self.gate_half = voltages(e), voltages(half)
        self.gate_slope = nn.Parameter(torch.tensor(1 / slope, dtype=torch.float32))
        self.gate_log_tau = log_parameter(tau)
        self.leak_reversal = voltages(LEAK_MV)
        self.log_membrane = nn.Parameter(torch.zeros(3))  # capacity, leak and axial conductance of the whole cell
        self.gate_log_density = log_parameter(density)
        self.gate_reach = nn.Parameter(torch.tensor(reach, dtype=torch.float32))
        # Deviations of every compartment from what geometry and these give, as logarithms (voltages: see UNIT_MV).
        for name, rows in {"capacity": 1, "leak": 1, "axial": 1, "leak_mv": 1, "scale": r, "gate": k}.items():
            setattr(self, f"d_{name}", nn.Parameter(torch.zeros(rows, n)))
        self.inject_u = nn.Parameter(torch.zeros(rank, n))
        self.inject_v = nn.Parameter(torch.randn(rank, fed, generator=random) / math.sqrt(fed))
        self.v_soma = nn.Parameter(torch.ones(1))

        def constant(name, values):
            self.register_buffer(name, torch.as_tensor(np.asarray(values, dtype=np.float32)))

        constant("area_capacity", CAPACITY_NF_UM2 * area)
        constant("area_leak", LEAK_US_UM2 * area)
        constant("area", area)
        constant("distance", tree.path_um / max(tree.path_um.max(), 1e-6))
        constant("tree_axial", tree.axial_us)
        constant("rises", rises)
        constant("v_rest", np.full(n, LEAK_MV))
        constant("gate_rest", np.zeros((self.dims.particles, n)))

    def deviations(self) -> list[nn.Parameter]:
        """Parameters that are drawn to what is known of the cell."""
        return [self.d_capacity, self.d_leak, self.d_axial, self.d_leak_mv, self.d_scale, self.d_gate]

    def physics(self) -> list[nn.Parameter]:
        """Further parameters with a physical meaning."""
        return [self.log_decay, self.log_rise, self.reversal, self.log_ratio, self.block_log_slope, self.block_offset,
                self.gate_reversal, self.gate_half, self.gate_slope, self.gate_log_tau, self.gate_log_density,
                self.gate_reach, self.leak_reversal, self.log_membrane]  # fmt: skip

    def effective(self) -> dict[str, Tensor]:
        """The kernel's parameters by name, differentiable."""
        dt = self.dt_ms
        tau, rise_tau = torch.exp(self.log_decay), torch.exp(self.log_rise)
        decay, rise = torch.exp(-dt / tau), torch.exp(-dt / rise_tau)
        ratio = torch.exp(self.log_ratio)
        capacity, leak, axial = self.log_membrane
        leak = self.area_leak * torch.exp(leak + self.d_leak[0])
        density = self.gate_log_density[:, None] + self.gate_reach[:, None] * self.distance
        block_slope = torch.exp(self.block_log_slope)
        tree = {
            "decay": decay,
            "rise": rise,
            # The mean of the conductance over a step; a rise faster than that only takes its area away.
            "to_decay": ratio * (1 - decay) * tau / dt * (1 - (1 - self.rises) * rise_tau / tau),
            "to_rise": ratio * (1 - rise) * rise_tau / dt * self.rises,
            "reversal": UNIT_MV * self.reversal,
            "block_slope": block_slope,
            "block_offset": self.block_offset,
            "gate_rate": 1 - torch.exp(-dt * torch.exp(-self.gate_log_tau)),
            "gate_slope": self.gate_slope,
            "gate_offset": -self.gate_slope * UNIT_MV * self.gate_half,
            "gate_reversal": UNIT_MV * self.gate_reversal,
            "capacity": self.area_capacity * torch.exp(capacity + self.d_capacity[0]) / dt,
            "leak": leak,
            "leak_drive": leak * UNIT_MV * (self.leak_reversal + self.d_leak_mv[0]),
            "axial": self.tree_axial * torch.exp(axial + self.d_axial[0]),
            "scale": torch.exp(self.d_scale),
            "gate_g": self.area * torch.exp(density + self.d_gate),
            "inject_u": self.inject_u * self.area_leak * INJECTION_MV,
            "inject_v": self.inject_v,
            "v_rest": self.v_rest,
            "gate_rest": self.gate_rest,
            "v_soma": self.v_soma,
        }
        return tree | self.effective_head()

    @torch.no_grad()
    def scale_membrane(self, log: float) -> bool:
        self.log_membrane[:2] = log  # capacity too: the time constant stays
        self.settle()
        return True

    def scale_front(self, mean: Tensor, deviation: Tensor) -> None:
        super().scale_front(mean, deviation)
        self.v_mean.sub_(mean[0])  # the head adds to the soma's own voltage, the first that it reads

    def rest_of(self, own: Tensor) -> None:
        self.v_rest.copy_(own[: self.dims.compartments])
        self.gate_rest.copy_(own[own.numel() - self.gate_rest.numel() :].reshape(self.gate_rest.shape))

    def init_state(self, batch: int) -> dict[str, Tensor]:
        """At rest: no input for ever."""
        n, zeros = self.dims, self.b1.new_zeros
        return {
            "tree": self.v_rest.expand(batch, -1), "slow": zeros(batch, n.receptors, n.compartments),
            "fast": zeros(batch, n.receptors, n.compartments), "gates": self.gate_rest.expand(batch, -1, -1),
        } | self.rest_head(batch)  # fmt: skip

    def advance(self, p, state, x, last_spike):
        """``step`` with the effective parameters at hand."""
        n = self.dims
        feedback = self.advance_feedback(p, state, last_spike)
        injected = torch.cat([state["memory"], feedback], dim=1) @ p["inject_v"].T @ p["inject_u"]
        before = state["tree"]
        arrived = x[:, : n.compartments * n.synapses].reshape(-1, n.compartments, n.synapses)
        arrived = arrived[:, :, self.wires.synapse].transpose(1, 2)
        slow = p["decay"][:, None] * state["slow"] + arrived
        fast = p["rise"][:, None] * state["fast"] + arrived
        g = (p["to_decay"][:, None] * slow - p["to_rise"][:, None] * fast) * p["scale"]
        block = torch.sigmoid(p["block_slope"][:, None] * before[:, None] + p["block_offset"][:, None])
        g = g * torch.where(self.wires.blocked[:, None], block, 1.0)
        goal = torch.sigmoid(p["gate_slope"][:, None] * before[:, None] + p["gate_offset"][:, None])
        gates = state["gates"] + p["gate_rate"][:, None] * (goal - state["gates"])
        closing = nn.functional.pad(gates[:, n.gates :], (0, 0, 0, n.gates - n.inactivating), value=1.0)
        open_g = p["gate_g"] * gates[:, : n.gates] * closing
        diagonal = p["capacity"] + p["leak"] + g.sum(1) + open_g.sum(1)
        right = p["capacity"] * before + p["leak_drive"] + injected
        right = right + (g * p["reversal"][:, None]).sum(1) + (open_g * p["gate_reversal"][:, None]).sum(1)
        if n.current:
            right = right + nn.functional.pad(x[:, -1:], (0, n.compartments - 1))
        tree = solve_tree(diagonal, p["axial"], right, self.wires.levels)
        new, logit, v = self.advance_head(p, state, tree[:, self.wires.read], feedback, last_spike)
        v = (v + p["v_soma"] * tree[:, 0]).clamp(*V_RANGE_MV)
        return {"tree": tree, "slow": slow, "fast": fast, "gates": gates} | new, logit, v

    def site_voltage(self, state) -> Tensor:
        """See the contract."""
        v = state["tree"][:, self.wires.sites]
        return v + state["added"] if self.dims.site_outputs else v


def solve_tree(diagonal, axial, right, levels):
    """(batch, compartments) voltages of the tree, eliminated from its tips to its root and back, a level at a time.

    Args:
        diagonal: (batch, compartments), without the axial conductances.
        axial: (compartments) conductance to the parent.
        right: (batch, compartments), right-hand side.
        levels: See :class:`Wires`.
    """
    for child, parent in levels:
        both = axial[child].expand(len(diagonal), -1)
        diagonal = diagonal.index_add(1, child, both).index_add(1, parent, both)
    for child, parent in reversed(levels):
        share = axial[child] / diagonal[:, child]
        diagonal = diagonal.index_add(1, parent, -share * axial[child])
        right = right.index_add(1, parent, share * right[:, child])
    v = right / diagonal
    for child, parent in levels:
        v = v.index_add(1, child, axial[child] * v[:, parent] / diagonal[:, child])
    return v
