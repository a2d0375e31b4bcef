"""Where output may go is said before a long task starts; a file appears whole or not at all."""

import errno
from pathlib import Path

import pytest

from netml.errors import OutputError, understood
from netml.files import output_folder, replacing


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


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(LookupError), replacing(path) as temporary:
        temporary.write_text("half")
        raise LookupError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_full_disk_names_the_file_that_it_did_not_take(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(OSError) as told, replacing(path), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")  # the system says no name here
    assert told.value.errno == errno.ENOSPC and told.value.filename == str(path)
    assert str(understood(told.value)).startswith(f"cannot write {path}: ") and not list(tmp_path.iterdir())


def test_an_error_that_has_a_name_keeps_it(tmp_path):
    with pytest.raises(FileNotFoundError) as told, replacing(tmp_path / "x"):
        (tmp_path / "other").read_text()
    assert told.value.filename == str(tmp_path / "other")
