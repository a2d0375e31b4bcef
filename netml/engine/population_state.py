"""What a population needs to go on from where it stopped, as plain arrays that name cells by gid and rows by source.

So the states of all ranks, merged, restore the population on any other number of ranks, of threads, and with cells and
synapses added in another order.  A state is a dictionary:

| name | content |
|---|---|
| `clock` | step (steps taken), ticks_per_step |
| `cells` | gid, voltage (mV), logit, state (float32 each) |
| `flights` | spikes with events to come: source, projection, tick, previous, trace, factor |
| `sources` | of plastic projections: source, projection, last, use, resources, trace |
| `post_spikes` | of projections with STDP: gid, projection, tick, trace |
| `rewards` | projection, tick, amount |
| `injected` | events without a row that are still to come: gid, step, input, weight |
| `currents` | as `set_current` left them: gid, amount; none where none was set |
| `synapses` | of projections with STDP: projection, gid, source, delay, input, weight, eligibility as last worked out |

Weights of static synapses are the network's own and are not in it; random numbers need none but the step.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from netml.engine.population_library import FLIGHT, INJECTED, NEVER, POST_SPIKE, REWARD, ROW_STATE, TICKS_PER_MS, view
from netml.engine.state_checks import States
from netml.errors import ModelError
from netml.reductions.kernel import LANES

if TYPE_CHECKING:
    from netml.engine.population import Population

CLOCK = np.dtype([("step", "i8"), ("ticks_per_step", "i8")])
FLIGHTS = np.dtype([
    ("source", "i8"), ("projection", "i4"), ("tick", "i8"), ("previous", "i8"), ("trace", "f8"), ("factor", "f8"),
])  # fmt: skip
SOURCES = np.dtype([("source", "i8"), ("projection", "i4"), *ROW_STATE.descr])
POST_SPIKES = np.dtype([("gid", "i8"), ("projection", "i4"), ("tick", "i8"), ("trace", "f8")])
REWARDS = np.dtype([("projection", "i4"), ("tick", "i8"), ("amount", "f8")])
INJECTIONS = np.dtype([("gid", "i8"), ("step", "i8"), ("input", "i4"), ("weight", "i4")])
CURRENTS = np.dtype([("gid", "i8"), ("amount", "f4")])
SYNAPSES = np.dtype([
    ("projection", "i4"), ("gid", "i8"), ("source", "i8"), ("delay", "i4"), ("input", "i4"), ("weight", "f4"),
    ("eligibility", "f4"),
])  # fmt: skip
SAME_EVERYWHERE = ("clock", "flights", "sources", "rewards")  # what several ranks say of one thing, they say alike


def save(population: Population) -> dict[str, np.ndarray]:
    """The state of this rank's cells, after whole steps."""
    handle, library = population.freeze(), population.library
    gids, sources = np.array(population.gids), np.array(population.sources)
    if np.unique(gids).size < gids.size or np.unique(sources).size < sources.size:
        raise ModelError(
            f"cells or sources of reduced {population.label} share a name; a checkpoint needs one each: give gids to "
            "add_cells and sources to add_rows"
        )
    flights = _handed_out(library.netml_population_flights, handle, FLIGHT)
    posts = _handed_out(library.netml_population_post_spikes, handle, POST_SPIKE)
    rewards = _handed_out(library.netml_population_rewards, handle, REWARD)
    injected = _handed_out(library.netml_population_injected, handle, INJECTED)
    currents = _handed_out(library.netml_population_currents, handle, np.float32)
    cells = np.empty(population.cells, _cell_dtype(population))
    cells["gid"], cells["voltage"], cells["logit"] = gids, population.voltage(), population.logit()
    cells["state"] = cell_states(population, np.arange(population.cells))
    plastic = range(1, len(population.rules))
    states = [_filled(SOURCES, _row_states(population, k), source=sources, projection=k) for k in plastic]
    states = [state[state["last"] != NEVER] for state in states]
    synapses = [_named_synapses(population, k, gids, sources) for k in plastic if population.rules[k][1]]
    return merge([{
        "clock": np.array([_clock(population)], CLOCK),
        "cells": cells,
        "flights": _filled(FLIGHTS, flights, source=sources[flights["row"]]),
        "sources": np.concatenate([np.empty(0, SOURCES), *states]),
        "post_spikes": _filled(POST_SPIKES, posts, gid=gids[posts["cell"]]),
        "rewards": _filled(REWARDS, rewards),
        "injected": _filled(INJECTIONS, injected, gid=gids[injected["cell"]]),
        "currents": _filled(CURRENTS, gid=gids[: currents.size], amount=currents),
        "synapses": np.concatenate([np.empty(0, SYNAPSES), *synapses]),
    }])  # fmt: skip


