"""netml demo"""

from pathlib import Path
from typing import Annotated

import typer


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything that is made.")] = Path(
        "netml-demo"
    ),
    ranks: Annotated[int | None, typer.Option(min=1, help="MPI ranks; by default the cores, at most 4.")] = None,
    duration: Annotated[float, typer.Option(min=100, help="Length of the two network runs, ms.")] = 2000.0,
    seed: Annotated[int, typer.Option(help="Seed of the runs, the records and the training.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew.")] = False,
):
    """Run, record, train, validate, swap and compare models/cortex; one that was stopped goes on."""
    from rich.console import Console

    from netml.stages.demo import demo

    console = Console()
    result = demo(output, ranks=ranks, duration=duration, seed=seed, overwrite=overwrite,
                  say=lambda line: console.print(f"[bold]{line}[/bold]", highlight=False))  # fmt: skip
    for title, seconds in result.seconds.items():
        console.print(f"  {title}: {seconds:.0f} s", highlight=False)
    reports = f"\nThe reduced cell:      {result.cell_report}\nThe swapped circuit:   {result.report}"
    console.print(reports, highlight=False)
