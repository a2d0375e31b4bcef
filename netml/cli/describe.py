"""netml describe"""

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="NetPyNE project folder, e.g. models/cortex")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the page")] = Path("circuit-report"),
    ranks: Annotated[int | None, typer.Option(help="MPI ranks of the network's run")] = None,
    duration: Annotated[float, typer.Option(help="Length of the network's run, ms")] = 1000.0,
    seed: Annotated[int | None, typer.Option(help="Seed of the background input")] = None,
    engine: Annotated[str, typer.Option(help="coreneuron or neuron")] = "coreneuron",
    build: Annotated[str, typer.Option(help="fast or exact")] = "fast",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A value of the model's cfg, e.g. circuit=column"),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="A finished run of the circuit, instead of a new one")] = None,
    skip: Annotated[float | None, typer.Option(help="Start of the run that does not count, ms")] = None,
) -> None:
    """One HTML page on a circuit: morphologies, f-I, what single spikes do, raster and rates by layer and type."""
    from netml.circuit.project import parse_settings
    from netml.report import circuit_report
    from netml.report.tables import show
    from netml.stages.describe import describe

    result = describe(
        model, output, ranks=ranks, duration=duration, seed=seed, cfg=parse_settings(settings or []), engine=engine,
        build=build, run=run, skip_ms=skip,
    )  # fmt: skip
    show(circuit_report.tables(result))
    typer.echo(f"report: {result['report']}\nJSON:   {result['json']}")
