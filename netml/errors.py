"""Every failure that a user can cause or meet.

A message says what was wrong, what was found, what was expected and how to mend it.  The command line prints it as one
line and exits with status 1; a Python caller catches :class:`NetmlError`, or the built-in type it also is.
"""

import errno
import os

#: What the system says of a disk that takes no more, whoever wrote to it.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Set (to anything) to see the Python traceback of an error that the command line reports.
TRACEBACK_VARIABLE = "NETML_TRACEBACK"


class NetmlError(Exception):
    """Base of all errors that netml raises on purpose.

    Example:
        >>> try:
        ...     netml.Artifact.load("absent.netml")
        ... except netml.NetmlError as error:
        ...     print(error)
        no reduction at absent.netml; `netml train RECORDS --output absent.netml` writes one
    """


class ModelError(NetmlError, ValueError):
    """A model folder, population, cell or parameter that is not there or does not fit."""


class CompileError(NetmlError, RuntimeError):
    """A mod file or the kernel did not compile; the message carries the compiler's own."""


class ArtifactError(NetmlError, ValueError):
    """A ``.netml`` file that is missing, damaged, of another version or of another cell."""


class RecordsError(NetmlError, ValueError):
    """Records that are missing, damaged, incomplete or unfit for learning."""


class CheckpointError(NetmlError, ValueError):
    """A checkpoint of a network that is missing, damaged, or of another network."""


class OutputError(NetmlError, OSError):
    """A place that cannot be written to."""


class RunError(NetmlError, ValueError):
    """A run folder that is missing, damaged, unfinished or in the way."""


class PickleError(NetmlError, ValueError):
    """A pickle that is damaged, or asks for more than plain data."""


class TrainingError(NetmlError, RuntimeError):
    """Training that cannot start, resume or end well."""


class DeviceError(NetmlError, RuntimeError):
    """A torch device that is not there."""


class LaunchError(NetmlError, RuntimeError):
    """MPI or a rank failed."""


def understood(error: BaseException) -> BaseException:
    """The error that says it to a user where it is a full disk's, else the same."""
    if isinstance(error, OSError) and error.errno in FULL and not isinstance(error, NetmlError):
        where = f" {error.filename}" if error.filename else ""
        return OutputError(
            f"cannot write{where}: {os.strerror(error.errno)}; free some on the disk of the output, or of $TMPDIR, "
            "or choose another --output"
        )
    return error
