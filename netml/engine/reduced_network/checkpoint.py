"""Checkpoints of a built network: all that a run needs to go on, in one file, for any number of ranks.

The file is a zip of NumPy arrays, uncompressed, each with its CRC, and a JSON header.  It holds the populations' states
(:mod:`netml.population.state`), where the trains of spikes stand and what was injected for later, a part a
rank, each named by gids; static synapses are not in it, as the network builds them again from the same netParams and
seeds.  It appears whole or not at all.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from netml import checked
from netml.engine.reduced_network.checkpoint_checks import Header, check_clock, check_events, check_part
from netml.engine.reduced_network.injection import EVENT, Pending
from netml.errors import CheckpointError, ModelError, OutputError
from netml.files import replacing
from netml.network.trains import STATE
from netml.plain import to_json
from netml.population import state as population_state
from netml.population.c_interface import TICKS_PER_MS

FORMAT, VERSION = "netml-checkpoint", 3  # another one also where one netParams and seed make another network
TRAINS = np.dtype([("gid", "i8"), *STATE.descr])
BY_CELL = ("cells", "post_spikes", "synapses", "injected", "currents")  # of its state, what has gids


def save(path: Path, network, context, now: int, gids: np.ndarray, spikes_ms: np.ndarray,
         pending: list[Pending]) -> Path:  # fmt: skip
    """Write a checkpoint; every rank calls it.

    Args:
        path: Of the file.
        network: What was built (:class:`netml.engine.reduced_network.network.BuiltNetwork`).
        context: NEURON's ParallelContext.
        now: ticks since the beginning.
        gids: (spikes) int64, cells of all ranks' spikes that NEURON may not have delivered yet.
        spikes_ms: (spikes) float64, their times on NEURON's clock.
        pending: This rank's events still to come.

    Raises:
        OutputError: The file cannot be written.
    """
    mine = dict(_own(network, gids, spikes_ms, pending))
    world, failure = network.world, None
    if world.rank == 0:
        header = {"format": FORMAT, "version": VERSION, "ticks": now, "ranks": world.size, "about": network.about}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
                for rank in range(world.size):
                    for name, array in (mine if rank == 0 else _receive(rank)).items():
                        _write(archive, f"{rank}/{name}.npy", array)
                archive.writestr("header.json", to_json(header))  # last: it says that all parts are there
        except OSError as error:
            failure = f"cannot write {path}: {error.strerror or error}"
    else:
        _send(mine)
    if world.size > 1:
        failure = context.py_broadcast(failure, 0)
    if failure:
        raise OutputError(failure)
    return path


def restore(path: Path, network) -> tuple[int, list[Pending]]:
    """Put a checkpoint into a network that was just built; every rank calls it.

    Returns:
        Its time in ticks, and this rank's events still to come.

    Raises:
        CheckpointError: No such file, not whole, or of another network.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = _header(archive.read("header.json"), path)
            _check(header.about, network.about, path)
            parts = list(_parts(archive, header.ranks))
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}; save() writes one") from None
    except CheckpointError:
        raise
    except Exception as error:  # damaged bytes end in almost any of them
        raise CheckpointError(f"{path} is not a whole checkpoint ({error}): take an earlier one") from error
    try:
        return header.ticks, _put(network, parts, header.ticks)
    except ModelError as error:
        raise CheckpointError(f"{path}: {error}; take an earlier one") from error


def _own(network, gids: np.ndarray, spikes_ms: np.ndarray, pending: list[Pending]) -> Iterator[tuple[str, np.ndarray]]:
    """This rank's arrays by name."""
    for label, reduced in network.reduced.items():
        for name, array in reduced.population.save_state(gids.tolist(), spikes_ms.tolist()).items():
            yield f"population/{_safe(label)}/{name}", array
    for name, trains, owners in _trains(network):
        state, own = np.zeros(len(owners), TRAINS), trains.state()
        state["gid"], state["count"], state["next"] = owners, own["count"], own["next"]
        yield f"trains/{_safe(name)}", state
    for label in network.layout.populations:
        waiting = [one.events for one in pending if one.population == label]
        yield f"pending/{_safe(label)}", np.concatenate([np.empty(0, EVENT), *waiting])


