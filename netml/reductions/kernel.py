"""The C++ kernel seen from Python: ctypes and numpy, so that ranks need no torch.

Arrays are float32 with the 16 lanes (cells, or sequences in training) innermost; see ``mod/engine/netml_kernel.h``.
"""

import ctypes
import math
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from netml.artifact import Artifact
from netml.errors import ArtifactError
from netml.reductions.layouts import KINDS, AnyDims, Dims, misfit, pack, parameter_shapes, shape_of, unpack
from netml.toolchain import build_library, source_folder

__all__ = ["Dims", "Events", "Kernel", "Reduction", "load", "pack", "parameter_shapes", "unpack"]

LANES = 16
# No -ffast-math: linking with it switches the whole process to flush denormals, NEURON's own numbers included.
# NETML_KERNEL_FLAGS adds further ones, such as "-O1 -g -fsanitize=address,undefined" (tests/parity/test_sanitizers.py).
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")


@dataclass(frozen=True)
class Reduction:
    """What the kernel needs to run one cell model.

    Attributes:
        dims: Sizes; their type is the kind of model.
        params: Flat float32.
        wiring: int32, how the parts of the model hang together; see ``layouts``.
        threshold: A spike is a logit above it, `refractory` steps (last of the parameters) or more after the last one.
    """

    dims: AnyDims
    params: np.ndarray
    wiring: np.ndarray
    threshold: float

    def __post_init__(self):
        object.__setattr__(self, "params", np.ascontiguousarray(self.params, np.float32))
        object.__setattr__(self, "wiring", np.ascontiguousarray(self.wiring, np.int32))
        expected = sum(map(math.prod, parameter_shapes(self.dims).values()))
        if self.params.size != expected:
            raise ArtifactError(
                f"reduction has {self.params.size} parameters, its sizes {tuple(self.dims)} need {expected}: "
                "train it again with this netml"
            )
        load().accept(self.shape, self.params.size, self.wiring)

    @classmethod
    def of(cls, artifact: Artifact) -> "Reduction":
        """The runnable part of an artifact."""
        kind = KINDS[artifact.header["reduction"]]
        given = artifact.header["dims"]
        if absent := [name for name in kind._fields if name not in given and name not in kind._field_defaults]:
            raise ArtifactError(f"reduction's dims lack {', '.join(absent)}: train it again with this netml")
        if unknown := [name for name in given if name not in kind._fields]:
            raise ArtifactError(f"reduction has unknown dims {', '.join(unknown)}: install the netml that wrote it")
        dims = kind(**{name: int(size) for name, size in given.items()})
        arrays = artifact.arrays
        reduction = cls(dims, arrays["params"], arrays["wiring"], float(artifact.header["threshold"]))
        if bool(getattr(dims, "current", artifact.header.get("current"))) != bool(artifact.header.get("current")):
            raise ArtifactError("reduction takes a current by its dims or by its header, not by both: train it again")
        if wrong := misfit(dims, reduction.params):
            raise ArtifactError(f"reduction {wrong}; its training failed: train it again")
        return reduction

    @cached_property
    def shape(self) -> np.ndarray:
        """int32, what the kernel is told of the model's kind and sizes, which it has accepted."""
        return shape_of(self.dims)


