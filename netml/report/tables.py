"""Tables as plain data, shown alike in the terminal (rich) and in the HTML page."""

from dataclasses import dataclass, field

NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row, the others are numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""


def number(value, digits: int = 3, unit: str = "", signed: bool = False) -> str:
    """Format a number for a table; None becomes a dash."""
    if value is None:
        return NOTHING
    text = f"{value:{'+' if signed else ''}.{digits}f}" if isinstance(value, float) else f"{value:,}"
    return f"{text} {unit}" if unit else text


def percent(value, digits: int = 1, signed: bool = False) -> str:
    """Format a fraction as per cent."""
    return NOTHING if value is None else f"{100 * value:{'+' if signed else ''}.{digits}f} %"


def factor(value) -> str:
    """Format a ratio such as a speed-up."""
    return NOTHING if value is None else f"{value:,.0f} ×" if value >= 20 else f"{value:.2f} ×"


def plain(value) -> str:
    """Text of a value from a file's metadata: mappings without braces, floats without their last digits."""
    if value is None or value == {}:
        return NOTHING
    if isinstance(value, dict):
        return ", ".join(
            f"{k} {plain(v)}" if not isinstance(v, dict) else f"{k} ({plain(v)})" for k, v in value.items()
        )
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(v) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def show(tables: list[Table], warnings: list[str] = (), console=None) -> None:
    """Print tables, warnings first, to the terminal."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = console or Console()
    for warning in warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    for table in tables:
        rich = RichTable(title=table.title, title_justify="left", title_style="bold", caption=table.note or None,
                         caption_justify="left")  # fmt: skip
        for i, column in enumerate(table.columns):
            rich.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
        for row in table.rows:
            rich.add_row(*(Text(cell) for cell in row))
        console.print(rich)
