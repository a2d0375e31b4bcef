"""A project's own `init.py`: the files that it names, and what it does that NetPyNE's usual steps do not.

netml makes those steps itself (create, simulate, save) and runs no such file; what else it says changes the model, so a
user is told of it, line by line. The file is read, never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

STEPS = ("createPops", "createCells", "connectCells", "addStims", "addRxD", "setupRecording")
CREATES = {"create", "createSimulate", "createSimulateAnalyze", "createSimulateAnalyzeInterval",
           "createSimulateAnalyzeDistributed"}  # fmt: skip
RUNS = (CREATES - {"create"}) | {"simulate", "runSim", "intervalSimulate", "distributedSimulate"}
READS = {"readCmdLineArgs", "loadFromIndexFile"}
#: Of NetPyNE's sim: what the steps are made of, and what only looks at, saves or plots what is there.
HARMLESS = CREATES | RUNS | READS | {
    "initialize", "analyze", "gatherData", "gatherDataFromFiles", "saveData", "saveDataInNodes", "checkOutput",
    "timing", "pc.timeout", "pc.barrier", "pc.done", "pc.runworker", "setupRecording",
    *(f"net.{step}" for step in STEPS),
}  # fmt: skip
#: Of other modules and Python.
CALLS = ("print", "matplotlib.", "pylab.", "time.", "sys.exit", "exit", "quit", "len", "range", "str", "int", "float",
         "bool", "os.path.", "os.getcwd", "os.makedirs", "os.environ.get", "logging.", "neuron.h.quit", "warnings.",
         "sys.path.", "os.getenv")  # fmt: skip
#: Arguments with which a step is the usual one.
USUAL = {"netParams", "simConfig", "net", "output", "interval", "nthreads", "filename", "includeLFP", "clearAll",
         "simConfigDefault", "netParamsDefault"}  # fmt: skip


@dataclass
class InitFile:
    """What an init file says.

    Attributes:
        path: Of the file.
        beyond: (line, its text) of what it does before or in the simulation that the usual steps do not.
        config, net_params: The files that it names for readCmdLineArgs, None where it names none.
    """

    path: Path
    beyond: list[tuple[int, str]] = field(default_factory=list)
    config: str | None = None
    net_params: str | None = None

    def __str__(self) -> str:
        shown = "; ".join(f"line {line}: {text}" for line, text in self.beyond[:8])
        more = f"; and {len(self.beyond) - 8} more" if len(self.beyond) > 8 else ""
        return f"{self.path} does more than create, simulate and save, and that is not run: {shown}{more}"


def read_init_file(path: Path) -> InitFile:
    """Read an init file; one that is no Python of today says nothing but that."""
    found = InitFile(path)
    text = path.read_text(errors="replace")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        found.beyond.append((getattr(error, "lineno", None) or 1, f"no Python of version 3 ({error})"))
        return found
    _Reader(found, tree, text.splitlines()).read()
    return found


class _Reader:
    """Goes through the statements in the order in which they run, up to the simulation."""

    def __init__(self, found: InitFile, tree: ast.Module, lines: list[str]):
        self._found, self._tree, self._lines = found, tree, lines
        self._names = {"sim": "netpyne.sim", "h": "neuron.h"} | dict(_imported(tree))
        self._functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self._entered: set[str] = set()
        self._steps: list[tuple[str, int]] = []

    def read(self) -> None:
        self._statements(self._tree.body)
        steps = [step for step, _ in self._steps if step != "addRxD"]
        usual = [step for step in STEPS if step != "addRxD"]
        if steps and steps != usual:
            line = self._steps[0][1]
            self._found.beyond.append((line, f"the steps {', '.join(steps)}, where netml does {', '.join(usual)}"))
        self._found.beyond.sort()

    def _statements(self, body: list[ast.stmt]) -> bool:
        """Go through statements; whether they reach the simulation."""
        return any(self._statement(node) for node in body)

    def _statement(self, node: ast.stmt) -> bool:
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            items = [item.context_expr for item in getattr(node, "items", ())]
            heads = [node.test] if isinstance(node, ast.If) else items
            if not all(self._pure(head) for head in heads):
                return self._unknown(node)
            parts = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
            return any([self._statements(part) for part in parts])
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and self._enters(node.value):
            return self._statements(self._functions[node.value.func.id].body)  # type: ignore[attr-defined]
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Pass, ast.Global)):
            return False
        if (
            isinstance(node, (ast.Expr, ast.Return))
            or isinstance(node, ast.Assign)
            and all(_plain_name(target) for target in node.targets)
        ):
            value = node.value
        else:
            return self._unknown(node)
        if not (value is None or self._pure(value)):
            return self._unknown(node)
        for call in _calls(value):
            self._note(call)
        return any(self._sim(call) in RUNS for call in _calls(value))

    def _enters(self, call: ast.Call) -> bool:
        """Whether it is the first call of a function of the file, without arguments."""
        name = getattr(call.func, "id", "")
        if name not in self._functions or name in self._entered or call.args or call.keywords:
            return False
        self._entered.add(name)
        return True

    def _unknown(self, node: ast.stmt) -> bool:
        text = self._lines[node.lineno - 1].split("#")[0].strip()
        self._found.beyond.append((node.lineno, text if len(text) <= 60 else f"{text[:57]}..."))
        calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
        for call in calls:
            self._note(call)
        return any((self._sim(call) or "").startswith(("run", *RUNS)) for call in calls)

    def _note(self, call: ast.Call) -> None:
        """Keep the steps and the files that a call names."""
        name = self._sim(call) or ""
        if name.removeprefix("net.") in STEPS:
            self._steps.append((name.removeprefix("net."), call.lineno))
        if name == "readCmdLineArgs":
            given = dict(zip(("simConfigDefault", "netParamsDefault"), call.args, strict=False))
            given |= {str(word.arg): word.value for word in call.keywords}
            files = {key: value.value for key, value in given.items()
                     if isinstance(value, ast.Constant) and isinstance(value.value, str)}  # fmt: skip
            self._found.config = files.get("simConfigDefault")
            self._found.net_params = files.get("netParamsDefault")

    def _pure(self, node: ast.expr) -> bool:
        """Whether an expression leaves the model as the usual steps make it."""
        return all(self._harmless(call) for call in _calls(node)) and not any(
            isinstance(part, (ast.Yield, ast.Await, ast.NamedExpr)) for part in ast.walk(node)
        )

    def _harmless(self, call: ast.Call) -> bool:
        name = self._sim(call)
        if name is None:
            return self._dotted(call.func).startswith(CALLS)
        if name.startswith("analysis."):
            return True
        return name in HARMLESS and {word.arg for word in call.keywords} <= USUAL

    def _sim(self, call: ast.Call) -> str | None:
        """The name of one of NetPyNE's own calls, without its module."""
        name = self._dotted(call.func)
        return name.removeprefix("netpyne.sim.") if name.startswith("netpyne.sim.") else None

    def _dotted(self, node: ast.expr) -> str:
        """A name with what it was imported as written out: "netpyne.sim.net.createCells"."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self._names.get(node.id, node.id), *reversed(parts)])


def _plain_name(target: ast.expr) -> bool:
    parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
    return all(isinstance(part, ast.Name) for part in parts)


def _calls(node: ast.expr | None) -> list[ast.Call]:
    return [part for part in ast.walk(node) if isinstance(part, ast.Call)] if node is not None else []


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names of imported modules and members: what they are called here, and what they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
