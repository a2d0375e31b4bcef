"""Swap detailed cells of a NetPyNE network for reductions: one line in the user's own script.

netParams = netml.swap(netParams, {"PYR": "pyr.netml"})
sim.createSimulateAnalyze(netParams, simConfig)          # as before
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netml.artifact import Artifact
from netml.circuit.cell import cell_label
from netml.circuit.fits import check_cell
from netml.deprecation import renamed_arguments
from netml.errors import ModelError
from netml.plain import plain_arguments
from netml.toolchain import shipped


@plain_arguments
@renamed_arguments(artifacts="reductions")
def swap(
    netParams: Any, reductions: Mapping[str, str | Path], fraction: float | Mapping[str, float] = 1.0, seed: int = 0
) -> Any:
    """Network parameters whose populations run as reductions.

    Pairs, sections, locations, weights and delays of all connections stay those of the detailed network.

    Args:
        netParams: NetPyNE's ``specs.NetParams``; it is left as it was.
        reductions: ``.netml`` file by population.
        fraction: Share of each population's cells that is reduced, 0 to 1, one number or one by population.  Which
            cells depends on seed and gid alone: not on the number of ranks.
        seed: Of that choice, a whole number.

    Returns:
        NetParams to hand to ``sim.create`` and its like.

    Raises:
        ModelError: Unknown population, no single cell rule for it, a part of the network that reduced cells lack.
        ArtifactError: No such file, or a reduction of another cell.

    Example:
        >>> netParams = netml.swap(netParams, {"PYR": "PYR.netml"}, fraction=0.5)
        >>> sim.createSimulateAnalyze(netParams, simConfig)  # NetPyNE's, as before
    """
    plan = {}
    for label, path in reductions.items():
        share = float(fraction.get(label, 1.0) if isinstance(fraction, Mapping) else fraction)
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise ModelError(f"fraction of {label} to swap is {share}; expected 0 to 1")
        cell = cell_label(netParams, label)
        check_cell(netParams, label, cell, Artifact.load(path), path)
        plan[label] = {"artifact": str(shipped(path).resolve()), "cell": cell, "fraction": share, "seed": int(seed)}
    if getattr(netParams, "subConnParams", None) and any(p["fraction"] for p in plan.values()):
        raise ModelError("subConnParams move synapses along NEURON sections, which reduced cells do not have; "
                         "place the synapses in connParams (sec, loc, synsPerConn), or swap nothing")  # fmt: skip
    swapped = copy.copy(netParams)
    swapped.netmlSwap = {**(getattr(netParams, "netmlSwap", None) or {}), **plan}
    from netml.engine.circuit.swapped_population import install  # starts NEURON, which checking does not need

    install()
    return swapped


def report() -> dict[str, dict[str, Any]]:
    """What was swapped in NetPyNE's present network, {} without a swap: see ``swapped_population.report``."""
    from netml.engine.circuit import swapped_population

    return swapped_population.report()
