"""The exact build records the same trials on one and on two ranks, network and protocol."""

from pathlib import Path

import numpy as np
import pytest

from netml.engine.recording.record import record
from netml.records import Records

pytestmark = pytest.mark.slow

TINY = Path(__file__).resolve().parent.parent / "fixtures" / "tiny"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    return [
        Records.open(
            record(
                TINY,
                population="E",
                ranks=ranks,
                network_trials=1,
                protocol_trials=11,
                duration=200.0,
                cfg={"rate": 150.0},
                engine="neuron",
                build="exact",
                output=folder / str(ranks),
                progress=False,
            )
        )
        for ranks in (1, 2)
    ]


def test_trials_do_not_depend_on_ranks(recorded):
    one, two = recorded
    assert len(one) == len(two) == 19
    for k in range(len(one)):
        a, b = one.trial(k), two.trial(k)
        assert (a.kind, a.gid, a.seed) == (b.kind, b.gid, b.seed)
        for name in ("event_time", "event_synapse_site", "event_weight", "spike_time", "current_time", "current_na"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=f"{name} of {a.kind} {k}")
        np.testing.assert_array_equal(a.voltage["soma"], b.voltage["soma"])


def test_each_rank_wrote_its_share(recorded):
    assert sorted(path.name for path in recorded[1].folder.iterdir()) == ["index.json"] + [
        f"shard-000{k}.h5" for k in range(4)
    ]
