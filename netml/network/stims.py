"""Input from outside: stimSourceParams and stimTargetParams, and populations of NetStims and VecStims."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from netml.circuit.current import Clamp
from netml.circuit.synapses import is_plastic
from netml.errors import ModelError
from netml.network.contacts import Circuit, Contacts, Synapses
from netml.network.draws import Draws, key, keys
from netml.network.layout import TAGS, PlacedPopulation
from netml.network.pairs import POST, Pairs, values
from netml.network.trains import FixedTrains, Trains, interval_of, own_keys

_TRAIN = {"rate", "interval", "noise", "start", "number", "seed"}
_SOURCE = _TRAIN | {"type"}
_TARGET = {"source", "conds", "sec", "loc", "weight", "delay", "synsPerConn", "synMech", "label",
           "synMechWeightFactor", "synMechDelayFactor", "synMechLocFactor"}  # fmt: skip
_CLAMP = {"del", "delay", "dur", "amp"}
_KEYS = {"NetStim": (_TARGET, _SOURCE), "IClamp": ({"source", "conds", "sec", "loc", "label"}, _CLAMP | {"type"})}
_CONTACT = _TARGET - {"source", "conds", "label"}


@dataclass
class Background:
    """One stimulation of one population's cells on this rank, a train a synapse.

    Attributes:
        name: The same on all ranks.
        label: The population.
        synapses: Of no source.
        trains: Of arrivals at the synapses: the delay is in them.
    """

    name: str
    label: str
    synapses: Synapses
    trains: Trains


class Poisson(NamedTuple):
    """Events on one synapse site of every cell of a population, each cell's independent of all others."""

    synapse_site: int
    rate_hz: float
    weight_us: float


class Stimulations:
    """stimSourceParams and stimTargetParams, checked.

    Args:
        stim_seed: cfg.seeds["stim"].

    Raises:
        ModelError: A stimulation that is no NetStim or IClamp, or says something not supported.
    """

    def __init__(self, circuit: Circuit, stim_seed: int):
        self._circuit, self._seed = circuit, stim_seed
        targets = circuit.net_params.stimTargetParams
        checked = {str(label): self._checked(label, target) for label, target in targets.items()}
        self._targets = {label: self._cells(label, target) for label, (target, _) in checked.items()}
        self._all = {label: both for label, both in checked.items() if both[1]["type"] == "NetStim"}
        self._clamps = {label: both for label, both in checked.items() if label not in self._all}
        self._seeds = Counter(
            (population, source.get("seed", stim_seed))
            for label, (_, source) in self._all.items() for population, _ in self._targets[label]
        )  # fmt: skip

    def poisson(self) -> dict[str, list[Poisson]]:
        """By population, what is a Poisson process of its own on every cell: it needs no train."""
        found: dict[str, list[Poisson]] = {}
        for label in self._all:
            for population, _ in self._targets[label]:
                if self._is_poisson(label, population):
                    found.setdefault(population, []).append(self._poisson(label, population))
        return found

    def backgrounds(self, here: np.ndarray) -> Iterator[Background]:
        """The other stimulations of this rank's cells.

        Args:
            here: (gids) whether a gid lives on this rank.
        """
        for label, (_, source) in self._all.items():
            for population, gids in self._targets[label]:
                mine = gids[here[gids]]
                if self._is_poisson(label, population) or not len(mine):
                    continue
                synapses = self._synapses(label, population, mine)
                trains = _trains(source, synapses, self._circuit, self._seed, f"stimTargetParams {label!r}")
                yield Background(f"{label}->{population}", population, synapses, trains)

    def clamps(self, here: np.ndarray) -> Iterator[tuple[str, int, Clamp]]:
        """The current clamps at the somata of this rank's cells: population, gid, clamp.

        Args:
            here: (gids) whether a gid lives on this rank.

        Raises:
            ModelError: A clamp elsewhere than at the soma, or of values that are no finite numbers.
        """
        for label, (target, source) in self._clamps.items():
            where = f"stimTargetParams {label!r}"
            for population, gids in self._targets[label]:
                table = self._circuit.kinds[population].table
                loc = 0.5 if target.get("loc") is None else float(target["loc"])
                table.check_soma(target.get("sec") or table.sections[0][0], loc, where)
                values_of = _evaluated(source, _CLAMP, self._circuit, self._seed, gids, where)
                for k in np.flatnonzero(here[gids]).tolist():
                    own = {name: value[k] if np.ndim(value) else value for name, value in values_of.items()}
                    yield population, int(gids[k]), Clamp.of(own, f"{where} on cell {gids[k]}")

    def _checked(self, label: str, target: Mapping) -> tuple[Mapping, Mapping]:
        where, named = f"stimTargetParams {label!r}", self._circuit.net_params.stimSourceParams
        if target.get("source") not in named:
            raise ModelError(f"{where} has source {target.get('source')!r}; stimSourceParams has "
                             f"{', '.join(map(str, named)) or 'none'}")  # fmt: skip
        source = named[target["source"]]
        if source.get("type") not in _KEYS:
            raise ModelError(
                f"{where} puts a {source.get('type')!r} on cells; netml.build supports NetStim, and IClamp at the soma"
            )
        places = (where, f"stimSourceParams {target['source']!r}")
        for params, known, place in zip((target, source), _KEYS[source["type"]], places, strict=True):
            if unknown := sorted(set(params) - known):
                raise ModelError(f"{place} has {unknown[0]!r}, which netml.build does not support")
        mechs = target.get("synMech") or self._circuit.default_synapse
        for mech in mechs if isinstance(mechs, (list, tuple)) else [mechs]:
            if source["type"] == "NetStim" and is_plastic(self._circuit.net_params.synMechParams.get(mech) or {}):
                raise ModelError(
                    f"{where} is on synMech {mech!r}, which has short-term plasticity; netml.build has that between "
                    "cells only: give the stimulation a synMech without it"
                )
        return target, source

    def _cells(self, label: str, target: Mapping) -> list[tuple[str, np.ndarray]]:
        """The stimulated cells by population."""
        layout, where = self._circuit.layout, f"stimTargetParams {label!r}"
        conditions = dict(target.get("conds") or {})
        listed = conditions.pop("cellList", None)
        gids = layout.select(conditions, f"conds of {where}")
        if isinstance(listed, (list, tuple)):
            if listed and not 0 <= min(listed) <= max(listed) < len(gids):
                raise ModelError(f"cellList of {where} names a cell beyond its {len(gids)}")
            gids = gids[sorted(set(listed))]
        found = []
        for name, population in layout.populations.items():
            mine = gids[(gids >= population.first) & (gids < population.first + len(population))]
            if len(mine) and name not in self._circuit.kinds:
                raise ModelError(f"{where} stimulates {name}, whose cells are no reduced cells; choose with conds")
            if len(mine):
                found.append((name, mine))
        return found

    def _synapses(self, label: str, population: str, gids: np.ndarray) -> Synapses:
        """Those of a stimulation onto cells of one population."""
        target, where = self._all[label][0], f"stimTargetParams {label!r}"
        params = {"weight": 1.0, "delay": 1.0, **{name: value for name, value in target.items() if name in _CONTACT}}
        scale = self._circuit.net_params.scaleConnWeightNetStims
        parts = Contacts(params, where, self._circuit, scale=scale).on(population, Pairs(np.zeros_like(gids), gids))
        found = Synapses(*(np.concatenate(columns) for columns in zip(*(made for _, made in parts), strict=True)))
        if not (found.delay_ms >= 0).all():
            raise ModelError(f"{where} has a delay of {found.delay_ms.min()} ms; expected 0 or more")
        return found

    def _is_poisson(self, label: str, population: str) -> bool:
        """One synapse at one place of every cell of a population, an own seed, and no memory between intervals."""
        target, source = self._all[label]
        lists = self._circuit.kinds[population].lists
        numbers = [target.get("weight", 1.0), target.get("delay", 1.0), target.get("loc") or 0.5,
                   source.get("rate", source.get("interval"))]  # fmt: skip
        return (
            all(isinstance(number, Number) for number in numbers)
            and target.get("synsPerConn") in (None, 1)
            and set(target.get("conds") or {}) <= set(TAGS)
            and isinstance(target.get("synMech"), (str, type(None)))
            and isinstance(target.get("sec"), (str, type(None))) and target.get("sec") not in lists
            and source.get("noise") == 1 and source.get("start", 0) == 0 and "number" not in source
            and self._seeds[population, source.get("seed", self._seed)] == 1
        )  # fmt: skip

    def _poisson(self, label: str, population: str) -> Poisson:
        first = np.array([self._circuit.layout.populations[population].first])
        made = self._synapses(label, population, first)
        where = f"the source of stimTargetParams {label!r}"
        interval = interval_of(dict(self._all[label][1]), where)
        if not interval > 0:
            raise ModelError(f"{where} has an interval of {interval} ms; expected above 0")
        return Poisson(int(made.synapse_site[0]), float(1000.0 / interval), float(made.weight_us[0]))


