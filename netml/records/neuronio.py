"""Reading the public data set of the deep network of a cortical neuron ("NeuronIO") into records.

Files of D. Beniaguev, I. Segev, M. London (2021), "Single cortical neurons as deep artificial neural networks", Neuron
109, 10.1016/j.neuron.2021.07.002: pickles of Python 2, dictionaries ``Params`` and ``Results``, one file some 128
simulations of 6 s. They are read as plain data (:mod:`netml.unpickle`); nothing in them is ever run.

Two things are not in the files. Diameters of the dendrites: segments are grouped by length alone. Exact spike times:
``outputSpikeTimes`` is float16, which is 4 ms coarse at the end of a trial, so the peaks are found again in the voltage
of high resolution, where that is there and agrees. Its spikes are peaks above -25 mV, not upward crossings.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netml import unpickle
from netml.errors import RecordsError
from netml.plain import plain_arguments
from netml.progress import track
from netml.records.folder import prepare, recording
from netml.records.neuronio_cell import SPIKE_MV, cell_of
from netml.records.trial import CellInfo, Trial
from netml.records.writer import RecordWriter, write_index

KIND = "neuronio"
COMPRESSED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"BZ": "bzip2", b"\xfd7": "xz"}


@plain_arguments
def import_neuronio(
    files: Iterable[str | Path], *, output: str | Path, overwrite: bool = False, progress: bool = True
) -> Path:
    """Read files of the published data set into records.

    Args:
        files: Paths of the pickles, all of one cell.
        output: Folder of the records.
        overwrite: Replace records that are there.
        progress: Show it, where standard error is a terminal.

    Returns:
        The folder. Trials are of kind ``neuronio``; voltages at ``soma`` and, where all files have it, ``nexus``.

    Raises:
        PickleError: A file is missing, damaged, no pickle, or asks for more than plain data.
        RecordsError: A file of another layout or cell, or records are there already.
        OutputError: The folder cannot be written.

    Example:
        >>> netml.import_neuronio(["sim_0.p", "sim_1.p"], output="neuronio-records")
        >>> netml.train("neuronio-records", output="l5pc.netml")
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise RecordsError("no file to import; give one or more pickles of the data set")
    folder = prepare(Path(output), overwrite)
    refined = simulations = 0
    with recording(folder) as made, track("import", len(paths), enabled=progress) as shown:
        cell = (source := Source.read(paths[0])).cell
        for rank, path in enumerate(paths):
            source = Source.read(path) if rank else source
            if source.cell.to_dict() != cell.to_dict():
                raise RecordsError(
                    f"{path} is of another cell than {paths[0]}, or lacks its voltages; import them apart"
                )
            with RecordWriter(made, rank, cell) as writer:
                for trial, exact in source.trials(seed=rank * 1_000_000):
                    writer.add(trial)
                    refined, simulations = refined + exact, simulations + 1
            shown.update(rank + 1, path.name)
        provenance = {
            "source": "NeuronIO (Beniaguev, Segev, London 2021)", "files": [path.name for path in paths],
            "geometry": source.geometry, "trials": simulations, "trials_with_exact_spike_times": refined,
        }  # fmt: skip
        write_index(made, cell, provenance)
    return folder


