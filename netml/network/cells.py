"""The cells that synapses are put on, and where on them, as NetPyNE places them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from netml.circuit.cell import SegmentTable, segment_table
from netml.errors import ModelError
from netml.network.draws import Draws


@dataclass(frozen=True)
class CellKind:
    """The reduced cells of one population.

    Attributes:
        label: Of the population.
        table: Segments.
        sections: Name -> number in the table's order.
        lists: The cell's section lists.
        lengths_um: (sections), as NetPyNE takes them.
        norms: By section, its ``weightNorm``.
        synapses: Synapse types that the reduction knows; synapse site = segment x their number + place among them.
        model: cellModel, for scaleConnWeightModels.
    """

    label: str
    table: SegmentTable
    sections: Mapping[str, int]
    lists: Mapping[str, Sequence[str]]
    lengths_um: np.ndarray
    norms: Mapping[int, np.ndarray]
    synapses: tuple[str, ...]
    model: str | None = None

    @classmethod
    def of(cls, label: str, spec: dict[str, Any], synapses: Sequence[str], model: str | None = None) -> "CellKind":
        """From a ``cellParams`` entry and the synapse types of its reduction."""
        table = segment_table(spec)
        names = {name: i for i, (name, _) in enumerate(table.sections)}
        edges = np.cumsum([0, *(nseg for _, nseg in table.sections)])
        lengths = np.add.reduceat(table.length_um, edges[:-1])
        for name, i in names.items():
            lengths[i] = spec["secs"][name].get("geom", {}).get("L", lengths[i])
        norms = {
            names[name]: np.asarray(sec["weightNorm"], float)
            for name, sec in spec["secs"].items() if isinstance(sec.get("weightNorm"), list)
        }  # fmt: skip
        return cls(label, table, names, spec.get("secLists") or {}, lengths, norms, tuple(synapses), model)

    @cached_property
    def _nseg(self) -> np.ndarray:
        return np.array([nseg for _, nseg in self.table.sections])

    def at(self, sections: np.ndarray, locs: np.ndarray) -> "Placed":
        """Synapses at locations in sections, by number; arrays are broadcast."""
        first = np.cumsum(self._nseg) - self._nseg
        if locs.size == 1 and not self.norms:  # one place in each section, looked up
            return Placed((first + self._within(self._nseg, locs.ravel()))[sections], None)
        nseg = self._nseg[sections]
        segment = first[sections] + self._within(nseg, locs)
        if not self.norms:
            return Placed(segment, None)
        factor = np.ones(segment.shape)
        at = np.broadcast_to(np.rint(locs * nseg).astype(np.int64) - 1, segment.shape)  # NetPyNE's; -1 is the last
        for section, norm in self.norms.items():
            here = np.broadcast_to(sections == section, segment.shape)
            factor[here] = norm[at[here]]
        return Placed(segment, factor)

    @staticmethod
    def _within(nseg: np.ndarray, locs: np.ndarray) -> np.ndarray:
        """Number of a segment in its section."""
        return np.minimum((locs * nseg).astype(np.int64), nseg - 1)

    def named(self, sec: str | Sequence[str] | None, where: str) -> list[int]:
        """The sections that a rule names: one, a list of them, a section list, or the soma by default.

        Raises:
            ModelError: A section that the cell does not have.
        """
        if not sec:
            return [self.sections.get("soma", 0)]
        names = list(self.lists.get(sec, [sec])) if isinstance(sec, str) else sec
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise ModelError(f"{where} has sec {sec!r}; expected a section, a list of sections or a section list")
        if unknown := [name for name in names if name not in self.sections]:
            raise ModelError(
                f"{where} has sec {unknown[0]!r}; cells of {self.label} have the lists "
                f"{', '.join(self.lists) or 'none'} and the sections {', '.join(self.sections)}"
            )
        return [self.sections[name] for name in names]

    def synapse(self, label: str | None, default: str, where: str) -> int:
        """Number of a synapse type.

        Raises:
            ModelError: The reduction does not know it.
        """
        if (label or default) not in self.synapses:
            raise ModelError(
                f"{where} uses synMech {label or default!r}; the reduction of {self.label} knows "
                f"{', '.join(self.synapses)}: record and train with that synapse"
            )
        return self.synapses.index(label or default)


@dataclass(frozen=True)
class Placed:
    """Synapses of some pairs, (pairs or 1, contacts).

    Attributes:
        segment: In the cell's table.
        norm: Factor of the weight; None: 1.
    """

    segment: np.ndarray
    norm: np.ndarray | None


class Placement:
    """Where the synapses of one rule lie on one kind of cell.

    Args:
        cell: The kind.
        sections: Their numbers.
        loc: None, a number or a list, as in netParams.
        spread: Over the length of several sections (distributeSynsUniformly).
        random: Sections drawn from the list (connRandomSecFromList).
        where: For messages.
    """

    def __init__(self, cell: CellKind, sections: list[int], loc: Any, spread: bool, random: bool, where: str):
        self._cell, self._where = cell, where
        self._sections = np.asarray(sections)
        self._explicit = loc is not None
        self._locs = np.atleast_1d(np.asarray(0.5 if loc is None else loc, float))
        self._listed = isinstance(loc, (list, tuple, np.ndarray))
        self._spread, self._random = spread, random
        if not ((self._locs >= 0) & (self._locs <= 1)).all():
            raise ModelError(f"{where} has loc {loc!r}; expected 0 to 1")

    def __call__(self, contacts: int, draws: Draws) -> Placed:
        """Sites of so many synapses a pair, for pairs of which draws gives random numbers.

        Raises:
            ModelError: loc, sec and synsPerConn do not go together.
        """
        return self._cell.at(*(self._one(draws) if contacts == 1 else self._several(contacts, draws)))

    def _one(self, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        if not self._random or len(self._sections) == 1:
            return self._sections[:1, None], self._locs[:1, None]
        if len(self._locs) not in (1, len(self._sections)):
            raise self._error(f"a list of {len(self._locs)} locs for {len(self._sections)} sections, one synapse a "
                              "pair: give one loc, or one a section")  # fmt: skip
        drawn = np.floor(draws.next() * len(self._sections)).astype(np.int64)[:, None]
        return self._sections[drawn], self._locs[drawn] if len(self._locs) > 1 else self._locs[:, None]

    def _several(self, contacts: int, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        if len(self._sections) == 1:
            return self._sections[:, None], self._along(contacts)
        if self._spread:
            if self._explicit:
                raise self._error("loc and distributeSynsUniformly: leave loc out, or set that to False")
            return self._uniformly(contacts)
        if self._random:
            sections = self._sections[_pick(len(self._sections), contacts, draws)]
            if self._listed:
                return sections, self._locs[_pick(len(self._locs), contacts, draws)]
            if self._explicit:
                raise self._error("one loc for several synapses in random sections: give a list, or leave loc out")
            return sections, draws.matrix(contacts)
        if len(self._sections) != contacts or (self._listed and len(self._locs) != contacts):
            raise self._error(f"{len(self._sections)} sections and {len(self._locs)} locs for synsPerConn {contacts}: "
                              "give as many, or set connRandomSecFromList or distributeSynsUniformly")  # fmt: skip
        return self._sections[None], self._locs[None]

    def _along(self, contacts: int) -> np.ndarray:
        """Locations in one section."""
        if not self._explicit:
            return (np.arange(contacts)[None] + 0.5) / contacts
        if not self._listed or len(self._locs) != contacts:
            raise self._error(f"loc for synsPerConn {contacts}: give a list of {contacts}, or leave it out")
        return self._locs[None]

    def _uniformly(self, contacts: int) -> tuple[np.ndarray, np.ndarray]:
        """At equal distances along the sections laid end to end; loc counts from a section's far end, as in NetPyNE."""
        lengths = self._cell.lengths_um[self._sections]
        ends = np.cumsum(lengths)
        at = (np.arange(contacts) + 0.5) * (lengths.sum() / contacts)
        which = np.searchsorted(ends, at)
        return self._sections[which][None], ((ends[which] - at) / lengths[which])[None]

    def _error(self, what: str) -> ModelError:
        return ModelError(f"{self._where} has {what}")


def _pick(total: int, count: int, draws: Draws) -> np.ndarray:
    """(pairs, count) numbers below total in random order, all different where there are enough."""
    u = draws.matrix(count)
    if count > total:
        return np.floor(u * total).astype(np.int64)
    chosen = np.empty(u.shape, np.int64)
    for i in range(count):  # the r-th of those that are left
        pick = np.floor(u[:, i] * (total - i)).astype(np.int64)
        for taken in np.sort(chosen[:, :i], axis=1).T:
            pick += pick >= taken
        chosen[:, i] = pick
    return chosen
