"""What a ``.netml`` file may say: every field of its header that netml reads, and what its arrays must be.

The sizes of a kind of reduction against each other are the kernel's to judge (:mod:`netml.reductions.kernel`); here
stands what holds for every kind.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, field_validator, model_validator

from netml import keys
from netml.errors import ArtifactError

MOST = 2**20  # of any one size; the kernel's own limit
HIGHEST_GAIN = 1e15  # a synapse type whose weights are all 0 in training is given 1e12
AGAIN = "train it again, or install the netml that wrote it"

Size = Annotated[int, Field(ge=0, le=MOST)]
Finite = Annotated[float, Field(ge=-1e12, le=1e12)]
Milliseconds = Annotated[float, Field(gt=0, le=1000)]
Millivolts = Annotated[float, Field(ge=-1000, le=1000)]
Microsiemens = Annotated[float, Field(ge=0, le=1e6)]
Nanoamperes = Annotated[float, Field(ge=-1e6, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, le=1e6)]  # Hz


class Part(BaseModel):
    """A mapping: known fields have their type (no text or bool for a number), others are plain JSON."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class Cell(Part):
    label: str
    fingerprint: str


class HeldOut(Part):
    """See :func:`netml.training.ranges.held_out`."""

    largest: Share
    mean: Share | None = None
    trials: int | None = Field(None, ge=0)


class Ensemble(Part):
    """Number of members, and what :func:`netml.validation.uncertainty.spread` says of them."""

    members: int = Field(ge=2, le=1000)
    largest_sd_hz: Rate | None = None
    factor: Annotated[float, Field(ge=0, le=1e12)] | None = None


class TrainingOptions(Part):
    split_seed: int | None = Field(None, ge=0)
    held_out: Annotated[tuple[Share, Share], Strict(False)] | None = None
    skip_ms: float | None = Field(None, ge=0, le=1e9)


class Provenance(Part):
    training_seconds: float | None = Field(None, ge=0, le=1e12)
    dt_ms: Milliseconds | None = None
    split_seed: int | None = Field(None, ge=0)
    config: TrainingOptions | None = None


class ValidationScores(Part):
    loss: float | None = None


class Scores(Part):
    parameters: int | None = Field(None, ge=0)
    validation: ValidationScores | None = None


class Header(Part):
    """``header.json`` of a ``.netml`` file."""

    cell: Cell
    synapses: list[str] = Field(min_length=1)
    sections: list[Annotated[tuple[str, Annotated[int, Field(ge=1, le=MOST)]], Strict(False)]] = Field(min_length=1)
    dims: dict[str, Size]
    dt_r_ms: Milliseconds
    threshold: Finite
    weight_range_us: dict[str, Annotated[tuple[Microsiemens | None, Microsiemens | None], Strict(False)] | None]
    provenance: Provenance
    scores: Scores
    v_rest_mv: Millivolts = -70.0
    v_clip_mv: Millivolts | None = None
    spike_threshold_mv: Millivolts | None = None
    current: bool = False
    current_range_na: Annotated[tuple[Nanoamperes, Nanoamperes], Strict(False)] | None = None
    held_out_beyond: HeldOut | None = None
    ensemble: Ensemble | None = None

    @field_validator("synapses")
    @classmethod
    def _differ(cls, synapses):
        if len(set(synapses)) < len(synapses):
            raise ValueError("two synapse types have one name")
        return synapses

    @field_validator("dims")
    @classmethod
    def _have_inputs(cls, dims):
        if dims.get("inputs", 1) < 1:
            raise ValueError("a cell has one input at least")
        return dims

    @field_validator("weight_range_us")
    @classmethod
    def _rise(cls, ranges):
        for synapse, pair in ranges.items():
            if pair and ((pair[0] is None) != (pair[1] is None) or (pair[0] or 0.0) > (pair[1] or 0.0)):
                raise ValueError(f"the weights of {synapse} range from {pair[0]} to {pair[1]} uS")
        return ranges

    @model_validator(mode="after")
    def _current_has_a_range(self):
        if self.current and self.current_range_na is None:
            raise ValueError("a reduction that takes a current lacks current_range_na")
        return self

    @property
    def synapse_sites(self) -> int:
        return sum(nseg for _, nseg in self.sections) * len(self.synapses) + self.current

    @classmethod
    def of(cls, header: Mapping) -> "Header":
        """Check a header.

        Raises:
            ArtifactError: A field is missing, of another type, or no sane value.
        """
        try:
            checked = cls.model_validate(dict(header))
        except ValidationError as error:
            first = error.errors()[0]
            name, got = ".".join(str(part) for part in first["loc"]), repr(first["input"])
            where = f"header field {name} is {got[:60]}: " if name else ""
            raise ArtifactError(f"reduction's {where}{first['msg']}; {AGAIN}") from None
        if "inputs" not in checked.dims:
            raise ArtifactError(f"reduction's dims lack inputs; {AGAIN}")
        if (wrong := no_json(header)) is not None:
            raise ArtifactError(f"reduction's header holds {wrong!r:.60}, which is no finite number or text; {AGAIN}")
        if checked.current and checked.current_range_na is not None:
            low, high = checked.current_range_na
            if not low <= high:
                raise ArtifactError(f"reduction's current_range_na is {low:g} to {high:g} nA; {AGAIN}")
        return checked


