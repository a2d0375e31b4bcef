"""Every quantity that netml writes to a file: its name, shape, dtype and unit, declared once.

Writers take their dtype and unit from here, readers check against it, and ``netml/records/README.md`` documents it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """One array in a file."""

    name: str
    shape: str
    dtype: str
    unit: str
    meaning: str


def _table(*quantities: Quantity) -> dict[str, Quantity]:
    return {quantity.name: quantity for quantity in quantities}


# Records: one shard a rank.  Ragged arrays carry a pointer of trials + 1 entries.
RECORDS_FORMAT, RECORDS_VERSION = "netml-records", 1
RECORDS = _table(
    Quantity("trial/kind", "(trials)", "str", "", "network, or the protocol's input regime"),
    Quantity("trial/gid", "(trials)", "int64", "", "gid of the cell in its network; -1 for a single cell"),
    Quantity("trial/seed", "(trials)", "int64", "", "seed that made the input"),
    Quantity("trial/duration", "(trials)", "float64", "ms", "length of the trial"),
    Quantity("events/time", "(events)", "float64", "ms", "arrival of the event at its synapse"),
    Quantity("events/channel", "(events)", "int32", "", "segment * number of synapse types + synapse type"),
    Quantity("events/weight", "(events)", "float32", "uS", "peak conductance of the event"),
    Quantity("events/ptr", "(trials + 1)", "int64", "", "first event of each trial"),
    Quantity("current/time", "(changes)", "float64", "ms", "when the current into the soma changes; before, it is 0"),
    Quantity("current/amplitude", "(changes)", "float64", "nA", "the current into the soma from then on"),
    Quantity("current/ptr", "(trials + 1)", "int64", "", "first change of each trial"),
    Quantity("spikes/time", "(spikes)", "float64", "ms", "upward crossing of the spike threshold at the soma"),
    Quantity("spikes/ptr", "(trials + 1)", "int64", "", "first spike of each trial"),
    Quantity("voltage/<site>", "(samples)", "float32", "mV", "membrane voltage at 0, 1, ... ms of each trial"),
    Quantity("voltage/ptr", "(trials + 1)", "int64", "", "first voltage sample of each trial"),
)

# Artifact: arrays beside the header of a .netml file.
ARTIFACT_FORMAT, ARTIFACT_VERSION = "netml-reduction", 1
REDUCTIONS = ("leaky_memory", "cable")  # the kinds there are
ARTIFACT = _table(
    Quantity("params", "(parameters)", "float32", "", "the kernel's parameters, packed"),
    Quantity("wiring", "(depends on the kind)", "int32", "", "how the parts of the model hang together"),
    # Synapse sites: segments x synapses, and where the header has "current": true one more, the current into the soma.
    Quantity(
        "channel_input", "(synapse_sites)", "int32", "", "input that each synapse site feeds; the current's is the last"
    ),
    Quantity("channel_gain", "(synapse_sites)", "float32", "1/uS, the current's 1/nA", "multiplies a weight"),
    Quantity("channel_seen", "(synapse_sites)", "int64", "events, the current's steps", "how often training saw it"),
)
#: Largest sum (weight x gain) that each input got in one step of training; older files have none.
ARTIFACT_OPTIONAL = _table(
    Quantity("input_limit", "(inputs)", "float32", "weight x gain", "beyond it, training says nothing"),
)
#: member_1, member_2, ... of an ensemble: each a whole .netml file.
ARTIFACT_MEMBER = Quantity("member_<k>", "(bytes)", "uint8", "", "another reduction of the same cell")
#: Beside these, where the reduction takes a current into its soma: current (true) and current_range_na.
ARTIFACT_HEADER = (
    "format", "version", "reduction", "cell", "synapses", "sections", "dims", "dt_r_ms", "threshold",
    "weight_range_us", "provenance", "scores",
)  # fmt: skip

# Run: what `netml simulate` leaves.  Spikes follow the SONATA layout.
RUN_FORMAT, RUN_VERSION = "netml-run", 1
