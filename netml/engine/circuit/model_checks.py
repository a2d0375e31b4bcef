"""The mechanisms and sections that a network names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from netml.circuit.conditions import conditions_hold
from netml.errors import ModelError

#: Cell models that are artificial cells, whatever rules of sections would apply to them.
ARTIFICIAL = ("NetStim", "DynamicNetStim", "VecStim", "IntFire1", "IntFire2", "IntFire4")
#: Stimulations that NetPyNE makes without a mechanism of that name.
OF_NETPYNE = ("XStim",)


def to_build(net_params: Any) -> dict[str, str]:
    """Return the mechanisms that a network is built of: mechanism -> where it is named.

    They are the synapses, the membrane mechanisms and point processes of cells, artificial cells and stimulations.
    """
    wanted = {str(syn["mod"]): f"synMechParams {name!r}" for name, syn in net_params.synMechParams.items()
              if isinstance(syn.get("mod"), str)}  # fmt: skip
    for label, rule in net_params.cellParams.items():
        for name, sec in (rule.get("secs") or {}).items():
            points = [point["mod"] for point in (sec.get("pointps") or {}).values() if "mod" in point]
            where = f"section {name!r} of cellParams {label!r}"
            wanted |= dict.fromkeys(map(str, [*(sec.get("mechs") or ()), *points]), where)
    return wanted | _artificial_cells(net_params) | _stimulations(net_params)


def _artificial_cells(net_params: Any) -> dict[str, str]:
    """Cell models that must be mechanisms: those of populations whose cells no rule gives sections.

    Other names of cell models are tags for rules, which need no mechanism.
    """
    wanted = {}
    for label, pop in net_params.popParams.items():
        rule = net_params.cellParams.get(pop.get("cellType")) or {}
        model, where = pop.get("cellModel"), f"popParams {label!r}"
        if model is None:
            model, where = rule.get("cellModel"), f"cellParams {pop.get('cellType')!r}"
        if not isinstance(model, str) or not model or pop.get("originalFormat") or pop.get("numCells") == 0:
            continue
        tags = {**pop, "cellModel": model, "pop": label}
        # Cells of a list may have types of their own.
        if model in ARTIFICIAL or not (pop.get("cellsList") or _has_sections(net_params, tags)):
            wanted[model] = where
    return wanted


def _has_sections(net_params: Any, cell: dict) -> bool:
    """Whether a rule gives cells sections: by its conditions, or, without any, as the rule of their type."""
    return any(
        bool(rule.get("secs"))
        and (conditions_hold(rule["conds"], cell) if rule.get("conds") else label == cell.get("cellType"))
        for label, rule in net_params.cellParams.items()
    )


def _stimulations(net_params: Any) -> dict[str, str]:
    """Types of the stimulations that reach a population."""
    wanted = {}
    cells = [{**pop, "pop": label} for label, pop in net_params.popParams.items()]
    for target in net_params.stimTargetParams.values():
        name = target.get("source")
        kind = (net_params.stimSourceParams.get(name) or {}).get("type")
        reaches = any(conditions_hold(target.get("conds"), cell) for cell in cells)
        if isinstance(kind, str) and kind not in OF_NETPYNE and reaches:
            wanted[kind] = f"stimSourceParams {name!r}"
    return wanted


def unmade_plasticity(net_params: Any, has: Callable[[str], bool]) -> list[str]:
    """Return where rules name a mechanism of plasticity that is not there: NetPyNE goes on without it."""
    named = [(name, (rule.get("plast") or {}).get("mech")) for name, rule in net_params.connParams.items()]
    return [f"connParams {name!r}: no mechanism {mech!r}" for name, mech in named
            if isinstance(mech, str) and not has(mech)]  # fmt: skip


def from_outside(net_params: Any) -> dict[str, str]:
    """Return what artificial cells and stimulations are: kind -> where it is named."""
    cells = {str(pop.get("cellModel")): f"popParams {label!r}" for label, pop in net_params.popParams.items()}
    sources = net_params.stimSourceParams
    return cells | {str(one.get("type")): f"stimSourceParams {label!r}" for label, one in sources.items()}


def _onto_cells(net_params: Any) -> list[tuple[str, str, Any, Any]]:
    """Rules and stimulations: where they stand, their name, what they say, and the conditions of their targets."""
    rules = [("connParams", name, rule, rule.get("postConds")) for name, rule in net_params.connParams.items()]
    return rules + [
        ("stimTargetParams", name, rule, rule.get("conds")) for name, rule in net_params.stimTargetParams.items()
    ]


def unknown_sections(net_params: Any) -> list[str]:
    """Return where rules name a section that their cells do not have: NetPyNE puts such synapses on the soma."""
    found: dict[tuple, str] = {}
    for kind, name, rule, conds in _onto_cells(net_params):
        for label, pop in net_params.popParams.items():
            cell = net_params.cellParams.get(pop.get("cellType")) or {}
            known = {*(cell.get("secs") or ()), *(cell.get("secLists") or ())}
            section = rule.get("sec")
            lacks = known and isinstance(section, str) and section not in known
            if lacks and conditions_hold(conds, {**pop, "pop": label}):
                found.setdefault((kind, section, label), f"{kind} {name!r}: no section {section!r} in cells of {label}")
    return list(found.values())


def unknown_synapses(net_params: Any) -> list[str]:
    """Return where rules that reach cells with sections name a synapse that synMechParams does not have."""
    sources = net_params.stimSourceParams
    cells = [{**pop, "pop": label} for label, pop in net_params.popParams.items()
             if (net_params.cellParams.get(pop.get("cellType")) or {}).get("secs")]  # fmt: skip
    found = []
    for kind, name, rule, conds in _onto_cells(net_params):
        if "source" in rule and (sources.get(rule["source"]) or {}).get("type") != "NetStim":
            continue  # a clamp has no synapse
        named = rule.get("synMech")
        unknown = [one for one in (named if isinstance(named, list) else [named])
                   if isinstance(one, str) and one not in net_params.synMechParams]  # fmt: skip
        if unknown and any(conditions_hold(conds, cell) for cell in cells):
            found += [f"{one!r} ({kind} {name!r})" for one in unknown]
    return found


def unmatched(net_params: Any) -> list[str]:
    """Return where the conditions of rules hold for no population: such a rule connects nothing, without a word."""
    cells = [{**pop, "pop": label} for label, pop in net_params.popParams.items()]
    rules = [("connParams", name, rule, key) for name, rule in net_params.connParams.items()
             for key in ("preConds", "postConds")]  # fmt: skip
    rules += [("stimTargetParams", name, rule, "conds") for name, rule in net_params.stimTargetParams.items()]
    return [f"{kind} {name!r}: no population has {key} {rule[key]}" for kind, name, rule, key in rules
            if rule.get(key) and not any(conditions_hold(rule[key], cell) for cell in cells)]  # fmt: skip


def check_connections(cells: Iterable[Any], here: Collection[int] | None, dt: float) -> None:
    """Refuse connections that NEURON takes without a word and that spoil all that follows, or that end its run.

    Args:
        cells: NetPyNE's, of this rank.
        here: Their gids, where others have ranks of their own: spikes come from there once in a shortest delay.
        dt: Time step, ms; 0 for a variable one.

    Raises:
        ModelError: A weight or a delay that is no number; a delay between ranks below the time step.
    """
    for cell in cells:
        for conn in getattr(cell, "conns", ()):
            weight, delay, source = np.asarray(conn.get("weight", 0.0)), conn.get("delay", 0.0), conn.get("preGid")
            what = f"cell {cell.gid}, connection from {source} ({conn.get('label') or 'a stimulation'}): "
            if not (np.isfinite(weight).all() and 0 <= delay < np.inf):
                raise ModelError(
                    f"{what}weight {conn.get('weight')}, delay {delay} ms; expected numbers, and a delay of 0 or more"
                )
            far = here is not None and isinstance(source, (int, np.integer)) and source not in here
            if far and not conn.get("gapJunction") and delay < max(dt - 1e-9, 1e-9):
                raise ModelError(
                    f"{what}delay {delay:g} ms; between cells of different ranks expected "
                    f"{f'the time step of {dt:g} ms or more' if dt else 'above 0'}: lengthen it, or use --ranks 1"
                )
