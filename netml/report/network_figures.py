"""Figures on two runs of a circuit. A run is (label, colour index 0 = reference, statistics by population)."""

from itertools import cycle

import numpy as np

from netml.report.figures import FLOOR, MODEL, REFERENCE, draw, nothing, plain_log

POPULATION_COLOURS = ("#2f6f9f", "#b3472f", "#3d8b6d", "#8a5aa8", "#b59a1f", "#5c6675")
MAX_RASTER_CELLS = 400


def colours(n: int) -> list[str]:
    """Reference, the run compared with it, then noise floors."""
    return [REFERENCE, MODEL, *[FLOOR] * (n - 2)][:n]


def raster(runs, start_ms: float, stop_ms: float) -> bytes:
    """Rasters of two runs side by side, with the rate of every population below.

    Args:
        runs: Two of (label, {population: (times [ms], cells, size)}).
        start_ms: Where the figure begins.
        stop_ms: Where it ends.
    """

    def plot(figure, axes):
        for column, (label, populations) in enumerate(runs):
            ax, rate = axes[0, column], axes[1, column]
            base, ticks = 0, []
            rows = sum(min(size, MAX_RASTER_CELLS) for *_, size in populations.values())
            height = np.clip(150.0 / max(rows, 1), 1.7, 9.0)  # of a mark, points; all rows share some 200
            for (name, (times, cells, size)), colour in zip(
                populations.items(), cycle(POPULATION_COLOURS), strict=False
            ):
                shown = min(size, MAX_RASTER_CELLS)
                seen = (times >= start_ms) & (times < stop_ms)
                drawn = seen & (cells < shown)
                ax.scatter(times[drawn], base + cells[drawn], s=height**2, color=colour, marker="|", linewidths=0.8)
                ticks.append((base + (shown - 1) / 2, f"{name}\n({size})"))
                base += shown
                bins = np.arange(start_ms, stop_ms + 5.0, 5.0)
                counts = np.histogram(times[seen], bins)[0] / max(size, 1) / 0.005
                rate.plot(bins[:-1] + 2.5, np.convolve(counts, np.ones(3) / 3, "same"), color=colour, label=name)
                ax.axhline(base - 0.5, color="#dfe3e8", linewidth=0.8)
            ax.set_ylim(base - 0.5, -0.5)
            ax.set_yticks([t for t, _ in ticks], [name for _, name in ticks] if column == 0 else [])
            ax.tick_params(axis="y", length=0)
            ax.set_title(label)
            ax.set_xticklabels([])
            rate.set_xlabel("time (ms)")
            for each in (ax, rate):
                each.set_xlim(start_ms, stop_ms)
            if column == 0:
                rate.set_ylabel("rate (Hz)")
        top = max(axes[1, k].get_ylim()[1] for k in range(len(runs)))
        for column in range(len(runs)):
            axes[1, column].set_ylim(0, top)
        figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower right", ncols=3)
        grid = axes[0, 0].get_gridspec()
        grid.set_height_ratios([3, 1])

    return draw((9.5, 5.6), (2, len(runs)), plot)


def rates(runs) -> bytes:
    """Mean rate of every population with its cells as points.

    Args:
        runs: (label, {population: PopulationStatistics}) of the reference, the compared run, and floors.
    """
    names = list(runs[0][1])

    def plot(figure, axes):
        random = np.random.default_rng(0)
        for ax, name in zip(axes[0], names, strict=True):
            for x, ((_, stats), colour) in enumerate(zip(runs, colours(len(runs)), strict=True)):
                values = stats[name].rates_hz
                ax.bar(x, values.mean(), color=colour, width=0.7, alpha=0.45)
                shown = values if len(values) <= 300 else random.choice(values, 300, replace=False)
                ax.scatter(
                    x + random.uniform(-0.24, 0.24, len(shown)), shown, s=7, color=colour, alpha=0.8, linewidths=0
                )
            ax.set_xticks(range(len(runs)), [label for label, _ in runs], rotation=30, ha="right")
            ax.set_ylim(bottom=0)
            ax.set_title(f"{name} ({len(runs[0][1][name].rates_hz)} cells)")
        axes[0, 0].set_ylabel("rate (Hz)")

    return draw((max(4.8, 2.6 * len(names)), 3.4), (1, len(names)), plot)


