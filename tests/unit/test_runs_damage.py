"""Runs of which a field or array was changed: one error, or spikes, rates and a comparison of finite numbers."""

import json
import shutil

import h5py
import numpy as np
import pytest
from damage import Tally, array_mutations, byte_mutations, mutations

from netml.runs import Run, write_run
from netml.validation import network
from netml.validation.speed import speed

METADATA = {
    "model": "cortex", "seed": 1, "duration_ms": 400.0, "dt_ms": 0.05, "engine": "neuron", "build": "exact", "ranks": 2,
    "swap": {"PYR": {"artifact": "x.netml", "fraction": 1.0}}, "wall": {"setup_s": 1.0, "build_s": 1.0, "run_s": 2.0},
    "versions": {"neuron": "9.0"}, "mechanisms": "abc", "circuit": "def",
    "populations": {"PYR": {"size": 3, "gids": [0, 1, 2], "cell_model": "PYR", "reduced": 3}, "PV": {"size": 1}},
    "reduced": {"PYR": {
        "reduced": 3, "saturated": 1, "late": 0.0,
        "beyond": {"distrusted": 1, "held_out": 0.1, "worst": [[2, 0.4]]},
        "ensemble": {"distrusted": 1, "members": 3, "worst": [[2, 5.0, 1.0]]},
    }},
}  # fmt: skip


@pytest.fixture
def whole(tmp_path):
    random = np.random.default_rng(0)
    spikes = {"PYR": (random.uniform(0, 400, 60), random.integers(0, 3, 60)), "PV": (np.array([7.0]), np.array([0]))}
    traces = {"V_soma": (np.array([0, 3]), 0.0, 0.1, np.arange(8.0).reshape(2, 4))}
    return write_run(tmp_path / "whole", METADATA, spikes, traces)


def use(folder):
    run = Run.open(folder)
    yield run.duration_ms
    for name, about in run.populations.items():
        times, nodes = run.spikes(name)
        yield from (times, nodes, np.bincount(nodes, minlength=about["size"]))
    for gids, start, step, values in run.traces.values():
        yield from (gids, start, step, values)
    window = network.window([run], None)
    for one in network.statistics(run, *window).values():
        yield one.rates_hz
    assert all(isinstance(line, str) for line in network.warnings(run, run, [run]))
    yield [value for value in speed(run.metadata, run.metadata | {"swap": {}}).values() if isinstance(value, float)]


def tried(whole, name):
    """A way to change one of the run's files and try it."""
    path, copy, tally = whole / name, whole.parent / name, Tally(lambda: list(use(whole)))
    shutil.copy(path, copy)

    def try_with(what, change):
        shutil.copy(copy, path)
        with h5py.File(path, "r+") as file:
            change(file)
        tally.try_one(what)

    return try_with, tally, copy


@pytest.mark.slow
def test_every_field_of_the_metadata(whole):
    try_with, tally, _ = tried(whole, "run.h5")
    for name, changed in mutations(METADATA, ends=1):
        text = json.dumps(changed)
        try_with(name, lambda file, text=text: file.attrs.__setitem__("metadata", text))
    tally.check(1200)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.h5", "spikes.h5"])
def test_every_attribute_and_dataset(whole, name):
    try_with, tally, copy = tried(whole, name)
    with h5py.File(copy) as file:
        names: list[str] = []
        file.visit(names.append)
        arrays = {n: file[n][:] for n in names if isinstance(file[n], h5py.Dataset)}
        attributes = [(n, key, file[n].attrs[key]) for n in ["/", *names] for key in file[n].attrs]
    for n in names:
        try_with(f"{n} removed", lambda file, n=n: file.pop(n))
        try_with(f"{n} renamed", lambda file, n=n: file.move(n, "other"))
    for n, array in arrays.items():
        for what, changed in array_mutations(array):
            try_with(f"{n} {what}", lambda file, n=n, changed=changed: replace(file, n, changed))
    for n, key, value in attributes:
        try_with(f"{n}.{key} removed", lambda file, n=n, key=key: file[n].attrs.pop(key))
        values = [value] if isinstance(value, str) else []
        for new in ["text", b"\xff", 1.5, np.nan, -1, [1, 2], *values, *(c for _, c in array_mutations(np.arange(2)))]:
            if getattr(new, "dtype", np.dtype("f8")).kind == "U":
                continue  # HDF5 has no such type
            try_with(
                f"{n}.{key} = {new!r:.40}", lambda file, n=n, key=key, new=new: file[n].attrs.__setitem__(key, new)
            )
    tally.check(150)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run.h5", "spikes.h5"])
def test_bytes(whole, name):
    path = whole / name
    data, tally = path.read_bytes(), Tally(lambda: list(use(whole)))
    for what, changed in byte_mutations(data, np.random.default_rng(2), flips=250, cuts=50):
        path.write_bytes(changed)
        tally.try_one(what)
    tally.check(300)


def replace(file, name, array):
    attributes = dict(file[name].attrs)
    del file[name]
    if array.dtype.kind == "U":
        array = array.astype(object)
    data = file.create_dataset(name, data=array, dtype=h5py.string_dtype() if array.dtype.kind == "O" else None)
    data.attrs.update(attributes)
