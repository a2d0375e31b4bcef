"""The cell of a file of the NeuronIO data set, from its ``Params``."""

import hashlib
import logging

import numpy as np

from netml.circuit.cell import SegmentTable
from netml.errors import RecordsError
from netml.plain import to_json
from netml.records.trial import CellInfo

logger = logging.getLogger(__name__)

SPIKE_MV = -25.0  # a spike of the data set is a peak above it
SOMA_UM = 23.0  # length and diameter of the soma, which the files do not hold; it carries no synapse
DIAMETER_UM = 1.0
TREE_UM = 1e-3  # a section begins where another ends, to the rounding of their distances
NEXUS = ("apic_50", 0.9)
#: Label, peak conductance (uS) and decay times (ms) of the data set's synapse types.
SYNAPSES = {
    "AMPA": ("AMPA", 0.0004, {"tau_d": 3.0}),
    "NMDA": ("AMPA_NMDA", 0.0004, {"tau_d_ampa": 3.0, "tau_d_nmda": 70.0}),
    "GABA_A": ("GABAA", 0.001, {"tau_d": 8.0}),
    "GABA_B": ("GABAB", 0.001, {"tau_d": 260.9}),
    "GABA_AB": ("GABAAB", 0.001, {"tau_d_gabaa": 8.0, "tau_d_gabab": 260.9}),
}


def cell_of(params: dict, path: str, nexus: bool) -> tuple[CellInfo, str, tuple[float, float]]:
    """The cell, where its tree comes from (in words), and the weights (uS) of excitatory and inhibitory events.

    Args:
        params: ``Params`` of a file.
        path: Of the file, for messages.
        nexus: Whether the voltage at the apical nexus was recorded too.

    Raises:
        RecordsError: Unknown synapse types, or numbers of segments and sections that do not fit each other.
    """
    segments, geometry = _segment_table(params, path)
    (excitatory, first, fast), (inhibitory, second, slow) = (
        _synapse(params, key, given, path)
        for key, given in (("excitatorySynapseType", "NMDA"), ("inhibitorySynapseType", "GABA_A"))
    )
    rate = params.get("numSamplesPerMS_HighRes", 8)
    if not isinstance(rate, (int, float, np.integer, np.floating)) or not 1e-3 <= rate <= 1e6:
        raise RecordsError(f"{path}, Params: numSamplesPerMS_HighRes is {rate!r:.60}; expected samples a ms")
    mechanisms = {excitatory: fast, inhibitory: slow}
    identity = to_json([segments.to_dict(), mechanisms], sort_keys=True)
    probes = {"soma": ("soma", 0.5)} | ({"nexus": NEXUS} if nexus else {})
    cell = CellInfo(
        label="L5PC", fingerprint=hashlib.sha256(identity.encode()).hexdigest(), synapses=tuple(mechanisms),
        segments=segments, syn_mech_params=mechanisms, probes=probes,
        dt_ms=1 / float(rate), spike_threshold_mv=SPIKE_MV,
    )  # fmt: skip
    return cell, geometry, (first, second)


def _synapse(params: dict, key: str, given: str, path: str) -> tuple[str, float, dict]:
    kind = params.get(key, given)
    if not isinstance(kind, str) or kind not in SYNAPSES:
        raise RecordsError(f"{path}: {key} is {kind!r:.60}; known are {', '.join(SYNAPSES)}")
    return SYNAPSES[kind]


def _segment_table(params: dict, path: str) -> tuple[SegmentTable, str]:
    """The soma and the dendritic segments, and where the tree comes from.

    A section hangs on the one that ends where it begins, counted in distance from the soma, else on the soma. Where a
    file gives no sections, its segments form one chain a type, in their order.
    """
    kind = [str(k) for k in _numbers(params, "allSegmentsType", path, object)]
    n = len(kind)
    of_sections = ("allSegments_SectionInd", "allSegmentsLength", "allSectionsLength", "allSections_DistFromSoma")
    known = all(name in params for name in of_sections)
    if known:
        section, length = (_numbers(params, name, path, size=n) for name in of_sections[:2])
        section = np.clip(section, -1, 2**31).astype(int)
        long, begin = (_numbers(params, name, path) for name in of_sections[2:])
        if long.size != begin.size or (np.diff(section) < 0).any() or section[0] < 0 or section[-1] >= long.size:
            raise RecordsError(f"{path}: allSegments_SectionInd does not fit allSectionsLength ({long.size} sections)")
    else:
        logger.warning("%s gives no sections; its segments are taken for one chain a type, in their order", path)
        section = np.cumsum([0, *(a != b for a, b in zip(kind, kind[1:], strict=False))])
        length = np.full(n, 10.0)
        long, begin = np.bincount(section, length), np.zeros(section[-1] + 1)
    present, first, sizes = np.unique(section, return_index=True, return_counts=True)
    names, number = [], {"dend": 0, "apic": 0}
    for at in first:
        stem = "apic" if kind[at].startswith("apical") else "dend"
        names.append(f"{stem}_{number[stem]}")
        number[stem] += 1
    last = dict(zip(present.tolist(), (first + sizes).tolist(), strict=True))  # its last segment; the soma is 0
    x = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    parent = np.arange(n)  # of segment k + 1: the one before it, unless it begins a section
    for s, at in zip(present, first, strict=True):
        gap = np.abs(begin[present] + long[present] - begin[s]) if known else np.full(present.size, np.inf)
        gap[present == s] = np.inf
        parent[at] = last[int(present[np.argmin(gap)])] if gap.min(initial=np.inf) <= TREE_UM else 0
    path_um = begin[section] + x * long[section]
    table = SegmentTable(
        sections=(("soma", 1), *zip(names, sizes.tolist(), strict=True)), x=np.append(0.5, x),
        parent=np.append(-1, parent), path_um=np.append(0.0, path_um), length_um=np.append(SOMA_UM, length),
        diam_um=np.append(SOMA_UM, np.full(n, DIAMETER_UM)),
    )  # fmt: skip
    return table, "of the files; no diameters" if known else "none in the files: segments in their order"


def _numbers(params: dict, name: str, path: str, dtype=float, size: int | None = None) -> np.ndarray:
    values = params.get(name)
    try:
        array = np.asarray(values, dtype)
    except (ValueError, TypeError) as error:
        raise RecordsError(f"{path}, Params: {name} holds no numbers ({error})") from error
    if array.ndim != 1 or not array.size or (size is not None and array.size != size):
        expected = f"{size} values, one a segment" if size else "a list"
        raise RecordsError(f"{path}, Params: {name} has shape {array.shape}, expected {expected}")
    if dtype is float and not (np.abs(array) < 1e12).all():
        raise RecordsError(f"{path}, Params: {name} holds NaN, infinity or numbers as large")
    return array
