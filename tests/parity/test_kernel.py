"""The C++ kernel against plain torch: values, gradients, and gradients against finite differences."""

import numpy as np
import pytest
import torch

from netml.reductions import kernel
from netml.reductions.kernel import Dims, Reduction, pack, parameter_shapes, unpack
from netml.reductions.leaky_memory import LeakyMemory, trace_layout
from netml.training.data import make_window
from netml.training.recurrence import EventTable, Recurrence

CHANNELS, BRANCHES = 60, 5
SYNAPSES = ("AMPA_NMDA", "GABAA")


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_model(seed=0, memory=20, hidden=40, feedback=(2.0, 8.0, 30.0, 120.0), refractory=4) -> LeakyMemory:
    trace_input, tau = trace_layout(SYNAPSES, {}, BRANCHES)
    model = LeakyMemory(
        trace_input, tau, inputs=2 * BRANCHES, memory=memory, hidden=hidden, feedback_tau_ms=feedback, seed=seed
    )
    with torch.no_grad():
        model.trace_mean.fill_(1.5)
        model.trace_scale.fill_(2.0)
        model.readout.mul_(4)
        model.logit_mean.fill_(-1.0)
        model.refractory.fill_(refractory)
    model.settle(200)
    return model


def reduction_of(model: LeakyMemory, threshold: float) -> Reduction:
    with torch.no_grad():
        return Reduction(model.dims, model.pack().numpy(), model.trace_input.numpy(), threshold)


def test_kernel_counts_and_packs_as_python_does():
    k, dims = kernel.load(), Dims(10, 15, 4, 7, 9)
    count = sum(int(np.prod(s)) for s in parameter_shapes(dims).values())
    assert k.param_count(np.asarray(dims, np.int32).ctypes.data) == count
    flat = np.arange(count, dtype=np.float32)
    np.testing.assert_array_equal(pack(dims, unpack(dims, flat)), flat)


@pytest.mark.parametrize("sizes", [dict(), dict(memory=7, hidden=13, feedback=(), refractory=0), dict(memory=33, hidden=64, refractory=1)])
def test_free_run_matches_torch(sizes):
    """2000 steps of 20 cells on their own spikes (20: a block with spare lanes)."""
    steps, cells = 2000, 20
    model = make_model(**sizes)
    x = np.random.default_rng(1).poisson(0.3, (steps, model.inputs, cells)).astype(np.float32)
    logits, _, _ = kernel.load().free_run(reduction_of(model, 1e9), x[:500])
    threshold = float(np.quantile(logits, 0.97))  # some 30 Hz: the feedback matters
    logit, v, spike = kernel.load().free_run(reduction_of(model, threshold), x)
    assert 0.001 < spike.mean() < 0.7

    state, last = model.init_state(cells), torch.zeros(cells)
    expected = np.empty((2, steps, cells), np.float32)
    with torch.no_grad():
        for n in range(steps):
            state, a, b = model.step(state, torch.from_numpy(np.ascontiguousarray(x[n].T)), last)
            expected[0, n], expected[1, n] = a.numpy(), b.numpy()
            # Where rounding decides (logit within 1e-5 of the threshold), follow the kernel: else chaos, not error.
            close = torch.from_numpy(np.abs(logit[n] - threshold) < 1e-5)
            last = torch.where(close, torch.from_numpy(spike[n]).float(), model.spikes(state, a, threshold).float())
            assert (last.numpy() == spike[n]).all()
    # float32 sums of up to 100 terms in another order, in units of the outputs' scale
    np.testing.assert_allclose(logit, expected[0], atol=1e-5 * max(1, np.abs(expected[0]).max()), rtol=0)
    np.testing.assert_allclose(v, expected[1], atol=1e-5 * np.abs(expected[1]).max(), rtol=0)


def test_no_spike_follows_another_sooner_than_the_refractory_time():
    model = make_model(refractory=7)
    x = np.zeros((40, model.inputs, 1), np.float32)
    _, _, spike = kernel.load().free_run(reduction_of(model, -1e9), x)  # a logit that is always above the threshold
    np.testing.assert_array_equal(np.flatnonzero(spike[:, 0]), np.arange(0, 40, 7))


def test_every_lane_is_the_same_cell():
    model = make_model()
    one = np.random.default_rng(2).poisson(0.3, (400, model.inputs, 1)).astype(np.float32)
    outputs = kernel.load().free_run(reduction_of(model, 0.0), np.repeat(one, 37, axis=2))
    for out in outputs:
        assert (out == out[:, :1]).all()


