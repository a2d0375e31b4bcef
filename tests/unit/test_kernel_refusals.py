"""The C++ kernel answers what it cannot run, or what is not there, with a code: it trusts nobody."""

import ctypes
import os
import resource
from itertools import product
from pathlib import Path

import damaged_artifacts as damage
import numpy as np
import pytest

from netml.population.c_interface import FLIGHT, INJECTED, NEVER, POST_SPIKE, REWARD, Plasticity, load_library
from netml.population.from_artifact import create
from netml.reductions import kernel
from netml.reductions.kernel import Reduction

NO_MEMORY, REFUSED = -1, -2
KIND, SIZES, INPUTS, PARAMS, WIRING, COUNTS, NUMBERS, CHANNELS = range(1, 9)
ROWS, CELLS, PROJECTIONS = 3, 18, 2  # projection 0 is static, 1 has STDP
FAR = (-1, 99, -(2**31), 2**31 - 1)


def check(shape, params: int, wiring) -> int:
    shape, wiring = np.array(shape, np.int32), np.array(wiring, np.int32)
    return kernel.load().check(shape.ctypes.data, shape.size, params, wiring.size, wiring.ctypes.data)


@pytest.mark.parametrize("make", [damage.leaky, damage.cable])
def test_every_size_and_every_index_is_checked(make):
    reduction = Reduction.of(make())
    shape, params, wiring = reduction.shape.tolist(), reduction.params.size, reduction.wiring.tolist()
    assert check(shape, params, wiring) == 0
    for k, name in enumerate(reduction.dims._fields, 1):
        for wrong in (shape[k] - 1, shape[k] + 1, 2 * shape[k] + 3, 2**16, 2**20 + 1, 2**31 - 1, -(2**31)):
            another_head = (name, wrong) == ("expected", 1)
            inputs_that_none_reads = shape[0] == 0 and name == "inputs" and shape[k] < wrong <= 2**20
            fits = check([*shape[:k], wrong, *shape[k + 1 :]], params, wiring) == 0
            assert fits == (another_head or inputs_that_none_reads), (name, wrong)
    for k, wrong in product(range(len(wiring)), (-1, 2**31 - 1, -(2**31), 11)):
        assert check(shape, params, [*wiring[:k], wrong, *wiring[k + 1 :]]) == WIRING
    assert check(shape, params, wiring[:-1]) == check(shape, params, [*wiring, 0]) == WIRING
    assert check(shape, params - 1, wiring) == check(shape, params + 1, wiring) == PARAMS
    assert check([2, *shape[1:]], params, wiring) == check([-1, *shape[1:]], params, wiring) == KIND
    assert check([], params, wiring) == KIND
    assert check(shape[:-1], params, wiring) == check([*shape, 0], params, wiring) == SIZES


def test_sizes_whose_product_is_no_32_bit_number():
    huge = damage.CABLE._replace(compartments=2**20, receptors=2**20, inputs=2**20)
    assert check([1, *huge], 10, [0]) == SIZES
    assert check([1, *damage.CABLE._replace(compartments=2**20, rank=2**20)], 10, [0]) == SIZES


def test_flags_and_inputs_that_do_not_agree():
    reduction = Reduction.of(damage.cable())
    wiring, dims = reduction.wiring.copy(), reduction.dims
    flags = slice(dims.compartments + dims.receptors, dims.compartments + 2 * dims.receptors)
    wiring[flags] ^= 1
    assert check(reduction.shape, reduction.params.size, wiring) == COUNTS
    assert check([1, *dims._replace(inputs=dims.inputs + 1)], reduction.params.size, reduction.wiring) == INPUTS


def test_every_answer_has_words():
    said = [kernel.load().reason(k).decode() for k in range(REFUSED, CHANNELS + 1)]
    assert len(set(said)) == len(said) and "unknown" not in said and kernel.load().reason(99) == b"unknown"


