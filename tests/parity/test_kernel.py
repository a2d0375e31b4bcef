"""The C++ kernel against plain torch: values, gradients, and gradients against finite differences."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from netml.reductions import kernel
from netml.reductions.cable import Cable
from netml.reductions.kernel import Reduction
from netml.reductions.layouts import CableDims, Dims, pack, parameter_shapes, shape_of, unpack
from netml.reductions.leaky_memory import LeakyMemory, trace_layout
from netml.reductions.receptors import receptors_of
from netml.reductions.tree import Tree
from netml.training.data import make_window
from netml.training.recurrence import EventTable, Recurrence

CHANNELS, BRANCHES = 60, 5
SYNAPSES = ("AMPA_NMDA", "GABAA")
CLOSING_GATES = ((100, -35, 6, 5, 1e-8, 0, -65, -6, 20), (50, -45, 6, 1, 1e-8, 0, -70, -9, 8))
GATES = ((-45, -82, -7, 30, 1e-6, 0), (100, -35, 6, 5, 1e-8, 0), (-90, -40, 6, 30, 2e-8, 0), (50, -45, 6, 1, 1e-8, 0))


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_model(seed=0, memory=20, hidden=40, feedback=(2.0, 8.0, 30.0, 120.0), refractory=4,
               expected=False) -> LeakyMemory:  # fmt: skip
    trace_input, tau = trace_layout(SYNAPSES, {}, BRANCHES)
    model = LeakyMemory(
        trace_input, tau, inputs=2 * BRANCHES, memory=memory, hidden=hidden, feedback_tau_ms=feedback,
        expected=expected, seed=seed,
    )  # fmt: skip
    with torch.no_grad():
        model.front_mean.fill_(1.5)
        model.front_scale.fill_(2.0)
        model.readout.mul_(4)
        model.logit_mean.fill_(-1.0)
        model.refractory.fill_(refractory)
    model.settle(200)
    return model


def make_cable(seed=0, gates=GATES, rank=3, refractory=4, expected=False, site_readout=True) -> Cable:
    """A tree of 9 compartments with every part of the model at work."""
    rng, n = np.random.default_rng(seed), 9
    tree = Tree(
        np.arange(n), np.array([0, *(rng.integers(0, b) for b in range(1, n))]), rng.uniform(50, 500, n),
        rng.uniform(0, 500, n), np.append(0, rng.uniform(0.005, 0.5, n - 1)),
    )  # fmt: skip
    receptors = receptors_of(SYNAPSES, {"AMPA_NMDA": {"tau_r_ampa": 0.3, "tau_d_ampa": 3.0, "tau_r_nmda": 2.0,
                                                      "tau_d_nmda": 70.0}})  # fmt: skip
    model = Cable(tree, receptors, synapses=2, current=True, reads=5, rank=rank, sites=(3, 7), gates=gates, memory=6,
                  hidden=11, expected=expected, site_readout=site_readout, seed=seed)  # fmt: skip
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.front_mean.fill_(-70)
        model.front_scale.fill_(5)
        model.v_mean.fill_(0)
        model.logit_mean.fill_(-1.0)
        model.refractory.fill_(refractory)
        model.readout.mul_(4)
        model.inject_u.normal_(0, 0.5, generator=random)
        for deviation in model.deviations():
            deviation.normal_(0, 0.2, generator=random)
        model.d_gate.add_(2)
        if site_readout:
            model.site_w.normal_(0, 0.3, generator=random)
    model.settle(500)
    return model


CLOSING_DIMS = CableDims(12, 6, 2, 0, 3, 1, 1, 4, 5, 2, 1, 4, 7, 9, inactivating=2)
EXPECTED = [partial(make_model, expected=True), partial(make_cable, expected=True)]
CLOSING = partial(make_cable, gates=(*CLOSING_GATES, *GATES[::2]))
MAKERS = pytest.mark.parametrize("make", [make_model, make_cable])


def reduction_of(model: LeakyMemory, threshold: float) -> Reduction:
    with torch.no_grad():
        return Reduction(model.dims, model.pack().numpy(), model.wiring.numpy(), threshold)


@pytest.mark.parametrize("dims", [Dims(10, 15, 4, 7, 9), CLOSING_DIMS])
def test_kernel_counts_and_packs_as_python_does(dims):
    k, shape = kernel.load(), shape_of(dims)
    count = sum(int(np.prod(s)) for s in parameter_shapes(dims).values())
    assert k.param_count(shape.ctypes.data) == count
    assert k.wiring_count(shape.ctypes.data) == {Dims: 15, CableDims: 6 + 2 * 3 + 5 + 1}[type(dims)]
    assert k.state_count(shape.ctypes.data) == dims.own + dims.front + dims.memory + dims.feedback + 2
    flat = np.arange(count, dtype=np.float32)
    np.testing.assert_array_equal(pack(dims, unpack(dims, flat)), flat)


@pytest.mark.parametrize(
    "make, sizes, weight",
    [(make_model, {}, 1), (make_model, dict(memory=7, hidden=13, feedback=(), refractory=0), 1),
     (make_model, dict(memory=33, hidden=64, refractory=1), 1), (make_model, dict(expected=True), 1),
     (make_cable, {}, 1e-3), (CLOSING, {}, 1e-3), (make_cable, dict(rank=0), 1e-3),
     (make_cable, dict(expected=True), 1e-3)],
)  # fmt: skip
def test_free_run_matches_torch(make, sizes, weight):
    """2000 steps of 20 cells on their own spikes (20: a block with spare lanes)."""
    steps, cells = 2000, 20
    model = make(**sizes)
    x = (np.random.default_rng(1).poisson(0.3, (steps, model.inputs, cells)) * weight).astype(np.float32)
    logits, _, _ = kernel.load().free_run(reduction_of(model, 1e9), x[:500])
    threshold = float(np.quantile(logits, 0.97))  # some 30 Hz: the feedback matters
    logit, v, spike = kernel.load().free_run(reduction_of(model, threshold), x)
    assert 0.001 < spike.mean() < 0.7

    with torch.no_grad():
        p = {name: array.double() for name, array in model.effective().items()}  # the kernel's own float32 parameters
    state, last = model.double().init_state(cells), torch.zeros(cells).double()
    expected = np.empty((2, steps, cells))
    with torch.no_grad():
        for n in range(steps):
            state, a, b = model.advance(p, state, torch.from_numpy(x[n].T.astype(float)), last)
            expected[0, n], expected[1, n] = a.numpy(), b.numpy()
            # Where rounding decides (logit within 1e-5 of the threshold), follow the kernel: else chaos, not error.
            close = torch.from_numpy(np.abs(logit[n] - threshold) < 1e-5)
            near = torch.where(close, torch.where(torch.from_numpy(spike[n] > 0), math.inf, -math.inf), a)
            emitted, fired, last = model.emit(state, near, threshold)
            if model.dims.expected:
                last = torch.sigmoid(a)
            state = emitted
            assert (fired.numpy() == spike[n]).all()
    # float32 sums of up to 100 terms in another order, in units of the outputs' scale
    np.testing.assert_allclose(logit, expected[0], atol=1e-5 * max(1, np.abs(expected[0]).max()), rtol=0)
    np.testing.assert_allclose(v, expected[1], atol=1e-5 * np.abs(expected[1]).max(), rtol=0)


def test_no_spike_follows_another_sooner_than_the_refractory_time():
    model = make_model(refractory=7)
    x = np.zeros((40, model.inputs, 1), np.float32)
    _, _, spike = kernel.load().free_run(reduction_of(model, -1e9), x)  # a logit that is always above the threshold
    np.testing.assert_array_equal(np.flatnonzero(spike[:, 0]), np.arange(0, 40, 7))


@MAKERS
def test_every_lane_is_the_same_cell(make):
    model = make()
    one = np.random.default_rng(2).poisson(0.3, (400, model.inputs, 1)).astype(np.float32)
    outputs = kernel.load().free_run(reduction_of(model, 0.0), np.repeat(one, 37, axis=2))
    for out in outputs:
        assert (out == out[:, :1]).all()


@MAKERS
def test_rest_stays_at_rest_and_state_stays_bounded(make):
    model = make()
    model.settle(3000)
    r = reduction_of(model, 1e9)
    logit, v, _ = kernel.load().free_run(r, np.zeros((2000, model.inputs, 1), np.float32))
    assert np.ptp(v) < 1e-3 and np.ptp(logit) < 1e-3  # rounding of a fixed point
    logit, v, _ = kernel.load().free_run(r, np.full((5000, model.inputs, 1), 1e4, np.float32))
    assert np.isfinite(logit).all() and np.isfinite(v).all()


def make_problem(model, steps=70, blocks=2):
    """Weighted events of 32 sequences, some of them ending early, and weights of the outputs in the loss."""
    rng = np.random.default_rng(3)
    rows = 500
    counts = rng.poisson(4.0, rows)
    table = EventTable(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        rng.integers(0, CHANNELS, counts.sum()).astype(np.int32),
        rng.lognormal(-7, 1, counts.sum()).astype(np.float32),
    )
    channel_input = rng.integers(0, model.inputs, CHANNELS).astype(np.int32)
    recurrence = Recurrence(kernel.load(), model.dims, model.wiring.numpy(), channel_input, table)

    class Steps:
        spike = (rng.random(rows) < 0.1).astype(np.uint8)

    first = rng.integers(0, rows - steps, (blocks, 16))
    length = rng.integers(steps // 2, steps + 1, (blocks, 16)).astype(np.int32)

    def window():
        with torch.no_grad():
            rest = recurrence.rest(model.pack().numpy(), 1)
        return make_window(Steps, first, length, steps, np.repeat(rest, blocks, axis=0), free_lanes=5)[0]

    probe = [torch.from_numpy(rng.normal(size=(blocks, steps, *sites, 16)).astype(np.float32))
             for sites in ((), (), (model.dims.sites,))]  # fmt: skip
    return recurrence, channel_input, window, probe


def reference(model, gain, table, channel_input, window, threshold):
    """The same window in plain torch, differentiable, in double precision: logit, v and the sites' voltage."""
    sequences = window.first_row.size
    first, length = window.first_row.ravel(), window.length.ravel()
    teacher = window.teacher.transpose(1, 0, 2).reshape(window.steps, sequences)
    free = torch.from_numpy(window.free_running.ravel().astype(bool))
    at = [(n, k, e) for n in range(window.steps) for k in range(sequences) if n < length[k]
          for e in range(*table.row_start[first[k] + n : first[k] + n + 2])]  # fmt: skip
    step, sequence, event = torch.tensor(at).T
    synapse_site = torch.from_numpy(table.synapse_site.astype(np.int64))[event]
    value = torch.from_numpy(table.weight).double()[event] * gain[synapse_site]
    x = torch.zeros(window.steps, sequences, model.inputs, dtype=torch.float64)
    x = x.index_put((step, sequence, torch.from_numpy(channel_input).long()[synapse_site]), value, accumulate=True)
    state, last = model.init_state(sequences), torch.zeros(sequences).double()
    outputs: list[list] = [[], [], []]
    for n in range(window.steps):
        state, logit, v = model.step(state, x[n], last)
        for kept, value in zip(outputs, (logit, v, model.site_voltage(state)), strict=True):
            kept.append(value)
        state, _, fed = model.emit(state, logit, threshold)
        last = torch.where(free, fed, torch.from_numpy(teacher[n]).double())
    blocks = len(window.state)
    logit, v = (torch.stack(o).reshape(window.steps, blocks, 16).transpose(0, 1) for o in outputs[:2])
    return logit, v, torch.stack(outputs[2]).reshape(window.steps, blocks, 16, -1).permute(1, 0, 3, 2)


