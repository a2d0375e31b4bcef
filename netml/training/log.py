"""What training has come to, while it runs: a line of JSON a validation, and curves for TensorBoard on demand."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from netml.errors import TrainingError
from netml.plain import to_json

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

EVERY = 10  # updates between two points of the curve of the loss


class TrainingLog:
    """Writes a log beside the artifact; one that is there is continued from where the training goes on.

    Args:
        path: The file, a JSON object a line: update, seconds (of this process), loss (mean of the training since the
            line before) and the scores of the validation (``validation_loss``, auc, explained_variance, ...).
        tensorboard: Folder of an event log; None: none.

    Raises:
        TrainingError: A TensorBoard log is wanted, but the package is not installed; when called, the file cannot be
            written.
    """

    def __init__(self, path, tensorboard=None):
        self._path, self._folder = Path(path), tensorboard
        self._start = time.perf_counter()
        self._losses: list[float] = []
        self._file: TextIO | None = None
        self._writer: SummaryWriter | None = None
        if tensorboard is not None:
            try:
                import torch.utils.tensorboard  # noqa: F401
            except ImportError as error:
                raise TrainingError(
                    f"a TensorBoard log needs its package ({error}): pip install 'netml[tensorboard]', or leave the "
                    f"option out; {self._path.name} is written anyway"
                ) from error

    def __call__(self, state: dict) -> None:
        """Take what the trainer reports after an update."""
        update = state["update"]
        file = self._file or self._open(update)
        if "auc" not in state:
            self._losses.append(state["loss"])
            if self._writer and update % EVERY == EVERY // 2:  # not when it validates
                self._writer.add_scalar("training/loss", _mean(self._losses[-EVERY:]), update)
            return
        scores = {"validation_loss": state["loss"]}
        scores |= {k: v for k, v in state.items() if k not in ("update", "total", "loss")}
        line = {"update": update, "seconds": round(time.perf_counter() - self._start, 3),
                "loss": _mean(self._losses), **scores}  # fmt: skip
        self._losses = []
        try:
            file.write(to_json(line) + "\n")
            file.flush()
        except OSError as error:
            raise TrainingError(f"cannot write {self._path}: {error.strerror}") from error
        if self._writer:
            for name, value in scores.items():
                self._writer.add_scalar(f"validation/{name.removeprefix('validation_')}", value, update)
            self._writer.flush()

    def close(self) -> None:
        if self._file:
            with suppress(OSError):  # what could not be written has been said
                self._file.close()
        if self._writer:
            self._writer.close()

    def _open(self, update: int) -> TextIO:
        """Keep what an earlier process wrote about the updates before this one."""
        kept = [line for line in read(self._path) if line["update"] < update] if update > 1 else []
        self._file = file = self._path.open("w")
        file.writelines(to_json(line) + "\n" for line in kept)
        if self._folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=update)
        return file


def _mean(values):
    return sum(values) / len(values) if values else None


def read(path) -> list[dict]:
    """The whole lines of a log, up to the first that is none: the last one may be cut."""
    path = Path(path)
    lines: list[dict] = []
    for text in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            break
        if not isinstance(line, dict) or not isinstance(line.get("update"), int):
            break
        lines.append(line)
    return lines
