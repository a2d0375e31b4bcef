"""Tables as plain data, shown alike in the terminal (rich) and in the HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass, field

NOTHING = "–"
FRAME = 3  # characters of a column beside its text
NUMBER = 14  # characters of a number with its unit, at most


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


def as_text(value) -> str:
    """Text of a value from a file's metadata: mappings without braces, floats without their last digits."""
    if value is None or value in ({}, [], ""):
        return NOTHING
    if isinstance(value, dict):
        return ", ".join(
            f"{k} {as_text(v)}" if not isinstance(v, dict) else f"{k} ({as_text(v)})" for k, v in value.items()
        )
    if isinstance(value, (list, tuple)):
        return ", ".join(as_text(v) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def show(tables: list[Table], warnings: Sequence[str] = (), console=None) -> None:
    """Print tables, warnings first, to the terminal."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    for warning in warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    for table in tables:
        _print(table, console)


def _print(table: Table, console) -> None:
    """Print a table with no word broken; columns that find no room stand below, behind the first one again."""
    from rich.table import Table as RichTable
    from rich.text import Text

    texts = list(zip(table.columns, *table.rows, strict=True))
    words = [max(len(word) for text in column for word in _words(text)) for column in texts]
    lines = [max(map(len, column)) for column in texts]
    parts = _fitting(words, console.width)
    for part in parts:
        rich = RichTable(title=table.title if part is parts[0] else None, title_justify="left", title_style="bold",
                         caption=table.note or None if part is parts[-1] else None, caption_justify="left")  # fmt: skip
        width = {i: words[i] for i in part}
        for _ in range(console.width - 1 - sum(width[i] + FRAME for i in part)):  # what is left, to those who lack most
            most = max(part, key=lambda i: lines[i] / max(width[i], 1))
            width[most] += lines[most] > width[most]
        for i in part:
            rich.add_column(table.columns[i], justify="right" if i else "left", width=width[i])
        for row in table.rows:
            rich.add_row(*(Text(row[i]) for i in part))
        console.print(rich)


def _words(text: str) -> list[str]:
    """What stays on one line: words, and a number with its unit."""
    return [text] if len(text) <= NUMBER and (text[:1] in "+-–" or text[:1].isdigit()) else text.split()


def _fitting(words: list[int], width: int) -> list[list[int]]:
    """Columns by their longest word, in parts that have room, each begun by the first column."""
    parts = [[0]]
    for i in range(1, len(words)):
        if len(parts[-1]) > 1 and sum(words[k] + FRAME for k in (*parts[-1], i)) + 1 > width:
            parts.append([0])
        parts[-1].append(i)
    return parts