def same_cells(runs) -> bytes:
    """Rate of every cell in the compared run (and in a noise floor) against its rate in the reference."""
    names = list(runs[0][1])

    def plot(figure, axes):
        for ax, name in zip(axes[0], names, strict=True):
            reference = runs[0][1][name].rates_hz
            top = max(stats[name].rates_hz.max() for _, stats in runs) * 1.05 or 1.0
            ax.plot([0, top], [0, top], color="#c5ccd6", linewidth=1.0)
            others = list(zip(runs, colours(len(runs)), strict=True))[1:]
            for (label, stats), colour in reversed(others):
                ax.scatter(reference, stats[name].rates_hz, s=12, color=colour, alpha=0.7, linewidths=0, label=label)
            ax.set_xlim(-0.02 * top, top)
            ax.set_ylim(-0.02 * top, top)
            ax.set_box_aspect(1)
            ax.set_title(name)
            ax.set_xlabel(f"rate in {runs[0][0]} (Hz)")
        axes[0, 0].set_ylabel("rate in the other run (Hz)")
        axes[0, 0].legend(loc="upper left")

    return draw((max(4.8, 3.0 * len(names)), 3.4), (1, len(names)), plot)


def distributions(runs, attribute: str, label: str) -> bytes:
    """Cumulative distribution of ``cv`` or ``correlations`` in every population."""
    names = list(runs[0][1])

    def plot(figure, axes):
        for ax, name in zip(axes[0], names, strict=True):
            drawn = 0
            for (run, stats), colour in zip(runs, colours(len(runs)), strict=True):
                values = np.sort(getattr(stats[name], attribute))
                if len(values):
                    drawn += 1
                    steps = np.arange(len(values) + 1) / len(values)
                    from_zero = np.concatenate([values[:1], values])
                    ax.step(from_zero, steps, where="post", color=colour, label=f"{run} ({len(values):,})")
            ax.set_title(name)
            if not drawn:
                nothing(ax, "too few spikes")
                continue
            ax.set_xlabel(label)
            ax.set_ylim(0, 1.02)
            ax.legend(loc="best", fontsize=8)
        axes[0, 0].set_ylabel("cumulative fraction")

    return draw((max(4.8, 3.1 * len(names)), 3.3), (1, len(names)), plot)


def spectra(runs, bands) -> bytes:
    """Spectra relative to independent Poisson cells: lines are means over bands, thin lines the spectra themselves.

    Args:
        runs: Pairs of (label, {population: statistics}).
        bands: Function (frequency, power) -> (centres, mean power).
    """
    names = list(runs[0][1])
    means = [bands(s.frequency_hz, s.power)[1] for _, stats in runs for s in stats.values()]
    smooth = np.concatenate([*means, [0.5, 2.0]])
    low, high = max(smooth.min(), 0.01), smooth.max()  # one scale for all, set by the means over bands

    def plot(figure, axes):
        for ax, name in zip(axes[0], names, strict=True):
            drawn = 0
            for (label, stats), colour in zip(runs, colours(len(runs)), strict=True):
                s = stats[name]
                if len(s.power):
                    drawn += 1
                    seen = s.frequency_hz <= 200.0
                    ax.plot(s.frequency_hz[seen], s.power[seen], color=colour, linewidth=0.6, alpha=0.35)
                    ax.plot(*bands(s.frequency_hz, s.power), color=colour, linewidth=1.8, marker="o", markersize=3,
                            label=label)  # fmt: skip
            ax.set_title(name)
            if not drawn:
                nothing(ax, "no spikes")
                continue
            ax.axhline(1.0, color="#c5ccd6", linewidth=0.8, zorder=0)
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_ylim(low / 1.3, high * 1.3)
            plain_log(ax.yaxis, [low, high])
            ax.set_xlim(2, 200)
            ax.set_xticks([2, 5, 10, 20, 50, 100, 200], ["2", "5", "10", "20", "50", "100", "200"])
            ax.set_xticks([], minor=True)
            ax.set_xlabel("frequency (Hz)")
            ax.legend(loc="best", fontsize=8)
        axes[0, 0].set_ylabel("power / Poisson power")

    return draw((max(4.8, 3.1 * len(names)), 3.3), (1, len(names)), plot)
