"""Rules as sampling: what a rank holds while it draws, and bounds that are never too narrow."""

import tracemalloc

import numpy as np
import pytest

from netml.network import pairs as sampling
from netml.network.draws import Draws, key, keys
from netml.network.expression import Expression

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
    ("dist_3D * inf", None), ("exp(10*dist_3D)", None),
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
