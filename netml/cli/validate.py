"""netml validate"""

from pathlib import Path
from typing import Annotated

import typer


def command(
    artifact: Annotated[Path, typer.Argument(help="Reduction, a .netml file.")],
    records: Annotated[Path, typer.Argument(help="Folder of records of the same cell (netml record).")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report; ARTIFACT-validation by default.")
    ] = None,
    split: Annotated[str, typer.Option(help="Trials: test, validation, train or all.")] = "test",
    kind: Annotated[list[str] | None, typer.Option(help="Only trials of this kind; may be repeated.")] = None,
    skip: Annotated[float, typer.Option(min=0, help="Start of each trial that does not count, ms.")] = 200.0,
    physics: Annotated[bool, typer.Option(help="Check what every cell must obey, too; takes seconds.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of tables.")] = False,
):
    """Measure a reduction against its cell, free-running, on trials it was not trained on."""
    from netml.cli.report import show
    from netml.report import cell_report, current_report
    from netml.stages.validate import validate

    beside = artifact if artifact.exists() else Path(artifact.name)  # one that travels with netml: here
    folder = output or beside.with_name(f"{artifact.stem}-validation")
    result = validate(artifact, records, output=folder, split=split, kinds=kind, skip_ms=skip, physics=physics)
    if not json:
        typer.echo(result["verdict"]["sentence"])
    show(result, [*cell_report.tables(result, kinds=2), *current_report.tables(result["f_i"])], json)
