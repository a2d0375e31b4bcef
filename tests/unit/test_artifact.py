"""The .netml file: round trip, and refusal of everything that is not a whole one."""

import numpy as np
import pytest

from netml.artifact import Artifact
from netml.errors import ArtifactError
from netml.reductions.kernel import Reduction
from netml.reductions.layouts import Dims, parameter_shapes

CURRENT = {"current": True, "current_range_na": [-0.2, 0.5]}
PER_CHANNEL = {"channel_input": np.int32, "channel_gain": np.float32, "channel_seen": np.int64}


def make_artifact(**changes):
    header = {
        "format": "netml-reduction", "version": 1, "reduction": "leaky_memory", "synapses": ["E", "I"],
        "cell": {"label": "PYR", "fingerprint": "0" * 64}, "sections": [["soma", 1], ["dend", 3]],
        "dims": {"inputs": 4, "traces": 6, "feedback": 2, "memory": 5, "hidden": 7}, "dt_r_ms": 1.0,
        "threshold": 0.3, "weight_range_us": {"E": [1e-4, 1e-3], "I": [1e-4, 1e-3]}, "provenance": {}, "scores": {},
    }  # fmt: skip
    arrays = {
        "params": np.linspace(-1, 1, 50, dtype=np.float32),
        "wiring": np.array([0, 0, 1, 1, 2, 3], np.int32),
        "channel_input": np.arange(8, dtype=np.int32) % 4,
        "channel_gain": np.full(8, 2e3, np.float32),
        "channel_seen": np.arange(8),
    }
    return Artifact(header | changes.pop("header", {}), arrays | changes)


def test_round_trip_and_equal_bytes(tmp_path):
    artifact = make_artifact()
    first = artifact.save(tmp_path / "a.netml").read_bytes()
    loaded = Artifact.load(tmp_path / "a.netml")
    assert loaded.header == artifact.header and loaded.synapse_sites == 8
    for name, array in artifact.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
        assert loaded.arrays[name].dtype == array.dtype
    assert loaded.save(tmp_path / "b.netml").read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.netml", "b.netml"]


def test_a_shipped_one_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "models/cortex/reductions/PYR.netml"
    assert Artifact.load(name).header["cell"]["label"] == "PYR"
    own = make_artifact().save(name)  # in the own folder: it comes first
    assert Artifact.load(name).header == Artifact.load(own.resolve()).header == make_artifact().header


def test_the_current_is_the_last_channel_and_input():
    arrays = {name: np.ones(9, dtype) for name, dtype in PER_CHANNEL.items()}
    arrays["channel_input"][:] = [*range(3), *range(3), 0, 0, 3]
    assert make_artifact(header=CURRENT, **arrays).synapse_sites == 9


def test_cut_anywhere_it_is_refused(tmp_path):
    whole = make_artifact().save(tmp_path / "a.netml").read_bytes()
    path = tmp_path / "cut.netml"
    for size in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ArtifactError, match="not a whole .netml file"):
            Artifact.load(path)


def test_flipped_bytes_are_refused_or_harmless(tmp_path):
    whole = make_artifact().save(tmp_path / "a.netml").read_bytes()
    reference = Artifact.load(tmp_path / "a.netml")
    path = tmp_path / "flip.netml"
    for place in range(0, len(whole), 53):
        damaged = bytearray(whole)
        damaged[place] ^= 0x20
        path.write_bytes(damaged)
        try:
            loaded = Artifact.load(path)
        except ArtifactError:
            continue
        for name, array in reference.arrays.items():  # a byte that carries nothing, such as a date
            np.testing.assert_array_equal(loaded.arrays[name], array)


def test_a_training_on_one_current_alone_is_one():
    arrays = {name: np.ones(9, dtype) for name, dtype in PER_CHANNEL.items()}
    arrays["channel_input"][:] = [0, 1, 2] * 2 + [0, 1, 3]
    made = make_artifact(header=CURRENT | {"current_range_na": [0.1, 0.1]}, **arrays)
    assert made.synapse_sites == 9


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"header": {"reduction": "transformer"}}, "of kind .transformer.; this netml runs leaky_memory"),
        ({"header": {"version": 2}}, "version 2"),
        ({"header": {"format": "other"}}, "format 'other'"),
        ({"params": np.array([np.nan], np.float32)}, "NaN or infinity in params"),
        ({"channel_gain": np.ones(7, np.float32)}, r"channel_gain has shape \(7,\), expected \(8,\)"),
        ({"channel_input": np.full(8, 4, np.int32)}, "outside its 4 inputs"),
        ({"header": {"dims": {}}}, "dims lack inputs"),
        ({"header": CURRENT}, r"channel_input has shape \(8,\), expected \(9,\)"),
        ({"header": {"current": True, "current_range_na": [1, -1]}}, "current_range_na is 1 to -1 nA"),
        ({"header": CURRENT, **{k: np.ones(9, t) for k, t in PER_CHANNEL.items()}}, "current shares its input"),
    ],
)
def test_misfits_are_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        make_artifact(**changes)


def test_an_artifact_that_does_not_fit_its_kind_is_not_run():
    with pytest.raises(ArtifactError, match="50 parameters.*train it again"):
        Reduction.of(make_artifact())
    with pytest.raises(ArtifactError, match="dims lack compartments.*train it again"):
        Reduction.of(make_artifact(header={"reduction": "cable"}))
    dims = Dims(2, 3, 1, 2, 2)
    params = np.zeros(sum(int(np.prod(s)) for s in parameter_shapes(dims).values()), np.float32)
    for wiring in ([0, 1, 2], [0, -1, 1], [0, 1]):
        with pytest.raises(ArtifactError, match="wiring does not fit.*train it again"):
            Reduction(dims, params, np.array(wiring), 0.0)
    assert Reduction(dims, params, np.array([0, 1, 1]), 0.0).shape.tolist() == [0, 2, 3, 1, 2, 2, 0]


def test_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ArtifactError, match="netml train"):
        Artifact.load(tmp_path / "none.netml")
    with pytest.raises(ArtifactError, match="cannot write"):
        (tmp_path / "file").write_text("")
        make_artifact().save(tmp_path / "file" / "a.netml")
