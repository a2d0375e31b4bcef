"""What a cell is measured by: current-clamp protocols and published targets of its features, as plain data.

A file `NAME.targets.json` beside the cells of a model:

    {"cell": "NAME.json", "celsius": 34, "v_init_mv": -75, "source": "...",
     "protocols": {"Step1": {
        "total_ms": 3000, "window_ms": [700, 2700],
        "currents": [{"site": "soma", "start_ms": 700, "duration_ms": 2000, "amp_na": 0.458}, ...],
        "record": {"soma": "soma", "dend": {"list": "trunk", "path_um": 660}},
        "features": [{"feature": "AP_height", "target": 25.0, "sd": 3.1}, ...]}}}

A site is a section's name (its middle), or the segment of a section list at a path distance from the soma. A current
with `rise_ms` and `decay_ms` has the shape of a synaptic one, of peak `amp_na`. A feature is named as in eFEL, is
"time_above_threshold" (ms in the window), or is the quotient of two, "inv_last_ISI/inv_first_ISI"; it may name its own
`at` (a recorded site, "soma" by default), `threshold_mv` (of spikes, -20 by default) and `source`. Besides protocols
there may be f-I slopes,
{"slopes": [{"from": "Step1", "to": "Step2", "target": 55, "sd": 27}]}: Hz of the mean rate in the window per nA of the
protocols' last current.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netml.circuit.cell_entry import read_entry
from netml.errors import ModelError

if TYPE_CHECKING:
    from netml.circuit import schema

SUFFIX = ".targets.json"
SPIKE_MV = -20.0


@dataclass(frozen=True)
class Site:
    """A place on a cell: ``section`` at ``x``, or of the section list ``section`` the segment at ``path_um``."""

    section: str
    x: float = 0.5
    path_um: float | None = None

    @classmethod
    def of(cls, plain: str | schema.Site) -> Site:
        return cls(plain) if isinstance(plain, str) else cls(plain.list, path_um=plain.path_um)


@dataclass(frozen=True)
class Current:
    """An injected current: a step, or with ``rise_ms`` and ``decay_ms`` a double exponential of peak ``amp_na``."""

    site: Site
    start_ms: float
    amp_na: float
    duration_ms: float | None = None
    rise_ms: float | None = None
    decay_ms: float | None = None

    def shape_na(self, t: np.ndarray) -> np.ndarray:
        """The double exponential at the times t, ms."""
        assert self.rise_ms is not None and self.decay_ms is not None
        rise, decay, since = self.rise_ms, self.decay_ms, np.maximum(t - self.start_ms, 0.0)
        peak = rise * decay / (decay - rise) * np.log(decay / rise)
        scale = self.amp_na / (np.exp(-peak / decay) - np.exp(-peak / rise))
        return scale * (np.exp(-since / decay) - np.exp(-since / rise))


@dataclass(frozen=True)
class Target:
    """Published mean and SD of one feature of a protocol.

    Attributes:
        feature: its name in eFEL or netml's own, or two with / between.
        at: name of the recorded site.
        threshold_mv: upward crossing that makes a spike.
        source: who measured it.
    """

    feature: str
    target: float
    sd: float
    at: str
    threshold_mv: float
    source: str


@dataclass(frozen=True)
class Protocol:
    """Currents, what is recorded and what is expected; features are taken inside ``window_ms``."""

    name: str
    total_ms: float
    window_ms: tuple[float, float]
    currents: tuple[Current, ...]
    record: dict[str, Site]
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Slope:
    """Published mean and SD of the f-I slope in Hz/nA between two protocols, by name."""

    first: str
    second: str
    target: float
    sd: float
    source: str


@dataclass(frozen=True)
class CellTargets:
    """A cell's file (a NetPyNE ``cellParams`` entry), its protocols and the slopes between them."""

    cell: str
    file: Path
    celsius: float
    v_init_mv: float
    protocols: tuple[Protocol, ...]
    slopes: tuple[Slope, ...] = ()

    def spec(self) -> dict:
        """The cell.

        Raises:
            ModelError: Not there, or no cell.
        """
        return read_entry(self.file)


def find_targets(folder: Path, cells: Sequence[str] | None = None) -> list[CellTargets]:
    """The cells of a model that have targets, `cells/*.targets.json` in its folder, by name.

    Args:
        folder: The model's.
        cells: Only these; None: all.

    Raises:
        ModelError: None, an unknown one, or a file that does not read.
    """
    files = {path.name.removesuffix(SUFFIX): path for path in sorted((folder / "cells").glob(f"*{SUFFIX}"))}
    if not files:
        raise ModelError(f"no targets in {folder / 'cells'}; expected CELL{SUFFIX} beside the cells")
    if unknown := [name for name in cells or () if name not in files]:
        raise ModelError(f"no targets for {', '.join(unknown)}; there are some for {', '.join(files)}")
    return [read_targets(path) for name, path in files.items() if not cells or name in cells]


def read_targets(path: Path) -> CellTargets:
    """Read a file of targets.

    Raises:
        ModelError: What is missing or wrong in it.
    """
    from netml import checked
    from netml.circuit.schema import Targets

    plain = checked.read(Targets, path, ModelError, "netml/circuit/physiology.py says what it must have")
    protocols = tuple(_protocol(name, one, plain.source) for name, one in plain.protocols.items())
    slopes = tuple(Slope(one.first, one.second, one.target, one.sd, one.source or plain.source) for one in plain.slopes)
    return CellTargets(
        path.name.removesuffix(SUFFIX), path.parent / plain.cell, plain.celsius, plain.v_init_mv, protocols, slopes
    )


def _protocol(name: str, plain: schema.Protocol, source: str) -> Protocol:
    record = {label: Site.of(site) for label, site in plain.record.items()}
    currents = tuple(
        Current(Site.of(one.site), one.start_ms, one.amp_na, one.duration_ms, one.rise_ms, one.decay_ms)
        for one in plain.currents
    )
    targets = tuple(
        Target(one.feature, one.target, one.sd, one.at, SPIKE_MV if one.threshold_mv is None else one.threshold_mv,
               one.source or source)
        for one in plain.features
    )  # fmt: skip
    return Protocol(name, plain.total_ms, plain.window_ms, currents, record, targets)
