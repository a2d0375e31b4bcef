"""The kernel under AddressSanitizer and UndefinedBehaviorSanitizer: parity tests, refusals and damaged artifacts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netml.toolchain import compiler, run_command

TESTS = Path(__file__).resolve().parents[1]
# Null pointers end the process anyway, and looking for them triples the time to build. With -fexpensive-optimizations
# products and sums are fused as in the kernel of every day, so that the parity tests' tolerances hold.
FLAGS = "-O1 -fexpensive-optimizations -g1 -fsanitize=address,undefined -fno-sanitize=null,vptr,object-size"
FILES = (
    "parity/test_kernel.py", "parity/test_population.py", "parity/test_population_seam.py", "parity/test_plasticity.py",
    "unit/test_kernel_refusals.py", "unit/test_artifact_damage.py",
)  # fmt: skip
# NEURON is not built for it; the others do for long what those that stay do for less.
LEFT_OUT = (
    "inside_neuron", "currents_match_torch", "free_run_matches_torch", "test_matches_torch", "long_run",
    "counts_the_steps", "finite_differences",
)  # fmt: skip
OVERFLOW = """
import numpy as np
from netml.reductions import kernel
from netml.reductions.layouts import Dims, parameter_shapes, shape_of
dims, k = Dims(4, 4, 2, 6, 8), kernel.load()
params = np.zeros(sum(int(np.prod(s)) for s in parameter_shapes(dims).values()), np.float32)
state = np.zeros((k.state_count(shape_of(dims).ctypes.data) - 1, 16), np.float32)
k.init_state(shape_of(dims).ctypes.data, params.ctypes.data, state.ctypes.data, 1)
"""


def sanitized(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python with the runtime of the sanitizers, whose kernel is built for them."""
    libraries = [run_command([*compiler(), f"-print-file-name=lib{name}.so"]).strip() for name in ("asan", "ubsan")]
    if not all(os.path.isabs(library) for library in libraries):
        pytest.skip("the compiler has no AddressSanitizer")
    environment = os.environ | {
        "LD_PRELOAD": " ".join(libraries), "NETML_KERNEL_FLAGS": f"{FLAGS} -fno-sanitize-recover=undefined",
        "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_nothing_is_read_or_written_out_of_bounds():
    done = sanitized("-c", OVERFLOW)
    assert done.returncode and "heap-buffer-overflow" in done.stderr, done.stdout + done.stderr  # it would be seen
    # -s: what a sanitizer says before it ends the process is not lost in pytest's own capture.
    done = sanitized(
        "-m", "pytest", "-q", "-s", "-x", "-p", "no:cacheprovider", "-k", " and ".join(f"not {k}" for k in LEFT_OUT),
        *(str(TESTS / name) for name in FILES),
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
