"""Where NEURON lies and what its tools need, without importing it."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from netml.errors import CompileError

#: What nrnivmodl must not inherit: of an outer make; and what NEURON's Python modules set when they are imported, with
#: which NEURON 9's nmodl looks for its units in the wrong place.
HIDDEN = ("MAKEFLAGS", "MAKELEVEL", "NEURONHOME", "NMODLHOME", "NMODL_PYLIB")


@functools.cache
def neuron_installation() -> tuple[str, str]:
    """Return (version, folder) of NEURON without importing it."""
    spec = importlib.util.find_spec("neuron")
    if spec is None or spec.origin is None:
        raise CompileError("NEURON is not installed in this Python; pip install neuron")
    for distribution in ("neuron", "neuron-nightly"):
        try:
            return importlib.metadata.version(distribution), str(Path(spec.origin).parent)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown", str(Path(spec.origin).parent)


def nrnivmodl() -> Path:
    """Return NEURON's mod compiler of the running Python's environment, else the one on the PATH.

    Raises:
        CompileError: it, or the `make` that it calls, is not there.
    """
    if shutil.which("make") is None:
        raise CompileError("no `make`, which NEURON's nrnivmodl needs to build mod files; apt-get install make")
    for folder in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent)):
        path = Path(folder) / "nrnivmodl"
        if path.is_file():
            return path
    found = shutil.which("nrnivmodl")
    if found is None:
        raise CompileError("nrnivmodl not found; it comes with NEURON: pip install neuron")
    return Path(found)


def tool_environment() -> dict[str, str]:
    """Return the environment for NEURON's tools: that of this process without what they must not inherit."""
    return {name: value for name, value in os.environ.items() if name not in HIDDEN}


def translator() -> tuple[Path, dict[str, str]] | None:
    """Return NEURON's `nmodl` and the environment it needs; None where this NEURON came without it."""
    if importlib.util.find_spec("neuron") is None:
        return None
    home = Path(neuron_installation()[1]) / ".data"
    if not (home / "bin" / "nmodl").is_file():
        found = shutil.which("nmodl")  # of a NEURON that was built here
        if found is None:
            return None
        home = Path(found).resolve().parents[1]
    return home / "bin" / "nmodl", tool_environment() | {"NMODLHOME": str(home)}
