"""Whole artifacts, all that may be wrong with one of their fields, and a run of what still opens."""

import io
import json
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import surrogate

from netml.artifact import Artifact
from netml.errors import NetmlError
from netml.population import out_of_distribution
from netml.population.ensemble import population_of
from netml.reductions import kernel
from netml.reductions.layouts import CableDims, pack, parameter_shapes

CABLE = CableDims(11, 5, 2, 1, 3, 1, 2, 2, 3, 2, 1, 2, 4, 6, site_readout=1, inactivating=1)
ABOUT = {"largest_sd_hz": 1.0, "factor": 2.0, "trials": 9, "rank_correlation": 0.5}
MISSING = object()
VALUES = (
    MISSING, None, "text", "", 7, 2.5, -1, 0, 10**9, 10**30, 1e30, np.inf, -np.inf, np.nan, True, False, [], [1, 2], {},
    {"a": 1},
)  # fmt: skip
DTYPES = ("S4", "U3", "?", "c8", "f8", "f4", "f2", "i8", "i4", "i2", "u1", "u4", ">f4", ">i4", "M8[s]", "i4,f4", "O")


def leaky() -> Artifact:
    made = surrogate.make_artifact(
        held_out_beyond={"largest": 0.1, "mean": 0.01, "trials": 9}, v_rest_mv=-70.0, spike_threshold_mv=-20.0,
        weight_range_us={"E": [1e-4, 1e-2], "I": [0.0, 0.0]},
        provenance={"dt_ms": 0.05, "training_seconds": 60.0, "config": {"split_seed": 0, "held_out": [0.1, 0.2],
                    "skip_ms": 100.0, "seed": 1}, "records": {"model": "x"}},
        scores={"parameters": 99, "validation": {"loss": 0.5, "auc": 0.9}},
    )  # fmt: skip
    return Artifact(made.header, made.arrays | {"input_limit": np.full(4, 20.0, np.float32)})


def cable(seed: int = 0) -> Artifact:
    """With a current into its soma."""
    random, dims, synapse_sites = np.random.default_rng(seed), CABLE, 11
    low = {"reversal": -80, "gate_reversal": -80, "gate_offset": 0, "v_b": -5, "v_rest": -75, "logit_b": -2}
    arrays = {name: random.normal(low.get(name, 0), 0.4, shape) for name, shape in parameter_shapes(dims).items()}
    for name in ("decay", "memory_decay", "feedback_decay", "gate_rate", "gate_rest"):
        arrays[name] = random.uniform(0.5, 0.95, arrays[name].shape)
    arrays["rise"], arrays["to_rise"] = 0.5 * arrays["decay"], np.array([0.5, 0, 0])
    for name in ("capacity", "leak", "axial", "scale", "gate_g", "to_decay"):
        arrays[name] = random.uniform(0.7, 1.5, arrays[name].shape)
    arrays["refractory"] = np.array([3.0])
    made = leaky()
    header = made.header | {
        "reduction": "cable", "dims": dims._asdict(), "current": True, "current_range_na": [-0.5, 1.0],
        "threshold": -2.0, "sections": [["soma", 1], ["dend", 4]],
    }  # fmt: skip
    return Artifact(header, {
        "params": pack(dims, arrays),
        "wiring": np.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 2, 2, 0, 2, 4, 3], np.int32),
        "channel_input": np.arange(synapse_sites, dtype=np.int32),
        "channel_gain": np.full(synapse_sites, 1.5, np.float32),
        "channel_seen": np.arange(synapse_sites), "input_limit": np.full(synapse_sites, 3e38, np.float32),
    })  # fmt: skip


def ensemble() -> Artifact:
    one = leaky()
    other = Artifact(one.header, one.arrays | {"channel_gain": one.arrays["channel_gain"] * np.float32(1.2)})
    return one.with_members([other], ABOUT)


MAKERS = {"leaky memory": leaky, "cable with a current": cable, "ensemble": ensemble}


class Change(NamedTuple):
    """One thing that is wrong: kind, what and where; the header as JSON and the .npy files as bytes."""

    kind: str
    name: str
    header: bytes
    files: dict[str, bytes]

    def write(self, path: Path) -> None:
        """As a whole ZIP file, its checksums right."""
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", self.header)
            for name, data in self.files.items():
                archive.writestr(f"{name}.npy", data)


def changes(artifact: Artifact) -> Iterator[Change]:
    """Every field of the header and every array in turn, changed in every way."""
    header, files = json.dumps(artifact.header).encode(), {name: npy(a) for name, a in artifact.arrays.items()}
    for place in places(artifact.header):
        old = at(artifact.header, place)
        near = [old + 1, old - 1, 2 * old, -old] if isinstance(old, int | float) and not isinstance(old, bool) else []
        near += [old[:-1], old + old[-1:], old[::-1]] if isinstance(old, list) else []
        for new in [*VALUES, *near]:
            name = f"{'.'.join(map(str, place))} {new!r:.40}"
            yield Change("header", name, replaced(artifact.header, place, new), files)
    for name, array in artifact.arrays.items():
        yield Change("array missing", name, header, {k: v for k, v in files.items() if k != name})
        for kind, label, new in changed_arrays(array):
            yield Change(f"array {kind}", f"{name} {label}", header, files | {name: npy(new)})


