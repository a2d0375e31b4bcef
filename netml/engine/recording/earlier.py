"""Finished records that further trials are added to: what they fix, and where the new trials go on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from pathlib import Path

import numpy as np

from netml.errors import RecordsError
from netml.records import CellInfo, Records
from netml.records.trial import NETWORK
from netml.records.writer import INDEX
from netml.stimuli.random_input import InputCounts


@dataclass(frozen=True)
class Earlier:
    """Records of one population that are extended.

    Attributes:
        records: They.
    """

    records: Records

    @classmethod
    def found(cls, folder: Path) -> Earlier | None:
        """Those in a folder, if there are some.

        Raises:
            RecordsError: They are damaged.
        """
        return cls(Records.open(folder)) if (folder / INDEX).is_file() else None

    @property
    def next_seed(self) -> int:
        """The first seed that no trial of theirs has."""
        about = self.records.provenance
        used = [*about.get("seeds", []), *about.get("protocol_seeds", []), about.get("protocol_seed", 0)]
        return 1 + max(map(int, used))

    @property
    def next_shard(self) -> int:
        """The first number that no shard of theirs has."""
        return 1 + max(int(Path(shard["file"]).stem.rpartition("-")[2]) for shard in self.records.shards)

    @cached_property
    def drive(self) -> InputCounts:
        """What the cells got together in the trials of the network.

        Raises:
            RecordsError: There is none; damaged data.
        """
        trials = list(self.records.trials(np.flatnonzero(self.records.kinds == NETWORK).tolist()))
        if not trials:
            raise RecordsError(f"{self.records.folder} has no trial of a network, which trials of single cells start "
                               "from; add one, too (--network-trials 1)")  # fmt: skip
        return reduce(add, [InputCounts.of(trial, self.records.cell.synapse_sites) for trial in trials])

    def provenance(self, added: dict) -> dict:
        """Where the extended records come from; ``added`` is what a recording says of itself."""
        about = dict(self.records.provenance)
        for name in ("network_trials", "protocol_trials", "current_trials"):
            about[name] = about.get(name, 0) + added[name]
        about["seeds"] = [*about.get("seeds", []), *added["seeds"]]
        seeds = about.get("protocol_seeds", [about["protocol_seed"]] if "protocol_seed" in about else [])
        about["protocol_seeds"] = [*seeds, added["protocol_seed"]]
        about["protocol_kinds"] = sorted({*about.get("protocol_kinds", []), *added["protocol_kinds"]})
        return about


def check_same(found: CellInfo, earlier: CellInfo, folder: str) -> None:
    """Refuse to add trials of another cell.

    Raises:
        RecordsError: What differs.
    """
    for name, what in (
        ("fingerprint", "the fingerprints of the cell's physics"),
        ("synapses", "the synapse types"),
        ("probes", "the recorded voltages"),
        ("dt_ms", "the time steps in ms"),
        ("spike_threshold_mv", "the thresholds of a spike in mV"),
    ):
        if (mine := getattr(found, name)) != (there := getattr(earlier, name)):
            raise RecordsError(
                f"{folder} cannot be extended: {what} were {there!r:.80} and are {mine!r:.80} now; record into another "
                "--output, or replace the records (--overwrite)"
            )
