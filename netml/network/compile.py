"""NetPyNE's rules as synapses: what `netml.build` and the network on a device make their populations of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from netml.artifact import Artifact
from netml.circuit.cell import canonical, cell_label
from netml.circuit.fits import check_cell
from netml.errors import ModelError
from netml.network.cells import CellKind
from netml.network.contacts import Circuit
from netml.network.layout import Layout
from netml.network.rules import Rule
from netml.plain import is_number
from netml.population.plasticity import RewardStdp, ShortTerm

# simConfig's part in what is connected, with NetPyNE's defaults.
SWITCHES = {"connRandomSecFromList": True, "distributeSynsUniformly": True, "allowSelfConns": False,
            "allowConnsWithWeight0": True}  # fmt: skip
SEEDS = ("conn", "stim", "loc")


def seeds_of(simConfig, seed: int | None) -> dict[str, int]:
    """Seeds by name: NetPyNE's, or one in the place of all."""
    return {name: int(seed if seed is not None else _of(simConfig, "seeds", {}).get(name, 1)) for name in SEEDS}


def load_reductions(netParams, reductions: Mapping[str, str | Path]) -> dict[str, Artifact]:
    """The reductions, of which each fits its population."""
    for name in ("subConnParams", "rxdParams"):
        if getattr(netParams, name, None):
            raise ModelError(f"netParams.{name} is set, which netml.build does not support; leave it out")
    whole = [label for label, tags in netParams.popParams.items()
             if tags.get("cellModel") not in ("NetStim", "VecStim") and label not in reductions]  # fmt: skip
    if whole:
        raise ModelError(
            f"population {whole[0]} has no reduction, and netml.build makes networks of reduced cells only: give it "
            "one, or mix detailed and reduced cells with netml.swap"
        )
    artifacts = {}
    for label, path in reductions.items():
        artifacts[label] = Artifact.load(path)
        check_cell(netParams, label, cell_label(netParams, label), artifacts[label], path)
    return artifacts


def compile_circuit(netParams, artifacts: Mapping[str, Artifact], simConfig, seeds: Mapping[str, int]) -> Circuit:
    """The cells of a network, where they are, and what its rules share."""
    layout = Layout(netParams, seeds["loc"])
    kinds = {
        label: CellKind.of(label, netParams.cellParams[cell_label(netParams, label)], artifact.header["synapses"],
                           netParams.popParams[label].get("cellModel"))
        for label, artifact in artifacts.items()
    }  # fmt: skip
    switches = {name: bool(_of(simConfig, name, default)) for name, default in SWITCHES.items()}
    return Circuit(netParams, layout, kinds, switches, seeds["conn"])


def network_fingerprint(netParams, artifacts: Mapping[str, Artifact], switches: Mapping[str, bool], plasticity) -> str:
    """SHA-256 (hex) of all that makes the network but its seeds, for checkpoints."""
    names = ("popParams", "connParams", "stimSourceParams", "stimTargetParams", "synMechParams")
    digest = hashlib.sha256(json.dumps(canonical([
        {name: dict(getattr(netParams, name)) for name in names},
        {name: value for name, value in vars(netParams).items() if isinstance(value, (bool, str)) or is_number(value)},
        switches, {label: repr(rule) for label, rule in (plasticity or {}).items()},
        {label: artifact.header for label, artifact in artifacts.items()},
    ]), sort_keys=True).encode())  # fmt: skip
    for _, artifact in sorted(artifacts.items()):
        for name, array in sorted(artifact.arrays.items()):
            digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def add_projections(circuit: Circuit, populations: Mapping[str, Any], plasticity: Mapping[str, Any]):
    """A projection of each population for each plastic rule; returns their numbers by rule and population.

    Rules that only share a synMech with short-term plasticity share one.
    """
    rules, made, of_synapse = circuit.net_params.connParams, {}, {}
    if unknown := sorted(set(plasticity) - set(rules)):
        raise ModelError(f"plasticity is for {unknown[0]!r}; connParams has {', '.join(map(str, rules)) or 'none'}")
    for label, rule in rules.items():
        own = _of_synapse(circuit, label, rule.get("synMech"))
        if label not in plasticity:
            if own and own not in of_synapse:
                of_synapse[own] = {name: population.add_projection(own) for name, population in populations.items()}
            if own:
                made[label] = of_synapse[own]
            continue
        wanted = plasticity[label]
        parts = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        short, stdp = (next((p for p in parts if isinstance(p, kind)), None) for kind in (ShortTerm, RewardStdp))
        if len(parts) != (short is not None) + (stdp is not None):
            raise ModelError(
                f"plasticity of {label!r} is {wanted!r}; expected a ShortTerm, a RewardStdp, or one of each"
            )
        if short and own:
            raise ModelError(
                f"plasticity of {label!r} is {short}; its synMech has short-term plasticity already: leave one out"
            )
        made[label] = {name: population.add_projection(short or own, stdp) for name, population in populations.items()}
    return made


def _of_synapse(circuit: Circuit, label: str, mechs: Any) -> ShortTerm | None:
    """The short-term plasticity of the synapses that a rule makes."""
    mechs = mechs or circuit.default_synapse
    names = mechs if isinstance(mechs, (list, tuple)) else [mechs]
    params = circuit.net_params.synMechParams
    found = {ShortTerm.of_synapse(name, params.get(name) or {}) for name in names}
    if len(found) > 1:
        raise ModelError(f"connParams {label!r} has synMechs {', '.join(map(str, names))}, of different short-term "
                         "plasticity; netml.build takes one of a rule: make a rule of each")  # fmt: skip
    return found.pop()


def add_synapses(circuit: Circuit, populations: Mapping[str, Any], projections, index: np.ndarray, here: np.ndarray):
    """Add the synapses of all rules onto populations of the C++ engine or a device; yields population and synapses.

    Args:
        circuit: What :func:`compile_circuit` returned.
        populations: Reduced ones, by label.
        projections: See :func:`add_projections`.
        index: (gids) index of a cell in its population.
        here: (gids) whether a cell lives here.
    """
    for label, params in circuit.net_params.connParams.items():
        for population, found in Rule(label, params, circuit).synapses(here):
            try:
                populations[population].add_synapses(
                    found.pre, index[found.post], found.synapse_site, found.weight_us, found.delay_ms,
                    projections.get(label, {}).get(population, 0),
                )  # fmt: skip
            except ModelError as error:
                raise ModelError(f"connParams {label!r}: {error}") from error
            yield population, found


def _of(simConfig, name: str, default: Any) -> Any:
    return getattr(simConfig, name, default) if simConfig is not None else default
