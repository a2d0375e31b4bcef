"""Seeded generator of branching morphologies: a thick-tufted pyramidal cell and a basket cell.

A dendrite is grown branch by branch: a branch has a drawn length, then either ends or bifurcates.
What is drawn lies in the ranges that Larkman & Mason (1990, J Neurosci 10:1407-1414) and
Larkman (1991, J Comp Neurol 306:307-319, doi:10.1002/cne.903060207) report for thick layer 5
cells of the rat: short intermediate and long terminal branches, a trunk with thin obliques on its
proximal half, a tuft. It is not a fit to any reconstructed cell. Diameters at a bifurcation follow
Rall's 3/2 power law (Rall 1959, doi:10.1016/0014-4886(59)90046-9) with a smallest diameter.

A branch longer than `MAX_SECTION_UM` is cut into equal sections. A section has a constant diameter
(taper goes in steps from section to section), so `L`, `diam` and `pt3d` say exactly the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

MAX_SECTION_UM = 75.0
DENDRITE_NSEG = 3
SWC_TYPES = {"soma": 1, "axon": 2, "basal": 3, "apical": 4}


@dataclass(frozen=True)
class TreeStatistics:
    """How one dendritic tree branches. Lengths and diameters in um, as (mean, SD)."""

    intermediate_um: tuple[float, float]
    terminal_um: tuple[float, float]
    tips: tuple[int, int]  # fewest and most tips of a tree
    stem_diam_um: tuple[float, float]
    tip_diam_um: float
    angle_deg: float = 35.0  # between a daughter branch and its parent


@dataclass(frozen=True)
class PyramidalStatistics:
    """A thick-tufted layer 5 pyramidal cell. Lengths and diameters in um."""

    soma_diam_um: float = 20.0
    basal_trees: int = 6
    basal: TreeStatistics = TreeStatistics((28, 9), (105, 20), (3, 5), (2.0, 0.3), 0.7)
    trunk_um: float = 620.0
    trunk_diam_um: tuple[float, float] = (4.2, 2.0)  # at the soma and at the tuft
    obliques: int = 8
    oblique_range: tuple[float, float] = (0.08, 0.6)  # of the trunk
    oblique: TreeStatistics = TreeStatistics((30, 10), (105, 25), (1, 3), (1.1, 0.15), 0.7, 40.0)
    tufts: int = 2
    tuft: TreeStatistics = TreeStatistics((60, 15), (110, 25), (4, 5), (1.6, 0.2), 0.8, 25.0)
    axon_um: float = 60.0
    axon_diam_um: float = 1.2


@dataclass(frozen=True)
class BasketStatistics:
    """A multipolar, aspiny fast-spiking cell: short, sparsely branched dendrites."""

    soma_diam_um: float = 14.0
    trees: int = 5
    tree: TreeStatistics = TreeStatistics((35, 8), (68, 6), (2, 2), (1.2, 0.15), 0.7, 30.0)


@dataclass
class Section:
    """An unbranched cylinder: `points` [n, 3] um from the parent's end, one diameter in um."""

    name: str
    kind: str  # soma, axon, basal, apical
    parent: str | None
    parent_x: float
    points: np.ndarray
    diam_um: float
    nseg: int

    @cached_property
    def length_um(self) -> float:
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def spec(self) -> dict:
        """The section as NetPyNE's `geom` and `topol`."""
        geom = {
            "L": self.length_um,
            "diam": self.diam_um,
            "nseg": self.nseg,
            "pt3d": [[*map(float, p), self.diam_um] for p in self.points],
        }
        topol = {}
        if self.parent is not None:
            topol = {"parentSec": self.parent, "parentX": self.parent_x, "childX": 0.0}
        return {"geom": geom, "topol": topol}


