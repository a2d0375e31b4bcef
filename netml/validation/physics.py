"""What every reduction must obey, whatever it was trained on: checked with artificial input, in seconds.

Input is drawn from the rates and weights that the artifact saw in training (:mod:`netml.validation.drive`).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from netml.artifact import Artifact
from netml.reductions.kernel import LANES
from netml.reductions.layouts import V_RANGE_MV
from netml.validation.cell_metrics import Prediction
from netml.validation.drive import NOTHING, Driver, Events, Outcome

REST_MV = 0.5  # how far the voltage may drift without input
RETURN_MS, SETTLED_MV = 3000.0, 1.0  # after input ends: when the cell is at rest again, and how near
SHIFT_MV = 0.1
LONG_STEPS = 1_000_000
GROUPS = 4  # of recorded trials, by their excitation
GROWTH = 1.05  # of the largest state, from the first quarter of a long run to the last


@dataclass(frozen=True)
class Check:
    """One law.

    Attributes:
        name: What must hold.
        passed: Whether it does; None where it could not be judged.
        measured, expected: In words and numbers.
    """

    name: str
    passed: bool | None
    measured: str
    expected: str


def physics(artifact: Artifact, predictions: list[Prediction] | None = None) -> list[dict]:
    """Check a reduction against what no cell can do.

    Args:
        artifact: The reduction.
        predictions: Of recorded trials, for the law that needs the detailed cell's rates; without them it is left out.

    Returns:
        A dict (see :class:`Check`) for each law.
    """
    driver = Driver(artifact)
    laws: list[Callable[[], Check]] = [
        lambda: rest(driver), lambda: quiet_again(driver), lambda: voltage_range(driver), lambda: causality(driver),
        lambda: time_shift(driver), lambda: bounded(driver),
    ]  # fmt: skip
    if predictions is not None:
        laws.append(lambda: excitation(predictions, driver.excites))
    return [asdict(law()) for law in laws]


def rest(driver: Driver) -> Check:
    """Without input, from rest."""
    steps = round(5000 / driver.dt_ms)
    out = driver.run([NOTHING], steps)
    drift, spikes = float(np.abs(out.v_mv[:, 0] - out.v_mv[0, 0]).max()), int(out.spike[:, 0].sum())
    return Check("rest stays at rest; no input, no spike", drift <= REST_MV and spikes == 0,
                 f"{drift:.3f} mV, {spikes} spikes in 5 s", f"at most {REST_MV:g} mV, no spike")  # fmt: skip


def quiet_again(driver: Driver) -> Check:
    """After a second of input like that of the training, and of twice the excitation."""
    active, after = round(1000 / driver.dt_ms), round((RETURN_MS + 1000) / driver.dt_ms)
    lanes = [driver.poisson(active, 1 + driver.excites * (lane % 2)) for lane in range(LANES)]
    out = driver.run(lanes, active + after)
    late = slice(active + round(RETURN_MS / driver.dt_ms), None)
    at_rest = driver.run([NOTHING], 1).v_mv[0, 0]
    gap, spikes = float(np.abs(out.v_mv[late] - at_rest).max()), int(out.spike[late].sum())
    return Check("back at rest after input ends", gap <= SETTLED_MV and spikes == 0,
                 f"{gap:.3f} mV from rest, {spikes} spikes, {RETURN_MS / 1000:g} to {RETURN_MS / 1000 + 1:g} s later",
                 f"at most {SETTLED_MV:g} mV, no spike")  # fmt: skip


def voltage_range(driver: Driver) -> Check:
    """Under input like the training's, thrice its rates, ten times its weights, volleys, and its range of currents."""
    steps = round(1000 / driver.dt_ms)
    exc, every = driver.excites.astype(float), np.ones(len(driver.types))
    drives = [(every, 1), (every + 2 * exc, 1), (3 * exc, 1), (3 - 3 * exc, 1), (every, 10), (3 * every, 0.1)]
    kinds = [driver.poisson(steps, factors, weight) for factors, weight in drives]
    kinds.append(driver.every_input(np.arange(50, steps, 100), 10))
    if driver.current_range_na:
        kinds += [driver.current(np.arange(100, steps), na) for na in driver.current_range_na]
    out = driver.run(kinds, steps)
    low, high = float(out.v_mv[:, : len(kinds)].min()), float(out.v_mv[:, : len(kinds)].max())
    return Check("voltage between the reversal potentials", V_RANGE_MV[0] <= low and high <= V_RANGE_MV[1],
                 f"{low:.1f} to {high:.1f} mV", f"{V_RANGE_MV[0]:g} to {V_RANGE_MV[1]:g} mV")  # fmt: skip


