"""What belongs to an experiment and not to a cell: electrodes of a session file are set aside, temperature is said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from netml.circuit.cell_source import DEFAULTS
from netml.engine.mechanisms.syntax_tree import code_of
from netml.errors import ModelError


def set_aside(h: Any, sections: list[Any]) -> tuple[tuple[str, ...], Any]:
    """Take electrodes, counters and connections from stimulators off a cell.

    Args:
        h: neuron.h, the cell built.
        sections: All of the cell.

    Returns:
        (a line on what was left out, or none; what must live as long as the cell).

    Raises:
        ModelError: The cell makes a connection onto itself, which would be lost.
    """
    spare, moved = h.Section(name="set_aside"), Counter[str]()
    for sec in sections:
        for seg in sec:
            for point in seg.point_processes():
                mechanism = point.hname().partition("[")[0]
                if _of_an_experiment(h, mechanism):
                    moved[f"{mechanism} at {sec.name().rpartition('.')[2]}({seg.x:g})"] += 1
                    point.loc(spare(0.5))
    members = set(sections)
    for netcon in h.List("NetCon"):
        target, source = netcon.syn(), netcon.pre()
        if target is None or not target.has_loc() or target.get_segment().sec not in members:
            continue
        if source is None:
            raise ModelError(
                f"the cell makes a connection to its own {target.hname()}; leave it out of the source, and "
                "connect the cell in netParams.py"
            )
        netcon.active(False)
        moved[f"a connection from {source.hname().partition('[')[0]}"] += 1
    left = ", ".join(what + (f" ({count} times)" if count > 1 else "") for what, count in moved.items())
    return ((f"left out, as part of an experiment and not of the cell: {left}",) if left else ()), spare


def _of_an_experiment(h: Any, mechanism: str) -> bool:
    """Whether a point process is an electrode, a counter, or NEURON's synapse of a fixed time."""
    kind = h.MechanismType(1)
    kind.select(mechanism)
    if kind.is_netcon_target(kind.selected()):
        return False
    code = _code(kind, mechanism)
    passes = re.search(r"\b(NONSPECIFIC_CURRENT|WRITE)\b", code)
    return mechanism == "AlphaSynapse" or "ELECTRODE_CURRENT" in code or (bool(code) and not passes)


def default_conditions(h: Any, mechanisms: Iterable[str], celsius: float, v_init: float) -> tuple[str, ...]:
    """A line where the temperature is NEURON's own and mechanisms depend on it; else none.

    Args:
        h: neuron.h.
        mechanisms: Density mechanisms of the cell.
        celsius: degC that the cell is run at, chosen by nobody but, maybe, its source.
        v_init: mV, as celsius.
    """
    if celsius != DEFAULTS["celsius"]:
        return ()
    kind = h.MechanismType(0)
    warm = [name for name in sorted(set(mechanisms)) if re.search(r"\bcelsius\b", _code(kind, name))]
    if not warm:
        return ()
    also = f", and v_init {v_init:g} mV" if v_init == DEFAULTS["v_init"] else ""
    depend = f"{', '.join(warm)} depend{'s' if len(warm) == 1 else ''} on the temperature"
    return (
        f"celsius is {celsius:g} degC{also}, NEURON's default; {depend}. If the cell was made for another, give "
        "--celsius and --v-init",
    )


def _code(kind: Any, mechanism: str) -> str:
    """Code of a mechanism's mod file, as NEURON kept it."""
    kind.select(mechanism)
    return code_of(kind.code())
