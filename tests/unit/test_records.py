"""Records: what is written is read; what is damaged is refused; steps follow their definition."""

import errno
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from surrogate import SPEC
from test_hdf5 import disk_of

from netml.circuit.cell import segment_table
from netml.errors import RecordsError
from netml.records import CellInfo, Records, RecordWriter, Trial, windows, write_index


@pytest.fixture
def cell():
    return CellInfo("PYR", "f" * 64, ("E", "I"), segment_table(SPEC), probes={"soma": ("soma", 0.5)})


def make_trial(seed, kind="network", **changes):
    rng = np.random.default_rng(seed)
    values = {
        "kind": kind,
        "gid": seed,
        "seed": 7,
        "duration_ms": 100.0,
        "event_time": np.sort(rng.uniform(0, 100, 30)),
        "event_synapse_site": rng.integers(0, 8, 30),
        "event_weight": rng.uniform(1e-4, 1e-3, 30).astype(np.float32),
        "spike_time": np.array([5.0, 50.4]),
        "voltage": {"soma": rng.normal(-70, 5, 101).astype(np.float32)},
        "current_time": np.array([10.0, 20.25]),
        "current_na": np.array([0.1, -0.2]),
    }
    return Trial(**(values | changes))


def write(folder, cell, shards):
    for rank, trials in enumerate(shards):
        with RecordWriter(folder, rank, cell) as writer:
            for trial in trials:
                writer.add(trial)
    write_index(folder, cell, {"model": "test"})
    return folder


def test_round_trip_on_any_number_of_ranks(tmp_path, cell):
    trials = [make_trial(k) for k in range(6)]
    one = Records.open(write(tmp_path / "one", cell, [trials]))
    two = Records.open(write(tmp_path / "two", cell, [trials[1::2], trials[::2]]))
    assert one.cell.segments.sections == cell.segments.sections and len(one) == len(two) == 6
    for k in range(6):
        for name in (
            "gid",
            "event_time",
            "event_synapse_site",
            "event_weight",
            "spike_time",
            "current_time",
            "current_na",
        ):
            for records in (one, two):
                np.testing.assert_array_equal(getattr(records.trial(k), name), getattr(trials[k], name))
        np.testing.assert_array_equal(two.trial(k).voltage["soma"], trials[k].voltage["soma"])
    assert one.split(3) == two.split(3)


def test_records_from_before_there_were_currents(tmp_path, cell):
    assert Records.open(write(tmp_path, cell, [[make_trial(0)]])).with_current.all()
    with h5py.File(tmp_path / "shard-0000.h5", "r+") as file:
        del file["current"]
    index = json.loads((tmp_path / "index.json").read_text())
    index["shards"][0]["bytes"] = (tmp_path / "shard-0000.h5").stat().st_size
    (tmp_path / "index.json").write_text(json.dumps(index))
    records = Records.open(tmp_path)
    assert not records.with_current.any() and records.trial(0).current_na.size == 0


def test_a_kind_of_three_trials_has_one_in_each_part(tmp_path, cell):
    write(tmp_path, cell, [[make_trial(seed) for seed in range(3)]])
    assert {name: len(trials) for name, trials in Records.open(tmp_path).split(held_out=(0.1, 0.1)).items()} == {
        "train": 1, "validation": 1, "test": 1,
    }  # fmt: skip


def test_a_spike_at_the_very_end_belongs_to_the_trial(cell):
    make_trial(0, spike_time=np.array([0.0, 100.0])).check(cell)


def test_split_gives_every_kind_its_share(tmp_path, cell):
    trials = [make_trial(k, "network") for k in range(20)] + [make_trial(k, "sparse") for k in range(10)]
    records = Records.open(write(tmp_path, cell, [trials]))
    parts = records.split()
    assert sorted(sum(parts.values(), [])) == list(range(30))
    assert {(part, kind): int((records.kinds[trials] == kind).sum()) for part, trials in parts.items()
            for kind in ("network", "sparse")} == {
        ("train", "network"): 14, ("validation", "network"): 3, ("test", "network"): 3,
        ("train", "sparse"): 6, ("validation", "sparse"): 2, ("test", "sparse"): 2,
    }  # fmt: skip


