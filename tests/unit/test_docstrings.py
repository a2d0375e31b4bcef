"""One dialect of docstrings; in those of public calls every argument, and an example that fits the signatures."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pydantic
import pytest

import netml

ROOT = Path(netml.__file__).parent
#: What a user calls beside the names of netml, most of it returned by these.
FURTHER = {
    "netml.device.network": ("DeviceNetwork",),
    "netml.device.population": ("DevicePopulation",),
    "netml.device.simulation": ("DeviceSimulation", "build"),
    "netml.engine.ranks.launch": ("launch",),
    "netml.engine.reduced_network.simulation": ("NetworkSimulation",),
    "netml.population.population": ("ReducedPopulation",),
    "netml.training.config": ("TrainConfig",),
}
HEADINGS = ("Args", "Attributes", "Example", "Raises", "Returns", "Yields")
OTHERS = ("Arguments", "Examples", "Fields", "Keywords", "Members", "Note", "Parameters", "Return", "Usage")


def calls():
    """Public functions, classes and members of classes, by name: the object, and the class it belongs to."""
    objects = {f"netml.{name}": getattr(netml, name) for name in netml.__all__}
    for module, names in FURTHER.items():
        objects |= {f"{module}.{name}": getattr(importlib.import_module(module), name) for name in names}
    for name, one in objects.items():
        yield name, one, None
        for member, value in vars(one).items() if inspect.isclass(one) else ():
            kinds = (classmethod, staticmethod, property, cached_property)
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds)):
                yield f"{name}.{member}", value, one


CALLS = {name: (one, owner) for name, one, owner in calls()}


#: Every docstring of netml and of the models: file, what it belongs to, text.
DOCSTRINGS = [
    (path.relative_to(ROOT.parent), node, text)
    for path in [*sorted(ROOT.rglob("*.py")), *sorted((ROOT.parent / "models").rglob("*.py"))]
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node))
]


def sections(text: str) -> dict[str, str]:
    """The parts of a docstring by heading; what stands before all of them has none."""
    parts = re.split(rf"^({'|'.join(HEADINGS)}):\n", text, flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def items(section: str) -> set[str]:
    """The names that a section explains, one or several a line."""
    found = re.findall(r"^ {4}(\*{0,2}\w+(?:, \w+)*):", section, re.MULTILINE)
    return {name.lstrip("*") for line in found for name in line.split(", ")}


def parameters(one) -> set[str]:
    """What a caller may give."""
    if inspect.isclass(one):
        if issubclass(one, pydantic.BaseModel):
            return set()  # its fields carry their own descriptions
        if dataclasses.is_dataclass(one):
            return {field.name for field in dataclasses.fields(one) if not field.name.startswith("_")}
        return set(inspect.signature(one).parameters) if "__init__" in vars(one) else set()
    if isinstance(one, (property, cached_property)):
        return set()
    function = one.__func__ if isinstance(one, (classmethod, staticmethod)) else one
    return set(inspect.signature(function).parameters) - {"self", "cls"}


def doc(one) -> str:
    function = one.__func__ if isinstance(one, (classmethod, staticmethod)) else one
    return inspect.cleandoc(function.__doc__ or "")


def examples(text: str) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(text)


@pytest.mark.parametrize("name", CALLS)
def test_a_public_call_explains_every_argument(name):
    """Under Args, for a class also under Attributes; a docstring without Args may have them in its text, ``so``."""
    one, _ = CALLS[name]
    text = doc(one)
    assert text, f"{name} has no docstring"
    parts = sections(text)
    explained = items(parts.get("Args", "")) | items(parts.get("Attributes", ""))
    if "Args" not in parts:
        explained |= set(re.findall(r"``(\w+)``", parts[""]))
    assert not parameters(one) - explained


@pytest.mark.parametrize("name", CALLS)
def test_a_public_call_has_an_example(name):
    """Its own, or one of its class."""
    one, owner = CALLS[name]
    assert examples(sections(doc(one)).get("Example", "")) or (owner and examples(sections(doc(owner))["Example"]))


def test_every_field_of_a_training_has_a_description():
    fields = importlib.import_module("netml.training.config").TrainConfig.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


def faults(node: ast.AST, text: str):
    """What is wrong with a docstring's form."""
    if found := re.search(rf"^\s*({'|'.join(OTHERS)}):\s*$", text, re.MULTILINE):
        yield f"heading {found[1]}; expected one of {', '.join(HEADINGS)}"
    parts = sections(text)
    if re.search(r"^ +\w+Error(, \w+)+:|^ +\w+Error: .*\b\w+Error: ", parts.get("Raises", ""), re.MULTILINE):
        yield "several errors in a line; expected one"
    functions = node.body if isinstance(node, ast.ClassDef) else [node]
    for function in functions if "Args" in parts else ():
        if isinstance(function, ast.FunctionDef) and (function is node or function.name == "__init__"):
            of = function.args
            known = {one.arg for one in (*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg) if one}
            if strange := items(parts["Args"]) - known:
                yield f"{', '.join(strange)} under Args, which is no argument"


def test_one_dialect():
    found = [f"{path}:{getattr(node, 'lineno', 1)}: {fault}" for path, node, text in DOCSTRINGS
             for fault in faults(node, text)]  # fmt: skip
    assert not found, "\n".join(found)


def test_examples_are_python():
    for path, _, text in DOCSTRINGS:
        for example in examples(text) if ">>>" in text else ():
            compile(example.source, str(path), "exec")


def called(function: ast.expr, known: dict, owner: type | None):
    """What an example calls and its arguments before those given: a name that is known, or a method of the class."""
    match function:
        case ast.Name(name):
            return known.get(name), []
        case ast.Attribute(base, name):
            found = getattr(called(base, known, None)[0], name, None)
            if found is None and owner:
                found = getattr(owner, name, None)
                return found, [None] * inspect.isfunction(found)
            return found, []
    return None, []


@pytest.mark.parametrize("name", CALLS)
def test_calls_in_examples_fit_the_signatures(name):
    one, owner = CALLS[name]
    owner = owner or (one if inspect.isclass(one) else None)
    known = vars(importlib.import_module((owner or one).__module__)) | {"netml": netml}
    source = "".join(example.source for example in examples(doc(one)))
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        function, first = called(call.func, known, owner)
        if not (callable(function) and (function.__module__ or "").startswith("netml")):
            continue
        given = {word.arg: None for word in call.keywords if word.arg}
        signature = inspect.signature(function)
        bind = signature.bind if len(given) == len(call.keywords) else signature.bind_partial
        bind(*first, *(None for _ in call.args), **given)


SHOWN = {
    ".".join(path.with_suffix("").parts)
    for path, _, text in DOCSTRINGS
    if ">>>" in text and any(example.want for example in examples(text))
}


@pytest.mark.parametrize("module", sorted(SHOWN))
def test_examples_with_output_give_it(module):
    """What needs NEURON, files of a user or minutes shows no output."""
    found = importlib.import_module(module)
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(found, extraglobs={"netml": netml, "np": np}):
        if any(example.want for example in test.examples):
            runner.run(test)
    assert runner.tries and not runner.failures