def test_rest_stays_at_rest_and_state_stays_bounded():
    model = make_model()
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
    recurrence = Recurrence(kernel.load(), model.dims, model.trace_input.numpy(), channel_input, table)

    class Steps:
        spike = (rng.random(rows) < 0.1).astype(np.uint8)

    first = rng.integers(0, rows - steps, (blocks, 16))
    length = rng.integers(steps // 2, steps + 1, (blocks, 16)).astype(np.int32)

    def window():
        with torch.no_grad():
            rest = recurrence.rest(model.pack().numpy(), 1)
        return make_window(Steps, first, length, steps, np.repeat(rest, blocks, axis=0), free_lanes=5)[0]

    probe = torch.from_numpy(rng.normal(size=(2, blocks, steps, 16)).astype(np.float32))
    return recurrence, channel_input, window, probe


def reference(model, gain, table, channel_input, window, threshold):
    """The same window in plain torch, differentiable."""
    sequences = window.first_row.size
    first, length = window.first_row.ravel(), window.length.ravel()
    teacher = window.teacher.transpose(1, 0, 2).reshape(window.steps, sequences)
    free = torch.from_numpy(window.free_running.ravel().astype(bool))
    at = [(n, k, e) for n in range(window.steps) for k in range(sequences) if n < length[k]
          for e in range(*table.row_start[first[k] + n : first[k] + n + 2])]  # fmt: skip
    step, sequence, event = torch.tensor(at).T
    channel = torch.from_numpy(table.channel.astype(np.int64))[event]
    value = torch.from_numpy(table.weight)[event] * gain[channel]
    x = torch.zeros(window.steps, sequences, model.inputs)
    x = x.index_put((step, sequence, torch.from_numpy(channel_input).long()[channel]), value, accumulate=True)
    state, last = model.init_state(sequences), torch.zeros(sequences)
    outputs = []
    for n in range(window.steps):
        state, logit, v = model.step(state, x[n], last)
        outputs.append(torch.stack([logit, v]))
        last = torch.where(free, model.spikes(state, logit.detach(), threshold).float(), torch.from_numpy(teacher[n]).float())
    blocks = len(window.state)
    return torch.stack(outputs).reshape(window.steps, 2, blocks, 16).permute(1, 2, 0, 3)


def test_window_and_gradients_match_torch():
    model = make_model()
    recurrence, channel_input, window, probe = make_problem(model)
    gain = torch.full((CHANNELS,), 800.0, requires_grad=True)
    parameters = [*model.parameters(), gain]

    logit, v = recurrence(model.pack(), gain, 0.0, window())
    mine = torch.autograd.grad((torch.stack([logit, v]) * probe).sum(), parameters)
    expected = reference(model, gain, recurrence.events, channel_input, window(), 0.0)
    torch.testing.assert_close(torch.stack([logit, v]), expected, atol=2e-4, rtol=1e-5)  # v is some 70 mV: float32
    theirs = torch.autograd.grad((expected * probe).sum(), parameters)
    for a, b in zip(mine, theirs, strict=True):
        # float32 sums over 70 steps x 32 sequences in another order: relative to the largest entry of the array
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()


def test_gradients_match_finite_differences():
    model = make_model()
    model.v_mean.fill_(0.0)  # less rounding in float32
    recurrence, _, window, probe = make_problem(model, steps=15)
    gain = torch.full((CHANNELS,), 800.0, requires_grad=True)
    params = model.pack().detach().requires_grad_()

    def objective(p, g):
        logit, v = recurrence(p, g, 1e9, window())  # threshold out of reach: no spike may appear within the difference
        return (torch.stack([logit, v]).double() * probe).sum()

    exact = torch.autograd.grad(objective(params, gain), [params, gain])
    random, h = torch.Generator().manual_seed(0), 2e-4
    for value, gradient in zip([params, gain], exact, strict=True):
        direction = torch.randn(value.shape, generator=random) * value.detach().abs()
        with torch.no_grad():
            high, low = (objective(*(v + s * h * direction if v is value else v for v in (params, gain))) for s in (1, -1))
        measured = float(high - low) / (2 * h)
        expected = float((gradient * direction).sum())
        # 2e-3 of the gradient's length: curvature and kinks of relu within +-h, and rounding of the float32 objective
        assert abs(measured - expected) < 2e-3 * float((gradient * direction).norm())


def test_gradients_do_not_depend_on_the_number_of_threads():
    model = make_model()
    recurrence, channel_input, window, probe = make_problem(model, blocks=4)
    gain = torch.full((CHANNELS,), 800.0, requires_grad=True)
    results = []
    for threads in (1, 3):
        other = Recurrence(
            recurrence.kernel, model.dims, model.trace_input.numpy(), channel_input, recurrence.events, threads
        )
        logit, v = other(model.pack(), gain, 0.0, window())
        results.append(torch.autograd.grad((torch.stack([logit, v]) * probe).sum(), [model.w1, gain]))
        other.close()
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
