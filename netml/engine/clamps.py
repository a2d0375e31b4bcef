"""Current clamps at the somata of reduced cells, for the engine."""

from collections import defaultdict

import numpy as np

from netml.circuit.current import Clamp, total

CLAMP = np.dtype([("cell", np.int64), ("start_ms", float), ("end_ms", float), ("amplitude", float)])


class Clamps:
    """What current clamps of a population do, cell by cell."""

    def __init__(self) -> None:
        self._of: dict[int, list[Clamp]] = defaultdict(list)

    def add(self, cell: int, clamp: Clamp) -> None:
        self._of[cell].append(clamp)

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def array(self, gain: float) -> np.ndarray:
        """(clamps) of :data:`CLAMP`, by cell and in the order of each cell's own; amplitude: nA times gain (1/nA)."""
        rows = [
            (cell, clamp.start_ms, clamp.start_ms + clamp.duration_ms, clamp.amplitude_na * gain)
            for cell in sorted(self._of)
            for clamp in self._of[cell]
        ]
        return np.array(rows, CLAMP)

    def beyond(self, low_na: float, high_na: float) -> int:
        """Number of cells whose current leaves a range at some time."""
        known: dict[tuple[Clamp, ...], bool] = {}  # many cells have the same clamps
        for clamps in map(tuple, self._of.values()):
            if clamps not in known:
                _, current = total(clamps)
                margin = 1e-6 * max(abs(low_na), abs(high_na))
                known[clamps] = bool(((current < low_na - margin) | (current > high_na + margin)).any())
        return sum(known[tuple(clamps)] for clamps in self._of.values())
