"""HDF5 files to write, which tell of a full disk: HDF5 itself ends the process when it closes a file that it could
not write (a fault in 2.0), or says it in ten lines without an errno."""

import io

import h5py


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
