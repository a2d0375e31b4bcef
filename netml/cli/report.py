"""How validate and compare print what they found."""

import json as json_format

import typer


def show(result: dict, tables, json: bool) -> None:
    """Print tables and where the report is, or the whole result as JSON."""
    if json:
        typer.echo(json_format.dumps(result, indent=1, default=str))
        return
    from netml.report.tables import show as show_tables

    show_tables(tables, result["warnings"])
    typer.echo(f"report: {result['report']}\nJSON:   {result['json']}")
