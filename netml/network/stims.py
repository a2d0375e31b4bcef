"""stimSourceParams and stimTargetParams compiled: background input as events straight onto reduced cells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from netml.errors import ModelError
from netml.network.contacts import Circuit, Contacts, Synapses
from netml.network.draws import Draws, key, keys
from netml.network.layout import Population
from netml.network.pairs import POST, Pairs, values
from netml.network.trains import Given, Trains, interval_of, own_keys

_TRAIN = {"rate", "interval", "noise", "start", "number", "seed"}
_SOURCE = _TRAIN | {"type"}
_TARGET = {"source", "conds", "sec", "loc", "weight", "delay", "synsPerConn", "synMech", "label",
           "synMechWeightFactor", "synMechDelayFactor", "synMechLocFactor"}  # fmt: skip
_CONTACT = _TARGET - {"source", "conds", "label"}


@dataclass
class Background:
    """One stimulation of one population's cells on this rank, a train a synapse.

    Attributes:
        label: The population.
        synapses: Of no source.
        trains: Of arrivals at the synapses: the delay is in them.
    """

    label: str
    synapses: Synapses
    trains: Trains


def backgrounds(circuit: Circuit, stim_seed: int, here: np.ndarray) -> Iterator[Background]:
    """All stimulations of this rank's cells.

    Arguments:
        stim_seed: cfg.seeds["stim"].
        here: (gids) whether a gid lives on this rank.

    Raises:
        ModelError: A stimulation that is no NetStim, or says something not supported.
    """
    net = circuit.net_params
    for label, target in net.stimTargetParams.items():
        where = f"stimTargetParams {label!r}"
        if target.get("source") not in net.stimSourceParams:
            raise ModelError(f"{where} has source {target.get('source')!r}; stimSourceParams has "
                             f"{', '.join(map(str, net.stimSourceParams)) or 'none'}")  # fmt: skip
        source = net.stimSourceParams[target["source"]]
        if source.get("type") != "NetStim":
            raise ModelError(f"{where} puts a {source.get('type')!r} on cells; netml.build supports NetStim")
        for params, known, place in (
            (target, _TARGET, where),
            (source, _SOURCE, f"stimSourceParams {target['source']!r}"),
        ):
            if unknown := sorted(set(params) - known):
                raise ModelError(f"{place} has {unknown[0]!r}, which netml.build does not support")
        yield from _one({**target}, source, circuit, stim_seed, here, where)


def _one(target: dict, source: Mapping, circuit: Circuit, stim_seed: int, here, where: str) -> Iterator[Background]:
    conditions = dict(target.get("conds") or {})
    listed = conditions.pop("cellList", None)
    gids = circuit.layout.select(conditions, f"conds of {where}")
    if isinstance(listed, (list, tuple)):
        if listed and not 0 <= min(listed) <= max(listed) < len(gids):
            raise ModelError(f"cellList of {where} names a cell beyond its {len(gids)}")
        gids = gids[sorted(set(listed))]
    params = {"weight": 1.0, "delay": 1.0, **{name: value for name, value in target.items() if name in _CONTACT}}
    contacts = Contacts(params, where, circuit, scale=circuit.net_params.scaleConnWeightNetStims)
    for label, population in circuit.layout.populations.items():
        mine = gids[(gids >= population.first) & (gids < population.first + len(population))]
        if len(mine) and label not in circuit.kinds:
            raise ModelError(f"{where} stimulates {label}, whose cells are no reduced cells; choose with conds")
        mine = mine[here[mine]]
        for _, synapses in contacts.on(label, Pairs(np.zeros_like(mine), mine)):
            yield Background(label, synapses, _trains(source, synapses, circuit, stim_seed, where))


def _trains(source: Mapping, synapses: Synapses, circuit: Circuit, stim_seed: int, where: str) -> Trains:
    """A train for each synapse; string functions are evaluated for its cell."""
    gids = synapses.post
    draws = Draws(keys(key("stimulation of", stim_seed), gids))
    found: dict[str, Any] = {"noise": 0.0, "start": 0.0, "number": 1e9, "seed": stim_seed}
    for name in _TRAIN & set(source):
        value = source[name]
        if isinstance(value, str):
            expression = circuit.expression(value, f"{name} of {where}", POST)
            value = values(expression, circuit.layout, Pairs(gids, gids), draws)
        found[name] = value
    return Trains(own_keys(found["seed"], gids), interval_of(found, where), found["noise"], found["start"],
                  found["number"], where, synapses.delay_ms)  # fmt: skip


def sources(population: Population, gids: np.ndarray, stim_seed: int) -> Trains | Given:
    """Trains of some cells of a population of NetStims or VecStims.

    Raises:
        ModelError: No rate, interval or spkTimes.
    """
    tags, where = dict(population.tags), f"popParams {population.label!r}"
    tags.setdefault("seed", stim_seed)
    if population.source == "VecStim" and not {"rate", "interval"} & set(tags):
        return Given(_given(population, gids, where))
    rate = tags.get("rate")
    if isinstance(rate, (list, tuple)) and len(rate) == 2:  # NetPyNE draws it for each cell between the two
        tags["rate"] = rate[0] + (rate[1] - rate[0]) * Draws(keys(key("rate", stim_seed), gids)).next()
    return Trains(own_keys(tags["seed"], gids), interval_of(tags, where), tags.get("noise", 0.0), tags.get("start", 0.0),
                  tags.get("number", 1e9), where)  # fmt: skip


def _given(population: Population, gids: np.ndarray, where: str) -> list[np.ndarray]:
    times = population.tags.get("spkTimes")
    found = []
    for gid in gids.tolist():
        own = population.own[gid - population.first] if population.own else {}
        mine = own.get("spkTimes", times)
        if mine is None:
            raise ModelError(f"{where} is a VecStim population without spkTimes, rate or interval")
        if len(mine) and isinstance(mine[0], (list, tuple, np.ndarray)):
            if gid - population.first >= len(mine):
                raise ModelError(f"{where} has {len(mine)} lists of spkTimes for {len(population)} cells")
            mine = mine[gid - population.first]
        spikes = np.asarray(mine, float)
        if spikes.ndim != 1 or not np.isfinite(spikes).all():
            raise ModelError(f"{where} has spkTimes of shape {spikes.shape}; expected finite times in ms")
        found.append(np.sort(np.maximum(spikes, 0.0)))
    return found
