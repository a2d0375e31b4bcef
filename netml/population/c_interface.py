"""The C interface of a population (``mod/engine/netml_population.h``) in ctypes and numpy."""

import ctypes
from functools import cache

import numpy as np

from netml.reductions import kernel

TICKS_PER_MS = 1_000_000
NO_MEMORY, REFUSED = -1, -2  # what a call returns instead of a number from 0
NEVER = -(2**63) // 4  # the last spike of a source that had none

FLIGHT = np.dtype(
    [("tick", "i8"), ("previous", "i8"), ("trace", "f8"), ("factor", "f8"), ("row", "i4"), ("projection", "i4")]
)
POST_SPIKE = np.dtype([("tick", "i8"), ("trace", "f8"), ("cell", "i4"), ("projection", "i4")])
REWARD = np.dtype([("tick", "i8"), ("amount", "f8"), ("projection", "i4"), ("", "V4")])
INJECTED = np.dtype([("step", "i8"), ("cell", "i4"), ("input", "i4"), ("weight", "i4"), ("", "V4")])
ROW_STATE = np.dtype([("last", "i8"), ("use", "f8"), ("resources", "f8"), ("trace", "f8")])


class Plasticity(ctypes.Structure):
    """``netml_plasticity``."""

    _fields_ = [(name, ctypes.c_int32) for name in ("short_term", "stdp")]
    _fields_ += [(name, ctypes.c_double) for name in ("use", "tau_rec_ms", "tau_facil_ms")]
    _fields_ += [(name, ctypes.c_double) for name in (
        "a_plus", "a_minus", "tau_plus_ms", "tau_minus_ms", "tau_eligibility_ms", "rate_us", "low_us", "high_us",
    )]  # fmt: skip


class Stats(ctypes.Structure):
    """``netml_population_stats``."""

    _fields_ = [(name, ctypes.c_int64) for name in (
        "cells", "synapses", "rows", "bytes", "steps", "spikes", "events", "background", "weights_outside",
        "channels_unseen", "saturated", "late")]  # fmt: skip
    _fields_ += [("step_s", ctypes.c_double), ("deliver_s", ctypes.c_double)]


@cache
def load_library() -> ctypes.CDLL:
    """The kernel library that the mechanisms of mod/engine are linked with."""
    library = ctypes.CDLL(str(kernel.load().path))
    p, i32, i64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
    u32, f32, f64 = ctypes.c_uint32, ctypes.c_float, ctypes.c_double
    signatures = {
        "new": ([p, i64, p, i64, p, i64, f32, f32, f64, f32, i64, p, p, p, p, p, p], p),
        "delete": ([p], None),
        "add_projection": ([p, p], i64),
        "add": ([p, i64, i64, i64, i64, p, p, p, p, p], i64),
        "add_background": ([p, i64, p, p, p, u32, u32], i64),
        "freeze": ([p, i64, p, i64, i32], i64),
        "clamp": ([p, i64, p], i64),
        "set_current": ([p, p], i64),
        "shadow": ([p, p], i64),
        "spike_counts": ([p], p),
        "watch": ([p, p], i64),
        "past_range": ([p], p),
        "reset": ([p], i64),
        "deliver": ([p, i64, f64], i64),
        "deliver_once": ([p, i64, f64], i64),
        "inject": ([p, i64, p, p, p, p], i64),
        "reward": ([p, i64, f64], i64),
        "step": ([p], i64),
        "spiking": ([p], p),
        "step_end_ms": ([p], f64),
        "voltage": ([p], p),
        "logit": ([p], p),
        "state": ([p], p),
        "state_size": ([p], i64),
        "clock": ([p], i64),
        "get_stats": ([p, p], None),
        "synapse_count": ([p, i64], i64),
        "read_synapses": ([p, i64, i32, p, p, p, p, p, p], i64),
        "write_synapses": ([p, i64, p, p], i64),
        "row_states": ([p, i64, p], p),
        "flights": ([p, p], p),
        "post_spikes": ([p, p], p),
        "rewards": ([p, p], p),
        "injected": ([p, p], p),
        "currents": ([p, p], p),
        "restore": ([p, i64, i64, p, i64, p, i64, p, i64, p], i64),
    }
    for name, (arguments, result) in signatures.items():
        function = getattr(library, f"netml_population_{name}")
        function.argtypes, function.restype = arguments, result
    return library


def view(address: int | None, dtype, shape) -> np.ndarray:
    """The memory at an address as an array; the caller keeps its owner alive."""
    dtype, size = np.dtype(dtype), int(np.prod(shape))
    if not size:
        return np.empty(shape, dtype)
    return np.frombuffer((ctypes.c_char * (size * dtype.itemsize)).from_address(address), dtype).reshape(shape)
