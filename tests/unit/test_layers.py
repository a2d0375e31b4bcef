"""Imports run one way at every depth, function-level ones included, and importing netml does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import netml

ROOT = Path(netml.__file__).parent
# Floors from the ground up, each a set of rooms: a folder or a single file.  A module may import its own room and those
# of the floors below; two rooms of one floor know nothing of each other.
FLOORS = [
    ("errors", "keys", "deprecation", "metrics", "plain"),
    ("files", "hdf5", "checked", "artifact_schema", "toolchain", "progress", "unpickle"),
    ("run_schema",),
    ("artifact", "runs"),
    ("circuit", "stimuli"),
    ("records",),
    ("reductions",),
    ("population",),
    ("network",),
    ("engine.ranks", "engine.mechanisms", "device"),
    ("engine.population_in_neuron",),
    ("engine.circuit",),
    ("engine.recording", "engine.reduced_network"),
    ("engine.cell_import", "engine.experiments", "engine.doctor"),
    ("training",),
    ("validation",),
    ("report",),
    ("stages",),
    ("cli",),
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
OWNERS = {  # who alone may import a heavy library
    "torch": {"reductions", "device", "training"},
    "neuron": {"engine"},
    "nrn": {"engine"},
    "mpi4py": {"engine"},
    "netpyne": {"engine", "circuit"},
}
LONGEST = 340  # lines of a file: a reader sees it whole
TOP = {"__init__"}
LEFT_OUT = {"mod", "models", "cell_project"}  # other people's form: NMODL, C++ and NetPyNE projects


def module_name(path: Path) -> str:
    """Dotted, without "netml."; a package by its folder."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_name(path): path
    for path in sorted(ROOT.rglob("*.py"))
    if not LEFT_OUT & set(path.relative_to(ROOT).parts) and module_name(path) not in TOP
}


def room(name: str) -> str | None:
    """The room of a module, None of a name outside all rooms."""
    return next((one for one in FLOOR if name == one or name.startswith(f"{one}.")), None)


def imported(path: Path) -> set[str]:
    """All that a file imports anywhere in it, dotted; members of a module count as the module and by their own name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_imports(path: Path) -> set[str]:
    """The modules of netml that a file imports, the packages above them left out."""
    names = {name.removeprefix("netml.") for name in imported(path) if name.startswith("netml.")}
    found = names & MODULES.keys()
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    own = room(name)
    if own is None:
        assert not own_imports(MODULES[name]), f"{name} stands in no room"
        return
    for other in own_imports(MODULES[name]):
        there = room(other)
        assert there is not None, f"{name} imports {other}, which stands in no room"
        assert there == own or FLOOR[there] < FLOOR[own], f"{name} imports {other}, which is not on a floor below"


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_have_owners(name):
    for other in imported(MODULES[name]):
        library = other.split(".")[0]
        assert name.split(".")[0] in OWNERS.get(library, {name.split(".")[0]}), f"{name} imports {other}"


def test_no_circle_between_modules():
    edges = {name: own_imports(path) - {name} for name, path in MODULES.items()}
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

    for name in sorted(edges):
        visit(name)


def test_files_are_short():
    long = {name: lines for name, path in MODULES.items() if (lines := len(path.read_text().splitlines())) > LONGEST}
    assert not long


def test_importing_netml_does_nothing():
    code = (
        "import sys, netml, netml.cli; from netml.cli import app; app();"
        "print(sorted({'torch','neuron','netpyne','mpi4py','matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n" and done.stderr == ""


def test_the_device_network_never_starts_neuron():
    """Importing its modules, and laying out the cells of a network, leaves NEURON and MPI alone."""
    code = (
        "import sys, netml.device.simulation\n"
        "from netml.network.layout import Layout\n"
        "print(sorted({'neuron', 'mpi4py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
