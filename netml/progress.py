"""How far a long task is: a bar on a terminal, lines in a file for a parent that draws it, or nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netml.plain import to_json

#: Set for the ranks of a launch: rank 0 appends its progress to this file and the parent draws it.
FILE_VARIABLE = "NETML_PROGRESS"


class Silent:
    """Takes progress and shows nothing."""

    def begin(self, label: str, total: float | None = None) -> None:
        """Start a phase; a total of None means that nobody knows how long it takes."""

    def update(self, done: float, note: str = "") -> None:
        """So much of the phase's total is done; the note stands behind the bar."""

    def close(self) -> None:
        """The last phase is over."""


class Lines(Silent):
    """Appends each change to a file as a JSON list: the name of a method above and its arguments."""

    def __init__(self, path: Path):
        self._path = path

    def _say(self, *words: Any) -> None:
        with self._path.open("a") as file:
            file.write(to_json(words) + "\n")

    def begin(self, label: str, total: float | None = None) -> None:
        self._say("begin", label, total)

    def update(self, done: float, note: str = "") -> None:
        self._say("update", done, note)


class Bar(Silent):
    """A rich progress bar, one at a time, on the standard error of a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task: Any = None

    def begin(self, label: str, total: float | None = None) -> None:
        if self._task is None:
            self._progress.start()
        else:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(label, total=total, note="")

    def update(self, done: float, note: str = "") -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, note=note)

    def close(self) -> None:
        if self._task is not None:
            self._progress.stop()
            self._task = None


class Follower:
    """Reads what `Lines` writes in another process and passes it on."""

    def __init__(self, path: Path, target: Silent):
        self._path, self._target, self._at = path, target, 0

    def poll(self) -> None:
        """Pass on the complete lines that are new."""
        if not self._path.exists():
            return
        with self._path.open() as file:
            file.seek(self._at)
            while (line := file.readline()).endswith("\n"):
                self._at = file.tell()
                method, *arguments = json.loads(line)
                getattr(self._target, method)(*arguments)


def reporter(enabled: bool = True, rank: int = 0) -> Silent:
    """Return what shows progress here: only rank 0, only if enabled, only where somebody looks."""
    if not enabled or rank != 0:
        return Silent()
    if path := os.environ.get(FILE_VARIABLE):
        return Lines(Path(path))
    return Bar() if sys.stderr.isatty() else Silent()


@contextmanager
def track(label: str, total: float | None = None, *, enabled: bool = True) -> Iterator[Silent]:
    """Show one phase: `with track("training", epochs) as bar: bar.update(3, "loss 0.2")`."""
    shown = reporter(enabled)
    shown.begin(label, total)
    try:
        yield shown
    finally:
        shown.close()