@dataclass
class Morphology:
    """Sections by name, parents before children, the soma first."""

    sections: dict[str, Section] = field(default_factory=dict)

    def names(self, *prefixes: str) -> list[str]:
        """Names of the sections that start with one of `prefixes`."""
        return [name for name in self.sections if name.startswith(prefixes)]

    def path_um(self, name: str, x: float) -> float:
        """Distance in um along the tree from the soma's centre to `name` at `x`."""
        section = self.sections[name]
        if section.parent is None:
            return abs(x - 0.5) * section.length_um
        return self.path_um(section.parent, section.parent_x) + x * section.length_um

    def secs(self) -> dict[str, dict]:
        """NetPyNE's `secs` with geometry and topology, no mechanisms."""
        return {name: section.spec() for name, section in self.sections.items()}

    def write_swc(self, path: str | Path) -> None:
        """Write the points as SWC (columns: n, type, x, y, z, radius, parent)."""
        lines: list[str] = []
        last: dict[str | None, int] = {}
        soma = next(iter(self.sections.values()))
        lines.append(_swc_line(1, 1, soma.points.mean(axis=0), soma.diam_um / 2, -1))
        last[soma.name] = 1
        for section in list(self.sections.values())[1:]:
            parent = last[section.parent]
            start = 0 if section.parent == soma.name else 1  # a joint is the parent's last point
            for point in section.points[start:]:
                n = len(lines) + 1
                lines.append(_swc_line(n, SWC_TYPES[section.kind], point, section.diam_um / 2, parent))
                parent = n
            last[section.name] = parent
        Path(path).write_text("\n".join(lines) + "\n")


def _swc_line(n, kind, point, radius, parent) -> str:
    x, y, z = point
    return f"{n} {kind} {x:.3f} {y:.3f} {z:.3f} {radius:.4f} {parent}"


def pyramidal(seed: int, statistics: PyramidalStatistics | None = None) -> Morphology:
    """Grow a pyramidal cell: `soma`, `axon`, `basal_*`, `trunk_*`, `oblique_*`, `tuft_*`.

    The apical axis is +y. The same seed gives the same cell.
    """
    stats = statistics or PyramidalStatistics()
    grow = _Grower(np.random.default_rng(seed))
    half = stats.soma_diam_um / 2
    grow.soma(stats.soma_diam_um)
    grow.straight("axon", "axon", "soma", 0.0, [0, -half, 0], [0, -1, 0], stats.axon_um, stats.axon_diam_um)
    for k in range(stats.basal_trees):
        angle = 2 * np.pi * (k + grow.rng.uniform(-0.25, 0.25)) / stats.basal_trees
        direction = np.array([np.cos(angle), grow.rng.uniform(-0.8, 0.1), np.sin(angle)])
        grow.tree(f"basal_{k}", "basal", "soma", 0.5, half * _unit(direction), direction, stats.basal)
    trunk = grow.trunk(stats, np.array([0, half, 0.0]))
    low, high = stats.oblique_range
    first, last = int(low * len(trunk)), max(int(high * len(trunk)), 1)
    for k in range(stats.obliques):
        parent = trunk[first + k * (last - first) // stats.obliques]
        angle = grow.rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), 0.5, np.sin(angle)])
        grow.tree(f"oblique_{k}", "apical", parent, 1.0, None, direction, stats.oblique)
    for k in range(stats.tufts):
        angle = 2 * np.pi * k / stats.tufts
        direction = np.array([0.5 * np.cos(angle), 1.0, 0.5 * np.sin(angle)])
        grow.tree(f"tuft_{k}", "apical", trunk[-1], 1.0, None, direction, stats.tuft)
    return grow.morphology


def basket(seed: int, statistics: BasketStatistics | None = None) -> Morphology:
    """Grow a basket cell: `soma` and `dend_*`. The same seed gives the same cell."""
    stats = statistics or BasketStatistics()
    grow = _Grower(np.random.default_rng(seed))
    grow.soma(stats.soma_diam_um)
    for k in range(stats.trees):
        angle = 2 * np.pi * (k + grow.rng.uniform(-0.25, 0.25)) / stats.trees
        direction = np.array([np.cos(angle), np.sin(angle), grow.rng.uniform(-0.5, 0.5)])
        start = stats.soma_diam_um / 2 * _unit(direction)
        grow.tree(f"dend_{k}", "basal", "soma", 0.5, start, direction, stats.tree)
    return grow.morphology


