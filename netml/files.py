"""Files appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netml.errors import OutputError


def output_folder(path) -> Path:
    """Make a folder for output and try to write to it, so that a long task learns of a wrong place at its start.

    Raises:
        OutputError: It cannot be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        reason = "it is a file" if path.is_file() else error.strerror or error
        raise OutputError(f"cannot write to the folder {path}: {reason}; choose another --output") from error


@contextmanager
def replacing(path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; it takes its name when the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which file it did not take
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()
