"""Sizes of every kind of reduction, and the order of its parameters in the kernel's flat array."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

# Reversal potentials of potassium and sodium, mV: no channel drives a membrane beyond, and the readout ends there too.
V_RANGE_MV = (-110.0, 60.0)


class Dims(NamedTuple):
    """Sizes of a leaky-memory cell; its wiring is the input of each trace."""

    inputs: int
    traces: int
    feedback: int
    memory: int
    hidden: int
    expected: int = 0  # 1: what is fed back is a spike's probability, not the spike

    @property
    def front(self) -> int:
        """How many numbers the hidden units see beside memory and feedback."""
        return self.traces

    @property
    def sites(self) -> int:
        return 0

    @property
    def site_outputs(self) -> int:
        return 0

    @property
    def own(self) -> int:
        """Rows of state beside what the hidden units see."""
        return 0

    def front_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"trace_decay": (self.traces,)}


class CableDims(NamedTuple):
    """Sizes of a cable cell; its wiring: parent of each compartment, synapse type and flags of each receptor, the
    compartments that the hidden units read, those of the recorded sites."""

    inputs: int
    compartments: int
    synapses: int
    current: int
    receptors: int
    rises: int
    blocked: int
    gates: int
    reads: int
    rank: int
    sites: int
    feedback: int
    memory: int
    hidden: int
    expected: int = 0  # as above
    site_readout: int = 0  # 1: memory and hidden units add to the voltage of recorded sites
    inactivating: int = 0  # so many of the gates, the first ones, have a second particle that closes them

    @property
    def front(self) -> int:
        return self.reads

    @property
    def site_outputs(self) -> int:
        return self.sites * self.site_readout

    @property
    def particles(self) -> int:
        return self.gates + self.inactivating

    @property
    def own(self) -> int:
        return self.compartments * (1 + self.receptors + self.rises + self.particles)

    def front_shapes(self) -> dict[str, tuple[int, ...]]:
        n, r, k, m = (self.compartments,), (self.receptors,), (self.gates,), (self.particles,)
        return {
            "decay": r, "rise": r, "to_decay": r, "to_rise": r, "reversal": r, "block_slope": r, "block_offset": r,
            "gate_rate": m, "gate_slope": m, "gate_offset": m, "gate_reversal": k,
            "capacity": n, "leak": n, "leak_drive": n, "axial": n, "scale": r + n, "gate_g": k + n,
            "inject_u": (self.rank, *n), "inject_v": (self.rank, self.memory + self.feedback),
            "v_rest": n, "gate_rest": m + n, "v_soma": (1,),
        }  # fmt: skip


#: Kinds by their name in an artifact's header, in the order of the kernel's numbers.
KINDS: dict[str, type[Dims] | type[CableDims]] = {"leaky_memory": Dims, "cable": CableDims}
AnyDims = Dims | CableDims


def kind_of(dims: AnyDims) -> str:
    return next(name for name, sizes in KINDS.items() if isinstance(dims, sizes))


def shape_of(dims: AnyDims) -> np.ndarray:
    """int32 shape for the kernel: the number of the kind, then the sizes."""
    return np.asarray([list(KINDS).index(kind_of(dims)), *dims], np.int32)


def parameter_shapes(dims: AnyDims) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter array, in the order of the kernel's flat array."""
    z, readout = dims.front + dims.memory + dims.feedback, dims.memory + dims.hidden
    return dims.front_shapes() | {
        "feedback_decay": (dims.feedback,),
        "memory_decay": (dims.memory,),
        "memory_drive": (dims.memory,),
        "memory_rest": (dims.memory,),
        "b1": (dims.hidden,),
        "w1": (dims.hidden, z),
        "b2": (dims.memory,),
        "w2": (dims.memory, dims.hidden),
        "logit_w": (readout,),
        "logit_b": (1,),
        "v_w": (readout,),
        "v_b": (1,),
        "refractory": (1,),
        "site_w": (dims.site_outputs, readout),
        "site_b": (dims.site_outputs,),
    }


SHARE, POSITIVE, ANY = (0.0, 1.0), (0.0, 1e6), (-1e6, 1e6)
#: Lowest and highest value of parameters that are not any number: a decay above 1 or a negative conductance grows
#: without end, and a compartment without a capacity has no voltage.
RANGES = {
    **dict.fromkeys(("trace_decay", "feedback_decay", "memory_decay", "decay", "rise", "gate_rate"), SHARE),
    "gate_rest": (-1e-5, 1 + 1e-5),  # a share, as float32 rounds it
    **dict.fromkeys(("to_decay", "to_rise", "leak", "axial", "scale", "gate_g"), POSITIVE),
    "capacity": (1e-9, 1e6),
}


def misfit(dims: AnyDims, params: np.ndarray) -> str | None:
    """What is wrong with a parameter of a cell whose output must stay finite, in words; None where nothing is."""
    arrays = unpack(dims, params)
    for name, values in arrays.items():
        low, high = RANGES.get(name, ANY)
        if wrong := values[~((values >= low) & (values <= high))].tolist():
            return f"has {name} {wrong[0]:g}, expected {low:g} to {high:g}"
    if isinstance(dims, CableDims):
        for fast, slow in (("rise", "decay"), ("to_rise", "to_decay")):
            over = arrays[fast] > arrays[slow] + 1e-5
            if (over & (arrays["to_rise"] > 0)).any():
                return f"has a receptor whose {fast} is above its {slow}: its conductance would be negative"
    return None


def pack(dims: AnyDims, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Flat float32 parameters from arrays by name."""
    shapes = parameter_shapes(dims)
    return np.concatenate([np.asarray(arrays[k], np.float32).reshape(s).ravel() for k, s in shapes.items()])


def unpack(dims: AnyDims, params: np.ndarray) -> dict[str, np.ndarray]:
    """Views of the flat parameters, by name."""
    arrays, at = {}, 0
    for name, shape in parameter_shapes(dims).items():
        size = int(np.prod(shape))
        arrays[name] = params[at : at + size].reshape(shape)
        at += size
    return arrays