def changed_arrays(array: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    for dtype in DTYPES:
        if np.dtype(dtype) != array.dtype:
            with np.errstate(all="ignore"):
                new = np.zeros(array.shape, dtype) if "," in dtype or "M" in dtype else array.astype(dtype)
            yield "dtype", dtype, new
    for label, new in {
        "empty": array[:0], "number": array[:1].reshape(()), "column": array[:, None], "row": array[None],
        "shorter": array[:-1], "longer": np.append(array, array[-1:]), "twice": np.append(array, array),
        "backwards": array[::-1],
    }.items():  # fmt: skip
        yield "order" if label == "backwards" else "shape", label, new
    top = np.finfo(array.dtype).max if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    values = [0, 1, 2, 3, -1, 5, 100, top, -top]
    if array.dtype.kind == "f":
        values += [np.nan, np.inf, -np.inf, 1e-40, 0.999, 1.001, 1e6, 1e7, 1e20, 1e30]
    with np.errstate(all="ignore"):
        values = np.unique(np.array(values).astype(array.dtype))
    for value in values:
        yield "value", f"all {value}", np.full_like(array, value)
        for k in np.unique(np.linspace(0, array.size - 1, 12).astype(int)):
            new = array.copy()
            new[k] = value
            yield "value", f"[{k}] {value}", new


def random_changes(artifact: Artifact, count: int, seed: int) -> Iterator[Change]:
    """Random bytes of the header and of arrays, random values, several fields at once."""
    random = np.random.default_rng(seed)
    header, files = json.dumps(artifact.header).encode(), {name: npy(a) for name, a in artifact.arrays.items()}
    every = list(places(artifact.header))
    for n in range(count):
        name = list(files)[random.integers(len(files))]
        data, array = bytearray(files[name]), artifact.arrays[name].copy()
        match n % 4:
            case 0:
                for _ in range(random.integers(1, 4)):
                    data[random.integers(len(data))] = random.integers(256)
                yield Change("random bytes", f"{name} {n}", header, files | {name: bytes(data)})
            case 1:
                text = bytearray(header)
                for _ in range(random.integers(1, 3)):
                    text[random.integers(len(text))] = random.choice(list(b'0123456789-.eE"{}[],:antfulr '))
                yield Change("random bytes", f"header {n}", bytes(text), files)
            case 2:
                scale = 10.0 ** random.integers(-3, 8)
                some = random.random(array.size) < random.choice([0.05, 1.0])
                array[some] = (random.normal(0, scale, some.sum())).astype(array.dtype)
                yield Change("random values", f"{name} {n}", header, files | {name: npy(array)})
            case 3:
                changed = deepcopy(artifact.header)
                for k in random.integers(0, len(every), random.integers(2, 4)):
                    try:
                        new = VALUES[1:][random.integers(len(VALUES) - 1)]
                        changed = json.loads(replaced(changed, every[k], new))
                    except (KeyError, IndexError, TypeError):  # what was there is gone
                        continue
                yield Change("random fields", f"{n}", json.dumps(changed).encode(), files)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def places(value: Any, own: tuple = ()) -> Iterator[tuple]:
    """Where every field of a header stands, those within others too."""
    if own:
        yield own
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*own, key))


def at(header: Any, place: tuple) -> Any:
    for key in place:
        header = header[key]
    return header


def replaced(header: dict, place: tuple, new: Any) -> bytes:
    header = deepcopy(header)
    *outer, last = place
    inner = at(header, tuple(outer))
    if new is MISSING:
        del inner[last]
    else:
        inner[last] = new
    return json.dumps(header).encode()


def outcome(path: Path) -> str:
    """Open a file and run it, in the kernel and as a population: ``refused``, or ``ran``.

    Raises:
        AssertionError: A number that it gives is not finite.
    """
    try:
        artifact = Artifact.load(path)
        inputs = artifact.header["dims"]["inputs"]
        x = np.random.default_rng(1).poisson(0.3, (12, inputs, 3)).astype(np.float32)
        logit, v, _ = kernel.load().free_run(kernel.Reduction.of(artifact), x)
        numbers = [logit, v, *run(artifact)]
    except NetmlError as error:
        assert str(error)
        return "refused"
    assert all(np.isfinite(array).all() for array in numbers), "not finite"
    return "ran"


def run(artifact: Artifact) -> list[np.ndarray]:
    """Voltages, logits and rates of 18 cells with events from everywhere."""
    population, numbers, random = population_of(artifact, "X"), [], np.random.default_rng(0)
    try:
        population.add_cells(18)
        population.add_rows(3)
        current = bool(artifact.header.get("current"))
        tops = 3, 18, artifact.synapse_sites - current
        where, delay_ms = (random.integers(0, top, 60) for top in tops), random.uniform(0.2, 6, 60)
        population.add_synapses(*where, np.full(60, 2e-3), delay_ms)
        population.add_background(np.arange(tops[2]), 20.0, 1e-3)
        population.reset()
        if current:
            population.set_current(0.3)
        for step in range(20):
            population.deliver(step % 3, step * population.dt_r_ms)
            population.step()
            numbers += [population.voltage(), population.logit()]
        rates = population.rates_hz()
        gids = list(range(18))
        out_of_distribution.summary(artifact, gids, population.past_training_range().tolist())
        out_of_distribution.ensemble_summary(artifact, gids, rates.T.tolist())
        return [*numbers, rates]
    finally:
        population.close()
