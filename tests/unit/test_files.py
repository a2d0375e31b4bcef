"""Where output may go is said before a long task starts."""

import pytest

from netml.errors import OutputError
from netml.files import output_folder


def test_folder_is_made_and_left_empty(tmp_path):
    folder = output_folder(tmp_path / "a" / "b")
    assert folder.is_dir() and not list(folder.iterdir())
    assert output_folder(folder) == folder


@pytest.mark.parametrize("below", ["file", "file/folder"])
def test_a_place_that_cannot_be_written(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write to the folder .*file.*; choose another --output"):
        output_folder(tmp_path / below)
    assert (tmp_path / "file").read_text() == "mine"
