"""The cell of an artifact in plain torch: the model that was trained, with parameters as the kernel has them."""

import torch
from torch import nn

from netml.reductions.cable import Cable
from netml.reductions.kernel import Reduction
from netml.reductions.layouts import AnyDims, parameter_shapes
from netml.reductions.leaky_memory import LeakyMemory

MODELS = {"leaky_memory": LeakyMemory, "cable": Cable}
AT_REST = ("b1", "memory_rest", "v_rest", "gate_rest")  # parameters that a model reads for its state at rest


class KernelCell:
    """A cell on the contract of :class:`netml.reductions.base.ReductionModel` that computes as the kernel does.

    Arguments:
        kind: ``reduction`` of an artifact's header.
        dims, wiring: Sizes, and how the parts hang together.
        params: Flat float32, as the kernel's; the device is theirs. Gradients flow back to them.
    """

    def __init__(self, kind: str, dims: AnyDims, wiring, params: torch.Tensor):
        self._model = MODELS[kind].__new__(MODELS[kind])
        nn.Module.__init__(self._model)
        self._model.dims = dims
        self._model.wiring = torch.as_tensor(wiring, device=params.device)
        self.inputs = dims.inputs
        self.use(params)

    @classmethod
    def of(cls, reduction: Reduction, kind: str, device: torch.device) -> "KernelCell":
        """The cell of an artifact."""
        params = torch.tensor(reduction.params, device=device)
        return cls(kind, reduction.dims, reduction.wiring, params)

    def use(self, params: torch.Tensor) -> None:
        """Go on with other parameters."""
        shapes = parameter_shapes(self._model.dims)
        parts = params.split([torch.Size(shape).numel() for shape in shapes.values()])
        self._parameters = {name: p.view(shape) for (name, shape), p in zip(shapes.items(), parts, strict=True)}
        for name in set(AT_REST) & set(self._parameters):
            setattr(self._model, name, self._parameters[name])
        self._model.effective = lambda: self._parameters  # type: ignore[method-assign]

    def init_state(self, batch: int) -> dict[str, torch.Tensor]:
        """See the contract."""
        return self._model.init_state(batch)

    def state_of(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """State from the kernel's rows (rows, batch), without the last spike."""
        return self._model.state_of(rows[:-1]) | {"wait": rows[-1]}

    def rows_of(self, state) -> torch.Tensor:
        """The kernel's rows (rows, batch) of a state, without the last spike."""
        return torch.cat([self._model.rows_of(state), state["wait"][None]])

    def sites(self, state) -> torch.Tensor:
        """(batch, sites) voltage at the recorded sites, mV."""
        return self._model.sites(state)

    def step(self, state, x, last_spike):
        """See the contract."""
        return self._model.step(state, x, last_spike)

    def spikes(self, state, logit, threshold) -> torch.Tensor:
        """See the contract."""
        return self._model.spikes(state, logit, threshold)
