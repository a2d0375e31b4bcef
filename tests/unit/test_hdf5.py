"""HDF5 on a disk that takes no more: said once, with the file's name, and never the end of the process."""

import errno
import resource
from contextlib import contextmanager

import h5py
import numpy as np
import pytest

from netml.hdf5 import OutputFile, _Disk


@contextmanager
def disk_of(size: int):
    """No file becomes larger, as on a disk of so many bytes; Python ignores the signal that comes with it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_is_written_is_read_by_anyone(tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(b"old" * 100_000)
    with OutputFile(path) as file:
        file["a"] = np.arange(1000.0)
        file.check()
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["a"], np.arange(1000.0))


def test_a_full_disk_is_said_at_each_check_and_when_closed(tmp_path):
    path = tmp_path / "x.h5"
    with disk_of(8000):
        file = OutputFile(path)
        for name in "ab":
            file[name] = np.arange(10_000.0)
            file.flush()
            with pytest.raises(OSError) as told:
                file.check()
        with pytest.raises(OSError) as closed:
            file.close()
    assert told.value.errno == errno.EFBIG and told.value.filename == str(path)
    assert closed.value is told.value and path.stat().st_size == 8000


def test_what_the_disk_took_in_part_is_a_failure_and_reads_as_zeros(tmp_path):
    found = bytearray(b"?" * 200)
    with disk_of(100), _Disk(tmp_path / "x", "w+") as disk:
        assert disk.write(bytes([7] * 200)) == 200
        first = disk.failed
        disk.write(b"more"), disk.truncate(300), disk.seek(0)
        assert disk.readinto(found) == 200
    assert found == bytes([7] * 100 + [0] * 100)
    assert first.errno == errno.EFBIG and disk.failed is first  # the first error has the cause


def test_a_disk_that_cannot_grow_says_so(tmp_path):
    with disk_of(100), _Disk(tmp_path / "x", "w+") as disk:
        assert disk.truncate(300) == 300
    assert disk.failed.errno == errno.EFBIG and disk.failed.filename == str(tmp_path / "x")
