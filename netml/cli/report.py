"""How validate and compare print what they found."""

import typer

from netml.plain import to_json


def show(result: dict, tables, json: bool) -> None:
    """Print tables and where the report is, or the whole result as JSON."""
    if json:
        typer.echo(to_json(result, indent=1))
        return
    from netml.report.tables import show as show_tables

    show_tables(tables, result["warnings"])
    typer.echo(f"report: {result['report']}\nJSON:   {result['json']}")
