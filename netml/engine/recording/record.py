"""`record`: network runs, then the protocol of each population, one launch each, into a folder of records each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from netml.circuit.project import find_project
from netml.deprecation import renamed_arguments
from netml.engine.circuit.run import SimulateConfig
from netml.engine.ranks import mpi
from netml.engine.ranks.launch import launch
from netml.engine.recording.earlier import Earlier
from netml.engine.recording.sampling import whole_milliseconds
from netml.engine.recording.tasks import NetworkJob, NetworkResult, ProtocolJob, record_network, record_protocol
from netml.errors import LaunchError, ModelError, RecordsError
from netml.plain import plain_arguments
from netml.records import write_index
from netml.records.folder import prepare, recording
from netml.stimuli.random_input import FROM_NETWORK, KINDS, TURNS

#: Network runs, protocol trials, ms a trial. models/cortex has 40 pyramidal cells: 5 and 31 minutes of one cell.
PRESETS = {"demo": (2, 40, 2500.0), "default": (12, 120, 3000.0)}
#: What the first run of the network says of all records.
FROM_THE_RUN = ("model", "engine", "build", "ranks", "dt_ms", "duration_ms", "cfg", "mechanisms", "versions")


@plain_arguments
@renamed_arguments(sites="probes")
def record(
    model: str | Path,
    *,
    population: str | Sequence[str],
    cells: int | list[int] | None = None,
    ranks: int = 1,
    preset: str = "default",
    network_trials: int | None = None,
    protocol_trials: int | None = None,
    current_trials: int | None = None,
    kinds: Sequence[str] | None = None,
    duration: float | None = None,
    seed: int = 1,
    dt: float | None = None,
    probes: Mapping[str, tuple[str, float]] | None = None,
    engine: str = "coreneuron",
    build: str = "fast",
    cfg: Mapping[str, Any] | None = None,
    output: str | Path = "records",
    overwrite: bool = False,
    extend: bool = False,
    progress: bool = True,
) -> Path:
    """Record what cells receive and do, in runs of the network and alone under random input.

    Args:
        model: Project folder, its index.npjson, or a model that travels with netml ("models/cortex").
        population: Whose cells. Several populations are recorded from the same network runs, each into a folder of its
            name. Populations of one type of cell share records, and a reduction, where they are joined: "PV23+PV5".
        cells: How many of each, or their gids (of one population); all by default.
        ranks: MPI ranks to start.
        preset: "demo" (2 network trials, 40 protocol trials, 2500 ms each) or "default" (12, 120, 3000 ms): what
            network_trials, protocol_trials and duration are where not given.
        network_trials: Runs of the network; run k has seed + k.
        protocol_trials: Trials of single cells; see netml/records/README.md for the kinds.
        current_trials: Trials of single cells with currents into the soma; by default one for five protocol trials.
        kinds: Of the protocol trials, in turn (see netml/records/README.md); by default those that train a reduction.
        duration: Length of every trial, whole ms.
        seed: First seed of the background (cfg.seeds["stim"]) and of the protocol.
        dt: Time step, ms; the model's by default.
        probes: Voltages besides the soma's: label -> (section, loc); loc is 0 to 1.
        engine: "coreneuron", which takes the least time, or "neuron"; as in :func:`netml.simulate`.
        build: "fast", or "exact", which gives the same records on any number of ranks.
        cfg: Further cfg values by dotted name.
        output: Folder of the records; of several populations, of their folders.
        overwrite: Replace records that are there.
        extend: Add the trials to records that are there, of the same cell; the seeds go on behind theirs, and trials
            keep their part in training, validation or test. Without network trials, those that are there give what
            single cells get.
        progress: Show it, where standard error is a terminal.

    Returns:
        The folder of the records; of several populations the folder in which each has one of its name.

    Raises:
        ModelError: Unknown population, cells, probe; joined populations of different cells; numbers that do not fit.
        RecordsError: Records, or other files, are there already; those to extend are of another cell, or damaged.
        OutputError: The folder cannot be written.
        LaunchError: More ranks than cells or trials; a rank died. Earlier records are still there then.
        CompileError: The mod files do not compile.

    Example:
        >>> netml.record("models/cortex", population="PYR", ranks=2)  # into the folder "records"
        >>> netml.record("models/cortex", population=["PYR", "PV"], preset="demo", output="both")  # both/PYR, both/PV
    """
    if preset not in PRESETS:
        raise ModelError(f"unknown preset {preset!r}; expected {' or '.join(PRESETS)}")
    preset_runs, preset_trials, preset_duration = PRESETS[preset]
    runs = preset_runs if network_trials is None else network_trials
    trials = preset_trials if protocol_trials is None else protocol_trials
    current_trials = trials // 5 if current_trials is None else current_trials
    folders = _folders(population, cells, Path(output))
    earlier = {one: before for one, folder in folders.items() if extend and (before := Earlier.found(folder))}
    if earlier and len(earlier) < len(folders):
        missing = ", ".join(str(folder) for one, folder in folders.items() if one not in earlier)
        raise RecordsError(f"{missing} holds no records to extend, others do; record it without them first")
    _check(runs, trials, current_trials, cells, ranks, bool(earlier))
    seed = max([seed, *(before.next_seed for before in earlier.values())])
    first_shard = max([0, *(before.next_shard for before in earlier.values())])
    if taken := [label for label in probes or {} if label in ("soma", "ptr") or "/" in label or not label]:
        raise ModelError(f"site label {taken[0]!r} has a meaning of its own in records; choose another, without /")
    kinds = tuple(kinds or TURNS)
    if unknown := set(kinds) - {*KINDS, *FROM_NETWORK}:
        known = ", ".join((*KINDS, *FROM_NETWORK))
        raise ModelError(f"unknown kind of protocol {', '.join(sorted(unknown))}; known: {known}")
    project = find_project(model)
    config = SimulateConfig(
        model=str(model),
        duration=whole_milliseconds(preset_duration if duration is None else duration),
        seed=seed,
        dt=dt,
        engine=engine,
        build=build,
        cfg=dict(cfg or {}),
        progress=progress,
    )
    folders = {one: prepare(folder, overwrite or one in earlier) for one, folder in folders.items()}
    with ExitStack() as stack:
        stack.callback(_remove_empty, Path(output))
        made = {one: stack.enter_context(recording(folder, one in earlier)) for one, folder in folders.items()}
        found: list[NetworkResult] = []
        for run in range(runs):
            job = NetworkJob(
                config=replace(config, seed=seed + run),
                folders={one: str(folder) for one, folder in made.items()},
                first_shard=first_shard + run * ranks,
                cells=cells,
                probes=dict(probes or {}),
                earlier={one: (str(before.records.folder), before.records.cell) for one, before in earlier.items()},
                label=f"network {run + 1} of {runs}",
            )
            found.append(launch(record_network, job, ranks=ranks, progress=progress))
            config = replace(config, engine=found[0].metadata["engine"])  # NEURON, if CoreNEURON did not take the model
        about = {
            "seeds": [seed + run for run in range(runs)],
            "project": project.name,
            "network_trials": runs,
            "protocol_trials": trials,
            "current_trials": current_trials,
            "protocol_seed": seed,
            "protocol_kinds": sorted(set(kinds)),
        }
        if found:
            about = {key: found[0].metadata[key] for key in FROM_THE_RUN} | about
        for one, folder in made.items():
            before = earlier.get(one)
            if before and not found:
                config = replace(config, engine=before.records.provenance.get("engine", engine))
            cell = found[0].cells[one] if found else earlier[one].records.cell
            if trials + current_trials:
                drives = [run.drives[one] for run in found] + ([before.drive] if before else [])
                alone = ProtocolJob(
                    config=config,
                    folder=str(folder),
                    population=one,
                    first_shard=first_shard + runs * ranks,
                    cell=cell,
                    trials=trials,
                    current_trials=current_trials,
                    kinds=kinds,
                    label="single cells" if len(made) == 1 else f"single cells of {one}",
                    drive=reduce(add, drives),
                    earlier=str(before.records.folder) if before else None,
                )
                launch(record_protocol, alone, ranks=ranks, progress=progress)
            if before:
                write_index(folder, cell, before.provenance(about), before.records.shards)
            else:
                write_index(folder, cell, about | {"population": one})
    return Path(output)


def _folders(population: str | Sequence[str], cells: int | list[int] | None, output: Path) -> dict[str, Path]:
    """Where the records of each population go."""
    populations = [population] if isinstance(population, str) else list(population)
    if not populations or len(set(populations)) < len(populations):
        raise ModelError(f"populations to record are {populations}; expected one or more, each once")
    if len(populations) == 1:
        return {populations[0]: output}
    if isinstance(cells, list):
        raise ModelError("gids to record are of one population; give a number of cells, or one population")
    if unfit := [one for one in populations if Path(one).name != one]:
        raise ModelError(f"population {unfit[0]!r} cannot name a folder; record it without others")
    return {one: output / one for one in populations}


def _remove_empty(folder: Path) -> None:
    """After a failure nothing is left where nothing was."""
    with suppress(OSError):
        folder.rmdir()


def _check(
    runs: int, trials: int, current_trials: int, cells: int | list[int] | None, ranks: int, extending: bool
) -> None:
    size = mpi.launched_size()
    if size is not None and size > 1:
        raise LaunchError("record starts its own ranks, several times; call it outside mpirun, with --ranks")
    if ranks < 1:
        raise LaunchError(f"ranks is {ranks}; expected 1 or more")
    if runs < (not extending) or min(trials, current_trials) < 0 or not runs + trials + current_trials:
        raise ModelError(
            f"{runs} network, {trials} protocol and {current_trials} current trials asked for; expected at least 1 "
            f"network trial (the protocol takes its rates and weights from it) and 0 or more of the others"
        )
    if (single := trials + current_trials) and ranks > single:
        raise LaunchError(f"{ranks} ranks are more than the {single} protocol trials; use --ranks {single} or fewer")
    wanted = 1 if cells is None else cells if isinstance(cells, int) else len(cells)
    if wanted < 1:
        raise ModelError("no cells to record; give a number from 1 or gids")


def parse_cells(text: str | None) -> int | list[int] | None:
    """The command line's cells: "5" is a number, "3,7" or "3," are gids.

    Raises:
        ModelError: Neither.
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",") if part.strip()] if "," in text else int(text)
    except ValueError:
        raise ModelError(f"cells is {text!r}; expected a number, or gids as 3,7,12 (one gid: 3,)") from None


def parse_probe(text: str) -> tuple[str, tuple[str, float]]:
    """The command line's label=section:loc.

    Raises:
        ModelError: Of another form.
    """
    label, equals, place = text.partition("=")
    section, colon, loc = place.rpartition(":")
    try:
        if not (label and equals and section and colon):
            raise ValueError
        return label, (section, float(loc))
    except ValueError:
        raise ModelError(f"site is {text!r}; expected label=section:loc, e.g. tuft=apic_3:0.5") from None
