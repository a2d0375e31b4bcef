"""The kernel as a torch operation: a whole window of many sequences, forward and backward, on CPU threads."""

import ctypes
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from netml.errors import ArtifactError
from netml.reductions.kernel import LANES, Events, Kernel
from netml.reductions.layouts import V_RANGE_MV, AnyDims, shape_of


@dataclass(frozen=True)
class EventTable:
    """Events of all trials, one row a step: row r holds events row_start[r] .. row_start[r + 1]."""

    row_start: np.ndarray  # (rows + 1) int64
    synapse_site: np.ndarray  # (events) int32
    weight: np.ndarray  # (events) float32, uS


@dataclass(frozen=True)
class Window:
    """A stretch of ``steps`` steps of blocks of 16 sequences.

    Attributes:
        first_row: (blocks, 16) int64, row of the event table at the first step.
        length: (blocks, 16) int32, steps that exist; afterwards there is no event and the output means nothing.
        teacher: (blocks, steps, 16) uint8, true spikes.
        free_running: (blocks, 16) uint8, 1: feeds back its own spikes.
        state: (blocks, state, 16) float32, before the window; afterwards the one behind it.
    """

    steps: int
    first_row: np.ndarray
    length: np.ndarray
    teacher: np.ndarray
    free_running: np.ndarray
    state: np.ndarray

    def __post_init__(self):
        blocks = len(self.state)
        expected = {"first_row": (np.int64, (blocks, LANES)), "length": (np.int32, (blocks, LANES)),
                    "teacher": (np.uint8, (blocks, self.steps, LANES)), "free_running": (np.uint8, (blocks, LANES)),
                    "state": (np.float32, (blocks, self.state.shape[1], LANES))}  # fmt: skip
        for name, (dtype, shape) in expected.items():  # the kernel gets bare addresses
            array = getattr(self, name)
            assert array.dtype == dtype and array.shape == shape and array.flags.c_contiguous, (name, array.shape)


