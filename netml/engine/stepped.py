"""A network of reduced cells that is stepped: advance, inject, read spikes, rates and voltages.

Between two calls nothing is on its way outside of the populations: NEURON has delivered every event up to the present,
and background and given spikes are made for the time to come, a stretch at a time.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from netml.engine.population import TICKS_PER_MS
from netml.errors import ModelError

logger = logging.getLogger("netml")

#: Spikes that a rank keeps for :meth:`Simulation.spikes`; of more, the oldest are dropped, with a warning.
KEPT_SPIKES = 5_000_000


class Simulation:
    """A running network; :func:`netml.build` makes it.

    Under ``mpirun`` every rank makes the same calls with the same arguments.  One at a time can live in a process:
    :meth:`close` it, or use it in a ``with`` block.

    Attributes:
        t: ms, how far it has come.
        populations: By label, the number of cells.
    """

    def __init__(self, network):
        from neuron import h

        self._h, self._context, self._network = h, h.ParallelContext(), network
        self.t = 0.0
        self.populations = {label: len(cells) for label, cells in network.layout.populations.items()}
        self._ticks = int(
            np.lcm.reduce([1, *(round(r.population.dt_r_ms * TICKS_PER_MS) for r in network.reduced.values())])
        )
        self._times, self._gids = h.Vector(), h.Vector()
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []
        self._dropped = False
        self._counted: dict[str, int] = dict.fromkeys(self.populations, 0)
        self._counted_from = 0.0
        self._pending: list[_Pending] = []
        self._listeners: list[Any] = []
        self._start()

    def _start(self) -> None:
        """Bring NEURON to time 0."""
        context = self._context
        context.spike_record(-1, self._times, self._gids)
        # Nothing here has a membrane: NEURON only moves events, from one to the next, at their exact times.
        self._variable_step = self._h.CVode()
        self._variable_step.active(1)
        context.set_maxstep(10)
        self._h.finitialize()

    # Stepping.

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the one that prints."""
        return int(self._context.id()) == 0

    @property
    def step_ms(self) -> float:
        """The step of the reduced cells; the longest common one of several."""
        return self._ticks / TICKS_PER_MS

    def advance(self, ms: float) -> None:
        """Go on by a time.

        Arguments:
            ms: A whole number of steps.

        Raises:
            ModelError: It is none, or the simulation is closed.
        """
        self._open()
        ticks = round(ms * TICKS_PER_MS) if np.isfinite(ms) else -1
        if ticks <= 0 or ticks % self._ticks or abs(ticks - ms * TICKS_PER_MS) > 1e-3:
            raise ModelError(f"cannot advance by {ms} ms; expected a whole number of steps of {self.step_ms} ms")
        now = round(self.t * TICKS_PER_MS)
        end = now + ticks
        while now < end:
            now = min(end, now + self._stretch())
            self._to(now / TICKS_PER_MS)

    def _stretch(self) -> int:
        """Ticks for which events can be made ahead; one step where every step is recorded."""
        if any(listener.every_step for listener in self._listeners):
            return self._ticks
        horizon = min(
            (r.population.horizon_ms - r.population.dt_r_ms for r in self._network.reduced.values()), default=10.0
        )
        return max(int(horizon * TICKS_PER_MS) // self._ticks, 1) * self._ticks

    def _to(self, end_ms: float) -> None:
        for source in self._network.sources.values():
            which, times = source.trains.until(end_ms)
            for cell, time in zip(which.tolist(), times.tolist(), strict=True):
                source.inputs[cell].event(time)
        for background in self._network.backgrounds:
            which, times = background.trains.until(end_ms)
            if len(which):
                cells = self._network.index[background.synapses.post[which]]
                self._inject(background.label, cells, background.synapses.channel[which],
                             background.synapses.weight_us[which], times)  # fmt: skip
        for pending in self._pending:
            pending.until(end_ms, self)
        self._pending = [pending for pending in self._pending if len(pending.times)]
        self._context.psolve(end_ms)
        self.t = end_ms
        self._collect()

    def _inject(self, label: str, cells, channels, weights_us, times) -> None:
        self._network.reduced[label].population.inject(cells, channels, weights_us, times)

    def _collect(self) -> None:
        """Take the spikes since the last time from NEURON."""
        # A reduced spike carries a fraction of a tick that orders those of one step; see netml_population.mod.
        times = np.round(self._times.as_numpy(), 6)
        gids = self._gids.as_numpy().astype(np.int64)
        self._times.resize(0)
        self._gids.resize(0)
        for label, population in self._network.layout.populations.items():
            inside = (gids >= population.first) & (gids < population.first + len(population))
            self._counted[label] += int(inside.sum())
        for listener in self._listeners:
            listener(self.t, times, gids)
        if not len(times):
            return
        self._kept.append((times, gids))
        while len(self._kept) > 1 and sum(len(part[0]) for part in self._kept) > KEPT_SPIKES:
            self._kept.pop(0)
            self._dropped = True

    # Reading.

    def spikes(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """All ranks' spikes since the last call, on every rank.

        Returns:
            By population: times (ms) and cells (from 0 within it), in the order of time, then cell.
        """
        self._open()
        if self._dropped:
            logger.warning(
                "spikes() was not called for long: only the last %d or so spikes of a rank are there", KEPT_SPIKES
            )
        times, gids = (np.concatenate([*(part[k] for part in self._kept), np.empty(0, kind)])
                       for k, kind in ((0, float), (1, np.int64)))  # fmt: skip
        self._kept, self._dropped = [], False
        parts = self._gathered((times, gids))
        times, gids = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        order = np.lexsort((gids, times))
        times, gids = times[order], gids[order]
        found = {}
        for label, population in self._network.layout.populations.items():
            inside = (gids >= population.first) & (gids < population.first + len(population))
            found[label] = times[inside], gids[inside] - population.first
        return found

    def rates(self) -> dict[str, float]:
        """Mean rate of each population since the last call, Hz; 0 where no time has passed."""
        self._open()
        counts = self._summed(list(self._counted.values()))
        seconds = (self.t - self._counted_from) / 1000
        self._counted, self._counted_from = dict.fromkeys(self._counted, 0), self.t
        return {label: count / (cells * seconds) if cells and seconds else 0.0
                for (label, cells), count in zip(self.populations.items(), counts, strict=True)}  # fmt: skip

    def voltage(self, population: str) -> np.ndarray:
        """(cells) soma voltage of a population's reduced cells after the last step, mV, on every rank."""
        self._open()
        reduced = self._reduced(population)
        out = np.full(self.populations[population], np.nan)
        first = self._network.layout.populations[population].first
        for gids, values in self._gathered((self._network.gids[population], reduced.population.voltage())):
            out[gids - first] = values
        return out

    def report(self) -> dict[str, dict[str, float]]:
        """By reduced population, summed over ranks: cells, synapses, bytes, spikes, events, saturated, late, and so on.

        step_s and deliver_s are wall seconds in the population's own code, summed over ranks.
        """
        self._open()
        found = {}
        for label, reduced in self._network.reduced.items():
            stats = reduced.population.stats()
            found[label] = dict(zip(stats, self._summed(list(stats.values())), strict=True)) | {"steps": stats["steps"]}
        return found

    # Acting.

    def inject(self, population: str, cells, times, *, sec: str | None = None, loc: float = 0.5,
               synMech: str | None = None, weight: float | None = None) -> None:  # fmt: skip
        """Spikes of sources, or single synaptic events onto reduced cells, at times to come.

        Arguments:
            population: NetStims or VecStims: the cells spike.  Reduced: an event arrives at a synapse.
            cells: Numbers within the population; times: ms, from :attr:`t` on; the two are broadcast.
            sec, loc, synMech, weight: Onto reduced cells: where, of which type, peak conductance in uS.

        Raises:
            ModelError: A population, cell, time or synapse that does not fit.
        """
        self._open()
        network = self._network
        if population not in self.populations:
            raise ModelError(f"no population {population!r}; the network has {', '.join(self.populations)}")
        cells, times = np.broadcast_arrays(np.asarray(cells), np.asarray(times, float))
        cells, times = cells.ravel(), times.ravel()
        size = self.populations[population]
        if cells.dtype.kind not in "iu" or (cells.size and not 0 <= cells.min() <= cells.max() < size):
            raise ModelError(
                f"cells of {population} to inject into are {cells[:5]}...; expected whole numbers, 0 to {size - 1}"
            )
        if not (np.isfinite(times) & (times >= self.t)).all():
            raise ModelError(f"times to inject at start at {times.min()} ms; expected {self.t} ms (now) or later")
        gids = cells.astype(np.int64) + network.layout.populations[population].first
        mine = np.flatnonzero(gids % network.world.size == network.world.rank)
        if population in network.sources:
            if sec is not None or synMech is not None or weight is not None:
                raise ModelError(f"{population} holds sources of spikes: leave out sec, synMech and weight")
            place = np.searchsorted(network.sources[population].gids, gids[mine])
            self._pending.append(_Pending(population, place, times[mine], None, 0.0))
            return
        if weight is None or not (np.isfinite(weight) and weight >= 0):
            raise ModelError(f"weight to inject into {population} is {weight}; expected uS, 0 or more")
        kind, where = network.circuit.kinds[population], f"inject into {population}"
        (section, *_) = kind.named(sec, where)
        if not 0 <= loc <= 1:
            raise ModelError(f"{where} has loc {loc}; expected 0 to 1")
        synapse = kind.synapse(synMech, network.circuit.default_synapse, where)
        segment = kind.at(np.array([section]), np.array([float(loc)])).segment[0]
        place = np.searchsorted(network.gids[population], gids[mine])
        self._pending.append(
            _Pending(population, place, times[mine], segment * len(kind.synapses) + synapse, float(weight))
        )

    # Ending.

    def close(self) -> None:
        """Free the network; NEURON can take another one afterwards."""
        if self._network is None:
            return
        for listener in self._listeners:
            listener.close()
        self._context.gid_clear()
        self._variable_step.active(0)
        for reduced in self._network.reduced.values():
            reduced.object.address = 0
            reduced.population.close()
        self._network, self._listeners = None, []

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def _open(self) -> None:
        if self._network is None:
            raise ModelError("this simulation is closed; netml.build makes a new one")

    def _reduced(self, population: str):
        if population not in self._network.reduced:
            raise ModelError(
                f"no reduced population {population!r}; the network has {', '.join(self._network.reduced)}"
            )
        return self._network.reduced[population]

    def _gathered(self, mine) -> list:
        return self._context.py_allgather(mine) if self._network.world.size > 1 else [mine]

    def _summed(self, numbers: list) -> list:
        return np.sum(self._gathered(numbers), axis=0).tolist()


class _Pending:
    """Injected events that are still to come."""

    def __init__(self, label: str, cells: np.ndarray, times: np.ndarray, channel: int | None, weight_us: float):
        order = np.argsort(times, kind="stable")
        self.label, self.cells, self.times = label, cells[order], times[order]
        self.channel, self.weight_us = channel, weight_us

    def until(self, end_ms: float, simulation: Simulation) -> None:
        """Hand over those before a time."""
        due = int(np.searchsorted(self.times, end_ms))
        cells, times = self.cells[:due], self.times[:due]
        self.cells, self.times = self.cells[due:], self.times[due:]
        if self.channel is None:
            inputs = simulation._network.sources[self.label].inputs
            for cell, time in zip(cells.tolist(), times.tolist(), strict=True):
                inputs[cell].event(time)
        elif due:
            simulation._inject(self.label, cells, np.full(due, self.channel), np.full(due, self.weight_us), times)
