"""The part of a cell's report on current into its soma: table and figure of the f-I curve."""

from netml.report import html
from netml.report.figures import MODEL, REFERENCE, draw
from netml.report.tables import Table, number, percent

TITLE = "Current into the soma"


def tables(f_i: dict | None) -> list[Table]:
    """The f-I curve as a table.

    Args:
        f_i: What :func:`netml.validation.currents.f_i_curve` measured; None gives no table.
    """
    if f_i is None:
        return []
    rows = [
        [number(p["current_na"], 3, "nA"), number(p["rate_true_hz"], 2, "Hz"), number(p["rate_model_hz"], 2, "Hz"),
         number(p["rate_model_hz"] - p["rate_true_hz"], 2, "Hz", signed=True), number(p["seconds"], 1, "s")]
        for p in f_i["points"]
    ]  # fmt: skip
    note = (
        f"{f_i['stretches']} stretches of constant current, 100 ms or longer, without any synaptic event, in groups of "
        f"about equal numbers. Rates differ by {number(f_i['rate_error_hz'], 2)} Hz in the mean over single stretches; "
        f"in {percent(f_i['one_silent'])} of them only one of both cells fires."
    )
    return [Table(TITLE, ["mean current", "detailed", "reduced", "difference", "time"], rows, note)]


def sections(f_i: dict | None) -> list[html.Section]:
    """The section of the page; none without such trials."""
    if f_i is None:
        return []
    caption = "Rate against a constant current, of the groups of stretches in the table. A point's area is its time."
    return [html.Section(TITLE, [], tables(f_i), [html.Picture("f_i", figure(f_i["points"]), caption)])]


def figure(points: list[dict]) -> bytes:
    """Rate (Hz) of the detailed and the reduced cell against current (nA)."""

    def plot(figure, axes):
        ax = axes[0, 0]
        current = [p["current_na"] for p in points]
        for key, colour, name in (("rate_true_hz", REFERENCE, "detailed"), ("rate_model_hz", MODEL, "reduced")):
            rate = [p[key] for p in points]
            ax.plot(current, rate, color=colour, label=name)
            ax.scatter(current, rate, [8 + 4 * p["seconds"] for p in points], color=colour, zorder=3)
        ax.axvline(0, color="#c5ccd6", linewidth=0.8, linestyle=":")
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
        ax.set_xlabel("current into the soma (nA)")
        ax.set_ylabel("rate (Hz)")
        ax.legend(loc="upper left")

    return draw((6.0, 3.6), (1, 1), plot)
