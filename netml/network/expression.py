"""NetPyNE's string functions ("0.1 * exp(-dist_3D / 50)"), evaluated for many pairs at once.

The text is parsed, checked against what is allowed and evaluated on NumPy arrays; it is never handed to ``eval``.
"""

import ast
import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from netml.errors import ModelError
from netml.network.bounds import Interval, bounds
from netml.network.draws import DISTRIBUTIONS, Draws, draw

OPERATORS: dict[type[ast.AST], Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: lambda a, b: np.power(np.asarray(a, float), b),
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: np.logical_not,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
# What NetPyNE's own functions may call, with its meaning.
FUNCTIONS: dict[str, Callable] = {name: getattr(np, name) for name in (
    "exp", "log", "log10", "sqrt", "sin", "cos", "tan", "arctan2", "remainder", "ceil")}  # fmt: skip
FUNCTIONS |= {"abs": np.abs, "pow": lambda a, b: np.power(np.asarray(a, float), b), "int": np.trunc,
              "float": lambda a: np.asarray(a, float), "round": np.rint,
              "min": lambda *a: functools.reduce(np.minimum, a),
              "max": lambda *a: functools.reduce(np.maximum, a)}  # fmt: skip
CONSTANTS: dict[str, float] = {"pi": np.pi, "inf": np.inf, "True": True, "False": False}


class Expression:
    """One string function.

    Args:
        text: As in netParams.
        where: For messages, e.g. "probability of connParams 'E->I'".
        variables: Names that :meth:`__call__` will be given.
        constants: The numbers in netParams.

    Attributes:
        names: The variables it uses.
        random: Whether it draws.

    Raises:
        ModelError: It is no expression, or uses what is neither arithmetic nor known.
    """

    def __init__(self, text: str, where: str, variables: frozenset[str], constants: Mapping[str, Any]):
        self.text, self.where = text, where
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise ModelError(f"{where} is {text!r}, which is no expression: {error}") from error
        self._constants: dict[str, Any] = {**CONSTANTS, **constants}
        self.names = frozenset(self._check(self._tree, variables))
        called = {node.func.id for node in ast.walk(self._tree)
                  if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
        self.random = bool(called & DISTRIBUTIONS.keys())

    def __call__(self, variable: Callable[[str], np.ndarray], draws: Draws | None = None) -> np.ndarray:
        """The value of each element.

        Args:
            variable: Gives the array of a name.
            draws: For the distributions in it.

        Raises:
            ModelError: A distribution where there may be none (draws is None) or with wrong arguments.
        """
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused where it is used
                return self._value(self._tree, variable, draws)
        except ArithmeticError as error:  # of its constants alone
            raise ModelError(f"{self.where} is {self.text!r}: {error}") from error

    def bounds(self, variable: Callable[[str], Interval]) -> Interval:
        """The least and the largest value that it can have, by those of its variables."""

        def value(name: str) -> Interval:
            if name in self.names:
                return variable(name)
            return self._constants[name], self._constants[name]

        return bounds(self._tree, value)

    def _check(self, node: ast.AST, variables: frozenset[str]):
        """Yield the variables of a node; refuse what is not allowed."""
        known = isinstance(node, (ast.BinOp, ast.UnaryOp)) and type(node.op) in OPERATORS
        known |= isinstance(node, ast.Compare) and all(type(op) in OPERATORS for op in node.ops)
        known |= isinstance(node, (ast.BoolOp, ast.IfExp))
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return
        if isinstance(node, ast.Name):
            if node.id in variables:
                yield node.id
            elif node.id not in self._constants:
                raise ModelError(
                    f"{self.where} is {self.text!r}; unknown name {node.id!r}: expected numbers in netParams or "
                    f"{', '.join(sorted(variables))}"
                )
            return
        children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", ast.unparse(node.func))
            if (name not in FUNCTIONS and name not in DISTRIBUTIONS) or node.keywords or not node.args:
                raise ModelError(
                    f"{self.where} is {self.text!r}; {ast.unparse(node)!r} is not supported: expected one of "
                    f"{', '.join(sorted([*FUNCTIONS, *DISTRIBUTIONS]))}, with plain arguments"
                )
            known, children = True, node.args
        if not known:
            raise ModelError(f"{self.where} is {self.text!r}; {ast.unparse(node)!r} is not arithmetic")
        for child in children:
            yield from self._check(child, variables)

    def _value(self, node, variable, draws):
        def value(child):
            return self._value(child, variable, draws)

        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._constants[node.id] if node.id not in self.names else variable(node.id)
            case ast.BinOp():
                return OPERATORS[type(node.op)](value(node.left), value(node.right))
            case ast.UnaryOp():
                return OPERATORS[type(node.op)](value(node.operand))
            case ast.IfExp():
                return np.where(value(node.test), value(node.body), value(node.orelse))
            case ast.BoolOp():
                both = isinstance(node.op, ast.And)
                return functools.reduce(
                    lambda a, b: np.where(a, b if both else a, a if both else b), map(value, node.values)
                )
            case ast.Compare():
                sides = [value(child) for child in (node.left, *node.comparators)]
                parts = [OPERATORS[type(op)](a, b) for op, a, b in zip(node.ops, sides, sides[1:], strict=False)]
                return functools.reduce(np.logical_and, parts)
        assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        arguments = [value(child) for child in node.args]
        if node.func.id in FUNCTIONS:
            return FUNCTIONS[node.func.id](*arguments)
        if draws is None:
            raise ModelError(f"{self.where} is {self.text!r}; a distribution cannot stand there")
        try:
            return draw(node.func.id, arguments, draws)
        except ModelError as error:
            raise ModelError(f"{self.where} is {self.text!r}: {error}") from error
