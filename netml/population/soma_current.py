"""Current into the somata of the reduced cells of one artifact, checked and scaled for the engine."""

from collections import defaultdict

import numpy as np

from netml.artifact import Artifact
from netml.circuit.current import Clamp, total
from netml.errors import ModelError

LARGEST = float(np.finfo(np.float32).max)  # what the engine computes with
CLAMP = np.dtype([("cell", np.int64), ("start_ms", float), ("end_ms", float), ("amplitude", float)])


class SomaCurrent:
    """What current clamps do, cell by cell.

    Args:
        artifact: The reduction; one that has learned no current refuses every use.
        label: For messages.
    """

    def __init__(self, artifact: Artifact, label: str):
        self._taken, self._label = bool(artifact.header.get("current")), label
        self._range_na = artifact.header["current_range_na"] if self._taken else None
        self._gain = float(artifact.arrays["channel_gain"][-1]) if self._taken else 0.0
        self._clamps: dict[int, list[Clamp]] = defaultdict(list)

    def add(self, cell: int, clamp: Clamp) -> None:
        """A current clamp at the soma of a cell; clamps add up.

        Raises:
            ModelError: The reduction takes no current, or the clamp has a value that is no finite number.
        """
        self._check()
        if not (np.isfinite(clamp).all() and abs(clamp.amplitude_na * self._gain) <= LARGEST):
            raise ModelError(f"a current clamp on reduced {self._label} has {clamp}; expected finite numbers")
        self._clamps[cell].append(clamp)

    def clamps(self) -> np.ndarray:
        """(clamps) of :data:`CLAMP`, by cell and in the order of each cell's own; amplitude: nA times gain."""
        rows = [
            (cell, clamp.start_ms, clamp.start_ms + clamp.duration_ms, clamp.amplitude_na * self._gain)
            for cell in sorted(self._clamps)
            for clamp in self._clamps[cell]
        ]
        return np.array(rows, CLAMP)

    def scaled(self, current_na, cells: int) -> np.ndarray:
        """(cells) float32, nA times gain, from (cells) nA or one number for all.

        Raises:
            ModelError: The reduction takes no current, or these are not one finite number a cell.
        """
        self._check()
        current = np.asarray(current_na, float)
        if current.shape not in ((), (cells,)) or not (np.abs(current * self._gain) <= LARGEST).all():
            raise ModelError(
                f"current into reduced {self._label} has shape {current.shape}; expected {cells} finite numbers, or one"
            )
        return np.ascontiguousarray(np.broadcast_to(current * self._gain, cells), np.float32)

    def out_of_range(self) -> int:
        """Number of cells whose clamps add up to a current beyond those of training at some time."""
        if self._range_na is None:
            return 0
        low, high = self._range_na
        margin = 1e-6 * max(abs(low), abs(high))
        beyond: dict[tuple[Clamp, ...], bool] = {}  # many cells have the same clamps
        for clamps in map(tuple, self._clamps.values()):
            if clamps not in beyond:
                _, current = total(clamps)
                beyond[clamps] = bool(((current < low - margin) | (current > high + margin)).any())
        return sum(beyond[tuple(clamps)] for clamps in self._clamps.values())

    def _check(self) -> None:
        if not self._taken:
            raise ModelError(
                f"the reduction of {self._label} was trained without a current into the soma: record with current "
                "trials (`netml record` makes them unless --current-trials is 0) and train it again"
            )
