"""Plasticity of single pairs in the engine against small NEURON mechanisms of their own (tests/fixtures/plasticity)."""

from pathlib import Path

import numpy as np
import pytest
from test_population import random_model

from netml.engine.mechanisms.build import build_mechanisms, load_mechanisms
from netml.population.plasticity import RewardStdp, ShortTerm
from netml.population.population import ReducedPopulation

TESTS = Path(__file__).resolve().parent.parent
STEPS = 400
FLOAT32 = 3e-6  # weight and eligibility of a synapse are kept in float32


@pytest.fixture(scope="module")
def h():
    from neuron import h

    load_mechanisms(h, build_mechanisms([TESTS / "fixtures" / "plasticity"]))
    return h


def play(h, target, times, *weights):
    """A VecStim's part by NetCon.event: events of given weights at given times."""
    netcon = h.NetCon(None, target)
    netcon.delay = 0
    for k, weight in enumerate(weights):
        netcon.weight[k] = weight
    return netcon, times


def solve(h, played, watch):
    """Values of watch() after each event's time."""
    h.CVode().active(1)  # artificial cells alone: events at their exact times
    h.finitialize()
    for netcon, times in played:
        for t in times:
            netcon.event(t)
    found, pc = [], h.ParallelContext()
    pc.set_maxstep(10)
    for t in sorted(t for _, times in played for t in times):
        pc.psolve(t + 1e-7)
        found.append(watch())
    h.CVode().active(0)
    return found


@pytest.mark.parametrize("rule", [ShortTerm(0.5, 120.0), ShortTerm(0.15, 60.0, 250.0), ShortTerm(1.0, 30.0)])
def test_short_term_plasticity(h, rule):
    times = np.round(np.sort(np.random.default_rng(3).uniform(1, 350, 25)), 3)
    pair = h.ShortTermPair()
    pair.U, pair.tau_rec, pair.tau_facil = rule.use, rule.tau_rec_ms, rule.tau_facil_ms
    expected = solve(h, [play(h, pair, times, 1.0)], lambda: pair.factor)
    _, artifact = random_model(0)
    population = ReducedPopulation(artifact, "X")
    population.add_cell()
    row, k = population.add_row(), population.add_projection(short_term=rule)
    population.add_synapses([row], [0], [0], [0.01], [500.0], projection=k)  # a long delay keeps every spike on its way
    population.reset()
    for n in range(STEPS):
        for t in times[(times >= n) & (times < n + 1)]:
            population.deliver(row, t)
        population.step()
    flights = population.save_state()["flights"]
    np.testing.assert_array_equal(flights["tick"], np.rint(times * 1e6))
    np.testing.assert_allclose(flights["factor"], expected, rtol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_reward_modulated_stdp(h, seed):
    """The engine's cell fires as it will; its spikes, the arrivals and rewards then drive the mechanism."""
    rule = RewardStdp(rate_us=2e-4, high_us=0.008, low_us=0.004, a_plus=1.2, a_minus=0.7, tau_plus_ms=15.0,
                      tau_minus_ms=35.0, tau_eligibility_ms=200.0)  # fmt: skip
    _, artifact = random_model(0)
    population = ReducedPopulation(artifact, "X")
    population.add_cell()
    row, k = population.add_row(), population.add_projection(stdp=rule)
    delay, start = 3.25, 0.006
    population.add_synapses([row], [0], [2], [start], [delay], projection=k)
    population.add_background(np.arange(14), 40.0, 0.01, seed=seed)
    population.reset()
    rng = np.random.default_rng(seed)
    times = np.round(np.sort(rng.uniform(1, STEPS - 10, 40)), 2) + 1e-4
    rewards = {int(n): float(rng.normal()) for n in rng.choice(np.arange(20, STEPS), 12, replace=False)}
    own, course = [], []
    for n in range(STEPS):
        for t in times[(times >= n) & (times < n + 1)]:
            population.deliver(row, t)
        if n in rewards:
            population.reward(rewards[n])
        own += [n + 1.0] * population.step().size
        held = population.synapses(k)
        course.append((held["weight"][0], held["eligibility"][0]))
    assert len(own) > 10

    pair = h.StdpPair()
    for name, value in (("a_plus", 1.2), ("a_minus", 0.7), ("tau_plus", 15.0), ("tau_minus", 35.0), ("tau_e", 200.0),
                        ("rate", 2e-4), ("low", 0.004), ("high", 0.008), ("start", start)):  # fmt: skip
        setattr(pair, name, value)
    # Of one time: the cell's spike, then the reward; NEURON keeps no such order, a tenth of a tick does.
    played = [play(h, pair, times + delay, 1.0), play(h, pair, [t - 2e-7 for t in own], 2.0)]
    played += [play(h, pair, [n - 1e-7], 3.0, amount) for n, amount in rewards.items()]
    ends = [float(n + 1) for n in range(STEPS)]
    mark = play(h, pair, [t - 5e-8 for t in ends], 3.0, 0.0)  # no reward: only brings e up to the end of each step
    moments = sorted(t for _, some in [*played, mark] for t in some)
    values = dict(zip(moments, solve(h, [*played, mark], lambda: (pair.weight, pair.e)), strict=True))
    expected = [values[t - 5e-8] for t in ends]
    # A reward at a step's very end is the next step's: the engine's reading shows it once it was given.
    late = [n for n in range(STEPS) if n + 1 in rewards]
    keep = np.setdiff1d(np.arange(STEPS), late)
    np.testing.assert_allclose(np.array(course)[keep], np.array(expected)[keep], rtol=FLOAT32, atol=FLOAT32)
    weights = np.array(course)[:, 0]
    assert {0.004, 0.008} & set(np.round(weights, 9)) and len(set(weights)) > 5  # a bound was reached
