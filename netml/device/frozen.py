"""The cell of an artifact in plain torch: the model that was trained, its parameters fixed, on any device."""

import torch
from torch import nn

from netml.reductions.kernel import Reduction, unpack
from netml.reductions.leaky_memory import LeakyMemory

MODELS = {"leaky_memory": LeakyMemory}


def frozen(reduction: Reduction, kind: str, device: torch.device) -> nn.Module:
    """A model on the contract of :class:`netml.reductions.base.ReductionModel` that computes as the kernel does.

    Its parameters are the kernel's own, not those that an optimiser sees.

    Arguments:
        kind: ``reduction`` of the artifact's header.
    """
    model = MODELS[kind].__new__(MODELS[kind])
    nn.Module.__init__(model)
    parameters = {name: torch.tensor(array) for name, array in unpack(reduction.dims, reduction.params).items()}
    for name, tensor in parameters.items():
        model.register_buffer(name, tensor)
    model.register_buffer("trace_input", torch.tensor(reduction.trace_input, dtype=torch.int64))
    model.dims, model.inputs = reduction.dims, reduction.dims.inputs
    model.to(device)
    fixed = {name: getattr(model, name) for name in parameters}
    model.effective = lambda: fixed  # type: ignore[method-assign]
    return model
