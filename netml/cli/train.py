"""``netml train``."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    records: Annotated[Path, typer.Argument(help="Folder of records, from `netml record`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Artifact to write, *.netml.")],
    size: Annotated[str, typer.Option(help="small, medium or large: more is more accurate and slower.")] = "small",
    budget: Annotated[
        str, typer.Option(help="demo: a minute; full: a few minutes; long: a quarter of an hour or more, on 2 cores.")
    ] = "full",
    updates: Annotated[int | None, typer.Option(help="Number of weight updates, instead of the budget's.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and order; the same seed gives the same artifact.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any other field of the recipe, e.g. --set memory=40.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu (the C++ kernel), or cuda.")] = "cpu",
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for an event log of TensorBoard, too.")] = None,
    ensemble: Annotated[
        int, typer.Option(min=1, help="Train so many that differ in their seed; their spread warns in every run.")
    ] = 1,
    teacher: Annotated[
        list[Path] | None, typer.Option(help="An artifact that labels synthetic trials to learn from; may be repeated.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again, ignoring a checkpoint.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Train a reduction of the recorded cell. A killed training goes on where it was when called again."""
    from netml.artifact import Artifact
    from netml.stages.train_ensemble import train_ensemble
    from netml.training.api import train
    from netml.training.team import launched

    fields: dict[str, Any] = {"size": size, "budget": budget, "updates": updates, "seed": seed} | parse_fields(set_)
    run: Callable[..., Path] = train if ensemble == 1 else partial(train_ensemble, members=ensemble)
    path = run(
        records, output=output, fresh=fresh, progress=progress, tensorboard=tensorboard, device=device,
        teachers=teacher or (), **fields,
    )  # fmt: skip
    if launched()[0] > 0:
        return  # the first rank says it
    scores = Artifact.load(path).header["scores"]
    validation = scores["validation"]
    typer.echo(
        f"{path}: {scores['parameters']} parameters; free-running on {validation['trials']} validation trials: "
        f"AUC {validation['auc']:.4f}, explained variance {validation['explained_variance']:.3f}, "
        f"rate {validation['rate_ratio']:.2f} of the cell's"
    )


def parse_fields(entries: list[str] | None) -> dict:
    """The command line's NAME=VALUE, values as JSON or else text.

    Raises:
        TrainingError: Of another form.
    """
    import json

    from netml.errors import TrainingError

    fields: dict[str, Any] = {}
    for entry in entries or []:
        name, equals, value = entry.partition("=")
        if not equals:
            raise TrainingError(f"--set {entry!r} is not NAME=VALUE, such as --set memory=40")
        try:
            fields[name] = json.loads(value)
        except json.JSONDecodeError:
            fields[name] = value
    return fields