class Events(ctypes.Structure):
    """``netml_events``: rows of a compressed table, one row a step."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ("row_start", "synapse_site", "weight", "first_row", "length", "channel_input", "channel_gain")
    ]


class Kernel:
    """The loaded library. Stateless: every call gets what it works on; ctypes releases Python's lock meanwhile."""

    check: Callable[..., int]
    reason: Callable[..., bytes]
    param_count: Callable[..., int]
    wiring_count: Callable[..., int]
    state_count: Callable[..., int]
    workspace_count: Callable[..., int]
    init_state: Callable[..., None]
    step: Callable[..., None]
    forward: Callable[..., None]
    backward: Callable[..., None]

    def __init__(self, path):
        self.path = path
        self._library = library = ctypes.CDLL(str(path))
        p, i32, i64, f32 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_float
        signatures = {
            "netml_check": ([p, i64, i64, i64, p], i32),
            "netml_reason": ([i32], ctypes.c_char_p),
            "netml_param_count": ([p], i64),
            "netml_wiring_count": ([p], i64),
            "netml_state_count": ([p], i64),
            "netml_workspace_count": ([p, i64], i64),
            "netml_init_state": ([p, p, p, i64], None),
            "netml_step": ([p, p, p, f32, p, p, p, p, p, i64], None),
            "netml_forward": ([p, p, p, f32, p, p, p, p, p, p, p, p, p, i64], None),
            "netml_backward": ([p, p, p, p, p, p, p, p, p, p, i64], None),
        }
        for name, (arguments, result) in signatures.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, result
            setattr(self, name.removeprefix("netml_"), function)

    def accept(self, shape: np.ndarray, params: int, wiring: np.ndarray) -> None:
        """Refuse what the kernel cannot run: every other call trusts its arguments.

        Args:
            shape: int32, kind and sizes.
            params: How many there are.
            wiring: int32.

        Raises:
            ArtifactError: They do not fit each other.
        """
        if why := self.check(shape.ctypes.data, shape.size, params, wiring.size, wiring.ctypes.data):
            raise ArtifactError(
                f"the kernel refuses a reduction of sizes {shape[1:].tolist()}: {self.reason(why).decode()}; train it "
                "again with this netml"
            )

    def rest(self, reduction: Reduction, blocks: int) -> np.ndarray:
        """State [blocks, state, 16] of cells at rest."""
        shape = reduction.shape.ctypes.data
        state = np.empty((blocks, self.state_count(shape), LANES), np.float32)
        self.init_state(shape, reduction.params.ctypes.data, state.ctypes.data, blocks)
        return state

    def run_step(self, reduction: Reduction, state: np.ndarray, x: np.ndarray):
        """One step of all blocks.

        Args:
            reduction: Parameters and wiring.
            state: [blocks, state, 16] float32, overwritten.
            x: [blocks, inputs, 16] float32, weight times gain of the step's events.

        Returns:
            logit, v (mV) [blocks, 16] float32 and spike [blocks, 16] uint8.
        """
        blocks = len(state)
        _check(state, np.float32, (blocks, state.shape[1], LANES), "state")
        _check(x, np.float32, (blocks, reduction.dims.inputs, LANES), "x")
        logit, v = np.empty((2, blocks, LANES), np.float32)
        spike = np.empty((blocks, LANES), np.uint8)
        self.step(
            reduction.shape.ctypes.data, reduction.params.ctypes.data, reduction.wiring.ctypes.data,
            reduction.threshold, state.ctypes.data, x.ctypes.data, logit.ctypes.data, v.ctypes.data,
            spike.ctypes.data, blocks,
        )  # fmt: skip
        return logit, v, spike

    def free_run(self, reduction: Reduction, x: np.ndarray):
        """Run cells from rest on their own spikes.

        Args:
            reduction: Parameters and wiring.
            x: [T, inputs, N] float32, weight times gain of each step's events.

        Returns:
            logit, v (mV) [T, N] float32 and spike [T, N] uint8.
        """
        steps, inputs, cells = x.shape
        blocks = -(-cells // LANES)
        padded = np.zeros((steps, inputs, blocks * LANES), np.float32)
        padded[:, :, :cells] = x
        padded = np.ascontiguousarray(padded.reshape(steps, inputs, blocks, LANES).transpose(0, 2, 1, 3))
        state = self.rest(reduction, blocks)
        outputs = [self.run_step(reduction, state, padded[t]) for t in range(steps)]
        return tuple(np.stack(o).reshape(steps, blocks * LANES)[:, :cells] for o in zip(*outputs, strict=True))


def _check(array: np.ndarray, dtype, shape: tuple[int, ...], name: str) -> None:
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"{name} is {array.dtype} {array.shape}; expected contiguous {np.dtype(dtype)} {shape}")


@cache
def load() -> Kernel:
    """The kernel, built for this machine at first use.

    Raises:
        CompileError: No compiler, or it refused; carries its message.
    """
    flags = (*FLAGS, *shlex.split(os.environ.get("NETML_KERNEL_FLAGS", "")))
    return Kernel(build_library([source_folder("mod") / "engine" / "kernel.cpp"], flags, "netml_kernel"))
