"""What one rank does to record: run, collect, write its shard. Called by the worker with the network created."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from netml.engine.inputs import Drive, Ranges
from netml.engine.protocol import Protocol
from netml.engine.recording import NetworkRecorder, gather
from netml.records import CellInfo, RecordWriter


@dataclass(frozen=True)
class NetworkJob:
    """One network run (plain data).

    Attributes:
        folder: Of the records.
        population, cells, sites: See :class:`netml.engine.recording.NetworkRecorder`.
        seed: Of the run, written with its trials.
        first_shard: Number of rank 0's shard.
    """

    folder: str
    population: str
    seed: int
    first_shard: int
    cells: int | list[int] | None = None
    sites: dict = field(default_factory=dict)


@dataclass(frozen=True)
class ProtocolJob:
    """All trials of random input (plain data).

    Attributes:
        folder, seed, first_shard: As in :class:`NetworkJob`.
        cell, drive: What the network's runs recorded.
        trials: Number over all ranks.
        ranges: How far the input leaves the network's.
    """

    folder: str
    cell: CellInfo
    drive: Drive
    trials: int
    seed: int
    first_shard: int
    ranges: Ranges = field(default_factory=Ranges)


def record_network(sim: Any, run: Callable[[], Any], job: NetworkJob) -> tuple[CellInfo, Drive]:
    """Record one run of a created network; every rank calls it.

    Arguments:
        sim: NetPyNE's sim module.
        run: Runs it to the end.

    Returns:
        The recorded cell, and what the recorded cells of all ranks got.
    """
    recorder = NetworkRecorder(sim, job.population, job.cells, job.sites)
    run()
    trials = recorder.trials(job.seed)
    rank = int(sim.pc.id())
    if trials:
        with RecordWriter(job.folder, job.first_shard + rank, recorder.cell) as writer:
            for trial in trials:
                writer.add(trial)
    drives = dict(gather(sim, [(trial.gid, Drive.of(trial, recorder.cell.channels)) for trial in trials]))
    # In the order of gids: the sum, and all that is drawn from it, is the same on any number of ranks.
    return recorder.cell, reduce(add, [drives[gid] for gid in sorted(drives)])


def record_protocol(sim: Any, job: ProtocolJob, done: Callable[[int], None] = lambda trials: None) -> None:
    """Record the protocol on created isolated cells; every rank calls it, after the network's runs.

    Arguments:
        sim: NetPyNE's sim module.
        done: Told the number of this rank's finished trials.
    """
    protocol = Protocol(sim, job.cell, job.drive, job.ranges)
    with RecordWriter(job.folder, job.first_shard + int(sim.pc.id()), job.cell) as writer:
        for trial in protocol.run(range(job.trials), job.seed):
            writer.add(trial)
            done(writer.trials)
    sim.pc.barrier()
