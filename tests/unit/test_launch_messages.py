"""What is said of a rank that died."""

import pytest

from netml.engine import launch
from netml.errors import LaunchError, ModelError


def test_a_mechanism_that_coreneuron_does_not_take_is_named(tmp_path):
    """CoreNEURON 9.0.2's own words; it ends the process after them."""
    (tmp_path / "rank-0.log").write_text(
        "Adding stims...\nError: user_ca is a different MOD file than used by NEURON!\nError : NEURON and CoreNEURON "
        "must use same mod files for compatibility, 1 different mod file(s) found. Re-compile special and special-core!\n"
    )
    with pytest.raises(ModelError, match="CoreNEURON cannot take the mechanism user_ca: .*--engine neuron"):
        launch._result(tmp_path, -6, 1)
    (tmp_path / "rank-0.log").write_text("Segmentation fault\n")
    with pytest.raises(LaunchError, match="killed by SIGABRT.*\n.*Segmentation fault"):
        launch._result(tmp_path, -6, 1)
