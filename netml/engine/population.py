"""The reduced cells of one artifact on this rank, and the synapses onto them.

Python collects rows of synapses as plain arrays; the C++ population (``mod/engine/population.hpp``) holds them at 12
bytes a synapse, delivers spikes along them and steps the cells.  Nothing here touches NEURON: ``NetmlPopulation`` in
``mod/engine`` drives the same object inside a simulation, and a test or a notebook can drive it directly.
"""

import ctypes
from array import array
from dataclasses import dataclass

import numpy as np

from netml.artifact import Artifact
from netml.engine import mechanisms
from netml.errors import ArtifactError, ModelError
from netml.reductions.kernel import LANES, Reduction

TICKS_PER_MS = 1_000_000
# Room for this many of the strongest events of training on one input in one step before a sum saturates.
HEADROOM_EVENTS = 1024

# What Python collects of a synapse, and what the engine keeps of it.
COLUMNS = {"row": "q", "cell": "q", "channel": "i", "weight": "d", "delay": "d"}
SYNAPSE = np.dtype([("target", np.uint32), ("weight", np.int32), ("delay", np.int32)])


class _Stats(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("cells", "synapses", "rows", "bytes")]
    _fields_ += [(name, ctypes.c_int64) for name in ("steps", "spikes", "events", "saturated", "late")]
    _fields_ += [("step_s", ctypes.c_double), ("deliver_s", ctypes.c_double)]


@dataclass(frozen=True)
class OutOfRange:
    """Synapses unlike anything the reduction was trained on.

    Attributes:
        weights: Synapses whose weight lies outside the range of their type in training.
        channels: Synapses on a channel (segment, synapse type) that had no event in training.
    """

    weights: int
    channels: int


class Population:
    """Cells of one artifact, first collected, then frozen into the C++ population.

    Arguments:
        artifact: The reduction.
        label: For messages, e.g. the NetPyNE population.
    """

    def __init__(self, artifact: Artifact, label: str):
        header = artifact.header
        self._handle = None
        self.artifact, self.label, self.cells = artifact, label, 0
        self._reduction = Reduction.of(artifact)
        self.dt_r_ms = float(header["dt_r_ms"])
        ticks = round(self.dt_r_ms * TICKS_PER_MS)
        if not 0 < ticks < 2**31 or abs(ticks - self.dt_r_ms * TICKS_PER_MS) > 1e-3:
            raise ArtifactError(f"reduction of {label} has a step of {self.dt_r_ms} ms; expected whole 1e-6 ms above 0")
        self.quantum = _quantum(artifact)
        self._rows = 0
        self._synapses = {name: array(code) for name, code in COLUMNS.items()}
        self._frozen = (0, 0)
        self._library = _library()

    def add_cell(self) -> int:
        """A further cell; returns its index.  Not after :meth:`freeze`."""
        if self._handle:
            raise RuntimeError(f"population {self.label} is frozen; cells are added before the simulation starts")
        self.cells += 1
        return self.cells - 1

    def add_row(self) -> int:
        """A row of synapses for one more source; returns its number."""
        self._rows += 1
        return self._rows - 1

    def add_synapse(self, row: int, cell: int, channel: int, weight_us: float, delay_ms: float) -> None:
        """A synapse from the source of ``row``; used from the next :meth:`freeze` on."""
        for column, value in zip(self._synapses.values(), (row, cell, channel, weight_us, delay_ms), strict=True):
            column.append(value)

    @property
    def dirty(self) -> bool:
        """Whether something was added since the last :meth:`freeze`."""
        return self._handle is None or self._frozen != (self._rows, len(self._synapses["row"]))

    def freeze(self) -> int:
        """Hand cells and rows to the C++ population, made at the first call; returns its address.

        Raises:
            ModelError: A weight that is negative, NaN or too large, a delay that is negative, NaN or too long.
        """
        if not self.dirty:
            return self._handle
        if self._handle is None:
            self._create()
        start, synapses = self._csr()
        bad = self._library.netml_population_connect(self._handle, self._rows, start.ctypes.data, synapses.ctypes.data)
        if bad < 0:
            raise MemoryError(f"no memory for the {len(synapses)} synapses of population {self.label}")
        assert bad == 0, f"synapse {bad - 1} of {self.label}"
        self._frozen = (self._rows, len(self._synapses["row"]))
        return self._handle

    def out_of_range(self) -> OutOfRange:
        """How many synapses lie outside what the reduction was trained on."""
        columns = self._columns()
        synapses = self.artifact.header["synapses"]
        limits = np.array([_range(self.artifact.header, s) for s in synapses], float).reshape(-1, 2)
        low, high = limits[columns["channel"] % len(synapses)].T
        weight = columns["weight"]
        outside = (weight > 0) & ((weight < low * (1 - 1e-6)) | (weight > high * (1 + 1e-6)))
        unseen = self.artifact.arrays["channel_seen"][columns["channel"]] == 0
        return OutOfRange(int(outside.sum()), int(unseen.sum()))

    # Driving the population; inside a simulation NetmlPopulation does it.

    def reset(self) -> None:
        """All cells at rest, nothing on its way, step 0."""
        self._library.netml_population_reset(self.freeze())

    def deliver(self, row: int, spike_ms: float) -> None:
        """A spike of a row's source."""
        self._library.netml_population_deliver(self._handle, row, spike_ms)

    def step(self) -> np.ndarray:
        """Take one step; returns the indices of the cells that spike."""
        n = self._library.netml_population_step(self._handle)
        return self._copy("spiking", n)

    def voltage(self) -> np.ndarray:
        """(cells) float32, mV at the end of the last step."""
        return self._copy("voltage", self.cells)

    def logit(self) -> np.ndarray:
        """(cells) float32, of the last step."""
        return self._copy("logit", self.cells)

    def stats(self) -> dict:
        """Counters and wall seconds since the last reset; see ``netml_population_stats``."""
        stats = _Stats()
        if self._handle:
            self._library.netml_population_get_stats(self._handle, ctypes.byref(stats))
        return {name: getattr(stats, name) for name, _ in _Stats._fields_}

    def close(self) -> None:
        """Free the C++ population; nothing may drive it any more."""
        if self._handle:
            self._library.netml_population_delete(self._handle)
            self._handle = None

    __del__ = close

    def _create(self) -> None:
        reduction = self._reduction
        rest = float(self.artifact.header.get("v_rest_mv", -70.0))
        self._handle = self._library.netml_population_new(
            reduction.shape.ctypes.data, reduction.params.ctypes.data, reduction.wiring.ctypes.data,
            reduction.threshold, rest, self.cells, self.dt_r_ms, self.quantum,
        )  # fmt: skip
        if not self._handle:
            raise MemoryError(f"no memory for the {self.cells} cells of population {self.label}")

    def _columns(self) -> dict[str, np.ndarray]:
        return {name: np.array(column, column.typecode) for name, column in self._synapses.items()}

    def _copy(self, name: str, size: int) -> np.ndarray:
        pointer = getattr(self._library, f"netml_population_{name}")(self._handle)
        return np.ctypeslib.as_array(pointer, (size,)).copy() if size else np.empty(0, np.int32)

    def _csr(self) -> tuple[np.ndarray, np.ndarray]:
        """Row starts (rows + 1) and synapses sorted by row and delay."""
        columns = self._columns()
        self._check(columns)
        gain = self.artifact.arrays["channel_gain"].astype(float)[columns["channel"]]
        weight = np.rint(columns["weight"] * gain / self.quantum)
        if weight.max(initial=0) > 2**31 - 1:
            i = int(weight.argmax())
            raise ModelError(
                f"a weight of {columns['weight'][i]} uS onto reduced {self.label} is over {HEADROOM_EVENTS} times the "
                "largest in training; expected a peak conductance in uS"
            )
        dims = self.artifact.header["dims"]
        inputs = self.artifact.arrays["channel_input"].astype(np.int64)[columns["channel"]]
        block, lane = np.divmod(columns["cell"], LANES)
        synapses = np.empty(len(weight), SYNAPSE)
        synapses["target"] = (block * dims["inputs"] + inputs) * LANES + lane
        synapses["weight"] = weight
        synapses["delay"] = np.rint(columns["delay"] * TICKS_PER_MS)
        order = np.lexsort((synapses["target"], synapses["delay"], columns["row"]))
        counts = np.bincount(columns["row"], minlength=self._rows)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return start, np.ascontiguousarray(synapses[order])

    def _check(self, columns: dict[str, np.ndarray]) -> None:
        weight, delay = columns["weight"], columns["delay"]
        wrong = ~np.isfinite(weight) | (weight < 0)
        if wrong.any():
            raise ModelError(
                f"{int(wrong.sum())} synapses onto reduced {self.label} have a weight such as {weight[wrong][0]}; "
                "expected uS, 0 or more"
            )
        longest = (2**31 - 1) / TICKS_PER_MS
        outside = ~np.isfinite(delay) | (delay < 0) | (delay > longest)
        if outside.any():
            raise ModelError(
                f"{int(outside.sum())} synapses onto reduced {self.label} have a delay such as {delay[outside][0]}; "
                f"expected 0 to {longest:.0f} ms"
            )


