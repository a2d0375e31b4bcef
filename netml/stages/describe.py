"""One page on a circuit: what its cells, its connections and the network of them do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netml.engine.circuit.run import SimulateConfig
from netml.engine.circuit.simulate import simulate
from netml.engine.experiments.cell_survey import DRIVES_MV, StepsJob, survey_connections, survey_steps
from netml.engine.ranks.launch import launch
from netml.files import output_folder, replacing
from netml.plain import plain_arguments, to_json
from netml.report.circuit_report import write_report
from netml.runs import Run
from netml.validation import network
from netml.validation.network_metrics import BIN_MS


@plain_arguments
def describe(
    model: str | Path,
    output: str | Path = "circuit-report",
    *,
    ranks: int | None = None,
    duration: float = 1000.0,
    seed: int | None = None,
    cfg: Mapping[str, Any] | None = None,
    engine: str = "coreneuron",
    build: str = "fast",
    run: str | Path | None = None,
    skip_ms: float | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Run a circuit, its cells alone and its connections one by one, and write a page with figures and tables.

    Args:
        model: Project folder, its index.npjson, or a model that travels with netml ("models/cortex").
        output: Folder for report.html, figures/, circuit.json and the network's run.
        ranks: MPI ranks of the network's run; 1 by default.
        duration: Length of the network's run, ms.
        seed: Of the background input (cfg.seeds["stim"]), the model's by default.
        cfg: Further cfg values by dotted name.
        engine: "coreneuron", which takes the least time, or "neuron"; as in :func:`netml.simulate`.
        build: "fast", or "exact" (same spikes on any number of ranks).
        run: A finished run of the circuit to show instead of a new one.
        skip_ms: Start of the run that does not count; by default 200 ms, at most a fifth of it.
        progress: Show it, where standard error is a terminal.

    Returns:
        dict, JSON-able: ``cells`` and ``steps`` by type, ``psps``, ``populations`` (all three: see
        :mod:`netml.engine.experiments.cell_survey`), ``activity`` by population from the surface down
        (:meth:`netml.validation.network_metrics.PopulationStatistics.summary`), ``window_ms``, ``bin_ms``, ``run``,
        ``report`` and ``json`` (paths).

    Raises:
        ModelError: No such project, or an argument that does not fit.
        CompileError: The mod files do not compile.
        RunError: The run is missing, unfinished or damaged.
        LaunchError: A rank died.
        OutputError: The folder cannot be written.

    Example:
        >>> found = netml.describe("models/cortex", "cortex-report", ranks=2)
        >>> found["report"]  # 'cortex-report/report.html'
    """
    folder = output_folder(output)
    config = SimulateConfig(
        model=str(model), seed=seed, engine=engine, build=build, cfg=dict(cfg or {}), progress=progress
    )
    found = launch(survey_connections, config, progress=progress)
    resistances = {name: cell["resistance_mohm"] for name, cell in found["cells"].items()}
    currents = {name: [float(mv / resistance) for mv in DRIVES_MV] for name, resistance in resistances.items()}
    steps = launch(survey_steps, StepsJob(config, currents), progress=progress)
    if run is None:
        run = simulate(model, ranks=ranks, duration=duration, seed=seed, engine=engine, build=build, cfg=cfg,
                       output=folder / "run", overwrite=True, progress=progress)  # fmt: skip
    shown = Run.open(run)
    window = network.window([shown], skip_ms)
    activity = network.statistics(shown, *window)
    depth = {name: one["depth_um"] for name, one in found["populations"].items()}
    order = sorted(activity, key=lambda name: depth.get(name, float("inf")))  # stable: else as in the model
    result = found | {
        "steps": steps, "activity": {name: activity[name].summary() for name in order}, "window_ms": list(window),
        "bin_ms": BIN_MS, "run": str(run),
    }  # fmt: skip
    result |= {"report": str(write_report(folder, result, shown)), "json": str(folder / "circuit.json")}
    with replacing(folder / "circuit.json") as path:
        path.write_text(to_json(result) + "\n")
    return result
