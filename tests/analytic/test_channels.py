"""Channels and synapses against the published formulas, computed here in Python.

Tolerances: NEURON evaluates the same expressions in double precision, so gates agree to rounding
(1e-9 relative leaves room for the order of operations and libm).
"""

import numpy as np
import pytest

from netml.engine.mechanisms.build import build_mechanisms, load_mechanisms
from netml.toolchain import source_folder

CELSIUS = 34.0
Q = 2.3 ** ((CELSIUS - 21) / 10)
VOLTAGES = [-110.0, -80.3, -66.0, -55.1, -38.0, -27.0, -10.2, 0.0, 35.7]
EXACT = dict(rel=1e-9, abs=1e-15)


@pytest.fixture(scope="module")
def h():
    from neuron import h

    load_mechanisms(h, build_mechanisms([source_folder("mod")]))
    h.celsius = CELSIUS
    h.dt = 0.025
    return h


@pytest.fixture
def segment(h):
    section = h.Section(name="patch")
    section.L = section.diam = 10
    return section(0.5)


def ratio(x, y):
    """x/(exp(x/y) - 1), continued through 0."""
    return x / np.expm1(x / y) if abs(x) > 1e-9 else y


def two_rates(a, b, q=1.0):
    return a / (a + b), 1 / ((a + b) * q)


def nat(v):
    """Colbert & Pan 2002, as in Hay et al. 2011."""
    m = two_rates(0.182 * ratio(-(v + 38), 6), 0.124 * ratio(v + 38, 6), Q)
    h = two_rates(0.015 * ratio(v + 66, 6), 0.015 * ratio(-(v + 66), 6), Q)
    return {"minf": m[0], "mtau": m[1], "hinf": h[0], "htau": h[1]}


def nap(v):
    """Magistretti & Alonso 1999."""
    a, b = 0.182 * ratio(-(v + 38), 6), 0.124 * ratio(v + 38, 6)
    ah, bh = 2.88e-6 * ratio(v + 17, 4.63), 6.94e-6 * ratio(-(v + 64.4), 2.63)
    return {
        "minf": 1 / (1 + np.exp(-(v + 52.6) / 4.6)),
        "mtau": 6 / ((a + b) * Q),
        "hinf": 1 / (1 + np.exp((v + 48.8) / 10)),
        "htau": 1 / ((ah + bh) * Q),
    }


def kv3(v):
    """Rettig et al. 1992."""
    return {"minf": 1 / (1 + np.exp((18.7 - v) / 9.7)), "mtau": 4 / (1 + np.exp(-(v + 46.56) / 44.14))}


def kp(v):
    """Korngreen & Sakmann 2000, shifted by the junction potential of 10 mV."""
    u = v + 10
    slow = 1.25 + (175.03 * np.exp(0.026 * u) if u < -50 else 13 * np.exp(-0.026 * u))
    return {
        "minf": 1 / (1 + np.exp(-(u + 1) / 12)),
        "mtau": slow / Q,
        "hinf": 1 / (1 + np.exp((u + 54) / 11)),
        "htau": (360 + (1010 + 24 * (u + 55)) * np.exp(-(((u + 75) / 48) ** 2))) / Q,
    }


def kt(v):
    """Korngreen & Sakmann 2000, shifted by the junction potential of 10 mV."""
    u = v + 10
    return {
        "minf": 1 / (1 + np.exp(-u / 19)),
        "mtau": (0.34 + 0.92 * np.exp(-(((u + 71) / 59) ** 2))) / Q,
        "hinf": 1 / (1 + np.exp((u + 66) / 10)),
        "htau": (8 + 49 * np.exp(-(((u + 73) / 23) ** 2))) / Q,
    }


def im(v):
    """Adams, Brown & Constanti 1982."""
    m = two_rates(3.3e-3 * np.exp(0.1 * (v + 35)), 3.3e-3 * np.exp(-0.1 * (v + 35)), Q)
    return {"minf": m[0], "mtau": m[1]}


def ih(v):
    """Kole, Hallermann & Stuart 2006."""
    m = two_rates(0.00643 * ratio(v + 154.9, 11.9), 0.193 * np.exp(v / 33.1))
    return {"minf": m[0], "mtau": m[1]}


def cahva(v):
    """Reuveni et al. 1993."""
    m = two_rates(0.055 * ratio(-27 - v, 3.8), 0.94 * np.exp((-75 - v) / 17))
    h = two_rates(0.000457 * np.exp((-13 - v) / 50), 0.0065 / (np.exp((-v - 15) / 28) + 1))
    return {"minf": m[0], "mtau": m[1], "hinf": h[0], "htau": h[1]}


