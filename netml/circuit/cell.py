"""A cell as plain data: its segments, its channels and its fingerprint.

Works on NetPyNE's ``cellParams`` entries (``secs`` with ``geom``, ``topol``, ``mechs``, ...) without NEURON, so that
what was recorded, trained and swapped can be checked to be one and the same cell.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from netml.circuit.conditions import conditions_hold
from netml.errors import ModelError
from netml.plain import plain


@dataclass(frozen=True)
class SegmentTable:
    """The segments of a cell, section by section in the cell's own order, the soma first.

    Attributes:
        sections: Pairs of section name and nseg.
        x: (segments) centre of the segment in its section, 0..1.
        parent: (segments) index of the parent segment; -1 at the root.
        path_um: (segments) distance from the middle of the root section along the dendrite.
        length_um, diam_um: (segments).
    """

    sections: tuple[tuple[str, int], ...]
    x: np.ndarray
    parent: np.ndarray
    path_um: np.ndarray
    length_um: np.ndarray
    diam_um: np.ndarray

    def __len__(self) -> int:
        return self.x.size

    @cached_property
    def section(self) -> np.ndarray:
        """(segments) name of the section of each segment."""
        return np.repeat([name for name, _ in self.sections], [nseg for _, nseg in self.sections])

    @cached_property
    def _first(self) -> dict[str, tuple[int, int]]:
        first, table = 0, {}
        for name, nseg in self.sections:
            table[name] = (first, nseg)
            first += nseg
        return table

    def find(self, section: str, loc: float) -> int:
        """Index of the segment of ``section`` that holds ``loc`` (0..1), as NEURON chooses it.

        Raises:
            ModelError: Unknown section, or loc outside 0..1.
        """
        if section not in self._first:
            raise ModelError(f"cell has no section {section!r}; it has {', '.join(self._first)}")
        if not 0 <= loc <= 1:
            raise ModelError(f"loc is {loc} on section {section!r}; expected 0 to 1")
        first, nseg = self._first[section]
        return first + min(int(loc * nseg), nseg - 1)

    def check_soma(self, section: str, loc: float, what: str) -> None:
        """Refuse a place that is not the middle segment of the soma, where reductions take current.

        Args:
            section: Name of a section.
            loc: Place along it, 0 to 1.
            what: What lies there, for the message.

        Raises:
            ModelError: Another segment, an unknown section, or loc outside 0..1.
        """
        soma = self.sections[0][0]
        if self.find(section, loc) != self.find(soma, 0.5):
            raise ModelError(
                f"{what} lies at {section}({loc:g}); a reduction takes current at {soma}(0.5) only: move it there, or "
                "keep the cell detailed and unrecorded"
            )

    def to_dict(self) -> dict:
        """Plain lists for JSON; floats keep their full precision."""
        plain = {name: getattr(self, name).tolist() for name in ("x", "parent", "path_um", "length_um", "diam_um")}
        return {"sections": [list(pair) for pair in self.sections], **plain}

    @classmethod
    def from_dict(cls, plain: dict) -> "SegmentTable":
        floats = {name: np.asarray(plain[name], float) for name in ("x", "path_um", "length_um", "diam_um")}
        sections = tuple((str(name), int(nseg)) for name, nseg in plain["sections"])
        return cls(sections=sections, parent=np.asarray(plain["parent"], np.int64), **floats)


def segment_table(cell_spec: dict) -> SegmentTable:
    """Segments of a NetPyNE cell.

    Args:
        cell_spec: A ``cellParams`` entry with ``secs``.

    Raises:
        ModelError: No sections, no single root, a parent that is not there, or a section without L or diam.
    """
    secs = cell_spec.get("secs") or {}
    if not secs:
        raise ModelError("cell has no sections ('secs'); point cells cannot be reduced")
    order = _root_first(secs)
    sections: list[tuple[str, int]] = []
    first: dict[str, int] = {}
    columns: dict[str, list[float]] = {k: [] for k in ("x", "parent", "path_um", "length_um", "diam_um")}
    start_um: dict[str, float] = {}  # path distance at the 0 end of a section
    for name in order:
        geom = secs[name].get("geom") or {}
        nseg = int(geom.get("nseg", 1) or 1)
        length, diameter = _length_and_diameter(name, geom)
        first[name] = len(columns["x"])
        topol = secs[name].get("topol") or {}
        parent = topol.get("parentSec")
        if parent is None:
            start_um[name], root = -length / 2, -1
        else:
            parent_x = 1.0 if topol.get("parentX") is None else float(topol["parentX"])
            parent_length, _ = _length_and_diameter(parent, secs[parent].get("geom") or {})
            start_um[name] = abs(start_um[parent] + parent_x * parent_length)
            root = first[parent] + min(int(parent_x * dict(sections)[parent]), dict(sections)[parent] - 1)
        sections.append((name, nseg))
        for i in range(nseg):
            x = (i + 0.5) / nseg
            columns["x"].append(x)
            columns["parent"].append(root if i == 0 else first[name] + i - 1)
            columns["path_um"].append(abs(start_um[name] + x * length))
            columns["length_um"].append(length / nseg)
            columns["diam_um"].append(diameter(x))
    arrays = {k: np.asarray(v, np.int64 if k == "parent" else float) for k, v in columns.items()}
    return SegmentTable(sections=tuple(sections), **arrays)


def _root_first(secs: dict) -> list[str]:
    """Section names, every parent before its children, otherwise in the cell's own order."""
    parents = {name: (sec.get("topol") or {}).get("parentSec") for name, sec in secs.items()}
    if unknown := {p for p in parents.values() if p is not None and p not in secs}:
        raise ModelError(f"cell has sections that hang on unknown ones: {', '.join(sorted(unknown))}")
    roots = [name for name, parent in parents.items() if parent is None]
    if len(roots) != 1:
        raise ModelError(f"cell has {len(roots)} root sections ({', '.join(roots)}); expected one, the soma")
    order, placed, waiting = [], set(), list(secs)
    while waiting:
        ready = [name for name in waiting if parents[name] is None or parents[name] in placed]
        if not ready:
            raise ModelError(f"cell's sections form a loop: {', '.join(waiting)}")
        order += ready
        placed.update(ready)
        waiting = [name for name in waiting if name not in placed]
    return order


