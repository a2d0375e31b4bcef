"""What can be chosen about training; unknown fields are refused."""

import warnings
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from netml.errors import TrainingError
from netml.records import Records

#: Updates by budget.  A schedule counts updates, never minutes, so that it is the same on every machine.
BUDGETS = {"demo": 1500, "full": 12000, "long": 40000}
#: What a size sets, unless it is given.
SIZES = {
    "small": {"compartments": 64, "memory": 24, "hidden": 64, "rank": 4},
    "medium": {"compartments": 128, "memory": 24, "hidden": 64, "rank": 4},
    "large": {"compartments": 256, "memory": 32, "hidden": 112, "rank": 4},
}


#: Names that fields had before; they work for one more release.
RENAMED = {
    "expected": "feedback_probability", "tree_pace": "tree_lr_scale", "free_from": "free_running_from",
    "average": "ema_decay", "sequences": "batch_size",
}  # fmt: skip


class TrainConfig(BaseModel):
    """Everything that decides the weights, together with the records.

    The defaults are the recipe that the shipped reductions are trained with.  Each field says its meaning and unit.

    Example:
        >>> config = TrainConfig.of(size="medium", budget="demo", hidden=80)
        >>> config.compartments, config.hidden, config.total_updates
        (128, 80, 1500)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(0, description="of initial weights, order of trials and window lengths")
    split_seed: int = Field(0, description="of the split of trials; validate must use the same")
    held_out: tuple[float, float] = Field(
        (0.15, 0.15), description="parts of the trials for validation and test; less leaves more to learn from"
    )
    budget: Literal["demo", "full", "long"] = Field(
        "full", description="demo: a minute; full: a few minutes; long: a quarter of an hour, on 2 cores"
    )
    updates: int | None = Field(None, gt=0, description="number of weight updates, instead of the budget's")

    size: Literal["small", "medium", "large"] = Field("small", description="sets the sizes below that are not given")
    reduction: Literal["cable", "leaky_memory"] = Field("cable", description="kind of model")
    compartments: int = Field(64, gt=0, description="cable: compartments of the reduced tree")
    site_focus: float = Field(
        3.0, gt=0, description="cable: how many segments one counts for where a recorded site is nearer than the soma"
    )
    reads: int = Field(3, gt=0, description="cable: compartments whose voltage the hidden units read")
    rank: int = Field(4, ge=0, description="cable: currents that spikes and memory inject into the tree")
    inactivation: bool = Field(True, description="cable: calcium and sodium conductances inactivate")
    branches: int = Field(32, gt=0, description="leaky memory: groups of neighbouring segments that share an input")
    memory: int = Field(24, gt=0, description="leaky memory units")
    hidden: int = Field(64, gt=0, description="hidden units")
    feedback_tau_ms: tuple[float, ...] = Field((2.0, 8.0, 30.0, 120.0), description="of the cell's own spikes, ms")
    feedback_probability: bool | None = Field(
        None, description="feed back the probability of the cell's own spikes; by default where no trial has a current"
    )
    refractory_quantile: float = Field(
        0.01, ge=0, lt=1, description="of the intervals in training: no spike follows another sooner; 0: no limit"
    )
    dt_r_ms: float = Field(1.0, gt=0, description="step of the reduction, ms")

    batch_size: int = Field(32, gt=0, multiple_of=16, description="sequences an update")
    window_ms: float = Field(300.0, gt=0, description="mean length of a window: gradients go no further back")
    free_running_from: float = Field(0.02, ge=0, le=1, description="part of the updates that feed true spikes back")
    learning_rate: float = Field(3e-3, gt=0, description="highest of the schedule")
    weight_decay: float = Field(0.3, ge=0, description="of the weight matrices (AdamW)")
    prior_decay: float = Field(0.3, ge=0, description="of a compartment's deviation from what geometry gives")
    tree_lr_scale: float = Field(4.0, gt=0, description="learning rate of a tree's physics, in units of learning_rate")
    gain_decay: float = Field(1.0, ge=0, description="of the log gain of each synapse site")
    ema_decay: float = Field(0.998, ge=0, lt=1, description="decay of the average of the weights that is kept")
    voltage_weight: float = Field(3.0, ge=0, description="share of the voltage beside the spikes in the loss")
    site_weight: float = Field(2.0, ge=0, description="share of the voltage at each recorded dendritic site")
    site_readout: bool = Field(True, description="cable: memory and hidden units add to the voltage of these sites")
    site_clip_mv: float = Field(-40.0, description="voltage at these sites is learned up to here, mV")
    v_clip_mv: float = Field(-55.0, description="voltage is learned up to here, mV")
    skip_ms: float = Field(100.0, ge=0, description="start of every trial that does not count, ms")

    synthetic: float = Field(4.0, ge=0, description="synthetic trials a training trial, where a teacher labels them")

    validate_every: int = Field(500, gt=0, description="updates")
    checkpoint_every: int = Field(500, gt=0, description="updates")
    patience: int = Field(20, gt=0, description="validations without improvement before it stops, once free-running")

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        for old in RENAMED.keys() & given.keys():
            warnings.warn(f"training option {old!r} is now called {RENAMED[old]!r}", DeprecationWarning, stacklevel=2)
            given = {RENAMED.get(name, name): value for name, value in given.items()}
        return SIZES.get(given.get("size", "small"), {}) | given

    def split(self, records: Records) -> dict[str, list[int]]:
        """Numbers of the trials for training, validation and test.

        Args:
            records: An open :class:`netml.Records`.

        Returns:
            As :meth:`netml.Records.split`.

        Raises:
            RecordsError: Too few trials to give each part one.
        """
        return records.split(seed=self.split_seed, held_out=self.held_out)

    def feeds_back_probability(self, current: bool) -> bool:
        """Whether the probability of a spike is fed back to a cell, by ``current``: whether it takes one."""
        # Under a steady current a probability smears the phase, and with it the rate.
        return not current if self.feedback_probability is None else self.feedback_probability

    @property
    def total_updates(self) -> int:
        """Number of weight updates: as given, else the budget's."""
        return self.updates or BUDGETS[self.budget]

    @classmethod
    def of(cls, **fields: Any) -> "TrainConfig":
        """Check fields.

        Args:
            fields: By name; the rest have their defaults.

        Raises:
            TrainingError: An unknown field or an impossible value, with its name.
        """
        try:
            return cls(**fields)
        except ValidationError as error:
            problems = []
            for e in error.errors():
                name = ".".join(str(part) for part in e["loc"])
                known = f" (known: {', '.join(cls.model_fields)})" if e["type"] == "extra_forbidden" else ""
                problems.append(f"{name}: {e['msg']}, got {e['input']!r}{known}")
            raise TrainingError("training options: " + "; ".join(problems)) from None
