"""Rules as sampling: what a rank holds while it draws, and bounds that are never too narrow."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from netml.network import pairs as sampling
from netml.network import thinning
from netml.network.draws import Draws, key, keys, pair_keys
from netml.network.expression import Expression
from netml.network.layout import Layout

CELLS = np.arange(3000)


def one(cells):
    return np.full(len(cells), 1000.0)


def outlier(cells):
    """A cell with nearly all of them among others with few."""
    return np.where(cells == 2500, 2900.0, 20.0)


@pytest.mark.parametrize("number, pairs", [(one, 3_000_000), (outlier, 62_880)])
def test_a_rank_keeps_its_own_targets_of_a_divergence_rule(number, pairs):
    """It draws all, a block at a time, and holds no more than a block: here 3 million pairs would take 48 MB."""
    kept = []
    tracemalloc.start()
    for rank in range(100):
        here = np.arange(len(CELLS)) % 100 == rank
        if rank in (0, 99):
            kept.append([found.post for found in sampling.divergent(CELLS, CELLS, number, key("x"), here)])
            assert (np.concatenate(kept[-1]) % 100 == rank).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6
    every = list(sampling.divergent(CELLS, CELLS, number, key("x"), np.ones(len(CELLS), bool)))
    assert sum(len(found.pre) for found in every) == pairs
    post = np.concatenate([found.post for found in every])
    assert np.array_equal(np.sort(np.concatenate(kept[0])), np.sort(post[post % 100 == 0]))


NAMES = {"dist_3D": (0.0, 250.0), "pre_x": (-40.0, 90.0), "post_ynorm": (0.2, 0.9)}


@pytest.mark.parametrize("text, expected", [
    ("0.3*exp(-dist_3D/lambda_)", (0.3 * np.exp(-2.5), 0.3)), ("0.2 if dist_3D < 100 else 0.01", (0.01, 0.2)),
    ("0.1*exp(-dist_3D**2/(2*100**2))", (0.1 * np.exp(-3.125), 0.1)), ("min(0.4, max(post_ynorm, 0.3))", (0.3, 0.4)),
    ("0.5 - abs(pre_x)/200", (0.05, 0.5)), ("uniform(0.1, post_ynorm)", (0.1, 0.9)), ("-pre_x*post_ynorm", (-81, 36)),
    ("1/(1 + dist_3D)", (1 / 251, 1.0)), ("sqrt(dist_3D) - 1", (-1.0, 250**0.5 - 1)), ("round(pre_x/50)", (-1, 2)),
    ("1/pre_x", None), ("log(pre_x)", None), ("pre_x % 7", None), ("normal(0, 1)", None), ("pre_x**3", None),
    ("dist_3D * inf", None), ("exp(10*dist_3D)", (1.0, np.inf)),
    ("(pre_x - 30)**2", (0.0, 4900.0)), ("0.3*(dist_3D < 300)", (0.3, 0.3)), ("0.3*(dist_3D < 200)", (0.0, 0.3)),
    ("0.2 if dist_3D > 300 else 0.1", (0.1, 0.1)), ("0.2 if dist_3D < 300 and post_ynorm < 0.1 else 0.1", (0.1, 0.1)),
    ("0.2 if dist_3D < 300 or pre_x > 0 else 0.1", (0.2, 0.2)), ("1 < dist_3D < 9", (0.0, 1.0)),
    ("pow(dist_3D, 2)", (0.0, 62500.0)), ("0.2*exp(-(dist_3D/100)**1.5)", (0.2 * np.exp(-(2.5**1.5)), 0.2)),
    ("(dist_3D + 1)**(-2)", (251.0**-2, 1.0)), ("dist_3D**(-2)", None),
])  # fmt: skip
def test_bounds_hold(text, expected):
    """The bounds of a function are right, and what it gives lies within them."""
    expression = Expression(text, "x", frozenset(NAMES), {"lambda_": 100.0})
    low, high = expression.bounds(NAMES.__getitem__)
    np.testing.assert_allclose((low, high), expected or (-np.inf, np.inf), rtol=1e-12)
    rng = np.random.default_rng(0)
    drawn = {name: rng.uniform(*bounds, 2000) for name, bounds in NAMES.items()}
    found = expression(drawn.__getitem__, Draws(keys(key("b"), np.arange(2000))))
    found = np.asarray(found)[np.isfinite(found)]
    assert ((found >= low - 1e-12) & (found <= high + 1e-12)).all()


class Square:
    """A layout of cells in a square of 400 um, a tenth of them on one spot."""

    def __init__(self, cells):
        self.um = np.random.default_rng(3).uniform(0, 400, (3, cells))
        self.um[:, ::10] = [[50.0], [60.0], [0.0]]
        self.um[2] = 0
        self.norm = self.um / 400

    position = Layout.position


FUNCTIONS = [
    "0.9*exp(-dist_3D/30)", "0.6 if dist_2D < 50 and pre_x > 40 else 0.001", "0.04*post_xnorm",
    "2*exp(-dist_y/60) - 0.3", "0.5*exp(-(pre_x - post_x)**2/(2*40**2))",
    "uniform(0, 0.8)*(dist_xnorm <= 0.25)", "0.02*exp(-dist_3D/200)", "normal(0.1, 0.01)",
    "0.3 + 0*sqrt(pre_y - 200)",
]  # fmt: skip


def thinned(text, layout, pre, post, of=None):
    expression = Expression(text, "x", sampling.VARIABLES, {})
    most = float(thinning.highest(expression, thinning.span(layout, pre), thinning.span(layout, post)))
    found = list(thinning.with_probabilities(pre, post if of is None else of, expression, layout, key("t"), most))
    order = np.lexsort((pre := np.concatenate([f.pre for f in found]), post := np.concatenate([f.post for f in found])))
    return np.stack([pre[order], post[order]])


@pytest.mark.parametrize("text", FUNCTIONS)
def test_pairs_have_their_own_probabilities(text, monkeypatch):
    """Numbers of connections, by cell and by probability, are those of independent draws (chi-square, 1e-3 each).

    Who is connected does not depend on ranks or blocks, and where boxes are used not on the bounds either.
    """
    layout, pre, post = Square(1000), np.arange(100, 1000), np.arange(0, 700)
    found = thinned(text, layout, pre, post)
    parts = [thinned(text, layout, pre, post, post[rank::3]) for rank in range(3)]
    together = np.concatenate(parts, axis=1)
    np.testing.assert_array_equal(found, together[:, np.lexsort(together)])
    assert len(np.unique(found, axis=1).T) == len(found.T) and found[0].min() >= 100

    every = sampling.Pairs(np.tile(pre, len(post)), np.repeat(post, len(pre)))
    draws = Draws(pair_keys(key("t"), every.post, every.pre))
    expression = Expression(text, "x", sampling.VARIABLES, {})
    p = np.clip(np.nan_to_num(sampling.values(expression, layout, every, draws)), 0, 1)
    made = np.zeros((700, 1000), bool)
    made[found[1], found[0]] = True
    made = made[every.post, every.pre]
    assert not made[p == 0].any() and made[p == 1].all()
    for cells in (every.pre, every.post, np.digitize(p, np.quantile(p, np.linspace(0, 1, 12)[1:-1]))):
        expected, variance = np.bincount(cells, p), np.bincount(cells, p * (1 - p))
        few = variance > 2  # else a normal distribution is none
        z2 = (np.bincount(cells, made)[few] - expected[few]) ** 2 / variance[few]
        assert stats.chi2.sf(z2.sum(), few.sum()) > 1e-3 and stats.chi2.cdf(z2.sum(), few.sum()) > 1e-3

    monkeypatch.setattr(sampling, "BLOCK", 5000), monkeypatch.setattr(thinning, "BLOCK", 3000)
    np.testing.assert_array_equal(thinned(text, layout, pre, post), found)
    if p.max() > thinning.RARE:
        monkeypatch.setattr(thinning, "highest", lambda *_: np.float64(1.0))
        np.testing.assert_array_equal(thinned(text, layout, pre, post), found)


@pytest.mark.parametrize("cells", [1, 7, 128, 129, 900, 1000])
def test_every_cell_is_in_one_box_of_neighbours(cells):
    layout, mine = Square(1000), np.random.default_rng(1).permutation(1000)[:cells]
    mine.sort()
    boxes = thinning.neighbours(layout, mine)
    assert boxes.shape[1] <= thinning.BOX and boxes.shape[1] % 8 == 0
    np.testing.assert_array_equal(np.sort(boxes.ravel()[:cells]), mine)
    assert (boxes.ravel()[cells:] == boxes.ravel()[cells - 1]).all()
    if cells == 1000:  # 8 boxes; a side was halved, not quite so near the spot where many cells are
        assert np.ptp(layout.um[:, boxes], axis=-1).max() < 250