def weighted(outputs, probe):
    return sum((value.double() * weight).sum() for value, weight in zip(outputs, probe, strict=True))


PLAIN = partial(make_cable, site_readout=False)
KINDS = pytest.mark.parametrize(
    "make, typical_gain",
    [(make_model, 800.0), (make_cable, 1.0), (PLAIN, 1.0), (EXPECTED[0], 800.0), (EXPECTED[1], 1.0), (CLOSING, 1.0)],
)


@KINDS
def test_window_and_gradients_match_torch(make, typical_gain):
    model = make()
    recurrence, channel_input, window, probe = make_problem(model)
    gain = torch.full((CHANNELS,), typical_gain, requires_grad=True)
    outputs = recurrence(model.pack(), gain, 0.0, window())
    mine = torch.autograd.grad(weighted(outputs, probe), [*model.parameters(), gain])
    windows = window(), window()  # before the model becomes double
    model.double()
    exact = gain.detach().double().requires_grad_()
    expected = reference(model, exact, recurrence.events, channel_input, windows[0], 0.0)
    for value, true in zip(outputs, expected, strict=True):  # 1e-5 of the outputs' scale: some 70 mV in float32
        scale = max(1, float(true.abs().max() if true.numel() else 0))
        torch.testing.assert_close(value.double(), true, atol=1e-5 * scale, rtol=0)
    theirs = torch.autograd.grad(weighted(expected, probe), [*model.parameters(), exact])
    for a, b in zip(mine, theirs, strict=True):
        # float32 sums over 70 steps x 32 sequences, of terms that cancel: relative to the largest entry of the array
        assert (a - b).abs().max() <= 2e-4 * b.abs().max()