def test_a_trial_keeps_its_part_when_records_are_extended(tmp_path, cell):
    """Else what a reduction was trained on would judge it; and the shares stay what was asked for."""

    def added(rank, trials):
        earlier = [] if rank == 0 else Records.open(tmp_path).shards
        with RecordWriter(tmp_path / "new", rank, cell) as writer:
            for trial in trials:
                writer.add(trial)
        write_index(tmp_path / "new", cell, {"model": "test"}, earlier)
        for path in (tmp_path / "new").iterdir():
            path.rename(tmp_path / path.name)
        records = Records.open(tmp_path)
        named = [(records.kinds[k], records.trial(k).gid) for k in range(len(records))]
        return {named[k]: part for part, trials in records.split(3).items() for k in trials}

    parts = added(0, [make_trial(k, kind) for k in range(6) for kind in ("network", "sparse")])
    for rank, kinds in enumerate((["dense", "network"], ["sparse"], ["network"]), start=1):
        first = 6 + 7 * rank
        extended = added(rank, [make_trial(k, kind) for k in range(first, first + 7) for kind in kinds])
        assert len(extended) > len(parts) and all(extended[trial] == part for trial, part in parts.items())
        parts = extended
    for kind, size in {"network": 20, "sparse": 13, "dense": 7}.items():
        own = [part for (k, _), part in parts.items() if k == kind]
        assert len(own) == size
        assert own.count("test") == own.count("validation") == max(1, round(0.15 * size))


def test_units_and_shapes_are_in_the_file(tmp_path, cell):
    write(tmp_path, cell, [[make_trial(0)]])
    with h5py.File(tmp_path / "shard-0000.h5") as file:
        assert file["events/weight"].attrs["unit"] == "uS"
        assert file["voltage/soma"].attrs["unit"] == "mV"
        assert file["spikes/ptr"].attrs["shape"] == "(trials + 1)"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"event_weight": np.full(30, np.nan, np.float32)}, "weights hold NaN"),
        ({"voltage": {"soma": np.full(101, np.inf, np.float32)}}, "voltage soma hold NaN or infinity"),
        ({"event_time": np.linspace(100, 0, 30)}, "event times are unsorted"),
        ({"event_synapse_site": np.full(30, 8)}, "synapse sites outside 0 to 7"),
        ({"voltage": {"soma": np.zeros(100, np.float32)}}, r"expected \(101,\)"),
        ({"spike_time": np.array([101.0])}, "spike times are unsorted or outside"),
        ({"voltage": {}}, "no soma voltage"),
        ({"current_na": np.array([0.1, np.nan])}, "currents hold NaN"),
        ({"current_na": np.array([0.1])}, "2 times at which the current changes and 1 currents"),
        ({"current_time": np.array([10.0, 100.5])}, "current times are unsorted or outside"),
    ],
)
def test_a_trial_that_cannot_be_learned_from_is_refused(tmp_path, cell, changes, message):
    with pytest.raises(RecordsError, match=message), RecordWriter(tmp_path, 0, cell) as writer:
        writer.add(make_trial(0, **changes))
    assert list(tmp_path.iterdir()) == []  # the failed shard left nothing


def test_a_trial_without_a_site_of_the_cell_is_refused(tmp_path, cell):
    two = replace(cell, probes=cell.probes | {"tuft": ("dend", 0.5)})
    with RecordWriter(tmp_path, 0, two) as writer:
        with pytest.raises(RecordsError, match="lacks the voltage at tuft"):
            writer.add(make_trial(0))
        assert writer.trials == 0
        writer.add(make_trial(0, voltage=dict.fromkeys(two.probes, make_trial(0).voltage["soma"])))
        assert writer.trials == 1


def test_a_full_disk_ends_the_trial_that_it_does_not_take(tmp_path, cell):
    """Not the last one: a recording of hours would go on for nothing."""
    noise = np.random.default_rng(0).normal(-70, 5, 400_001).astype(np.float32)  # more than HDF5 keeps in memory
    taken = False
    with disk_of(100_000), pytest.raises(OSError) as told, RecordWriter(tmp_path, 0, cell) as writer:
        writer.add(make_trial(0, duration_ms=400_000.0, voltage={"soma": noise}))
        taken = True
    assert not taken and not list(tmp_path.iterdir())
    assert told.value.errno == errno.EFBIG and told.value.filename == str(tmp_path / "shard-0000.h5.partial")