def causality(driver: Driver) -> Check:
    """Two inputs that are one until a step give one output until then."""
    steps = round(600 / driver.dt_ms)
    same = steps // 2
    first = driver.poisson(steps, 1 + driver.excites)
    other = Events.join(first.until(same), driver.every_input(np.arange(same, steps, 7), 3))
    out = driver.run([first, other], steps)
    differ = np.flatnonzero((out.logit[:, 0] != out.logit[:, 1]) | (out.v_mv[:, 0] != out.v_mv[:, 1]))
    earliest = int(differ[0]) if differ.size else steps
    return Check("causality: output follows its input", same <= earliest < steps,
                 f"first difference at step {earliest}", f"step {same}, where the inputs part, or later")  # fmt: skip


def time_shift(driver: Driver) -> Check:
    """The same input later gives the same output later."""
    steps, shift = round(1000 / driver.dt_ms), 137
    lanes = [driver.poisson(steps, 1 + driver.excites) for _ in range(LANES // 2)]
    out = driver.run([*lanes, *(events.later(shift) for events in lanes)], steps + shift)
    half = LANES // 2
    now, later = (slice(0, steps), slice(0, half)), (slice(shift, None), slice(half, LANES))
    gap = float(np.abs(out.v_mv[now] - out.v_mv[later]).max())
    moved = int((out.spike[now] != out.spike[later]).sum())
    return Check("time-shift invariance", gap <= SHIFT_MV and moved == 0,
                 f"{gap:.4f} mV, {moved} steps with other spikes", f"at most {SHIFT_MV:g} mV, none")  # fmt: skip


def bounded(driver: Driver, long_steps: int = LONG_STEPS) -> Check:
    """A long run of 16 different inputs, from none to a hundred times the training's: finite, and growing no more."""
    pattern = 2000
    n = len(driver.types)
    every, now_and_then = np.arange(pattern), np.arange(0, pattern, 100)
    exc, inh = driver.excites, ~driver.excites
    lanes = [
        NOTHING, *(driver.poisson(pattern, np.full(n, f), w) for f, w in ((1, 1), (1, 10), (0.1, 100), (3, 0.1))),
        driver.poisson(pattern, 3.0 * exc), driver.poisson(pattern, 3.0 * inh),
        *(driver.every_input(every, w) for w in (1, 100)), driver.every_input(every, 10, exc),
        driver.every_input(every, 10, inh), *(driver.every_input(now_and_then, w) for w in (1, 10, 100)),
        driver.every_input(np.arange(pattern // 2), 10, exc), driver.every_input(every[::2], 10, exc),
    ]  # fmt: skip
    if driver.current_range_na:
        lanes[-1] = driver.current(every, 10 * max(driver.current_range_na, key=abs))
    sizes: list[float] = []

    def watch(out: Outcome) -> None:
        numbers = (np.abs(out.state).max(), np.abs(out.v_mv).max(), np.abs(out.logit).max())
        sizes.append(float(max(numbers)) if np.isfinite(numbers).all() else np.inf)

    driver.run(lanes, pattern, repeats=max(8, -(-long_steps // pattern)), each=watch)
    quarter = len(sizes) // 4
    early, late = max(sizes[:quarter]), max(sizes[-quarter:])
    return Check(f"state bounded over {pattern * len(sizes):,} steps of any input",
                 bool(np.isfinite(max(sizes)) and late <= GROWTH * early),
                 f"largest number {early:.3g} in the first quarter, {late:.3g} in the last",
                 f"finite, growing by at most {GROWTH - 1:.0%}")  # fmt: skip


def excitation(predictions: list[Prediction], excites: np.ndarray) -> Check:
    """Recorded trials in four groups by their excitation: where the detailed rate rises, the reduced one may not fall.

    A rise counts if it exceeds twice its standard error over the trials of both groups.
    """
    name, expected = "more excitation never lowers the rate where the detailed rate rises", "none"
    drive = np.array([p.input_us_per_s[excites].sum() for p in predictions if p.input_us_per_s is not None])
    if len(drive) < len(predictions) or len(drive) < 2 * GROUPS:
        return Check(name, None, f"{len(drive)} trials, too few", expected)
    rates = np.array([[len(train) / p.duration_ms() * 1000 for train in p.spike_trains()] for p in predictions])
    groups = np.array_split(np.argsort(drive, kind="stable"), GROUPS)
    means = np.array([rates[g].mean(0) for g in groups])
    errors = np.array([rates[g].std(0, ddof=1) / np.sqrt(len(g)) for g in groups])
    pairs = [(a, b) for a in range(GROUPS) for b in range(a + 1, GROUPS)
             if means[b, 0] - means[a, 0] > 2 * np.hypot(errors[a, 0], errors[b, 0])]  # fmt: skip
    wrong = [(a, b) for a, b in pairs if means[b, 1] < means[a, 1]]
    measured = "; ".join(f"{t:.2f} and {m:.2f} Hz" for t, m in means)
    return Check(name, not wrong if pairs else None, f"{len(wrong)} of {len(pairs)} rises (detailed and reduced, from "
                 f"the least to the most excited: {measured})", expected)  # fmt: skip
