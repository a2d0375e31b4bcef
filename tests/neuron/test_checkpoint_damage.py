"""Checkpoints of which a field or array was changed: one error, or a network that steps on with finite voltages."""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("fixtures", "unit")]

import stepped  # noqa: E402
from damage import Tally, array_mutations, byte_mutations, mutations  # noqa: E402


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with the reductions, and the members of a checkpoint with something in every table."""
    folder = tmp_path_factory.mktemp("checkpoint")
    stepped.save(stepped.network()[2], folder)
    with stepped.build(folder) as simulation:
        simulation.inject("E", [0, 5], [70.0, 31.0], sec="soma", synMech="exc", weight=0.002)
        simulation.inject("V", 0, 90.0)
        simulation.advance(20)
        simulation.set_reward(0.5)
        simulation.advance(10)
        for label, reduced in simulation._network.reduced.items():
            reduced.population.inject([0, 1], [0, 1], [0.001, 0.001], [simulation.t + 3, simulation.t + 4])
            assert label in ("E", "I")
        simulation.save(folder / "a.checkpoint")
    with zipfile.ZipFile(folder / "a.checkpoint") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    tables = {n: np.load(io.BytesIO(data)) for n, data in members.items() if n.endswith(".npy")}
    for name in ("flights", "sources", "post_spikes", "rewards", "injected", "synapses", "cells", "clock"):
        assert len(tables[f"0/population/E/{name}.npy"]), f"{name} is empty"
    return folder, members, tables


@pytest.fixture
def tried(saved):
    """A network, and a way to restore a changed checkpoint into it and to go on."""
    folder, members, _ = saved
    path = folder / "changed.checkpoint"
    with stepped.build(folder) as simulation:

        def use():
            simulation._now = simulation._origin = 0
            simulation._pending = []
            simulation.restore(path)
            for reduced in simulation._network.reduced.values():
                for _ in range(3):
                    reduced.population.step()
                yield from (reduced.population.voltage(), reduced.population.logit())
                yield [one["weight"].sum() for one in (reduced.population.synapses(k) for k in range(3))]

        def write(**changed):
            with zipfile.ZipFile(path, "w") as archive:
                for name, data in (members | changed).items():
                    if data is not None:
                        archive.writestr(name, data)
            return path

        write()
        yield write, Tally(lambda: list(use()))


def test_every_field_of_the_header(saved, tried):
    header = json.loads(saved[1]["header.json"])
    write, tally = tried
    for name, changed in mutations(header, ends=1):
        write(**{"header.json": json.dumps(changed)})
        tally.try_one(name)
    tally.check(250)


@pytest.mark.slow
def test_every_table(saved, tried):
    _, _, tables = saved
    write, tally = tried
    for member, table in tables.items():
        if "population/I/" in member:
            continue  # as E's
        write(**{member: None})
        tally.try_one(f"{member} removed")
        for name, changed in array_mutations(table):
            buffer = io.BytesIO()
            np.save(buffer, changed, allow_pickle=False)
            write(**{member: buffer.getvalue()})
            tally.try_one(f"{member} {name}")
    tally.check(1500)


def test_bytes(saved, tried):
    write, tally = tried
    path = write()
    for name, changed in byte_mutations(path.read_bytes(), np.random.default_rng(3), flips=200, cuts=40):
        path.write_bytes(changed)
        tally.try_one(name)
    tally.check(200)
