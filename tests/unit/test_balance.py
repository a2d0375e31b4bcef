"""Dealing cells out to ranks by cost."""

from types import SimpleNamespace

import pytest

from netml.engine.circuit.load_balance import cost, dealt_by_cost

BIG = {"secs": {"soma": {"geom": {"nseg": 1}}, "dend": {"geom": {"nseg": 99}}}}
SMALL = {"secs": {"soma": {"geom": {}}, "dend": {"geom": {"nseg": 9}}}}
STIMS = {"all": {}, "big": {"conds": {"pop": ["BIG", "OTHER"]}}, "small": {"conds": {"cellType": "SMALL", "x": [0, 1]}}}


class Pop:
    """As NetPyNE's: a method that deals in turn."""

    def __init__(self, label, **more):
        self.tags, self.asked = {"pop": label, "cellType": label}, []
        vars(self).update(more)

    def _distributeCells(self, number):
        self.asked.append(number)
        return "in turn"


def network(ranks: int, *pops: Pop):
    params = SimpleNamespace(cellParams={"BIG": BIG, "SMALL": SMALL}, stimTargetParams=STIMS)
    net = SimpleNamespace(params=params, pops={pop.tags["pop"]: pop for pop in pops}, lastGid=0)
    return SimpleNamespace(net=net, nhosts=ranks)


@pytest.mark.parametrize("label, expected", [("BIG", 102), ("SMALL", 12), ("ARTIFICIAL", 2)])
def test_cost_is_segments_and_stimulations(label, expected):
    assert cost(network(1).net.params, {"pop": label, "cellType": label}) == expected


def test_small_cells_make_up_for_a_big_one():
    sim = network(2, big := Pop("BIG"), small := Pop("SMALL"))
    with dealt_by_cost(sim):
        assert big._distributeCells(3) == {0: [0, 2], 1: [1]}
        sim.net.lastGid = 3
        dealt = small._distributeCells(20)
        assert sorted(dealt[0] + dealt[1]) == list(range(20)) and dealt[1][:9] == list(range(9))
        assert abs((2 * 102 + 12 * len(dealt[0])) - (102 + 12 * len(dealt[1]))) <= 12
    assert big.asked == [3] and small.asked == [20]  # NetPyNE's own is called too
    assert big._distributeCells(3) == "in turn"


def test_equal_cells_are_dealt_in_turn_and_reduced_ones_cost_little():
    sim = network(3, big := Pop("BIG", reduced_gids={0, 1, 2, 3, 4}), small := Pop("SMALL"))
    with dealt_by_cost(sim):
        assert big._distributeCells(5) == {0: [0, 3], 1: [1, 4], 2: [2]}
        sim.net.lastGid = 5
        assert {rank: len(cells) for rank, cells in small._distributeCells(6).items()} == {0: 2, 1: 2, 2: 2}
