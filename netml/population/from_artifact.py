"""What a population needs of an artifact."""

import ctypes

import numpy as np

from netml.artifact import Artifact
from netml.errors import ArtifactError
from netml.population.c_interface import TICKS_PER_MS
from netml.reductions import kernel
from netml.reductions.kernel import Reduction

# Room for this many of the strongest events of training on one input in one step before a sum saturates.
HEADROOM_EVENTS = 1024


def create(library: ctypes.CDLL, artifact: Artifact) -> int:
    """A C++ population without cells; returns its address.

    Raises:
        ArtifactError: The kernel refuses it.
        MemoryError: There is none.
    """
    reduction, arrays, header = Reduction.of(artifact), artifact.arrays, artifact.header
    synapse_sites = synaptic_gain(artifact).size
    ranges = np.array([weight_range(header, s) for s in header["synapses"]], float).reshape(-1, 2)
    low, high = np.resize(ranges, (synapse_sites, 2)).T
    tables = [
        np.ascontiguousarray(values[:synapse_sites], dtype) for values, dtype in (
            (arrays["channel_input"], np.int32), (arrays["channel_gain"], np.float32),
            (arrays["channel_seen"], np.int64), (low, np.float32), (high, np.float32))
    ]  # fmt: skip
    model = [(array.ctypes.data, array.size) for array in (reduction.shape, reduction.params, reduction.wiring)]
    why = ctypes.c_int32()
    handle = library.netml_population_new(
        *(item for pair in model for item in pair), reduction.threshold, float(header.get("v_rest_mv", -70.0)),
        float(header["dt_r_ms"]), quantum(artifact), synapse_sites,
        *(table.ctypes.data for table in tables), ctypes.byref(why),
    )  # fmt: skip
    if not handle:
        text = f"the kernel refuses the reduction: {kernel.load().reason(why.value).decode()}"
        raise MemoryError(text) if why.value < 0 else ArtifactError(f"{text}; train it again with this netml")
    return handle


def step_ticks(artifact: Artifact, label: str) -> int:
    """The step of the reduction in ticks of 1e-6 ms.

    Raises:
        ArtifactError: It is no whole number of ticks.
    """
    dt_r_ms = float(artifact.header["dt_r_ms"])
    ticks = round(dt_r_ms * TICKS_PER_MS)
    if not ticks or abs(ticks - dt_r_ms * TICKS_PER_MS) > 1e-3:  # the schema says that it is above 0, and how far
        raise ArtifactError(f"reduction of {label} has a step of {dt_r_ms} ms; expected whole 1e-6 ms above 0")
    return ticks


def weight_range(header: dict, synapse: str) -> tuple[float, float]:
    """Smallest and largest weight (uS) in training; a type without events admits none."""
    low_high = header["weight_range_us"].get(synapse)
    return (np.inf, -np.inf) if not low_high or low_high[0] is None else tuple(low_high)


def synaptic_gain(artifact: Artifact) -> np.ndarray:
    """(segments x synapse types) 1/uS: without the current's, which is no event."""
    gain = artifact.arrays["channel_gain"]
    return gain[: gain.size - bool(artifact.header.get("current"))]


def quantum(artifact: Artifact) -> float:
    """Unit of the fixed-point sums, a power of two that follows from the artifact alone."""
    synapses = artifact.header["synapses"]
    gain = synaptic_gain(artifact).reshape(-1, len(synapses)).max(axis=0, initial=0).astype(float)
    high = [weight_range(artifact.header, synapse)[1] for synapse in synapses]
    largest = max((g * h for g, h in zip(gain, high, strict=True) if g * h > 0), default=1.0)
    return float(2.0 ** (np.ceil(np.log2(largest * HEADROOM_EVENTS)) - 31))
