"""The page on two runs of a circuit."""

from pathlib import Path

from netml.report import html, network_figures
from netml.report.tables import Table, as_text, factor, number, percent
from netml.validation.network_metrics import bands
from netml.validation.spikes import MIN_ISIS

RASTER_MS = 1000.0
MAX_POPULATIONS_IN_FIGURES = 6


def tables(result: dict) -> list[Table]:
    """Statistics, differences beside the noise floor, and cost."""
    return [statistics(result), differences(result), cost(result["speed"])]


def statistics(result: dict) -> Table:
    rows = []
    for name, p in result["populations"].items():
        runs = [("A", p["a"], p["reduced"][0]), ("B", p["b"], p["reduced"][1])]
        runs += [(f"floor {k + 1}" if len(p["floor"]) > 1 else "floor", f, 0) for k, f in enumerate(p["floor"])]
        for label, s, reduced in runs:
            rows.append([
                f"{name}  {label}", number(s["cells"]), number(reduced), number(s["rate_hz"], 2),
                number(s["rate_sd_hz"], 2),
                percent(s["silent_fraction"], 0), number(s["cv"], 2), number(s["correlation"], 3),
                number(s["peak_hz"], 1),
            ])  # fmt: skip
    start, stop = result["window_ms"]
    return Table(
        "Populations",
        ["run", "cells", "reduced", "rate (Hz)", "SD (Hz)", "silent", "CV", "corr.", "peak (Hz)"],
        rows,
        f"{start:g} to {stop:g} ms. Rate: mean and SD over all cells, silent ones too. CV of intervals: cells with at "
        f"least {MIN_ISIS}. corr.: mean over pairs of spiking cells, spike counts in bins of {result['bin_ms']:g} ms. "
        f"peak: of the spectrum, 2 to 200 Hz.",
    )  # fmt: skip


DIFFERENCES = [
    ("rate", "mean rate", lambda v: percent(v, signed=True)),
    ("rate_ks", "rates of cells, KS distance", lambda v: number(v, 2)),
    ("rate_mismatch", "rates cell by cell, 1 - r", lambda v: number(v, 2)),
    ("cv", "CV of ISI", lambda v: number(v, 2, signed=True)),
    ("cv_ks", "CV, KS distance", lambda v: number(v, 2)),
    ("correlation", "pairwise correlation", lambda v: number(v, 3, signed=True)),
    ("correlation_ks", "correlations, KS distance", lambda v: number(v, 2)),
    ("spectrum_db", "spectrum, RMS (dB)", lambda v: number(v, 1)),
]


def differences(result: dict) -> Table:
    """B against A, and every floor run against A."""
    populations = result["populations"]
    floors = len(result["runs"]["floor"])
    columns = ["difference from A"]
    for name in populations:
        columns += [f"{name}: B", *(f"{name}: floor{f' {k + 1}' if floors > 1 else ''}" for k in range(floors))]
    rows = []
    for key, title, show in DIFFERENCES:
        row = [title]
        for p in populations.values():
            row += [show(p["difference"][key]), *(show(f[key]) for f in p["floor_difference"])]
        rows.append(row)
    note = "A KS distance is the largest gap between two cumulative distributions, 0 (equal) to 1. "
    note += (
        "floor: another detailed run, against A; a difference of its size is chance."
        if floors
        else "No noise floor was given: --floor RUN."
    )
    return Table("Differences", columns, rows, note)


def cost(speed: dict) -> Table:
    run, whole = speed["run_s_per_s"], speed["whole_s"]
    return Table(
        "Run time",
        ["", "A", "B", "A / B"],
        [
            ["time loop, s a biological second", number(run["a"]), number(run["b"]), factor(speed["ratio"])],
            ["setup, build and time loop, s", number(whole["a"], 1), number(whole["b"], 1),
             ratio(whole["a"], whole["b"])],
            ["replaced detailed cells against reduced cells, s a biological second", number(speed["detailed_s_per_s"]),
             number(speed["reduced_s_per_s"], 5), factor(speed["cells_ratio"])],
        ],
        (f"Replaced cells not compared: {speed['why_not']}. " if speed["why_not"] else "")
        + (speed["how"] if speed["cells_ratio"] else "Wall times are those that each run measured of itself."),
    )  # fmt: skip


