"""Networks of netml.build against NetPyNE's own, rule by rule: where cells stand, who is connected, and by what.

Positions, and what follows from a pair without chance, must be NetPyNE's to the bit.  What is drawn is compared by
distribution over several seeds, all fixed: two-sample Kolmogorov-Smirnov tests of weights and distances, chi-square
tests of degrees and of sites, each at ALPHA.  With some 80 tests of correct samples one such failure is expected in 120
versions of this file; the last test shows that errors of a few per cent are found.
"""

import hybrid
import numpy as np
import pytest
from netpyne import sim
from scipy import stats

from netml.errors import ModelError
from netml.network.compile import compile_circuit
from netml.network.layout import Layout
from netml.network.random123 import uniform
from netml.network.rules import Rule

ALPHA = 1e-4
SEEDS = range(1, 5)
N_E, N_I = 40, 20


def base(**rule):
    """The hybrid network with one rule, and more sections to choose from."""
    net, cfg = hybrid.network(N_E, N_I)
    for name in ("connParams", "stimSourceParams", "stimTargetParams"):
        getattr(net, name).clear()
    secs = net.cellParams["Ecell"]["secs"]
    for k in range(4):
        secs[f"oblique{k}"] = {**secs["basal"], "geom": {**secs["basal"]["geom"], "L": 40.0 + 30 * k}}
    net.cellParams["Ecell"]["secLists"]["obliques"] = [f"oblique{k}" for k in range(4)]
    secs["apical"]["weightNorm"] = [1.0, 1.5, 2.0]
    net.popParams["E"]["ynormRange"] = [0.2, 0.9]
    net.popParams["I"]["xRange"] = [30.0, 120.0]
    net.connParams["r"] = {"preConds": {"pop": "E"}, "postConds": {"pop": "E"}, "synMech": "exc", "weight": 0.001,
                           "delay": 1.0, **rule}  # fmt: skip
    cfg.createNEURONObj = False
    cfg.addSynMechs = False
    return net, cfg


def artifacts(net):
    return {"E": hybrid.artifact(net, "Ecell"), "I": hybrid.artifact(net, "Icell")}


def ours(net, cfg, seed):
    """Columns pre, post, synapse site, weight, delay of all synapses, and the layout."""
    circuit = compile_circuit(net, artifacts(net), cfg, {"conn": seed, "stim": 1, "loc": 1})
    here = np.ones(circuit.layout.cells, bool)
    found = [s for label, params in net.connParams.items() for _, s in Rule(label, params, circuit).synapses(here)]
    return tuple(np.concatenate(column) for column in zip(*found, strict=True)), circuit


def netpyne(net, cfg, seed, circuit):
    """The same of NetPyNE's network."""
    cfg.seeds["conn"] = seed
    sim.initialize(net, cfg)
    sim.net.createPops()
    sim.net.createCells()
    sim.net.connectCells()
    rows = []
    for cell in sim.net.cells:
        kind = circuit.kinds.get(cell.tags["pop"])
        for conn in cell.conns:
            segment = kind.table.find(conn["sec"], conn["loc"])
            synapse_site = segment * len(kind.synapses) + kind.synapses.index(conn["synMech"])
            rows.append((conn["preGid"], cell.gid, synapse_site, conn["weight"], conn["delay"]))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def both(**rule):
    """All seeds' synapses of both sides, and the circuit."""
    mine, theirs = [], []
    for seed in SEEDS:
        found, circuit = ours(*base(**rule), seed)
        mine.append(found)
        theirs.append(netpyne(*base(**rule), seed, circuit))
    return mine, theirs, circuit


def same_counts(a, b):
    """Chi-square test that two samples of integers have one distribution; cells of few are put together."""
    top = int(max(a.max(), b.max())) + 1
    table = np.array([np.bincount(x.astype(int), minlength=top) for x in (a, b)])
    merged, current = [], np.zeros(2)
    for column in table.T:
        current = current + column
        if current.sum() >= 16:
            merged.append(current)
            current = np.zeros(2)
    if merged:
        merged[-1] = merged[-1] + current
    if len(merged) < 2:
        return 1.0
    return stats.chi2_contingency(np.array(merged).T).pvalue


