"""Figures on a circuit: its cells, what they do alone, their connections, their spikes."""

import numpy as np

from netml.report.figures import draw, nothing

KINDS = {"soma": "#2b3440", "axon": "#b3472f", "basal": "#3d8b6d", "dend": "#3d8b6d"}
APICAL = "#2f6f9f"
COLOURS = ("#2f6f9f", "#b3472f", "#b59a1f", "#1d4c70", "#3d8b6d", "#d1531b", "#8a5aa8", "#5c6675")
COLUMNS = 5


def morphologies(cells: dict[str, dict]) -> bytes:
    """Every type of cell on one scale, somata in a row.

    Args:
        cells: Type -> {"lines": [(kind of section, points [um], diameter)]}.
    """

    def plot(figure, axes):
        ax, left = axes[0, 0], 0.0
        for name, cell in cells.items():
            points = np.concatenate([np.array(line)[:, :2] for _, line, _ in cell["lines"]] or [np.zeros((1, 2))])
            shift = left - points[:, 0].min()
            for kind, line, diameter in cell["lines"]:
                x, y = np.array(line)[:, 0] + shift, np.array(line)[:, 1]
                width = min(max(0.35 * diameter, 0.4), 3.0)
                if kind == "soma":
                    ax.scatter(x.mean(), y.mean(), s=26, color=KINDS["soma"], zorder=3)
                else:
                    ax.plot(x, y, color=KINDS.get(kind, APICAL), linewidth=width, solid_capstyle="round")
            ax.text(shift, points[:, 1].min() - 50, name, ha="center", va="top", weight="bold")
            left = shift + points[:, 0].max() + 80
        top = ax.get_ylim()[1]
        ax.plot([-140, -40], [top - 60] * 2, color="#2b3440", linewidth=2)
        ax.text(-90, top - 50, "100 µm", ha="center", va="bottom")
        ax.set_aspect("equal")
        ax.set_axis_off()

    return draw((9.5, 6.0), (1, 1), plot)


def steps(cells: dict[str, dict], about: dict[str, dict]) -> bytes:
    """Rate against current, and the voltage at the first current at which a cell fires.

    Args:
        cells: Type -> {current_na, rate_hz, shown, time_ms, voltage_mv}.
        about: Type -> {threshold_mv}.
    """

    def plot(figure, axes):
        for column, (name, cell) in enumerate(cells.items()):
            rate, voltage = axes[0, column], axes[1, column]
            rate.plot(cell["current_na"], cell["rate_hz"], color=APICAL, marker="o", markersize=3.5)
            rate.set_title(name)
            rate.set_xlabel("current (nA)")
            rate.set_xlim(0, None)
            rate.set_ylim(0, None)
            voltage.plot(cell["time_ms"], cell["voltage_mv"], color=KINDS["soma"], linewidth=0.8)
            voltage.axhline(about[name]["threshold_mv"], color="#8b95a3", linewidth=0.8, linestyle=":")
            silent = "" if any(cell["rate_hz"]) else ", no spikes"
            voltage.set_title(f"{cell['current_na'][cell['shown']]:.3g} nA{silent}", weight="normal")
            voltage.set_xlabel("time (ms)")
            voltage.set_ylim(-95, 50)
        axes[0, 0].set_ylabel("rate (Hz)")
        axes[1, 0].set_ylabel("soma (mV)")

    return draw((max(2.0 * len(cells), 4.0), 4.4), (2, len(cells)), plot)


def psps(pairs: list[dict]) -> bytes:
    """What one spike does to a cell at rest, a panel a connection.

    Args:
        pairs: {pre, post, amplitude_mv, time_ms, voltage_mv}.
    """

    def plot(figure, axes):
        for ax, pair in zip(axes.flat, pairs, strict=False):
            ax.axhline(0, color="#c5ccd6", linewidth=0.8)
            colour = COLOURS[0] if pair["amplitude_mv"] > 0 else COLOURS[1]
            ax.plot(pair["time_ms"], pair["voltage_mv"], color=colour)
            ax.set_title(f"{pair['pre']} → {pair['post']}", fontsize=8.5)
            ax.set_xlim(0, 100)
        for ax in list(axes.flat)[len(pairs) :]:
            ax.set_axis_off()
        for ax in axes[:, 0]:
            ax.set_ylabel("mV")
        figure.supxlabel("time after the spike (ms)")
        if not pairs:
            nothing(axes[0, 0], "no connections")

    rows = max(-(-len(pairs) // COLUMNS), 1)
    return draw((9.5, 1.45 * rows + 0.3), (rows, COLUMNS), plot)


def raster(populations: dict[str, tuple], start_ms: float, stop_ms: float, events_ms=()) -> bytes:
    """Spikes of all cells and the rates of the populations, superficial ones on top.

    Args:
        populations: Name -> (times [ms], cells, size), in the order to draw.
        start_ms: Where the figure begins.
        stop_ms: Where it ends.
        events_ms: Times to mark.
    """

    def plot(figure, axes):
        ax, rate = axes[0, 0], axes[1, 0]
        base, ticks = 0, []
        height = np.clip(220.0 / max(sum(size for *_, size in populations.values()), 1), 3.0, 9.0)  # of a mark, points
        for number, (name, (times, cells, size)) in enumerate(populations.items()):
            colour = COLOURS[number % len(COLOURS)]
            seen = (times >= start_ms) & (times < stop_ms)
            ax.scatter(times[seen], base + cells[seen], s=height**2, color=colour, marker="|", linewidths=0.9)
            ticks.append((base + size / 2 - 0.5, f"{name} ({size})"))
            base += size
            ax.axhline(base - 0.5, color="#dfe3e8", linewidth=0.8)
            edges = np.arange(start_ms, stop_ms + 10.0, 10.0)
            counts = np.histogram(times[seen], edges)[0] / max(size, 1) / 0.010
            rate.plot(edges[:-1] + 5.0, np.convolve(counts, np.ones(3) / 3, "same"), color=colour, label=name)
        if not any(len(marks.get_offsets()) for marks in ax.collections):
            nothing(ax, "no spikes")
        ax.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(base - 0.5, -0.5)
        ax.set_xticklabels([])
        for each in (ax, rate):
            each.set_xlim(start_ms, stop_ms)
            for time in events_ms:
                each.axvline(time, color="#8b95a3", linewidth=0.8, linestyle=":")
        rate.set_xlabel("time (ms)")
        rate.set_ylabel("rate (Hz)")
        rate.set_ylim(0, None)
        figure.legend(*rate.get_legend_handles_labels(), loc="outside lower right", ncols=len(populations))
        axes[0, 0].get_gridspec().set_height_ratios([3, 1])

    return draw((9.5, 6.2), (2, 1), plot)
