"""`netml record MODEL`: recordings to learn from."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="NetPyNE project folder, e.g. models/cortex")],
    population: Annotated[
        list[str],
        typer.Option(
            "--population",
            "-p",
            help="Whose cells are recorded. May be given several times: all from the same runs, "
            "each into a folder of its name. A+B: two of one type of cell, as one.",
        ),
    ],
    cells: Annotated[str | None, typer.Option(help="How many of their cells, or gids: 3,7,12. By default all.")] = None,
    ranks: Annotated[int | None, typer.Option(help="MPI ranks (1); inside mpirun leave it out.")] = None,
    preset: Annotated[
        str, typer.Option(help="How much: 'demo' (minutes) or 'default' (for a reduction to keep).")
    ] = "default",
    network_trials: Annotated[int | None, typer.Option(help="Runs of the network, each with its own seed.")] = None,
    protocol_trials: Annotated[int | None, typer.Option(help="Trials of single cells under random input.")] = None,
    current_trials: Annotated[
        int | None, typer.Option(help="Trials with currents into the soma; one for five protocol trials.")
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            help="Kinds of the protocol trials, in turn: weights,moved,crowded,volleys,dense; shuffled is the "
            "network's own input, put together anew, paused the same with a pause."
        ),
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Length of every trial in ms.")] = None,
    seed: Annotated[int, typer.Option(help="First seed; network run k takes seed + k.")] = 1,
    dt: Annotated[float | None, typer.Option(help="Time step in ms; by default the model's.")] = None,
    probe: Annotated[
        list[str] | None,
        typer.Option("--probe", "--site", help="A further voltage, label=section:loc; may be given several times."),
    ] = None,
    engine: Annotated[str, typer.Option(help="'coreneuron' or 'neuron'.")] = "coreneuron",
    build: Annotated[str, typer.Option(help="'fast', or 'exact': same records on any number of ranks.")] = "fast",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value of the model's cfg")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the records.")] = Path("records"),
    overwrite: Annotated[bool, typer.Option(help="Replace records that are there.")] = False,
    extend: Annotated[bool, typer.Option("--extend", help="Add the trials to records that are there.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar on a terminal.")] = True,
) -> None:
    """Record what chosen cells of a model receive and do, in its network and alone under random input."""
    from netml.circuit.project import parse_settings
    from netml.engine.ranks import mpi
    from netml.engine.recording.record import parse_cells, parse_probe, record
    from netml.errors import LaunchError

    launched = mpi.launched_size()
    if launched is not None:  # it starts ranks several times: the first of those that mpirun started does, for all
        if ranks not in (None, launched):
            raise LaunchError(
                f"asked for {ranks} ranks inside mpirun, which started {launched}; leave --ranks out there"
            )
        if not mpi.is_first():
            return
        mpi.leave()
    made = record(
        model,
        population=population,
        cells=parse_cells(cells),
        ranks=ranks or launched or 1,
        preset=preset,
        network_trials=network_trials,
        protocol_trials=protocol_trials,
        current_trials=current_trials,
        kinds=kinds.split(",") if kinds else None,
        duration=duration,
        seed=seed,
        dt=dt,
        probes=dict(map(parse_probe, probe or [])),
        engine=engine,
        build=build,
        cfg=parse_settings(settings or []),
        output=output,
        overwrite=overwrite,
        extend=extend,
        progress=progress,
    )
    for folder in [made] if len(population) == 1 else [made / one for one in population]:
        print(folder)