def degrees(samples, column, cells):
    """Partners of each cell in each seed's network."""
    counts = []
    for sample in samples:
        pairs = np.unique(np.stack(sample[:2]), axis=1)[column]
        counts.append(np.bincount(pairs, minlength=60)[cells])
    return np.concatenate(counts)


def distances(samples, circuit):
    um, found = circuit.layout.um, []
    for pre, post, *_ in samples:
        pairs = np.unique(np.stack([pre, post]), axis=1)
        found.append(np.linalg.norm(um[:, pairs[0]] - um[:, pairs[1]], axis=0))
    return np.concatenate(found)


RULES = {
    "probability": {"probability": 0.25, "weight": "lognormal(0.001, 0.0000004)", "delay": "0.7 + dist_3D/propVelocity",
                    "synsPerConn": 3, "sec": "dendrites"},
    "distance": {"probability": "0.9*exp(-dist_3D/60) if dist_2D < 90 else 0.02*(pre_ynorm > post_ynorm)",
                 "weight": "0.001*normal(3, 0.25)", "delay": "uniform(0.5, 2) + dist_y/100", "sec": "obliques"},
    "random probability": {"probability": "0.2 + 0.2*uniform(0, 1)", "sec": "soma"},
    "convergence": {"convergence": 7.5, "weight": "negexp(0.002)", "sec": "apical", "synsPerConn": 4},
    "convergence by position": {"convergence": "3 + 20*post_ynorm", "sec": "basal", "loc": 0.2},
    "dense convergence": {"convergence": 33, "synMech": ["exc", "inh"], "synMechWeightFactor": [1.0, 0.3]},
    "divergence": {"divergence": 6, "delay": "0.5 + 0.1*poisson(3)", "sec": ["basal", "apical", "soma"]},
    "divergence by position": {"divergence": "2 + 0.1*pre_x", "loc": "uniform(0, 1)", "sec": "apical"},
    "between": {"postConds": {"pop": "I", "xnorm": [0.3, 0.7]}, "preConds": {"cellType": ["Ecell"], "y": [30, 100]},
                "probability": 0.4, "weight": "0.001*discunif(1, 4)"},
    "random sections": {"probability": 0.5, "distributeSynsUniformly": False, "sec": "obliques", "synsPerConn": 3,
                        "loc": [1 / 6, 1 / 2, 5 / 6]},
    "random locations": {"probability": 0.5, "distributeSynsUniformly": False, "sec": "obliques", "synsPerConn": 6},
    "sections in order": {"probability": 0.3, "distributeSynsUniformly": False, "connRandomSecFromList": False,
                          "sec": ["basal", "apical"], "synsPerConn": 2, "loc": [0.4, 0.8], "weight": [0.001, 0.003]},
    "first section": {"probability": 0.3, "connRandomSecFromList": False, "sec": "obliques", "loc": 0.7},
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_connections_are_distributed_as_netpyne_makes_them(name):
    mine, theirs, circuit = both(**RULES[name])
    a, b = ([np.concatenate(column) for column in zip(*samples, strict=True)] for samples in (mine, theirs))
    post_pop = RULES[name].get("postConds", {"pop": "E"})["pop"]
    everyone = {label: np.asarray(p.gids) for label, p in circuit.layout.populations.items()}
    assert not (a[0] == a[1]).any() and not (b[0] == b[1]).any()
    p = {
        "in-degree": same_counts(*(degrees(s, 1, everyone[post_pop]) for s in (mine, theirs))),
        "out-degree": same_counts(*(degrees(s, 0, everyone["E"]) for s in (mine, theirs))),
        "channel": same_counts(a[2], b[2]),
        "distance": stats.ks_2samp(distances(mine, circuit), distances(theirs, circuit)).pvalue,
    }
    each = [first_of_pairs(sample) for sample in (a, b)]  # what a pair shares is one draw
    for column, value in ((3, "weight"), (4, "delay")):
        p[value] = stats.ks_2samp(each[0][column], each[1][column]).pvalue
    assert min(p.values()) > ALPHA, p
    if not any(isinstance(v, str) for v in (RULES[name].get("weight"), RULES[name].get("delay"))):
        # Which synapse site has which weight and delay.
        joint = [np.unique(np.round(np.stack(sample[2:]), 9), axis=1) for sample in (a, b)]
        np.testing.assert_array_equal(*joint)


def first_of_pairs(sample):
    _, first = np.unique(np.stack(sample[:2]), axis=1, return_index=True)
    return [column[first] for column in sample]


@pytest.mark.parametrize("rule", [
    {"weight": "0.001*(1 + dist_xnorm*post_y/sizeY)", "delay": "0.5 + dist_2D/propVelocity + pre_znorm",
     "synsPerConn": 2, "sec": "dendrites"},
    {"synMech": ["exc", "inh"], "weight": [0.001, 0.002], "delay": [1.0, 2.0], "loc": [[0.1, 0.9], [0.2, 0.6]],
     "synsPerConn": 2, "sec": "apical"},
])  # fmt: skip
def test_deterministic_parts_are_equal(rule):
    """Where nothing is drawn, every synapse is NetPyNE's own: full connections, functions of distance."""
    rule = {**rule, "postConds": {"pop": "E", "ynorm": [0.3, 0.6]}}
    mine, circuit = ours(*base(**rule), 1)
    theirs = netpyne(*base(**rule), 1, circuit)
    order = [np.lexsort(np.round(sample[::-1], 12)) for sample in (mine, theirs)]
    assert len(mine[0]) == len(theirs[0]) > 1000
    for x, y in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(x[order[0]], y[order[1]], rtol=1e-12)


def test_a_connection_list_is_equal():
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, (N_E, N_I), (200, 2))
    rule = {"postConds": {"pop": "I"}, "connList": pairs.tolist(), "weight": rng.uniform(0.001, 0.002, 200).tolist(),
            "delay": rng.uniform(1, 2, 200).tolist(), "loc": rng.uniform(0, 1, 200).tolist(),
            "sec": rng.choice(["soma", "dend"], 200).tolist()}  # fmt: skip
    mine, circuit = ours(*base(**rule), 1)
    theirs = netpyne(*base(**rule), 1, circuit)
    assert len(mine[0]) == 200
    order = [np.lexsort(sample[::-1]) for sample in (mine, theirs)]
    for x, y in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(x[order[0]], y[order[1]])


