"""A shard of records, opened and checked: what its datasets are, and where the trials lie in them."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from netml import keys
from netml.errors import RecordsError
from netml.hdf5 import column, reading
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

    def trial(self, row: int, cell: CellInfo) -> Trial:
        """One trial, checked.

        Raises:
            RecordsError: Damaged data, or data unfit for learning (see :meth:`Trial.check`).
        """
        inside = {group: slice(*ptr[row : row + 2].tolist()) for group, ptr in self.ptr.items()}
        with reading(self.path, RecordsError, REMEDY) as file:
            current = {}
            if "current" in inside:
                current = {"current_time": file["current/time"][inside["current"]],
                           "current_na": file["current/amplitude"][inside["current"]]}  # fmt: skip
            trial = Trial(
                kind=self.kind[row],
                gid=int(self.gid[row]),
                seed=int(self.seed[row]),
                duration_ms=float(self.duration_ms[row]),
                event_time=file["events/time"][inside["events"]],
                event_synapse_site=file["events/channel"][inside["events"]],
                event_weight=file["events/weight"][inside["events"]],
                spike_time=file["spikes/time"][inside["spikes"]],
                voltage={probe: file[f"voltage/{probe}"][inside["voltage"]] for probe in cell.probes},
                **current,
            )
        try:
            trial.check(cell)
        except RecordsError as error:
            raise RecordsError(f"{self.path}, {error}") from error
        return trial


def _sizes(file: h5py.File, probes) -> dict[str, int]:
    """Length of every dataset, each of the type that ``keys`` declares."""
    sizes = {}
    for name, quantity in keys.RECORDS.items():
        if name.startswith("current/") and "current" not in file:
            continue
        for probe in probes if "<site>" in name else [""]:
            own = name.replace("<site>", probe)
            sizes[own] = column(file, own, quantity.dtype).shape[0]
    return sizes


def _expect(name: str, found: int, expected: int, whose: str) -> None:
    if found != expected:
        raise ValueError(f"{name} has {found} entries; expected {expected}, by {whose}")
