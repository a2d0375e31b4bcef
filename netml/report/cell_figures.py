"""Figures on one reduced cell. ``true`` is the detailed cell, ``model`` the reduction running free."""

import numpy as np

from netml.report.figures import FLOOR, MODEL, REFERENCE, draw, nothing, plain_log


def voltage_overlay(examples, v_clip_mv: float) -> bytes:
    """Soma voltages, one row an example.

    Args:
        examples: Dicts with ``title``, ``time_ms``, ``true_mv``, ``model_mv`` (samples), and ``true_ms``, ``model_ms``
            (spike times).
        v_clip_mv: Voltages are drawn up to here; spikes are marks above.
    """

    def plot(figure, axes):
        for ax, e in zip(axes[:, 0], examples, strict=True):
            true, model = np.minimum(e["true_mv"], v_clip_mv), np.minimum(e["model_mv"], v_clip_mv)
            ax.plot(e["time_ms"], true, color=REFERENCE, label="detailed")
            ax.plot(e["time_ms"], model, color=MODEL, label="reduced", alpha=0.85)
            low, high = min(true.min(), model.min()), v_clip_mv
            height = max(high - low, 5.0)
            for times, colour, level in ((e["true_ms"], REFERENCE, 0.16), (e["model_ms"], MODEL, 0.06)):
                ax.vlines(times, high + level * height, high + (level + 0.08) * height, color=colour, linewidth=1.6)
            ax.axhline(high, color="#c5ccd6", linewidth=0.8, linestyle=":")
            ax.set_ylim(low - 0.05 * height, high + 0.28 * height)
            ax.set_xlim(e["time_ms"][0], e["time_ms"][-1])
            ax.set_title(e["title"])
            ax.set_ylabel("soma voltage (mV)")
        axes[-1, 0].set_xlabel("time (ms)")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)

    return draw((9.5, 1.9 * len(examples) + 0.6), (len(examples), 1), plot)


def spike_raster(trials, shown: int = 30) -> bytes:
    """True and emitted spikes, two lines a trial.

    Args:
        trials: (kind, true spike times [ms], emitted [ms], duration [ms]) of each trial, in the order to draw.
        shown: Draw this many at most.
    """
    trials = list(trials)[:shown]

    def plot(figure, axes):
        ax = axes[0, 0]
        ticks = []
        for row, (kind, true, model, _) in enumerate(trials):
            ax.vlines(
                true, row - 0.38, row - 0.02, color=REFERENCE, linewidth=1.0, label="detailed" if row == 0 else None
            )
            ax.vlines(model, row + 0.02, row + 0.38, color=MODEL, linewidth=1.0, label="reduced" if row == 0 else None)
            if row == 0 or trials[row - 1][0] != kind:
                ticks.append((row, kind))
                if row:
                    ax.axhline(row - 0.5, color="#c5ccd6", linewidth=0.8)
        ax.set_yticks([row for row, _ in ticks], [kind for _, kind in ticks])
        ax.set_ylim(len(trials) - 0.5, -0.5)
        ax.set_xlim(0, max(t[3] for t in trials))
        ax.set_xlabel("time (ms)")
        ax.set_ylabel("trial, by kind")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=2)

    return draw((9.5, 1.2 + 0.2 * len(trials)), (1, 1), plot)


def intervals(true_isi, model_isi, true_cv, model_cv) -> bytes:
    """Distributions of interspike intervals (ms, logarithmic) and of their CV a trial."""

    def histogram(ax, true, model, edges, label):
        if not len(true) and not len(model):
            return nothing(ax, "too few spikes")
        for values, colour, name in ((true, REFERENCE, "detailed"), (model, MODEL, "reduced")):
            if len(values):
                weights = np.full(len(values), 1.0 / len(values))
                ax.hist(values, edges, weights=weights, histtype="step", color=colour, linewidth=1.6,
                        label=f"{name} ({len(values):,})")  # fmt: skip
        ax.set_xlabel(label)
        ax.set_ylabel("fraction")
        ax.legend()

    def plot(figure, axes):
        both = np.concatenate([true_isi, model_isi])
        top = max(1000.0, both.max(initial=0.0) * 1.01)
        edges = np.unique(np.round(np.geomspace(1.0, top, 45))) - 0.5  # the reduced cell's intervals are whole bins
        histogram(axes[0, 0], true_isi, model_isi, edges, "interspike interval (ms)")
        if len(both):
            axes[0, 0].set_xscale("log")
            plain_log(axes[0, 0].xaxis, [1, top])
        axes[0, 0].set_title("Interspike intervals")
        cv = np.concatenate([true_cv, model_cv])
        edges = np.linspace(0, max(1.5, cv.max(initial=0.0) * 1.01), 16)
        histogram(axes[0, 1], true_cv, model_cv, edges, "CV of interspike intervals")
        axes[0, 1].set_title("CV, one value a trial")

    return draw((9.5, 3.3), (1, 2), plot)


