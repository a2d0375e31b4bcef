"""Connections between the cells of a model and the pair recordings they are measured by, as plain data.

A file `connections.json` in the model's folder, cells as `cells/NAME.json` beside it:

    {"synapses": {"E_E": {"mod": "netml_ampa_nmda_stp", "tau_d_ampa": 2.0, "U": 0.46, ...}, ...},
     "connections": {"PT->PT": {
        "pre": "PT", "post": "PT", "synapse": "E_E", "contacts": {"basal": 3, "oblique": 2}, "weight_us": 1.5e-3,
        "recorded": {"hold_mv": -67, "source": "...", "features": [
           {"feature": "amplitude_mv", "target": 1.3, "sd": 1.1}, ...]}}, ...}}

`synapses` are entries of NetPyNE's synMechParams; `contacts` counts them by section list of the postsynaptic cell, or
section; `weight_us` is of each contact. A feature of the somatic potential (:data:`FEATURES`) may name its own
`source`; `paired_pulse_ratio` names its `interval_ms`. Other keys are for the circuit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netml.circuit.cell import segment_table
from netml.circuit.cell_entry import read_entry
from netml.errors import ModelError

if TYPE_CHECKING:
    from netml.circuit import schema

FILE, ARROW = "connections.json", "->"
#: Peak, time from 20 to 80 % of it, time above half of it, time constant of the decay from 80 to 20 %, what a second
#: spike adds over the first's peak.
FEATURES = ("amplitude_mv", "rise_20_80_ms", "half_width_ms", "decay_ms", "paired_pulse_ratio")


@dataclass(frozen=True)
class Recorded:
    """Published mean and SD of one feature of a pair recording."""

    feature: str
    target: float
    sd: float
    source: str
    interval_ms: float | None = None


@dataclass(frozen=True)
class Pair:
    """A connection type that pair recordings were found for.

    Attributes:
        name: "PRE->POST".
        cell: file of the postsynaptic cell.
        mod, parameters: of each contact's synapse.
        contacts: how many, by section list or section.
        weight_us: of each contact.
        hold_mv: voltage that the soma is held at by a constant current.
    """

    name: str
    cell: Path
    mod: str
    parameters: dict[str, float]
    contacts: dict[str, int]
    weight_us: float
    hold_mv: float
    recorded: tuple[Recorded, ...]

    def spec(self) -> dict:
        """The postsynaptic cell's ``cellParams`` entry.

        Raises:
            ModelError: The file does not read.
        """
        return read_entry(self.cell)

    def placements(self, spec: dict, count: int) -> list[list[tuple[str, float]]]:
        """Contacts as (section, x) for so many pairs: segments drawn by their length, the same ones every time.

        Raises:
            ModelError: No such section list.
        """
        table, lists = segment_table(spec), spec.get("secLists", {})
        rng = np.random.default_rng(0)
        drawn: list[list[tuple[str, float]]] = [[] for _ in range(count)]
        for name, contacts in self.contacts.items():
            sections = lists.get(name, [name])
            inside = np.flatnonzero(np.isin(table.section, sections))
            if not inside.size:
                raise ModelError(f"{self.name} has contacts on {name!r}; {self.cell.name} has no such section or list")
            share = table.length_um[inside] / table.length_um[inside].sum()
            for pair in drawn:
                chosen = rng.choice(inside, contacts, p=share)
                pair += [(str(table.section[k]), float(table.x[k])) for k in chosen]
        return drawn


def find_pairs(folder: Path, names: list[str] | None = None) -> list[Pair]:
    """The connection types of a model that have pair recordings; none where it has no `connections.json`.

    Args:
        folder: The model's.
        names: Only these; None: all.

    Raises:
        ModelError: A file that does not read, or an unknown name.
    """
    from netml import checked
    from netml.circuit.schema import Connections

    file = folder / FILE
    pairs: list[Pair] = []
    if file.exists():
        plain = checked.read(Connections, file, ModelError, "netml/circuit/connections.py says what it must have")
        pairs = [_pair(folder, name, one, plain.synapses[one.synapse]) for name, one in plain.connections.items()]
    known = [pair.name for pair in pairs]
    if unknown := [name for name in names or () if name not in known]:
        there = ", ".join(known) or "none"
        raise ModelError(f"no pair recordings for {', '.join(unknown)}; there are some for {there}")
    return [pair for pair in pairs if names is None or pair.name in names]


def _pair(folder: Path, name: str, plain: schema.Connection, synapse: schema.Parameters) -> Pair:
    recorded, parameters = plain.recorded, dict(synapse)
    for one in recorded.features:
        if one.feature not in FEATURES:
            raise ModelError(f"{name} has the feature {one.feature!r}; there are {', '.join(FEATURES)}")
        if one.feature == "paired_pulse_ratio" and one.interval_ms is None:
            raise ModelError(f"the paired-pulse ratio of {name} has no interval_ms")
    features = tuple(
        Recorded(one.feature, one.target, one.sd, one.source or recorded.source, one.interval_ms)
        for one in recorded.features
    )
    mod = str(parameters.pop("mod"))
    return Pair(name, folder / "cells" / f"{plain.post}.json", mod, parameters, plain.contacts,  # type: ignore[arg-type]
                plain.weight_us, recorded.hold_mv, features)  # fmt: skip