def _trains(source: Mapping, synapses: Synapses, circuit: Circuit, stim_seed: int, where: str) -> Trains:
    """A train for each synapse; string functions are evaluated for its cell."""
    gids = synapses.post
    found: dict[str, Any] = {"noise": 0.0, "start": 0.0, "number": 1e9, "seed": stim_seed}
    found |= _evaluated(source, _TRAIN, circuit, stim_seed, gids, where)
    return Trains(own_keys(found["seed"], gids), interval_of(found, where), found["noise"], found["start"],
                  found["number"], where, synapses.delay_ms)  # fmt: skip


def _evaluated(source: Mapping, names: set, circuit: Circuit, stim_seed: int, gids: np.ndarray, where: str) -> dict:
    """Some values of a source by name: of a string function one for each cell, else the value itself."""
    draws = Draws(keys(key("stimulation of", stim_seed), gids))
    found = {}
    for name in sorted(names & set(source)):
        found[name] = source[name]
        if isinstance(source[name], str):
            expression = circuit.expression(source[name], f"{name} of {where}", POST)
            found[name] = values(expression, circuit.layout, Pairs(gids, gids), draws)
    return found


def sources(population: PlacedPopulation, gids: np.ndarray, stim_seed: int) -> Trains | FixedTrains:
    """Trains of some cells of a population of NetStims or VecStims.

    Raises:
        ModelError: No rate, interval or spkTimes.
    """
    tags, where = dict(population.tags), f"popParams {population.label!r}"
    tags.setdefault("seed", stim_seed)
    if population.source == "VecStim" and not {"rate", "interval"} & set(tags):
        return FixedTrains(_given(population, gids, where))
    rate = tags.get("rate")
    if isinstance(rate, (list, tuple)) and len(rate) == 2:  # NetPyNE draws it for each cell between the two
        tags["rate"] = rate[0] + (rate[1] - rate[0]) * Draws(keys(key("rate", stim_seed), gids)).next()
    return Trains(own_keys(tags["seed"], gids), interval_of(tags, where), tags.get("noise", 0.0),
                  tags.get("start", 0.0), tags.get("number", 1e9), where)  # fmt: skip


def _given(population: PlacedPopulation, gids: np.ndarray, where: str) -> list[np.ndarray]:
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