def _length_and_diameter(name: str, geom: dict):
    """Length in um and the diameter in um as a function of x, from pt3d where there is one."""
    points = np.asarray(geom.get("pt3d") or [], float)
    if len(points) > 1:
        steps = np.linalg.norm(np.diff(points[:, :3], axis=0), axis=1)
        arc = np.concatenate([[0.0], np.cumsum(steps)])
        if arc[-1] > 0:
            return float(arc[-1]), lambda x: float(np.interp(x * arc[-1], arc, points[:, 3]))
    if geom.get("L") is None or geom.get("diam") is None:
        raise ModelError(f"section {name!r} has neither pt3d points nor both L and diam in its geom")
    return float(geom["L"]), lambda x: float(geom["diam"])


def cell_label(netParams, population: str) -> str:
    """Label of the one ``cellParams`` entry that makes the cells of a population.

    Raises:
        ModelError: Unknown population; no entry, several, or one without sections.
    """
    if population not in netParams.popParams:
        known = ", ".join(map(str, netParams.popParams))
        raise ModelError(f"the model has no population {population!r}; it has {known}")
    tags = {**netParams.popParams[population], "pop": population}
    if tags.get("originalFormat"):
        raise ModelError(f"population {population} is {tags['originalFormat']}; only NetPyNE cells can be reduced")
    fitting = [
        label for label, rule in netParams.cellParams.items()
        if (conditions_hold(rule["conds"], tags) if rule.get("conds") else label == tags.get("cellType"))
    ]  # fmt: skip
    if len(fitting) != 1:
        found = f"{len(fitting)} cellParams entries ({', '.join(fitting)})" if fitting else "no cellParams entry"
        raise ModelError(f"population {population} has {found} for its cells; a reduction needs exactly one")
    if not netParams.cellParams[fitting[0]].get("secs"):
        raise ModelError(f"cells of {population} ({fitting[0]}) have no sections; point cells cannot be reduced")
    return fitting[0]


def fingerprint(cell_spec: dict, syn_mech_params: dict) -> str:
    """SHA-256 (hex) of what makes the cell's physics: sections, and the synapse types that reach it.

    Labels, conditions and section lists are left out: they do not change how the cell responds.

    Args:
        cell_spec: A ``cellParams`` entry.
        syn_mech_params: Parameters by synapse type, only the types of interest.
    """
    physics = {"secs": cell_spec.get("secs", {}), "globals": cell_spec.get("globals", {}), "synapses": syn_mech_params}
    return hashlib.sha256(json.dumps(canonical(physics), sort_keys=True).encode()).hexdigest()


def canonical(value):
    """Numbers as floats of 12 digits, so that 1 and 1.0, list and tuple, or a JSON round trip make no difference."""
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [canonical(v) for v in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float, np.number)):
        return float(f"{float(value):.12g}")
    return repr(value)


def to_plain_python(value: Any) -> Any:
    """NetPyNE's Dict, ODict and lists, and NumPy's numbers, as Python's own."""
    if isinstance(value, Mapping):
        return {str(key): to_plain_python(item) for key, item in value.items()}
    return [to_plain_python(item) for item in value] if isinstance(value, (list, tuple)) else plain(value)


def threshold_mv(net_params: Any, spec: dict) -> float:
    """Voltage whose upward crossing is a spike, as NetPyNE chooses it."""
    secs = spec["secs"]
    source = next((sec for sec in secs.values() if "spikeGenLoc" in sec), None)
    if source is None:
        source = next(sec for sec in secs.values() if not (sec.get("topol") or {}).get("parentSec"))
    return float(source.get("threshold", net_params.defaultThreshold))