@dataclass(frozen=True)
class Source:
    """One file, checked.

    Attributes:
        path: Where it lies.
        cell: What its parameters say about the cell.
        geometry: Where the tree comes from, in words.
        weights_us: Conductance of an event at the excitatory and the inhibitory synapse of a segment.
        simulations: Its simulations, as they stand in the file.
    """

    path: Path
    cell: CellInfo
    geometry: str
    weights_us: tuple[float, float]
    simulations: list

    @classmethod
    def read(cls, path: Path) -> "Source":
        """Read and check a file; see :func:`import_neuronio` for what it raises."""
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(2)
            if head in COMPRESSED:
                raise RecordsError(f"{path} is compressed ({COMPRESSED[head]}); unpack it first")
        content = unpickle.load_pickle(path)
        params, results = (_part(content, name, dict, f"{path}") for name in ("Params", "Results"))
        simulations = _part(results, "listOfSingleSimulationDicts", list, f"{path}, Results")
        if not simulations:
            raise RecordsError(f"{path} holds no simulation")
        nexus = all(isinstance(s, dict) and "nexusVoltageLowRes" in s for s in simulations)
        cell, geometry, weights = cell_of(params, str(path), nexus)
        return cls(path, cell, geometry, weights, simulations)

    def trials(self, seed: int) -> Iterator[tuple[Trial, bool]]:
        """The simulations as trials, and whether the spike times of each are exact.

        Args:
            seed: Number of the first; they need not be seeds of the simulation, but must differ.

        Raises:
            RecordsError: A simulation lacks something, or its parts do not fit each other.
        """
        for k, simulation in enumerate(self.simulations):
            where = f"{self.path}, simulation {k}"
            voltage = {"soma": _array(simulation, "somaVoltageLowRes", where)}
            samples = len(voltage["soma"])
            if "nexus" in self.cell.probes:
                voltage["nexus"] = _array(simulation, "nexusVoltageLowRes", where, samples)
            if "recordingTimeLowRes" in simulation:
                times = _array(simulation, "recordingTimeLowRes", where, samples)
                if not np.array_equal(times, np.arange(samples)):
                    raise RecordsError(f"{where}: recordingTimeLowRes is not 0, 1, ... {samples - 1} ms")
            time, synapse_site, weight = self._events(simulation, where, samples)
            spikes, exact = _spike_times(simulation, where, samples)
            duration = samples - 1.0  # the last sample stands there
            inside = time <= duration
            yield Trial(
                kind=KIND, gid=-1, seed=seed + k, duration_ms=duration, event_time=time[inside],
                event_synapse_site=synapse_site[inside], event_weight=weight[inside],
                spike_time=spikes[spikes <= duration], voltage=voltage,
            ), exact  # fmt: skip

    def _events(self, simulation: dict, where: str, samples: int):
        """Times (ms), synapse sites and weights (uS) of all events, sorted by time."""
        parts = []
        for synapse, name in enumerate(("exInputSpikeTimes", "inhInputSpikeTimes")):
            of_segment = _part(simulation, name, dict, where)
            try:
                segment = np.array(list(of_segment), np.int64)
                lists = [np.asarray(times, float).ravel() for times in of_segment.values()]
            except (ValueError, TypeError, OverflowError) as error:
                raise RecordsError(f"{where}: {name} is no mapping of segments to times in ms ({error})") from error
            dendritic = len(self.cell.segments) - 1
            time = np.concatenate([np.zeros(0), *lists])
            if segment.size and (segment.min() < 0 or segment.max() >= dendritic):
                raise RecordsError(
                    f"{where}: {name} has segments {segment.min()} to {segment.max()}; the file's parameters have "
                    f"{dendritic} segments"
                )
            if not ((time >= 0) & (time < samples)).all():
                raise RecordsError(f"{where}: {name} has times outside 0 to {samples} ms")
            synapse_site = (
                np.repeat(segment, [len(times) for times in lists]) + 1
            ) * 2 + synapse  # segment 0: the soma
            parts.append(
                (time, synapse_site.astype(np.int32), np.full(time.size, self.weights_us[synapse], np.float32))
            )
        time, synapse_site, weight = (np.concatenate(both) for both in zip(*parts, strict=True))
        order = np.lexsort((synapse_site, time))
        return time[order], synapse_site[order], weight[order]


def _part(content, name: str, kind: type, where: str):
    """An entry of a mapping, of the expected type."""
    if not isinstance(content, dict) or not isinstance(content.get(name), kind):
        found = f"has {', '.join(map(str, content))}" if isinstance(content, dict) else f"is a {type(content).__name__}"
        raise RecordsError(f"{where} lacks the {kind.__name__} {name!r} of the published data set; it {found[:300]}")
    return content[name]


def _array(simulation, name: str, where: str, size: int | None = None) -> np.ndarray:
    """One array of numbers of a simulation, float32."""
    if not isinstance(simulation, dict) or name not in simulation:
        raise RecordsError(f"{where} lacks {name!r} of the published data set")
    try:
        if np.asarray(simulation[name]).dtype.kind not in "fiub":
            raise TypeError("they are of another type")
        values = np.asarray(simulation[name], np.float32)
    except (ValueError, TypeError) as error:
        raise RecordsError(f"{where}: {name} holds no numbers ({error})") from error
    if values.ndim != 1 or values.size < 2 or (size is not None and values.size != size):
        expected = f"({size},), as somaVoltageLowRes" if size else "one number a ms"
        raise RecordsError(f"{where}: {name} has shape {values.shape}, expected {expected}")
    return values


def _spike_times(simulation, where: str, samples: int) -> tuple[np.ndarray, bool]:
    """Spike times, ms, and whether they are those of the voltage of high resolution.

    Those are taken if there is one excursion above -25 mV for each reported spike, at its time to the rounding.
    """
    if "outputSpikeTimes" not in simulation:
        raise RecordsError(f"{where} lacks 'outputSpikeTimes' of the published data set")
    try:
        reported = np.asarray(simulation["outputSpikeTimes"])
    except ValueError as error:
        raise RecordsError(f"{where}: outputSpikeTimes are no list of times ({error})") from error
    if reported.size == 0:
        return np.zeros(0), True
    if reported.ndim != 1 or reported.dtype.kind not in "fiu" or not ((reported >= 0) & (reported < samples)).all():
        raise RecordsError(f"{where}: outputSpikeTimes are no times between 0 and {samples} ms")
    coarse = np.sort(reported.astype(float))
    if {"somaVoltageHighRes", "recordingTimeHighRes"} <= set(simulation):
        voltage = _array(simulation, "somaVoltageHighRes", where)
        time = _array(simulation, "recordingTimeHighRes", where, voltage.size).astype(float)
        above = np.concatenate([[False], voltage > SPIKE_MV, [False]])
        begins, ends = (np.flatnonzero(np.diff(above.astype(int)) == sign) for sign in (1, -1))
        peaks = np.array([time[b + np.argmax(voltage[b:e])] for b, e in zip(begins, ends, strict=True)])
        rounding = np.spacing(coarse.astype(np.float16)).astype(float)
        if peaks.size == coarse.size and (np.abs(peaks - coarse) <= rounding).all():
            return peaks, True
    return coarse, bool(reported.dtype.itemsize > 2)
