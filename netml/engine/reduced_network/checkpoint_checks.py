"""What a checkpoint must be, beside its populations' states (:mod:`netml.population.state_checks`)."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from netml.checked import Checked
from netml.errors import ModelError


class Header(Checked):
    ticks: Annotated[int, Field(ge=0, le=2**62)]
    ranks: Annotated[int, Field(ge=1, le=2**20)]
    about: dict[str, Any]


def check_part(part: dict[str, np.ndarray], dtypes: dict[str, np.dtype], of_trains: np.dtype) -> None:
    """Refuse a rank's part without some table, or with one of another type.

    Args:
        part: Tables by name.
        dtypes: Of the tables it must have, by name.
        of_trains: Of further ones, where it has them.

    Raises:
        ModelError: What is wrong.
    """
    if lost := sorted(dtypes.keys() - part.keys()):
        raise ModelError(f"a rank's part lacks {', '.join(lost[:3])}: it is of another network, or damaged")
    for name, table in part.items():
        expected = dtypes.get(name, of_trains)
        if table.ndim != 1 or table.dtype != expected:
            raise ModelError(
                f"{name} is of type {table.dtype} and shape {table.shape}; expected {expected}, one axis: it is of "
                "another reduction, or damaged"
            )


def check_clock(label: str, clock: np.ndarray, ticks: int) -> None:
    """Refuse a population's clock that is not the checkpoint's.

    Raises:
        ModelError: It differs.
    """
    steps, ticks_per_step = clock[0].tolist()
    if steps * ticks_per_step != ticks:
        raise ModelError(f"{label} took {steps} steps of {ticks_per_step} ticks; the checkpoint is of tick {ticks}")


def check_events(network, label: str, events: np.ndarray, now_ms: float) -> None:
    """Refuse events still to come that the population cannot get.

    Raises:
        ModelError: A cell, synapse site, weight or time out of its range.
    """
    population, low, high = network.layout.populations[label], -1, -1
    if label in network.reduced:
        artifact = network.reduced[label].population.artifact
        low, high = 0, artifact.synapse_sites - bool(artifact.header.get("current")) - 1
    first, last = population.first, population.first + len(population) - 1
    for field, bottom, top in (
        ("gid", first, last), ("time", now_ms, np.inf), ("channel", low, high), ("weight", 0, 1e9),
    ):  # fmt: skip
        values = events[field]
        good = (values >= bottom) & (values <= top)
        if not good.all():
            raise ModelError(f"an event for {label} has {field} {values[~good][0]}; expected {bottom} to {top}")
