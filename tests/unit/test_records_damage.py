"""Records whose index or shard was changed: one error, or trials of finite numbers."""

import json
import shutil

import h5py
import numpy as np
import pytest
from damage import Tally, array_mutations, byte_mutations, mutations
from surrogate import CELL

from netml import keys
from netml.circuit.cell import segment_table
from netml.records import CellInfo, Records, RecordWriter, Trial, windows, write_index
from netml.reductions.branches import electrotonic_distance
from netml.reductions.receptors import decay_times, receptors_of


def make_trial(seed: int) -> Trial:
    random = np.random.default_rng(seed)
    return Trial(
        kind=("network", "dense")[seed % 2], gid=seed, seed=7, duration_ms=40.0,
        event_time=np.sort(random.uniform(0, 40, 12)), event_synapse_site=random.integers(0, CELL.synapse_sites, 12),
        event_weight=random.uniform(1e-4, 1e-3, 12).astype(np.float32), spike_time=np.array([5.0, 20.4]),
        voltage={"soma": random.normal(-70, 5, 41).astype(np.float32), "far": random.normal(-70, 5, 41)},
        current_time=np.array([10.0, 20.25]), current_na=np.array([0.1, -0.2]),
    )  # fmt: skip


@pytest.fixture
def whole(tmp_path):
    spec = {"secs": {"soma": {"geom": {"L": 20, "diam": 20, "nseg": 1}},
                     "dend": {"geom": {"L": 90, "diam": 2, "nseg": 3}, "topol": {"parentSec": "soma"}}}}  # fmt: skip
    mechanisms = {"E": {"mod": "Exp2Syn", "tau1": 0.3, "tau2": 3.0, "e": 0.0}, "I": {"mod": "x", "tau_d": 8.0}}
    sites = {"soma": ("soma", 0.5), "far": ("dend", 0.9)}
    cell = CellInfo("PYR", "f" * 64, ("E", "I"), segment_table(spec), mechanisms, sites, 0.05)
    folder = tmp_path / "whole"
    with RecordWriter(folder, 0, cell) as writer:
        for seed in range(2):
            writer.add(make_trial(seed))
    write_index(folder, cell, {"model": "test"})
    return folder


def use(folder):
    """Open, read every trial, and make what training makes of it."""
    records = Records.open(folder)
    table, synapses, mechanisms = records.cell.segments, records.cell.synapses, records.cell.syn_mech_params
    yield [records.durations_ms.sum(), records.spike_counts.sum(), records.cell.dt_ms, records.cell.spike_threshold_mv]
    yield from (electrotonic_distance(table), table.path_um, table.find(table.sections[0][0], 0.5))
    yield [value for one in receptors_of(synapses, mechanisms) for value in (one.decay_ms, one.peak, one.reversal_mv)]
    yield [1 / decay for label in synapses for decay in decay_times(label, mechanisms.get(label, {}))]
    for k in range(len(records)):
        trial = records.trial(k)
        yield from windows.events(trial, 1.0, records.cell.synapse_sites)
        yield from (windows.spike_train(trial, 1.0), windows.current(trial, 1.0))
        yield from (windows.voltage(trial, site, 1.0) for site in records.cell.probes)
        yield np.bincount(trial.event_synapse_site, minlength=records.cell.synapse_sites)


@pytest.mark.slow
def test_every_field_of_the_index(whole):
    path = whole / "index.json"
    index, tally = json.loads(path.read_text()), Tally(lambda: list(use(whole)))
    for name, changed in mutations(index, ends=1):
        path.write_text(json.dumps(changed))
        tally.try_one(name)
    for name, text in byte_mutations(json.dumps(index).encode(), np.random.default_rng(0), flips=200, cuts=40):
        path.write_bytes(text)
        tally.try_one(name)
    tally.check(1500)


@pytest.mark.slow
def test_every_dataset_of_a_shard(whole):
    path, copy = whole / "shard-0000.h5", whole.parent / "copy.h5"
    shutil.copy(path, copy)
    tally = Tally(lambda: list(use(whole)))

    def try_with(name, change):
        shutil.copy(copy, path)
        with h5py.File(path, "r+") as file:
            change(file)
        sized(whole, path)
        tally.try_one(name)

    with h5py.File(copy) as file:
        names: list[str] = []
        file.visit(names.append)
        arrays = {name: file[name][:] for name in names if isinstance(file[name], h5py.Dataset)}
    assert len(arrays) == len(keys.RECORDS) + 1
    for name in names:
        try_with(f"{name} removed", lambda file, name=name: file.pop(name))
    for name, array in arrays.items():
        try_with(f"{name} a group", lambda file, name=name: (file.pop(name), file.create_group(name)))
        if array.dtype.kind == "O":
            texts = [["", "x"], [b"\xff", "y"], ["dense"] * 3, ["dense"], [["dense"] * 2]]
            changes = [(str(text), np.array(text, object)) for text in texts] + list(array_mutations(np.arange(2)))
        else:
            changes = list(array_mutations(array))
        for what, changed in changes:
            try_with(f"{name} {what}", lambda file, name=name, changed=changed: replace(file, name, changed))
    tally.check(800)


@pytest.mark.slow
def test_bytes_of_a_shard(whole):
    path = whole / "shard-0000.h5"
    data, tally = path.read_bytes(), Tally(lambda: list(use(whole)))
    for name, changed in byte_mutations(data, np.random.default_rng(1), flips=300, cuts=60):
        path.write_bytes(changed)
        sized(whole, path)
        tally.try_one(name)
    tally.check(300)


def replace(file, name, array):
    del file[name]
    if array.dtype.kind == "U":
        array = array.astype(object)
    file.create_dataset(name, data=array, dtype=h5py.string_dtype() if array.dtype.kind == "O" else None)


def sized(folder, shard):
    """Let the index say how long the shard is."""
    path = folder / "index.json"
    index = json.loads(path.read_text())
    for one in index["shards"]:
        if one["file"] == shard.name:
            one["bytes"] = shard.stat().st_size
    path.write_text(json.dumps(index))