@pytest.mark.parametrize("probability", [0.3, "0.9*exp(-dist_3D/60)"])
def test_rules_of_the_same_cells_choose_the_same_pairs(probability):
    """As NetPyNE's do; models/cortex puts two kinds of contact on one pair that way."""
    net, cfg = base(probability=probability, weight="lognormal(0.001, 0.0000004)")
    net.connParams["again"] = {**net.connParams["r"], "sec": "apical", "loc": 0.1}  # where the weightNorm is 2
    for sample in (ours(net, cfg, 3)[0], netpyne(net, cfg, 3, ours(net, cfg, 3)[1])):
        pairs, counts = np.unique(np.stack(sample[:2]), axis=1, return_counts=True)
        assert (counts == 2).all() and pairs.shape[1] > 300
        order = np.lexsort((sample[3], sample[1], sample[0]))
        weights = sample[3][order].reshape(-1, 2)
        np.testing.assert_allclose(weights[:, 1], 2 * weights[:, 0], rtol=1e-12)


@pytest.mark.parametrize("ids", [(1, 2, 3), (0, 0, 0), (12345, 2**32 - 1, 7), (99, 3, 2**31)])
def test_streams_are_those_of_neuron(ids):
    """To the bit, for any number of them."""
    from neuron import h

    for count in (0, 1, 3, 4, 5, 1001):
        random = h.Random()
        random.Random123(*ids)
        random.uniform(0, 1)
        expected = np.array(h.Vector(count).setrand(random)) if count else np.empty(0)
        np.testing.assert_array_equal(uniform(count, *ids), expected)
    with pytest.raises(ModelError, match="id .seed, gid or count. -1; expected 0 to 2.32 - 1"):
        uniform(3, 1, 2, -1)


