"""`reduce`: from a cell, or a population of a project, to a reduction with a verdict, in a given time.

Import, record, train and validate are the public calls that a user would make, into one folder, so that a call that was
stopped goes on where it was, and one with more minutes adds to what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netml.circuit.project import find_project
from netml.errors import NetmlError
from netml.plain import plain_arguments
from netml.stages.reduce_work import Work

#: Arguments that say how a cell is made, and nothing about a project.
OF_CELLS = ("mods", "biophysics", "arguments", "load", "label", "celsius", "v_init")


@dataclass(frozen=True)
class Reduced:
    """What `reduce` made and found.

    Attributes:
        artifact: The reduction.
        folder: Of the project, the records and the report.
        verdict: See :func:`netml.validation.verdict.verdict`.
        validation: What :func:`netml.validate` returned.
        advice: What would help and the command for it; "" where the reduction is usable.
        seconds: Wall time of each stage that ran, by name.
    """

    artifact: Path
    folder: Path
    verdict: dict
    validation: dict
    advice: str
    seconds: dict[str, float]


@plain_arguments
def reduce(
    source: str | Path | Callable,
    *,
    output: str | Path,
    population: str = "",
    mods: Iterable[str | Path] = (),
    biophysics: str | Callable = "",
    arguments: Any = (),
    load: Iterable[str | Path] = (),
    minutes: float = 20.0,
    ranks: int | None = None,
    size: str = "small",
    seed: int = 1,
    label: str = "",
    celsius: float | None = None,
    v_init: float | None = None,
    dt: float = 0.025,
    threshold: float = -20.0,
    rate: float = 4.0,
    folder: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] | None = print,
) -> Reduced:
    """Make a reduction of a cell, in so many minutes, and say whether it may be used.

    Args:
        source: A cell, as :func:`netml.import_cell` takes it, or a project folder.
        output: The reduction's file, ``*.netml``.
        population: Of a project: whose cells; several of one type of cell as "A+B".
        mods: Of a cell: folders of its mod files.
        biophysics: Of a morphology: the function that inserts its channels, as in :func:`netml.import_cell`.
        arguments: Of a template or function.
        load: Hoc files that a hoc source expects before it.
        minutes: Wall time for all of it. A call with more minutes adds trials to those that are there and trains
            longer.
        ranks: MPI ranks that record; by default as many as this process has cores, at most 8.
        size: Of the reduction: small, medium or large.
        seed: Of records and training.
        label: Of a cell, its population and files.
        celsius: Of a cell, degC; by default what the source sets.
        v_init: Voltage of a cell at the start, mV; by default what the source sets.
        dt: Time step of a cell, ms.
        threshold: Of a cell's spike, mV at the soma.
        rate: Hz at which a cell's random input lets it fire.
        folder: For the project, the records, the report and what is known of a call that was stopped; by default the
            output's name with "-reduce" in place of its ending.
        overwrite: Start anew.
        progress: Show it.
        say: Gets a line of news at a time; None: nobody does.

    Returns:
        The reduction and what is known of it.

    Raises:
        NetmlError: As the stages raise; a folder that another call was started in.

    Example:
        >>> made = netml.reduce("cell.hoc:Pyramidal", mods=["mod"], output="PYR.netml", minutes=20)
        >>> made.verdict["word"]  # "usable", "usable within" or "not yet"
    """
    output = Path(output)
    folder = Path(folder) if folder is not None else output.with_name(f"{output.stem}-reduce")
    cell: dict[str, Any] = {
        "mods": [str(path) for path in mods],
        "load": [str(path) for path in load],
        "label": label,
        "celsius": celsius,
        "v_init": v_init,
        "dt": dt,
        "threshold": threshold,
        "rate": rate,
    }
    settings = {
        "source": getattr(source, "__qualname__", str(source)), "population": population,
        "arguments": repr(arguments), "biophysics": getattr(biophysics, "__qualname__", str(biophysics)),
        "size": size, "seed": int(seed), "cell": cell,
    }  # fmt: skip
    project = None
    if isinstance(source, (str, Path)) and (Path(source).is_dir() or Path(source).suffix == ".npjson" or population):
        if not population:
            raise NetmlError(f"{source} is a project; say whose cells: --population NAME")
        project = find_project(source).folder
        of_cells = {"biophysics": biophysics, "arguments": arguments} | cell
        if given := [name for name in OF_CELLS if of_cells[name] not in (None, "", (), [], {})]:
            raise NetmlError(f"{project} is a project, which has its own {', '.join(given)}; leave that out")
    work = Work(folder, output, settings, float(minutes), ranks, progress, say or (lambda line: None))
    work.open(overwrite)
    if project is None:
        project = work.imported(source, {"biophysics": biophysics, "arguments": arguments} | cell)
    else:
        work.population = population
    work.probe(project)
    work.record(project)
    work.train()
    found = work.validate()
    return Reduced(output, folder, found["verdict"], found, work.advice(found), dict(work.seconds))