def ratio(a, b) -> str:
    return factor(a / b) if a and b else number(None)


def write_report(folder: Path, result: dict, runs) -> Path:
    """Draw the figures and write the page; returns its path.

    Args:
        folder: Receives ``report.html`` and ``figures/``.
        result: What :func:`netml.stages.compare.compare` measured.
        runs: (label, Run, {population: PopulationStatistics}) of A, B and the floors.
    """
    page = html.Page(
        title=f"{runs[0][0]} — {runs[1][0]}",
        summary=(
            f"Two runs of the circuit {Path(str(result['runs']['a']['model'])).name}, compared population by population"
            + (f", beside {len(runs) - 2} noise-floor run(s)." if len(runs) > 2 else ".")
        ),
        headline=headline(result),
        warnings=result["warnings"],
        sections=[
            html.Section(
                "Activity",
                ["Spikes of a chaotic network differ one by one even between runs that differ in nothing but rounding. "
                 "What can agree are the statistics below."],
                [statistics(result), differences(result)],
                pictures(result, runs),
            ),
            html.Section("Run time", tables=[cost(result["speed"])]),
        ],
        facts=facts(result["runs"]),
    )  # fmt: skip
    return html.write_page(folder, page)


def headline(result: dict) -> list[tuple[str, str]]:
    found = [
        (f"mean rate of {name}, B against A", percent(p["difference"]["rate"], signed=True))
        for name, p in list(result["populations"].items())[:4]
    ]
    found.append(("run time, A / B", factor(result["speed"]["ratio"])))
    if result["speed"]["cells_ratio"]:
        found.append(("replaced cells / reduced cells, run time", factor(result["speed"]["cells_ratio"])))
    return found


def pictures(result: dict, runs) -> list[html.Picture]:
    """All figures; the largest populations where there are many."""
    start, stop = result["window_ms"]
    sizes = {name: p["a"]["cells"] for name, p in result["populations"].items()}
    names = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:MAX_POPULATIONS_IN_FIGURES]
    names = [name for name in sizes if name in names]
    shown = f" The {len(names)} largest populations." if len(names) < len(sizes) else ""
    stats = [(label, {name: s[name] for name in names}) for label, _, s in runs]
    end = min(stop, start + RASTER_MS)
    spikes = [(label, {n: (*run.spikes(n), sizes[n]) for n in names}) for label, run, _ in runs[:2]]
    figures = [
        ("raster", network_figures.raster(spikes, start, end),
         f"Spikes of all cells (at most {network_figures.MAX_RASTER_CELLS} a population) and rates of the populations, "
         f"{start:g} to {end:g} ms."),
        ("rates", network_figures.rates(stats), "Mean rate of each population; points are cells."),
        ("cells", network_figures.same_cells(stats), "Each point is a cell: its rate in A and in the other run."),
        ("cv", network_figures.distributions(stats, "cv", "CV of ISI"),
         f"Irregularity of cells with at least {MIN_ISIS} intervals; in brackets how many."),
        ("correlations",
         network_figures.distributions(stats, "correlations", f"correlation, {result['bin_ms']:g} ms bins"),
         "Pairwise correlations of spike counts; in brackets how many pairs."),
        ("spectra", network_figures.spectra(stats, bands),
         "Spectrum of a population's spikes over that of independent Poisson cells of the same rate (grey line at 1): "
         "thin, the spectrum; thick, its mean over bands."),
    ]  # fmt: skip
    return [html.Picture(name, png, caption + shown) for name, png, caption in figures]


def facts(runs: dict) -> list[tuple[str, str]]:
    rows = []
    for label, run in [
        ("A", runs["a"]),
        ("B", runs["b"]),
        *((f"floor {k + 1}", f) for k, f in enumerate(runs["floor"])),
    ]:
        for key, value in run.items():
            rows.append((f"{label}: {key.replace('_', ' ')}", as_text(value)))
    return rows
