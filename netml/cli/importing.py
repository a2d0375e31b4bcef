"""netml import: cells of users as projects, data sets of others as records."""

from pathlib import Path
from typing import Annotated

import typer

from netml.cli import import_cell

group = typer.Typer(no_args_is_help=True)


@group.callback()
def _group() -> None:
    """Bring in what is there already: a cell of yours, a public data set."""


group.command("cell")(import_cell.command)


@group.command()
def neuronio(
    files: Annotated[list[Path], typer.Argument(help="Pickles of the data set of Beniaguev, Segev, London 2021.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the records.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace records that are there.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar on a terminal.")] = True,
) -> None:
    """Read files of the NeuronIO data set, as plain data: nothing in a pickle is ever run."""
    from netml.records.neuronio import import_neuronio

    print(import_neuronio(files, output=output, overwrite=overwrite, progress=progress))
