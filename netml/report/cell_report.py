"""The page on one reduced cell."""

from pathlib import Path

import numpy as np

from netml import metrics
from netml.report import cell_figures, current_report, html
from netml.report.tables import NOTHING, Table, as_text, number, percent
from netml.validation import cell_metrics, spikes

EXAMPLE_MS = 1500.0
PUBLISHED = [  # DESIGN.md: task of Beniaguev et al. 2021, L5 pyramidal cell with 1,278 binary inputs
    ["TCN 7×128 (Beniaguev et al. 2021)", "0.9911", "–", "–", "–"],
    ["ELM, memory 20 (Spieler et al. 2024)", "0.9922", "–", "0.744", "95.7 %"],
    ["best ELM (Spieler et al. 2024)", "0.9946", "–", "0.828", "96.6 %"],
]
INTERVALS = [  # row, key of interval_95, digits
    ("ROC AUC, no shift", "auc", 4),
    ("true positives at 0.25 % false", "tp_at_0.25_fp", 3),
    ("true positives at 1 % false", "tp_at_1_fp", 3),
    ("explained variance, both clipped", "explained_variance_clipped", 3),
    ("explained variance, truth below", "explained_variance_below", 3),
    ("coincidence factor Γ, ±2 ms", "gamma", 3),
    ("rate error, fraction", "rate_error", 3),
    ("mean interval, reduced (ms)", "isi_model_ms", 1),
    ("Brier score", "brier", 5),
]


def tables(result: dict, kinds: int | None = None) -> list[Table]:
    """The metrics as tables: detection and spikes by kind, voltage by kind, the published protocol.

    Args:
        result: What :func:`netml.validate` returns.
        kinds: Columns for so many kinds only, in-network trials first (a terminal is narrow).
    """
    columns = {"all": result["all"], **dict(list(result["kinds"].items())[:kinds])}
    if len(result["kinds"]) == 1:
        columns.pop("all")

    def table(title, rows, note=""):
        return Table(title, ["", *columns], [[name, *(show(m) for m in columns.values())] for name, show in rows], note)

    def emitted(key, **how):
        return lambda m: number(m["spikes"][key], **how)

    def voltages(part):
        return [
            (f"explained variance, {part[1]}", lambda m: percent(m[part[0]]["explained_variance"])),
            (f"RMSE, {part[1]}", lambda m: number(m[part[0]]["rmse_mv"], 2, "mV")),
        ]

    clip = f"{result['v_clip_mv']:g} mV"
    published = result["published"]
    found = [
        table(
            "Spikes",
            [
                ("test trials (without spikes)", lambda m: f"{m['trials']} ({m['trials_without_spikes']})"),
                ("biological time", lambda m: number(float(m["seconds"]), 1, "s")),
                ("ROC AUC, no shift", lambda m: number(m["auc"], 4)),
                ("ROC AUC, best shift (bins)", shifted),
                ("true positives at 0.25 % false", lambda m: number(m["tp_at_0.25_fp"])),
                ("true positives at 1 % false", lambda m: number(m["tp_at_1_fp"])),
                ("coincidence factor Γ, ±2 ms", emitted("gamma")),
                ("rate, detailed", emitted("rate_true_hz", digits=2, unit="Hz")),
                ("rate, reduced", emitted("rate_model_hz", digits=2, unit="Hz")),
                ("rate error", lambda m: percent(m["spikes"]["rate_error"], signed=True)),
                ("rate error a trial, mean size", emitted("rate_error_per_trial_hz", digits=2, unit="Hz")),
                ("mean interval, detailed / reduced", lambda m: pair(m, "isi_true_ms", "isi_model_ms", 1)),
                ("intervals, KS distance", emitted("isi_ks")),
                ("CV, detailed / reduced", lambda m: pair(m, "cv_true", "cv_model", 2)),
                ("Brier score", lambda m: number(m["calibration"]["brier"], 5)),
                ("Brier skill", lambda m: number(m["calibration"]["brier_skill"])),
                ("expected calibration error", lambda m: number(m["calibration"]["ece"], 5)),
            ],
            f"All trials, free-running, after the first {result['skip_ms']:g} ms of each. – : undefined (no spikes).",
        ),
        table(
            "Soma voltage",
            [*voltages(("voltage_clipped", f"both clipped at {clip}")),
             *voltages(("voltage_below", f"truth below {clip}"))],
            "Clipped: both voltages cut off from above. Truth below: only samples where the detailed cell is below; "
            "the reduced voltage as it is. Explained variance: 1 - mean squared error / variance.",
        ),
        table(
            "95 % confidence intervals",
            [(name, interval(key, digits)) for name, key, digits in INTERVALS],
            "Bootstrap: 1,000 times as many trials drawn with replacement. – : fewer than 5 trials, or undefined.",
        ),
        Table(
            "Published headline protocol, for comparison",
            ["", "ROC AUC", "TP at 0.25 % FP", "TP at 1 % FP", "explained variance"],
            [
                [f"this reduction ({published['trials']} trials, {published['trials_left_out']} left out)",
                 number(published["auc"], 4), number(published["tp_at_0.25_fp"]), number(published["tp_at_1_fp"]),
                 percent(published["explained_variance"])],
                ["95 % confidence interval",
                 *(interval(key, digits)(published) for key, digits in (
                     ("auc", 4), ("tp_at_0.25_fp", 3), ("tp_at_1_fp", 3), ("explained_variance_clipped", 3)))],
                *PUBLISHED,
            ],
            "First 500 ms skipped, both voltages clipped at -55 mV, only trials of 1 to 24 true spikes. The published "
            "figures are of another cell and another input: an orientation, not a contest.",
        ),
    ]  # fmt: skip
    found += [unseen_table(result)] if result["unseen"] else []
    found += [uncertainty_table(result["doubt"])] if any(result["doubt"].values()) else []
    found += [physics_table(result["physics"])] if result["physics"] else []
    return found


