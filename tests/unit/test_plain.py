"""NumPy's numbers are numbers wherever a user can give one."""

import json
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

import netml
from netml.plain import is_number, make_plain, plain, plain_arguments, to_json

NUMBERS = [
    (np.int64(3), 3), (np.uint8(3), 3), (np.float32(0.5), 0.5), (np.float64(0.1), 0.1), (np.bool_(True), True),
    (np.array(2.5), 2.5), (np.str_("E"), "E"), (7, 7), (None, None),
]  # fmt: skip


@pytest.mark.parametrize("given, expected", NUMBERS)
def test_a_number_becomes_pythons(given, expected):
    for found in (plain(given), plain({"a": [given]})["a"][0], plain((given, 1))[0]):
        assert found == expected and type(found) is type(expected)


def test_arrays_with_axes_and_other_objects_stay_themselves():
    array, other = np.arange(3), object()
    assert plain(array) is array and plain(other) is other and plain({"x": array})["x"] is array


def test_containers_of_other_classes_are_changed_in_place():
    inner = OrderedDict(tau=np.float32(0.5), loc=[np.float64(0.25), (np.int32(1),)])
    outer = OrderedDict(exc=inner)
    assert make_plain(outer) is outer and outer["exc"] is inner
    assert inner == {"tau": 0.5, "loc": [0.25, (1,)]} and type(inner["loc"][1][0]) is int


@pytest.mark.parametrize("value", [1, 0.5, np.int64(1), np.float32(0.5), np.array(2), np.uint8(0)])
def test_what_a_number_is(value):
    assert is_number(value)


@pytest.mark.parametrize(
    "value", [True, np.bool_(False), "1", np.str_("1"), None, [1], np.arange(2), 1j, np.complex64(1)]
)
def test_what_no_number_is(value):
    assert not is_number(value)


def test_a_call_gets_pythons_numbers():
    @plain_arguments
    def call(*args, **kwargs):
        return args, kwargs

    args, kwargs = call(np.int64(3), seeds=[np.int32(1), np.int32(2)], cells=np.arange(2))
    assert args == (3,) and kwargs == {"seeds": [1, 2], "cells": [0, 1]}
    assert {type(one) for one in (*args, *kwargs["seeds"], *kwargs["cells"])} == {int}


def test_json_takes_what_stands_for_plain_data():
    value = {
        "gids": np.arange(2), "dt": np.float64(0.05), "on": np.bool_(True), "file": Path("a.h5"),
        "rates": MappingProxyType({"E": np.float32(0.5)}), "kinds": {"b", "a"},
    }  # fmt: skip
    assert json.loads(to_json(value, indent=1)) == {
        "gids": [0, 1], "dt": 0.05, "on": True, "file": "a.h5", "rates": {"E": 0.5}, "kinds": ["a", "b"],
    }  # fmt: skip
    with pytest.raises(TypeError, match="a object is no plain data"):
        to_json({"x": object()})


def test_every_public_call_takes_them():
    calls = [getattr(netml, name) for name in netml.__all__]
    bare = [one.__name__ for one in calls if not isinstance(one, type) and not hasattr(one, "__wrapped__")]
    assert bare == []
