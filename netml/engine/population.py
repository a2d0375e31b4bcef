"""The reduced cells of one artifact on this rank, and the synapses onto them.

The C++ population (``mod/engine/population.hpp``) holds synapses as rows, one row a source, at 12 bytes a synapse, delivers
spikes along them and steps the cells.  Nothing here touches NEURON: ``NetmlPopulation`` in
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

LONGEST_MS = (2**31 - 1) / TICKS_PER_MS

# What a synapse is made from, and what the engine keeps of it.
COLUMNS = {"row": "i", "cell": "i", "channel": "i", "weight": "d", "delay": "d"}
SYNAPSE = np.dtype([("target", np.uint32), ("weight", np.int32), ("delay", np.int32)])


class _Stats(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("cells", "synapses", "rows", "bytes")]
    _fields_ += [(name, ctypes.c_int64) for name in ("steps", "spikes", "events")]
    _fields_ += [(name, ctypes.c_int64) for name in ("weights_outside", "channels_unseen", "saturated", "late")]
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
        self.artifact, self.label, self.cells, self.rows = artifact, label, 0, 0
        self._reduction = Reduction.of(artifact)
        self.dt_r_ms = float(header["dt_r_ms"])
        ticks = round(self.dt_r_ms * TICKS_PER_MS)
        if not 0 < ticks < 2**31 or abs(ticks - self.dt_r_ms * TICKS_PER_MS) > 1e-3:
            raise ArtifactError(f"reduction of {label} has a step of {self.dt_r_ms} ms; expected whole 1e-6 ms above 0")
        self.quantum = _quantum(artifact)
        self._single = {name: array(code) for name, code in COLUMNS.items()}
        self._dirty = True
        self._frozen_cells = 0
        self._library = _library()
        self._create()

    def add_cells(self, count: int) -> int:
        """Further cells; returns the index of the first.  Not after :meth:`freeze`."""
        if self._frozen_cells:
            raise RuntimeError(f"population {self.label} is frozen; cells are added before the simulation starts")
        self.cells += count
        return self.cells - count

    def add_cell(self) -> int:
        """A further cell; returns its index."""
        return self.add_cells(1)

    def add_rows(self, count: int) -> int:
        """Rows of synapses for so many more sources; returns the number of the first."""
        self.rows, self._dirty = self.rows + count, True
        return self.rows - count

    def add_row(self) -> int:
        """A row of synapses for one more source; returns its number."""
        return self.add_rows(1)

    def add_synapses(self, row, cell, channel, weight_us, delay_ms) -> None:
        """Synapses from the sources of rows, in any order; used from the next :meth:`freeze` on.

        Arguments:
            row, cell, channel: (n) int32.
            weight_us: (n) float64, peak conductance, 0 or more.
            delay_ms: (n) float64, rounded to whole ticks of 1e-6 ms, from one to :data:`LONGEST_MS`.

        Raises:
            ModelError: A row, cell or channel that is not there, a weight that is negative, NaN or too large, a delay that is
                zero, negative, NaN or too long; then none is added.
        """
        columns = [np.ascontiguousarray(values, code) for values, code in zip(
            (row, cell, channel, weight_us, delay_ms), COLUMNS.values(), strict=True)]  # fmt: skip
        shapes = {column.shape for column in columns}
        if len(shapes) != 1 or columns[0].ndim != 1:
            raise ModelError(f"synapses onto reduced {self.label} come as arrays of shapes {sorted(shapes)}; expected one length")
        bad = self._library.netml_population_add(
            self._handle, self.rows, self.cells, columns[0].size, *(column.ctypes.data for column in columns)
        )
        if bad < 0:
            raise MemoryError(f"no memory for {columns[0].size} synapses of population {self.label}")
        if bad:
            self._refuse(**{name: column[bad - 1].item() for name, column in zip(COLUMNS, columns, strict=True)})
        self._dirty = True

    def add_synapse(self, row: int, cell: int, channel: int, weight_us: float, delay_ms: float) -> None:
        """One synapse, checked at the next :meth:`freeze`; see :meth:`add_synapses` for many."""
        for column, value in zip(self._single.values(), (row, cell, channel, weight_us, delay_ms), strict=True):
            column.append(value)
        self._dirty = True

    def freeze(self) -> int:
        """Sort what was added and take it into use; returns the address of the C++ population, which never changes.

        Raises:
            ModelError: A synapse that :meth:`add_synapses` refuses.
        """
        self._flush()
        if self._dirty:
            if self._library.netml_population_freeze(self._handle, self.cells, self.rows):
                raise MemoryError(f"no memory for the {self.cells} cells of population {self.label} and their synapses")
            self._frozen_cells, self._dirty = self.cells, False
        return self._handle

    def synapses(self) -> dict[str, np.ndarray]:
        """What the engine holds, after :meth:`freeze`: row, cell, input, weight (weight x gain), delay_ms; by row and delay."""
        count = self.stats()["synapses"]
        start = np.ctypeslib.as_array(self._library.netml_population_row_start(self._handle), (self.rows + 1,))
        pointer = ctypes.cast(self._library.netml_population_synapses(self._handle), ctypes.POINTER(ctypes.c_int32))
        held = np.ctypeslib.as_array(pointer, (count, 3)).view(SYNAPSE)[:, 0] if count else np.empty(0, SYNAPSE)
        rest, lane = np.divmod(held["target"].astype(np.int64), LANES)
        block, which = np.divmod(rest, self.artifact.header["dims"]["inputs"])
        return {
            "row": np.repeat(np.arange(self.rows), np.diff(start)), "cell": block * LANES + lane, "input": which,
            "weight": held["weight"] * self.quantum, "delay_ms": held["delay"] / TICKS_PER_MS,
        }  # fmt: skip

    def out_of_range(self) -> OutOfRange:
        """How many synapses lie outside what the reduction was trained on."""
        self._flush()
        stats = self.stats()
        return OutOfRange(stats["weights_outside"], stats["channels_unseen"])

    # Driving the population; inside a simulation NetmlPopulation does it.

    def reset(self) -> None:
        """All cells at rest, nothing on its way, step 0."""
        self._library.netml_population_reset(self.freeze())

    def deliver(self, row: int, spike_ms: float) -> None:
        """A spike of a row's source."""
        self._library.netml_population_deliver(self._handle, row, spike_ms)

    def inject(self, cell, channel, weight_us, arrival_ms) -> None:
        """Events of single synapses that have no row.

        Arguments:
            cell, channel: (n) int32.
            weight_us: (n) float64.
            arrival_ms: (n) float64, within the next :attr:`horizon_ms`.

        Raises:
            ModelError: An event out of range.
        """
        columns = [np.ascontiguousarray(values, code) for values, code in zip(
            (cell, channel, weight_us, arrival_ms), "iidd", strict=True)]  # fmt: skip
        bad = self._library.netml_population_inject(
            self._handle, len(columns[0]), *(column.ctypes.data for column in columns)
        )
        if bad:
            cell, channel, weight, arrival = (column[bad - 1].item() for column in columns)
            raise ModelError(
                f"an event for reduced {self.label} is out of range: cell {cell}, channel {channel}, weight {weight} uS, "
                f"arrival {arrival} ms; expected a cell and a channel that are there, a weight of 0 or more, and a time to come"
            )

    @property
    def horizon_ms(self) -> float:
        """How far ahead of the last step events can be injected."""
        return self._library.netml_population_horizon(self._handle) * self.dt_r_ms

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
        reduction, arrays, header = self._reduction, self.artifact.arrays, self.artifact.header
        channels = arrays["channel_gain"].size
        ranges = np.array([_range(header, s) for s in header["synapses"]], float).reshape(-1, 2)
        low, high = np.resize(ranges, (channels, 2)).T
        tables = [
            np.ascontiguousarray(values, dtype) for values, dtype in (
                (arrays["channel_input"], np.int32), (arrays["channel_gain"], np.float32),
                (arrays["channel_seen"], np.int64), (low, np.float32), (high, np.float32))
        ]  # fmt: skip
        dims = np.asarray(reduction.dims, np.int32)
        self._handle = self._library.netml_population_new(
            dims.ctypes.data, reduction.params.ctypes.data, reduction.trace_input.ctypes.data, reduction.threshold,
            float(header.get("v_rest_mv", -70.0)), self.dt_r_ms, self.quantum,
            channels, *(table.ctypes.data for table in tables),
        )  # fmt: skip
        if not self._handle:
            raise MemoryError(f"no memory for population {self.label}")

    def _copy(self, name: str, size: int) -> np.ndarray:
        pointer = getattr(self._library, f"netml_population_{name}")(self._handle)
        return np.ctypeslib.as_array(pointer, (size,)).copy() if size else np.empty(0, np.int32)

    def _flush(self) -> None:
        """Hand over what was added one by one."""
        if self._single["row"]:
            columns = [np.frombuffer(column, column.typecode) for column in self._single.values()]
            self._single = {name: array(code) for name, code in COLUMNS.items()}
            self.add_synapses(*columns)

    def _refuse(self, row: int, cell: int, channel: int, weight: float, delay: float) -> None:
        """Say what is wrong with a synapse."""
        channels = self.artifact.arrays["channel_gain"].size
        if not 0 <= row < self.rows:
            wrong = f"row {row}; expected 0 to {self.rows - 1}: add_rows makes them"
        elif not 0 <= cell < self.cells:
            wrong = f"cell {cell}; expected 0 to {self.cells - 1}: add_cells makes them"
        elif not 0 <= channel < channels:
            wrong = f"channel {channel}; expected 0 to {channels - 1} (segment x synapse types + synapse type)"
        elif not 0 <= weight < np.inf:
            wrong = f"a weight of {weight} uS; expected 0 or more"
        elif not 0.5 < delay * TICKS_PER_MS < 2**31:
            wrong = f"a delay of {delay} ms; expected above 0 (1e-6 ms or more) and at most {LONGEST_MS:.0f} ms"
        else:
            wrong = f"a weight of {weight} uS, over {HEADROOM_EVENTS} times the largest in training; expected uS"
        raise ModelError(f"a synapse onto reduced {self.label} has {wrong}")


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
        "new": ([p, p, p, f32, f32, f64, f32, i64, p, p, p, p, p], p),
        "delete": ([p], None),
        "add": ([p, i64, i64, i64, p, p, p, p, p], i64),
        "freeze": ([p, i64, i64], i64),
        "row_start": ([p], ctypes.POINTER(i64)),
        "synapses": ([p], p),
        "reset": ([p], None),
        "deliver": ([p, i64, f64], None),
        "inject": ([p, i64, p, p, p, p], i64),
        "horizon": ([p], i64),
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
