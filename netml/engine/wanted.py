"""The mechanisms that a network names."""

from __future__ import annotations

from typing import Any


def to_build(net_params: Any) -> dict[str, str]:
    """Return the synapses, membrane mechanisms and point processes of cells: mechanism -> where it is named."""
    wanted = {str(syn["mod"]): f"synMechParams {name!r}" for name, syn in net_params.synMechParams.items()
              if isinstance(syn.get("mod"), str)}  # fmt: skip
    for label, rule in net_params.cellParams.items():
        for name, sec in (rule.get("secs") or {}).items():
            points = [point["mod"] for point in (sec.get("pointps") or {}).values() if "mod" in point]
            where = f"section {name!r} of cellParams {label!r}"
            wanted |= dict.fromkeys(map(str, [*(sec.get("mechs") or ()), *points]), where)
    return wanted


def from_outside(net_params: Any) -> dict[str, str]:
    """Return what artificial cells and stimulations are: kind -> where it is named."""
    cells = {str(pop.get("cellModel")): f"popParams {label!r}" for label, pop in net_params.popParams.items()}
    sources = net_params.stimSourceParams
    return cells | {str(one.get("type")): f"stimSourceParams {label!r}" for label, one in sources.items()}
