"""stimSourceParams and stimTargetParams compiled: background events and current clamps straight onto reduced cells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from netml.circuit.current import Clamp
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
_CLAMP = {"type", "del", "delay", "dur", "amp"}
_CLAMPED = {"source", "conds", "sec", "loc", "label"}
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
    """All NetStims onto this rank's cells.

    Arguments:
        stim_seed: cfg.seeds["stim"].
        here: (gids) whether a gid lives on this rank.

    Raises:
        ModelError: A stimulation that says something not supported.
    """
    for where, target, source in _stimulations(circuit, "NetStim", _TARGET, _SOURCE):
        yield from _one({**target}, source, circuit, stim_seed, here, where)


def clamps(circuit: Circuit, stim_seed: int, here: np.ndarray) -> Iterator[tuple[str, int, Clamp]]:
    """All current clamps at the somata of this rank's cells: population, gid, clamp.  Arguments as above.

    Raises:
        ModelError: A clamp elsewhere than at the soma, or one that says something not supported.
    """
    for where, target, source in _stimulations(circuit, "IClamp", _CLAMPED, _CLAMP):
        gids = _selected(target, circuit, where)
        draws = Draws(keys(key("stimulation of", stim_seed), gids))
        found = {name: _evaluated(value, name, where, circuit, gids, draws) for name, value in source.items()
                 if name != "type"}  # fmt: skip
        for label, mine in _by_population(gids, circuit, where):
            table = circuit.kinds[label].table
            loc = 0.5 if target.get("loc") is None else float(target["loc"])
            table.check_soma(target.get("sec") or table.sections[0][0], loc, where)
            for gid in mine[here[mine]].tolist():
                own = {name: value[gids == gid][0] if np.ndim(value) else value for name, value in found.items()}
                yield label, gid, Clamp.of(own, f"{where} on cell {gid}")


def _stimulations(circuit: Circuit, kind: str, target_keys: set, source_keys: set):
    """Those of one type: what to call it, its target and its source.

    Raises:
        ModelError: One of no supported type, without a source, or with another key.
    """
    net = circuit.net_params
    for label, target in net.stimTargetParams.items():
        where = f"stimTargetParams {label!r}"
        if target.get("source") not in net.stimSourceParams:
            raise ModelError(f"{where} has source {target.get('source')!r}; stimSourceParams has "
                             f"{', '.join(map(str, net.stimSourceParams)) or 'none'}")  # fmt: skip
        source = net.stimSourceParams[target["source"]]
        if source.get("type") not in ("NetStim", "IClamp"):
            raise ModelError(
                f"{where} puts a {source.get('type')!r} on cells; netml.build supports NetStim, and IClamp at the soma"
            )
        if source["type"] != kind:
            continue
        for params, known, place in (
            (target, target_keys, where),
            (source, source_keys, f"stimSourceParams {target['source']!r}"),
        ):
            if unknown := sorted(set(params) - known):
                raise ModelError(f"{place} has {unknown[0]!r}, which netml.build does not support")
        yield where, target, source


def _selected(target: Mapping, circuit: Circuit, where: str) -> np.ndarray:
    """gids, ascending, of the cells that a stimulation is for."""
    conditions = dict(target.get("conds") or {})
    listed = conditions.pop("cellList", None)
    gids = circuit.layout.select(conditions, f"conds of {where}")
    if isinstance(listed, (list, tuple)):
        if listed and not 0 <= min(listed) <= max(listed) < len(gids):
            raise ModelError(f"cellList of {where} names a cell beyond its {len(gids)}")
        gids = gids[sorted(set(listed))]
    return gids


def _by_population(gids: np.ndarray, circuit: Circuit, where: str):
    """Some cells by the population of reduced cells that they are in: its label, their gids."""
    for label, population in circuit.layout.populations.items():
        mine = gids[(gids >= population.first) & (gids < population.first + len(population))]
        if len(mine) and label not in circuit.kinds:
            raise ModelError(f"{where} stimulates {label}, whose cells are no reduced cells; choose with conds")
        if len(mine):
            yield label, mine


def _one(target: dict, source: Mapping, circuit: Circuit, stim_seed: int, here, where: str) -> Iterator[Background]:
    gids = _selected(target, circuit, where)
    params = {"weight": 1.0, "delay": 1.0, **{name: value for name, value in target.items() if name in _CONTACT}}
    contacts = Contacts(params, where, circuit, scale=circuit.net_params.scaleConnWeightNetStims)
    for label, mine in _by_population(gids, circuit, where):
        mine = mine[here[mine]]
        for _, synapses in contacts.on(label, Pairs(np.zeros_like(mine), mine)):
            yield Background(label, synapses, _trains(source, synapses, circuit, stim_seed, where))


def _trains(source: Mapping, synapses: Synapses, circuit: Circuit, stim_seed: int, where: str) -> Trains:
    """A train for each synapse; string functions are evaluated for its cell."""
    gids = synapses.post
    draws = Draws(keys(key("stimulation of", stim_seed), gids))
    found: dict[str, Any] = {"noise": 0.0, "start": 0.0, "number": 1e9, "seed": stim_seed}
    for name in _TRAIN & set(source):
        found[name] = _evaluated(source[name], name, where, circuit, gids, draws)
    return Trains(own_keys(found["seed"], gids), interval_of(found, where), found["noise"], found["start"],
                  found["number"], where, synapses.delay_ms)  # fmt: skip


def _evaluated(value: Any, name: str, where: str, circuit: Circuit, gids: np.ndarray, draws: Draws):
    """A value for each cell, of a string function; else the value."""
    if not isinstance(value, str):
        return value
    expression = circuit.expression(value, f"{name} of {where}", POST)
    return values(expression, circuit.layout, Pairs(gids, gids), draws)


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
