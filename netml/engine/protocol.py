"""Single cells under random input: the range of drive that a network alone does not visit.

Cells of one type stand alone in one NEURON or CoreNEURON run, several a rank, each with one synapse a channel. Their
events go straight into the event queue, which both simulators deliver from, so no mechanism has to play them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from netml.engine.inputs import TURNS, Drive, Profile, Ranges, draw
from netml.engine.recording import VoltageRecorder, check_buffers, steps_per_sample, whole_milliseconds
from netml.errors import ModelError
from netml.records import CellInfo, Trial

QUEUE_DELAY_MS = 1.0  # of a NetCon whose events are queued at their arrival; CoreNEURON wants one of at least dt


def isolate(net_params: Any, population: str, cells: int) -> Any:
    """Reduce a model's netParams, in place, to unconnected cells of one population.

    Arguments:
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
    """One isolated cell, a synapse a channel, driven by given events.

    Arguments:
        sim: NetPyNE's sim module.
        cell: NetPyNE's cell, created.
        info: What the records say about it; its channels give the synapses.
    """

    __test__ = False  # not a test case of pytest

    def __init__(self, sim: Any, cell: Any, info: CellInfo):
        from neuron import h

        self._synapses = []
        for section, x in zip(info.segments.section.tolist(), info.segments.x.tolist(), strict=True):
            for label in info.synapses:
                self._synapses.append(cell.addSynMech(label, section, x)["hObj"])
        self._inputs = []
        for synapse in self._synapses:
            netcon = h.NetCon(None, synapse)
            netcon.delay = QUEUE_DELAY_MS
            self._inputs.append(netcon)
        self.gid = cell.gid
        self._voltage = VoltageRecorder(h, cell, info.sites)
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

    def weigh(self, weight: np.ndarray) -> None:
        """Set the weight in uS of every channel."""
        for netcon, value in zip(self._inputs, weight.tolist(), strict=True):
            netcon.weight[0] = value

    def queue(self, time: np.ndarray, channel: np.ndarray) -> None:
        """Queue events at their arrival times; after finitialize, before the run."""
        for at, which in zip(time.tolist(), channel.tolist(), strict=True):
            self._inputs[which].event(at)

    def voltage(self, duration_ms: float) -> dict[str, np.ndarray]:
        """See :meth:`VoltageRecorder.read`."""
        return self._voltage.read(self._info.dt_ms, duration_ms)


class Protocol:
    """Trials of random input on the isolated cells of this rank.

    Arguments:
        sim: NetPyNE's sim module, network of isolated cells created (see :func:`isolate`).
        info: The cell; must be the one of the network's records.
        drive: What it gets in its network.
        ranges: How far trials leave that.
    """

    def __init__(self, sim: Any, info: CellInfo, drive: Drive, ranges: Ranges | None = None):
        self.sim, self.info, self.ranges = sim, info, ranges or Ranges()
        steps_per_sample(info.dt_ms)
        self.duration_ms = whole_milliseconds(sim.cfg.duration)
        cells = list(sim.net.cells)
        check_buffers(len(cells), len(info.sites), self.duration_ms, info.dt_ms)
        self.cells = [TestCell(sim, cell, info) for cell in cells]
        branch = np.repeat(np.arange(len(info.segments.sections)), [nseg for _, nseg in info.segments.sections])
        self.profile = Profile.from_drive(drive, info.segments.length_um, branch, self.cells[0].excitatory())

    def run(self, trials: range, seed: int) -> Iterator[Trial]:
        """Run this rank's share of ``trials``: rank r of n takes every n-th. Every rank must exhaust it.

        Kinds take turns. A trial's input depends on (seed, its number) alone.
        """
        from neuron import h

        pc = self.sim.pc
        mine = list(trials)[int(pc.id()) :: int(pc.nhost())]
        rounds = -(-len(trials) // (int(pc.nhost()) * max(len(self.cells), 1)))
        self._prepare()
        for turn in range(rounds):
            batch = mine[turn * len(self.cells) : (turn + 1) * len(self.cells)]
            drawn = [draw(TURNS[k % len(TURNS)], self.profile, self.duration_ms, seed, k, self.ranges) for k in batch]
            for cell, (_, _, weight) in zip(self.cells, drawn, strict=False):
                cell.weigh(weight)
            self.sim.simData["spkt"].resize(0)
            self.sim.simData["spkid"].resize(0)
            h.finitialize(float(self.sim.cfg.hParams["v_init"]))
            for cell, (time, channel, _) in zip(self.cells, drawn, strict=False):
                cell.queue(time, channel)
            pc.psolve(self.duration_ms)
            spike_time, spike_gid = (np.array(self.sim.simData[name]) for name in ("spkt", "spkid"))
            for k, cell, (time, channel, weight) in zip(batch, self.cells, drawn, strict=False):
                yield Trial(
                    kind=TURNS[k % len(TURNS)],
                    gid=-1,
                    seed=trial_seed(seed, k),
                    duration_ms=self.duration_ms,
                    event_time=time,
                    event_channel=channel,
                    event_weight=weight[channel],
                    spike_time=np.sort(spike_time[spike_gid == cell.gid]),
                    voltage=cell.voltage(self.duration_ms),
                )

    def _prepare(self) -> None:
        """What NetPyNE does before a run, and the choice of the simulator."""
        self.sim.preRun()
        if self.sim.cfg.coreneuron:
            from neuron import coreneuron

            coreneuron.enable, coreneuron.verbose = True, 0


def trial_seed(seed: int, trial: int) -> int:
    """One number for (seed, trial): what the records call the trial's seed."""
    return seed * 1_000_000 + trial
