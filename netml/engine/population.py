"""The reduced cells of one artifact on this rank, and the synapses onto them.

The C++ population (``mod/engine/population.hpp``) holds synapses as rows, one row a source, delivers spikes along them
and steps the cells.  Times, projections and plasticity: the README beside this file.  Nothing here touches NEURON:
``NetmlPopulation`` in ``mod/engine`` drives the same object inside a simulation, and a test or a notebook can drive it
directly.
"""

import ctypes
import os
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from netml.artifact import Artifact
from netml.circuit.current import Clamp
from netml.engine import population_state
from netml.engine.plasticity import RewardStdp, ShortTerm
from netml.engine.population_library import TICKS_PER_MS, Plasticity, Stats, load, view
from netml.engine.soma_current import SomaCurrent
from netml.errors import ArtifactError, ModelError
from netml.reductions.kernel import Reduction

LONGEST_MS = (2**31 - 1) / TICKS_PER_MS
# Room for this many of the strongest events of training on one input in one step before a sum saturates.
HEADROOM_EVENTS = 1024
# What a synapse is made from.
COLUMNS = {"row": "i", "cell": "i", "channel": "i", "weight": "d", "delay": "d"}


@dataclass(frozen=True)
class OutOfRange:
    """Input unlike anything the reduction was trained on.

    Attributes:
        weights: Synapses whose weight lies outside the range of their type in training.
        channels: Synapses on a channel (segment, synapse type) that had no event in training.
        currents: Cells whose current clamps add up to a current outside the range of training at some time.
    """

    weights: int
    channels: int
    currents: int


