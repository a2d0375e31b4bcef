"""What the JSON files of a model must be, as far as netml reads them."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from netml.checked import Checked

Finite = Annotated[float, Field(ge=-1e12, le=1e12)]
Time = Annotated[float, Field(ge=0, le=1e9)]  # ms
Voltage = Annotated[float, Field(ge=-1e4, le=1e4)]  # mV
Celsius = Annotated[float, Field(ge=-50, le=100)]
Duration = Annotated[float, Field(gt=0, le=1e9)]  # ms
FileName = Annotated[str, Field(pattern=r"^[^/\x00]+$", max_length=200)]
Parameters = dict[str, str | Finite]


def positive(sd: float) -> float:
    if not sd > 0:
        raise ValueError(f"the SD is {sd}; expected a positive one")
    return sd


Sd = Annotated[Finite, AfterValidator(positive)]


class Index(Checked):
    """``index.npjson`` of a NetPyNE project."""

    simConfig: str
    netParams: str
    simConfig_variable: str | None = None
    netParams_variable: str | None = None
    mod_folder: str | None = None
    modFolder: str | None = None
    python_run: str | None = None


class Drive(Checked):
    sites: Annotated[int, Field(ge=0, le=10**6)]
    rate: Annotated[float, Field(ge=0, le=1e6)]
    weight: Annotated[float, Field(ge=0, le=1e6)]


class Values(Checked):
    """``cells/values.json`` of an imported cell."""

    cell: FileName
    root: str
    celsius: Celsius
    v_init: Voltage
    dt: Duration
    threshold: Voltage
    background: dict[str, Drive]


class Site(Checked):
    list: str
    path_um: Annotated[float, Field(ge=0, le=1e7)]


class Current(Checked):
    model_config = ConfigDict(extra="forbid")

    site: str | Site
    start_ms: Time
    amp_na: Finite
    duration_ms: Duration | None = None
    rise_ms: Duration | None = None
    decay_ms: Duration | None = None

    @model_validator(mode="after")
    def _fit(self) -> "Current":
        shaped = self.rise_ms is not None and self.decay_ms is not None
        if not shaped and (self.duration_ms is None or self.rise_ms is not None or self.decay_ms is not None):
            raise ValueError("a current has a duration_ms, or a rise_ms and a decay_ms")
        if shaped and self.rise_ms == self.decay_ms:
            raise ValueError("a current rises and decays with one time constant; expected two")
        return self


class Target(Checked):
    feature: str
    target: Finite
    sd: Sd
    at: str = "soma"
    threshold_mv: Voltage | None = None
    source: str | None = None


class Protocol(Checked):
    total_ms: Duration
    window_ms: tuple[Time, Time]
    currents: list[Current]
    record: dict[str, str | Site]
    features: list[Target]

    @model_validator(mode="after")
    def _fit(self) -> "Protocol":
        if not self.window_ms[0] < self.window_ms[1] <= self.total_ms:
            raise ValueError(f"the window is {self.window_ms} ms; expected one that rises, within {self.total_ms} ms")
        if lost := [one for one in self.features if one.at not in self.record]:
            raise ValueError(f"{lost[0].feature} is of {lost[0].at!r}, which is not recorded")
        return self


class Slope(Checked):
    first: str = Field(alias="from")
    second: str = Field(alias="to")
    target: Finite
    sd: Sd
    source: str | None = None


class Targets(Checked):
    """``NAME.targets.json`` of a cell."""

    cell: FileName
    source: str
    celsius: Celsius
    v_init_mv: Voltage
    protocols: dict[str, Protocol]
    slopes: list[Slope] = []

    @model_validator(mode="after")
    def _fit(self) -> "Targets":
        if unknown := [name for one in self.slopes for name in (one.first, one.second) if name not in self.protocols]:
            raise ValueError(f"a slope is between {', '.join(unknown)}, of {', '.join(self.protocols)}")
        return self


class Feature(Checked):
    feature: str
    target: Finite
    sd: Sd
    source: str | None = None
    interval_ms: Duration | None = None


class Recorded(Checked):
    hold_mv: Voltage
    source: str
    features: list[Feature]


class Connection(Checked):
    post: FileName
    synapse: str
    contacts: dict[str, Annotated[int, Field(ge=1, le=10**5)]]
    weight_us: Annotated[float, Field(ge=0, le=1e6)]
    recorded: Recorded


class Connections(Checked):
    """``connections.json`` of a model: of its connections, those that pair recordings were found for."""

    synapses: dict[str, Parameters] = {}
    connections: dict[str, Connection]

    @field_validator("connections", mode="before")
    @classmethod
    def _recorded(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: one for name, one in given.items() if not isinstance(one, dict) or "recorded" in one}

    @model_validator(mode="after")
    def _fit(self) -> "Connections":
        for name, one in self.connections.items():
            if one.synapse not in self.synapses:
                raise ValueError(f"{name} is of synapses {one.synapse!r}; the file has no {one.synapse!r}")
            if not isinstance(self.synapses[one.synapse].get("mod"), str):
                raise ValueError(f"synapses {one.synapse!r} have no mod")
            words = [k for k, v in self.synapses[one.synapse].items() if isinstance(v, str) and k != "mod"]
            if words:
                raise ValueError(f"{words[0]} of synapses {one.synapse!r} is text; expected a number")
        return self
