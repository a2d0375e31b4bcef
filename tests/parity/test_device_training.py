"""Training's window in plain torch, as it runs on a device, against the C++ kernel: values, gradients, state."""

import numpy as np
import pytest
import torch
from test_kernel import CHANNELS, CLOSING, EXPECTED, make_cable, make_model, one_thread  # noqa: F401

from netml.reductions import kernel
from netml.reductions.cable import Cable, TreeTopology, solve_tree
from netml.reductions.layouts import CableDims
from netml.training.data import make_window
from netml.training.on_device import DeviceRecurrence
from netml.training.recurrence import EventTable, Recurrence

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
ROWS, LONGEST = 600, 60


class Trials:
    """Two trials of random events and spikes, as `make_window` needs them."""

    def __init__(self, seed: int):
        rng = np.random.default_rng(seed)
        counts = rng.poisson(3.0, ROWS)
        self.spike = (rng.random(ROWS) < 0.05).astype(np.uint8)
        self.events = EventTable(
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            rng.integers(0, CHANNELS, counts.sum()).astype(np.int32),
            rng.uniform(0, 2e-3, counts.sum()).astype(np.float32),
        )


def windows(trials: Trials, state: np.ndarray):
    """Two windows in a row, the second shorter, of 32 sequences; some end early, half of them are free-running."""
    rng = np.random.default_rng(3)
    first = rng.integers(0, ROWS - 2 * LONGEST, (2, 16))
    for at, steps in ((0, LONGEST), (LONGEST, 41)):
        length = np.where(rng.random((2, 16)) < 0.2, 20, steps).astype(np.int32)
        yield make_window(trials, first + at, length, steps, state, free_lanes=8)[0]


def run(recurrence, model, gain, trials, weights, threshold):
    """Outputs of two windows, state behind them, and gradients of a weighted sum."""
    params = model.pack().detach().requires_grad_()
    gain = torch.tensor(gain, requires_grad=True)
    outputs, state = [], recurrence.rest(params.detach().numpy(), 2)
    for window in windows(trials, state):
        logit, v, sites = recurrence(params, gain, threshold, window)
        inside = torch.from_numpy((np.arange(window.steps)[:, None] < window.length[:, None]).astype(np.float32))
        wanted = logit * weights[0][: window.steps] + v * weights[1][: window.steps] + sites.sum(2)
        (inside * wanted).sum().backward()
        outputs.append([(o.detach() * inside).numpy() for o in (logit, v, *sites.unbind(2))])
    return outputs, state, params.grad.numpy(), gain.grad.numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("make", [make_model, make_cable, CLOSING, EXPECTED[1]])
def test_window_and_gradients_are_those_of_the_kernel(make, device):
    model, trials = make(), Trials(0)
    channel_input = np.random.default_rng(1).integers(0, model.inputs, CHANNELS).astype(np.int32)
    parts = kernel.load(), model.dims, model.wiring.numpy(), channel_input, trials.events
    low, high = (0.3, 0.9) if isinstance(model, Cable) else (300, 900)  # a conductance, or events of size 1
    gain = np.random.default_rng(2).uniform(low, high, CHANNELS).astype(np.float32)
    weights = torch.randn(2, LONGEST, 16, generator=torch.Generator().manual_seed(0))
    own = Recurrence(*parts)
    theirs = DeviceRecurrence(*parts, longest=LONGEST, device=device)
    params = model.pack().detach().numpy()
    logit, _, _ = own.run(params, gain, np.inf, next(windows(trials, own.rest(params, 2))))
    threshold = float(np.quantile(logit[..., :8], 0.8))  # of the free-running ones, without spikes
    expected, found = (run(r, model, gain, trials, weights, threshold) for r in (own, theirs))
    own.close(), theirs.close()
    for window, same in zip(expected[0], found[0], strict=True):
        for a, b in zip(window, same, strict=True):
            np.testing.assert_allclose(b, a, rtol=0, atol=2e-5 * np.abs(a).max())
    # Lanes that ended early run on without events in both, to the end of the window.
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=2e-5 * np.abs(expected[1]).max())
    assert expected[1][:, -2:, :8].any()  # some of the free-running ones spike, or wait
    for a, b in zip(expected[2:], found[2:], strict=True):
        assert np.abs(a).max() > 0.1
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-4 * np.abs(a).max())


def test_the_tree_is_solved():
    """Level by level against a dense solve, in double precision."""
    rng, n = np.random.default_rng(0), 40
    parent = np.array([0, *(rng.integers(max(0, b - 6), b) for b in range(1, n))])
    dims = CableDims(n, n, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    axial, diagonal, right = rng.uniform(0, 1, n), rng.uniform(0.1, 1, (5, n)), rng.normal(size=(5, n))
    coupling = np.zeros((n, n))
    for b in range(1, n):
        coupling[[b, parent[b]], [b, parent[b]]] += axial[b]
        coupling[[b, parent[b]], [parent[b], b]] -= axial[b]
    expected = [np.linalg.solve(np.diag(d) + coupling, r) for d, r in zip(diagonal, right, strict=True)]
    found = solve_tree(*map(torch.from_numpy, (diagonal, axial, right)), TreeTopology.of(dims, parent).levels)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
