"""A run's folder: ``spikes.h5`` in SONATA's layout, and ``run.h5`` with traces and metadata.

``run.h5`` is written last and named last; a folder with it is a finished run.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import h5py
import numpy as np

from netml import keys
from netml.errors import RunError
from netml.files import replacing
from netml.hdf5 import OutputFile, column, reading
from netml.plain import to_json

SPIKES, RUN = "spikes.h5", "run.h5"
SONATA_MAGIC, SONATA_VERSION = 0x0A7A, (0, 1)
REMEDY = "simulate it again"
LAST_STEP_MS = 1.0  # a run's last step may pass its duration by a part of it
SORTING = {"none": 0, "by_id": 1, "by_time": 2}


def write_run(folder: str | Path, metadata: dict, spikes: dict, traces: dict | None = None) -> Path:
    """Write a finished run.

    Args:
        folder: Made if it is not there; files of an earlier run in it are replaced.
        metadata: JSON-able; ``populations`` maps a population to its ``size``, ``gids``, ``cell_model``, ``reduced``.
        spikes: Population -> (times in ms, node ids).  A node id counts from 0 within its population.  "/" in a name
            is written as %2F, as HDF5 has no other way.
        traces: Label -> (gids (cells), first time in ms, step in ms, values (cells, samples)).

    Raises:
        RunError: The folder cannot be written.
    """
    with writing_run(folder, metadata) as (spikes_file, run_file):
        for population, (times, node_ids) in spikes.items():
            times, node_ids = np.asarray(times, float), np.asarray(node_ids, np.uint64)
            order = np.lexsort((node_ids, times))
            add_spikes(spikes_file, population, times[order], node_ids[order])
        for label, (gids, start, step, values) in (traces or {}).items():
            add_trace(run_file, label, gids, start, step, np.shape(values)[1])[:] = values
    return Path(folder)


@contextmanager
def writing_run(folder: str | Path, metadata: dict) -> Iterator[tuple[h5py.File, h5py.File]]:
    """Open files for a run's spikes (:func:`add_spikes`) and traces (:func:`add_trace`), to be written part by part.

    The run is finished where the block ends without an error; until then an earlier one in the folder stays.

    Raises:
        RunError: The folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / RUN) as run_path, replacing(folder / SPIKES) as spikes_path:
            with OutputFile(run_path) as run, OutputFile(spikes_path) as spikes:
                run.attrs.update(format=keys.RUN_FORMAT, version=keys.RUN_VERSION, metadata=to_json(metadata))
                spikes.attrs["magic"] = np.uint32(SONATA_MAGIC)
                spikes.attrs["version"] = np.array(SONATA_VERSION, np.uint32)
                yield spikes, run
            (folder / RUN).unlink(missing_ok=True)  # both are whole: only now does an earlier run go
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error  # what HDF5 says has many lines
        raise RunError(f"cannot write the run to {folder}: {why}") from error


def add_spikes(file: h5py.File, population: str, times: np.ndarray, node_ids: np.ndarray) -> None:
    """Append spikes of a population, sorted by time and later than those before."""
    path = f"spikes/{_escaped(population)}"
    if path not in file:
        group = file.create_group(path)
        group.attrs.create("sorting", SORTING["by_time"], dtype=h5py.enum_dtype(SORTING, basetype="u1"))
        for name, dtype in (("timestamps", np.float64), ("node_ids", np.uint64)):
            group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(4096,))
        group["timestamps"].attrs["units"] = "ms"
    for name, values in (("timestamps", times), ("node_ids", node_ids)):
        data = file[path][name]
        data.resize((len(data) + len(values),))
        data[len(data) - len(values) :] = values


def add_trace(file: h5py.File, label: str, gids, start_ms: float, step_ms: float, samples: int) -> h5py.Dataset:
    """Make a trace and return its dataset, float32 (cells, samples), to fill."""
    data = file.create_dataset(f"traces/{_escaped(label)}", (len(gids), samples), np.float32, compression="gzip")
    data.attrs.update(gids=np.asarray(gids, np.int64), start_ms=float(start_ms), step_ms=float(step_ms),
                      shape="(cells, samples)")  # fmt: skip
    return data


def _escaped(name: str) -> str:
    """A population's or trace's name as one HDF5 name: "/" would nest, "." is the group itself."""
    name = str(name).replace("%", "%25").replace("/", "%2F")
    return name.replace(".", "%2E") if set(name) == {"."} else name


