"""A cell in NEURON -> its entry of NetPyNE's cellParams, complete, or an error that says what NetPyNE cannot hold.

NetPyNE's own importer leaves out what it cannot read, names two sections alike without a word, and takes every section
of the process for the cell's; what is learned from a cell must be learned from that cell. :func:`facts` are what the
imported cell is compared by, next to its voltage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from netml.engine.cell_import.sections import is_alive
from netml.engine.cell_import.user_cell import attributes
from netml.errors import ModelError

#: Mechanism variables by MechanismStandard's number for them.
PARAMETER, ASSIGNED, STATE = 1, 2, 3


def section_names(sections: Iterable[Any]) -> dict[Any, str]:
    """Section -> its name in NetPyNE: Cell[0].dend[3] is dend_3; every section has its own.

    Raises:
        ModelError: Two sections of one name.
    """
    names: dict[Any, str] = {}
    for sec in sections:
        full = sec.name().rpartition("__nrnsec_")
        last = "section" if full[1] else full[2].rpartition(".")[2]
        name = re.sub(r"\W", "_", last.replace("]", "").replace("[", "_"))
        if name in names.values():
            if not full[1]:
                raise ModelError(f"the cell has two sections that are called {name}; give them names of their own")
            name = f"section_{len(names)}"
        names[sec] = name
    return names


def mechanism_kinds(h: Any) -> dict[str, tuple[bool, bool]]:
    """Name of every mechanism -> (is a point process, takes events)."""
    kinds = {}
    name = h.ref("")
    for points in (0, 1):
        known = h.MechanismType(points)
        for index in range(int(known.count())):
            known.select(index)
            known.selected(name)
            kinds[name[0]] = (bool(points), bool(points and known.is_netcon_target(index)))
    return kinds


def variables(h: Any, mechanism: str, kind: int) -> dict[str, int]:
    """Variables of a mechanism that each segment or instance has, with the length of arrays."""
    standard, name = h.MechanismStandard(mechanism, kind), h.ref("")
    sizes = [(standard.name(name, index), name[0]) for index in range(int(standard.count()))]
    return {full.removesuffix(f"_{mechanism}"): int(size) for size, full in sizes}


def _all_variables(h: Any, mechanism: str) -> set[str]:
    return {name for kind in (PARAMETER, ASSIGNED, STATE) for name in variables(h, mechanism, kind)}


def globals_of(h: Any) -> dict[str, float]:
    """GLOBAL variables of all mechanisms, e.g. vhalf_ih."""
    found = {}
    names = set(dir(h))
    for mechanism, (_point, _) in mechanism_kinds(h).items():
        ranged = {f"{name}_{mechanism}" for name in _all_variables(h, mechanism)}
        for name in names:
            if name.endswith(f"_{mechanism}") and name not in ranged:
                try:
                    found[name] = float(getattr(h, name))
                except (TypeError, ValueError, LookupError, AttributeError):
                    continue  # a function
    return found


def cell_params(h: Any, cell: Any, sections: list[Any], defaults: Mapping[str, float]) -> tuple[dict, dict]:
    """Return (cellParams entry, synMechParams of the synapses that stand on the cell).

    Args:
        h: neuron.h, mechanisms loaded.
        cell: What the user's source gave; its section lists become NetPyNE's.
        sections: All of the cell.
        defaults: :func:`globals_of` before the cell was built.

    Raises:
        ModelError: The cell has what an entry cannot hold.
    """
    names = section_names(sections)
    kinds = mechanism_kinds(h)
    synapses: dict[str, dict] = {}
    secs = {}
    for sec, name in names.items():
        mechs, ions = _mechanisms(h, sec, name, kinds)
        secs[name] = {"geom": _geometry(sec, name), "topol": _topology(sec, names), "mechs": mechs}
        if ions:
            secs[name]["ions"] = ions
        for seg in sec:
            for point in seg.point_processes():
                _add_synapse(h, point, f"{name}({seg.x:g})", kinds, synapses)
    changed = {name: value for name, value in globals_of(h).items() if defaults.get(name) != value}
    lists = {}
    for label, value in attributes(cell):
        if type(value).__name__ == "SectionList" or (isinstance(value, (list, tuple)) and value):
            members = [names.get(sec) if type(sec).__name__ == "Section" else None for sec in value
                       if type(sec).__name__ != "Section" or is_alive(sec)]  # fmt: skip
            if members and all(members):
                lists[label] = members
    return {"secs": secs, "secLists": lists, "globals": changed}, synapses


def check_variables(h: Any, spec: Mapping[str, Any]) -> None:
    """Refuse an entry that sets what its mechanisms do not have.

    Raises:
        ModelError: Which; and what there is.
    """
    for name, sec in spec["secs"].items():
        for mechanism, given in (sec.get("mechs") or {}).items():
            known = _all_variables(h, mechanism)
            if unknown := sorted(set(given) - known):
                raise ModelError(
                    f"section {name} sets {unknown[0]} of {mechanism}, which has {', '.join(sorted(known))}"
                )
            for variable, value in given.items():
                if isinstance(value, list) and len(value) not in (1, int(sec["geom"].get("nseg", 1))):
                    raise ModelError(
                        f"section {name} gives {len(value)} values of {variable} of {mechanism} to "
                        f"{sec['geom'].get('nseg', 1)} segments; expected one for each"
                    )


def _geometry(sec: Any, name: str) -> dict:
    geometry: dict[str, Any] = {"L": sec.L, "nseg": sec.nseg, "Ra": sec.Ra}
    for what in ("cm", "diam"):
        values = [getattr(seg, what) for seg in sec]
        if what == "diam" and sec.n3d() > 1:
            values = [sec.diam]
        if max(values) - min(values) > 1e-9 * abs(values[0]):
            remedy = "give it 3-D points (pt3dadd) or " if what == "diam" else ""
            raise ModelError(
                f"section {name} has {what} from {min(values):g} to {max(values):g} along its segments; NetPyNE holds "
                f"one for a section: {remedy}cut it into sections"
            )
        geometry[what] = values[0]
    if sec.rallbranch != 1:
        raise ModelError(f"section {name} stands for {sec.rallbranch:g} (rallbranch), which NetPyNE cannot hold")
    if sec.n3d() > 1:
        geometry["pt3d"] = [[sec.x3d(i), sec.y3d(i), sec.z3d(i), sec.diam3d(i)] for i in range(sec.n3d())]
    return geometry


def _topology(sec: Any, names: Mapping[Any, str]) -> dict:
    parent = sec.parentseg()
    if parent is None:
        return {}
    return {"parentSec": names[parent.sec], "parentX": parent.x, "childX": float(sec.orientation())}


def _values(sec: Any, read: Any) -> Any:
    """A value of each segment: one number where they agree."""
    values = [float(read(seg)) for seg in sec]
    return values[0] if len(set(values)) == 1 else values


def _mechanisms(h: Any, sec: Any, name: str, kinds: Mapping) -> tuple[dict, dict]:
    mechs, ions = {}, {}
    for mechanism, (point, _) in kinds.items():
        if point or mechanism in ("morphology", "capacitance") or not h.ismembrane(mechanism, sec=sec):
            continue
        if mechanism == "extracellular":
            raise ModelError(f"section {name} has extracellular layers, which NetPyNE's cellParams cannot hold")
        if mechanism.endswith("_ion"):
            ion = mechanism.removesuffix("_ion")
            places = {"e": f"e{ion}", "i": f"{ion}i", "o": f"{ion}o"}
            ions[ion] = {key: _values(sec, lambda seg, p=place: getattr(seg, p)) for key, place in places.items()}
            continue
        sizes = variables(h, mechanism, PARAMETER)
        if arrays := [variable for variable, size in sizes.items() if size != 1]:
            raise ModelError(f"mechanism {mechanism} has the array {arrays[0]}, which cellParams cannot hold")
        mechs[mechanism] = {
            name: _values(sec, lambda seg, v=name, m=mechanism: getattr(getattr(seg, m), v)) for name in sizes
        }
    return mechs, ions


def _add_synapse(h: Any, point: Any, where: str, kinds: Mapping, synapses: dict[str, dict]) -> None:
    """Keep the type of a synapse that stands on the cell; it does nothing without events."""
    mechanism = point.hname().partition("[")[0]
    if not kinds[mechanism][1]:
        raise ModelError(
            f"on the cell stands {mechanism} at {where}, which passes a current of its own and takes no events; "
            "NetPyNE's cellParams cannot hold it: leave it out of the source"
        )
    values = {variable: float(getattr(point, variable)) for variable, size in variables(h, mechanism, PARAMETER).items()
              if size == 1}  # fmt: skip
    kind = {"mod": mechanism, **values}
    if kind not in synapses.values():
        count = sum(one["mod"] == mechanism for one in synapses.values())
        synapses[mechanism if not count else f"{mechanism}_{count}"] = kind


def facts(h: Any, sections: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By section: what the imported cell must share (area in um2, ri in MOhm, cm in uF/cm2, styles of ions)."""
    found: dict[str, dict[str, Any]] = {}
    for name, sec in sections.items():
        found[name] = {what: [float(getattr(seg, what)() if what != "cm" else seg.cm) for seg in sec]
                       for what in ("area", "ri", "cm")}  # fmt: skip
        for mechanism in mechanism_kinds(h):
            if mechanism.endswith("_ion") and h.ismembrane(mechanism, sec=sec):
                found[name][f"style of {mechanism}"] = [float(h.ion_style(mechanism, sec=sec))]
    return found


def check_facts(original: Mapping[str, Mapping], imported: Mapping[str, Mapping]) -> None:
    """Raise ModelError where the imported cell's cable is not the original's, to single precision of its points."""
    for name, expected in original.items():
        for what, values in expected.items():
            found = imported.get(name, {}).get(what, [])
            if len(found) != len(values) or any(
                abs(a - b) > 1e-5 * max(abs(a), abs(b)) for a, b in zip(values, found, strict=True)
            ):
                raise ModelError(
                    f"section {name}: the imported cell has another {what} than the original ({found[:3]}, not "
                    f"{values[:3]}); NetPyNE cannot hold how the source sets it"
                )
