"""What a connection is made of: synapse types, weights, delays and places of its synapses, for many pairs at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from netml.errors import ModelError
from netml.network.cells import CellKind, Placed, Placement
from netml.network.draws import Draws, key, pair_keys
from netml.network.expression import Expression
from netml.network.layout import Layout
from netml.network.pairs import VARIABLES, Pairs, values

_VALUES = ("weight", "delay", "synsPerConn", "loc")


class Synapses(NamedTuple):
    """Synapses onto the cells of one population: (synapses) each.

    Attributes:
        pre, post: gids.
        synapse_site: Of the reduction.
        weight_us, delay_ms: As in netParams.
    """

    pre: np.ndarray
    post: np.ndarray
    synapse_site: np.ndarray
    weight_us: np.ndarray
    delay_ms: np.ndarray


@dataclass(frozen=True)
class Circuit:
    """What all rules share.

    Attributes:
        net_params: NetPyNE's.
        layout: Where the cells are.
        kinds: By population, the reduced ones.
        cfg: simConfig's switches: connRandomSecFromList, distributeSynsUniformly, allowSelfConns,
            allowConnsWithWeight0.
        seed: cfg.seeds["conn"].
    """

    net_params: Any
    layout: Layout
    kinds: Mapping[str, CellKind]
    cfg: Mapping[str, bool]
    seed: int

    @cached_property
    def constants(self) -> dict[str, Any]:
        """The numbers in netParams, which string functions may name."""
        return {name: value for name, value in vars(self.net_params).items() if isinstance(value, Number)}

    @property
    def default_synapse(self) -> str:
        return next(iter(self.net_params.synMechParams), "")

    def expression(self, text: str, where: str, variables: frozenset[str] = VARIABLES) -> Expression:
        return Expression(text, where, variables, self.constants)


class Contacts:
    """The synapses of one rule's pairs.

    As in NetPyNE, what is drawn for a pair depends on its two gids and the seed: rules that make the same pair draw the
    same numbers for it.

    Args:
        params: The rule.
        where: For messages.
        circuit: What all rules share.
        listed: Length of its connList; None in other rules.
        scale: Of its weights; None: netParams' own for the cell.
    """

    def __init__(
        self, params: Mapping[str, Any], where: str, circuit: Circuit, listed: int | None = None,
        scale: float | None = None,
    ):  # fmt: skip
        self._params, self._where, self._circuit, self._listed = params, where, circuit, listed
        self._scale = scale
        mechs = params.get("synMech")
        self._mechs = list(mechs) if isinstance(mechs, (list, tuple)) else [mechs]
        self._values = {name: self._compiled(name) for name in _VALUES}

    def _compiled(self, name: str) -> Any:
        """weight, delay, synsPerConn or loc: None, a number, an expression or a list; of a connList, an array."""
        value = self._params.get(name)
        if isinstance(value, str):
            return self._circuit.expression(value, f"{name} of {self._where}")
        if self._listed is None or name == "synsPerConn" or not isinstance(value, (list, tuple, np.ndarray)):
            return value
        found = np.asarray(value)
        if found.shape != (self._listed,) or found.dtype.kind not in "iuf":
            raise ModelError(f"{name} of {self._where} is a list of shape {found.shape}; with a connList of "
                             f"{self._listed} it holds a number for each")  # fmt: skip
        return found.astype(float)

    def on(self, label: str, found: Pairs) -> Iterator[tuple[str, Synapses]]:
        """Synapses of pairs whose targets lie in one population."""
        if not len(found.pre):
            return
        circuit, kind = self._circuit, self._circuit.kinds[label]
        own = pair_keys(key("connection", circuit.seed), found.post, found.pre)
        draws = Draws(own)
        drawn = {name: self._evaluated(value, found, draws) for name, value in self._values.items()}
        for i, mech in enumerate(self._mechs):
            synapse = kind.synapse(mech, circuit.default_synapse, self._where)
            value = {name: self._of_mech(name, drawn[name], i) for name in _VALUES}
            for contacts, chosen in self._numbers(value["synsPerConn"], len(found.pre)):
                yield label, self._made(kind, synapse, value, contacts, found, own, chosen)

    def _evaluated(self, value: Any, found: Pairs, draws: Draws) -> Any:
        """A number, an array (pairs, 1), or a list as it is."""
        if isinstance(value, Expression):
            return values(value, self._circuit.layout, found, draws)[:, None]
        if isinstance(value, np.ndarray) and found.entry is not None:
            return value[found.entry][:, None]
        return value

    def _of_mech(self, name: str, value: Any, i: int) -> Any:
        """What one of several synapse types takes of a value: the value, its item, or the value times a factor."""
        if len(self._mechs) == 1:
            return value
        factor = f"synMech{name.capitalize()}Factor"
        per_mech = value if isinstance(value, (list, tuple)) else self._params.get(factor)
        if per_mech is None or (name == "synsPerConn" and not isinstance(value, (list, tuple))):
            return value
        if len(per_mech) != len(self._mechs):
            raise ModelError(
                f"{self._where} has {len(per_mech)} values in {name} or {factor} for {len(self._mechs)} synMechs"
            )
        return per_mech[i] if isinstance(value, (list, tuple)) else self._default(name, value) * per_mech[i]

    def _default(self, name: str, value: Any) -> Any:
        if value is not None or name == "loc":
            return value
        return {"weight": self._circuit.net_params.defaultWeight, "delay": self._circuit.net_params.defaultDelay,
                "synsPerConn": 1}[name]  # fmt: skip

    def _numbers(self, value: Any, pairs: int) -> Iterator[tuple[int, Any]]:
        """Numbers of synapses, and which pairs have so many."""
        count = np.asarray(self._default("synsPerConn", value), float)
        if count.size != 1 and count.shape != (pairs, 1):
            raise ModelError(f"synsPerConn of {self._where} is {value!r}; expected a number or one for each synMech")
        if not (np.isfinite(count).all() and (count == np.rint(count)).all() and (count >= 0).all()):
            raise ModelError(f"synsPerConn of {self._where} gives {count.ravel()[0]}; expected whole numbers, "
                             "0 or more: use int() or round()")  # fmt: skip
        if count.size == 1:
            yield int(count.ravel()[0]), slice(None)
            return
        for number in np.unique(count):
            yield int(number), np.flatnonzero(count[:, 0] == number)

    def _made(self, kind: CellKind, synapse: int, value: dict, contacts: int, found: Pairs, own, chosen) -> Synapses:
        cfg = self._circuit.cfg
        pre, post = found.pre[chosen], found.post[chosen]
        shape = (len(pre), contacts)
        loc, sec = value["loc"], self._params.get("sec")
        draws = Draws(own[chosen] ^ key("sections"))
        if found.entry is not None and isinstance(sec, (list, tuple)):
            placed = self._listed_sites(kind, sec, loc, found.entry[chosen], contacts, chosen)
        elif isinstance(loc, np.ndarray):
            placed = self._drawn_sites(kind, sec, loc[chosen], contacts)
        else:
            placement = Placement(
                kind, kind.named(sec, self._where), loc,
                self._params.get("distributeSynsUniformly", cfg["distributeSynsUniformly"]),
                self._params.get("connRandomSecFromList", cfg["connRandomSecFromList"]), self._where,
            )  # fmt: skip
            placed = placement(contacts, draws) if contacts else None
        if placed is None:
            return Synapses(*(np.empty(0, t) for t in (np.int64, np.int64, np.int32, float, float)))
        weight = self._spread("weight", value["weight"], chosen, shape) * self._weight_scale(kind)
        if placed.norm is not None:
            weight = weight * placed.norm
        synapse_site = (placed.segment * len(kind.synapses) + synapse).astype(np.int32)
        columns = [
            *((pre, post) if contacts == 1 else (np.repeat(pre, contacts), np.repeat(post, contacts))),
            np.broadcast_to(synapse_site, shape).ravel(), np.broadcast_to(weight, shape).ravel(),
            np.broadcast_to(self._spread("delay", value["delay"], chosen, shape), shape).ravel(),
        ]  # fmt: skip
        if not cfg["allowConnsWithWeight0"] and not (columns[3] != 0).all():
            columns = [column[columns[3] != 0] for column in columns]
        return Synapses(*columns)

    def _weight_scale(self, kind: CellKind) -> float:
        net = self._circuit.net_params
        by_model = net.scaleConnWeightModels
        if self._scale is not None:
            return self._scale
        return by_model[kind.model] if isinstance(by_model, dict) and kind.model in by_model else net.scaleConnWeight

    def _spread(self, name: str, value: Any, chosen, shape: tuple[int, int]) -> np.ndarray:
        """A value for each synapse, to be broadcast to (pairs, contacts)."""
        value = self._default(name, value)
        try:
            found = np.asarray(value, float)
        except (TypeError, ValueError):
            found = np.empty((0, 0))
        if found.shape and found.ndim == 2 and found.shape[1] == 1:
            return found[chosen]
        if found.shape not in ((), (1,), (shape[1],)):
            raise ModelError(f"{name} of {self._where} is {value!r} for {shape[1]} synapses a pair; expected a number, "
                             f"a string function or a list of {shape[1]}")  # fmt: skip
        return found

    def _drawn_sites(self, kind: CellKind, sec, loc: np.ndarray, contacts: int):
        """One synapse a pair at a location of its own."""
        sections = kind.named(sec, self._where)
        if contacts != 1 or len(sections) != 1:
            raise ModelError(f"{self._where} has a loc for each pair with {len(sections)} sections and synsPerConn "
                             f"{contacts}; expected one of each")  # fmt: skip
        return self._sites(kind, np.full(loc.shape, sections[0]), loc)

    def _listed_sites(self, kind: CellKind, sec, loc, index: np.ndarray, contacts: int, chosen):
        """One synapse a pair in a section of its own (connList)."""
        if contacts != 1 or len(sec) != self._listed or not all(isinstance(s, str) for s in sec):
            raise ModelError(f"sec of {self._where} is a list of {len(sec)}; with a connList of "
                             f"{self._listed} it holds a section for each, and synsPerConn is 1")  # fmt: skip
        names, which = np.unique(np.asarray(sec)[index], return_inverse=True)
        sections = np.array([kind.named(str(name), self._where)[0] for name in names])[which][:, None]
        loc = loc[chosen] if isinstance(loc, np.ndarray) else np.full(sections.shape, 0.5 if loc is None else loc)
        return self._sites(kind, sections, loc)

    def _sites(self, kind: CellKind, sections: np.ndarray, loc: np.ndarray) -> Placed:
        wrong = ~((loc >= 0) & (loc <= 1))
        if wrong.any():
            raise ModelError(f"{self._where} has loc {loc[wrong][0]}; expected 0 to 1")
        return kind.at(sections, loc)
