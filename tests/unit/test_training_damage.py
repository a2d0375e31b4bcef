"""Checkpoints of a training with a field or tensor changed: one error, or a training that goes on to its end."""

import io
import json
from itertools import islice

import lif
import numpy as np
import pytest
import torch
from damage import Tally, array_mutations, byte_mutations, mutations

from netml.records import Records
from netml.training import log
from netml.training.config import TrainConfig
from netml.training.data import load_trials
from netml.training.trainer import Trainer

SMALL = {
    "compartments": 3, "branches": 2, "memory": 4, "hidden": 6, "batch_size": 16, "window_ms": 40.0, "skip_ms": 20.0,
    "validate_every": 2, "checkpoint_every": 2, "free_running_from": 0.0, "reduction": "cable",
}  # fmt: skip


@pytest.fixture
def trained(tmp_path_factory):
    """A trainer of 5 updates, and what its checkpoint held after 4."""
    folder = tmp_path_factory.mktemp("lif")
    lif.write(folder / "records", [lif.trial(seed, 300, strength=0.9) for seed in range(8)])
    path = folder / "x.checkpoint"
    config = TrainConfig.of(updates=4, **SMALL)
    first = Trainer(*load_trials(Records.open(folder / "records"), config), config, path)
    first.run()
    first.close()
    config = TrainConfig.of(updates=5, **SMALL)
    trainer = Trainer(*load_trials(Records.open(folder / "records"), config), config, path)
    yield trainer, path
    trainer.close()


def tried(trained):
    trainer, path = trained

    def use():
        trainer.checkpoint = path
        losses: list[float] = []
        trainer.save = lambda path: None
        trainer.run(lambda state: losses.append(state["loss"]))
        yield losses
        yield [trainer.threshold, trainer.update]
        yield from (tensor.numpy() for tensor in trainer.average.state_dict().values())

    return Tally(lambda: list(use()))


@pytest.mark.slow
def test_every_field_and_tensor(trained):
    tally, (_, path) = tried(trained), trained
    saved = torch.load(path, weights_only=True)
    assert saved["best"].keys() == {"score", "weights", "threshold"} and saved["optimizer"]["state"]

    def try_with(name, changed):
        buffer = io.BytesIO()
        torch.save(changed, buffer)
        path.write_bytes(buffer.getvalue())
        tally.try_one(name)

    values = (None, "text", 0, -1, 2, 10**30, 1e300, np.inf, np.nan, True, [], [1], {}, torch.zeros(3))
    random = json.loads(saved["walk"]["random"])
    # Torch takes 0.1 s to write and read a checkpoint: of a part with many alike, one change in so many.
    for name, changed in islice(mutations(random, values), 0, None, 3):
        try_with(f"random {name}", saved | {"walk": saved["walk"] | {"random": json.dumps(changed, default=str)}})
    for part, every in {"identity": 61, "walk": 2, "update": 1, "threshold": 1, "stale": 1, "history": 13,
                        "learner": 41, "average": 41, "best": 41, "optimizer": 61}.items():  # fmt: skip
        for name, changed in islice(mutations(saved[part], values, ends=1), 0, None, every):
            try_with(f"{part} {name}", saved | {part: changed})
    for part in saved:
        try_with(f"{part} removed", {name: value for name, value in saved.items() if name != part})
    for name, tensor in [*saved["average"].items()][::16]:
        for what, changed in array_mutations(tensor.numpy()):
            if changed.dtype.kind in "iufbc" and changed.dtype.isnative:
                other = saved["average"] | {name: torch.from_numpy(changed)}
                try_with(f"average {name} {what}", saved | {"average": other})
    tally.check(250)


def test_bytes(trained):
    tally, (_, path) = tried(trained), trained
    for name, changed in byte_mutations(path.read_bytes(), np.random.default_rng(4), flips=120, cuts=20):
        path.write_bytes(changed)
        tally.try_one(name)
    tally.check(120)


def test_a_log_is_read_up_to_its_first_bad_line(tmp_path):
    path = tmp_path / "x.log"
    for bad in ("[1]", "5", '{"loss": 1}', '{"update": "x"}', '{"upd', "[" * 100_000, "\ufffd"):
        path.write_text(f'{{"update": 1}}\n{bad}\n{{"update": 3}}\n')
        assert log.read(path) == [{"update": 1}]
    path.write_bytes(b'{"update": 1}\n\xff\xfe\n')
    assert log.read(path) == [{"update": 1}]