def _range(header: dict, synapse: str) -> tuple[float, float]:
    """Smallest and largest weight (uS) in training; a type without events admits none."""
    low_high = header["weight_range_us"].get(synapse)
    return (np.inf, -np.inf) if not low_high or low_high[0] is None else tuple(low_high)


def _quantum(artifact: Artifact) -> float:
    """Unit of the fixed-point sums, a power of two that follows from the artifact alone."""
    synapses = artifact.header["synapses"]
    gain = artifact.arrays["channel_gain"].reshape(-1, len(synapses)).max(axis=0, initial=0).astype(float)
    high = [_range(artifact.header, synapse)[1] for synapse in synapses]
    largest = max((g * h for g, h in zip(gain, high, strict=True) if g * h > 0), default=1.0)
    return float(2.0 ** (np.ceil(np.log2(largest * HEADROOM_EVENTS)) - 31))


def _library() -> ctypes.CDLL:
    """The kernel library that the mechanisms of mod/engine are linked with."""
    library = ctypes.CDLL(str(mechanisms.build_kernel()))
    p, i64, f32, f64 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_double
    floats, ints = ctypes.POINTER(f32), ctypes.POINTER(ctypes.c_int32)
    signatures = {
        "new": ([p, p, p, f32, f32, i64, f64, f32], p),
        "delete": ([p], None),
        "connect": ([p, i64, p, p], i64),
        "reset": ([p], None),
        "deliver": ([p, i64, f64], None),
        "step": ([p], i64),
        "spiking": ([p], ints),
        "voltage": ([p], floats),
        "logit": ([p], floats),
        "get_stats": ([p, p], None),
    }
    for name, (arguments, result) in signatures.items():
        function = getattr(library, f"netml_population_{name}")
        function.argtypes, function.restype = arguments, result
    return library
