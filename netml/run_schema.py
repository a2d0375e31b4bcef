"""What the metadata of a run must be, as far as netml reads them; what else stands there is the writer's own."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from netml.checked import Checked

Count = Annotated[int, Field(ge=0, lt=2**62)]
Amount = Annotated[float, Field(ge=0, le=1e15)]
Time = Annotated[float, Field(ge=0, le=1e9)]
Finite = Annotated[float, Field(ge=-1e12, le=1e12)]


class Population(Checked):
    size: Annotated[int, Field(ge=0, lt=2**31)]
    gids: list[Count] | None = None
    cell_model: str | None = None
    reduced: Count | None = None

    @model_validator(mode="after")
    def _fit(self) -> "Population":
        if self.gids is not None and len(self.gids) != self.size:
            raise ValueError(f"{len(self.gids)} gids of {self.size} cells")
        if (self.reduced or 0) > self.size:
            raise ValueError(f"{self.reduced} of {self.size} cells are reduced")
        return self


class Beyond(Checked):
    """Which reduced cells to distrust for their input (:mod:`netml.population.out_of_distribution`)."""

    distrusted: Count
    held_out: Finite
    worst: list[tuple[Count, Finite]]


class Ensemble(Checked):
    """Which reduced cells to distrust as the members of an ensemble differ."""

    distrusted: Count
    members: Count
    worst: list[tuple[Count, Finite, Finite]]


class Reduced(Checked):
    """What the engine of reduced cells counted."""

    reduced: Count | None = None
    weights_out_of_range: Amount | None = None
    channels_unseen: Amount | None = None
    currents_out_of_range: Amount | None = None
    saturated: Amount | None = None
    late: Amount | None = None
    beyond: Beyond | None = None
    ensemble: Ensemble | None = None

    @model_validator(mode="after")
    def _fit(self) -> "Reduced":
        if self.reduced is None and (self.beyond or self.ensemble):
            raise ValueError("how many cells are reduced is missing")
        return self


class Metadata(Checked):
    duration_ms: Time
    populations: dict[str, Population]
    model: str | None = None
    seed: int | float | str | None = None
    dt_ms: Annotated[float, Field(gt=0, le=1e12)] | None = None
    engine: str | None = None
    build: str | None = None
    ranks: Count | None = None
    swap: dict[str, Any] | None = None
    wall: dict[str, Amount | None] = {}
    versions: dict[str, str] | None = None
    mechanisms: str | None = None
    circuit: str | None = None
    reduced: dict[str, Reduced] | None = None
