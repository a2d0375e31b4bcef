"""Turn a file of the l5pc benchmark recordings into netml records.

to_records.py FILE.h5 FOLDER [--trials N] [--step MS]
"""

import argparse
from pathlib import Path

import h5py
import numpy as np

from netml.circuit.cell import SegmentTable
from netml.records import CellInfo, RecordWriter, Trial, write_index

WEIGHT_US = {"AMPA_NMDA": 0.0004, "GABAA": 0.001}  # peak conductances of the recordings

NEXUS_SHARE = 0.35  # of the larger tree: a smaller one is an oblique branch
FINGERPRINT = "l5pc-benchmark"


def segment_table(file: h5py.File) -> SegmentTable:
    """The dendritic segments behind a soma of one segment, which carries no synapse here."""
    section = file["segments/section"][:]
    begins = np.flatnonzero(np.diff(section, prepend=section[0] - 1))
    sizes = np.diff(np.append(begins, section.size))
    parent = file["segments/parent"][:].astype(np.int64) + 1  # -1, the soma, becomes segment 0

    def column(name: str, soma: float) -> np.ndarray:
        return np.concatenate([[soma], file[f"segments/{name}"][:]]).astype(float)

    return SegmentTable(
        sections=(("soma", 1), *((f"dend_{i}", int(n)) for i, n in enumerate(sizes))),
        x=column("x", 0.5), parent=np.concatenate([[-1], parent]), path_um=column("path_um", 0.0),
        length_um=column("length_um", 23.0), diam_um=column("diam_um", 23.0),
    )  # fmt: skip


def nexus(segments: SegmentTable) -> tuple[str, float]:
    """Section and place where the apical trunk first splits into two large trees."""
    below = segments.length_um.copy()  # dendrite behind each segment
    for k in np.argsort(-segments.path_um, kind="stable"):
        if segments.parent[k] > 0:
            below[segments.parent[k]] += below[k]
    at = int(np.argmax(np.where(segments.parent == 0, below, 0.0)))
    while True:
        children = np.flatnonzero(segments.parent == at)
        behind = np.sort(below[children])[::-1]
        if behind.size > 1 and behind[1] > NEXUS_SHARE * behind[0]:
            return str(segments.section[at]), float(segments.x[at])
        at = int(children[np.argmax(below[children])])


def convert(source: str, folder: str, trials: int | None = None, step_ms: float = 1.0) -> None:
    """Write records for reductions of steps of ``step_ms``."""
    with h5py.File(source) as file:
        segments = segment_table(file)
        cell = CellInfo(
            label="L5PC", fingerprint=FINGERPRINT, synapses=tuple(WEIGHT_US), segments=segments,
            syn_mech_params={
                "AMPA_NMDA": {"tau_r_ampa": 0.3, "tau_d_ampa": 3.0, "tau_r_nmda": 2.0, "tau_d_nmda": 70.0, "e": 0.0},
                "GABAA": {"tau_r": 0.2, "tau_d": 8.0, "e": -80.0},
            },
            probes={"soma": ("soma", 0.5), "nexus": nexus(segments)}, dt_ms=0.05, spike_threshold_mv=-25.0,
        )  # fmt: skip
        dendritic = len(segments) - 1
        weights = np.array(list(WEIGHT_US.values()), np.float32)
        counts, pointer = file["events/count"], file["events/trial_ptr"][:]
        spike_pointer = file["spikes/trial_ptr"][:]
        with RecordWriter(folder, 0, cell) as writer:
            for k in range(min(trials or len(counts), len(counts))):
                count = counts[k]
                duration = count.size - 1  # the last sample of the voltage stands at 5999 ms
                time = np.repeat(np.arange(count.size), count)
                raw = file["events/channel"][pointer[k] : pointer[k + 1]].astype(np.int64)
                inside = time < duration
                time, raw = time[inside], raw[inside]
                synapse, segment = raw // dendritic, raw % dendritic + 1
                # The benchmark's bin of a spike is the one it falls in: in a record it stands at the end of that step.
                spikes = file["spikes/time"][spike_pointer[k] : spike_pointer[k + 1]].astype(float)
                spikes = (np.floor(spikes / step_ms) + 1) * step_ms
                writer.add(
                    Trial(
                        kind="dense",
                        gid=-1,
                        seed=k,
                        duration_ms=float(duration),
                        event_time=time.astype(float),
                        event_synapse_site=(segment * 2 + synapse).astype(np.int32),
                        event_weight=weights[synapse],
                        spike_time=spikes[spikes <= duration],
                        voltage={
                            "soma": file["soma/voltage"][k].astype(np.float32),
                            "nexus": file["nexus/voltage"][k].astype(np.float32),
                        },
                    )  # fmt: skip
                )
    write_index(folder, cell, {"source": Path(source).name})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("folder")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--step", type=float, default=1.0, help="dt_r_ms of the training, ms")
    arguments = parser.parse_args()
    convert(arguments.source, arguments.folder, arguments.trials, arguments.step)
