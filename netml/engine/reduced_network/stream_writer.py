"""Recording of a stepped network of any length and size: each rank streams to its own file, and rank 0 merges them.

A rank holds no more than :data:`HELD` spikes and samples; merging holds no more than a few blocks of them.  What is
left is a run's folder (``netml.runs``): spikes in SONATA's layout, traces and metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from netml.errors import ModelError, OutputError, RunError
from netml.files import output_folder
from netml.hdf5 import OutputFile
from netml.runs import RUN, add_spikes, add_trace, writing_run

HELD = 1_000_000
MERGED = 1_000_000  # spikes or samples in memory while merging
VOLTAGE = "V_soma"


class StreamWriter:
    """One rank's recording.

    Args:
        folder: Of the run.
        network: What was built.
        start_ms, step_ms: Present time; interval of samples.
        voltage: By population, cells (from 0 within it) whose soma voltage is kept, or "all".
        state: By population, cells whose whole state is kept: traces state_0, state_1, ...
        overwrite: Whether a finished run in the folder may go.
        held: Spikes and samples that are kept in memory.

    Raises:
        RunError: A finished run is there.
        ModelError: A population or cell that is not there.
    """

    def __init__(
        self, folder, network, start_ms: float, step_ms: float, voltage: Mapping[str, Any], state: Mapping[str, Any],
        overwrite: bool = False, held: int = HELD,
    ):  # fmt: skip
        self.folder, self._network, self._held = Path(folder), network, held
        if (self.folder / RUN).exists() and not overwrite:
            raise RunError(f"{folder} already holds a finished run; choose another folder or give overwrite=True")
        output_folder(self.folder)
        self._start_ms, self._step_ms, self._samples = start_ms, step_ms, 0
        chosen = {kind: {label: self._cells(label, cells) for label, cells in wanted.items()}
                  for kind, wanted in (("voltage", voltage), ("state", state))}  # fmt: skip
        self._chosen = chosen
        self.every_step = any(chosen.values())
        self._columns = self._own_columns()
        self._path = part_path(self.folder, network.world.rank)
        try:
            self._file = OutputFile(self._path)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error}") from error
        self._file.attrs["columns"] = np.array(
            [f"{label}:{gid}" for label, gid in self._columns], dtype=h5py.string_dtype()
        )
        self._file.create_dataset("samples", (0, len(self._columns)), np.float32, maxshape=(None, None),
                                  chunks=(256, max(len(self._columns), 1)))  # fmt: skip
        self._times: list[np.ndarray] = []
        self._gids: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def __call__(self, times: np.ndarray, gids: np.ndarray) -> None:
        """Take this rank's spikes of a stretch and, where samples are wanted, one of each."""
        self._times.append(times)
        self._gids.append(gids)
        if self.every_step:
            self._rows.append(self._sample())
            self._samples += 1
        if sum(map(len, self._times)) + len(self._rows) * len(self._columns) >= self._held:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        times, gids = np.concatenate([*self._times, np.empty(0)]), np.concatenate([*self._gids, np.empty(0, np.int64)])
        order = np.lexsort((gids, times))
        times, gids = times[order], gids[order]
        for label, population in self._network.layout.populations.items():
            inside = (gids >= population.first) & (gids < population.first + len(population))
            add_spikes(self._file, label, times[inside], gids[inside] - population.first)
        if self._rows:
            data = self._file["samples"]
            data.resize(len(data) + len(self._rows), axis=0)
            data[len(data) - len(self._rows) :] = np.array(self._rows)
        self._file.flush()
        self._file.check()
        self._times, self._gids, self._rows = [], [], []

    def close(self) -> None:
        """Write the rest and close this rank's file."""
        if self._file:
            self.flush()
            self._file.close()

    def merge(self, metadata: dict) -> None:
        """Make one run of all ranks' files, which are then removed; on one rank, after all have closed theirs."""
        paths = [part_path(self.folder, rank) for rank in range(self._network.world.size)]
        with ExitStack() as stack:
            parts = [stack.enter_context(h5py.File(path)) for path in paths]
            with writing_run(self.folder, metadata) as (spikes, run):
                for label in self._network.layout.populations:
                    add_spikes(spikes, label, np.empty(0), np.empty(0))  # a silent one is there, too
                    for times, cells in merged([part[f"spikes/{label.replace('/', '%2F')}"] for part in parts]):
                        add_spikes(spikes, label, times, cells)
                self._merge_samples(run, parts)
        for path in paths:
            path.unlink()

    def _merge_samples(self, run: h5py.File, parts: list[h5py.File]) -> None:
        places: dict[str, dict[int, tuple[int, int]]] = {}
        for rank, part in enumerate(parts):
            for column, name in enumerate(part.attrs["columns"]):
                label, gid = name.rsplit(":", 1)
                places.setdefault(label, {})[int(gid)] = rank, column
        block = max(MERGED // max(sum(map(len, places.values())), 1), 1)
        for label, found in places.items():
            gids = sorted(found)
            data = add_trace(run, label, gids, self._start_ms + self._step_ms, self._step_ms, self._samples)
            for start in range(0, self._samples, block):
                end = min(start + block, self._samples)
                held = [part["samples"][start:end] for part in parts]
                data[:, start:end] = np.array([held[found[gid][0]][:, found[gid][1]] for gid in gids])

    def _cells(self, label: str, cells: Any) -> np.ndarray:
        """gids to record, on all ranks."""
        network = self._network
        if label not in network.reduced:
            raise ModelError(f"no reduced population {label!r} to record; the network has {', '.join(network.reduced)}")
        population = network.layout.populations[label]
        found = np.arange(len(population)) if isinstance(cells, str) and cells == "all" else np.atleast_1d(cells)
        if found.size and (found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= len(population)):
            raise ModelError(
                f"cells of {label} to record are {cells!r}; expected numbers from 0 to {len(population) - 1}, or 'all'"
            )
        return found.astype(np.int64) + population.first

    def _mine(self, kind: str):
        """Population, its gids to record here and their indices."""
        for label, gids in self._chosen[kind].items():
            here = gids[gids % self._network.world.size == self._network.world.rank]
            yield self._network.reduced[label].population, here, self._network.index[here]

    def _own_columns(self) -> list[tuple[str, int]]:
        columns = [(VOLTAGE, gid) for _, gids, _ in self._mine("voltage") for gid in gids.tolist()]
        for population, gids, index in self._mine("state"):
            size = population.states(index).shape[1]
            columns += [(f"state_{k}", gid) for gid in gids.tolist() for k in range(size)]
        return columns

    def _sample(self) -> np.ndarray:
        values = [population.voltage()[index] for population, _, index in self._mine("voltage")]
        values += [population.states(index).ravel() for population, _, index in self._mine("state")]
        return np.concatenate([*values, np.empty(0, np.float32)])


def part_path(folder: Path, rank: int) -> Path:
    """Where a rank streams to."""
    return folder / f"recording-{rank}.part.h5"


def merged(groups: list[h5py.Group], block: int = MERGED):
    """Spikes of several files, each sorted by time, in blocks sorted by time, then cell."""
    at, size = [0] * len(groups), max(block // len(groups), 1)
    while any(a < len(group["timestamps"]) for a, group in zip(at, groups, strict=True)):
        times = [group["timestamps"][a : a + size] for a, group in zip(at, groups, strict=True)]
        # All before the earliest end of a block that goes on are there.
        goes_on = [a + len(t) < len(group["timestamps"]) for a, t, group in zip(at, times, groups, strict=True)]
        border = min((t[-1] for t, more in zip(times, goes_on, strict=True) if more), default=np.inf)
        counts = [int(np.searchsorted(t, border)) for t in times]
        if not sum(counts):
            size *= 2  # a block of one time
            continue
        cells = [group["node_ids"][a : a + n] for a, n, group in zip(at, counts, groups, strict=True)]
        taken, cell = np.concatenate([t[:n] for t, n in zip(times, counts, strict=True)]), np.concatenate(cells)
        order = np.lexsort((cell, taken))
        yield taken[order], cell[order]
        at = [a + n for a, n in zip(at, counts, strict=True)]