class Recurrence:
    """Runs windows of one cell model.

    Args:
        kernel: The loaded library.
        dims: Sizes of the cell model.
        wiring: Its wiring.
        channel_input: (synapse_sites) int32.
        events: Of all trials that windows point into.
        threads: At most so many blocks at once; default all CPUs this process may use. Results do not depend on it.

    Raises:
        ArtifactError: Wiring, synapse sites or events do not fit the sizes.
    """

    def __init__(
        self, kernel: Kernel, dims: AnyDims, wiring, channel_input, events: EventTable, threads: int | None = None
    ):
        self.kernel, self.events = kernel, events
        self.dims, self._shape = dims, shape_of(dims)
        self._wiring = np.ascontiguousarray(wiring, np.int32)
        self._synapse_site_input = np.ascontiguousarray(channel_input, np.int32)
        kernel.accept(self._shape, kernel.param_count(self._shape.ctypes.data), self._wiring)
        for what, index, top in (
            ("synapse sites feed", self._synapse_site_input, dims.inputs),
            ("events are of", events.synapse_site, len(channel_input)),
        ):  # fmt: skip
            if index.size and not 0 <= index.min() <= index.max() < top:  # the kernel gets bare addresses
                raise ArtifactError(
                    f"{what} {index.min()} to {index.max()}, the reduction has 0 to {top - 1}: it is of another cell"
                )
        self._pool = ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)))
        self.state_count = kernel.state_count(self._shape.ctypes.data)
        self._workspace = np.empty((0, 0), np.float32)
        self.team = None  # a netml.training.team.Team shares the blocks among processes

    def close(self) -> None:
        self._pool.shutdown()

    def rest(self, params: np.ndarray, blocks: int) -> np.ndarray:
        """(blocks, state, 16) at rest."""
        state = np.empty((blocks, self.state_count, LANES), np.float32)
        self.kernel.init_state(self._shape.ctypes.data, params.ctypes.data, state.ctypes.data, blocks)
        return state

    def run(self, params: np.ndarray, gain: np.ndarray, threshold: float, window: Window):
        """Without gradient: logit, v (blocks, steps, 16) float32 and spike uint8."""
        logit, v, _, spike = self.outputs(params, gain, threshold, window)
        return logit, v, spike

    def outputs(self, params: np.ndarray, gain: np.ndarray, threshold: float, window: Window):
        """The same, with the voltage of the recorded sites (blocks, steps, sites, 16) before the spikes."""
        return self._forward(params, gain, threshold, window, keep=False)

    def __call__(self, params: torch.Tensor, gain: torch.Tensor, threshold: float, window: Window):
        """Differentiable in params and gain, one window at a time: logit and v (mV), (blocks, steps, 16), and the
        voltage of the recorded sites (mV), (blocks, steps, sites, 16)."""
        return _Recurrence.apply(params, gain, self, threshold, window)

    def front_statistics(self, params: np.ndarray, gain: np.ndarray, window: Window, inside: np.ndarray):
        """Mean and standard deviation (front) of what the hidden units see beside memory and feedback, over a window,
        where ``inside`` (blocks, steps, 16)."""
        self._compute(params, gain, 0.0, window, True, range(len(window.state)))
        front, steps = self.dims.front, window.steps
        z = front + self.dims.memory + self.dims.feedback
        sums = np.zeros((2, front))
        for b in range(len(window.state)):
            kept = self._workspace[b, : steps * z * LANES].reshape(steps, z, LANES)[:, :front]
            kept = kept.transpose(0, 2, 1)[inside[b]].astype(float)
            sums += kept.sum(0), (kept**2).sum(0)
        mean, square = sums / max(int(inside.sum()), 1)
        return mean.astype(np.float32), np.sqrt(np.maximum(square - mean**2, 0.0)).astype(np.float32)

    def _block(self, window: Window, gain: np.ndarray, b: int) -> Events:
        table = self.events
        arrays = (table.row_start, table.synapse_site, table.weight, window.first_row[b], window.length[b],
                  self._synapse_site_input, gain)  # fmt: skip
        return Events(*(a.ctypes.data for a in arrays))

    def _forward(self, params, gain, threshold, window, keep: bool):
        if self.team:
            return self.team.forward(self, params, gain, threshold, window, keep)
        return self._compute(params, gain, threshold, window, keep, range(len(window.state)))

    def _backward(self, params, gain, window, grads):
        if self.team:
            gradients = self.team.backward(self, params, gain, window, grads)
        else:
            gradients = self._differentiate(params, gain, window, grads, range(len(window.state)))
        return tuple(g.sum(0) for g in gradients)  # in the order of the blocks: any threads and ranks agree

    def _compute(self, params, gain, threshold, window, keep: bool, mine: range):
        """Outputs of the blocks ``mine``; of the others nothing is said."""
        blocks, steps = len(window.state), window.steps
        logit, v = np.empty((2, blocks, steps, LANES), np.float32)
        sites = np.empty((blocks, steps, self.dims.sites, LANES), np.float32)
        spike = np.empty((blocks, steps, LANES), np.uint8)
        if keep:
            needed = self.kernel.workspace_count(self._shape.ctypes.data, steps)
            if self._workspace.shape[0] < blocks or self._workspace.shape[1] < needed:
                self._workspace = np.empty((blocks, needed), np.float32)

        def run(b: int) -> None:
            events = self._block(window, gain, b)
            self.kernel.forward(
                self._shape.ctypes.data, params.ctypes.data, self._wiring.ctypes.data, threshold,
                ctypes.addressof(events), window.teacher[b].ctypes.data, window.free_running[b].ctypes.data,
                window.state[b].ctypes.data, logit[b].ctypes.data, v[b].ctypes.data,
                sites[b].ctypes.data if sites.size else None, spike[b].ctypes.data,
                self._workspace[b].ctypes.data if keep else None, steps,
            )  # fmt: skip

        list(self._pool.map(run, mine))
        return logit, v, sites, spike

    def _differentiate(self, params, gain, window, grads: Sequence[np.ndarray], mine: range):
        """Gradients (blocks, parameters) and (blocks, synapse sites) of the blocks ``mine``, from those of logit,
        voltage and sites."""
        grad_logit, grad_v, grad_sites = grads
        blocks = len(window.state)
        grad_params = np.zeros((blocks, params.size), np.float32)
        grad_gain = np.zeros((blocks, gain.size), np.float32)

        def run(b: int) -> None:
            events = self._block(window, gain, b)
            self.kernel.backward(
                self._shape.ctypes.data, params.ctypes.data, self._wiring.ctypes.data, ctypes.addressof(events),
                grad_logit[b].ctypes.data, grad_v[b].ctypes.data,
                grad_sites[b].ctypes.data if grad_sites.size else None,
                self._workspace[b].ctypes.data,
                grad_params[b].ctypes.data, grad_gain[b].ctypes.data, window.steps,
            )  # fmt: skip

        list(self._pool.map(run, mine))
        return grad_params, grad_gain


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, params, gain, recurrence, threshold, window):
        ctx.recurrence, ctx.window = recurrence, window
        logit, v, sites, _ = recurrence._forward(params.numpy(), gain.numpy(), threshold, window, keep=True)
        ctx.save_for_backward(params, gain, torch.from_numpy((v > V_RANGE_MV[0]) & (v < V_RANGE_MV[1])))
        return torch.from_numpy(logit), torch.from_numpy(v), torch.from_numpy(sites)

    @staticmethod
    def backward(ctx, grad_logit, grad_v, grad_sites):
        params, gain, inside = ctx.saved_tensors
        arrays = [g.contiguous().numpy() for g in (grad_logit, grad_v * inside, grad_sites)]
        of_params, of_gain = ctx.recurrence._backward(params.numpy(), gain.numpy(), ctx.window, arrays)
        return torch.from_numpy(of_params), torch.from_numpy(of_gain), None, None, None
