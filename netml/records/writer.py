"""Writing records: one HDF5 shard a rank, then the index over them."""

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from netml import keys
from netml.errors import RecordsError
from netml.files import replacing
from netml.hdf5 import OutputFile
from netml.plain import to_json
from netml.records.trial import CellInfo, Trial

INDEX = "index.json"


def shard_name(rank: int) -> str:
    return f"shard-{rank:04d}.h5"


class RecordWriter:
    """Appends trials to one rank's shard.

    The shard grows in a temporary file and takes its name when closed, so that a name means a whole file.
    """

    def __init__(self, folder, rank: int, cell: CellInfo):
        self.cell = cell
        self.path = Path(folder) / shard_name(rank)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = self.path.with_name(self.path.name + ".partial")
        self._file = OutputFile(self._temporary)
        self._file.attrs.update(format=keys.RECORDS_FORMAT, version=keys.RECORDS_VERSION)
        for name, quantity in keys.RECORDS.items():
            if "<site>" not in name:
                self._create(name, quantity)
        for probe in cell.probes:
            self._create(f"voltage/{probe}", keys.RECORDS["voltage/<site>"])
        for name in ("events/ptr", "current/ptr", "spikes/ptr", "voltage/ptr"):
            self._append(name, [0])
        self.trials = 0

    def _create(self, name: str, quantity: keys.Quantity) -> None:
        dtype = h5py.string_dtype() if quantity.dtype == "str" else np.dtype(quantity.dtype)
        packed = {} if quantity.dtype == "str" else {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        chunk = 1024 if quantity.shape.startswith("(trials") else 65536
        data = self._file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(chunk,), **packed)
        data.attrs.update(unit=quantity.unit, shape=quantity.shape, meaning=quantity.meaning)

    def _append(self, name: str, values) -> None:
        data = self._file[name]
        start = data.shape[0]
        data.resize((start + len(values),))
        data[start:] = values

    def add(self, trial: Trial) -> None:
        """Append one trial.

        Raises:
            RecordsError: The trial does not fit (see :meth:`Trial.check`) or lacks a probe of the cell.
            OSError: The disk takes no more.
        """
        trial.check(self.cell)
        if absent := set(self.cell.probes) - set(trial.voltage):
            raise RecordsError(f"trial lacks the voltage at {', '.join(sorted(absent))}")
        for name in ("kind", "gid", "seed"):
            self._append(f"trial/{name}", [getattr(trial, name)])
        self._append("trial/duration", [trial.duration_ms])
        self._append("events/time", trial.event_time)
        self._append("events/channel", trial.event_synapse_site)
        self._append("events/weight", trial.event_weight)
        self._append("current/time", trial.current_time)
        self._append("current/amplitude", trial.current_na)
        self._append("spikes/time", trial.spike_time)
        for probe in self.cell.probes:
            self._append(f"voltage/{probe}", trial.voltage[probe])
        voltage = next(iter(self.cell.probes))
        for group, data in (("events", "time"), ("current", "time"), ("spikes", "time"), ("voltage", voltage)):
            self._append(f"{group}/ptr", [self._file[f"{group}/{data}"].shape[0]])
        self._file.check()
        self.trials += 1

    def close(self) -> None:
        """Finish the shard and give it its name."""
        self._file.close()
        os.replace(self._temporary, self.path)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.close()
            else:
                self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)


def shards_of(folder: Path) -> list[dict]:
    """Name, trials and bytes of every finished shard."""
    shards = []
    for path in sorted(folder.glob("shard-*.h5")):
        with h5py.File(path) as file:
            shards.append({"file": path.name, "trials": file["trial/gid"].shape[0], "bytes": path.stat().st_size})
    return shards


def write_index(folder, cell: CellInfo, provenance: dict, earlier: Sequence[dict] = ()) -> Path:
    """Write ``index.json`` over the shards of a folder; with it the records are complete.

    Args:
        folder: Where all ranks have closed their shards.
        cell: The recorded cell.
        provenance: Where the records come from (model, seeds, engine, build, versions).
        earlier: Shards that these extend, as the index lists them.

    Raises:
        RecordsError: No shard, or an unfinished one.
    """
    folder = Path(folder)
    if unfinished := sorted(p.name for p in folder.glob("*.partial")):
        raise RecordsError(f"{folder} holds unfinished shards ({', '.join(unfinished)}): a rank failed; record again")
    if not (shards := shards_of(folder)):
        raise RecordsError(f"{folder} holds no shard")
    if earlier:
        extension = 1 + max(shard.get("extension", 0) for shard in earlier)
        shards = [shard | {"extension": extension} for shard in shards]
    index = {
        "format": keys.RECORDS_FORMAT,
        "version": keys.RECORDS_VERSION,
        "cell": cell.to_dict(),
        "shards": [*earlier, *shards],
        "provenance": provenance,
    }
    path = folder / INDEX
    with replacing(path) as temporary:
        temporary.write_text(to_json(index, indent=1))
    return path
