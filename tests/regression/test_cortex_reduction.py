"""The reduction that ships with models/cortex: as good as its README says, on runs that training never saw."""

import pytest

import netml
from netml.toolchain import source_folder

CORTEX = source_folder("models") / "cortex"
REDUCTION = CORTEX / "reductions" / "PYR.netml"
SEED = 90_001  # of the background; the training set has seeds from 101 on

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """48 biological seconds of the 40 cells in their network."""
    return netml.record(CORTEX, population="PYR", ranks=2, network_trials=1, protocol_trials=0, duration=1200, seed=SEED,
                        output=tmp_path_factory.mktemp("records") / "r")  # fmt: skip


def test_predicts_the_cell_in_its_network(records):
    scores = netml.validate(REDUCTION, records, split="all", kinds=["network"], physics=False)["kinds"]["network"]
    assert scores["auc"] >= 0.97
    assert abs(scores["spikes"]["rate_error"]) <= 0.20


def test_swapped_network_keeps_the_rates(tmp_path):
    """Spikes of 40 cells in 2 s are few: against two detailed runs, so that chance alone stays well below 25 %."""
    common = {"ranks": 2, "duration": 2000}
    fast = common | {"engine": "coreneuron", "build": "fast"}
    detailed = [netml.simulate(CORTEX, seed=SEED + k, output=tmp_path / f"detailed-{k}", **fast) for k in range(2)]
    swapped = [netml.simulate(CORTEX, seed=SEED + k, swap={"PYR": REDUCTION}, output=tmp_path / f"swapped-{k}", **common)
               for k in range(2)]  # fmt: skip
    for population in ("PYR", "PV"):
        spikes = [sum(len(netml.Run.open(run).spikes(population)[0]) for run in runs) for runs in (detailed, swapped)]
        assert spikes[1] == pytest.approx(spikes[0], rel=0.25), population
