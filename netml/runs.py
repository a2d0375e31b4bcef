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
from netml.hdf5 import OutputFile

SPIKES, RUN = "spikes.h5", "run.h5"
SONATA_MAGIC, SONATA_VERSION = 0x0A7A, (0, 1)
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
                run.attrs.update(format=keys.RUN_FORMAT, version=keys.RUN_VERSION, metadata=json.dumps(metadata))
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
        folder = Path(folder)
        if not (folder / RUN).is_file():
            what = "an unfinished run" if folder.is_dir() else "no run"
            raise RunError(f"{folder} is {what} (no {RUN}); `netml simulate MODEL --output {folder.name}` makes one")
        try:
            with h5py.File(folder / RUN) as file:
                version = (file.attrs["format"], int(file.attrs["version"]))
                if version != (keys.RUN_FORMAT, keys.RUN_VERSION):
                    raise RunError(f"{folder} has run format {version}; this netml reads {keys.RUN_FORMAT!r} version "
                                   f"{keys.RUN_VERSION}")  # fmt: skip
                metadata = json.loads(file.attrs["metadata"])
                traces = {
                    unquote(label): (
                        data.attrs["gids"],
                        float(data.attrs["start_ms"]),
                        float(data.attrs["step_ms"]),
                        data[:],
                    )
                    for label, data in file.get("traces", {}).items()
                }
            with h5py.File(folder / SPIKES) as file:
                groups = file.get("spikes", {})
                spikes = {
                    unquote(name): (g["timestamps"][:], g["node_ids"][:].astype(np.int64)) for name, g in groups.items()
                }
        except (OSError, KeyError, ValueError) as error:
            if isinstance(error, RunError):
                raise
            raise RunError(f"{folder} is damaged ({error}); simulate it again") from error
        return cls(folder, metadata, traces, spikes)
