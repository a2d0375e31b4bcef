"""Imports run one way, and importing netml does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import netml

ROOT = Path(netml.__file__).parent
# From the ground up; a module may import its own layer and those before it.
LAYERS = [
    ("errors", "keys", "files", "hdf5", "checked"),
    ("artifact", "runs", "run_schema", "toolchain", "progress", "unpickle"),
    ("circuit",),
    ("network",),
    ("records",),
    ("reductions",),
    ("engine",),
    ("device",),
    ("training",),
    ("validation", "report"),
    ("pipeline", "ensemble"),
    ("cli",),
]
RANK = {name: i for i, names in enumerate(LAYERS) for name in names}
OWNERS = {  # who alone may import a heavy library
    "torch": {"reductions", "device", "training"},
    "neuron": {"engine"},
    "mpi4py": {"engine"},
    "netpyne": {"engine", "circuit"},
}
MODULES = [p for p in sorted(ROOT.rglob("*.py")) if not {"mod", "models"} & set(p.relative_to(ROOT).parts)]


def imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    own = layer(path)
    if own == "__init__":
        return
    assert own in RANK, f"{own} stands in no layer"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "netml" and len(parts) > 1 and parts[1] in RANK:
            assert RANK[parts[1]] <= RANK[own], f"{path.relative_to(ROOT)} imports {name}, a layer above its own"
        if parts[0] in OWNERS:
            assert own in OWNERS[parts[0]], f"{path.relative_to(ROOT)} imports {parts[0]}"


def test_no_circle_between_modules():
    names = {".".join(("netml", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): p
             for p in MODULES}  # fmt: skip
    edges = {name: at_import(path, names) - {name} for name, path in names.items()}
    done, path = set(), []

    def visit(name):
        assert name not in path, "circular imports: " + " -> ".join([*path, name])
        if name in done:
            return
        path.append(name)
        for other in sorted(edges[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in sorted(names):
        visit(name)


def at_import(path: Path, names: dict) -> set[str]:
    """The modules of netml that a module imports while it is imported itself (not later, inside a function)."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= members & names.keys() or {node.module}
    return found & names.keys()


def test_importing_netml_does_nothing():
    code = (
        "import sys, netml, netml.cli; from netml.cli import app; app();"
        "print(sorted({'torch','neuron','netpyne','mpi4py','matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n" and done.stderr == ""
