"""Which rank has which cells: dealt by what they cost, so that no rank waits long for another.

NetPyNE deals them in turn, which is even in their number. Where they lie changes no spike (in the exact build).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netml.circuit.conditions import conditions_hold


@contextmanager
def dealt_by_cost(sim: Any) -> Iterator[None]:
    """Make NetPyNE deal the cells that it creates in the block by cost; `sim.net.createPops` was called before."""
    loads = [0] * sim.nhosts
    for pop in sim.net.pops.values():
        pop._distributeCells = _Deal(sim, pop, loads)
    try:
        yield
    finally:
        for pop in sim.net.pops.values():
            del pop._distributeCells


class _Deal:
    """In place of a population's `_distributeCells`: each cell to the rank with the least so far."""

    def __init__(self, sim: Any, pop: Any, loads: list[int]):
        self._sim, self._pop, self._in_turn, self._loads = sim, pop, pop._distributeCells, loads

    def __call__(self, number: int) -> dict[int, list[int]]:
        self._in_turn(number)  # a swapped population chooses here which of its cells are reduced
        first, reduced = self._sim.net.lastGid, getattr(self._pop, "reduced_gids", ())
        price = cost(self._sim.net.params, self._pop.tags)
        dealt: dict[int, list[int]] = {rank: [] for rank in range(len(self._loads))}
        for cell in range(number):
            rank = min(dealt, key=self._loads.__getitem__)
            dealt[rank].append(cell)
            self._loads[rank] += 1 if first + cell in reduced else price
        return dealt


def cost(params: Any, tags: dict[str, Any]) -> int:
    """Return what a cell of a population costs, in segments: its own, and one for each stimulation onto it.

    Synapses from other cells are left out: where they share objects there are at most as many as segments, and where
    they do not, all cells of a type have about as many. A cell without a rule of its own (artificial ones) costs 1.
    """
    rule = params.cellParams.get(tags.get("cellType")) or params.cellParams.get(tags.get("pop")) or {}
    segments = sum(int((sec.get("geom") or {}).get("nseg") or 1) for sec in (rule.get("secs") or {}).values())
    stims = sum(conditions_hold(target.get("conds"), tags) for target in params.stimTargetParams.values())
    return max(segments, 1) + stims


def list_cells_by_gid(sim: Any) -> None:
    """Make NetPyNE list the network's cells by gid, as it does on one rank, and not rank by rank.

    Connections are made in that order, and the currents of a segment are summed in the order in which its synapses were
    made: listed by rank, the voltage would differ by a rounding with their number, which chaos amplifies.
    """
    from netpyne.sim.gather import _gatherAllCellTags

    sim._gatherAllCellTags = lambda: dict(sorted(_gatherAllCellTags().items()))