class Population:
    """Cells of one artifact, first collected, then frozen into the C++ population.

    Arguments:
        artifact: The reduction.
        label: For messages, e.g. the NetPyNE population.
        threads: That step and deliver together; None: ``NETML_THREADS``, else 1.  Spikes do not depend on it.

    Attributes:
        cells, rows: How many there are.
        gids, sources: Their names.
        rules: Short-term plasticity and STDP of each projection, None where it has none.
        quantum: Unit of the sums, weight x gain.
    """

    def __init__(self, artifact: Artifact, label: str, threads: int | None = None):
        self.handle = None
        self.artifact, self.label, self.cells, self.rows = artifact, label, 0, 0
        self.dt_r_ms = float(artifact.header["dt_r_ms"])
        ticks = round(self.dt_r_ms * TICKS_PER_MS)
        if not 0 < ticks < 2**31 or abs(ticks - self.dt_r_ms * TICKS_PER_MS) > 1e-3:
            raise ArtifactError(f"reduction of {label} has a step of {self.dt_r_ms} ms; expected whole 1e-6 ms above 0")
        self.quantum = quantum(artifact)
        self._current = SomaCurrent(artifact, label)
        self._threads = threads if threads is not None else int(os.environ.get("NETML_THREADS", 1))
        self.gids, self.sources = array("q"), array("q")
        self.rules: list[tuple[ShortTerm | None, RewardStdp | None]] = [(None, None)]
        self._single = {name: array(code) for name, code in COLUMNS.items()}
        self._backgrounds, self._frozen, self._dirty = 0, False, True
        self.library = load()
        self._create()
        if (limit := artifact.arrays.get("input_limit")) is not None:
            limit = np.ascontiguousarray(limit, np.float32)
            self._checked(self.library.netml_population_watch(self.handle, limit.ctypes.data))

    def add_cells(self, count: int, gids: Sequence[int] | None = None) -> int:
        """Further cells; returns the index of the first.  Not after :meth:`freeze`.

        Arguments:
            gids: Their names in random numbers and checkpoints; None: their indices.
        """
        if self._frozen:
            raise RuntimeError(f"population {self.label} is frozen; cells are added before the simulation starts")
        self.gids.extend(_names(gids, self.cells, count, "gids", self.label))
        self.cells += count
        return self.cells - count

    def add_cell(self, gid: int | None = None) -> int:
        """A further cell; returns its index."""
        return self.add_cells(1, None if gid is None else [gid])

    def add_rows(self, count: int, sources: Sequence[int] | None = None) -> int:
        """Rows of synapses for so many more sources; returns the number of the first.

        Arguments:
            sources: Their names in checkpoints, each in one row (e.g. gids); None: the rows' numbers.
        """
        self.sources.extend(_names(sources, self.rows, count, "sources", self.label))
        self.rows, self._dirty = self.rows + count, True
        return self.rows - count

    def add_row(self, source: int | None = None) -> int:
        """A row of synapses for one more source; returns its number."""
        return self.add_rows(1, None if source is None else [source])

    def add_projection(self, short_term: ShortTerm | None = None, stdp: RewardStdp | None = None) -> int:
        """A set of synapses with plasticity of its own; returns its number.  Projection 0 is static."""
        rule = Plasticity(short_term=short_term is not None, stdp=stdp is not None)
        for values in (short_term, stdp):
            for name, value in (asdict(values) if values else {}).items():
                setattr(rule, name, value)
        number = self.library.netml_population_add_projection(self.handle, ctypes.byref(rule))
        self.rules.append((short_term, stdp))
        self._dirty = True
        return self._checked(number)

    def add_synapses(self, row, cell, channel, weight_us, delay_ms, projection: int = 0) -> None:
        """Synapses from the sources of rows, in any order; used from the next :meth:`freeze` on.

        Arguments:
            row, cell, channel: (n) int32.
            weight_us: (n) float64, peak conductance, 0 or more; with STDP within its bounds.
            delay_ms: (n) float64, rounded to whole ticks of 1e-6 ms, from one to :data:`LONGEST_MS`.
            projection: That they belong to.

        Raises:
            ModelError: A row, cell, channel or projection that is not there, a weight that is negative, NaN, too large or
                out of bounds, a delay that is zero, negative, NaN or too long; then none is added.
        """
        if not 0 <= projection < len(self.rules):
            raise ModelError(f"reduced {self.label} has projections 0 to {len(self.rules) - 1}, no {projection}")
        values, what = (row, cell, channel, weight_us, delay_ms), f"synapses onto reduced {self.label}"
        columns = _columns(values, COLUMNS.values(), what)
        bad = self._checked(self.library.netml_population_add(
            self.handle, projection, self.rows, self.cells, columns[0].size, *(column.ctypes.data for column in columns)
        ))  # fmt: skip
        if bad:
            self._refuse(projection, **{name: c[bad - 1].item() for name, c in zip(COLUMNS, columns, strict=True)})
        self._dirty = True

    def add_synapse(self, row: int, cell: int, channel: int, weight_us: float, delay_ms: float) -> None:
        """One static synapse, checked at the next :meth:`freeze`; see :meth:`add_synapses` for many."""
        for column, value in zip(self._single.values(), (row, cell, channel, weight_us, delay_ms), strict=True):
            column.append(value)
        self._dirty = True

    def add_background(self, channel, rate_hz, weight_us, seed: int = 0) -> None:
        """Poisson events onto channels of every cell, each cell and channel on its own.

        The number of a cell's events in a step, and their channels, depend on (seed, number of this background, gid,
        step) alone.  They are drawn in the step that sees them; nothing is stored, and no NetStim is needed.

        Arguments:
            channel: (n) int32.
            rate_hz, weight_us: (n) float64, or one number for all channels.
            seed: 0 to 2^32 - 1.

        Raises:
            ModelError: A channel that is not there, a rate or weight that is negative, NaN or too large, more than 64
                events a cell and step on average.
        """
        channel = np.atleast_1d(channel)
        values = (channel, *(np.broadcast_to(v, channel.shape) for v in (rate_hz, weight_us)))
        columns = _columns(values, "idd", f"a background of reduced {self.label}")
        bad = self._checked(self.library.netml_population_add_background(
            self.handle, channel.size, *(column.ctypes.data for column in columns), seed, self._backgrounds
        ))  # fmt: skip
        if bad:
            which, rate, weight = (column[bad - 1].item() for column in columns)
            raise ModelError(
                f"a background of reduced {self.label} puts {rate} Hz of {weight} uS on channel {which}; expected a channel "
                f"below {self._channels}, a rate and a weight from 0, and in all at most 64 events a cell and step of "
                f"{self.dt_r_ms} ms"
            )
        self._backgrounds += 1

    def add_clamp(self, cell: int, clamp: Clamp) -> None:
        """A current clamp at the soma of a cell; clamps add up.

        Raises:
            ModelError: The reduction takes no current, or there is no such cell.
        """
        if not 0 <= cell < self.cells:
            raise ModelError(f"a current clamp on reduced {self.label} has cell {cell}; expected 0 to {self.cells - 1}")
        self._current.add(cell, clamp)
        self._dirty = True

    def freeze(self) -> int:
        """Sort what was added and take it into use; returns the address of the C++ population, which never changes.

        Raises:
            ModelError: A synapse that :meth:`add_synapses` refuses.
        """
        self._flush()
        if self._dirty:
            gids = np.frombuffer(self.gids, np.int64)
            self._checked(self.library.netml_population_freeze(
                self.handle, self.cells, gids.ctypes.data, self.rows, self._threads
            ))  # fmt: skip
            clamps = self._current.clamps()
            self._checked(self.library.netml_population_clamp(self.handle, clamps.size, clamps.ctypes.data))
            self._frozen, self._dirty = True, False
        return self.handle

    def synapses(self, projection: int = 0, now: bool = True) -> dict[str, np.ndarray]:
        """Synapses in use, in an order that stays until more are added.

        Arguments:
            now: With STDP, as they are at the end of the last step; else as the engine last brought them up to date.

        Returns:
            row, cell, input (int32), delay (int32, ticks), weight (float64: weight x gain; with STDP uS), eligibility
            (float32).
        """
        count = self.library.netml_population_synapse_count(self.handle, projection)
        dtypes = {"row": "i4", "cell": "i4", "input": "i4", "delay": "i4", "weight": "f8", "eligibility": "f4"}
        columns = {name: np.empty(count, dtype) for name, dtype in dtypes.items()}
        self.library.netml_population_read_synapses(
            self.handle, projection, now, *(column.ctypes.data for column in columns.values())
        )
        return columns

    def out_of_range(self) -> OutOfRange:
        """How many synapses and cells lie outside what the reduction was trained on."""
        self._flush()
        stats = self.stats()
        return OutOfRange(stats["weights_outside"], stats["channels_unseen"], self._current.out_of_range())

    # Driving the population; inside a simulation NetmlPopulation does it.

    def reset(self) -> None:
        """All cells at rest, nothing on its way, step 0."""
        self.library.netml_population_reset(self.freeze())

    def deliver(self, row: int, spike_ms: float) -> None:
        """A spike of a row's source."""
        self.library.netml_population_deliver(self.handle, row, spike_ms)

    def inject(self, cell, channel, weight_us, arrival_ms) -> None:
        """Events of single synapses that have no row.  A checkpoint does not hold those still to come.

        Arguments:
            cell, channel: (n) int32.
            weight_us: (n) float64.
            arrival_ms: (n) float64, from the end of the last step on.

        Raises:
            ModelError: An event out of range; those before it are in.
        """
        columns = _columns((cell, channel, weight_us, arrival_ms), "iidd", f"events for reduced {self.label}")
        bad = self._checked(self.library.netml_population_inject(
            self.handle, columns[0].size, *(column.ctypes.data for column in columns)
        ))  # fmt: skip
        if bad:
            cell, channel, weight, arrival = (column[bad - 1].item() for column in columns)
            raise ModelError(
                f"an event for reduced {self.label} has cell {cell}, channel {channel}, weight {weight} uS and arrival {arrival} "
                "ms; expected a cell and a channel that are there, a weight of 0 or more, and a time still to come"
            )

    def reward(self, amount: float, projection: int | None = None) -> None:
        """A reward at the end of the last step, to one projection or to all that have STDP."""
        for k, (_, stdp) in enumerate(self.rules):
            if stdp and projection in (None, k):
                self._checked(self.library.netml_population_reward(self.handle, k, amount))

    def set_current(self, current_na) -> None:
        """A current into the soma of every cell, beside the clamps, until set again, a reset or a restored state.

        Arguments:
            current_na: (cells) nA, or one for all.

        Raises:
            ModelError: The reduction takes no current, or it is no finite number a cell.
        """
        each = self._current.scaled(current_na, self.cells)
        self._checked(self.library.netml_population_set_current(self.handle, each.ctypes.data))

    def step(self) -> np.ndarray:
        """Take one step; returns the indices of the cells that spike."""
        count = self.library.netml_population_step(self.handle)
        return view(self.library.netml_population_spiking(self.handle), np.int32, count).copy()

    def voltage(self) -> np.ndarray:
        """(cells) float32, mV at the end of the last step."""
        return view(self.library.netml_population_voltage(self.handle), np.float32, self.cells).copy()

    def beyond(self) -> np.ndarray:
        """(cells) share of the steps since the last reset in which a cell got more at an input than in any of training.

        0 where the artifact does not say what that was.
        """
        if not self._frozen:
            return np.zeros(self.cells)
        counts = view(self.library.netml_population_beyond(self.handle), np.int32, self.cells)
        return counts / max(self.stats()["steps"], 1)

    def logit(self) -> np.ndarray:
        """(cells) float32, of the last step."""
        return view(self.library.netml_population_logit(self.handle), np.float32, self.cells).copy()

    def save_state(self, sources=(), spikes_ms=()) -> dict[str, np.ndarray]:
        """All that a run needs to go on from here; see :mod:`netml.engine.population_state`.

        Arguments:
            sources, spikes_ms: Spikes that may not have been handed over yet: inside NEURON a spike waits for its row's
                shortest delay, so these are all spikes of the last milliseconds (the longest such delay).  Each counts
                once.
        """
        rows = {source: row for row, source in enumerate(self.sources)} if len(sources) else {}
        for source, spike_ms in zip(sources, spikes_ms, strict=True):
            if source in rows:
                self.library.netml_population_deliver_once(self.handle, rows[source], spike_ms)
        return population_state.save(self)

    def restore_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a saved state, of this rank or merged from several.

        Raises:
            ModelError: It is of another network.
        """
        population_state.restore(self, state)

    def stats(self) -> dict:
        """Counters and wall seconds since the last reset; see ``netml_population_stats``."""
        stats = Stats()
        if self.handle:
            self.library.netml_population_get_stats(self.handle, ctypes.byref(stats))
        return {name: getattr(stats, name) for name, _ in Stats._fields_}

    def close(self) -> None:
        """Free the C++ population; nothing may drive it any more."""
        if self.handle:
            self.library.netml_population_delete(self.handle)
            self.handle = None

    __del__ = close

    @property
    def _channels(self) -> int:
        """Synaptic ones."""
        return _synaptic_gain(self.artifact).size

    def _create(self) -> None:
        reduction, arrays, header = Reduction.of(self.artifact), self.artifact.arrays, self.artifact.header
        ranges = np.array([_range(header, s) for s in header["synapses"]], float).reshape(-1, 2)
        low, high = np.resize(ranges, (self._channels, 2)).T
        tables = [
            np.ascontiguousarray(values[: self._channels], dtype) for values, dtype in (
                (arrays["channel_input"], np.int32), (arrays["channel_gain"], np.float32),
                (arrays["channel_seen"], np.int64), (low, np.float32), (high, np.float32))
        ]  # fmt: skip
        dims = np.asarray(reduction.dims, np.int32)
        self.handle = self.library.netml_population_new(
            dims.ctypes.data, reduction.params.ctypes.data, reduction.trace_input.ctypes.data, reduction.threshold,
            float(header.get("v_rest_mv", -70.0)), self.dt_r_ms, self.quantum,
            self._channels, *(table.ctypes.data for table in tables),
        )  # fmt: skip
        if not self.handle:
            raise MemoryError(f"no memory for population {self.label}")

    def _checked(self, result: int) -> int:
        if result < 0:
            raise MemoryError(f"no memory for the {self.cells} cells of population {self.label} and their synapses")
        return result

    def _flush(self) -> None:
        """Hand over what was added one by one."""
        if self._single["row"]:
            columns = [np.frombuffer(column, column.typecode) for column in self._single.values()]
            self._single = {name: array(code) for name, code in COLUMNS.items()}
            self.add_synapses(*columns)

    def _refuse(self, projection: int, row: int, cell: int, channel: int, weight: float, delay: float) -> None:
        """Say what is wrong with a synapse."""
        stdp = self.rules[projection][1]
        if not 0 <= row < self.rows:
            wrong = f"row {row}; expected 0 to {self.rows - 1}: add_rows makes them"
        elif not 0 <= cell < self.cells:
            wrong = f"cell {cell}; expected 0 to {self.cells - 1}: add_cells makes them"
        elif not 0 <= channel < self._channels:
            wrong = f"channel {channel}; expected 0 to {self._channels - 1} (segment x synapse types + synapse type)"
        elif not 0 <= weight < np.inf:
            wrong = f"a weight of {weight} uS; expected 0 or more"
        elif not 0.5 < delay * TICKS_PER_MS < 2**31:
            wrong = f"a delay of {delay} ms; expected above 0 (1e-6 ms or more) and at most {LONGEST_MS:.0f} ms"
        elif stdp and not stdp.low_us <= weight <= stdp.high_us:
            wrong = f"a weight of {weight} uS; expected the bounds of its STDP, {stdp.low_us} to {stdp.high_us} uS"
        else:
            largest = f"an upper bound of {stdp.high_us}" if stdp else f"a weight of {weight}"
            wrong = f"{largest} uS, over {HEADROOM_EVENTS} times the largest weight in training; expected uS"
        raise ModelError(f"a synapse onto reduced {self.label} has {wrong}")


def _names(given: Sequence[int] | None, first: int, count: int, what: str, label: str) -> Sequence[int]:
    if given is None:
        return range(first, first + count)
    if len(given) != count:
        raise ModelError(f"{count} {what} of reduced {label} were to be named, {len(given)} names came")
    return np.asarray(given, np.int64).tolist()


def _columns(values, codes, what: str) -> list[np.ndarray]:
    """One-dimensional arrays of one length."""
    columns = [np.ascontiguousarray(column, code) for column, code in zip(values, codes, strict=True)]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        raise ModelError(f"{what} came as arrays of shapes {[c.shape for c in columns]}; expected one length")
    return columns


def _range(header: dict, synapse: str) -> tuple[float, float]:
    """Smallest and largest weight (uS) in training; a type without events admits none."""
    low_high = header["weight_range_us"].get(synapse)
    return (np.inf, -np.inf) if not low_high or low_high[0] is None else tuple(low_high)


def _synaptic_gain(artifact: Artifact) -> np.ndarray:
    """(segments x synapse types) 1/uS: without the current's, which is no event."""
    gain = artifact.arrays["channel_gain"]
    return gain[: gain.size - bool(artifact.header.get("current"))]


def quantum(artifact: Artifact) -> float:
    """Unit of the fixed-point sums, a power of two that follows from the artifact alone."""
    synapses = artifact.header["synapses"]
    gain = _synaptic_gain(artifact).reshape(-1, len(synapses)).max(axis=0, initial=0).astype(float)
    high = [_range(artifact.header, synapse)[1] for synapse in synapses]
    largest = max((g * h for g, h in zip(gain, high, strict=True) if g * h > 0), default=1.0)
    return float(2.0 ** (np.ceil(np.log2(largest * HEADROOM_EVENTS)) - 31))