def cell_states(population: Population, cells: np.ndarray) -> np.ndarray:
    """(cells, numbers) float32: the reduction's state of some cells, by their indices."""
    block, lane = np.divmod(cells, LANES)
    return _lanes(population)[block, :, lane]


def merge(states: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One state from those of several ranks."""
    merged = {name: np.concatenate([state[name] for state in states]) for name in states[0]}
    return {name: np.unique(array) if name in SAME_EVERYWHERE else array for name, array in merged.items()}


def restore(population: Population, state: dict[str, np.ndarray]) -> None:
    """Put this rank's part of a state into a population of the same network.

    Raises:
        ModelError: Cells, sources or synapses are not those of the state, or a number is out of its range.
    """
    check(population, state)
    handle, library = population.handle, population.library
    gids, sources = np.array(population.gids), np.array(population.sources)
    cells = state["cells"][_find(state["cells"]["gid"], gids, f"cells of {population.label}")]
    flights = _mine(state["flights"], "source", sources, FLIGHT, "row")
    posts = _mine(state["post_spikes"], "gid", gids, POST_SPIKE, "cell")
    rewards = _filled(REWARD, state["rewards"])
    injected = _mine(state["injected"], "gid", gids, INJECTED, "cell")
    currents = np.zeros(len(gids), np.float32)
    known = state["currents"][np.isin(state["currents"]["gid"], gids)]
    currents[_find(gids, known["gid"], f"cells of {population.label}")] = known["amount"]
    order = np.argsort(posts["tick"], kind="stable")
    posts = np.ascontiguousarray(posts[order])
    learned = {k: _learned(population, k, state, gids, sources) for k, (_, stdp) in enumerate(population.rules) if stdp}

    parts = [item for array in (flights, posts, rewards, injected) for item in (array.size, array.ctypes.data)]
    population._checked(library.netml_population_restore(handle, int(state["clock"]["step"][0]), *parts))
    if len(known):
        population._checked(library.netml_population_set_current(handle, currents.ctypes.data))
    lanes = _lanes(population)
    padded = lanes.transpose(0, 2, 1).reshape(-1, lanes.shape[1])
    padded[: population.cells] = cells["state"]
    lanes[...] = padded.reshape(lanes.shape[0], LANES, -1).transpose(0, 2, 1)
    for name in ("voltage", "logit"):
        view(getattr(library, f"netml_population_{name}")(handle), np.float32, population.cells)[...] = cells[name]
    for k in range(1, len(population.rules)):
        known = state["sources"][state["sources"]["projection"] == k]
        rows = _row_states(population, k)
        mine = np.isin(sources, known["source"])
        found = known[_find(known["source"], sources[mine], "sources")]
        for name in ROW_STATE.names:
            rows[name][mine] = found[name]
    for k, (weight, eligibility) in learned.items():
        library.netml_population_write_synapses(handle, k, weight.ctypes.data, eligibility.ctypes.data)


def dtypes(population: Population) -> dict[str, np.dtype]:
    """Of a state's tables, by name."""
    return {"clock": CLOCK, "cells": _cell_dtype(population), "flights": FLIGHTS, "sources": SOURCES,
            "post_spikes": POST_SPIKES, "rewards": REWARDS, "injected": INJECTIONS, "currents": CURRENTS,
            "synapses": SYNAPSES}  # fmt: skip


def check(population: Population, state: dict[str, np.ndarray]) -> None:
    """Refuse a state that the population cannot go on from, before anything in it changes.

    Raises:
        ModelError: What is wrong.
    """
    population.freeze()
    header, tables = population.artifact.header, States(population.label, state, population.rules)
    takes_current = bool(header.get("current"))
    tables.check(dtypes(population), _clock(population)[1], header["dims"]["inputs"], takes_current)


def _learned(population, k, state, gids, sources) -> tuple[np.ndarray, np.ndarray]:
    """Weights and eligibilities in the population's own order.  Synapses alike in all else keep their order."""
    own = _named_synapses(population, k, gids, sources)
    saved = state["synapses"]
    saved = saved[(saved["projection"] == k) & np.isin(saved["gid"], gids)]
    keys = ("input", "delay", "source", "gid")
    order, saved_order = (np.lexsort([array[key] for key in keys]) for array in (own, saved))
    if own.size != saved.size or any((own[key][order] != saved[key][saved_order]).any() for key in keys):
        raise ModelError(
            f"the checkpoint of {population.label} has other synapses in projection {k} ({saved.size}) than this "
            f"network ({own.size}): it is of another network or another seed"
        )
    weight, eligibility = np.empty(own.size, np.float64), np.empty(own.size, np.float32)
    weight[order], eligibility[order] = saved["weight"][saved_order], saved["eligibility"][saved_order]
    return weight, eligibility


def _named_synapses(population, k: int, gids, sources) -> np.ndarray:
    """The synapses of a projection with STDP, in the population's own order."""
    held = population.synapses(k, now=False)
    return _filled(SYNAPSES, None, **held, gid=gids[held["cell"]], source=sources[held["row"]], projection=k)


def _clock(population) -> tuple[int, int]:
    return population.library.netml_population_clock(population.handle), round(population.dt_r_ms * TICKS_PER_MS)


def _cell_dtype(population) -> np.dtype:
    return np.dtype(
        [("gid", "i8"), ("voltage", "f4"), ("logit", "f4"), ("state", "f4", (_lanes(population).shape[1],))]
    )


def _lanes(population) -> np.ndarray:
    """The engine's own state, [blocks, state, 16]."""
    blocks = -(-population.cells // LANES)
    size = population.library.netml_population_state_size(population.handle)
    return view(population.library.netml_population_state(population.handle), np.float32, (blocks, size, LANES))


def _row_states(population, k: int) -> np.ndarray:
    count = ctypes.c_int64()
    address = population.library.netml_population_row_states(population.handle, k, ctypes.byref(count))
    return view(address, ROW_STATE, count.value)


def _handed_out(function, handle, dtype) -> np.ndarray:
    count = ctypes.c_int64()
    address = function(handle, ctypes.byref(count))
    return view(address, dtype, count.value).copy()


def _filled(dtype, like=None, /, **columns) -> np.ndarray:
    """An array of a dtype, its fields from another array's of the same names and from columns."""
    size = like.size if like is not None else max(len(c) for c in columns.values() if np.ndim(c))
    filled = np.zeros(size, dtype)
    for name in dtype.names:
        if name in columns:
            filled[name] = columns[name]
        elif like is not None and name in like.dtype.names:
            filled[name] = like[name]
    return filled


def _find(names, wanted, what: str) -> np.ndarray:
    """Where each wanted name stands.

    Raises:
        ModelError: One is missing.
    """
    order = np.argsort(names, kind="stable")
    at = np.minimum(np.searchsorted(names, wanted, sorter=order), max(len(names) - 1, 0))
    if len(wanted) and (not len(names) or (names[order[at]] != wanted).any()):
        raise ModelError(f"the checkpoint lacks some {what}: it is of another network")
    return order[at] if len(wanted) else np.empty(0, np.int64)


def _mine(array, name: str, own, dtype, index: str) -> np.ndarray:
    """What concerns this rank's names, with their index instead."""
    kept = array[np.isin(array[name], own)]
    return _filled(dtype, kept, **{index: _find(own, kept[name], name)})
