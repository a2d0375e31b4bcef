"""Find the compiler and keep what it builds in a per-user cache.

Everything compiled by netml (the kernel library, NEURON mechanisms) goes through `cached_build`: an entry is a
folder named by the digest of all that decides its content; it is built in a temporary folder under a file lock and
appears by one atomic rename. So any number of ranks and processes build an entry once, and a failed or killed build
leaves none.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from netml.errors import CompileError

#: File names that a C++ source may include from its own folder: their content is part of the key of a library.
HEADERS = ("*.h", "*.hpp", "*.inc")


def cache_folder() -> Path:
    """Return the folder of built libraries: $NETML_CACHE, or ~/.cache/netml (created if missing).

    Raises:
        CompileError: it cannot be created or written.
    """
    chosen = os.environ.get("NETML_CACHE")
    folder = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "netml"
    folder = folder.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CompileError(
            f"cannot create the cache folder {folder}: {error}; set NETML_CACHE to one you may write"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CompileError(f"the cache folder {folder} is not writable; set NETML_CACHE to one that is")
    return folder


def source_folder(name: str) -> Path:
    """Return the folder of sources that travels with netml.

    Args:
        name: "mod" or "models": beside the package in a clone, inside it when installed from a wheel.

    Raises:
        CompileError: neither place has it.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise CompileError(
        f"no folder {name!r} in {package} or {package.parent}; install netml from a wheel or a full clone"
    )


def shipped(path: str | Path) -> Path:
    """Return a path, or what travels with netml under its name where nothing is there.

    Args:
        path: of the user's own, or of the models that travel: "models/cortex", "models/cortex/reductions/PYR.netml";
            the "models" may be left out.

    Raises:
        CompileError: as `source_folder`.
    """
    path = Path(path).expanduser()
    if path.exists() or path.is_absolute() or ".." in path.parts:
        return path
    inside = path.relative_to("models") if path.parts[0] == "models" else path
    found = source_folder("models") / inside
    return found if found.exists() else path


@functools.cache
def compiler() -> tuple[str, ...]:
    """Return the C++ compiler as words of a command: $CXX ("ccache g++" too), else g++, c++ or clang++ of the PATH."""
    chosen = shlex.split(os.environ.get("CXX", ""))
    for words in (chosen, ["g++"], ["c++"], ["clang++"]):
        path = shutil.which(words[0]) if words else None
        if path:
            return path, *words[1:]
    raise CompileError("no C++ compiler found (g++, c++ or clang++); install one, for example: apt-get install g++")


@functools.cache
def compiler_version() -> str:
    """Return the first line of the compiler's own version text."""
    return run_command([*compiler(), "--version"]).splitlines()[0]


@functools.cache
def cpu_model() -> str:
    """Return what -march=native depends on: the architecture, the model and the feature flags of this CPU."""
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    found: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            field, _, value = line.partition(":")
            if field.strip() in wanted:
                found.setdefault(field.strip(), value.strip())
    except OSError:
        found["model name"] = platform.processor()
    return json.dumps([platform.machine(), found], sort_keys=True)


def digest(parts: object) -> str:
    """Return the SHA-256 (hex) of JSON-serialisable parts; paths count by name, bytes by content."""

    def plain(value: object) -> object:
        return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)

    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=plain).encode()).hexdigest()


def run_command(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    what: str | Callable[[str], str] = "",
) -> str:
    """Run a build command and return its output (stdout and stderr together).

    Args:
        command: program and arguments.
        cwd: folder to run it in; None: the present one.
        env: its whole environment; None: this process's.
        what: the file or folder it works on, for the message; or what tells it from the output of a failure.

    Raises:
        CompileError: it is missing or ended with another status than 0; holds the command and its output.
    """
    line = shlex.join(str(part) for part in command)
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=cwd, env=env, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    except OSError as error:
        raise CompileError(f"cannot run {line}: {error}") from error
    if done.returncode != 0:
        about = what(done.stdout) if callable(what) else what
        raise CompileError(
            f"building {about or 'with'} failed (status {done.returncode})\n  command: {line}\n{done.stdout.strip()}"
        )
    return done.stdout


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file between processes and threads; the system drops it if the holder dies."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def cached_build(key_parts: object, builder: Callable[[Path], None], *, name: str = "build") -> Path:
    """Return the cache entry of a key, built first if it is not there.

    Args:
        key_parts: everything that decides the content (sources as bytes, flags, versions), JSON-serialisable.
        builder: fills the empty temporary folder it is given; the folder is renamed afterwards, so nothing in it may
            refer to its path.
        name: a readable prefix of the entry's name.

    Returns:
        The folder of the entry, complete.

    Raises:
        whatever builder raises; the entry then does not exist.
    """
    cache = cache_folder()
    entry = cache / f"{name}-{digest(key_parts)[:24]}"
    if entry.is_dir():
        return entry
    with locked(cache / f".{entry.name}.lock"):
        if entry.is_dir():  # another process built it while this one waited
            return entry
        temporary = cache / f".{entry.name}.building"
        shutil.rmtree(temporary, ignore_errors=True)  # left by a killed build: the lock says nobody uses it
        temporary.mkdir()
        try:
            builder(temporary)
            temporary.rename(entry)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return entry


def headers_beside(sources: Iterable[Path]) -> list[Path]:
    """Return the header files in the folders of the sources, sorted."""
    folders = sorted({source.parent for source in sources})
    return [path for folder in folders for pattern in HEADERS for path in sorted(folder.glob(pattern))]


def build_library(sources: Sequence[Path], flags: Sequence[str], name: str) -> Path:
    """Compile C++ sources into one shared library, in the cache.

    Args:
        sources: C++ files; the headers in their folders belong to the key.
        flags: compiler flags, e.g. ("-O3", "-march=native"); -shared and -fPIC are added.
        name: the library's name, "netml_kernel" gives libnetml_kernel.so.

    Returns:
        The path of the library.

    Raises:
        CompileError: the compiler's message.
    """
    sources = [Path(source).resolve() for source in sources]
    missing = [str(source) for source in sources if not source.is_file()]
    if missing:
        raise CompileError(f"no source file {', '.join(missing)}")
    library = f"lib{name}.so"
    key = {
        "sources": [(path.name, path.read_bytes()) for path in (*sources, *headers_beside(sources))],
        "flags": list(flags),
        "library": library,
        "compiler": [shlex.join(compiler()), compiler_version()],
        "cpu": cpu_model() if any("native" in flag for flag in flags) else platform.machine(),
    }

    def build(folder: Path) -> None:
        command: list[str | Path] = [
            *compiler(),
            "-shared",
            "-fPIC",
            *flags,
            *sources,
            "-o",
            folder / library,
            f"-Wl,-soname,{library}",
        ]
        run_command(command, what=", ".join(str(source) for source in sources))

    return cached_build(key, build, name=name) / library
