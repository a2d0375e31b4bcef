"""A network of reduced cells that is stepped: advance, inject, read spikes, rates and voltages, record, save, restore.

Between two calls no event is on its way outside of the populations but spikes that NEURON holds back for the shortest
delay of their rows; background and given spikes are made for the time to come, a stretch at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from netml.engine.circuit import output
from netml.engine.reduced_network import checkpoint
from netml.engine.reduced_network.injection import Pending
from netml.engine.reduced_network.network import BuiltNetwork
from netml.engine.reduced_network.spike_log import SpikeLog
from netml.engine.reduced_network.stream_writer import StreamWriter
from netml.errors import ModelError
from netml.population.c_interface import TICKS_PER_MS

#: Given and background events are made for so long a time ahead.
STRETCH_MS = 10.0


class NetworkSimulation:
    """A running network; :func:`netml.build` makes it.

    Under ``mpirun`` every rank makes the same calls with the same arguments.  One at a time can live in a process:
    :meth:`close` it, or use it in a ``with`` block.

    Args:
        network: What was built.

    Attributes:
        populations: By label, the number of cells.
        step_ms: The step of the reduced cells, ms; the least common multiple of several.

    Example:
        >>> with netml.build(netParams, {"PYR": "PYR.netml"}, seed=1) as simulation:
        ...     simulation.record("run", voltage={"PYR": [0, 1]})
        ...     simulation.advance(1000.0)
        ...     times_ms, cells = simulation.spikes()["PYR"]
        ...     print(simulation.t, simulation.rates(), simulation.voltage("PYR").mean())
        ...     simulation.save("after-1s.checkpoint")
        >>> with netml.build(netParams, {"PYR": "PYR.netml"}, seed=1) as simulation:
        ...     simulation.restore("after-1s.checkpoint").advance(1000.0)
    """

    def __init__(self, network: BuiltNetwork) -> None:
        from neuron import h

        self._context = h.ParallelContext()
        self._built: BuiltNetwork | None = network  # None: closed
        self.populations = {label: len(cells) for label, cells in network.layout.populations.items()}
        steps = [round(reduced.population.dt_r_ms * TICKS_PER_MS) for reduced in network.reduced.values()]
        self._step = int(np.lcm.reduce([1, *steps]))
        self.step_ms = self._step / TICKS_PER_MS
        self._now, self._origin = 0, 0  # ticks; what NEURON's clock lags behind, after a restore
        self._spikes = SpikeLog(network, self._context)
        self._pending: list[Pending] = []
        self._recorder: StreamWriter | None = None
        self._wall_s = 0.0
        # Nothing here has a membrane: NEURON only moves events, from one to the next, at their exact times.
        self._variable_step = h.CVode()
        self._variable_step.active(1)
        self._context.set_maxstep(10)
        h.finitialize()

    # Stepping.

    @property
    def t(self) -> float:
        """ms, how far it has come."""
        return self._now / TICKS_PER_MS

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the one that prints."""
        return self._built is not None and self._built.world.rank == 0

    def advance(self, ms: float) -> None:
        """Go on by a time.

        Args:
            ms: A whole number of steps (:attr:`step_ms`).

        Raises:
            ModelError: It is none, or the simulation is closed.
        """
        self._open()
        ticks = round(ms * TICKS_PER_MS) if np.isfinite(ms) else -1
        if ticks <= 0 or ticks % self._step or abs(ticks - ms * TICKS_PER_MS) > 1e-3:
            raise ModelError(f"cannot advance by {ms} ms; expected a whole number of steps of {self.step_ms} ms")
        start, end = time.perf_counter(), self._now + ticks
        every_step = self._recorder is not None and self._recorder.every_step
        stretch = 1 if every_step else max(int(STRETCH_MS * TICKS_PER_MS) // self._step, 1)
        while self._now < end:
            self._to(min(end, self._now + stretch * self._step))
        self._wall_s += time.perf_counter() - start

    def _to(self, end: int) -> None:
        """Make what comes from outside before a tick, and let NEURON go there."""
        end_ms, network = end / TICKS_PER_MS, self._network
        for source in network.sources.values():
            self._spike(source, *source.trains.until(end_ms))
        for background in network.backgrounds:
            which, times = background.trains.until(end_ms)
            made = background.synapses
            self._inject(
                background.label,
                network.index[made.post[which]],
                made.synapse_site[which],
                made.weight_us[which],
                times,
            )
        for pending in self._pending:
            cells, due = pending.until(end_ms)
            if pending.population in network.sources:
                self._spike(network.sources[pending.population], cells, due["time"])
            else:
                self._inject(pending.population, cells, due["channel"], due["weight"], due["time"])
        self._pending = [pending for pending in self._pending if len(pending)]
        self._context.psolve((end - self._origin) / TICKS_PER_MS)
        self._now = end
        times, gids = self._spikes.take(self.t, self._origin / TICKS_PER_MS)
        if self._recorder is not None:
            self._recorder(times, gids)

    def _spike(self, source, cells: np.ndarray, times: np.ndarray) -> None:
        clock = times - self._origin / TICKS_PER_MS
        for cell, at in zip(cells.tolist(), clock.tolist(), strict=True):
            source.inputs[cell].event(at)

    def _inject(self, label: str, cells, synapse_sites, weights_us, times) -> None:
        if len(times):
            clock = times - self._origin / TICKS_PER_MS
            self._network.reduced[label].population.inject(cells, synapse_sites, weights_us, clock)

    # Reading.

    def spikes(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """All ranks' spikes since the last call, on every rank.

        Returns:
            By population: times (ms) and cells (from 0 within it), in the order of time, then cell.
        """
        self._open()
        return self._spikes.since()

    def rates(self) -> dict[str, float]:
        """Mean rate of each population since the last call, Hz; 0 where no time has passed."""
        self._open()
        return self._spikes.rates(self.t)

    def voltage(self, population: str) -> np.ndarray:
        """(cells) float64: soma voltage, mV, of a ``population``'s reduced cells after the last step, on every rank.

        Raises:
            ModelError: No such reduced population.
        """
        self._open()
        if population not in self._network.reduced:
            raise ModelError(
                f"no reduced population {population!r}; the network has {', '.join(self._network.reduced)}"
            )
        out = np.full(self.populations[population], np.nan)
        first = self._network.layout.populations[population].first
        mine = self._network.gids[population], self._network.reduced[population].population.voltage()
        for gids, values in self._network.gathered(mine):
            out[gids - first] = values
        return out

    def report(self) -> dict[str, dict[str, float]]:
        """By reduced population, summed over ranks: cells, synapses, bytes, spikes, events, saturated, late, and so on.

        step_s and deliver_s are wall seconds in the population's own code, summed over ranks and threads.
        """
        self._open()
        found = {}
        for label, reduced in self._network.reduced.items():
            stats = reduced.population.stats()
            found[label] = dict(zip(stats, self._network.summed(list(stats.values())), strict=True)) | {
                "steps": stats["steps"]
            }
        return found

    # Acting.

    def inject(self, population: str, cells: ArrayLike, times: ArrayLike, *, sec: str | None = None, loc: float = 0.5,
               synMech: str | None = None, weight: float | None = None) -> None:  # fmt: skip
        """Spikes of sources, or single synaptic events onto reduced cells, at times to come.

        Args:
            population: NetStims or VecStims: the cells spike.  Reduced: an event arrives at a synapse.
            cells: (n) numbers within the population, or one.
            times: (n) ms, from :attr:`t` on, or one for all cells.
            sec: Onto reduced cells: section; None: the soma.
            loc: Onto reduced cells: place along it, 0 to 1.
            synMech: Onto reduced cells: synapse type; None: the network's default.
            weight: Onto reduced cells: peak conductance, uS.

        Raises:
            ModelError: A population, cell, time or synapse that does not fit.

        Example:
            >>> simulation.inject("input", cells=[0, 1, 2], times=simulation.t + 5.0)  # NetStims spike
            >>> simulation.inject("PYR", 0, [5.0, 8.0], sec="apic_3", synMech="AMPA", weight=0.001)
        """
        self._open()
        self._pending.append(Pending.of(self._network, population, cells, times, self.t, sec, loc, synMech, weight))

    def set_reward(self, amount: float, rule: str | None = None) -> None:
        """A reward now, to the synapses of one plastic rule or of all: weight += rate x amount x eligibility.

        Args:
            amount: No unit; negative for a punishment.
            rule: Label in connParams of the plastic rule; None: all of them.

        Raises:
            ModelError: No such plastic rule, or no number.
        """
        self._open()
        learning = self._network.learning()
        if not learning or (rule is not None and rule not in learning):
            raise ModelError(f"no rule{f' {rule!r}' if rule else ''} learns from reward; a RewardStdp was given to "
                             f"{', '.join(learning) or 'none'} when the network was built")  # fmt: skip
        if not np.isfinite(amount):
            raise ModelError(f"reward is {amount}; expected a number")
        for name in learning if rule is None else [rule]:
            for label, projection in learning[name].items():
                self._network.reduced[label].population.reward(float(amount), projection)

    # Keeping.

    def record(self, folder: str | Path, *, voltage: Mapping[str, Any] | None = None,
               state: Mapping[str, Any] | None = None, overwrite: bool = False) -> None:  # fmt: skip
        """Stream all spikes from now on, and chosen cells, to a run's folder; :meth:`finish` or :meth:`close` ends it.

        Args:
            folder: Of the run; :meth:`netml.Run.open` reads it when it is finished.
            voltage: By population, cells whose soma voltage (mV) is kept after every step: numbers, or "all".
            state: By population, cells whose whole state is kept after every step, likewise.
            overwrite: Replace a finished run there.

        Raises:
            RunError: A finished run is there.
            ModelError: A population or cell that is not.
            OutputError: The folder cannot be written.
        """
        self._open()
        self.finish()
        self._recorder = StreamWriter(
            folder, self._network, self.t, self.step_ms, voltage or {}, state or {}, overwrite
        )

    def finish(self) -> Path | None:
        """Complete a recording: rank 0 merges what the ranks wrote.  Returns the run's folder; None: there was none."""
        self._open()
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return None
        recorder.close()
        about = self._about()
        self._context.barrier()
        if self.first:
            recorder.merge(about)
        self._context.barrier()
        return recorder.folder

    def save(self, path: str | Path) -> Path:
        """Write a checkpoint to ``path``, whole or not at all; see :mod:`netml.engine.reduced_network.checkpoint`.

        A recording is not in it.

        Raises:
            OutputError: It cannot be written.
        """
        self._open()
        times, gids = self._spikes.recent()
        clock = times - self._origin / TICKS_PER_MS
        return checkpoint.save(Path(path), self._network, self._context, self._now, gids, clock, self._pending)

    def restore(self, path: str | Path) -> NetworkSimulation:
        """Go on from a checkpoint (``path``) of this network, made on any number of ranks; returns the simulation.

        Raises:
            CheckpointError: No such file, not whole, or of another network.
            ModelError: This network has moved already.
        """
        self._open()
        if self._now or self._origin or self._pending:
            raise ModelError("restore a checkpoint into a network that was just built, before anything else")
        self._now, self._pending = checkpoint.restore(Path(path), self._network)
        self._origin = self._now
        self._spikes.count_from(self.t)
        return self

    # Ending.

    def close(self) -> None:
        """Complete a recording and free the network; NEURON can take another one afterwards."""
        if self._built is None:
            return
        try:
            self.finish()
        finally:
            self._built.close()
            self._variable_step.active(0)
            self._built = None

    def __enter__(self) -> NetworkSimulation:
        return self

    def __exit__(self, kind, *_exception) -> None:
        if kind is not None:
            self._recorder = None  # what a failed run recorded stays in the ranks' own files
        self.close()

    def _open(self) -> BuiltNetwork:
        if self._built is None:
            raise ModelError("this simulation is closed; netml.build makes a new one")
        return self._built

    _network = property(_open)

    def _about(self) -> dict[str, Any]:
        """A run's metadata; every rank calls it."""
        network = self._network
        return {
            "model": "netml.build", "populations": network.populations(), "duration_ms": self.t, "dt_ms": self.step_ms,
            "engine": "neuron", "build": "exact", "ranks": network.world.size, **network.about,
            "seed": network.about["seeds"]["stim"], "wall": {"run_s": self._wall_s}, "versions": output.versions(),
            "reduced": self.report(),
        }  # fmt: skip