def unseen_table(result: dict) -> Table:
    """How the reduction takes input that no network need give."""
    plain, changes = result["unseen"]["plain"], result["unseen"]["auc_change"]
    rows = [
        [kind, str(m["trials"]), number(m["auc"], 4), interval("auc", 4)(m), number(changes.get(kind), 4, signed=True)]
        for kind, m in ((kind, result["kinds"][kind]) for kind in (plain, *changes))
    ]
    note = (
        f"Weights drawn anew for every synapse site (0.1 to 10 times), all synapses on other segments, several events "
        f"a ms on a synapse site, synchronous volleys; beside {plain}. The kinds: netml/records/README.md."
    )
    return Table("Weights and places of any kind", ["", "trials", "ROC AUC", "95 %", f"against {plain}"], rows, note)


def uncertainty_table(doubt: dict) -> Table:
    """Whether what warns in a run warned rightly on these trials."""
    rows = []
    if beyond := doubt["beyond"]:
        rows += [
            ["steps with more input than in training", percent(beyond["mean"], 2)],
            ["trials with more such steps than any held-out one", str(beyond["distrusted"])],
            ["error of the rate there (RMS)", number(beyond["error_distrusted_hz"], 2, "Hz")],
            ["error of the rate elsewhere (RMS)", number(beyond["error_hz"], 2, "Hz")],
            ["rank correlation of such steps and error, by trial", number(beyond["rank_correlation"], 2)],
        ]
    if spread := doubt["ensemble"]:
        rows += [
            ["spread of the ensemble's rates (RMS)", number(spread["sd_hz"], 2, "Hz")],
            ["error of the rate (RMS)", number(spread["error_hz"], 2, "Hz")],
            ["error / spread", number(spread["factor"], 2)],
            ["rank correlation of spread and error, by trial", number(spread["rank_correlation"], 2)],
        ]
    note = "The signs that a run gives of each reduced cell, on trials whose truth is known."
    return Table("Knowing when it is wrong", ["", ""], rows, note)


def physics_table(laws: list[dict]) -> Table:
    """Laws that no cell breaks, and whether the reduction does."""
    holds = {True: "holds", False: "broken", None: "not judged"}
    rows = [[law["name"], holds[law["passed"]], law["measured"], law["expected"]] for law in laws]
    note = "Artificial input, from the rates and weights of the training; the last row: the recorded trials."
    return Table("What every cell obeys", ["", "", "measured", "expected"], rows, note)


def shifted(m) -> str:
    if m["auc_best_shift"] is None:
        return number(None)
    return f"{m['auc_best_shift']:.4f} ({m['shift_bins']:+d})" if m["shift_bins"] else f"{m['auc_best_shift']:.4f} (0)"


def pair(m, first, second, digits) -> str:
    return f"{number(m['spikes'][first], digits)} / {number(m['spikes'][second], digits)}"


def interval(key: str, digits: int):
    """Text of one of a set of metrics' intervals."""

    def show(m) -> str:
        found = m["interval_95"][key]
        return NOTHING if found is None else f"{found[0]:.{digits}f} to {found[1]:.{digits}f}"

    return show


def headline(result: dict) -> list[tuple[str, str]]:
    """The figures on top of the page: in-network trials where there are any."""
    kind = next(iter(result["kinds"]))
    m = result["kinds"][kind]
    where = f"{kind} trials"
    return [
        (f"ROC AUC, {where}", number(m["auc"], 4)),
        (f"rate error, {where}", percent(m["spikes"]["rate_error"], signed=True)),
        (f"coincidence factor Γ, {where}", number(m["spikes"]["gamma"], 2)),
        (f"voltage explained, {where}", percent(m["voltage_clipped"]["explained_variance"])),
    ]