def calva(v):
    """Avery & Johnston 1996; Randall & Tsien 1997."""
    return {
        "minf": 1 / (1 + np.exp(-(v + 40) / 6)),
        "mtau": (5 + 20 / (1 + np.exp((v + 35) / 5))) / Q,
        "hinf": 1 / (1 + np.exp((v + 90) / 6.4)),
        "htau": (20 + 50 / (1 + np.exp((v + 50) / 7))) / Q,
    }


def cat(v):
    """Huguenard & McCormick 1992, at 24 degC; q10 of 5 and 3 (Coulter, Huguenard & Prince 1989)."""
    activation = 0.612 + 1 / (np.exp(-(v + 132) / 16.7) + np.exp((v + 16.8) / 18.2))
    inactivation = np.exp((v + 467) / 66.6) if v < -80 else 28 + np.exp(-(v + 22) / 10.5)
    return {
        "minf": 1 / (1 + np.exp(-(v + 57) / 6.2)),
        "mtau": activation / 5 ** ((CELSIUS - 24) / 10),
        "hinf": 1 / (1 + np.exp((v + 81) / 4)),
        "htau": inactivation / 3 ** ((CELSIUS - 24) / 10),
    }


@pytest.mark.parametrize("formula", [nat, nap, kv3, kp, kt, im, ih, cahva, calva, cat], ids=lambda f: f.__name__)
def test_gates_follow_the_published_curves(h, segment, formula):
    segment.sec.insert(f"netml_{formula.__name__}")
    mechanism = getattr(segment, f"netml_{formula.__name__}")
    for v in VOLTAGES:
        h.finitialize(v)
        found = {name: getattr(mechanism, name) for name in formula(v)}
        assert found == pytest.approx(formula(v), **EXACT), f"at {v} mV"


def test_sodium_current_at_rest_of_the_gates(h, segment):
    segment.sec.insert("netml_nat")
    segment.netml_nat.gbar, segment.ena = 0.5, 50.0
    for v in VOLTAGES:
        h.finitialize(v)
        gates = nat(v)
        expected = 0.5 * gates["minf"] ** 3 * gates["hinf"] * (v - 50.0)  # mA/cm2
        assert segment.ina == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("cai", [5e-5, 4.3e-4, 2e-3])
def test_sk_opens_with_calcium(h, segment, cai):
    """Kohler et al. 1996: half open at 0.43 uM, Hill exponent 4.8."""
    segment.sec.insert("netml_sk")
    segment.cai = cai  # nothing here writes it
    h.finitialize(-70)
    assert segment.netml_sk.zinf == pytest.approx(1 / (1 + (4.3e-4 / cai) ** 4.8), rel=1e-6)


def test_calcium_decays_with_its_time_constant(h, segment):
    segment.sec.insert("netml_cad")
    segment.netml_cad.decay, segment.netml_cad.rest = 80.0, 1e-4
    h.finitialize(-70)
    segment.cai = 1.1e-3
    while h.t < 40 - 1e-9:
        h.fadvance()
    assert segment.cai == pytest.approx(1e-4 + 1e-3 * np.exp(-40 / 80), rel=1e-9)


def unit_double_exponential(t, rise, decay):
    """Peaks at 1; t in ms."""
    peak = rise * decay / (decay - rise) * np.log(decay / rise)
    shape = np.exp(-t / decay) - np.exp(-t / rise)
    return np.where(t >= 0, shape / (np.exp(-peak / decay) - np.exp(-peak / rise)), 0.0)


def deliver(h, synapse, events, variable, stop=60.0):
    """Time and a variable of `synapse` after `events` (ms, uS), recorded at every step."""
    connection = h.NetCon(None, synapse)
    time, value = h.Vector().record(h._ref_t), h.Vector().record(getattr(synapse, f"_ref_{variable}"))
    h.finitialize(-70)
    for t, weight in events:
        connection.weight[0] = weight
        connection.event(t)
        while h.t < t + h.dt:
            h.fadvance()
    while h.t < stop:
        h.fadvance()
    return time.as_numpy().copy(), value.as_numpy().copy()


def test_gaba_is_the_double_exponential_and_peaks_at_the_weight(h, segment):
    synapse = h.netml_gabaa(segment)
    t, g = deliver(h, synapse, [(5.0, 2e-3)], "g")
    # An event on a step's edge acts from that step on: compare the decay in closed form.
    expected = 2e-3 * unit_double_exponential(t - 5.0, synapse.tau_r, synapse.tau_d)
    assert np.abs(g - expected).max() < 2e-3 * 0.06  # half a step of shift on the steepest slope
    assert g.max() == pytest.approx(2e-3, rel=1e-3)


