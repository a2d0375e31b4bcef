"""The tasks that `record` launches, what one rank does: build, run, collect, write its shard."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from netml.engine.circuit.run import CircuitRun, SimulateConfig
from netml.engine.ranks import mpi
from netml.engine.recording.earlier import check_same
from netml.engine.recording.network_recorder import NetworkRecorder, gather, joined
from netml.engine.recording.protocol import Protocol, isolate
from netml.errors import ModelError, RecordsError
from netml.progress import Silent, reporter
from netml.records import CellInfo, Records, RecordWriter, Trial
from netml.records.trial import NETWORK
from netml.records.writer import shards_of
from netml.stimuli.random_input import FROM_NETWORK, TURNS, InputCounts, Ranges

CELLS_A_RANK = 8  # of the protocol, at once; more take memory and gain nothing
POOL = 200  # trials of the network in memory, at most
logger = logging.getLogger("netml")


@dataclass(frozen=True)
class NetworkJob:
    """One network run (plain data).

    Attributes:
        config: Of the run.
        folders: Of the records, by population.
        cells, probes: See :class:`netml.engine.recording.network_recorder.NetworkRecorder`.
        first_shard: Number of rank 0's shard. The run of the first, 0, says what was silent.
        label: What the progress bar calls it.
        earlier: By population, folder and cell of records that are extended.
    """

    config: SimulateConfig
    folders: dict[str, str]
    first_shard: int
    cells: int | list[int] | None = None
    probes: dict = field(default_factory=dict)
    label: str = ""
    earlier: dict[str, tuple[str, CellInfo]] = field(default_factory=dict)


@dataclass(frozen=True)
class ProtocolJob:
    """All trials of random input (plain data).

    Attributes:
        config, first_shard, label: As in :class:`NetworkJob`.
        population, folder: Whose cells, and of the records.
        cell, drive: What the network's runs recorded.
        trials, current_trials: Numbers over all ranks, see :meth:`netml.engine.recording.protocol.Protocol.run`.
        ranges: How far the input leaves the network's.
        earlier: Folder of records that are extended.
    """

    config: SimulateConfig
    folder: str
    population: str
    first_shard: int
    cell: CellInfo
    drive: InputCounts
    trials: int
    current_trials: int
    ranges: Ranges = field(default_factory=Ranges)
    kinds: tuple[str, ...] = TURNS
    label: str = ""
    earlier: str | None = None


@dataclass(frozen=True)
class NetworkResult:
    """What a network run found: by population the cell and what the recorded cells got together; what produced it."""

    cells: dict[str, CellInfo]
    drives: dict[str, InputCounts]
    metadata: dict


class _Labelled(Silent):
    """Progress whose phases carry the name of the job."""

    def __init__(self, label: str, shown: Silent):
        self._label, self._shown = label, shown

    def begin(self, label: str, total: float | None = None) -> None:
        self._shown.begin(f"{self._label}: {label}", total)

    def update(self, done: float, note: str = "") -> None:
        self._shown.update(done, note)

    def close(self) -> None:
        self._shown.close()


class _Recorded(CircuitRun):
    """A run that keeps nothing but records."""

    def create(self, net_params: Any, cfg: Any) -> None:
        cfg.recordTraces, cfg.recordLFP, cfg.recordDipole, cfg.recordCellsSpikes = {}, [], False, -1
        super().create(net_params, cfg)


class _Isolated(_Recorded):
    """Cells of one population, unconnected."""

    def __init__(self, job: ProtocolJob, world: mpi.World, progress: Silent):
        super().__init__(job.config, world, progress)
        self._population = job.population
        self._cells = world.size * min(CELLS_A_RANK, -(-(job.trials + job.current_trials) // world.size))

    def create(self, net_params: Any, cfg: Any) -> None:
        super().create(isolate(net_params, joined(net_params, self._population)[0], self._cells), cfg)


def record_network(job: NetworkJob) -> NetworkResult:
    """Record one run of the network."""
    world = mpi.start()
    simulation = _Recorded(job.config, world, _Labelled(job.label, reporter(job.config.progress, world.rank)))
    simulation.build()
    sim = simulation.sim
    members = [label for population in job.folders for label in joined(sim.net.params, population)]
    if twice := [label for label in members if members.count(label) > 1]:
        raise ModelError(f"population {twice[0]} is in two of the sets of records that were asked for; give it to one")
    recorders: dict[str, NetworkRecorder] = {}
    last_gid = None
    for population in job.folders:
        recorders[population] = NetworkRecorder(sim, population, job.cells, job.probes, last_gid)
        last_gid = recorders[population].last_gid
        if population in job.earlier:
            folder, cell = job.earlier[population]
            check_same(recorders[population].cell, cell, folder)
    simulation.run()
    drives, spikes = {}, {}
    for population, recorder in recorders.items():
        trials = recorder.trials(int(sim.cfg.seeds["stim"]))
        if trials:
            with RecordWriter(job.folders[population], job.first_shard + world.rank, recorder.cell) as writer:
                for trial in trials:
                    writer.add(trial)
        own = dict(gather(sim, [(trial.gid, InputCounts.of(trial, recorder.cell.synapse_sites)) for trial in trials]))
        # In the order of gids: the sum, and all that is drawn from it, is the same on any number of ranks.
        drives[population] = reduce(add, [own[gid] for gid in sorted(own)])
        spikes[population] = sum(gather(sim, [trial.spike_time.size for trial in trials]))
    result = NetworkResult({name: one.cell for name, one in recorders.items()}, drives, simulation.metadata())
    if job.first_shard == 0 and world.rank == 0:
        for line in _silent(result, spikes):
            logger.warning("%s in the first network run, %g ms", line, job.config.duration)
    return result


def _silent(found: NetworkResult, spikes: dict[str, int]) -> Iterator[str]:
    """What leaves nothing to learn from, if the runs that follow are like this one."""
    for population, cell in found.cells.items():
        if not spikes[population]:
            yield f"no spike of the recorded cells of {population}"
        events = found.drives[population].count.reshape(len(cell.segments), -1).sum(axis=0)
        if absent := [name for name, count in zip(cell.synapses, events, strict=True) if not count]:
            yield f"no event at synapses of type {', '.join(absent)}, which the protocol needs, on {population}"


def _pool(job: ProtocolJob) -> list[Trial]:
    """Trials of the network for those made of them, evenly chosen."""
    if not FROM_NETWORK.keys() & set(job.kinds):
        return []
    own = shards_of(Path(job.folder))
    parts = [Records(Path(job.folder), job.cell, {}, own)] if own else []
    if job.earlier:
        parts.append(Records.open(job.earlier))
    network = [(part, k) for part in parts for k in np.flatnonzero(part.kinds == NETWORK).tolist()]
    chosen = network[:: -(-len(network) // POOL)]
    return [trial for part in parts for trial in part.trials(k for own, k in chosen if own is part)]


def record_protocol(job: ProtocolJob) -> None:
    """Record single cells under random input and currents."""
    world = mpi.start()
    progress = _Labelled(job.label, reporter(job.config.progress, world.rank))
    simulation = _Isolated(job, world, progress)
    simulation.build()
    try:
        cells = Protocol(simulation.sim, job.cell, job.drive, job.ranges, job.kinds, _pool(job))
    except RecordsError as error:
        raise RecordsError(f"{job.population}: {error}") from None
    share = len(range(world.rank, job.trials + job.current_trials, world.size))
    progress.begin("trials", share)
    with RecordWriter(job.folder, job.first_shard + world.rank, job.cell) as writer:
        for trial in cells.run(job.trials, job.current_trials, int(simulation.sim.cfg.seeds["stim"])):
            writer.add(trial)
            progress.update(writer.trials)
    simulation.sim.pc.barrier()
