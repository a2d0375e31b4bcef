"""The cell of an artifact in plain torch: the model that was trained, with parameters as the kernel has them."""

import torch
from torch import nn

from netml.reductions.kernel import Dims, Reduction, parameter_shapes
from netml.reductions.leaky_memory import LeakyMemory

MODELS = {"leaky_memory": LeakyMemory}


class KernelCell:
    """A cell on the contract of :class:`netml.reductions.base.ReductionModel` that computes as the kernel does.

    Arguments:
        kind: ``reduction`` of an artifact's header.
        dims, wiring: Sizes, and the input of each trace.
        params: Flat float32, as the kernel's; the device is theirs. Gradients flow back to them.
    """

    def __init__(self, kind: str, dims: Dims, wiring, params: torch.Tensor):
        self._model = MODELS[kind].__new__(MODELS[kind])
        nn.Module.__init__(self._model)
        self._model.dims = dims
        self._model.trace_input = torch.as_tensor(wiring, dtype=torch.int64, device=params.device)
        self.inputs = dims.inputs
        self.use(params)

    @classmethod
    def of(cls, reduction: Reduction, kind: str, device: torch.device) -> "KernelCell":
        """The cell of an artifact."""
        params = torch.tensor(reduction.params, device=device)
        return cls(kind, reduction.dims, reduction.trace_input, params)

    def use(self, params: torch.Tensor) -> None:
        """Go on with other parameters."""
        shapes = parameter_shapes(self._model.dims)
        parts = params.split([torch.Size(shape).numel() for shape in shapes.values()])
        self._parameters = {name: p.view(shape) for (name, shape), p in zip(shapes.items(), parts, strict=True)}
        for name in ("b1", "memory_rest"):  # of the state at rest
            setattr(self._model, name, self._parameters[name])
        self._model.effective = lambda: self._parameters  # type: ignore[method-assign]

    def init_state(self, batch: int) -> dict[str, torch.Tensor]:
        """See the contract."""
        return self._model.init_state(batch)

    def step(self, state, x, last_spike):
        """See the contract."""
        return self._model.step(state, x, last_spike)

    def spikes(self, state, logit, threshold) -> torch.Tensor:
        """See the contract."""
        return self._model.spikes(state, logit, threshold)
