"""One trial and the cell it was recorded from, as plain data."""

from dataclasses import dataclass, field

import numpy as np

from netml.circuit.cell import SegmentTable
from netml.errors import RecordsError

NETWORK = "network"


@dataclass(frozen=True)
class CellInfo:
    """The recorded cell.

    Attributes:
        label: NetPyNE's ``cellParams`` key.
        fingerprint: See :func:`netml.circuit.cell.fingerprint`.
        synapses: Synapse types (``synMech`` labels) in the order that synapse sites count them.
        segments: The cell's segments.
        syn_mech_params: Parameters by synapse type.
        probes: Recorded voltages: label -> (section, loc).  ``soma`` is always there.
        dt_ms: Time step of the detailed simulation.
        spike_threshold_mv: Soma voltage whose upward crossing is a spike.
    """

    label: str
    fingerprint: str
    synapses: tuple[str, ...]
    segments: SegmentTable
    syn_mech_params: dict = field(default_factory=dict)
    probes: dict = field(default_factory=dict)
    dt_ms: float = 0.025
    spike_threshold_mv: float = 0.0

    @property
    def synapse_sites(self) -> int:
        return len(self.segments) * len(self.synapses)

    def synapse_site(self, section: str, loc: float, synapse: str) -> int:
        """Channel of a synapse of type ``synapse`` at ``section(loc)``.

        Raises:
            RecordsError: Unknown synapse type.
            ModelError: Unknown section.
        """
        if synapse not in self.synapses:
            raise RecordsError(f"synapse type {synapse!r} is not recorded; recorded are {', '.join(self.synapses)}")
        return self.segments.find(section, loc) * len(self.synapses) + self.synapses.index(synapse)

    def to_dict(self) -> dict:
        plain = {k: getattr(self, k) for k in ("label", "fingerprint", "dt_ms", "spike_threshold_mv")}
        return plain | {
            "synapses": list(self.synapses),
            "segments": self.segments.to_dict(),
            "syn_mech_params": dict(self.syn_mech_params),
            "sites": {label: list(place) for label, place in self.probes.items()},
        }

    @classmethod
    def from_dict(cls, plain: dict) -> "CellInfo":
        return cls(
            label=plain["label"],
            fingerprint=plain["fingerprint"],
            synapses=tuple(plain["synapses"]),
            segments=SegmentTable.from_dict(plain["segments"]),
            syn_mech_params=plain["syn_mech_params"],
            probes={label: tuple(place) for label, place in plain["sites"].items()},
            dt_ms=plain["dt_ms"],
            spike_threshold_mv=plain["spike_threshold_mv"],
        )


@dataclass(frozen=True)
class Trial:
    """What one cell received and did; times count from the start of the trial.

    Attributes:
        kind: ``network``, or the protocol's input regime.
        gid: gid in its network, -1 for a single cell.
        seed: Seed that made the input.
        duration_ms: Length T, whole milliseconds.
        event_time: (events) ms, arrival at the synapse, sorted.
        event_synapse_site: (events) see :meth:`CellInfo.synapse_site`.
        event_weight: (events) uS.
        spike_time: (spikes) ms, sorted.
        voltage: probe label -> (T + 1) mV at 0, 1, ... T ms.
        current_time, current_na: (changes) ms and nA, the current into the soma; see :mod:`netml.circuit.current`.
    """

    kind: str
    gid: int
    seed: int
    duration_ms: float
    event_time: np.ndarray
    event_synapse_site: np.ndarray
    event_weight: np.ndarray
    spike_time: np.ndarray
    voltage: dict[str, np.ndarray]
    current_time: np.ndarray = field(default_factory=lambda: np.empty(0))
    current_na: np.ndarray = field(default_factory=lambda: np.empty(0))

    def check(self, cell: CellInfo) -> None:
        """Refuse a trial that cannot be learned from.

        Raises:
            RecordsError: Shapes that do not fit, NaN, unsorted times, synapse sites or times out of range.
        """
        where = f"trial of kind {self.kind!r}, gid {self.gid}, seed {self.seed}"
        events = self.event_time.size
        if self.event_synapse_site.size != events or self.event_weight.size != events:
            raise RecordsError(f"{where}: {events} event times, {self.event_synapse_site.size} synapse sites, "
                               f"{self.event_weight.size} weights; expected equal numbers")  # fmt: skip
        if self.current_time.size != self.current_na.size:
            raise RecordsError(f"{where}: {self.current_time.size} times at which the current changes and "
                               f"{self.current_na.size} currents; expected equal numbers")  # fmt: skip
        numbers = {"event times": self.event_time, "weights": self.event_weight, "spike times": self.spike_time,
                   "times of the current": self.current_time, "currents": self.current_na}  # fmt: skip
        for name, values in (numbers | {f"voltage {k}": v for k, v in self.voltage.items()}).items():
            if not np.isfinite(values).all():
                raise RecordsError(f"{where}: {name} hold NaN or infinity; the simulation failed, record it again")
        for name, times in (("event", self.event_time), ("spike", self.spike_time), ("current", self.current_time)):
            if times.size and (np.diff(times).min(initial=0) < 0 or times[0] < 0 or times[-1] > self.duration_ms):
                raise RecordsError(f"{where}: {name} times are unsorted or outside 0 to {self.duration_ms} ms")
        if events and (self.event_synapse_site.min() < 0 or self.event_synapse_site.max() >= cell.synapse_sites):
            raise RecordsError(f"{where}: synapse sites outside 0 to {cell.synapse_sites - 1}")
        samples = int(round(self.duration_ms)) + 1
        if "soma" not in self.voltage:
            raise RecordsError(f"{where}: no soma voltage")
        for probe, values in self.voltage.items():
            if values.shape != (samples,):
                raise RecordsError(f"{where}: voltage at {probe} has shape {values.shape}, expected ({samples},)")
