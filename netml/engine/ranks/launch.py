"""Start ranks, follow them, and end all of them when one fails.

`launch` runs one function on every rank: in child processes of this one, or, where mpirun or srun already made this
process a rank, in this process.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from netml import errors
from netml.engine.ranks import mpi, worker
from netml.errors import LaunchError, NetmlError
from netml.progress import FILE_VARIABLE, Follower, reporter

POLL_S = 0.1
GRACE_S = 5.0


def launch(task: Callable[[Any], Any], config: Any, *, ranks: int | None = None, progress: bool = True) -> Any:
    """Run a function on every rank and return what it returned on rank 0.

    Args:
        task: A function at the top level of a module; gets config on every rank.
        config: What it gets; picklable.
        ranks: How many, 1 by default; started here unless mpirun already started this process as one of them.
        progress: Show it, where standard error is a terminal.

    Raises:
        NetmlError: Of the same class and message as the failing rank's.
        LaunchError: MPI is missing, a rank died, or ranks is not what mpirun started.

    Example:
        >>> from netml.engine.circuit.run import SimulateConfig, run
        >>> launch(run, SimulateConfig("models/cortex", duration=100.0), ranks=2)  # the run's folder
    """
    size = mpi.launched_size()
    if ranks is not None and ranks < 1:
        raise LaunchError(f"ranks is {ranks}; expected 1 or more")
    if size is None:
        return _start(task, config, ranks or 1, progress)
    if ranks is not None and ranks != size:
        raise LaunchError(f"asked for {ranks} ranks inside mpirun, which started {size}; leave --ranks out there")
    return _as_rank(task, config)


def _as_rank(task: Callable[[Any], Any], config: Any) -> Any:
    """Run the task in this process, one of mpirun's; a failure ends all ranks."""
    world: mpi.World | None = None
    _die_with_parent()
    with tempfile.TemporaryFile() as log:
        try:
            with worker.output_to(f"/proc/self/fd/{log.fileno()}" if sys.platform == "linux" else os.devnull):
                world = mpi.start()
                result = worker.call(task, config)
        except BaseException as error:
            if (world.size if world else mpi.launched_size()) == 1:
                raise
            _end_all(world, error)
    if world is not None and world.size > 1:
        from neuron import h

        result = h.ParallelContext().py_broadcast(result, 0)
    return result


def _end_all(world: mpi.World | None, error: BaseException) -> None:
    """Print a failure once and abort: ranks that fail alike leave the word to the lowest one."""
    time.sleep(0.3 * min(world.rank, 5) if world else 0)
    if os.environ.get(errors.TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    error = errors.understood(error)
    if isinstance(error, KeyboardInterrupt):
        print("netml: interrupted", file=sys.stderr, flush=True)
    else:
        if not isinstance(error, NetmlError):
            error = _unexpected(world.rank if world else 0, type(error).__name__, str(error))
        print(f"netml: error: {error}", file=sys.stderr, flush=True)
    mpi.abort(130 if isinstance(error, KeyboardInterrupt) else 1)


def _start(task: Callable[[Any], Any], config: Any, ranks: int, progress: bool) -> Any:
    """Run the task in child processes."""
    folder = Path(tempfile.mkdtemp(prefix="netml-"))
    try:
        (folder / worker.TASK).write_bytes(pickle.dumps((task, config)))
        program = [sys.executable, "-m", "netml.engine.ranks.worker", str(folder)]
        environment = dict(os.environ) | dict.fromkeys(mpi.THREADS, "1") | {FILE_VARIABLE: str(folder / "progress")}
        package = str(Path(__file__).resolve().parents[3])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))
        if ranks > 1:
            found = mpi.find()
            environment |= mpi.environment(found)
            program = mpi.command(found, ranks, program)
        status = _follow(program, environment, folder, progress)
        return _result(folder, status, ranks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _follow(program: list[str], environment: dict[str, str], folder: Path, progress: bool) -> int:
    """Run a program to its end, showing progress and warnings; returns its exit status. Interrupted, it ends all."""
    bar = reporter(progress)
    progress_lines, messages = Follower(folder / "progress", bar), _Tail(folder / worker.MESSAGES)
    with (folder / "launcher.log").open("wb") as log, _terminate_as_interrupt():
        try:
            child = subprocess.Popen(program, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=True, preexec_fn=_die_with_parent)  # fmt: skip
        except OSError as error:
            raise LaunchError(f"cannot start {program[0]}: {error}; {mpi.REMEDY}") from error
        try:
            while True:
                try:
                    status = child.wait(POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    pass
                finally:
                    progress_lines.poll()
                    messages.poll()
            return status
        finally:
            bar.close()
            _end(child, folder)


def _die_with_parent() -> None:
    """In a child: be sent SIGTERM when the parent dies, even by SIGKILL (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _end(child: subprocess.Popen, folder: Path) -> None:
    """End the launcher and every rank that still lives."""
    if child.poll() is None:
        child.terminate()  # mpiexec passes it on
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for file in folder.glob("rank-*.pid"):  # mpiexec gives ranks groups of their own
        with suppress(OSError, ValueError):
            pid = int(file.read_text())
            if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM (a batch system, `timeout`) end the ranks as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Tail:
    """Copies what is appended to a file to standard error."""

    def __init__(self, path: Path):
        self._path, self._at = path, 0

    def poll(self) -> None:
        if self._path.exists():
            with self._path.open() as file:
                file.seek(self._at)
                text = file.read()
                self._at = file.tell()
            if text:
                print(text, end="", file=sys.stderr, flush=True)


def _result(folder: Path, status: int, ranks: int) -> Any:
    """Return the task's result or raise what the lowest failing rank reported."""
    reports = [json.loads(path.read_text()) for path in sorted(folder.glob("error-*.json"))]
    if reports:
        report = min(reports, key=lambda one: one["rank"])
        where = f"rank {report['rank']}: " if ranks > 1 and report["rank"] > 0 else ""
        if report["expected"]:
            kind = getattr(errors, report["error"], NetmlError)
            raise kind(where + report["message"])
        if report["error"] == "KeyboardInterrupt":
            raise KeyboardInterrupt
        raise _unexpected(report["rank"], report["error"], report["message"]) from _RankTraceback(report["traceback"])
    if status == 0 and (folder / worker.RESULT).is_file():
        return pickle.loads((folder / worker.RESULT).read_bytes())
    died = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    what = "a rank died, or mpiexec was ended from outside" if ranks > 1 else "the run's process died"
    raise LaunchError(f"{what} ({died}); the last of its output:\n{_last_words(folder)}")


class _RankTraceback(Exception):
    """Where a rank failed: the cause of the error in this process, shown above it."""

    def __str__(self) -> str:
        return f"\n{self.args[0].rstrip()}"


def _unexpected(rank: int, kind: str, message: str) -> LaunchError:
    return LaunchError(
        f"rank {rank} failed: {kind}: {message}; {errors.TRACEBACK_VARIABLE}=1 before the command shows where"
    )


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _last_words(folder: Path, lines: int = 5) -> str:
    text = [f"  {path.stem}: {line}" for path in sorted(folder.glob("*.log"))
            for line in _text(path).strip().splitlines()[-lines:]]  # fmt: skip
    return "\n".join(text) or "  (none)"
