"""What ``index.json`` of records must be."""

from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from netml.checked import Checked

Whole = Annotated[int, Field(ge=0, lt=2**62)]
Length = Annotated[float, Field(ge=0, le=1e7)]  # um
Place = Annotated[float, Field(ge=0, le=1)]


def _mechanism(parameters: dict[str, Any]) -> dict[str, Any]:
    """A synapse type's parameters, as :mod:`netml.reductions.receptors` reads them."""
    if not isinstance(parameters.get("mod", ""), str):
        raise ValueError(f"mod is {parameters['mod']!r:.60}; expected text")
    for name, value in parameters.items():
        decay = name.lower().startswith(("tau_d", "tau2", "taud"))
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if (decay and not (number and 1e-6 <= value <= 1e9)) or (number and not abs(value) <= 1e12):
            raise ValueError(f"{name} is {value!r:.60}; expected a finite number, of a decay time one above 0 ms")
    return parameters


class Shard(Checked):
    file: Annotated[str, Field(pattern=r"^shard-\d{4,}\.h5$")]
    trials: Annotated[int, Field(ge=0, lt=2**31)]
    bytes: Whole
    extension: Whole = 0  # 0: of the first recording, k: of the k-th that was added


class Segments(Checked):
    sections: Annotated[list[tuple[str, Annotated[int, Field(gt=0, lt=2**15)]]], Field(min_length=1)]
    x: list[Place]
    parent: list[Annotated[int, Field(ge=-1, lt=2**31)]]
    path_um: list[Length]
    length_um: list[Length]
    diam_um: list[Length]

    @model_validator(mode="after")
    def _fit(self) -> "Segments":
        names, count = [name for name, _ in self.sections], sum(nseg for _, nseg in self.sections)
        if len({*names}) < len(names):
            raise ValueError("two sections have one name")
        for name in ("x", "parent", "path_um", "length_um", "diam_um"):
            if (found := len(getattr(self, name))) != count:
                raise ValueError(f"{name} has {found} values; the sections have {count} segments")
        parent = np.array(self.parent)
        if parent.max() >= count or (parent == -1).sum() != 1:
            raise ValueError(f"parent must be one -1, of the root, and else 0 to {count - 1}")
        above, depth = parent, 0
        while (above >= 0).any():  # up the tree, all segments at once
            above, depth = np.where(above >= 0, parent[above], -1), depth + 1
            if depth > count:
                raise ValueError("parent leads in a circle")
        return self


class Cell(Checked):
    label: str
    fingerprint: str
    synapses: Annotated[list[str], Field(min_length=1)]
    segments: Segments
    syn_mech_params: dict[str, Annotated[dict[str, Any], AfterValidator(_mechanism)]]
    sites: dict[str, tuple[str, Place]]  # public data name sections that their segments do not
    dt_ms: Annotated[float, Field(gt=0, le=1e6)]
    spike_threshold_mv: float

    @model_validator(mode="after")
    def _fit(self) -> "Cell":
        if len({*self.synapses}) < len(self.synapses):
            raise ValueError("two synapse types have one name")
        if "soma" not in self.sites:
            raise ValueError("sites lack the soma")
        return self


class Index(Checked):
    cell: Cell
    shards: Annotated[list[Shard], Field(min_length=1)]
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _fit(self) -> "Index":
        if len({shard.file for shard in self.shards}) < len(self.shards):
            raise ValueError("a shard is listed twice")
        return self
