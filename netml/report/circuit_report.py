"""The page on a circuit: its cells, their connections, and what the network of them does."""

from pathlib import Path

from netml.report import circuit_figures, html
from netml.report.tables import Table, as_text, number, percent
from netml.validation.spikes import MIN_ISIS

RASTER_MS = 1000.0


def tables(result: dict) -> list[Table]:
    """Cells, connections, activity."""
    return [cells(result), connections(result), activity(result)]


def cells(result: dict) -> Table:
    rows = []
    for name, cell in result["cells"].items():
        step = result["steps"][name]
        first = next((amp for amp, rate in zip(step["current_na"], step["rate_hz"], strict=True) if rate > 0), None)
        rows.append([
            name, number(cell["segments"]), number(cell["sections"]), number(cell["rest_mv"], 1),
            number(cell["resistance_mohm"], 0), number(cell["threshold_mv"], 0),
            "no spikes" if first is None else number(first, 3), number(max(step["rate_hz"]), 0),
        ])  # fmt: skip
    return Table(
        "Types of cells",
        ["", "segments", "sections", "rest (mV)", "resistance (MΩ)", "spike above (mV)", "fires from (nA)",
         "highest rate (Hz)"], rows,
        "Rest and input resistance (a pulse of -20 pA for 200 ms) without any input. A spike is a rise through the "
        "voltage in its column, everywhere on this page. Rates in the last 400 of 600 ms under the currents of the "
        "figure.",
    )  # fmt: skip


def connections(result: dict) -> Table:
    rows = [
        [f"{pair['pre']} → {pair['post']}", number(pair["amplitude_mv"], 2, signed=True), number(pair["sd_mv"], 2),
         number(pair["latency_ms"], 1), number(pair["rest_mv"], 1)]
        for pair in result["psps"]
    ]  # fmt: skip
    return Table(
        "What one spike does", ["", "amplitude (mV)", "SD", "latency (ms)", "from (mV)"], rows,
        "Soma, at rest, by all contacts of a connection; mean and SD over cells with weights and places of their own. "
        "Latency: of a tenth of the peak, from the spike of a source that lies anywhere in the volume.",
    )  # fmt: skip


def activity(result: dict) -> Table:
    rows = [
        [name, number(s["cells"]), number(s["rate_hz"], 2), number(s["rate_sd_hz"], 2),
         percent(s["silent_fraction"], 0), number(s["cv"], 2), number(s["cv_cells"]), number(s["correlation"], 3)]
        for name, s in result["activity"].items()
    ]  # fmt: skip
    start, stop = result["window_ms"]
    return Table(
        "Activity", ["", "cells", "rate (Hz)", "SD", "silent", "CV", "of cells", "correlation"], rows,
        f"{start:g} to {stop:g} ms. Rate: mean and SD over all cells. CV of intervals: cells with at least {MIN_ISIS}. "
        f"Correlation of spike counts in bins of {result['bin_ms']:g} ms: mean over pairs of spiking cells.",
    )  # fmt: skip


def write_report(folder: Path, result: dict, run) -> Path:
    """Write the page on what :func:`netml.describe` found; returns its path."""
    spikes = {name: (*run.spikes(name), s["cells"]) for name, s in result["activity"].items()}
    start, stop = result["window_ms"]
    stop = min(stop, start + RASTER_MS)
    meta, rates = run.metadata, list(result["activity"].items())
    facts = ("model", "seed", "duration_ms", "dt_ms", "engine", "build", "ranks", "cfg", "wall", "versions")
    page = html.Page(
        title=f"The circuit {meta.get('model')}",
        summary=f"{sum(s['cells'] for s in result['activity'].values())} cells of {len(result['cells'])} types.",
        headline=[(f"rate of {name}", number(s["rate_hz"], 1, "Hz")) for name, s in rates[:8]],
        warnings=[],
        sections=[
            html.Section("Cells", tables=[cells(result)], pictures=[
                html.Picture("morphologies", circuit_figures.morphologies(result["cells"]),
                             "All types on one scale: basal dendrites green, apical ones blue, axon red."),
                html.Picture("steps", circuit_figures.steps(result["steps"], result["cells"]),
                             "Rate under steps of current into the soma, and voltage at the first that makes it fire, "
                             "or else at the last; dotted: above it is a spike."),
            ]),
            html.Section("Connections", tables=[connections(result)], pictures=[
                html.Picture("psps", circuit_figures.psps(result["psps"]), "One spike at 0 ms, onto a cell at rest."),
            ]),
            html.Section("Activity", tables=[activity(result)], pictures=[
                html.Picture("raster", circuit_figures.raster(spikes, start, stop),
                             f"Spikes and rates, {start:g} to {stop:g} ms; populations from the surface down."),
            ]),
        ],
        facts=[(key.replace("_", " "), as_text(meta.get(key))) for key in facts],
        facts_title="What was run",
    )  # fmt: skip
    return html.write_page(folder, page)
