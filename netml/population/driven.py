"""Driving a population: inside a simulation NetmlPopulation does it, a test or a notebook does it by these calls."""

import ctypes
from abc import ABC, abstractmethod
from collections.abc import MutableSequence

import numpy as np

from netml.errors import ModelError
from netml.population import checks
from netml.population import state as population_state
from netml.population.c_interface import Stats, view
from netml.population.plasticity import RewardStdp, ShortTerm
from netml.population.soma_current import SomaCurrent


class Driven(ABC):
    """The C++ population as it runs; :class:`netml.population.population.Population` says what is in it."""

    label: str
    cells: int
    dt_r_ms: float
    sources: MutableSequence[int]
    rules: list[tuple[ShortTerm | None, RewardStdp | None]]
    library: ctypes.CDLL
    handle: int | None
    _current: SomaCurrent
    _frozen: bool

    @abstractmethod
    def freeze(self) -> int:
        """Take what was added into use; returns the address of the C++ population."""

    def reset(self) -> None:
        """All cells at rest, nothing on its way, step 0."""
        self.library.netml_population_reset(self.freeze())

    def deliver(self, row: int, spike_ms: float) -> None:
        """A spike of a row's source."""
        self.library.netml_population_deliver(self.handle, row, spike_ms)

    def set_current(self, current_na) -> None:
        """A current into the soma of every cell, beside the clamps, until set again or a reset.

        Arguments:
            current_na: (cells) nA, or one for all.

        Raises:
            ModelError: The reduction takes no current, or it is no finite number a cell.
        """
        each = self._current.scaled(current_na, self.cells)
        self._checked(self.library.netml_population_set_current(self.handle, each.ctypes.data))

    def inject(self, cell, channel, weight_us, arrival_ms) -> None:
        """Events of single synapses that have no row.

        Arguments:
            cell, channel: (n) int32.
            weight_us: (n) float64.
            arrival_ms: (n) float64, from the end of the last step on.

        Raises:
            ModelError: An event out of range; those before it are in.
        """
        values, what = (cell, channel, weight_us, arrival_ms), f"events for reduced {self.label}"
        columns = checks.columns(values, "iidd", what)
        bad = self._checked(self.library.netml_population_inject(
            self.handle, columns[0].size, *(column.ctypes.data for column in columns)
        ))  # fmt: skip
        if bad:
            cell, channel, weight, arrival = (column[bad - 1].item() for column in columns)
            raise ModelError(
                f"an event for reduced {self.label} has cell {cell}, channel {channel}, weight {weight} uS and arrival "
                f"{arrival} ms; expected a cell and a channel that are there, a weight from 0, and a time still to come"
            )

    def reward(self, amount: float, projection: int | None = None) -> None:
        """A reward at the end of the last step, to one projection or to all that have STDP."""
        for k, (_, stdp) in enumerate(self.rules):
            if stdp and projection in (None, k):
                self._checked(self.library.netml_population_reward(self.handle, k, amount))

    def step(self) -> np.ndarray:
        """Take one step; returns the indices of the cells that spike."""
        count = self.library.netml_population_step(self.handle)
        return view(self.library.netml_population_spiking(self.handle), np.int32, count).copy()

    def voltage(self) -> np.ndarray:
        """(cells) float32, mV at the end of the last step."""
        return view(self.library.netml_population_voltage(self.handle), np.float32, self.cells).copy()

    def logit(self) -> np.ndarray:
        """(cells) float32, of the last step."""
        return view(self.library.netml_population_logit(self.handle), np.float32, self.cells).copy()

    def beyond(self) -> np.ndarray:
        """(cells) share of the steps since the last reset in which a cell got more at an input than in any of training.

        0 where the artifact does not say what that was.
        """
        if not self._frozen:
            return np.zeros(self.cells)
        counts = view(self.library.netml_population_beyond(self.handle), np.int32, self.cells)
        return counts / max(self.stats()["steps"], 1)

    def rates_hz(self) -> np.ndarray:
        """(1, cells) mean rate of every cell since the last reset."""
        if not self._frozen:
            return np.zeros((1, self.cells))
        seconds = max(self.stats()["steps"] * self.dt_r_ms / 1000.0, 1e-9)
        return view(self.library.netml_population_spike_counts(self.handle), np.int32, (1, self.cells)) / seconds

    def save_state(self, sources=(), spikes_ms=()) -> dict[str, np.ndarray]:
        """All that a run needs to go on from here; see :mod:`netml.population.state`.

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

    def _checked(self, result: int) -> int:
        if result < 0:
            raise MemoryError(f"no memory for the {self.cells} cells of population {self.label} and their synapses")
        return result
