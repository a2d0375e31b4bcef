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

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netml.errors import ModelError

SUFFIX = ".targets.json"
SPIKE_MV = -20.0


@dataclass(frozen=True)
class Site:
    """A place on a cell: ``section`` at ``x``, or of the section list ``section`` the segment at ``path_um``."""

    section: str
    x: float = 0.5
    path_um: float | None = None

    @classmethod
    def of(cls, plain: str | dict) -> Site:
        return cls(plain) if isinstance(plain, str) else cls(plain["list"], path_um=float(plain["path_um"]))


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
            ModelError: Not there, or no JSON.
        """
        return _read(self.file)


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
    plain = _read(path)
    try:
        protocols = tuple(_protocol(name, one, plain["source"]) for name, one in plain["protocols"].items())
        slopes = tuple(
            Slope(one["from"], one["to"], float(one["target"]), positive(one["sd"], "the slope"),
                  one.get("source", plain["source"]))
            for one in plain.get("slopes", ())
        )  # fmt: skip
        names = [protocol.name for protocol in protocols]
        if unknown := [name for s in slopes for name in (s.first, s.second) if name not in names]:
            raise ValueError(f"a slope is between {', '.join(unknown)}, of {', '.join(names)}")
        return CellTargets(path.name.removesuffix(SUFFIX), path.parent / plain["cell"], float(plain["celsius"]),
                           float(plain["v_init_mv"]), protocols, slopes)  # fmt: skip
    except KeyError as error:
        raise ModelError(f"{path} has no {error}; netml/circuit/physiology.py says what it must have") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: {error}; netml/circuit/physiology.py says what it must have") from error


def _protocol(name: str, plain: dict[str, Any], source: str) -> Protocol:
    record = {label: Site.of(site) for label, site in plain["record"].items()}
    currents = tuple(Current(**(one | {"site": Site.of(one["site"])})) for one in plain["currents"])
    targets = tuple(
        Target(one["feature"], float(one["target"]), positive(one["sd"], f"{name}.{one['feature']}"),
               one.get("at", "soma"), float(one.get("threshold_mv", SPIKE_MV)),
               one.get("source", source))
        for one in plain["features"]
    )  # fmt: skip
    for target in targets:
        if target.at not in record:
            raise ValueError(f"{name}.{target.feature} is of {target.at!r}, which is not recorded")
    start, stop = map(float, plain["window_ms"])
    return Protocol(name, float(plain["total_ms"]), (start, stop), currents, record, targets)


def positive(sd: float, what: str) -> float:
    if not float(sd) > 0:
        raise ValueError(f"{what} has the SD {sd}; expected a positive one")
    return float(sd)


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error
