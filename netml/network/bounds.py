"""Between which numbers a string function can lie: interval arithmetic on its tree.

A rule whose probability is at most p needs to look at p of all pairs only (``with_probabilities`` in ``pairs.py``).
Bounds may be wide, never too narrow; what has none here is unbounded.
"""

import ast
import itertools
import math
import operator
from collections.abc import Callable

Interval = tuple[float, float]
EVERYTHING: Interval = (-math.inf, math.inf)
_BOTH = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
_RISING = {"exp": math.exp, "sqrt": math.sqrt, "log": math.log, "log10": math.log10, "float": float, "int": math.trunc,
           "round": round, "ceil": math.ceil}  # fmt: skip
_PICKED = {"min": min, "max": max}


def bounds(node: ast.AST, value: Callable[[str], Interval]) -> Interval:
    """The least and the largest value of an expression, of whose names `value` gives the bounds."""
    try:
        low, high = _bounds(node, value)
    except (ArithmeticError, ValueError):  # of zero, of a negative number, too large
        return EVERYTHING
    return EVERYTHING if math.isnan(low) or math.isnan(high) else (low, high)


def _bounds(node: ast.AST, value: Callable[[str], Interval]) -> Interval:
    match node:
        case ast.Constant():
            return float(node.value), float(node.value)
        case ast.Name():
            return value(node.id)
        case ast.UnaryOp(op=ast.USub()):
            low, high = bounds(node.operand, value)
            return -high, -low
        case ast.BinOp():
            a, b = bounds(node.left, value), bounds(node.right, value)
            if isinstance(node.op, ast.Div) and not b[0] <= 0 <= b[1]:
                return _corners(operator.truediv, a, b)
            if isinstance(node.op, ast.Pow) and (a[0] > 0 or b == (2.0, 2.0) and a[0] >= 0):
                return _corners(operator.pow, a, b)
            return _corners(_BOTH[type(node.op)], a, b) if type(node.op) in _BOTH else EVERYTHING
        case ast.IfExp():
            return _union(bounds(node.body, value), bounds(node.orelse, value))
        case ast.Compare():
            return 0.0, 1.0
        case ast.Call():
            of = [bounds(argument, value) for argument in node.args]
            name = node.func.id
            if name in _RISING:
                low, high = of[0]
                return _monotone(_RISING[name], low), _monotone(_RISING[name], high)
            if name in _PICKED:
                return _PICKED[name](low for low, _ in of), _PICKED[name](high for _, high in of)
            if name == "uniform":
                return _union(*of)
            if name == "abs":
                low, high = of[0]
                return max(low, -high, 0.0), max(-low, high)
    return EVERYTHING


def _monotone(function: Callable[[float], float], x: float) -> float:
    if math.isinf(x) and function is not math.exp:
        return function(x) if function in (math.sqrt, math.log, math.log10) and x > 0 else x
    return function(x)


def _corners(function: Callable[[float, float], float], a: Interval, b: Interval) -> Interval:
    """Of a function that is monotone in both arguments."""
    found = [function(x, y) for x, y in itertools.product(a, b)]
    return (math.nan, math.nan) if any(map(math.isnan, found)) else (min(found), max(found))


def _union(*intervals: Interval) -> Interval:
    return min(low for low, _ in intervals), max(high for _, high in intervals)
