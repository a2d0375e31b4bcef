"""`netml import cell`: a user's cell as a NetPyNE project."""

import json
from pathlib import Path
from typing import Annotated

import typer

# What says how a cell is made, here and in `netml reduce`.
Mods = Annotated[list[Path] | None, typer.Option(help="Folder of its mod files; may be given several times.")]
Biophysics = Annotated[
    str, typer.Option(metavar="FILE.py:FUNCTION", help="Gives a morphology its channels; called with the cell.")
]
Arguments = Annotated[
    str, typer.Option(metavar="JSON", help="""Of the template or function: '["a.asc", 1]' or '{"scale": 1}'.""")
]
Load = Annotated[
    list[Path] | None, typer.Option(help="Hoc file that a hoc file expects before it; may be given several times.")
]
Celsius = Annotated[float | None, typer.Option(help="degC; by default what the source sets.")]
VInit = Annotated[float | None, typer.Option(help="mV; by default what the source sets.")]


def command(
    source: Annotated[
        str, typer.Argument(help="cell.hoc:Template, cells.json:PYR, cells.pkl, cell.py:function, cell.swc or cell.asc")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the project.")],
    mod: Mods = None,
    biophysics: Biophysics = "",
    arguments: Arguments = "[]",
    load: Load = None,
    label: Annotated[str, typer.Option(help="Of the cell and its population (the template's or function's name)")] = "",
    celsius: Celsius = None,
    v_init: VInit = None,
    dt: Annotated[float, typer.Option(help="Time step, ms.")] = 0.025,
    threshold: Annotated[float, typer.Option(help="Of a spike, mV at the soma.")] = -20.0,
    rate: Annotated[float, typer.Option(help="Hz at which its random input shall let it fire; 0 leaves it.")] = 4.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a cell in --output")] = False,
) -> None:
    """Make a NetPyNE project of a cell of yours, checked against the original, to record and train on."""
    from netml.engine.cell_import.import_cell import import_cell

    given = parse_arguments(arguments)
    folder = import_cell(
        source, output, mods=mod or (), biophysics=biophysics, arguments=given, load=load or (), label=label,
        celsius=celsius, v_init=v_init, dt=dt, threshold=threshold, rate=rate, overwrite=overwrite, say=print,
    )  # fmt: skip
    print(folder)


def parse_arguments(text: str) -> list | dict:
    """The command line's arguments of a template or function.

    Raises:
        ModelError: No JSON list or object.
    """
    from netml.errors import ModelError

    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, (list, dict)):
        raise ModelError(f"""--arguments is {text!r}; expected a JSON list or object, e.g. '["morphology.asc"]'""")
    return given