@dataclass(frozen=True)
class Run:
    """A finished run; :meth:`open` reads it.

    Attributes:
        folder: Where it lies.
        metadata: As written.
        traces: Label -> (gids, first time in ms, step in ms, values (cells, samples)).

    Example:
        >>> run = netml.Run.open("netml-runs/cortex-001")
        >>> times_ms, cells = run.spikes("PYR")
        >>> len(times_ms) / run.populations["PYR"]["size"] / run.duration_ms * 1000  # mean rate, Hz
    """

    folder: Path
    metadata: dict
    traces: dict
    _spikes: dict

    @property
    def populations(self) -> dict:
        """By name: ``size``, ``gids``, ``cell_model`` and ``reduced``."""
        return self.metadata["populations"]

    @property
    def duration_ms(self) -> float:
        """Length of the run, ms."""
        return self.metadata["duration_ms"]

    def spikes(self, population: str) -> tuple[np.ndarray, np.ndarray]:
        """The spikes of a population, in order of time.

        Args:
            population: Its name.

        Returns:
            Times, (spikes) float64, ms; node ids, (spikes) int64, which count from 0 within the population.

        Raises:
            RunError: Unknown population.
        """
        if population not in self._spikes:
            raise RunError(f"{self.folder} has no population {population!r}; it has {', '.join(self._spikes)}")
        return self._spikes[population]

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Read a run.

        Args:
            folder: What ``netml simulate``, or a recording of a stepped network, wrote.

        Raises:
            RunError: Not a run, unfinished, damaged, or of another version.
        """
        from netml import checked
        from netml.run_schema import Metadata

        folder = Path(folder)
        if not (folder / RUN).is_file():
            what = "an unfinished run" if folder.is_dir() else "no run"
            raise RunError(f"{folder} is {what} (no {RUN}); `netml simulate MODEL --output {folder.name}` makes one")
        with reading(folder / RUN, RunError, REMEDY) as file:
            version = (file.attrs["format"], file.attrs["version"])
            if version != (keys.RUN_FORMAT, keys.RUN_VERSION):
                raise RunError(f"{folder} has run format {version}; this netml reads {keys.RUN_FORMAT!r} version "
                               f"{keys.RUN_VERSION}: {REMEDY}, or install the netml that wrote it")  # fmt: skip
            text = str(file.attrs["metadata"])
            traces = {unquote(label): _trace(file["traces"], label) for label in file.get("traces", ())}
        checked.parse(Metadata, text, f"{folder / RUN}, its metadata", RunError, REMEDY)
        metadata = json.loads(text)
        with reading(folder / SPIKES, RunError, REMEDY) as file:
            found = {unquote(name): name for name in file.get("spikes", ())}
            if found.keys() != metadata["populations"].keys():
                names = [", ".join(sorted(group)) or "none" for group in (found, metadata["populations"])]
                raise ValueError(f"it has spikes of {names[0]}; {RUN} has populations {names[1]}")
            about, duration_ms = metadata["populations"], metadata["duration_ms"]
            spikes = {
                label: _spikes(file["spikes"], name, about[label]["size"], duration_ms) for label, name in found.items()
            }
        return cls(folder, metadata, traces, spikes)


def _trace(group: h5py.Group, label: str) -> tuple[np.ndarray, float, float, np.ndarray]:
    """Gids, first time and step (ms) and values of a trace, checked."""
    data = column(group, label, np.float32, ndim=2)
    gids, values = np.asarray(data.attrs["gids"]), data[:]
    start, step = (float(data.attrs[name]) for name in ("start_ms", "step_ms"))
    if gids.shape != values.shape[:1] or gids.dtype.kind not in "iu" or (gids < 0).any():
        raise ValueError(f"trace {label} has {values.shape[0]} rows, and gids of {gids.dtype} {gids.shape}")
    if not (np.isfinite(start) and 0 < step < np.inf):
        raise ValueError(f"trace {label} has a sample from {start} ms on, every {step} ms")
    if not np.isfinite(values).all():
        raise ValueError(f"trace {label} holds NaN or infinity")
    return gids, start, step, values


def _spikes(group: h5py.Group, name: str, size: int, duration_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """Times (ms) and node ids of a population's spikes, checked."""
    if not isinstance(group.get(name), h5py.Group):
        raise ValueError(f"spikes/{name} is no group")
    times, ids = (column(group[name], *what)[:] for what in (("timestamps", np.float64), ("node_ids", np.uint64)))
    if times.shape != ids.shape:
        raise ValueError(f"spikes/{name} has {times.size} times and {ids.size} node ids")
    if times.size and not (times[0] >= 0 and times[-1] <= duration_ms + LAST_STEP_MS and (np.diff(times) >= 0).all()):
        raise ValueError(f"spikes/{name} has times that are unsorted or outside the run, 0 to {duration_ms} ms")
    if ids.size and ids.max() >= size:
        raise ValueError(f"spikes/{name} has node {ids.max()}; the population has {size} cells")
    return times, ids.astype(np.int64)