@pytest.mark.parametrize(
    "what, value, code",
    [
        ("params", np.nan, NUMBERS), ("params", np.inf, NUMBERS), ("threshold", np.nan, NUMBERS),
        ("rest_mv", np.inf, NUMBERS), ("dt_r_ms", 0.0, NUMBERS), ("dt_r_ms", -1.0, NUMBERS), ("dt_r_ms", 1e9, NUMBERS),
        ("dt_r_ms", np.nan, NUMBERS), ("quantum", 0.0, NUMBERS), ("quantum", np.nan, NUMBERS),
        ("quantum", 1e30, NUMBERS), ("quantum", 1e-45, NUMBERS), ("channel_input", 4, CHANNELS),
        ("channel_input", -1, CHANNELS),
        ("gain", np.inf, CHANNELS), ("synapse_sites", -1, CHANNELS), ("shape_count", 3, SIZES),
        ("param_count", 0, PARAMS),
        ("wiring_count", 0, WIRING),
    ],
)  # fmt: skip
def test_a_population_of_what_cannot_run_is_not_made(what, value, code):
    artifact, library = damage.leaky(), load_library()
    reduction, arrays = Reduction.of(artifact), {k: v.copy() for k, v in artifact.arrays.items()}
    params, given = reduction.params.copy(), {"threshold": 1.0, "rest_mv": -70.0, "dt_r_ms": 1.0, "quantum": 1e-6,
        "synapse_sites": 8, "shape_count": 7, "param_count": reduction.params.size, "wiring_count": 4}  # fmt: skip
    target = {"params": params, "channel_input": arrays["channel_input"], "gain": arrays["channel_gain"]}.get(what)
    if target is None:
        given[what] = value
    else:
        target[-1] = value
    why = ctypes.c_int32(77)
    tables = [arrays["channel_input"], arrays["channel_gain"], arrays["channel_seen"], *np.ones((2, 8), np.float32)]
    handle = library.netml_population_new(
        reduction.shape.ctypes.data, given["shape_count"], params.ctypes.data, given["param_count"],
        reduction.wiring.ctypes.data, given["wiring_count"], *(given[k] for k in ("threshold", "rest_mv", "dt_r_ms")),
        given["quantum"], given["synapse_sites"], *(t.ctypes.data for t in tables), ctypes.byref(why),
    )  # fmt: skip
    assert handle is None and why.value == code


class Bare:
    """A population by its C functions alone: netml_population_<name>(population, ...)."""

    def __init__(self, frozen: bool):
        self.library = load_library()
        self.handle = create(self.library, damage.cable())
        self.one_projection_more()
        if frozen:
            self.freeze()

    def __getattr__(self, name):
        function = getattr(self.library, f"netml_population_{name}")
        return lambda *arguments: function(self.handle, *arguments)

    def one_projection_more(self) -> int:
        rule = Plasticity(stdp=1, tau_plus_ms=20, tau_minus_ms=20, tau_eligibility_ms=100, high_us=1.0, use=1.0)
        return self.add_projection(ctypes.byref(rule))

    def freeze(self, cells: int = CELLS, rows: int = ROWS, threads: int = 1) -> int:
        gids = np.arange(max(cells, 0))
        return self.library.netml_population_freeze(self.handle, cells, gids.ctypes.data, rows, threads)

    def added(self, projection: int, row=0, cell=0, rows=ROWS, cells=CELLS, amount=1) -> int:
        columns = [np.array([k], "i4") for k in (row, cell, 0)] + [np.array([v], float) for v in (2e-3, 1.0)]
        return self.add(projection, rows, cells, amount, *(c.ctypes.data for c in columns))

    def handed(self, name: str, *arguments) -> tuple[int | None, int]:
        number = ctypes.c_int64(77)
        address = getattr(self, name)(*arguments, ctypes.byref(number))
        return address, number.value

    def restored(self, steps=0, **items) -> int:
        parts = [np.atleast_1d(items.get(k, np.empty(0))) for k in ("flights", "posts", "rewards", "injected")]
        return self.restore(steps, *(x for part in parts for x in (part.size, part.ctypes.data)))


@pytest.fixture(params=[True, False], ids=["frozen", "not frozen"])
def bare(request):
    made = Bare(request.param)
    yield made, request.param
    made.delete()


def of(dtype, **fields) -> np.ndarray:
    made = np.zeros(1, dtype)
    for name, value in fields.items():
        made[name] = value
    return made


def test_a_projection_that_is_not_there(bare):
    population, _ = bare
    for k in FAR:
        assert population.synapse_count(k) == REFUSED
        assert population.read_synapses(k, 1, *[None] * 6) == REFUSED
        assert population.write_synapses(k, None, None) == REFUSED
        assert population.handed("row_states", k) == (None, REFUSED)
        assert population.reward(k, 1.0) == REFUSED
        assert population.added(k) == REFUSED
    assert population.reward(0, 1.0) == REFUSED  # it does not learn
    assert population.reward(1, np.nan) == REFUSED and population.reward(1, 1.0) == 0


def test_what_comes_before_its_time(bare):
    population, frozen = bare
    expected = 0 if frozen else REFUSED
    assert population.step() == population.reset() == expected
    assert population.synapse_count(1) == expected
    for name in ("flights", "post_spikes"):
        assert population.handed(name)[1] == expected
    assert population.restored() == expected
    assert (population.voltage() is None) == (population.state() is None) == (not frozen)
    assert population.handed("rewards")[1] == population.handed("injected")[1] == population.handed("currents")[1] == 0
    population.one_projection_more()
    assert population.step() == population.synapse_count(0) == population.restored() == REFUSED
    assert population.freeze() == 0 and population.step() == population.synapse_count(2) == 0


