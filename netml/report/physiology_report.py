"""Tables of cells against published targets."""

from netml.report.tables import Table, number
from netml.validation.physiology import summary


def tables(rows: list[dict]) -> list[Table]:
    """A table a cell: a row a feature, and what it comes to."""
    cells = dict.fromkeys(row["cell"] for row in rows)
    return [table(cell, [row for row in rows if row["cell"] == cell]) for cell in cells]


def table(cell: str, rows: list[dict]) -> Table:
    count = summary(rows)
    lines = [
        [f"{row['protocol']} {row['feature']}", f"{row['target']:.4g} ± {row['sd']:.3g}",
         number(row["value"], 4), number(row["z"], 2, signed=True)]
        for row in rows
    ]  # fmt: skip
    share = count["within_2_sd"] / count["features"]
    note = (
        f"{count['within_2_sd']} of {count['features']} features within 2 SD ({share:.0%}), "
        f"{count['beyond_3_sd']} beyond 3, {count['beyond_5_sd']} beyond 5 or missing. Targets: "
        + "; ".join(dict.fromkeys(row["source"] for row in rows))
    )
    return Table(cell, ["", "target", "value", "z"], lines, note)