@pytest.mark.parametrize(
    "make, typical_gain, h",  # seeds of cables that have no kink of relu within h
    [
        (make_model, 800.0, 2e-4),
        (partial(make_cable, 1), 1.0, 1e-3),
        (partial(make_cable, 1, expected=True), 1.0, 1e-3),
        (partial(CLOSING, 16), 1.0, 1e-3),
    ],
)
def test_gradients_match_finite_differences(make, typical_gain, h):
    model = make()
    model.v_mean.fill_(0.0)  # less rounding in float32
    recurrence, _, window, probe = make_problem(model, steps=15)
    gain = torch.full((CHANNELS,), typical_gain, requires_grad=True)
    params = model.pack().detach().requires_grad_()

    def objective(p, g):
        return weighted(recurrence(p, g, 1e9, window()), probe)  # no spike may appear within the difference

    exact = torch.autograd.grad(objective(params, gain), [params, gain])
    random = torch.Generator().manual_seed(0)
    for value, gradient in zip([params, gain], exact, strict=True):
        direction = torch.randn(value.shape, generator=random) * value.detach().abs()
        with torch.no_grad():
            high, low = (
                objective(*(v + s * h * direction if v is value else v for v in (params, gain))) for s in (1, -1)
            )
        measured = float(high - low) / (2 * h)
        expected = float((gradient * direction).sum())
        # 2e-3 of the gradient's length: curvature and kinks of relu within +-h, and rounding of the float32 objective
        assert abs(measured - expected) < 2e-3 * float((gradient * direction).norm())


