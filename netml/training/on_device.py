"""The recurrence on a torch device: a whole window in plain torch, captured with its gradient as CUDA graphs.

No Python runs between the steps of a window: the loop below is unrolled once, when the graphs are captured, for the
longest window that training draws. A shorter one leaves the steps behind its end without effect. Sums of floats
depend on the device's order, so a training on CUDA is not repeatable to the bit.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from netml.device.choice import usable
from netml.device.kernel_cell import KernelCell
from netml.device.ranges import pieces
from netml.reductions.kernel import LANES
from netml.reductions.layouts import parameter_shapes
from netml.training.recurrence import Recurrence, Window


def recurrence_on(device: str, *arguments, longest: int) -> Recurrence:
    """The C++ kernel's recurrence on "cpu", plain torch's elsewhere; arguments as for :class:`DeviceRecurrence`."""
    if device == "cpu":
        return Recurrence(*arguments)
    return DeviceRecurrence(*arguments, longest=longest, device=device)


class DeviceRecurrence(Recurrence):
    """Like :class:`Recurrence`, whose kernel still runs what needs no gradient.

    Args:
        recurrence arguments: See there.
        longest: Steps of the longest window.
        device: Of the gradients' windows; "cpu" runs the same without graphs.
    """

    def __init__(self, *arguments, longest: int, device: str | torch.device):
        self.device = usable(device)
        super().__init__(*arguments)
        dims, wiring, channel_input = arguments[1:4]
        count = sum(math.prod(shape) for shape in parameter_shapes(dims).values())
        self._cell = KernelCell(dims, wiring, torch.zeros(count, device=self.device))
        self._longest = longest
        self._run_window: Callable | None = None
        self._row_start, self._synapse_site, self._weight, self._input = map(
            self._sent, (self.events.row_start, self.events.synapse_site, self.events.weight, channel_input)
        )

    def _sent(self, array) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device)

    def __call__(self, params: torch.Tensor, gain: torch.Tensor, threshold: float, window: Window):
        sequences = window.first_row.size
        teacher = np.zeros((self._longest, sequences), np.float32)
        teacher[: window.steps] = _by_sequence(window.teacher)
        state = _by_sequence(window.state)
        arguments = [
            params.to(self.device), self._inputs(gain.to(self.device), window), self._sent(teacher),
            self._sent(window.free_running.reshape(-1) > 0), self._sent(np.arange(self._longest) < window.steps),
            torch.tensor(threshold, device=self.device), self._sent(state),
        ]  # fmt: skip
        if self._run_window is None:
            self._run_window = self._captured(arguments)
        *outputs, state = self._run_window(*arguments)
        window.state[:] = _by_block(state.cpu().numpy())
        # (steps, sequences, ...) to (blocks, steps, ..., 16)
        return tuple(o[: window.steps].cpu().unflatten(1, (-1, LANES)).transpose(0, 1).movedim(2, -1) for o in outputs)

    def _inputs(self, gain: torch.Tensor, window: Window) -> torch.Tensor:
        """(longest, sequences, inputs) events of every step, differentiable in the gain."""
        row = self._sent(window.first_row.reshape(-1))
        end = row + self._sent(window.length.reshape(-1)).clamp(max=window.steps)
        x = torch.zeros(self._longest * row.numel() * self._cell.inputs, device=self.device)
        for sequence, event in pieces(self._row_start[row], self._row_start[end]):
            step = torch.searchsorted(self._row_start, event, right=True) - 1 - row[sequence]
            synapse_site = self._synapse_site[event].long()
            at = (step * row.numel() + sequence) * self._cell.inputs + self._input[synapse_site]
            x = x.index_add(0, at, self._weight[event] * gain[synapse_site])
        return x.view(self._longest, row.numel(), self._cell.inputs)

    def _captured(self, arguments: list[torch.Tensor]) -> Callable:
        """The window as CUDA graphs of its forward and backward pass; as it is on other devices."""
        if self.device.type != "cuda":
            return self._window
        samples = tuple(a.detach().clone().requires_grad_(a.requires_grad) for a in arguments)
        return torch.cuda.make_graphed_callables(self._window, samples)

    def _window(self, params, x, teacher, free, active, threshold, state):
        """logit, v (longest, sequences), voltage of sites (longest, sequences, sites), and state behind the window."""
        cell = self._cell
        cell.use(params)
        now, last = cell.state_of(state)
        out = []
        for t in range(self._longest):
            new, logit, v = cell.step(now, x[t], last)
            new, _, fed = cell.emit(new, logit, threshold)
            fed = torch.where(free, fed, teacher[t])
            now = {name: torch.where(active[t], new[name], own) for name, own in now.items()}
            last = torch.where(active[t], fed, last)
            out.append((logit, v, cell.site_voltage(new)))
        return *(torch.stack(parts) for parts in zip(*out, strict=True)), cell.rows_of(now, last).detach()


def _by_sequence(array: np.ndarray) -> np.ndarray:
    """(rows, sequences) float32 from (blocks, rows, 16)."""
    return np.array(array.transpose(1, 0, 2).reshape(array.shape[1], -1), np.float32)  # of its own: the state changes


def _by_block(array: np.ndarray) -> np.ndarray:
    """(blocks, rows, 16) from (rows, sequences)."""
    return array.reshape(len(array), -1, LANES).transpose(1, 0, 2)
