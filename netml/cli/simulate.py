"""`netml simulate`: run a model under MPI."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="NetPyNE project folder, e.g. models/cortex")],
    ranks: Annotated[int | None, typer.Option(help="MPI ranks; inside mpirun leave it out")] = None,
    duration: Annotated[float | None, typer.Option(help="Length of the run, ms (the model's)")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the background input; the circuit stays the same")] = None,
    dt: Annotated[float | None, typer.Option(help="Time step, ms (the model's)")] = None,
    engine: Annotated[str, typer.Option(help="neuron or coreneuron")] = "neuron",
    build: Annotated[str, typer.Option(help="exact (same spikes on any number of ranks) or fast")] = "exact",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run folder (a new netml-runs/MODEL-NNN)")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A value of the model's cfg, e.g. hParams.celsius=30"),
    ] = None,
    swap: Annotated[
        list[str] | None, typer.Option(metavar="POP=FILE", help="Run a population as the reduction in a .netml file")
    ] = None,
    fraction: Annotated[float, typer.Option(help="Share of each swapped population to reduce, 0 to 1")] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a finished run in --output")] = False,
) -> None:
    """Run a NetPyNE project in NEURON or CoreNEURON under MPI; leaves spikes (SONATA) and traces in a run folder."""
    from netml.circuit.project import parse_settings
    from netml.engine.circuit.simulate import simulate
    from netml.engine.ranks.mpi import is_first
    from netml.errors import ModelError

    reductions = {}
    for word in swap or []:
        population, equals, path = word.partition("=")
        if not (population and equals and path):
            raise ModelError(f"--swap {word!r} is not POP=FILE, e.g. --swap PYR=pyr.netml")
        reductions[population] = path
    folder = simulate(
        model, ranks=ranks, duration=duration, seed=seed, dt=dt, engine=engine, build=build, output=output,
        cfg=parse_settings(settings or []), reductions=reductions, fraction=fraction, overwrite=overwrite,
    )  # fmt: skip
    if is_first():
        print(folder)
