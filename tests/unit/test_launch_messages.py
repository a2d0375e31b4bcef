"""What is said of a rank that died."""

import pytest

from netml.engine.ranks import launch
from netml.errors import LaunchError


def test_the_last_words_of_a_rank_that_died(tmp_path):
    (tmp_path / "rank-0.log").write_text("Segmentation fault\n")
    with pytest.raises(LaunchError, match="killed by SIGABRT.*\n.*Segmentation fault"):
        launch._result(tmp_path, -6, 1)
