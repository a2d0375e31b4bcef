"""netml compare"""

from pathlib import Path
from typing import Annotated

import typer


def command(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="The reference, a folder of netml simulate.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The run compared with it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report; RUN_B-comparison by default.")
    ] = None,
    floor: Annotated[
        list[Path] | None, typer.Option(help="Detailed run, another seed: noise floor; may be repeated.")
    ] = None,
    skip: Annotated[
        float | None, typer.Option(min=0, help="Start that does not count, ms; 200, or less in a short run.")
    ] = None,
    bin_ms: Annotated[float, typer.Option("--bin", min=1, help="Bins in which pairs are correlated, ms.")] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of tables.")] = False,
):
    """Compare two runs of a circuit: rates, CV, correlations, spectra, run time."""
    from netml.cli.report import show
    from netml.report import network_report
    from netml.stages.compare import compare

    folder = output or run_b.with_name(f"{run_b.name}-comparison")
    result = compare(run_a, run_b, output=folder, floor=floor or (), skip_ms=skip, bin_ms=bin_ms)
    show(result, network_report.tables(result), json)
