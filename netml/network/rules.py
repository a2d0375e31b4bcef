"""connParams compiled: NetPyNE's connectivity rules as streams of synapses onto the reduced cells of one rank."""

from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np

from netml.errors import ModelError
from netml.network import pairs as sampling
from netml.network import thinning
from netml.network.contacts import Circuit, Contacts, Synapses
from netml.network.draws import Draws, keys
from netml.network.expression import Expression
from netml.network.pairs import Pairs

KINDS = {"probability": "probConn", "convergence": "convConn", "divergence": "divConn", "connList": "fromListConn"}
_KNOWN = {
    *KINDS, "preConds", "postConds", "synMech", "weight", "delay", "loc", "sec", "synsPerConn", "connFunc", "label",
    "synMechWeightFactor", "synMechDelayFactor", "synMechLocFactor", "connRandomSecFromList", "distributeSynsUniformly",
}  # fmt: skip


class Rule:
    """One entry of connParams.

    Raises:
        ModelError: A key that is not supported, or values that do not go together.
    """

    def __init__(self, label: str, params: Mapping[str, Any], circuit: Circuit):
        self.label, self._params, self._circuit = label, params, circuit
        self._where = f"connParams {label!r}"
        if unknown := sorted(set(params) - _KNOWN):
            raise ModelError(f"{self._where} has {unknown[0]!r}, which netml.build does not support; "
                             "leave it out, or run the network with netml.swap")  # fmt: skip
        self._kind = next((kind for kind in KINDS if kind in params), "full")
        expected = KINDS.get(self._kind, "fullConn")
        if params.get("connFunc", expected) != expected:
            raise ModelError(f"{self._where} has connFunc {params['connFunc']!r} beside {self._kind}; leave it out")
        self.pre = circuit.layout.select(params.get("preConds") or {}, f"preConds of {self._where}")
        self.post = circuit.layout.select(params.get("postConds") or {}, f"postConds of {self._where}")
        listed = len(params["connList"]) if self._kind == "connList" else None
        self._contacts = Contacts(params, self._where, circuit, listed)

    def synapses(self, here: np.ndarray) -> Iterator[tuple[str, Synapses]]:
        """Blocks of synapses onto this rank's cells, by the population of their targets.

        Args:
            here: (gids) whether a gid lives on this rank.

        Raises:
            ModelError: Targets that are no reduced cells; values that do not fit.
        """
        if not len(self.pre):
            return
        for label, population in self._circuit.layout.populations.items():
            members = self.post[(self.post >= population.first) & (self.post < population.first + len(population))]
            if not len(members):
                continue
            if label not in self._circuit.kinds:
                raise ModelError(f"{self._where} connects onto {label}, whose cells are no reduced cells; "
                                 "choose the targets with postConds")  # fmt: skip
            if self._kind == "divergence" or self._kind == "connList":
                continue  # chosen among all targets at once, below
            for found in self._pairs(members[here[members]], here):
                yield from self._contacts.on(label, found)
        if self._kind in ("divergence", "connList"):
            for found in self._pairs(self.post, here):
                for label, population in self._circuit.layout.populations.items():
                    inside = (found.post >= population.first) & (found.post < population.first + len(population))
                    if inside.any():
                        yield from self._contacts.on(label, found.take(inside))

    def _pairs(self, post: np.ndarray, here: np.ndarray) -> Iterator[Pairs]:
        """Pairs onto the targets, no cell with itself."""
        apart = self._kind != "full" and self._kind != "probability" or not self._circuit.cfg["allowSelfConns"]
        for found in self._sampled(post, here):
            differ = found.pre != found.post
            yield found.take(differ) if apart and not differ.all() else found

    def _sampled(self, post: np.ndarray, here: np.ndarray) -> Iterator[Pairs]:
        circuit, amount = self._circuit, self._params.get(self._kind)
        if self._kind == "full":
            return sampling.full(self.pre, post)
        if self._kind == "connList":
            return self._from_list(here)
        where = f"{self._kind} of {self._where}"
        compiled = circuit.expression(amount, where) if isinstance(amount, str) else self._number(amount, where)
        if self._kind == "probability":
            base = sampling.set_key(circuit.seed, "probability", self.pre, self.post)
            if isinstance(compiled, Expression):
                every = (thinning.span(circuit.layout, cells) for cells in (self.pre, self.post))
                most = float(thinning.highest(compiled, *every))
                return thinning.with_probabilities(self.pre, post, compiled, circuit.layout, base, most)
            return sampling.with_probability(self.pre, post, compiled, base)
        own, pool = ("post", self.pre) if self._kind == "convergence" else ("pre", self.post)
        base = sampling.set_key(circuit.seed, self._kind, pool)
        number = self._count(compiled, own, where, base)
        if self._kind == "convergence":
            return sampling.convergent(self.pre, post, number, base)
        return sampling.divergent(self.pre, self.post, number, base, here)

    def _count(self, compiled, own: str, where: str, base: np.uint64) -> Callable[[np.ndarray], np.ndarray]:
        """How many partners each cell has, by gid."""
        if not isinstance(compiled, Expression):
            return lambda cells: np.full(len(cells), compiled)
        if other := [name for name in compiled.names if not name.startswith(own)]:
            raise ModelError(f"{where} uses {other[0]!r}; it is a number for each {own}synaptic cell: use {own}_x, ...")

        def number(cells: np.ndarray) -> np.ndarray:
            found = sampling.values(
                compiled, self._circuit.layout, Pairs(cells, cells), Draws(keys(base, cells) + np.uint64(1))
            )
            if not np.isfinite(found).all():
                raise ModelError(f"{where} is {compiled.text!r}, which gives {found[~np.isfinite(found)][0]}; expected "
                                 "a number for each cell")  # fmt: skip
            return found

        return number

    def _number(self, value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(float(value)):
            raise ModelError(f"{where} is {value!r}; expected a number or a string function")
        return float(value)

    def _from_list(self, here: np.ndarray) -> Iterator[Pairs]:
        wanted = np.asarray(self._params["connList"])
        wanted = wanted if wanted.size else np.empty((0, 2), np.int64)
        if wanted.dtype.kind not in "iu" or wanted.shape[1:] != (2,):
            raise ModelError(f"connList of {self._where} holds {wanted.dtype} of shape {wanted.shape}; expected "
                             "pairs of whole numbers")  # fmt: skip
        for side, cells, at in (("pre", self.pre, wanted[:, 0]), ("post", self.post, wanted[:, 1])):
            if at.size and (at.min() < 0 or at.max() >= len(cells)):
                raise ModelError(
                    f"connList of {self._where} names {side}synaptic cell {at.max() if at.min() >= 0 else at.min()}; "
                    f"the rule has {len(cells)}, from 0"
                )
        for start in range(0, len(wanted), sampling.BLOCK):
            part = wanted[start : start + sampling.BLOCK]
            pre, post = self.pre[part[:, 0]], self.post[part[:, 1]]
            index = np.arange(start, start + len(part))
            yield Pairs(pre, post, index).take(here[post])
