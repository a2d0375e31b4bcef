"""netml tune"""

from pathlib import Path
from typing import Annotated

import typer


def command(
    records: Annotated[Path, typer.Argument(help="Folder of records, from `netml record`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the search; an earlier one goes on.")],
    trials: Annotated[int, typer.Option(min=1, help="Trainings in all, those of earlier calls included.")] = 30,
    search: Annotated[
        list[str] | None, typer.Option(help="What to search: NAME=LOW:HIGH, NAME=LOW:HIGH:log, NAME=A,B,C; repeatable.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A field of the recipe, the same in all.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Search for the fields of the training recipe that suit some records; resumable, stops bad trials early."""
    import csv

    from netml.cli.train import parse_fields
    from netml.report.tables import Table, show
    from netml.training.tune import parse_range, tune

    space = dict(map(parse_range, search)) if search else None
    path = tune(records, output=output, trials=trials, space=space, seed=seed, progress=progress, **parse_fields(set_))
    with (path.parent / "trials.csv").open(newline="") as file:
        best = sorted(csv.DictReader(file), key=lambda row: (row["loss"] == "", float(row["loss"] or 0)))[:5]
    names = [name for name in best[0] if name != "trial"]
    rows = [[name, *(_short(row[name]) for row in best)] for name in names]
    table = Table("The best trials", ["trial", *(row["trial"] for row in best)], rows)
    show([table])
    typer.echo(f"fields: {path}\nreduction: {path.parent / 'best.netml'}\nall trials: {path.parent / 'trials.csv'}")


def _short(text: str) -> str:
    try:
        return f"{float(text):.4g}" if "." in text else text
    except ValueError:
        return text