def test_ampa_peaks_at_the_weight_and_nmda_at_its_ratio(h, segment):
    synapse = h.netml_ampa_nmda(segment)
    synapse.mg = 0
    t, ampa = deliver(h, synapse, [(5.0, 1e-3)], "g_ampa")
    assert ampa.max() == pytest.approx(1e-3, rel=5e-3)
    assert t[ampa.argmax()] - 5 == pytest.approx(0.3 * 2 / 1.7 * np.log(2 / 0.3), abs=0.05)
    t, nmda = deliver(h, synapse, [(5.0, 1e-3)], "g_nmda")
    assert nmda.max() == pytest.approx(synapse.nmda_ratio * 1e-3, rel=1e-3)


def test_synapses_are_linear_so_that_connections_can_share_them(h, segment):
    synapse = h.netml_ampa_nmda(segment)
    synapse.mg = 0
    alone = [deliver(h, synapse, [event], "g")[1] for event in ((5.0, 1e-3), (9.0, 3e-3))]
    together = deliver(h, synapse, [(5.0, 1e-3), (9.0, 3e-3)], "g")[1]
    assert together == pytest.approx(alone[0] + alone[1], rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("v", [-80.0, -40.0, 20.0])
def test_magnesium_block(h, segment, v):
    """Jahr & Stevens 1990."""
    synapse = h.netml_ampa_nmda(segment)
    clamp = h.SEClamp(segment)
    clamp.dur1, clamp.amp1, clamp.rs = 1e3, v, 1e-3
    free = {}
    for mg in (0.0, 1.0):
        synapse.mg = mg
        free[mg] = deliver(h, synapse, [(5.0, 1e-6)], "g_nmda", stop=20)[1][-1]
    blocked = 1 / (1 + np.exp(-0.062 * v) * 1.0 / 3.57)
    assert free[1.0] / free[0.0] == pytest.approx(blocked, rel=1e-3)  # the clamp holds to 0.01 mV


def used_and_left(times, U, tau_rec, tau_facil):
    """Tsodyks, Pawelzik & Markram 1998: parts used and left of the resources at each event of a source."""
    used, left = [U], [1.0]
    for interval in np.diff(times):
        left.append(1 - (1 - left[-1] * (1 - used[-1])) * (np.exp(-interval / tau_rec) if tau_rec else 0.0))
        used.append(U + used[-1] * (1 - U) * (np.exp(-interval / tau_facil) if tau_facil else 0.0))
    return np.array(used), np.array(left)


PLASTIC = {"netml_ampa_nmda_stp": ("g", {"mg": 0.0, "nmda_ratio": 0.4}), "netml_gaba_stp": ("g", {"tau_d": 60.0})}


@pytest.mark.parametrize("mechanism", PLASTIC)
@pytest.mark.parametrize("U, tau_rec, tau_facil", [(0.5, 120.0, 0.0), (0.1, 40.0, 400.0), (0.3, 0.0, 0.0)])
def test_short_term_plasticity_of_two_sources_on_one_synapse(h, segment, mechanism, U, tau_rec, tau_facil):
    """Each event jumps by its source's own w u r: the sum over sources of the same synapse with the events' weights."""
    sources = {2e-3: [5.0, 15.0, 25.0, 35.0, 90.0], 1e-3: [7.5, 12.5, 40.0, 52.5]}
    variable, values = PLASTIC[mechanism]

    def run(name, events, weigh):
        synapse = getattr(h, name)(segment)
        for key, value in (values | ({"U": U, "tau_rec": tau_rec, "tau_facil": tau_facil} if weigh else {})).items():
            setattr(synapse, key, value)
        value = h.Vector().record(getattr(synapse, f"_ref_{variable}"))
        connections = [h.NetCon(None, synapse) for _ in events]
        for connection, (weight, _) in zip(connections, events, strict=True):
            connection.weight[0] = weight
        h.finitialize(-70)
        for connection, (_, times) in zip(connections, events, strict=True):
            for t in times:
                connection.event(t)
        while h.t < 120:
            h.fadvance()
        return value.as_numpy().copy()

    plastic = run(mechanism, list(sources.items()), weigh=True)
    plain = {"netml_ampa_nmda_stp": "netml_ampa_nmda", "netml_gaba_stp": "netml_gabaa"}[mechanism]
    events = [(weight * u * r, [t]) for weight, times in sources.items()
              for t, u, r in zip(times, *used_and_left(times, U, tau_rec, tau_facil), strict=True)]  # fmt: skip
    assert plastic == pytest.approx(run(plain, events, weigh=False), rel=1e-9, abs=1e-15)
    assert plastic.max() > 1e-4


def test_plasticity_starts_anew_with_each_run(h, segment):
    synapse = h.netml_gaba_stp(segment)
    synapse.U, synapse.tau_rec, synapse.tau_facil = 0.4, 500.0, 200.0
    events = [(5.0, 1e-3), (15.0, 1e-3), (25.0, 1e-3)]
    assert (deliver(h, synapse, events, "g")[1] == deliver(h, synapse, events, "g")[1]).all()
