"""Between which numbers a string function can lie: interval arithmetic on its tree, for many pairs of boxes at once.

A rule needs to look only at those pairs that its bound can let through (``thinning.py``).  Bounds may be wide, never
too narrow; what has none here is unbounded.
"""

import ast
import functools
import itertools
import operator
from collections.abc import Callable

import numpy as np

Interval = tuple[np.ndarray | float, np.ndarray | float]
EVERYTHING: Interval = (-np.inf, np.inf)
_BOTH = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
_RISING = {"exp": np.exp, "sqrt": np.sqrt, "log": np.log, "log10": np.log10, "float": np.positive, "int": np.trunc,
           "round": np.rint, "ceil": np.ceil}  # fmt: skip
_PICKED = {"min": np.minimum, "max": np.maximum}


def bounds(node: ast.AST, value: Callable[[str], Interval]) -> Interval:
    """The least and the largest value of an expression, of whose names `value` gives the bounds, broadcast."""
    with np.errstate(all="ignore"):
        low, high = _bounds(node, value)
    lost = np.isnan(low) | np.isnan(high)  # zero by zero, the root of a negative number, ...
    return (np.where(lost, -np.inf, low), np.where(lost, np.inf, high)) if np.any(lost) else (low, high)


def _bounds(node: ast.AST, value: Callable[[str], Interval]) -> Interval:
    match node:
        case ast.Constant(value=int() | float() as number):
            return np.float64(number), np.float64(number)
        case ast.Name():
            return value(node.id)
        case ast.UnaryOp(op=ast.USub()):
            low, high = bounds(node.operand, value)
            return -high, -low
        case ast.BinOp():
            a, b = bounds(node.left, value), bounds(node.right, value)
            if isinstance(node.op, ast.Div):
                return _where((b[0] > 0) | (b[1] < 0), _corners(operator.truediv, a, b), EVERYTHING)
            if isinstance(node.op, ast.Pow):
                return _power(a, b)
            return _corners(_BOTH[type(node.op)], a, b) if type(node.op) in _BOTH else EVERYTHING
        case ast.IfExp():
            return _chosen(*(bounds(part, value) for part in (node.test, node.body, node.orelse)))
        case ast.BoolOp():
            both = isinstance(node.op, ast.And)
            return functools.reduce(
                lambda a, b: _chosen(a, b if both else a, a if both else b), [bounds(x, value) for x in node.values]
            )
        case ast.Compare():
            return _compared(node.ops, [bounds(side, value) for side in (node.left, *node.comparators)])
        case ast.Call(func=ast.Name(id=name)):
            of = [bounds(argument, value) for argument in node.args]
            if name in _RISING:
                low, high = of[0]
                return _RISING[name](low), _RISING[name](high)
            if name in _PICKED:
                lows, highs = zip(*of, strict=True)
                return functools.reduce(_PICKED[name], lows), functools.reduce(_PICKED[name], highs)
            if name == "uniform":
                return functools.reduce(_union, of)
            if name == "abs":
                return _magnitude(of[0])
            if name == "pow":
                return _power(*of)
    return EVERYTHING


def _corners(function: Callable, a: Interval, b: Interval) -> Interval:
    """Of a function that is monotone in both arguments."""
    found = [function(x, y) for x, y in itertools.product(a, b)]
    return functools.reduce(np.minimum, found), functools.reduce(np.maximum, found)


def _power(a: Interval, b: Interval) -> Interval:
    if np.ndim(b[0]) == np.ndim(b[1]) == 0 and b[0] == b[1] == 2:
        low, high = _magnitude(a)
        return np.square(low), np.square(high)
    monotone = np.greater(a[0], 0) | np.greater_equal(a[0], 0) & np.greater_equal(b[0], 0)
    return _where(monotone, _corners(np.power, a, b), EVERYTHING)


def _magnitude(a: Interval) -> Interval:
    low, high = a
    return np.maximum(np.maximum(low, -high), 0.0), np.maximum(high, -low)


def _compared(ops: list[ast.cmpop], sides: list[Interval]) -> Interval:
    """1 where it holds for sure, 0 where it cannot, else between them."""
    if len(ops) == 1 and isinstance(ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
        (low, high), (other_low, other_high) = sides if isinstance(ops[0], (ast.Lt, ast.LtE)) else sides[::-1]
        return np.less(high, other_low) * 1.0, np.less_equal(low, other_high) * 1.0
    return 0.0, 1.0


def _chosen(test: Interval, body: Interval, orelse: Interval) -> Interval:
    """Of `body if test else orelse`."""
    yes, no = (test[0] > 0) | (test[1] < 0), (test[0] == 0) & (test[1] == 0)
    return _where(yes, body, _where(no, orelse, _union(body, orelse)))


def _where(which, a: Interval, b: Interval) -> Interval:
    return np.where(which, a[0], b[0]), np.where(which, a[1], b[1])


def _union(a: Interval, b: Interval) -> Interval:
    return np.minimum(a[0], b[0]), np.maximum(a[1], b[1])
