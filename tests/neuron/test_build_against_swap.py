"""One network of reduced cells, made and run by NetPyNE with netml.swap, and by netml.build: the same activity."""

import numpy as np
import stepped
from netpyne import sim
from scipy import stats

import netml

SEEDS = range(1, 7)
DURATION_MS = 150.0


def network(seed: int):
    """Drawn anew with each seed: positions and sources are not, connections and background are."""
    net, cfg, _ = stepped.network()
    del net.popParams["V"], net.connParams["V->I"]
    net.connParams["E->E"]["delay"] = "0.7 + dist_3D / propVelocity"  # NetPyNE wants a time step at least
    for k in range(3):
        net.stimSourceParams[f"bg{k}"]["seed"] = 100 * seed + k
    net.popParams["S"]["seed"] = 100 * seed + 7
    cfg.seeds["conn"] = seed
    cfg.duration = DURATION_MS
    cfg.recordTraces = {}
    return net, cfg


def counts(times: np.ndarray, cells: np.ndarray, size: int, first_ms: float = 20.0) -> np.ndarray:
    """Spikes of each cell after the beginning."""
    return np.bincount(cells[times > first_ms], minlength=size)


def swapped(seed: int, reductions) -> dict[str, np.ndarray]:
    net, cfg = network(seed)
    sim.createSimulate(netml.swap(net, reductions), cfg)
    times, gids = (np.array(sim.simData[name]) for name in ("spkt", "spkid"))
    found = {}
    for label, size in (("E", 30), ("I", 10), ("S", 4)):
        members = np.array(sim.net.pops[label].cellGids)
        inside = np.isin(gids, members)
        found[label] = counts(times[inside], (gids[inside] - members.min()).astype(int), size)
    sim.clearAll()
    return found


def built(seed: int, reductions) -> dict[str, np.ndarray]:
    net, cfg = network(seed)
    with netml.build(net, reductions, cfg) as simulation:
        simulation.advance(DURATION_MS)
        return {label: counts(*found, simulation.populations[label]) for label, found in simulation.spikes().items()}


def test_the_same_activity(tmp_path):
    reductions = stepped.save(stepped.network()[2], tmp_path)
    theirs = [swapped(seed, reductions) for seed in SEEDS]
    mine = [built(seed, reductions) for seed in SEEDS]
    for label in ("E", "I", "S"):
        a, b = ([np.asarray(one[label]) for one in side] for side in (mine, theirs))
        assert np.mean(a) > 2
        # Cells of one network are not independent, so the means of the networks are compared, and the cells' spread.
        assert stats.ttest_ind([x.mean() for x in a], [x.mean() for x in b]).pvalue > 1e-3, label
        assert stats.ks_2samp(np.concatenate(a), np.concatenate(b)).pvalue > 1e-4, label
        assert abs(np.mean(a) / np.mean(b) - 1) < 0.15, label
