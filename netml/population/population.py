"""The reduced cells of one artifact on this rank, and the synapses onto them.

The C++ population (``mod/engine/population.hpp``) holds synapses as rows, one row a source, delivers spikes along them
and steps the cells.  Times, projections and plasticity: the README beside this file.  Nothing here touches NEURON;
inside a simulation ``NetmlPopulation`` in ``mod/engine`` drives the same object.
"""

import os
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from netml.artifact import Artifact
from netml.circuit.current import Clamp
from netml.errors import ModelError
from netml.population import checks, state
from netml.population.checks import BACKGROUND, COLUMNS, EVENTS
from netml.population.from_artifact import quantum
from netml.population.handle import PopulationHandle
from netml.population.out_of_distribution import OutOfRange
from netml.population.plasticity import RewardStdp, ShortTerm
from netml.population.soma_current import SomaCurrent


class ReducedPopulation:
    """Cells of one artifact, first collected, then frozen into the C++ population.

    Args:
        artifact: The reduction.
        label: For messages, e.g. the NetPyNE population.
        threads: That step and deliver together; None: ``NETML_THREADS``, else 1.  Spikes do not depend on it.

    Attributes:
        cells, rows: How many there are.
        gids, sources: Their names.
        quantum: Unit of the sums, weight x gain.

    Example:
        >>> cells = ReducedPopulation(netml.Artifact.load("PYR.netml"), "PYR")
        >>> cells.add_cells(2), cells.add_rows(1)  # 0, 0: the first of each
        >>> cells.add_synapses(row=[0, 0], cell=[0, 1], synapse_site=[4, 6], weight_us=[1e-3, 2e-3], delay_ms=[0.5, 1])
        >>> cells.freeze()
        >>> cells.deliver(0, spike_ms=0.2)
        >>> cells.step(), cells.voltage()  # cells that spike at 1 ms, and all voltages then
    """

    def __init__(self, artifact: Artifact, label: str, threads: int | None = None):
        self.artifact, self.label, self.cells, self.rows = artifact, label, 0, 0
        self.dt_r_ms = float(artifact.header["dt_r_ms"])
        self.quantum = quantum(artifact)
        self._current = SomaCurrent(artifact, label)
        self._threads = checks.threads(os.environ.get("NETML_THREADS", 1) if threads is None else threads)
        self.gids, self.sources = array("q"), array("q")
        self._single: dict[int, list[array]] = {}  # columns by projection
        self._backgrounds, self._dirty = 0, True
        self.handle = PopulationHandle(artifact, label)
        if (limit := artifact.arrays.get("input_limit")) is not None:
            self.handle.watch(np.ascontiguousarray(limit, np.float32))

    def add_cells(self, count: int, gids: Sequence[int] | None = None) -> int:
        """Further cells; returns the index of the first.  Not after :meth:`freeze`.

        Args:
            count: How many.
            gids: (count) int64, their names in random numbers and checkpoints; None: their indices.

        Raises:
            ModelError: More cells than a rank can hold, or the population is in use.
        """
        if self.handle.frozen:
            raise ModelError(f"reduced {self.label} is in use; cells are added before the simulation starts")
        count = checks.whole(count, f"number of cells of reduced {self.label}")
        self.handle.check_size(self.cells + count)
        self.gids.extend(checks.names(gids, self.cells, count, "gids", self.label))
        self.cells += count
        return self.cells - count

    def add_cell(self, gid: int | None = None) -> int:
        """A further cell, of the name ``gid`` (None: its index); returns its index."""
        return self.add_cells(1, None if gid is None else [gid])

    def add_rows(self, count: int, sources: Sequence[int] | None = None) -> int:
        """Rows for ``count`` more sources, named ``sources`` (None: by their numbers); returns the first's number."""
        count = checks.whole(count, f"number of rows of reduced {self.label}")
        self.sources.extend(checks.names(sources, self.rows, count, "sources", self.label))
        self.rows, self._dirty = self.rows + count, True
        return self.rows - count

    def add_row(self, source: int | None = None) -> int:
        """A row of synapses for one more ``source``, its name (None: the row's number); returns the row's number."""
        return self.add_rows(1, None if source is None else [source])

    def add_projection(self, short_term: ShortTerm | None = None, stdp: RewardStdp | None = None) -> int:
        """Synapses with plasticity, ``short_term``, ``stdp`` or both; returns the number.  Projection 0 is static."""
        number = self.handle.add_projection(short_term, stdp)
        self._dirty = True
        return number

    def add_synapses(
        self, row: ArrayLike, cell: ArrayLike, synapse_site: ArrayLike, weight_us: ArrayLike, delay_ms: ArrayLike,
        projection: int = 0,
    ) -> None:  # fmt: skip
        """Synapses from the sources of rows, in any order; used from the next :meth:`freeze` on.

        Args:
            row: (n) int32, of the source.
            cell: (n) int32, index of the target.
            synapse_site: (n) int32, segment x synapse types + synapse type.
            weight_us: (n) float64, peak conductance, uS, 0 or more; with STDP within its bounds.
            delay_ms: (n) float64, ms, rounded to whole ticks of 1e-6 ms, from one to 2147 ms.
            projection: Number of the one they belong to.

        Raises:
            ModelError: One of them out of range or NaN, or a weight too large; then none is added.
        """
        values, what = (row, cell, synapse_site, weight_us, delay_ms), f"synapses onto reduced {self.label}"
        columns = checks.columns(values, COLUMNS, what)
        if bad := self.handle.add_synapses(projection, self.rows, self.cells, columns):
            tops = self.rows, self.cells, self.handle.synapse_sites
            wrong = [column[bad - 1].item() for column in columns]
            checks.refuse_synapse(self.label, tops, self.handle.rules[projection][1], *wrong)
        self._dirty = True

    def add_synapse(
        self, row: int, cell: int, synapse_site: int, weight_us: float, delay_ms: float, projection: int = 0
    ) -> None:
        """One synapse, checked at the next :meth:`freeze`.

        ``row``, ``cell``, ``synapse_site``, ``weight_us``, ``delay_ms`` and ``projection``: see :meth:`add_synapses`.
        """
        columns = self._single.setdefault(projection, [array(code) for code in COLUMNS.values()])
        values = (row, cell, synapse_site, weight_us, delay_ms)
        try:
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        except (TypeError, OverflowError):
            del self._single[projection]  # of columns of different lengths
            checks.columns([[value] for value in values], COLUMNS, f"a synapse onto reduced {self.label}")
            raise
        self._dirty = True

    def add_background(self, synapse_site: ArrayLike, rate_hz: ArrayLike, weight_us: ArrayLike, seed: int = 0) -> None:
        """Poisson events onto synapse sites of every cell, each cell and synapse site on its own.

        Args:
            synapse_site: (n) int32, segment x synapse types + synapse type.
            rate_hz: (n) float64, Hz, or one number for all synapse sites.
            weight_us: (n) float64, uS, or one number for all synapse sites.
            seed: 0 to 2^32 - 1; with the number of this background, gid and step it decides all events.

        Raises:
            ModelError: One of them out of range or NaN, or more than 64 events a cell and step on average.
        """
        synapse_site = np.atleast_1d(synapse_site)
        values = (synapse_site, *(np.broadcast_to(v, synapse_site.shape) for v in (rate_hz, weight_us)))
        columns = checks.columns(values, BACKGROUND, f"a background of reduced {self.label}")
        if bad := self.handle.add_background(columns, checks.whole(seed, "seed of a background"), self._backgrounds):
            which, rate, weight = (column[bad - 1].item() for column in columns)
            raise ModelError(
                f"a background of reduced {self.label} puts {rate} Hz of {weight} uS on synapse site {which}; expected "
                f"a site below {self.handle.synapse_sites}, a rate and a weight from 0, in all at most 64 events a "
                "cell and step"
            )
        self._backgrounds += 1

    def add_clamp(self, cell: int, clamp: Clamp) -> None:
        """A current clamp (``clamp``: ms, nA) at the soma of a cell (``cell``: its index); clamps add up.

        Raises:
            ModelError: The reduction takes no current, or there is no such cell.
        """
        if not 0 <= checks.whole(cell, "cell of a current clamp") < self.cells:
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
            self.handle.freeze(np.array(self.gids, np.int64), self.rows, self._threads)
            self.handle.clamp(self._current.clamps())
            self._dirty = False
        return self.handle.address

    def synapses(self, projection: int = 0, now: bool = True) -> dict[str, np.ndarray]:
        """Synapses of a ``projection`` in use, in an order that stays until more are added.

        Those with STDP are as at the end of the last step; without ``now``, as the engine last brought them up to date.

        Returns:
            row, cell, input (int32), delay (int32, ticks), weight (float64: weight x gain; with STDP uS), eligibility
            (float32).
        """
        return self.handle.synapses(projection, now)

    def out_of_range(self) -> OutOfRange:
        """How many synapses and cells lie outside what the reduction was trained on."""
        self._flush()
        stats = self.stats()
        return OutOfRange(int(stats["weights_outside"]), int(stats["channels_unseen"]), self._current.out_of_range())

    def reset(self) -> None:
        """All cells at rest, nothing on its way, step 0."""
        self.freeze()
        self.handle.reset()

    def deliver(self, row: int, spike_ms: float) -> None:
        """A spike of the source of a row (``row``: its number) at ``spike_ms`` (ms).

        Raises:
            ModelError: There is no such row in use.
        """
        self.handle.deliver(row, spike_ms)

    def set_current(self, current_na: ArrayLike) -> None:
        """A current into every soma beside the clamps, ``current_na`` ((cells) nA, or one number), until set or reset.

        Raises:
            ModelError: The reduction takes no current, or it is no finite number a cell.
        """
        self.handle.set_current(self._current.scaled(current_na, self.cells))

    def inject(self, cell: ArrayLike, synapse_site: ArrayLike, weight_us: ArrayLike, arrival_ms: ArrayLike) -> None:
        """Events of single synapses that have no row.

        Args:
            cell: (n) int32, index of the target.
            synapse_site: (n) int32, segment x synapse types + synapse type.
            weight_us: (n) float64, uS.
            arrival_ms: (n) float64, ms, from the end of the last step on.

        Raises:
            ModelError: An event out of range; those before it are in.
        """
        values = (cell, synapse_site, weight_us, arrival_ms)
        columns = checks.columns(values, EVENTS, f"events for reduced {self.label}")
        if bad := self.handle.inject(columns):
            which, place, weight, arrival = (column[bad - 1].item() for column in columns)
            raise ModelError(
                f"an event for reduced {self.label} has cell {which}, synapse site {place}, weight {weight} uS and "
                f"arrival {arrival} ms; expected a cell and a site that are there, a weight from 0, and a time to come"
            )

    def reward(self, amount: float, projection: int | None = None) -> None:
        """A reward (``amount``, no unit) at the end of the last step, to one ``projection`` or (None) to all with STDP.

        Raises:
            ModelError: No such projection, one without STDP, or a reward that is no number.
        """
        for k in [k for k, learns in enumerate(self.handle.learns) if learns] if projection is None else [projection]:
            self.handle.reward(k, amount)

    def step(self) -> np.ndarray:
        """Take one step; returns the indices of the cells that spike."""
        return self.handle.step()

    def voltage(self) -> np.ndarray:
        """(cells) float32, mV at the end of the last step."""
        return self.handle.voltage().copy()

    def logit(self) -> np.ndarray:
        """(cells) float32, of the last step."""
        return self.handle.logit().copy()

    def past_training_range(self) -> np.ndarray:
        """(cells) share of steps since the last reset with more at an input than ever in training; 0 if not known."""
        if not self.handle.frozen:
            return np.zeros(self.cells)
        return self.handle.past_range() / max(self.stats()["steps"], 1)

    def rates_hz(self) -> np.ndarray:
        """(1, cells) mean rate of every cell since the last reset."""
        if not self.handle.frozen:
            return np.zeros((1, self.cells))
        seconds = max(self.stats()["steps"] * self.dt_r_ms / 1000.0, 1e-9)
        return self.handle.spike_counts()[None] / seconds

    def save_state(self, sources: Sequence[int] = (), spikes_ms: Sequence[float] = ()) -> dict[str, np.ndarray]:
        """All that a run needs to go on from here; see :mod:`netml.population.state`.

        ``sources`` (names) and ``spikes_ms`` (ms), (n) each, are spikes that may not have been handed over yet: NEURON
        holds them back for the shortest delay of their row.  Give all of the last milliseconds; each counts once.
        """
        self.freeze()
        rows = {source: row for row, source in enumerate(self.sources)} if len(sources) else {}
        for source, spike_ms in zip(sources, spikes_ms, strict=True):
            if source in rows:
                self.handle.deliver(rows[source], spike_ms, once=True)
        return state.save(self.handle, self.label, np.array(self.gids), np.array(self.sources))

    def restore_state(self, saved: dict[str, np.ndarray]) -> None:
        """Go on from a state that :meth:`save_state` gave, ``saved``: of this rank or merged from several.

        Raises:
            ModelError: It is of another network.
        """
        self.freeze()
        state.restore(self.handle, self.label, np.array(self.gids), np.array(self.sources), saved)

    def states(self, cells: np.ndarray) -> np.ndarray:
        """(cells, numbers) float32: the reduction's state of some ``cells``, (n) int64 indices."""
        return state.cell_states(self.handle, cells)

    def stats(self) -> dict:
        """Counters and wall seconds since the last reset; see ``netml_population_stats``."""
        return self.handle.stats()

    def close(self) -> None:
        """Free the C++ population; nothing may drive it any more."""
        self.handle.close()

    def _flush(self) -> None:
        """Hand over what was added one by one."""
        waiting, self._single = self._single, {}
        for projection, columns in waiting.items():
            row, cell, synapse_site, weight, delay = (np.frombuffer(column, column.typecode) for column in columns)
            self.add_synapses(row, cell, synapse_site, weight, delay, projection)
