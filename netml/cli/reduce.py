"""`netml reduce`: from a cell, or a population of a project, to a reduction with a verdict."""

from pathlib import Path
from typing import Annotated

import typer

from netml.cli.import_cell import Arguments, Biophysics, Celsius, Load, Mods, VInit, parse_arguments


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="A cell (cell.hoc:Template, cells.json:PYR, cells.pkl, cell.py:function, cell.swc or cell.asc), or a "
            "project folder with --population."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The reduction, *.netml.")],
    population: Annotated[str, typer.Option("--population", "-p", help="Of a project: whose cells.")] = "",
    mod: Mods = None,
    biophysics: Biophysics = "",
    arguments: Arguments = "[]",
    load: Load = None,
    minutes: Annotated[
        float, typer.Option(help="Wall time for all of it; more than before adds to what is there.")
    ] = 20.0,
    ranks: Annotated[int | None, typer.Option(min=1, help="That record; by default the cores, at most 8.")] = None,
    size: Annotated[str, typer.Option(help="small, medium or large: more is more accurate and slower.")] = "small",
    seed: Annotated[int, typer.Option(help="Of records and training.")] = 1,
    rate: Annotated[float, typer.Option(help="Hz at which a cell's random input shall let it fire.")] = 4.0,
    label: Annotated[str, typer.Option(help="Of a cell and its population (the template's or function's name)")] = "",
    celsius: Celsius = None,
    v_init: VInit = None,
    dt: Annotated[float, typer.Option(help="Time step of a cell, ms.")] = 0.025,
    threshold: Annotated[float, typer.Option(help="Of a cell's spike, mV at the soma.")] = -20.0,
    folder: Annotated[
        Path | None, typer.Option(help="For project, records and report; by default OUTPUT-reduce beside the output.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Make a reduction of a cell in a given time: import, record, train, validate; one that was stopped goes on."""
    from netml.stages.reduce import reduce

    made = reduce(
        source,
        output=output,
        population=population,
        mods=mod or (),
        biophysics=biophysics,
        arguments=parse_arguments(arguments),
        load=load or (),
        minutes=minutes,
        ranks=ranks,
        size=size,
        seed=seed,
        folder=folder,
        overwrite=overwrite,
        progress=progress,
        say=lambda line: print(line, flush=True),
        rate=rate,
        label=label,
        celsius=celsius,
        v_init=v_init,
        dt=dt,
        threshold=threshold,
    )
    for name, seconds in made.seconds.items():
        print(f"  {name}: {seconds:.0f} s")
    for warning in made.validation["warnings"]:
        print(f"warning: {warning}")
    print(f"{made.artifact}: {made.verdict['sentence']}")
    if made.advice:
        print(made.advice)
    print(f"report: {made.validation['report']}")