def calibration(bins) -> bytes:
    """Predicted spike probability against observed frequency, with 95 % Wilson intervals; bins as in the metrics."""

    def plot(figure, axes):
        ax, counts = axes[0]
        p = np.array([b["predicted"] for b in bins])
        f = np.array([b["observed"] for b in bins])
        n = np.array([b["count"] for b in bins], float)
        z = 1.96
        centre = (f + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(f * (1 - f) / n + z * z / (4 * n * n))
        ax.plot([0, 1], [0, 1], color="#c5ccd6", linewidth=1.0, label="perfect")
        error = np.maximum([f - centre + half, centre + half - f], 0)  # rounding only
        ax.errorbar(p, f, error, color=MODEL, marker="o", markersize=4, linewidth=1.2, elinewidth=1.0, capsize=2,
                    label="reduced cell")  # fmt: skip
        # linear where it matters to the eye, logarithmic where nearly all bins lie
        for scale, limit in ((ax.set_xscale, ax.set_xlim), (ax.set_yscale, ax.set_ylim)):
            scale("symlog", linthresh=1e-3)
            limit(-1e-4, 1.15)
        ticks = [0, 1e-3, 1e-2, 1e-1, 1]
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(ticks, ["0", "0.001", "0.01", "0.1", "1"])
            axis.set_ticks([], minor=True)
        ax.set_xlabel("predicted probability of a spike, per bin")
        ax.set_ylabel("observed frequency")
        ax.set_title("Calibration")
        ax.legend(loc="upper left")
        counts.bar(range(len(p)), n, color=FLOOR)
        counts.set_yscale("log")
        counts.set_ylim(0.5, 2 * n.max(initial=1))
        plain_log(counts.yaxis, [1, max(n.max(initial=1), 10)])
        counts.set_xticks(range(len(p)), [f"{v:.2g}" for v in p], rotation=60)
        counts.set_xlabel("mean predicted probability")
        counts.set_ylabel("number of bins")
        counts.set_title("How often each probability is given")

    return draw((9.5, 3.8), (1, 2), plot)


def roc(curves) -> bytes:
    """ROC curves: all of it, and the corner of few false positives.

    Args:
        curves: Label -> (false positive rate, true positive rate, AUC).
    """
    colours = (MODEL, REFERENCE, FLOOR, "#3d8b6d", "#8a5aa8", "#b59a1f", "#4c78c2")

    def plot(figure, axes):
        whole, corner = axes[0]
        for (label, (fpr, tpr, auc)), colour in zip(curves.items(), colours, strict=False):
            whole.plot(fpr, tpr, color=colour, label=f"{label}: {auc:.4f}")
            corner.plot(fpr, tpr, color=colour)
        whole.plot([0, 1], [0, 1], color="#c5ccd6", linewidth=1.0)
        whole.set_title("ROC, area under the curve")
        corner.set_title("Few false positives")
        corner.set_xlim(0, 0.02)
        corner.set_xticks([0, 0.0025, 0.005, 0.01, 0.015, 0.02], ["0", "0.25", "0.5", "1", "1.5", "2"])
        for x in (0.0025, 0.01):
            corner.axvline(x, color="#c5ccd6", linewidth=0.8, linestyle=":")
        whole.set_xlabel("false positive rate")
        corner.set_xlabel("false positive rate (%)")
        for ax in (whole, corner):
            ax.set_ylabel("true positive rate")
            ax.set_ylim(0, 1.02)
        whole.legend(loc="lower right")

    return draw((9.5, 3.8), (1, 2), plot)