def write_report(folder: Path, result: dict, predictions) -> Path:
    """Draw the figures and write the page; returns its path.

    Args:
        folder: Receives ``report.html`` and ``figures/``.
        result: What :func:`netml.stages.validate.validate` measured.
        predictions: The trials, with ``kind``, ``v_mv``, ``true_v_mv``, ``spike_trains`` (see ``Prediction``).
    """
    source = result["source"]
    detection, voltage, intervals, published, *others = tables(result)
    page = html.Page(
        title=f"Reduced cell {source['cell']}",
        verdict=f"On all {source['split']} trials: {result['verdict']['sentence']}.",
        summary=(
            f"How well the reduction predicts the detailed cell it stands for, on {source['trials']} {source['split']} "
            f"trials, running free: it gets the synaptic events and the current of a trial and its own emitted spikes."
        ),
        headline=headline(result),
        warnings=result["warnings"],
        sections=[
            html.Section("Example trials", pictures=[overlay(result, predictions), raster(predictions)]),
            html.Section(
                "Spikes",
                [
                    f"Bins of {source['dt_r_ms']:g} ms. Detection scores use the spike probability of every bin; "
                    "rates, Γ and intervals use the spikes that the reduction emits: a probability above its threshold."
                ],
                [detection],
                pictures(result, predictions),
            ),
            html.Section("Voltage", tables=[voltage]),
            *current_report.sections(result.get("f_i")),
            html.Section("How sure the figures are", tables=[intervals]),
            html.Section("Beside the literature", tables=[published]),
            *(html.Section(table.title, tables=[table]) for table in others),
        ],
        facts=facts(source),
    )
    return html.write_page(folder, page)


def overlay(result, predictions) -> html.Picture:
    """One example of each of up to four kinds: the trial of median spike count."""
    examples = []
    for kind in list(result["kinds"])[:4]:
        of_kind = sorted((p for p in predictions if p.kind == kind), key=lambda p: len(p.true_spike_ms))
        p = of_kind[len(of_kind) // 2]
        time = (np.arange(len(p.v_mv)) + 1) * p.dt_ms
        seen = (time >= result["skip_ms"]) & (time <= result["skip_ms"] + EXAMPLE_MS)
        true, model = p.spike_trains(result["skip_ms"])
        end = time[seen][-1]
        examples.append({
            "title": kind, "time_ms": time[seen], "true_mv": p.true_v_mv[seen], "model_mv": p.v_mv[seen],
            "true_ms": true[true <= end], "model_ms": model[model <= end],
        })  # fmt: skip
    caption = (
        f"Soma voltage of the detailed and the reduced cell, cut off at {result['v_clip_mv']:g} mV (dotted); marks "
        "above are spikes. Of each kind, the trial with the median number of spikes."
    )
    return html.Picture("voltage", cell_figures.voltage_overlay(examples, result["v_clip_mv"]), caption)


def raster(predictions) -> html.Picture:
    kinds = list(dict.fromkeys(sorted((p.kind for p in predictions), key=lambda kind: (kind != "network", kind))))
    each = max(1, 36 // len(kinds))
    chosen = [p for kind in kinds for p in [p for p in predictions if p.kind == kind][:each]]
    trials = [(p.kind, *p.spike_trains(), p.duration_ms()) for p in chosen]
    caption = (
        f"Spikes of the detailed cell (upper line) and the reduced cell (lower line), {len(trials[:36])} of "
        f"{len(predictions)} trials."
    )
    return html.Picture("raster", cell_figures.spike_raster(trials, 36), caption)


def pictures(result, predictions) -> list[html.Picture]:
    skip = result["skip_ms"]
    found = []
    curves = {}
    groups = {kind: [p for p in predictions if p.kind == kind] for kind in result["kinds"]}
    for kind, group in {"all trials": predictions, **groups}.items():
        curve = metrics.roc_curve(*cell_metrics.pooled(group, skip))
        if curve and not (kind == "all trials" and len(result["kinds"]) == 1):
            curves[kind] = (*curve, metrics.area(*curve))
    if curves:
        caption = "Every bin scored by its spike probability. Dotted: 0.25 % and 1 % false positives."
        found.append(html.Picture("roc", cell_figures.roc(curves), caption))
    trains = [[p.spike_trains(skip)[k] for p in predictions] for k in (0, 1)]
    isi, cv = [spikes.intervals(t) for t in trains], [spikes.cv_of_isi(t) for t in trains]
    caption = f"All kinds together; in brackets how many. A trial needs {spikes.MIN_ISIS} intervals for a CV."
    found.append(html.Picture("intervals", cell_figures.intervals(*isi, *cv), caption))
    bins = result["all"]["calibration"]["bins"]
    caption = "All kinds together; bars: 95 % interval of the observed frequency (Wilson)."
    found.append(html.Picture("calibration", cell_figures.calibration(bins), caption))
    return found


def facts(source: dict) -> list[tuple[str, str]]:
    """Where the figures come from."""
    parts = ("artifact_provenance", "records_provenance")
    rows = [(name.replace("_", " "), as_text(value)) for name, value in source.items() if name not in parts]
    for part in parts:
        rows += [(f"{part.split('_')[0]}: {name}", as_text(value)) for name, value in source[part].items()]
    return rows
