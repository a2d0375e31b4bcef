"""The reductions of the column's cells, free-running in its network, on a run that training never saw."""

import pytest

import netml
from netml.toolchain import source_folder

CORTEX = source_folder("models") / "cortex"
POPULATIONS = ("L23", "IT", "PT", "PV23+PV5", "SST23+SST5")
SEED = 90_001  # of the background; the training sets have seeds from 501 and 601 on

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """All cells in one run of the network."""
    return netml.record(
        CORTEX, population=POPULATIONS, ranks=2, network_trials=1, protocol_trials=0, duration=1200, seed=SEED,
        cfg={"circuit": "column"}, output=tmp_path_factory.mktemp("column") / "records",
    )  # fmt: skip


@pytest.mark.parametrize("population", POPULATIONS)
def test_predicts_the_cell_in_its_network(population, records):
    artifact = CORTEX / "reductions" / f"{population}.netml"
    scores = netml.validate(artifact, records / population, split="all", kinds=["network"], physics=False)
    network = scores["kinds"]["network"]
    assert network["auc"] >= 0.97
    assert abs(network["spikes"]["rate_error"]) <= 0.20
