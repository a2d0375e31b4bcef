"""What all figures share: style, and PNG bytes. Object-oriented matplotlib only, no global state."""

import io
from typing import Any

REFERENCE, MODEL, FLOOR = "#2b3440", "#d1531b", "#8fa3bf"
DPI = 150
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8b95a3",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.3,
}


def draw(size, layout, plot) -> bytes:
    """Make a figure and return it as PNG.

    Args:
        size: Width and height in inches.
        layout: Rows and columns of axes.
        plot: Called with the figure and its axes (rows, columns); draws into them.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
        FigureCanvasAgg(figure)
        plot(figure, figure.subplots(*layout, squeeze=False))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return buffer.getvalue()


def nothing(axes, text: str) -> None:
    """Say on empty axes why they are empty."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#5c6675")
    axes.set_xticks([])
    axes.set_yticks([])


def plain_log(axis, values) -> None:
    """Ticks 0.1, 0.2, 0.5, 1, 2 ... as plain numbers on a logarithmic axis that spans ``values``."""
    import numpy as np

    low, high = np.log10([min(values), max(values)])
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [s * 10.0**k for k in range(int(np.floor(low)), int(np.ceil(high)) + 1) for s in steps]
    ticks = [t for t in ticks if low - 0.2 <= np.log10(t) <= high + 0.2]
    axis.set_ticks(ticks, [f"{t:,.10g}" for t in ticks])
    axis.set_ticks([], minor=True)
