"""`simulate`: a NetPyNE project under MPI, into a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from netml.circuit.project import find_project
from netml.deprecation import renamed_arguments
from netml.engine.circuit import output as run_folder
from netml.engine.circuit.run import SimulateConfig, run
from netml.engine.ranks import mpi
from netml.engine.ranks.launch import launch
from netml.plain import plain_arguments


@plain_arguments
@renamed_arguments(swap="reductions")
def simulate(
    model: str | Path,
    *,
    ranks: int | None = None,
    duration: float | None = None,
    seed: int | None = None,
    dt: float | None = None,
    engine: str = "neuron",
    build: str = "exact",
    output: str | Path | None = None,
    cfg: Mapping[str, Any] | None = None,
    reductions: Mapping[str, str | Path] | None = None,
    fraction: float = 1.0,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Run a NetPyNE project under MPI and write its run folder.

    Args:
        model: Project folder, its index.npjson, or a model that travels with netml ("models/cortex").
        ranks: MPI ranks, 1 by default; started here unless mpirun already started this process as one of them.
        duration: Length of the run, ms; the model's by default.
        seed: Of the background input (cfg.seeds["stim"]), the model's by default; the circuit stays the same.
        dt: Time step of the detailed cells, ms; the model's by default.
        engine: "neuron" or "coreneuron"; NEURON also for a model that CoreNEURON does not take, with a warning.
        build: "exact" (same spikes on any number of ranks) or "fast".
        output: Run folder; by default a new netml-runs/<model>-NNN.
        cfg: Further cfg values by dotted name.
        reductions: ``.netml`` file by population whose cells it replaces.
        fraction: Share of these populations' cells that is replaced, 0 to 1.
        overwrite: Replace a finished run in output.
        progress: Show it, where standard error is a terminal.

    Returns:
        The run's folder; read it with :meth:`netml.Run.open`.

    Raises:
        ModelError: No such project or population, or an argument that does not fit.
        ArtifactError: No such reduction, or one of another cell.
        CompileError: The mod files do not compile.
        RunError: A finished run is in output.
        OutputError: The folder cannot be written.
        LaunchError: MPI is missing, or a rank died.

    Example:
        >>> detailed = netml.simulate("models/cortex", ranks=2, duration=2000)
        >>> swapped = netml.simulate("models/cortex", ranks=2, duration=2000, reductions={"PYR": "PYR.netml"})
        >>> times_ms, cells = netml.Run.open(swapped).spikes("PYR")
    """
    config = SimulateConfig(
        model=str(model), duration=duration, seed=seed, dt=dt, engine=engine, build=build, cfg=dict(cfg or {}),
        reductions={population: str(path) for population, path in (reductions or {}).items()}, fraction=fraction,
        output=None if output is None else str(output), overwrite=overwrite, progress=progress,
    )  # fmt: skip
    project = find_project(model)  # a wrong path is said at once
    if mpi.launched_size() is not None:
        return launch(run, config, ranks=ranks, progress=progress)
    # The folder is chosen here: a rank that is killed cannot remove it.
    folder = run_folder.choose(config.output, project.name, overwrite)
    try:
        return launch(run, replace(config, output=str(folder), overwrite=True), ranks=ranks,
                      progress=progress)  # fmt: skip
    except BaseException:
        run_folder.release(folder)
        raise
