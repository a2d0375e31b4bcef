"""A folder of records appears whole or not at all, and replaces an older one only when it is whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netml.errors import RecordsError
from netml.files import output_folder
from netml.records.writer import INDEX

UNFINISHED = ".recording-"


def prepare(folder: Path, overwrite: bool) -> Path:
    """A folder that may take records: finished ones are replaced or extended only on demand, other files never.

    Raises:
        RecordsError: Records, or other files, are there already.
        OutputError: The folder cannot be written.
    """
    if (folder / INDEX).exists() and not overwrite:
        raise RecordsError(
            f"{folder} holds records already; choose another --output, or give --extend to add trials to them or "
            "--overwrite to replace them"
        )
    if strangers := [path.name for path in folder.glob("*") if not path.name.startswith(("shard-", INDEX, UNFINISHED))]:
        raise RecordsError(
            f"{folder} holds other files ({', '.join(strangers[:3])}); choose an empty folder as --output"
        )
    return output_folder(folder)


@contextmanager
def recording(folder: Path, extend: bool = False) -> Iterator[Path]:
    """A folder to record into, inside the one of the records, whose content it replaces if the block succeeds.

    Args:
        folder: Of the records.
        extend: The shards that are there stay; those of the block have other names.
    """
    for killed in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(killed)
    made = folder / f"{UNFINISHED}{os.getpid()}"
    made.mkdir()
    try:
        yield made
        if not extend:
            (folder / INDEX).unlink(missing_ok=True)
            for path in folder.glob("shard-*"):
                path.unlink()
        for path in sorted(made.iterdir(), key=lambda path: path.name == INDEX):  # the index last: it says "complete"
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        with suppress(OSError):  # nothing was there before
            folder.rmdir()
