"""The reductions that ship with models/cortex: as good as their README says, on runs that training never saw."""

import pytest

import netml
from netml.toolchain import source_folder

CORTEX = source_folder("models") / "cortex"
REDUCTIONS = {population: CORTEX / "reductions" / f"{population}.netml" for population in ("PYR", "PV")}
SEED = 90_001  # of the background; the training sets have seeds from 101 and 201 on

pytestmark = pytest.mark.slow


def record(population, folder):
    """48 biological seconds of PYR, or 12 of PV, in the network."""
    return netml.record(CORTEX, population=population, ranks=2, network_trials=1, protocol_trials=0, duration=1200,
                        seed=SEED, output=folder / "records")  # fmt: skip


@pytest.mark.parametrize("population", REDUCTIONS)
def test_predicts_the_cell_in_its_network(population, tmp_path):
    records = record(population, tmp_path)
    scores = netml.validate(REDUCTIONS[population], records, split="all", kinds=["network"], physics=False)
    network = scores["kinds"]["network"]
    assert network["auc"] >= 0.97
    assert abs(network["spikes"]["rate_error"]) <= 0.20


def test_swapped_network_keeps_the_rates(tmp_path):
    """Spikes of 40 cells in 2 s are few: against two detailed runs, so that chance alone stays well below 25 %."""

    def rates(label, **options):
        options |= {"ranks": 2, "duration": 2000}
        runs = [netml.simulate(CORTEX, seed=SEED + k, output=tmp_path / f"{label}-{k}", **options) for k in range(2)]
        return {p: sum(len(netml.Run.open(run).spikes(p)[0]) for run in runs) for p in REDUCTIONS}

    detailed = rates("detailed", engine="coreneuron", build="fast")
    for label, swap in {"PYR": {"PYR": REDUCTIONS["PYR"]}, "both": REDUCTIONS}.items():
        assert rates(label, reductions=swap) == pytest.approx(detailed, rel=0.25), label
