"""Reading records."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from netml import keys
from netml.errors import RecordsError
from netml.records.shard import REMEDY, Shard
from netml.records.trial import CellInfo, Trial
from netml.records.writer import INDEX

HELD_OUT = (0.15, 0.15)  # parts of the trials for validation and test


class Records:
    """A folder of records; :meth:`open` reads it.

    Args:
        shards: Name and number of trials of each file, from the folder's index.

    Attributes:
        folder: Where it lies.
        cell: The recorded cell.
        provenance: Where the records come from.
        shards: As given.
        kinds: (trials) kind of each trial, str.
        durations_ms: (trials) float64, ms.
        spike_counts: (trials) int64.
        with_current: (trials) bool, which have a current into the soma.

    Example:
        >>> records = netml.Records.open("records")
        >>> len(records), records.cell.label, set(records.kinds.tolist())
        >>> records.trial(0).voltage["soma"]  # (duration + 1) mV, one a ms
    """

    def __init__(self, folder: Path, cell: CellInfo, provenance: dict, shards: list[dict]):
        self.folder, self.cell, self.provenance, self.shards = folder, cell, provenance, shards
        self._shards = [Shard.read(folder / one["file"], cell.probes, one["trials"]) for one in shards]
        place = [(shard, row) for shard in self._shards for row in range(len(shard))]
        named = [(shard.kind[row], int(shard.seed[row]), int(shard.gid[row])) for shard, row in place]
        # Sorted by kind, seed and gid: the order of trials does not depend on the number of ranks that recorded them.
        order = sorted(range(len(place)), key=lambda k: (named[k], k))
        self._place = [place[k] for k in order]
        self.kinds = np.array([named[k][0] for k in order])
        self.durations_ms = np.concatenate([shard.duration_ms for shard in self._shards])[order]
        self.spike_counts = np.concatenate([shard.counts("spikes") for shard in self._shards])[order]
        self.with_current = np.concatenate([shard.counts("current") > 0 for shard in self._shards])[order]
        added = [np.full(len(shard), one.get("extension", 0)) for shard, one in zip(self._shards, shards, strict=True)]
        self._extension = np.concatenate(added)[order]

    @classmethod
    def open(cls, folder: str | Path) -> "Records":
        """Open and check a folder.

        Args:
            folder: Path of the records.

        Raises:
            RecordsError: Not a folder of records, unfinished, of another version, damaged, or with a truncated shard.
        """
        from netml import checked
        from netml.records.schema import Index

        folder = Path(folder)
        path = folder / INDEX
        if not path.is_file():
            what = "an unfinished recording" if any(folder.glob("shard-*")) else "no records"
            raise RecordsError(f"{folder} holds {what} (no {INDEX}); make them with `netml record`")
        text = checked.contents(path, RecordsError)
        checked.check_format(text, (keys.RECORDS_FORMAT, keys.RECORDS_VERSION), str(path), RecordsError, REMEDY)
        index = checked.parse(Index, text, str(path), RecordsError, REMEDY).model_dump()
        for shard in index["shards"]:
            file = folder / shard["file"]
            size = file.stat().st_size if file.is_file() else 0
            if size != shard["bytes"]:
                raise RecordsError(f"{file} has {size} bytes, expected {shard['bytes']}: truncated; record again")
        return cls(folder, CellInfo.from_dict(index["cell"]), index["provenance"], index["shards"])

    def __len__(self) -> int:
        return len(self._place)

    def trial(self, k: int) -> Trial:
        """Read and check one trial.

        Args:
            k: Its number, from 0; trials are sorted by kind, seed and gid.

        Returns:
            The :class:`netml.records.trial.Trial`.

        Raises:
            RecordsError: Damaged data, or data unfit for learning (see :meth:`Trial.check`).
        """
        (trial,) = self.trials([k])
        return trial

    def trials(self, numbers: Iterable[int]) -> Iterator[Trial]:
        """Read and check trials one by one, each file opened once.

        Args:
            numbers: As :meth:`trial` takes them, in any order.

        Yields:
            A :class:`netml.records.trial.Trial` for each number, in their order.

        Raises:
            RecordsError: See :meth:`trial`.

        Example:
            >>> spikes = [trial.spike_time for trial in records.trials(records.split()["test"])]
        """
        with ExitStack() as stack:
            opened: dict = {}
            for k in numbers:
                shard, row = self._place[k]
                if shard.path not in opened:
                    opened[shard.path] = stack.enter_context(shard.opened(self.cell.probes))
                yield shard.trial(opened[shard.path], row, self.cell)

    def split(self, seed: int = 0, held_out: tuple[float, float] = HELD_OUT) -> dict[str, list[int]]:
        """Numbers of the trials for training, validation and test; whole trials, every kind in its share.

        Depends on the seed and the trials alone, so that train and validate agree without exchanging lists.  A trial
        keeps its part when records are extended.

        Args:
            seed: Of the choice.
            held_out: Parts of the trials for validation and test, each 0 to 1.

        Returns:
            Numbers in ascending order, of "train", "validation" and "test".

        Raises:
            RecordsError: Too few trials to give each part one.

        Example:
            >>> test = list(records.trials(records.split(seed=0)["test"]))
        """
        parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
        first = {kind: int(self._extension[self.kinds == kind].min()) for kind in set(self.kinds.tolist())}
        for i, kind in enumerate(sorted(first, key=lambda kind: (first[kind], kind))):
            total = 0
            taken = [0, 0]  # by validation and test
            for extension in np.unique(self._extension):
                own = np.flatnonzero((self.kinds == kind) & (self._extension == extension))
                drawn = [seed, i] if extension == 0 else [seed, i, int(extension)]
                trials = np.random.default_rng(drawn).permutation(own)
                total += trials.size
                wanted = [max(1, round(f * total)) if total >= 3 else 0 for f in held_out]
                held = [max(0, want - had) for want, had in zip(wanted, taken, strict=True)]
                validation, test, train = np.split(trials, np.minimum(np.cumsum(held), trials.size))
                taken = [taken[0] + validation.size, taken[1] + test.size]
                parts["validation"] += validation.tolist()
                parts["test"] += test.tolist()
                parts["train"] += train.tolist()
        if empty := [name for name, trials in parts.items() if not trials]:
            raise RecordsError(
                f"{self.folder} holds {len(self)} trials, too few to give {' and '.join(empty)} one; record at least 3 "
                f"of a kind"
            )
        return {name: sorted(trials) for name, trials in parts.items()}
