"""Single cells under random input: the range of drive that a network alone does not visit.

Cells of one type stand alone in one NEURON or CoreNEURON run, several a rank, each with a synapse at every probe. Their
events go straight into the event queue, which both simulators deliver from, so no mechanism has to play them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from netml.circuit.synapses import OFF, alike, is_plastic
from netml.engine.recording.sampling import VoltageRecorder, check_buffers, steps_per_sample, whole_milliseconds
from netml.errors import ModelError
from netml.records import CellInfo, Trial
from netml.stimuli import random_current as currents
from netml.stimuli.random_input import FROM_NETWORK, TURNS, InputCounts, InputProfile, Ranges, draw_input

SETTLE_MS, TEST_MS = 100.0, 200.0  # a current is tried so long, after so long without
#: Voltages (mV) by which the currents that are tried would move a cell of constant resistance.
TRIED_MV = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
QUEUE_DELAY_MS = 1.0  # of a NetCon whose events are queued at their arrival; CoreNEURON wants one of at least dt


def isolate(net_params: Any, population: str, cells: int) -> Any:
    """Reduce a model's netParams, in place, to unconnected cells of one population.

    Args:
        net_params: Of the model; changed.
        population: The one that is left.
        cells: Number over all ranks.
    """
    size = ("numCells", "density", "gridSpacing", "cellsList", "diversity")
    pop = {key: value for key, value in net_params.popParams[population].items() if key not in size}
    for label in list(net_params.popParams):
        del net_params.popParams[label]
    net_params.popParams[population] = pop | {"numCells": cells}
    for name in ("connParams", "subConnParams", "stimSourceParams", "stimTargetParams"):
        getattr(net_params, name).clear()
    return net_params


class TestCell:
    """One isolated cell, a synapse a synapse site, driven by given events and a current into its soma.

    Short-term plasticity is off: the weights of records are those that events act with.

    Args:
        sim: NetPyNE's sim module.
        cell: NetPyNE's cell, created.
        info: What the records say about it; its synapse sites give the synapses.
    """

    __test__ = False  # not a test case of pytest

    def __init__(self, sim: Any, cell: Any, info: CellInfo):
        from neuron import h

        self._synapses = []
        kinds = alike(info.synapses, info.syn_mech_params)
        for section, x in zip(info.segments.section.tolist(), info.segments.x.tolist(), strict=True):
            here: list[Any] = []
            for label, first in zip(info.synapses, kinds, strict=True):
                if first < len(here):  # one that acts alike is there
                    here.append(here[first])
                    continue
                here.append(cell.addSynMech(label, section, x)["hObj"])
                if is_plastic(info.syn_mech_params[label]):
                    for name, value in OFF.items():
                        setattr(here[-1], name, value)
            self._synapses += here
        self._inputs: dict[int, list] = {}  # synapse site -> a NetCon for each weight that its events had in one trial
        section, x = info.probes["soma"]
        self.soma = cell.secs[section]["hObj"](x)
        self._clamp = h.IClamp(self.soma)
        self._clamp.delay, self._clamp.dur = 0.0, 1e9
        self._times, self._currents = h.Vector([0.0]), h.Vector([0.0])
        self._currents.play(self._clamp._ref_amp, self._times, True)  # the only kind of play that CoreNEURON has
        self.gid = cell.gid
        self._voltage = VoltageRecorder(h, cell, info.probes)
        self._info = info

    def excitatory(self) -> dict[str, bool]:
        """Synapse type -> whether it excites: its reversal potential lies above -45 mV.

        Raises:
            ModelError: A synapse without a reversal potential ``e``.
        """
        kinds = dict(zip(self._info.synapses, self._synapses, strict=False))  # those of the first segment
        if unknown := [label for label, kind in kinds.items() if not hasattr(kind, "e")]:
            raise ModelError(
                f"synapse types {', '.join(unknown)} have no reversal potential named e; the protocol needs "
                f"it to tell excitation from inhibition; leave the protocol out (--protocol-trials 0)"
            )
        return {label: kind.e > -45.0 for label, kind in kinds.items()}

    def weigh(self, synapse_site: np.ndarray, weight: np.ndarray) -> list:
        """The NetCon of every event, with its weight in uS; before finitialize."""
        from neuron import h

        pairs, which = np.unique(np.stack([synapse_site, weight]).astype(float), axis=1, return_inverse=True)
        used: list[Any] = []
        for number, value in pairs.T.tolist():
            inputs = self._inputs.setdefault(int(number), [])
            turn = len(used) - int(np.searchsorted(pairs[0], number))
            if turn == len(inputs):
                inputs.append(h.NetCon(None, self._synapses[int(number)]))
                inputs[turn].delay = QUEUE_DELAY_MS
            inputs[turn].weight[0] = value
            used.append(inputs[turn])
        return [used[k] for k in which.ravel()]

    def inject(self, time: np.ndarray, current: np.ndarray) -> None:
        """Set the current into the soma, in nA from each of the times (ms) on; before finitialize."""
        self._times.from_python(np.concatenate([[0.0], np.repeat(time, 2), [1e9]]))
        self._currents.from_python(np.repeat(np.concatenate([[0.0], current]), 2))

    @staticmethod
    def queue(time: np.ndarray, netcons: list) -> None:
        """Queue events at their arrival times; after finitialize, before the run."""
        for at, netcon in zip(time.tolist(), netcons, strict=True):
            netcon.event(at)

    def voltage(self, duration_ms: float) -> dict[str, np.ndarray]:
        """See :meth:`VoltageRecorder.read`."""
        return self._voltage.read(self._info.dt_ms, duration_ms)


@dataclass(frozen=True)
class _Drawn:
    """The input of a trial: events (time ms, synapse site, weight uS) and a current (from ms on, nA)."""

    kind: str
    time: np.ndarray
    synapse_site: np.ndarray
    weight: np.ndarray
    changes: np.ndarray = field(default_factory=lambda: np.empty(0))
    current: np.ndarray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def silent(cls) -> _Drawn:
        """Nothing."""
        return cls("", np.empty(0), np.empty(0, np.int32), np.empty(0, np.float32))


class Protocol:
    """Trials of random synaptic input, and of random currents, on the isolated cells of this rank.

    Args:
        sim: NetPyNE's sim module, network of isolated cells created (see :func:`isolate`).
        info: The cell; must be the one of the network's records.
        drive: What it gets in its network.
        ranges: How far trials leave that.
        kinds: Of the trials of synaptic input, in turn.
        network: Trials of the network, of this duration, that shuffled and paused ones are made of.
    """

    def __init__(
        self, sim: Any, info: CellInfo, drive: InputCounts, ranges: Ranges | None = None, kinds=TURNS, network=()
    ):
        self.sim, self.info, self.ranges, self.kinds, self.network = sim, info, ranges or Ranges(), kinds, network
        steps_per_sample(info.dt_ms)
        self.duration_ms = whole_milliseconds(sim.cfg.duration)
        cells = list(sim.net.cells)
        check_buffers(len(cells), len(info.probes), self.duration_ms, info.dt_ms)
        self.cells = [TestCell(sim, cell, info) for cell in cells]
        branch = np.repeat(np.arange(len(info.segments.sections)), [nseg for _, nseg in info.segments.sections])
        self.profile = InputProfile.from_drive(drive, info.segments.length_um, branch, self.cells[0].excitatory())

    def run(self, trials: int, current_trials: int, seed: int) -> Iterator[Trial]:
        """Run this rank's share of the trials: rank r of n takes every n-th. Every rank must exhaust it.

        Args:
            trials: Of synaptic input alone, over all ranks; their kinds take turns.
            current_trials: Of currents into the soma, after those; their kinds take turns too.
            seed: A trial's input depends on (seed, its number) alone.
        """
        pc = self.sim.pc
        total = trials + current_trials
        mine = list(range(total))[int(pc.id()) :: int(pc.nhost())]
        rounds = -(-total // (int(pc.nhost()) * max(len(self.cells), 1)))
        self._prepare()
        scale_na = self.firing_current() if current_trials else 0.0
        for turn in range(rounds):
            batch = mine[turn * len(self.cells) : (turn + 1) * len(self.cells)]
            drawn = [self._draw(k, seed, scale_na if k >= trials else None) for k in batch]
            spikes = self._psolve(drawn, self.duration_ms)
            for k, cell, trial, own in zip(batch, self.cells, drawn, spikes, strict=False):
                yield Trial(
                    kind=trial.kind,
                    gid=-1,
                    seed=trial_seed(seed, k),
                    duration_ms=self.duration_ms,
                    event_time=trial.time,
                    event_synapse_site=trial.synapse_site,
                    event_weight=trial.weight,
                    spike_time=own,
                    voltage=cell.voltage(self.duration_ms),
                    current_time=trial.changes,
                    current_na=trial.current,
                )

    def firing_current(self) -> float:
        """The current into the soma, nA, at which the silent cell begins to fire, or the active one falls silent.

        Tried are 100 ms without and 200 ms with current, rising by doublings from what would move the voltage by 2 mV
        and then by fifths of the last doubling.  Where nothing changes, the current of 16 mV.
        """
        impedance = self._impedance()
        active = self._fires([0.0])[0]
        tried = np.array(TRIED_MV) / impedance * (-1 if active else 1)
        changed = np.flatnonzero(np.array(self._fires(tried)) != active)
        if not changed.size:
            return 16.0 / impedance
        last = tried[changed[0]]
        tried = last * np.linspace(0.6, 0.9, 4)
        changed = np.flatnonzero(np.array(self._fires(tried)) != active)
        return float(abs(tried[changed[0]] if changed.size else last))

    def _impedance(self) -> float:
        """Of the soma at the start of a run, to constant current, megohm."""
        from neuron import h

        h.finitialize(float(self.sim.cfg.hParams["v_init"]))
        impedance = h.Impedance()
        impedance.loc(self.cells[0].soma)
        impedance.compute(0)
        return abs(impedance.input(self.cells[0].soma))

    def _fires(self, currents_na) -> list[bool]:
        """Whether the cell fires at each of some constant currents, nA."""
        found = []
        quiet = _Drawn.silent()
        for start in range(0, len(currents_na), len(self.cells)):
            tested = [
                replace(quiet, changes=np.array([SETTLE_MS]), current=np.array([value]))
                for value in currents_na[start : start + len(self.cells)]
            ]
            found += [bool((times > SETTLE_MS).any()) for times in self._psolve(tested, SETTLE_MS + TEST_MS)]
        return found

    def _draw(self, k: int, seed: int, scale_na: float | None) -> _Drawn:
        """The input of trial k; with a current where its scale is given."""
        if scale_na is None:
            return self._events(self.kinds[k % len(self.kinds)], seed, k)
        kind = currents.KINDS[k % len(currents.KINDS)]
        changes, current, under = currents.draw_current(kind, scale_na, self.duration_ms, seed, k)
        events = self._events(under, seed, k) if under else _Drawn.silent()
        return replace(events, kind=kind, changes=changes, current=current)

    def _events(self, kind: str, seed: int, k: int) -> _Drawn:
        if remake := FROM_NETWORK.get(kind):
            return _Drawn(kind, *remake(self.network, self.info.synapse_sites, seed, k))
        time, synapse_site, weight = draw_input(kind, self.profile, self.duration_ms, seed, k, self.ranges)
        return _Drawn(kind, time, synapse_site, weight[synapse_site])

    def _psolve(self, drawn: list[_Drawn], duration_ms: float) -> list[np.ndarray]:
        """Run the cells from their initial state, each on its input; returns the spike times of each."""
        from neuron import h

        inputs = drawn + [_Drawn.silent()] * (len(self.cells) - len(drawn))
        netcons = []
        for cell, trial in zip(self.cells, inputs, strict=True):
            netcons.append(cell.weigh(trial.synapse_site, trial.weight))
            cell.inject(trial.changes, trial.current)
        for name in ("spkt", "spkid"):
            self.sim.simData[name].resize(0)
        h.finitialize(float(self.sim.cfg.hParams["v_init"]))
        for cell, trial, own in zip(self.cells, inputs, netcons, strict=True):
            cell.queue(trial.time, own)
        self.sim.pc.psolve(duration_ms)
        time, gid = (np.array(self.sim.simData[name]) for name in ("spkt", "spkid"))
        return [np.sort(time[gid == cell.gid]) for cell in self.cells[: len(drawn)]]

    def _prepare(self) -> None:
        """What NetPyNE does before a run, and the choice of the simulator."""
        self.sim.preRun()
        if self.sim.cfg.coreneuron:
            from neuron import coreneuron

            coreneuron.enable, coreneuron.verbose = True, 0


def trial_seed(seed: int, trial: int) -> int:
    """One number for (seed, trial): what the records call the trial's seed."""
    return seed * 1_000_000 + trial
