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

import numpy as np

from netml.errors import ModelError
from netml.population.c_interface import FLIGHT, INJECTED, NEVER, POST_SPIKE, REWARD, ROW_STATE
from netml.population.handle import PopulationHandle
from netml.population.state_checks import States
from netml.reductions.kernel import LANES

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


def save(handle: PopulationHandle, label: str, gids: np.ndarray, sources: np.ndarray) -> dict[str, np.ndarray]:
    """The state of this rank's cells, after whole steps.

    Args:
        handle: The population.
        label: For messages.
        gids: (cells) int64, names of the cells.
        sources: (rows) int64, names of the rows.

    Raises:
        ModelError: Two cells or rows share a name.
    """
    if np.unique(gids).size < gids.size or np.unique(sources).size < sources.size:
        raise ModelError(
            f"cells or sources of reduced {label} share a name; a checkpoint needs one each: give gids to "
            "add_cells and sources to add_rows"
        )
    flights, posts, injected, currents = handle.flights(), handle.post_spikes(), handle.injected(), handle.currents()
    cells = np.empty(handle.cells, _cell_dtype(handle))
    cells["gid"], cells["voltage"], cells["logit"] = gids, handle.voltage(), handle.logit()
    cells["state"] = cell_states(handle, np.arange(handle.cells))
    plastic = range(1, len(handle.learns))
    states = [_filled(SOURCES, handle.row_states(k), source=sources, projection=k) for k in plastic]
    states = [state[state["last"] != NEVER] for state in states]
    synapses = [_named_synapses(handle, k, gids, sources) for k in plastic if handle.learns[k]]
    return merge([{
        "clock": np.array([(handle.clock(), handle.step_ticks)], CLOCK),
        "cells": cells,
        "flights": _filled(FLIGHTS, flights, source=sources[flights["row"]]),
        "sources": np.concatenate([np.empty(0, SOURCES), *states]),
        "post_spikes": _filled(POST_SPIKES, posts, gid=gids[posts["cell"]]),
        "rewards": _filled(REWARDS, handle.rewards()),
        "injected": _filled(INJECTIONS, injected, gid=gids[injected["cell"]]),
        "currents": _filled(CURRENTS, gid=gids[: currents.size], amount=currents),
        "synapses": np.concatenate([np.empty(0, SYNAPSES), *synapses]),
    }])  # fmt: skip


def cell_states(handle: PopulationHandle, cells: np.ndarray) -> np.ndarray:
    """(cells, numbers) float32: the reduction's state of some cells, by their indices."""
    block, lane = np.divmod(cells, LANES)
    return handle.state()[block, :, lane]


def merge(states: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One state from those of several ranks."""
    merged = {name: np.concatenate([state[name] for state in states]) for name in states[0]}
    return {name: np.unique(array) if name in SAME_EVERYWHERE else array for name, array in merged.items()}


def restore(
    handle: PopulationHandle, label: str, gids: np.ndarray, sources: np.ndarray, state: dict[str, np.ndarray]
) -> None:
    """Put this rank's part of a state into a population of the same network.

    Args:
        handle: The population, in use.
        label: For messages.
        gids: (cells) int64, names of the cells.
        sources: (rows) int64, names of the rows.
        state: Of this rank, or merged from several.

    Raises:
        ModelError: Cells, sources or synapses are not those of the state, or a number is out of its range.
    """
    check(handle, label, state)
    cells = state["cells"][_find(state["cells"]["gid"], gids, f"cells of {label}")]
    flights = _mine(state["flights"], "source", sources, FLIGHT, "row")
    posts = _mine(state["post_spikes"], "gid", gids, POST_SPIKE, "cell")
    posts = posts[np.argsort(posts["tick"], kind="stable")]
    rewards = _filled(REWARD, state["rewards"])
    injected = _mine(state["injected"], "gid", gids, INJECTED, "cell")
    currents = np.zeros(len(gids), np.float32)
    known = state["currents"][np.isin(state["currents"]["gid"], gids)]
    currents[_find(gids, known["gid"], f"cells of {label}")] = known["amount"]
    learned = {k: _learned(handle, label, k, state, gids, sources) for k, one in enumerate(handle.learns) if one}

    handle.restore(int(state["clock"]["step"][0]), flights, posts, rewards, injected)
    if len(known):
        handle.set_current(currents)
    lanes = handle.state()
    padded = lanes.transpose(0, 2, 1).reshape(-1, lanes.shape[1])
    padded[: handle.cells] = cells["state"]
    lanes[...] = padded.reshape(lanes.shape[0], LANES, -1).transpose(0, 2, 1)
    handle.voltage()[...], handle.logit()[...] = cells["voltage"], cells["logit"]
    for k in range(1, len(handle.learns)):
        known = state["sources"][state["sources"]["projection"] == k]
        rows = handle.row_states(k)
        mine = np.isin(sources, known["source"])
        found = known[_find(known["source"], sources[mine], "sources")]
        for name in ROW_STATE.names or ():
            rows[name][mine] = found[name]
    for k, (weight, eligibility) in learned.items():
        handle.write_synapses(k, weight, eligibility)


def dtypes(handle: PopulationHandle) -> dict[str, np.dtype]:
    """Of a state's tables, by name."""
    return {"clock": CLOCK, "cells": _cell_dtype(handle), "flights": FLIGHTS, "sources": SOURCES,
            "post_spikes": POST_SPIKES, "rewards": REWARDS, "injected": INJECTIONS, "currents": CURRENTS,
            "synapses": SYNAPSES}  # fmt: skip


def check(handle: PopulationHandle, label: str, state: dict[str, np.ndarray]) -> None:
    """Refuse a state that a population cannot go on from, before anything in it changes.

    Raises:
        ModelError: What is wrong.
    """
    tables = States(label, state, handle.rules)
    tables.check(dtypes(handle), handle.step_ticks, handle.inputs, handle.takes_current)


def _learned(handle: PopulationHandle, label: str, k: int, state, gids, sources) -> tuple[np.ndarray, np.ndarray]:
    """Weights and eligibilities in the population's own order.  Synapses alike in all else keep their order."""
    own = _named_synapses(handle, k, gids, sources)
    saved = state["synapses"]
    saved = saved[(saved["projection"] == k) & np.isin(saved["gid"], gids)]
    keys = ("input", "delay", "source", "gid")
    order, saved_order = (np.lexsort([array[key] for key in keys]) for array in (own, saved))
    if own.size != saved.size or any((own[key][order] != saved[key][saved_order]).any() for key in keys):
        raise ModelError(
            f"the checkpoint of {label} has other synapses in projection {k} ({saved.size}) than this "
            f"network ({own.size}): it is of another network or another seed"
        )
    weight, eligibility = np.empty(own.size, np.float64), np.empty(own.size, np.float32)
    weight[order], eligibility[order] = saved["weight"][saved_order], saved["eligibility"][saved_order]
    return weight, eligibility


def _named_synapses(handle: PopulationHandle, k: int, gids, sources) -> np.ndarray:
    """The synapses of a projection with STDP, in the population's own order."""
    held = handle.synapses(k, now=False)
    return _filled(SYNAPSES, None, **held, gid=gids[held["cell"]], source=sources[held["row"]], projection=k)


def _cell_dtype(handle: PopulationHandle) -> np.dtype:
    numbers = handle.state().shape[1]
    return np.dtype([("gid", "i8"), ("voltage", "f4"), ("logit", "f4"), ("state", "f4", (numbers,))])


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
