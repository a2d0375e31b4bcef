"""A shard of records, opened and checked: what its datasets are, and where the trials lie in them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from netml import keys
from netml.errors import RecordsError
from netml.hdf5 import column, damage, reading
from netml.records.trial import CellInfo, Trial

REMEDY = "record again"


@dataclass(frozen=True)
class Shard:
    """The trials of one file.

    Attributes:
        path: The file.
        kind, gid, seed, duration_ms: By trial.
        ptr: By group, first entry of each trial and the end; ``current`` is missing in records of earlier netml.
    """

    path: Path
    kind: list[str]
    gid: np.ndarray
    seed: np.ndarray
    duration_ms: np.ndarray
    ptr: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.kind)

    def counts(self, group: str) -> np.ndarray:
        """(trials) how many entries each has in a group."""
        return np.diff(self.ptr[group]) if group in self.ptr else np.zeros(len(self), np.int64)

    @classmethod
    def read(cls, path: Path, probes, trials: int) -> "Shard":
        """Open and check a file; events, spikes and voltages are checked with each trial.

        Args:
            path: Of the file.
            probes: Names of the recorded probes.
            trials: How many the index says that there are.

        Raises:
            RecordsError: Damaged, or not as the index says.
        """
        with reading(path, RecordsError, REMEDY) as file:
            sizes = _sizes(file, probes)
            groups = [group for group in ("events", "current", "spikes", "voltage") if f"{group}/ptr" in sizes]
            for name, size in sizes.items():
                if name.startswith("trial/") or name.endswith("/ptr"):
                    _expect(name, size, trials + name.endswith("/ptr"), "the index")
            kind = list(file["trial/kind"].asstr()[:])
            gid, seed, duration = (file[f"trial/{name}"][:] for name in ("gid", "seed", "duration"))
            ptr = {group: file[f"{group}/ptr"][:] for group in groups}
            for name, size in sizes.items():
                if (group := name.split("/")[0]) in groups and not name.endswith("/ptr"):
                    _expect(name, size, int(ptr[group][-1]), f"{group}/ptr")
            for group in groups:
                if ptr[group][0] != 0 or (np.diff(ptr[group]) < 0).any():
                    raise ValueError(f"{group}/ptr does not rise from 0")
            if not ((duration > 0) & (duration < 2**53)).all():
                raise ValueError("trial/duration holds numbers that are no time above 0 ms")
            if (gid < -1).any():
                raise ValueError("trial/gid holds numbers below -1")
            if (np.diff(ptr["voltage"]) != np.rint(duration) + 1).any():
                raise ValueError("voltage/ptr gives a trial another number of samples than its duration, one a ms")
        return cls(path, kind, gid, seed, duration, ptr)

    @contextmanager
    def opened(self, probes) -> Iterator[dict[str, h5py.Dataset]]:
        """Its datasets by name, to read trials from; each keeps the chunk that it unpacked last."""
        with reading(self.path, RecordsError, REMEDY) as file:
            yield {name: file[name] for name, _ in _datasets(file, probes)}

    def trial(self, data: Mapping[str, h5py.Dataset], row: int, cell: CellInfo) -> Trial:
        """One trial, checked, from the datasets of :meth:`opened`.

        Raises:
            RecordsError: Damaged data, or data unfit for learning (see :meth:`Trial.check`).
        """
        inside = {group: slice(*ptr[row : row + 2].tolist()) for group, ptr in self.ptr.items()}
        with damage(self.path, RecordsError, REMEDY):
            current = {}
            if "current" in inside:
                current = {"current_time": data["current/time"][inside["current"]],
                           "current_na": data["current/amplitude"][inside["current"]]}  # fmt: skip
            trial = Trial(
                kind=self.kind[row],
                gid=int(self.gid[row]),
                seed=int(self.seed[row]),
                duration_ms=float(self.duration_ms[row]),
                event_time=data["events/time"][inside["events"]],
                event_synapse_site=data["events/channel"][inside["events"]],
                event_weight=data["events/weight"][inside["events"]],
                spike_time=data["spikes/time"][inside["spikes"]],
                voltage={probe: data[f"voltage/{probe}"][inside["voltage"]] for probe in cell.probes},
                **current,
            )
        try:
            trial.check(cell)
        except RecordsError as error:
            raise RecordsError(f"{self.path}, {error}") from error
        return trial


def _sizes(file: h5py.File, probes) -> dict[str, int]:
    """Length of every dataset, each of the type that ``keys`` declares."""
    return {name: column(file, name, dtype).shape[0] for name, dtype in _datasets(file, probes)}


def _datasets(file: h5py.File, probes) -> Iterator[tuple[str, str]]:
    """Names of those that there must be, and their types."""
    for name, quantity in keys.RECORDS.items():
        if name.startswith("current/") and "current" not in file:
            continue
        for probe in probes if "<site>" in name else [""]:
            yield name.replace("<site>", probe), quantity.dtype


def _expect(name: str, found: int, expected: int, whose: str) -> None:
    if found != expected:
        raise ValueError(f"{name} has {found} entries; expected {expected}, by {whose}")
