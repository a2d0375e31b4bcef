"""The ``.netml`` file: one reduced cell, self-contained.

A ZIP archive of ``header.json`` and one ``.npy`` file an array, so that it opens anywhere without netml.  Reading it
needs numpy alone (ranks never import torch) and can run no code.  The archive's directory stands at its end and every
member has a checksum: a file cut or damaged at any byte is refused.
"""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netml import keys
from netml.errors import ArtifactError
from netml.files import replacing


@dataclass(frozen=True)
class Artifact:
    """A reduction as plain data.

    Attributes:
        header: See ``keys.ARTIFACT_HEADER``; ``cell`` holds ``label`` and ``fingerprint``, ``sections`` pairs of
            section name and nseg, ``dims`` the sizes of the network, ``weight_range_us`` the smallest and largest
            weight (uS) seen in training by synapse type.  Where ``current`` is true, the last channel and the last
            input are the current into the soma, and ``current_range_na`` holds the lowest and highest (nA) of training.
        arrays: See ``keys.ARTIFACT``.
    """

    header: dict
    arrays: dict[str, np.ndarray]

    def __post_init__(self):
        missing = [k for k in keys.ARTIFACT_HEADER if k not in self.header]
        missing += [k for k in keys.ARTIFACT if k not in self.arrays]
        if missing:
            raise ArtifactError(f"reduction lacks {', '.join(missing)}; write it again with `netml train`")
        header = self.header
        if header["format"] != keys.ARTIFACT_FORMAT or header["version"] != keys.ARTIFACT_VERSION:
            raise ArtifactError(
                f"reduction has format {header['format']!r} version {header['version']!r}; this netml reads "
                f"{keys.ARTIFACT_FORMAT!r} version {keys.ARTIFACT_VERSION}: train it again or install that netml"
            )
        if header["reduction"] not in keys.REDUCTIONS:
            raise ArtifactError(
                f"reduction is of kind {header['reduction']!r}; this netml runs {', '.join(keys.REDUCTIONS)}: install "
                "the netml that wrote it, or train it again"
            )
        if "inputs" not in header["dims"]:
            raise ArtifactError("reduction's dims lack inputs")
        limit = self.arrays.get("input_limit")
        if limit is not None and limit.shape != (header["dims"]["inputs"],):
            raise ArtifactError(f"reduction's input_limit has shape {limit.shape}, expected one for each of its inputs")
        for name, array in self.arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ArtifactError(f"reduction holds NaN or infinity in {name}; its training failed: train it again")
        channels = sum(nseg for _, nseg in header["sections"]) * len(header["synapses"])
        if header.get("current"):
            channels += 1
            low, high = header["current_range_na"]
            if not low <= high:
                raise ArtifactError(f"reduction's current_range_na is {low} to {high} nA")
        expected = {
            "channel_input": channels,
            "channel_gain": channels,
            "channel_seen": channels,
        }
        for name, size in expected.items():
            if self.arrays[name].shape != (size,):
                raise ArtifactError(f"reduction's {name} has shape {self.arrays[name].shape}, expected ({size},)")
        inputs, array = header["dims"]["inputs"], self.arrays["channel_input"]
        if array.size and (array.min() < 0 or array.max() >= inputs):
            raise ArtifactError(f"reduction's channel_input points outside its {inputs} inputs")
        feeders = array == inputs - 1
        if header.get("current") and not (feeders[-1] and feeders.sum() == 1):
            raise ArtifactError("reduction's current shares its input, the last one, with synapses, or feeds another")

    @property
    def channels(self) -> int:
        """Number of channels: segments times synapse types, and one for a current into the soma."""
        return self.arrays["channel_input"].size

    def save(self, path: str | Path) -> Path:
        """Write the file atomically; an existing one is replaced.

        Raises:
            ArtifactError: The folder cannot be written.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                self._write_to(temporary)
        except OSError as error:
            raise ArtifactError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    def _write_to(self, file) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            _write(archive, "header.json", json.dumps(self.header, indent=1, sort_keys=True).encode())
            for name in sorted(self.arrays):
                buffer = io.BytesIO()
                np.save(buffer, self.arrays[name], allow_pickle=False)
                _write(archive, f"{name}.npy", buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "Artifact":
        """Read and check a file.

        Raises:
            ArtifactError: No such file, not a ``.netml`` file, damaged, of another version, or with arrays that do
                not fit each other.
        """
        path = Path(path)
        if not path.is_file():
            raise ArtifactError(f"no reduction at {path}; `netml train RECORDS --output {path.name}` writes one")
        return cls._read(path, path)

    @property
    def members(self) -> list["Artifact"]:
        """The other reductions of an ensemble, which judge this one; none of a reduction trained alone."""
        names = [f"member_{k}" for k in range(1, self.header.get("ensemble", {}).get("members", 1))]
        return [self._read(io.BytesIO(self.arrays[name].tobytes()), name) for name in names]

    def with_members(self, members: list["Artifact"], about: dict) -> "Artifact":
        """This reduction as the one of an ensemble that acts, with the others in its file.

        Arguments:
            about: What the header says of the ensemble, beside its number of ``members``.
        """
        packed = {}
        for k, member in enumerate(members, 1):
            buffer = io.BytesIO()
            member._write_to(buffer)
            packed[f"member_{k}"] = np.frombuffer(buffer.getvalue(), np.uint8)
        header = self.header | {"ensemble": about | {"members": 1 + len(members)}}
        return Artifact(header, self.arrays | packed)

    @classmethod
    def _read(cls, file, path) -> "Artifact":
        try:
            with zipfile.ZipFile(file) as archive:
                header = json.loads(archive.read("header.json"))
                names = [n[:-4] for n in archive.namelist() if n.endswith(".npy")]
                arrays = {n: np.load(io.BytesIO(archive.read(f"{n}.npy")), allow_pickle=False) for n in names}
        except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError, RuntimeError) as error:
            raise ArtifactError(f"{path} is not a whole .netml file ({error}): copy or train it again") from error
        if "trace_input" in arrays:  # as it was called when the leaky-memory cell was the only kind
            arrays["wiring"] = arrays.pop("trace_input")
        if not isinstance(header, dict):
            raise ArtifactError(f"{path} has a header that is no mapping: train it again")
        try:
            return cls(header, arrays)
        except (ArtifactError, TypeError, KeyError, ValueError) as error:
            raise ArtifactError(f"{path}: {error}") from error


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # A fixed date: the same reduction gives the same bytes.
    info = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data)
