"""`netml doctor`: what was found on this machine, what is missing, and the remedy."""

import typer


def command() -> None:
    """Check NEURON, compiler, MPI, torch, CPU, cache by trying them; exit status 1 if something needed is missing."""
    from rich.console import Console
    from rich.table import Table

    from netml.engine.doctor import checks

    console = Console()
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    failed = False
    with console.status("looking") as status:
        for check in checks():
            status.update(f"looking: {check.name} done")
            mark = "[green]ok[/]" if check.ok else "[red]missing[/]" if check.needed else "[yellow]optional[/]"
            table.add_row(mark, check.name, check.found.replace("[", r"\["))
            if not check.ok:
                table.add_row("", "", f"-> {check.remedy}")
                failed |= check.needed
    console.print(table)
    if failed:
        raise typer.Exit(1)