@KINDS
def test_gradients_do_not_depend_on_the_number_of_threads(make, typical_gain):
    model = make()
    recurrence, channel_input, window, probe = make_problem(model, blocks=4)
    gain = torch.full((CHANNELS,), typical_gain, requires_grad=True)
    results = []
    for threads in (1, 3):
        other = Recurrence(
            recurrence.kernel, model.dims, model.wiring.numpy(), channel_input, recurrence.events, threads
        )
        outputs = other(model.pack(), gain, 0.0, window())
        results.append(torch.autograd.grad(weighted(outputs, probe), [model.w1, gain]))
        other.close()
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_tree_is_the_cable_equation_at_rest_under_a_steady_current():
    """Far from spikes, with no gate and no synapse, every compartment obeys Kirchhoff's law to 1e-5 of the current."""
    model = make_cable(gates=(), rank=0)
    with torch.no_grad():
        p = {name: array.double().numpy() for name, array in model.effective().items()}
        reduction = reduction_of(model, np.inf)
    state = kernel.load().rest(reduction, 1)
    x = np.zeros((1, model.inputs, 16), np.float32)
    x[0, -1] = 0.2  # nA
    for _ in range(3000):
        kernel.load().run_step(reduction, state, x)
    v, parent = state[0, : len(p["axial"]), 0].astype(float), model.wiring.numpy()[: len(p["axial"])]
    flow = p["axial"] * (v[parent] - v)
    balance = p["leak_drive"] - p["leak"] * v + flow - np.bincount(parent, flow, minlength=v.size)
    balance[0] += 0.2
    assert np.abs(balance).max() < 1e-5 * 0.2 * 20  # each term is some 20 times the current


@pytest.mark.parametrize("weight", [1e-4, 1.0, 1e3])
def test_voltage_stays_between_the_reversal_potentials(weight):
    model = make_cable(rank=0)
    reduction = reduction_of(model, np.inf)
    x = (np.random.default_rng(0).poisson(0.2, (1000, model.inputs, 16)) * weight).astype(np.float32)
    x[:, -1] = 0.0  # no current: it may move the cell anywhere
    state = kernel.load().rest(reduction, 1)
    for row in x:
        kernel.load().run_step(reduction, state, row[None])
        v = state[0, : model.dims.compartments]
        assert v.min() >= -95.01 and v.max() <= 100.01  # slow potassium and calcium: the outermost ones