def _trains(network):
    """Name, trains and their owners' gids of everything that makes spikes here."""
    for label, source in network.sources.items():
        yield f"source {label}", source.trains, source.gids
    for background in network.backgrounds:
        yield f"background {background.name}", background.trains, background.synapses.post


def _mine(part: dict[str, np.ndarray], network) -> dict[str, np.ndarray]:
    """What of a rank's part concerns this rank's cells."""
    world, kept = network.world, {}
    for name, array in part.items():
        if name.startswith(("trains/", "pending/")) or name.rsplit("/", 1)[1] in BY_CELL:
            array = array[array["gid"] % world.size == world.rank]
        kept[name] = array
    return kept


def _put(network, parts: list[dict[str, np.ndarray]], ticks: int) -> list[Pending]:
    """Check all of it, then put it into the network."""
    now_ms = ticks / TICKS_PER_MS
    dtypes = {f"pending/{_safe(label)}": EVENT for label in network.layout.populations}
    tables = {label: population_state.dtypes(one.population.handle) for label, one in network.reduced.items()}
    for label, kinds in tables.items():
        dtypes |= {f"population/{_safe(label)}/{table}": dtype for table, dtype in kinds.items()}
    for part in parts:
        check_part(part, dtypes, TRAINS)
    parts = [_mine(part, network) for part in parts]
    states, waiting, positions = {}, {}, []
    for label, reduced in network.reduced.items():
        start = f"population/{_safe(label)}/"
        states[label] = population_state.merge([{one: part[start + one] for one in tables[label]} for part in parts])
        population_state.check(reduced.population.handle, label, states[label])
        check_clock(label, states[label]["clock"], ticks)
    for label in network.layout.populations:
        waiting[label] = np.concatenate([part[f"pending/{_safe(label)}"] for part in parts])
        check_events(network, label, waiting[label], now_ms)
    for name, trains, owners in _trains(network):
        own_parts = [part[key] for part in parts if (key := f"trains/{_safe(name)}") in part]
        found = np.concatenate([np.empty(0, TRAINS), *own_parts])
        # Several trains of one cell stand in the same order on any number of ranks.
        saved, own = np.argsort(found["gid"], kind="stable"), np.argsort(owners, kind="stable")
        if not np.array_equal(found["gid"][saved], owners[own]):
            raise ModelError(f"its trains of {name} are those of other cells: it is of another network")
        state = np.zeros(len(owners), STATE)
        for field in ("count", "next"):
            state[field][own] = found[field][saved]
        trains.check(state, now_ms, name)
        positions.append((trains, state))
    for label, reduced in network.reduced.items():
        reduced.population.restore_state(states[label])
    for trains, state in positions:
        trains.resume(state, now_ms)
    return [Pending(network, label, events) for label, events in waiting.items() if len(events)]


def _header(text: bytes, path: Path):
    remedy = "take an earlier one"
    checked.check_format(text, (FORMAT, VERSION), str(path), CheckpointError, remedy)
    return checked.parse(Header, text, str(path), CheckpointError, remedy)


def _check(saved: dict[str, Any], about: dict[str, Any], path: Path) -> None:
    """Whether it is of this network."""
    differ = sorted(name for name in {*saved, *about} if saved.get(name) != about.get(name))
    if differ:
        name = differ[0]
        raise CheckpointError(
            f"{path} is of another network: its {name} is {saved.get(name)}, this one's {about.get(name)}; build the "
            "network with the netParams, reductions and seeds of the checkpoint"
        )


def _parts(archive: zipfile.ZipFile, ranks: int) -> Iterator[dict[str, np.ndarray]]:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    for rank in range(ranks):
        start = f"{rank}/"
        yield {
            name.removeprefix(start).removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
            for name in names if name.startswith(start)
        }  # fmt: skip


def _write(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _send(arrays: dict[str, np.ndarray]) -> None:
    from mpi4py import MPI

    MPI.COMM_WORLD.send(arrays, dest=0)


def _receive(rank: int) -> dict[str, np.ndarray]:
    from mpi4py import MPI

    return MPI.COMM_WORLD.recv(source=rank)


def _safe(label: str) -> str:
    """A label as one part of a name."""
    return label.replace("%", "%25").replace("/", "%2F")