def _unit(vector) -> np.ndarray:
    vector = np.asarray(vector, float)
    return vector / np.linalg.norm(vector)


class _Grower:
    """Adds sections to a morphology; every random number comes from `rng`, in order."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.morphology = Morphology()

    def add(self, name, kind, parent, parent_x, points, diam, nseg) -> str:
        self.morphology.sections[name] = Section(
            name, kind, parent, parent_x, np.round(points, 3), round(float(diam), 3), nseg
        )
        return name

    def soma(self, diam: float) -> None:
        ends = np.array([[0, -diam / 2, 0], [0, 0, 0], [0, diam / 2, 0]])
        self.add("soma", "soma", None, 0.0, ends, diam, 1)

    def straight(self, name, kind, parent, parent_x, start, direction, length, diam) -> str:
        points = np.asarray(start, float) + np.linspace(0, length, 4)[:, None] * _unit(direction)
        return self.add(name, kind, parent, parent_x, points, diam, DENDRITE_NSEG)

    def end_of(self, name: str) -> np.ndarray:
        return self.morphology.sections[name].points[-1]

    def draw(self, mean_sd, lowest: float) -> float:
        return max(float(self.rng.normal(*mean_sd)), lowest)

    def trunk(self, stats: PyramidalStatistics, start: np.ndarray) -> list[str]:
        """The apical trunk, straight up, thinning in steps; names of its sections in order."""
        count = int(np.ceil(stats.trunk_um / MAX_SECTION_UM * 1.2))
        thick, thin = stats.trunk_diam_um
        names: list[str] = []
        for k in range(count):
            diam = thick + (thin - thick) * k / (count - 1)
            parent, x = (names[-1], 1.0) if names else ("soma", 1.0)
            length = stats.trunk_um / count
            names.append(self.straight(f"trunk_{k}", "apical", parent, x, start, [0, 1, 0], length, diam))
            start = self.end_of(names[-1])
        return names

    def tree(self, name, kind, parent, parent_x, start, direction, stats: TreeStatistics) -> None:
        """A whole tree; its number of tips is drawn, then dealt out at each bifurcation."""
        tips = int(self.rng.integers(stats.tips[0], stats.tips[1] + 1))
        diam = self.draw(stats.stem_diam_um, stats.tip_diam_um)
        self.branch(name, kind, parent, parent_x, start, _unit(direction), tips, diam, stats)

    def branch(self, name, kind, parent, parent_x, start, direction, tips, diam, stats) -> None:
        terminal = tips == 1
        length = self.draw(stats.terminal_um if terminal else stats.intermediate_um, 12.0)
        count = int(np.ceil(length / MAX_SECTION_UM))
        start = self.end_of(parent) if start is None else start
        for k in range(count):
            own = diam if k == 0 else max(stats.tip_diam_um, 0.85 * diam)
            label = name if count == 1 else f"{name}_{'abcdefgh'[k]}"
            points = self.winding(start, direction, length / count)
            parent = self.add(label, kind, parent, parent_x, points, own, DENDRITE_NSEG)
            parent_x, start = 1.0, self.end_of(parent)
        if terminal:
            return
        left = int(self.rng.integers(1, tips))
        daughter = max(stats.tip_diam_um, 0.5 ** (2 / 3) * diam)
        axis = _unit(np.cross(direction, self.rng.normal(size=3)))
        for side, (sign, share) in enumerate(((1, left), (-1, tips - left))):
            angle = sign * np.deg2rad(stats.angle_deg) * self.rng.uniform(0.7, 1.3)
            turned = _unit(np.cos(angle) * direction + np.sin(angle) * np.cross(axis, direction))
            self.branch(f"{name}{side}", kind, parent, 1.0, None, turned, share, daughter, stats)

    def winding(self, start, direction, length) -> np.ndarray:
        """Four points of a slightly winding path of about `length` um."""
        steps = direction + 0.15 * self.rng.normal(size=(3, 3))
        steps *= (length / 3) / np.linalg.norm(steps, axis=1)[:, None]
        return np.vstack([start, start + np.cumsum(steps, axis=0)])
