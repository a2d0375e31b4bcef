"""Where the cells of a network are: populations, gids and positions, as NetPyNE lays them out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from netml.circuit.conditions import TAGS, conditions_hold
from netml.errors import ModelError
from netml.network.random123 import uniform
from netml.plain import is_number

AXES = ("x", "y", "z")
POSITIONS = frozenset((*AXES, *(f"{axis}norm" for axis in AXES)))
SOURCES = ("NetStim", "VecStim")
SHAPES = ("cuboid", "cylinder", "ellipsoid")

_SIZE = {"numCells", "density", "gridSpacing", "cellsList"}
_RANGES = {f"{axis}{kind}" for axis in AXES for kind in ("Range", "normRange")}
_TRAIN = {"rate", "interval", "noise", "start", "number", "seed", "spkTimes"}
_KNOWN = _SIZE | _RANGES | _TRAIN | {"cellType", "cellModel", "pop", "params"}


@dataclass(frozen=True)
class PlacedPopulation:
    """The cells of one population.

    Attributes:
        label: In popParams.
        tags: Its entry there.
        first: gid of its first cell; the others follow.
        norm: (cells, 3) positions as fractions of the network's size.
        um: (cells, 3) positions.
        own: What each cell of a ``cellsList`` says of itself.
    """

    label: str
    tags: Mapping[str, Any]
    first: int
    norm: np.ndarray
    um: np.ndarray
    own: tuple[Mapping[str, Any], ...] = ()

    def __len__(self) -> int:
        return len(self.norm)

    def meets(self, conditions: Mapping[str, Any]) -> bool:
        """Whether its tags meet conditions, apart from those on positions."""
        return conditions_hold(conditions, {**self.tags, "pop": self.label})

    @property
    def gids(self) -> range:
        return range(self.first, self.first + len(self))

    @property
    def source(self) -> str | None:
        """NetStim or VecStim where it is a population of spike sources."""
        model = self.tags.get("cellModel")
        return model if model in SOURCES else None


class Layout:
    """All cells of a network.

    Args:
        net_params: NetPyNE's.
        seed: cfg.seeds["loc"].

    Raises:
        ModelError: A population that says something not supported, or is wrong.
    """

    def __init__(self, net_params: Any, seed: int):
        self._net, self._seed = net_params, seed
        self.size_um = np.array([getattr(net_params, f"size{axis.upper()}") for axis in AXES], float)
        self.populations: dict[str, PlacedPopulation] = {}
        if net_params.shape not in SHAPES:
            raise ModelError(f"netParams.shape is {net_params.shape!r}; expected one of {', '.join(SHAPES)}")
        first = 0
        for label, tags in net_params.popParams.items():
            population, reserved = self._population(str(label), {**tags}, first)
            self.populations[population.label] = population
            first += reserved
        self.cells = first

    @cached_property
    def um(self) -> np.ndarray:
        """(3, gids) um; NaN where a gid is not used."""
        return self._table(lambda population: population.um)

    @cached_property
    def norm(self) -> np.ndarray:
        """(3, gids), as fractions of the network's size."""
        return self._table(lambda population: population.norm)

    def _table(self, of) -> np.ndarray:
        table = np.full((3, self.cells), np.nan)
        for population in self.populations.values():
            table[:, population.first : population.first + len(population)] = of(population).T
        return table

    def position(self, name: str, gids: np.ndarray) -> np.ndarray:
        """x, y, z (um) or xnorm, ynorm, znorm of cells."""
        axis = AXES.index(name[0])
        return (self.norm if name.endswith("norm") else self.um)[axis][gids]

    def select(self, conditions: Mapping[str, Any], where: str) -> np.ndarray:
        """gids, ascending, of the cells that meet conditions.

        Args:
            conditions: By tag: a value, a list of values; by position: [from, to).
            where: For messages.

        Raises:
            ModelError: A condition on another tag.
        """
        if unknown := sorted(set(conditions) - set(TAGS) - POSITIONS):
            raise ModelError(
                f"{where} has a condition on {unknown[0]!r}, which netml.build does not support; expected "
                f"{', '.join((*TAGS, *sorted(POSITIONS)))}"
            )
        parts = [np.asarray(p.gids) for p in self.populations.values() if p.meets(conditions)]
        gids = np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)
        for name in POSITIONS & set(conditions):
            low, high = _two(conditions[name], f"{name} of {where}")
            value = self.position(name, gids)
            gids = gids[(low <= value) & (value < high)]
        return gids

    def _population(self, label: str, tags: dict, first: int) -> tuple[PlacedPopulation, int]:
        """A population, and how many gids it takes."""
        where = f"popParams {label!r}"
        if unknown := sorted(set(tags) - _KNOWN):
            raise ModelError(f"{where} has {unknown[0]!r}, which netml.build does not support; leave it out")
        if isinstance(tags.get("params"), Mapping):
            tags |= tags.pop("params")
        sized = [name for name in ("cellsList", "numCells", "density", "gridSpacing") if name in tags]
        size = sized[0] if sized else "numCells"
        if size == "cellsList":
            norm, um, own = self._listed(tags["cellsList"], where)
        elif size == "gridSpacing":
            um, own = self._grid(tags, where), ()
            norm = um / self.size_um
        else:
            norm, own = self._random(tags, size, where, first), ()
            um = norm * self.size_um
        reserved = int(tags.get("numCells", 1)) if size == "numCells" else len(norm)
        return PlacedPopulation(label, tags, first, norm, um, own), reserved

    def _range(self, tags: Mapping, axis: int, where: str) -> tuple[float, float] | None:
        """The part of an axis that a population takes, as fractions."""
        name = AXES[axis]
        if f"{name}Range" in tags:
            low, high = _two(tags[f"{name}Range"], f"{name}Range of {where}")
            return low / self.size_um[axis], high / self.size_um[axis]
        return _two(tags[f"{name}normRange"], f"{name}normRange of {where}") if f"{name}normRange" in tags else None

    def _random(self, tags: Mapping, size: str, where: str, first: int) -> np.ndarray:
        count = tags.get(size, 1)
        if not is_number(count) or not 0 <= count < math.inf:
            raise ModelError(f"{where} has {size} {count!r}; netml.build takes a number, 0 or more")
        ranges = [self._range(tags, axis, where) for axis in range(3)]
        if size == "density":
            volume = float(np.prod(self.size_um / 1e3))
            volume *= {"cuboid": 1.0, "cylinder": np.pi / 4, "ellipsoid": np.pi / 6}[self._net.shape]
            for found in ranges:
                volume *= found[1] - found[0] if found else 1.0
            count = int(count * volume)
        count = int(count)
        cells = int(self._net.scale * count) if size == "numCells" else count
        if cells > count:
            raise ModelError(f"netParams.scale is {self._net.scale}; netml.build takes 1 or less: raise numCells")
        norm = self._shaped(uniform(3 * count, count, first, self._seed).reshape(count, 3))
        for axis, found in enumerate(ranges):
            if found:
                norm[:, axis] = norm[:, axis] * (found[1] - found[0]) + found[0]
        return norm[:cells]

    def _shaped(self, u: np.ndarray) -> np.ndarray:
        """Positions in the network's shape, of a unit cube's."""
        norm = u.copy()
        if self._net.shape == "cylinder":
            radius, phi = np.sqrt(u[:, 0]), 2 * np.pi * u[:, 2]
            norm[:, 0], norm[:, 2] = (1 + radius * np.cos(phi)) / 2, (1 + radius * np.sin(phi)) / 2
        elif self._net.shape == "ellipsoid":
            radius, phi = np.power(u[:, 0], 1 / 3), 2 * np.pi * u[:, 1]
            theta = np.arccos(2 * u[:, 2] - 1)
            norm[:, 0] = (1 + radius * np.cos(phi) * np.sin(theta)) / 2
            norm[:, 1] = (1 + radius * np.sin(phi) * np.sin(theta)) / 2
            norm[:, 2] = (1 + radius * np.cos(theta)) / 2
        return norm

    def _grid(self, tags: Mapping, where: str) -> np.ndarray:
        spacing = tags["gridSpacing"]
        spacing = spacing if isinstance(spacing, (list, tuple)) else [spacing] * 3
        axes = []
        for axis in range(3):
            low, high = np.array(self._range(tags, axis, where) or (0.0, 1.0)) * self.size_um[axis]
            axes.append(np.arange(low, high + 1, spacing[axis]))
        return np.stack([found.ravel() for found in np.meshgrid(*axes, indexing="ij")], axis=1)

    def _listed(self, cells: list, where: str) -> tuple[np.ndarray, np.ndarray, tuple]:
        if unknown := sorted({name for cell in cells for name in cell} - POSITIONS - {"spkTimes"}):
            raise ModelError(f"{where} has a cellsList with {unknown[0]!r}, which netml.build does not support")
        norm, um = np.zeros((2, len(cells), 3))
        for i, cell in enumerate(cells):
            for axis, name in enumerate(AXES):
                if name in cell:
                    um[i, axis] = cell[name]
                    norm[i, axis] = cell[name] / self.size_um[axis]
                elif f"{name}norm" in cell:
                    norm[i, axis] = cell[f"{name}norm"]
                    um[i, axis] = norm[i, axis] * self.size_um[axis]
        return norm, um, tuple(cells)


def _two(value: Any, where: str) -> tuple[float, float]:
    """The ends of a range."""
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        raise ModelError(f"{where} is {value!r}; expected [from, to]") from None
    return low, high
