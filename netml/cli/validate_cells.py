"""netml validate-cells"""

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="NetPyNE project folder with cells/NAME.targets.json.")],
    cell: Annotated[
        list[str] | None, typer.Option(help="Only this cell or connection, PRE->POST; may be repeated.")
    ] = None,
    ranks: Annotated[int | None, typer.Option(help="MPI ranks that share the protocols.")] = None,
    dt: Annotated[float, typer.Option(min=0, help="Time step, ms; 0: NEURON's variable step, faster.")] = 0.025,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the rows as JSON, too.")] = None,
):
    """Run the cells of a model under current clamp and compare their features with published targets."""
    import json as json_format

    from netml.files import output_folder, replacing
    from netml.report import physiology_report
    from netml.report.tables import show
    from netml.stages.validate_cells import validate_cells

    if json:
        output_folder(json.parent)
    result = validate_cells(model, cell, dt=dt or None, ranks=ranks)
    if json:
        with replacing(json) as path:
            path.write_text(json_format.dumps(result, indent=1) + "\n")
    show(physiology_report.tables(result["features"]))
