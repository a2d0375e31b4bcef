"""HDF5 files to write, which tell of a full disk: HDF5 itself ends the process when it closes a file that it could
not write (a fault in 2.0), or says it in ten lines without an errno.  And files to read, of which every damage is one
error."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

import h5py
import numpy as np

from netml.errors import NetmlError

PACKED = 1100  # bytes that deflate makes of one at most
CHUNK = 2**28  # bytes of a chunk at most; HDF5 takes memory for a whole one
SEARCHED = 2**28  # bytes of a file whose heaps are searched for: that takes 0.1 s
HEAP = b"GCOL\x01\0\0\0"  # begins a heap of texts


@contextmanager
def reading(path: Path, error: type[NetmlError], remedy: str) -> Iterator[h5py.File]:
    """A file to read.

    Args:
        path: Of the file.
        error: Raised for whatever is wrong in the file.
        remedy: What its message ends with.

    Raises:
        error: What h5py makes of a damaged file, or what the block raises of its content.
    """
    with damage(path, error, remedy):
        _check_heaps(path)
        with h5py.File(path, "r") as file:
            yield file


@contextmanager
def damage(path: Path, error: type[NetmlError], remedy: str) -> Iterator[None]:
    """While a file is read: whatever is wrong in it is one error; arguments and errors as of :func:`reading`."""
    try:
        yield
    except NetmlError:
        raise
    except MemoryError:
        raise error(f"{path} is damaged: it claims more memory than there is; {remedy}") from None
    except Exception as found:  # h5py raises almost any of them for damaged bytes
        said = str(found.args[0] if isinstance(found, KeyError) and found.args else found)
        why = said.splitlines()[0] if said else type(found).__name__
        raise error(f"{path} is damaged: {why}; {remedy}") from found


def column(group: h5py.Group, name: str, dtype, ndim: int = 1) -> h5py.Dataset:
    """A dataset of a type, "str" for text; integers and floats of other widths are other types.

    Raises:
        ValueError: It is not there, another, or claims more than the file holds.
    """
    data = group.get(name)
    if not isinstance(data, h5py.Dataset):
        raise ValueError(f"it has no dataset {group.name.rstrip('/')}/{name}")
    fits = h5py.check_string_dtype(data.dtype) if dtype == "str" else data.dtype == np.dtype(dtype)
    if not fits or data.ndim != ndim:
        raise ValueError(f"{data.name} is of type {data.dtype} and shape {data.shape}; expected {dtype}, {ndim} axes")
    chunk = np.prod(data.chunks or (0,), dtype=float) * data.dtype.itemsize
    if data.nbytes > PACKED * data.id.get_storage_size() or chunk > CHUNK:
        raise ValueError(f"{data.name} claims {data.nbytes} bytes in chunks of {chunk:.0f}; it has not so many")
    return data


def _check_heaps(path: Path) -> None:
    """Refuse a heap of texts in which an object has no size: HDF5 2.0 never comes to the end of it."""
    if not 0 < path.stat().st_size <= SEARCHED:
        return
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        start = data.find(HEAP)
        while start >= 0:
            end = start + int.from_bytes(data[start + 8 : start + 16], "little")
            at = start + 16
            while at + 16 <= min(end, len(data)):
                index, size = (int.from_bytes(data[at + k : at + k + n], "little") for k, n in ((0, 2), (8, 8)))
                taken = 16 + -(-size // 8) * 8 if index else size
                if not 0 < taken <= end - at:
                    raise ValueError(f"an object in the heap of texts at byte {start} takes {taken} bytes")
                at += taken
            start = data.find(HEAP, start + 16)


class OutputFile(h5py.File):
    """A new file; one that is there is replaced.

    What the disk does not take is kept from HDF5, and raised by :meth:`check` and :meth:`close`; the file is then of no
    use.

    Raises:
        OSError: The file cannot be made.
    """

    def __init__(self, path):
        self._disk = _Disk(path, "w+")
        super().__init__(self._disk, "w")

    def check(self) -> None:
        """Raise the first error of the disk, if there was one.

        Raises:
            OSError: With errno and filename.
        """
        if self._disk.failed:
            raise self._disk.failed

    def close(self) -> None:
        """Finish and close the file.

        Raises:
            OSError: As :meth:`check`.
        """
        super().close()
        self._disk.close()
        self.check()


class _Disk(io.FileIO):
    """A file whose writes always succeed, as far as HDF5 knows."""

    failed: OSError | None = None

    def write(self, data) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left:  # a disk that is nearly full takes a part, and says so the next time
                left = left[super().write(left) :]
        except OSError as error:
            self._keep(error)
        return size

    def truncate(self, size=None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self._keep(error)
            return size

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        found = super().readinto(view)
        view[found:] = bytes(len(view) - found)  # was lost, and HDF5 expects all that it asked for
        return len(view)

    def _keep(self, error: OSError) -> None:
        error.filename = str(self.name)
        self.failed = self.failed or error
