"""Old names of public arguments work for one more release."""

import pytest

import netml
from netml.deprecation import renamed_arguments


@renamed_arguments(old="new")
def called(first, *, new=0):
    return first, new


def test_an_old_name_warns_and_works():
    with pytest.warns(DeprecationWarning, match="argument 'old' of called is now called 'new'"):
        assert called(1, old=2) == (1, 2)
    assert called(1, new=2) == (1, 2)


def test_both_names_are_an_error():
    with pytest.raises(TypeError, match="both 'old' and 'new'"):
        called(1, old=2, new=3)


def test_simulate_and_swap_still_take_their_old_words(tmp_path):
    """What is wrong with the model is said after the old name was understood."""
    with pytest.warns(DeprecationWarning, match="'swap' of simulate"), pytest.raises(netml.NetmlError, match="model"):
        netml.simulate(tmp_path / "nowhere", swap={"PYR": "PYR.netml"})
    with pytest.warns(DeprecationWarning, match="'artifacts' of swap"), pytest.raises(AttributeError):
        netml.swap(None, artifacts={"PYR": "PYR.netml"})