@pytest.mark.parametrize("change", [
    {}, {"shape": "cylinder"}, {"shape": "ellipsoid"}, {"scale": 0.5}, {"sizeY": 400.0},
])  # fmt: skip
def test_cells_stand_where_netpyne_puts_them(change):
    net, cfg = base(probability=0.0)
    for name, value in change.items():
        setattr(net, name, value)
    net.popParams["D"] = {"cellType": "Icell", "density": 9000, "xnormRange": [0.1, 0.8], "zRange": [10, 90]}
    net.popParams["G"] = {"cellType": "Icell", "gridSpacing": [50, 70, 60], "yRange": [0, 120]}
    net.popParams["L"] = {"cellType": "Icell", "cellsList": [{"x": 3.0, "ynorm": 0.5}, {"z": 9.0}]}
    cfg.seeds["loc"] = 5
    layout = Layout(net, 5)
    sim.initialize(net, cfg)
    sim.net.createPops()
    sim.net.createCells()
    assert len(sim.net.cells) == sum(len(p) for p in layout.populations.values()) > 60
    for cell in sim.net.cells:
        assert cell.gid in layout.populations[cell.tags["pop"]].gids
        for i, axis in enumerate("xyz"):
            assert layout.um[i][cell.gid] == pytest.approx(cell.tags[axis], rel=1e-12, abs=1e-12)
            assert layout.norm[i][cell.gid] == pytest.approx(cell.tags[f"{axis}norm"], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("call, samples", [
    ("uniform(2, 5)", None), ("normal(3, 4)", None), ("lognormal(2, 3)", None), ("negexp(1.5)", None),
    ("weibull(2, 3)", None), ("erlang(4, 5.3333333333)", None),
    ("poisson(3.2)", "integers"), ("discunif(2, 6)", "integers"),
    ("binomial(12, 0.3)", "integers"),
])  # fmt: skip
def test_distributions_are_those_of_neuron(call, samples):
    from neuron import h

    from netml.network.draws import DISTRIBUTIONS, Draws, draw, key, keys

    name, arguments = call[:-1].split("(")
    arguments = [float(a) for a in arguments.split(",")]
    assert name in DISTRIBUTIONS
    mine = draw(name, arguments, Draws(keys(key("test"), np.arange(20000))))
    random = h.Random()
    random.Random123(1, 2, 3)
    getattr(random, name)(*arguments)
    theirs = np.array(h.Vector(20000).setrand(random))
    p = same_counts(mine, theirs) if samples else stats.ks_2samp(mine, theirs).pvalue
    assert p > ALPHA, (mine[:5], theirs[:5])


def test_small_errors_are_found():
    """The tests above have the power they need: other numbers fail them."""
    mine, theirs, circuit = both(probability=0.25, weight="lognormal(0.001, 0.0000004)")
    wrong = [ours(*base(probability=0.3, weight="lognormal(0.0011, 0.0000004)"), seed)[0] for seed in SEEDS]
    cells = np.arange(N_E)
    assert same_counts(degrees(wrong, 1, cells), degrees(theirs, 1, cells)) < ALPHA
    assert stats.ks_2samp(np.concatenate([s[3] for s in wrong]), np.concatenate([s[3] for s in theirs])).pvalue < ALPHA
    assert same_counts(degrees(mine, 1, cells), degrees(theirs, 1, cells)) > ALPHA