def no_json(value: Any) -> Any | None:
    """The first part of a header that is neither a mapping, list, text, bool, None nor a finite number; else None."""
    if isinstance(value, Mapping | list | tuple):
        parts = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
        return next((wrong for part in parts if (wrong := no_json(part)) is not None), None)
    plain = value is None or isinstance(value, str | bool) or (isinstance(value, int | float) and abs(value) < math.inf)
    return None if plain else value


def check_arrays(header: Header, arrays: Mapping[str, np.ndarray]) -> None:
    """Check arrays against ``keys.ARTIFACT`` and the header.

    Raises:
        ArtifactError: One is missing, of another dtype or shape, or holds what it cannot.
    """
    inputs, members = header.dims["inputs"], header.ensemble.members if header.ensemble else 1
    sizes = {"(synapse_sites)": header.synapse_sites, "(inputs)": inputs}
    wanted = {name: q for name, q in (keys.ARTIFACT | keys.ARTIFACT_OPTIONAL).items() if name in arrays}
    wanted |= {f"member_{k}": keys.ARTIFACT_MEMBER for k in range(1, members)}
    for name, quantity in wanted.items():
        if name not in arrays:
            raise ArtifactError(f"reduction of an ensemble of {members} lacks {name}; copy it again")
        array = arrays[name]
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArtifactError(f"reduction holds NaN or infinity in {name}; its training failed: train it again")
        size = sizes.get(quantity.shape, array.size)
        if array.shape != (size,):
            raise ArtifactError(f"reduction's {name} has shape {array.shape}, expected ({size},); {AGAIN}")
        if array.dtype != np.dtype(quantity.dtype):
            raise ArtifactError(f"reduction's {name} is of {array.dtype}, expected {quantity.dtype}; {AGAIN}")
    feeds, gain = arrays["channel_input"], arrays["channel_gain"]
    if feeds.size and (feeds.min() < 0 or feeds.max() >= inputs):
        raise ArtifactError(f"reduction's channel_input points outside its {inputs} inputs; {AGAIN}")
    if not ((gain > 0) & (gain <= HIGHEST_GAIN)).all():
        raise ArtifactError(f"reduction's channel_gain has a value outside 0 to {HIGHEST_GAIN:g} 1/uS; {AGAIN}")
    for name in ("channel_seen", "input_limit"):
        if name in arrays and (arrays[name] < 0).any():
            raise ArtifactError(f"reduction's {name} has a value below 0; {AGAIN}")
    last = feeds == inputs - 1
    if header.current and not (last[-1] and last.sum() == 1):
        raise ArtifactError("reduction's current shares its input, the last one, with synapses, or feeds another")
