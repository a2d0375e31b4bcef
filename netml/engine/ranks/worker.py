"""What runs in a rank: `python -m netml.engine.ranks.worker FOLDER` runs the task that `launch` left in the folder.

FOLDER/task.pickle is (function, its argument). Rank 0 leaves FOLDER/result.pickle; a rank that fails
leaves FOLDER/error-RANK.json and ends all ranks. Each rank's output (NetPyNE and NEURON print much) goes to
FOLDER/rank-RANK.log; rank 0's warnings go to FOLDER/messages.log.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netml.engine.ranks import mpi
from netml.errors import NetmlError, understood
from netml.files import replacing

TASK, RESULT, MESSAGES = "task.pickle", "result.pickle", "messages.log"


@contextmanager
def output_to(path: Path | str) -> Iterator[None]:
    """Send the standard output of this process, C++ parts included, to a file while the block runs."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(path, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def call(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function with its argument; a bare SystemExit (NetPyNE's way to fail) becomes an error."""
    try:
        return function(argument)
    except SystemExit as error:
        raise NetmlError(f"the model ended the program by itself (sys.exit({error.code!r}))") from error


def main(folder: Path) -> None:
    """Run the task as this rank."""
    rank = int(os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("PMI_RANK") or 0)
    (folder / f"rank-{rank}.pid").write_text(str(os.getpid()))
    log = folder / f"rank-{rank}.log"
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if rank == 0:
        handler = logging.FileHandler(folder / MESSAGES)
        handler.setFormatter(logging.Formatter("netml: %(message)s"))
        logging.getLogger("netml").addHandler(handler)
    try:
        world = mpi.start()
        function, argument = pickle.loads((folder / TASK).read_bytes())
        result = call(function, argument)
        if world.rank == 0:
            with replacing(folder / RESULT) as path:
                path.write_bytes(pickle.dumps(result))
    except BaseException as raised:
        error = understood(raised)
        report = {
            "rank": rank,
            "error": type(error).__name__,
            "expected": isinstance(error, NetmlError),
            "message": str(error),
            "traceback": traceback.format_exc(),
        }
        try:
            with replacing(folder / f"error-{rank}.json") as path:
                path.write_text(json.dumps(report))
        finally:
            mpi.abort(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
