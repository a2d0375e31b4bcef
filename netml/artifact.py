"""The ``.netml`` file: one reduced cell, self-contained.

A ZIP archive of ``header.json`` and one ``.npy`` file an array, so that it opens anywhere without netml.  Reading it
needs numpy alone (ranks never import torch) and can run no code.  The archive's directory stands at its end and every
member has a checksum: a file cut or damaged at any byte is refused.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from netml import keys
from netml.artifact_schema import Header, check_arrays
from netml.errors import ArtifactError
from netml.files import replacing
from netml.plain import to_json
from netml.toolchain import shipped

MOST_BYTES = 2**31  # unpacked; an ensemble of large cells has 1 MB


@dataclass(frozen=True)
class Artifact:
    """A reduction as plain data.

    Attributes:
        header: See :class:`netml.artifact_schema.Header`; ``sections`` holds pairs of section name and nseg, ``dims``
            the sizes of the network, ``weight_range_us`` the smallest and largest weight (uS) seen in training by
            synapse type.  Where ``current`` is true, the last synapse site and the last input are the current into the
            soma, and ``current_range_na`` holds the lowest and highest (nA) of training.
        arrays: See ``keys.ARTIFACT``.

    Raises:
        ArtifactError: A part is missing, of another version, or does not fit the others.

    Example:
        >>> pyr = netml.Artifact.load("models/cortex/reductions/PYR.netml")  # travels with netml
        >>> pyr.header["cell"]["label"], pyr.header["synapses"], pyr.header["dt_r_ms"]
        ('PYR', ['AMPA_NMDA', 'GABAA'], 1.0)
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
        checked = Header.of(header)
        check_arrays(checked, self.arrays)

    @property
    def synapse_sites(self) -> int:
        """Number of synapse sites: segments times synapse types, and one for a current into the soma."""
        return self.arrays["channel_input"].size

    def save(self, path: str | Path) -> Path:
        """Write the file atomically; an existing one is replaced.

        Args:
            path: The file, ``*.netml``; its folder is made.

        Returns:
            The path.

        Raises:
            ArtifactError: The folder cannot be written.

        Example:
            >>> netml.Artifact.load("PYR.netml").save("reductions/PYR.netml")
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
            _write(archive, "header.json", to_json(self.header, indent=1, sort_keys=True).encode())
            for name in sorted(self.arrays):
                buffer = io.BytesIO()
                np.save(buffer, self.arrays[name], allow_pickle=False)
                _write(archive, f"{name}.npy", buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "Artifact":
        """Read and check a file.

        Args:
            path: The file, or one that travels with netml ("models/cortex/reductions/PYR.netml").

        Raises:
            ArtifactError: No such file, not a ``.netml`` file, damaged, of another version, or with arrays that do
                not fit each other.

        Example:
            >>> netml.Artifact.load("PYR.netml").header["scores"]  # of its validation
        """
        path = shipped(path)
        if not path.is_file():
            raise ArtifactError(f"no reduction at {path}; `netml train RECORDS --output {path.name}` writes one")
        return cls._read(path, path)

    @cached_property
    def members(self) -> list["Artifact"]:
        """The other reductions of an ensemble, which judge this one; none of a reduction trained alone.

        Raises:
            ArtifactError: One is damaged, of another cell, or takes other input.
        """
        names = [f"member_{k}" for k in range(1, (self.header.get("ensemble") or {}).get("members", 1))]
        members = [self._read(io.BytesIO(self.arrays[name].tobytes()), name) for name in names]
        for name, member in zip(names, members, strict=True):
            for key in ("cell", "synapses", "sections", "dt_r_ms", "current"):
                if member.header.get(key) != self.header.get(key):
                    raise ArtifactError(f"{name} of the ensemble has another {key} than the acting one: copy it again")
            if member.header.get("ensemble"):
                raise ArtifactError(f"{name} of the ensemble is one itself; expected a reduction alone: copy it again")
        return members

    def with_members(self, members: list["Artifact"], about: dict) -> "Artifact":
        """This reduction as the one of an ensemble that acts, with the others in its file.

        Args:
            members: The others, none of them an ensemble.
            about: What the header says of the ensemble, beside its number of ``members``.

        Returns:
            A new reduction; this one stays as it is.

        Example:
            >>> one, two = (netml.Artifact.load(f"PYR-{seed}.netml") for seed in (1, 2))
            >>> one.with_members([two], {}).save("PYR.netml")  # `netml.train_ensemble` does all of it
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
                if (size := sum(info.file_size for info in archive.infolist())) > MOST_BYTES:
                    raise ValueError(f"it claims to hold {size} bytes")
                header = json.loads(archive.read("header.json"))
                names = [n[:-4] for n in archive.namelist() if n.endswith(".npy")]
                arrays = {n: _array(archive.read(f"{n}.npy")) for n in names}
        except Exception as error:  # whatever the parsers of three formats say of foreign bytes
            raise ArtifactError(f"{path} is not a whole .netml file ({error}): copy or train it again") from error
        if "trace_input" in arrays:  # as it was called when the leaky-memory cell was the only kind
            arrays["wiring"] = arrays.pop("trace_input")
        if not isinstance(header, dict):
            raise ArtifactError(f"{path} has a header that is no mapping: train it again")
        try:
            artifact = cls(header, arrays)
            _ = artifact.members  # they are read now, so that a file is refused as a whole
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from error
        return artifact


def _array(data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):
        raise ValueError("an array is longer than it says")
    return array


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # A fixed date: the same reduction gives the same bytes.
    info = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data)
