"""The cells of a population: their state, and one step of all of them."""

from collections.abc import Callable

import torch


class Cells:
    """State of cells at rest, advanced in place, so that a step is one CUDA graph.

    Args:
        model: See :class:`netml.device.kernel_cell.KernelCell`.
        count: Of cells.
        threshold: A spike is a logit above it.
        rest_mv: Voltage before the first step.
        device: Of everything.

    Attributes:
        x: (cells, inputs) float32, weight times gain of the step's events; the caller fills it.
        spike: (cells) bool, logit and voltage (cells) float32: of the last step.
    """

    def __init__(self, model, count: int, threshold: float, rest_mv: float, device: torch.device):
        self._model, self._threshold, self._rest_mv = model, threshold, rest_mv
        with torch.no_grad():
            self.state = {name: tensor.clone() for name, tensor in model.init_state(count).items()}
        self._rest = {name: tensor[:1].clone() for name, tensor in self.state.items()}
        self.x = torch.zeros(count, model.inputs, device=device)
        self.spike = torch.zeros(count, dtype=torch.bool, device=device)
        self._last_spike = torch.zeros(count, device=device)
        self.logit, self.voltage = torch.zeros(count, device=device), torch.full((count,), rest_mv, device=device)
        self._run = captured(self._advance, device)
        self.reset()

    def reset(self) -> None:
        """All cells at rest."""
        for name, tensor in self.state.items():
            tensor.copy_(self._rest[name].expand_as(tensor))
        self.x.zero_(), self.spike.zero_(), self._last_spike.zero_()
        self.logit.zero_(), self.voltage.fill_(self._rest_mv)

    def step(self) -> None:
        """Take a step with ``x``."""
        self._run()

    @torch.no_grad()
    def _advance(self) -> None:
        new, logit, voltage = self._model.step(self.state, self.x, self._last_spike)
        new, spike, last_spike = self._model.emit(new, logit, self._threshold)
        self.spike.copy_(spike), self._last_spike.copy_(last_spike)
        self.logit.copy_(logit), self.voltage.copy_(voltage)
        for name, tensor in new.items():
            self.state[name].copy_(tensor)


def captured(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """``work``, which changes tensors in place and reads nothing on the host, as one CUDA graph; itself elsewhere.

    It runs a few times while it is captured.
    """
    if device.type != "cuda":
        return work
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
