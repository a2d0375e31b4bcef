"""`netml compare`: two runs of a circuit, population by population, beside the noise floor."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from netml.files import output_folder, replacing
from netml.plain import plain_arguments, to_json
from netml.report.network_report import write_report
from netml.runs import Run
from netml.validation import network
from netml.validation.network_metrics import BIN_MS, difference
from netml.validation.speed import speed

FACTS = (
    "model",
    "seed",
    "duration_ms",
    "dt_ms",
    "engine",
    "build",
    "ranks",
    "swap",
    "wall",
    "versions",
    "mechanisms",
    "compiler",
    "cpu_count",
    "cfg",
    "reduced",
)


@plain_arguments
def compare(
    run_a: Run | str | Path, run_b: Run | str | Path, *, output: str | Path | None = None,
    floor: Iterable[Run | str | Path] = (), skip_ms: float | None = None, bin_ms: float = BIN_MS,
) -> dict[str, Any]:  # fmt: skip
    """Compare two runs of the same populations: a detailed and a swapped one, or any two.

    Args:
        run_a: The reference: folder of a run (``netml simulate``), or :class:`Run`.
        run_b: What is compared with it, in one of these forms.
        output: Folder for ``comparison.json``, ``report.html`` and ``figures/``; nothing is written without it.
        floor: Further detailed runs with other seeds: how much the circuit differs from itself.
        skip_ms: Start of the runs that does not count, ms; by default 200 ms, at most a fifth of the shortest run.
        bin_ms: Width of the bins of the spike counts that are correlated, ms.

    Returns:
        dict, JSON-able: ``populations`` (name -> statistics of ``a``, ``b`` and ``floor``, ``difference`` and
        ``floor_difference``; see :mod:`netml.validation.network_metrics`), ``speed``, ``runs``, ``window_ms``,
        ``warnings``, ``report`` / ``json`` (paths, or None).

    Raises:
        RunError: A run is missing, unfinished or damaged, or the populations differ.
        OutputError: The output folder cannot be written.

    Example:
        >>> found = netml.compare("detailed", "swapped", floor=["other-seed"], output="comparison")
        >>> found["populations"]["PYR"]["difference"], found["speed"]["ratio"]
        >>> found["report"]  # 'comparison/report.html'
    """
    a, b, *floors = (run if isinstance(run, Run) else Run.open(run) for run in (run_a, run_b, *floor))
    for other in (b, *floors):
        network.check_populations(a, other)
    if output is not None:
        output_folder(output)
    start, stop = network.window([a, b, *floors], skip_ms)
    stats_a, stats_b, *stats_floor = (network.statistics(run, start, stop, bin_ms) for run in (a, b, *floors))
    result = {
        "runs": {"a": facts(a), "b": facts(b), "floor": [facts(run) for run in floors]},
        "window_ms": [start, stop],
        "bin_ms": bin_ms,
        "populations": {
            name: {
                "reduced": [reduced_cells(run, name) for run in (a, b)],
                "a": stats_a[name].summary(),
                "b": stats_b[name].summary(),
                "floor": [s[name].summary() for s in stats_floor],
                "difference": difference(stats_a[name], stats_b[name]),
                "floor_difference": [difference(stats_a[name], s[name]) for s in stats_floor],
            }
            for name in stats_a
        },
        "speed": speed(a.metadata, b.metadata),
        "warnings": network.warnings(a, b, floors),
        "report": None,
        "json": None,
    }
    if output is not None:
        folder = Path(output)
        runs = [(label(a, "A"), a, stats_a), (label(b, "B"), b, stats_b)]
        runs += [
            (f"floor (seed {run.metadata.get('seed')})", run, s) for run, s in zip(floors, stats_floor, strict=True)
        ]
        result["report"] = str(write_report(folder, result, runs))
        result["json"] = str(folder / "comparison.json")
        with replacing(folder / "comparison.json") as path:
            path.write_text(to_json(result, indent=1))
    return result


def facts(run: Run) -> dict:
    """What a run says about itself."""
    return {"folder": str(run.folder), **{key: run.metadata.get(key) for key in FACTS}}


def reduced_cells(run: Run, name: str) -> int:
    return int(run.populations[name].get("reduced") or 0)


def label(run: Run, letter: str) -> str:
    """Short name of a run in figures."""
    kind = "swapped" if run.metadata.get("swap") else "detailed"
    return f"{letter}: {kind}"
