"""`netml validate-cells`: cells and connections of a model, run, against published targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netml.circuit.connections import ARROW, find_pairs
from netml.circuit.physiology import find_targets
from netml.circuit.project import find_project
from netml.engine.experiments.current_clamp import ClampJob, run_clamps
from netml.engine.experiments.paired_recording import PairJob, run_pairs
from netml.engine.ranks.launch import launch
from netml.errors import ModelError
from netml.plain import plain_arguments
from netml.validation import pairs as pair_recordings
from netml.validation.physiology import OWN_FEATURES, load_efel, scores


@plain_arguments
def validate_cells(
    model: str | Path,
    cells: Sequence[str] | None = None,
    *,
    dt: float | None = 0.025,
    ranks: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Run every cell of a model that has targets under its protocols and compare its features with them.

    So with its connections that have pair recordings, where it has a `connections.json`.

    Args:
        model: A NetPyNE project folder with `cells/NAME.targets.json` (see :mod:`netml.circuit.physiology`).
        cells: Only these, cells ("PT") and connections ("PT->PT"); None: all.
        dt: Fixed time step in ms of the cells; None for NEURON's variable step, which is faster. Connections are
            always run with the variable one.
        ranks: MPI ranks that share the protocols; 1 by default.
        progress: Show it, where standard error is a terminal.

    Returns:
        {"features": rows as of :func:`netml.validation.physiology.scores`}.

    Raises:
        ModelError: No targets, a file, a feature or a site that does not fit; no eFEL.
        CompileError: The mod files do not compile.
        LaunchError: A rank died.

    Example:
        >>> rows = netml.validate_cells("models/cortex", ["PT"])["features"]
        >>> [(row["feature"], row["value"], row["z"]) for row in rows]
    """
    if dt is not None and not 0 < dt < float("inf"):
        raise ModelError(f"dt is {dt}; expected a positive number of ms, or none for the variable step")
    known = {*load_efel().get_feature_names(), *OWN_FEATURES}
    folder = find_project(model).folder
    connections = find_pairs(folder, [name for name in cells if ARROW in name] if cells else None)
    single = [name for name in cells if ARROW not in name] if cells else None
    found = [] if single == [] else find_targets(folder, single)
    for cell in found:
        named = {name for protocol in cell.protocols for t in protocol.targets for name in t.feature.split("/")}
        if unknown := named - known:
            raise ModelError(f"eFEL has no feature {', '.join(sorted(unknown))}, which {cell.cell} has a target for")
    job = ClampJob(str(model), tuple(found), dt, progress)
    traces = launch(run_clamps, job, ranks=ranks, progress=progress) if found else {}
    rows = []
    for cell in found:
        rows += scores(cell, {p.name: traces[cell.cell, p.name] for p in cell.protocols})
    if connections:
        pair_job = PairJob(str(model), tuple(connections), progress)
        potentials = launch(run_pairs, pair_job, ranks=ranks, progress=progress)
        for pair in connections:
            rows += pair_recordings.rows(pair, potentials[pair.name])
    return {"features": rows}
