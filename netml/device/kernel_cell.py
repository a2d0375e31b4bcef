"""The cell of an artifact in plain torch: the model that was trained, with parameters as the kernel has them."""

import torch
from torch import nn

from netml.reductions.cable import Cable, Wires
from netml.reductions.head import Head
from netml.reductions.kernel import Reduction
from netml.reductions.layouts import AnyDims, CableDims, Dims, parameter_shapes
from netml.reductions.leaky_memory import LeakyMemory

MODELS: dict[type[AnyDims], type[Head]] = {Dims: LeakyMemory, CableDims: Cable}


class KernelCell:
    """A cell on the contract of :class:`netml.reductions.base.ReductionModel` that computes as the kernel does.

    Args:
        dims, wiring: As of :class:`netml.reductions.kernel.Reduction`.
        params: Flat float32, as the kernel's; the device is theirs. Gradients flow back to them.
    """

    def __init__(self, dims: AnyDims, wiring, params: torch.Tensor):
        model = MODELS[type(dims)]
        self.dims, self.inputs = dims, dims.inputs
        self._model = model.__new__(model)  # not initialised: it would draw parameters that an optimiser sees
        nn.Module.__init__(self._model)
        self._model.dims = dims
        self._model.wiring = torch.as_tensor(wiring, device=params.device)
        if isinstance(self._model, Cable) and isinstance(dims, CableDims):
            self._wires = self._model.wires = Wires.of(dims, wiring, params.device)
        self.use(params)

    @classmethod
    def of(cls, reduction: Reduction, device: torch.device) -> "KernelCell":
        """The cell of an artifact."""
        return cls(reduction.dims, reduction.wiring, torch.tensor(reduction.params, device=device))

    def use(self, params: torch.Tensor) -> None:
        """Go on with other parameters."""
        shapes = parameter_shapes(self.dims)
        parts = params.split([torch.Size(shape).numel() for shape in shapes.values()])
        self._parameters = {name: p.view(shape) for (name, shape), p in zip(shapes.items(), parts, strict=True)}
        if isinstance(self.dims, CableDims):  # the kernel has no rise where there is none
            rises = torch.zeros_like(self._parameters["to_rise"]).index_fill(0, self._wires.rising, 1.0)
            self._parameters["to_rise"] = self._parameters["to_rise"] * rises
        for name, value in self._parameters.items():  # some are the state at rest
            setattr(self._model, name, value)
        self._model.feedback_log_tau = self._parameters["feedback_decay"]  # only counted

    def init_state(self, batch: int) -> dict[str, torch.Tensor]:
        """See the contract."""
        return self._model.init_state(batch)

    def step(self, state, x, last_spike):
        """See the contract."""
        return self._model.advance(self._parameters, state, x, last_spike)

    def emit(self, state, logit, threshold):
        """See the contract."""
        return self._model.emit(state, logit, threshold)

    def site_voltage(self, state) -> torch.Tensor:
        """(batch, sites) voltage of the recorded sites, mV."""
        return self._model.site_voltage(state)

    def state_of(self, rows: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The state and the last spike from the kernel's rows (rows, batch) of state."""
        n = self.dims
        own, front, memory, feedback, last, wait = rows.split([n.own, n.front, n.memory, n.feedback, 1, 1])
        state = {"memory": memory.T, "feedback": feedback.T, "wait": wait[0],
                 "added": wait.new_zeros(wait.numel(), n.site_outputs)}  # fmt: skip
        if isinstance(n, CableDims):
            own = own.T.unflatten(1, (-1, n.compartments))
            slow, rising, gates = (own[:, at] for at in self._wires.rows)
            fast = torch.zeros_like(slow).index_copy(1, self._wires.rising, rising)
            return state | {"tree": own[:, 0], "slow": slow, "fast": fast, "gates": gates}, last[0]
        return state | {"traces": front.T}, last[0]

    def rows_of(self, state: dict[str, torch.Tensor], last: torch.Tensor) -> torch.Tensor:
        """The kernel's rows (rows, batch) of state."""
        if isinstance(self.dims, CableDims):
            wires, tree = self._wires, state["tree"][:, None]
            parts = state["slow"], state["fast"][:, wires.rising], state["gates"]
            blocks = torch.cat([tree, *parts], dim=1)
            order = torch.cat([tree.new_zeros(1, dtype=torch.int64), *wires.rows])
            own = [torch.empty_like(blocks).index_copy(1, order, blocks).flatten(1)]
            front = state["tree"][:, wires.read]
        else:
            own, front = [], state["traces"]
        return torch.cat([*own, front, state["memory"], state["feedback"], last[:, None], state["wait"][:, None]], 1).T