def test_rows_cells_and_times_that_are_not_there():
    population = Bare(frozen=True)
    for deliver, (row, spike_ms) in product((population.deliver, population.deliver_once), (
        *((row, 0.5) for row in (*FAR, 2**40)), *((0, t) for t in (np.nan, np.inf, -np.inf, 1e300)),
    )):  # fmt: skip
        assert deliver(row, spike_ms) == REFUSED
    assert population.deliver(0, 0.5) == population.deliver_once(1, 0.5) == 0
    for arrival_ms in (np.nan, np.inf, 1e300, -5.0):
        columns = np.zeros(1, "i4"), np.zeros(1, "i4"), np.full(1, 1e-3), np.full(1, arrival_ms)
        assert population.inject(1, *(c.ctypes.data for c in columns)) == 1
    clamp = np.dtype([("cell", "i8"), ("start_ms", "f8"), ("end_ms", "f8"), ("amplitude", "f8")])
    for wrong in ({"cell": -1}, {"cell": CELLS}, {"start_ms": np.nan}, {"amplitude": np.inf}, {"amplitude": 1e300}):
        both = np.concatenate([of(clamp, end_ms=9), of(clamp, **wrong)])
        assert population.clamp(2, both.ctypes.data) == 2
    current = np.full(CELLS, np.inf, np.float32)
    assert population.set_current(current.ctypes.data) == REFUSED
    assert population.added(0, amount=-1) == population.added(0, amount=-(2**40)) == REFUSED
    assert population.step() == 0 and np.isfinite(voltages(population)).all()
    population.delete()


def voltages(population) -> np.ndarray:
    return np.ctypeslib.as_array(ctypes.cast(population.voltage(), ctypes.POINTER(ctypes.c_float)), (CELLS,))


def test_a_freeze_that_loses_synapses_cells_or_sense():
    population = Bare(frozen=True)
    assert population.added(0, row=2, cell=CELLS - 1) == 0
    for cells, rows in ((CELLS - 1, ROWS), (CELLS, ROWS - 1), (-1, ROWS), (CELLS, -1), (CELLS, 2**33)):
        assert population.freeze(cells, rows) == REFUSED
    assert population.freeze(threads=-5) == 0 and population.synapse_count(0) == 1
    assert population.step() == 0
    population.delete()


def test_a_checkpoint_of_what_is_not_there():
    population = Bare(frozen=True)
    assert population.added(0) == population.added(1, row=1, cell=1) == 0 and population.freeze() == 0
    late = 2**63 - 1
    wrong = [
        *({"flights": of(FLIGHT, previous=NEVER, **{k: v})} for k, v in product(("row", "projection"), FAR)),
        *({"flights": of(FLIGHT, **{k: v})} for k, v in product(("tick", "previous"), (late, -late))),
        *({"posts": of(POST_SPIKE, projection=1, **{"cell": v})} for v in FAR),
        *({"posts": of(POST_SPIKE, projection=v)} for v in (0, *FAR)),
        {"posts": of(POST_SPIKE, projection=1, tick=late)}, {"rewards": of(REWARD, projection=1, tick=late)},
        *({"rewards": of(REWARD, projection=v)} for v in (0, *FAR)),
        *({"injected": of(INJECTED, step=9, **{k: v})} for k, v in product(("cell", "input"), FAR)),
        {"injected": of(INJECTED, step=9, weight=-1)}, {"injected": of(INJECTED, step=2)},
    ]  # fmt: skip
    for items in wrong:
        assert population.restored(5, **items) == REFUSED, items
    for steps in (-1, -late, late, 2**60):
        assert population.restored(steps) == REFUSED
    whole = {"flights": of(FLIGHT, tick=5_500_000, previous=NEVER, factor=1), "rewards": of(REWARD, projection=1),
             "posts": of(POST_SPIKE, projection=1, cell=1), "injected": of(INJECTED, step=6, weight=5)}  # fmt: skip
    assert population.restored(5, **whole) == 0
    assert population.handed("flights")[1] == population.handed("injected")[1] == 1
    assert [population.step() for _ in range(4)] and np.isfinite(voltages(population)).all()
    population.delete()


def test_judges_of_another_size():
    population = Bare(frozen=True)
    for cells, rows in ((CELLS + 1, ROWS), (CELLS, ROWS + 1)):
        other = Bare(frozen=False)
        assert other.freeze(cells, rows) == 0 and population.shadow(other.handle) == REFUSED
        other.delete()
    assert population.shadow(population.handle) == REFUSED
    other = Bare(frozen=True)
    assert population.shadow(other.handle) == 0 and population.step() == 0
    other.one_projection_more()  # a shadow that is not in use keeps all from stepping
    assert population.step() == population.reset() == REFUSED
    assert other.freeze() == 0 and population.step() == 0
    population.delete()
    other.delete()


@pytest.mark.skipif("sanitize" in os.environ.get("NETML_KERNEL_FLAGS", ""), reason="a sanitizer ends the process here")
def test_want_of_memory_is_said_and_does_no_harm():
    population = Bare(frozen=True)
    assert population.added(0) == population.freeze() == 0
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, limits[1]))
    try:
        assert population.freeze(CELLS, 2**31 - 1) == NO_MEMORY
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert population.step() == REFUSED
    assert population.freeze() == population.step() == 0 and population.synapse_count(0) == 1
    population.delete()