def test_an_index_is_of_finished_shards(tmp_path, cell):
    with pytest.raises(RecordsError, match="holds no shard"):
        write_index(tmp_path, cell, {})
    with RecordWriter(tmp_path, 0, cell) as writer:
        writer.add(make_trial(0))
    (tmp_path / "shard-0001.h5.partial").touch()
    with pytest.raises(RecordsError, match=r"unfinished shards \(shard-0001.h5.partial\): a rank failed"):
        write_index(tmp_path, cell, {})
    assert not (tmp_path / "index.json").exists()


def test_damage_is_refused(tmp_path, cell):
    with pytest.raises(RecordsError, match="no records"):
        Records.open(tmp_path)
    folder = write(tmp_path / "r", cell, [[make_trial(k) for k in range(3)]])
    shard, index = folder / "shard-0000.h5", folder / "index.json"
    whole, text = shard.read_bytes(), index.read_text()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordsError, match="truncated"):
        Records.open(folder)
    shard.write_bytes(whole)
    index.write_text(text[:100])
    with pytest.raises(RecordsError, match="damaged"):
        Records.open(folder)
    index.write_text(json.dumps(json.loads(text) | {"version": 99}))
    with pytest.raises(RecordsError, match="version 99"):
        Records.open(folder)
    index.unlink()
    with pytest.raises(RecordsError, match="unfinished recording"):
        Records.open(folder)


def test_nan_written_behind_our_back_is_found(tmp_path, cell):
    write(tmp_path, cell, [[make_trial(k) for k in range(3)]])
    with h5py.File(tmp_path / "shard-0000.h5", "r+") as file:
        file["voltage/soma"][7] = np.nan
    index = json.loads((tmp_path / "index.json").read_text())
    index["shards"][0]["bytes"] = (tmp_path / "shard-0000.h5").stat().st_size
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(RecordsError, match="NaN"):
        Records.open(tmp_path).trial(0)


def test_too_few_trials_to_split(tmp_path, cell):
    with pytest.raises(RecordsError, match="too few"):
        Records.open(write(tmp_path, cell, [[make_trial(0)]])).split()


def test_steps():
    # Step n sees [n, n + 1) and reports spikes in [n + 0.5, n + 1.5).
    np.testing.assert_array_equal(windows.event_step([0.0, 0.999, 1.0, 1.0 - 1e-9, 7.5], 1.0), [0, 0, 1, 1, 7])
    np.testing.assert_array_equal(windows.spike_step([0.2, 0.5, 1.49, 1.5, 5.0], 1.0), [-1, 0, 0, 1, 4])
    np.testing.assert_array_equal(windows.event_step([0.6], 0.5), [1])


def test_the_current_is_one_more_channel(cell):
    """0.1 nA from 10 ms, -0.2 nA from 20.25 ms on: signed, its mean in the step in which it changes."""
    trial = make_trial(0)
    channel_input, gain = np.append(np.arange(8) % 2, 2), np.full(9, 10.0)
    x = windows.inputs(trial, channel_input, gain, 3, 1.0, takes_current=True)
    np.testing.assert_array_equal(x[:, :2], windows.inputs(trial, channel_input[:8], gain[:8], 3, 1.0)[:, :2])
    expected = np.repeat([0.0, 1.0, 1.0 * 0.25 - 2.0 * 0.75, -2.0], [10, 10, 1, 79])
    np.testing.assert_allclose(x[:, 2], expected, rtol=1e-6)
    step, synapse_site, weight = windows.events(trial, 1.0, current_synapse_site=8)
    assert (np.diff(step) >= 0).all() and (synapse_site == 8).sum() == 90 and weight[synapse_site == 8].min() < 0


def test_inputs_sum_weight_times_gain(cell):
    trial = make_trial(1, event_time=np.array([0.1, 0.2, 3.0]), event_synapse_site=np.array([0, 2, 1]),
                       event_weight=np.array([1, 2, 3], np.float32))  # fmt: skip
    x = windows.inputs(trial, np.arange(8) % 2, np.full(8, 10.0), 2, 1.0)
    assert x.shape == (100, 2) and x[0].tolist() == [30, 0] and x[3].tolist() == [0, 30] and x.sum() == 60
    v = windows.soma_voltage(trial, 1.0)
    assert v.shape == (100,) and v[0] == trial.voltage["soma"][1] and v[-1] == trial.voltage["soma"][100]
