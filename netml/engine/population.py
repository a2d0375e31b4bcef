"""The reduced cells of one artifact on this rank, and the synapses onto them.

The C++ population (``mod/engine/population.hpp``) holds synapses as rows, one row a source, delivers spikes along them
and steps the cells.  Times, projections and plasticity: the README beside this file.  Nothing here touches NEURON:
``NetmlPopulation`` in ``mod/engine`` drives the same object inside a simulation.
"""

import ctypes
import os
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from netml.artifact import Artifact
from netml.circuit.current import Clamp
from netml.engine import population_checks as checks
from netml.engine.plasticity import RewardStdp, ShortTerm
from netml.engine.population_checks import COLUMNS
from netml.engine.population_driven import Driven
from netml.engine.population_library import TICKS_PER_MS, Plasticity, load
from netml.engine.population_model import create, quantum, synaptic_gain
from netml.engine.soma_current import SomaCurrent
from netml.errors import ArtifactError, ModelError


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


class Population(Driven):
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
        self.quantum, self._channels = quantum(artifact), synaptic_gain(artifact).size
        self._current = SomaCurrent(artifact, label)
        self._threads = checks.threads(os.environ.get("NETML_THREADS", 1) if threads is None else threads)
        self.gids, self.sources = array("q"), array("q")
        self.rules: list[tuple[ShortTerm | None, RewardStdp | None]] = [(None, None)]
        self._single: dict[int, list[array]] = {}  # columns by projection
        self._backgrounds, self._frozen, self._dirty = 0, False, True
        self.library = load()
        self.handle = create(self.library, artifact)
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
        self.gids.extend(checks.names(gids, self.cells, count, "gids", self.label))
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
        self.sources.extend(checks.names(sources, self.rows, count, "sources", self.label))
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
            delay_ms: (n) float64, rounded to whole ticks of 1e-6 ms, from one to 2147 ms.
            projection: That they belong to.

        Raises:
            ModelError: A row, cell, channel or projection that is not there, a weight that is negative, NaN, too large
                or out of bounds, a delay that is zero, negative, NaN or too long; then none is added.
        """
        if not 0 <= projection < len(self.rules):
            raise ModelError(f"reduced {self.label} has projections 0 to {len(self.rules) - 1}, no {projection}")
        values, what = (row, cell, channel, weight_us, delay_ms), f"synapses onto reduced {self.label}"
        columns = checks.columns(values, COLUMNS.values(), what)
        bad = self._checked(self.library.netml_population_add(
            self.handle, projection, self.rows, self.cells, columns[0].size, *(column.ctypes.data for column in columns)
        ))  # fmt: skip
        if bad:
            tops, wrong = (self.rows, self.cells, self._channels), [column[bad - 1].item() for column in columns]
            checks.refuse_synapse(self.label, tops, self.rules[projection][1], *wrong)
        self._dirty = True

    def add_synapse(
        self, row: int, cell: int, channel: int, weight_us: float, delay_ms: float, projection: int = 0
    ) -> None:
        """One synapse, checked at the next :meth:`freeze`; see :meth:`add_synapses` for many."""
        columns = self._single.setdefault(projection, [array(code) for code in COLUMNS.values()])
        for column, value in zip(columns, (row, cell, channel, weight_us, delay_ms), strict=True):
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
        columns = checks.columns(values, "idd", f"a background of reduced {self.label}")
        bad = self._checked(self.library.netml_population_add_background(
            self.handle, channel.size, *(column.ctypes.data for column in columns), seed, self._backgrounds
        ))  # fmt: skip
        if bad:
            which, rate, weight = (column[bad - 1].item() for column in columns)
            raise ModelError(
                f"a background of reduced {self.label} puts {rate} Hz of {weight} uS on channel {which}; expected a "
                f"channel below {self._channels}, a rate and a weight from 0, in all at most 64 events a cell and step"
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

    def _flush(self) -> None:
        """Hand over what was added one by one."""
        waiting, self._single = self._single, {}
        for projection, columns in waiting.items():
            self.add_synapses(*(np.frombuffer(column, column.typecode) for column in columns), projection=projection)
