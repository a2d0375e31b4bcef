"""Reduced cells whose reduction is one of an ensemble: one member acts, the others get the same input and are counted.

Where the members were trained alike, the spread of their rates says how far the one that acts may be wrong
(Lakshminarayanan, Pritzel, Blundell 2017, NeurIPS); :mod:`netml.validation.uncertainty` says how far, from held-out
trials.
"""

import numpy as np

from netml.artifact import Artifact
from netml.population.population import ReducedPopulation


class Ensemble(ReducedPopulation):
    """A population with the other members of its artifact behind it.

    What is added to it, or set, goes to all; spikes, rewards, steps and resets are handed on in C++.  After a state is
    restored, the others start from rest.
    """

    def __init__(self, artifact: Artifact, label: str, threads: int | None = None):
        self.shadows = [ReducedPopulation(member, f"{label}, another member", threads) for member in artifact.members]
        self._attached = False
        super().__init__(artifact, label, threads)

    def freeze(self) -> int:
        address = super().freeze()
        for shadow in self.shadows:
            shadow.freeze()
            if not self._attached:
                self.handle.add_shadow(shadow.handle)
        self._attached = True
        return address

    def rates_hz(self) -> np.ndarray:
        """(members, cells) mean rate of every cell since the last reset, of the member that acts first."""
        return np.concatenate([super().rates_hz(), *(shadow.rates_hz() for shadow in self.shadows)])

    def close(self) -> None:
        super().close()  # first: it hands on what it gets
        for shadow in self.shadows:
            shadow.close()


def _to_all(name: str):
    def method(self, *arguments, **named):
        result = getattr(ReducedPopulation, name)(self, *arguments, **named)
        for shadow in self.shadows:
            getattr(shadow, name)(*arguments, **named)
        return result

    method.__name__, method.__doc__ = name, getattr(ReducedPopulation, name).__doc__
    return method


for _name in (
    "add_cells", "add_rows", "add_projection", "add_synapses", "add_background", "add_clamp", "set_current", "inject",
):  # fmt: skip
    setattr(Ensemble, _name, _to_all(_name))


def population_of(artifact: Artifact, label: str, threads: int | None = None) -> ReducedPopulation:
    """The reduced cells of an artifact, an :class:`Ensemble` where it holds one."""
    return (Ensemble if artifact.members else ReducedPopulation)(artifact, label, threads)
