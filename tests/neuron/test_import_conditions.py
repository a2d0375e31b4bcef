"""A cell that NetPyNE holds keeps the temperature and initial voltage it was made for; the comparison shows it."""

import json
import pickle

import pytest

from netml.engine.cell_import.import_cell import import_cell

GEOM = {"L": 20.0, "diam": 20.0, "nseg": 1, "Ra": 100.0, "cm": 1.0}
ACTIVE = {"soma": {"geom": GEOM, "mechs": {"hh": {"gnabar": 0.12, "gkbar": 0.036, "gl": 3e-4, "el": -54.3}}}}
PASSIVE = {"soma": {"geom": GEOM, "mechs": {"pas": {"g": 1e-4, "e": -65.0}}}}
DEFAULT = "celsius is 6.3 degC, and v_init -65 mV, NEURON's default; hh depends on the temperature"


def made(tmp_path, source, **options) -> tuple[dict, str]:
    """The project's values, and what the import said."""
    said: list[str] = []
    folder = import_cell(source, tmp_path / "project", rate=0, progress=False, say=said.append, **options)
    return json.loads((folder / "cells" / "values.json").read_text()), "\n".join(said)


def written(tmp_path, content):
    file = tmp_path / ("cell.pkl" if "net" in content else "cell.json")
    file.write_bytes(pickle.dumps(content) if file.suffix == ".pkl" else json.dumps(content).encode())
    return file


def saved(settings, own):
    """A network as NetPyNE saves it."""
    cells = {"A": {"secs": ACTIVE, "globals": own}}
    return {"net": {"params": {"cellParams": cells, "synMechParams": {}}}, "simConfig": {"hParams": settings}}


@pytest.mark.parametrize(
    "content, options, celsius, v_init",
    [
        ({"secs": ACTIVE, "globals": {"celsius": 16.0, "v_init": -70.0}}, {}, 16.0, -70.0),
        pytest.param(
            {"secs": ACTIVE, "globals": {"vinit": -70.0}}, {"celsius": 16.0}, 16.0, -70.0, marks=pytest.mark.slow
        ),
        pytest.param(
            saved({"celsius": 16.0, "v_init": -65.0}, {"v_init": -70.0}), {}, 16.0, -70.0, marks=pytest.mark.slow
        ),
        pytest.param(
            saved({"celsius": 16.0, "v_init": -70.0}, {"celsius": 9.0}), {}, 16.0, -70.0, marks=pytest.mark.slow
        ),
    ],
)
def test_they_count_and_the_voltage_is_the_originals(tmp_path, content, options, celsius, v_init):
    values, said = made(tmp_path, written(tmp_path, content), **options)
    assert (values["celsius"], values["v_init"]) == (celsius, v_init)
    assert "spikes) its voltage is exactly the original's" in said and "default" not in said


@pytest.mark.slow
def test_neurons_defaults_are_said_where_something_depends_on_them(tmp_path):
    assert DEFAULT in made(tmp_path, written(tmp_path, {"secs": ACTIVE}))[1]


@pytest.mark.slow
@pytest.mark.parametrize("content, options", [({"secs": PASSIVE}, {}), ({"secs": ACTIVE}, {"celsius": 6.3})])
def test_they_are_not_said_where_nothing_does_or_somebody_chose(tmp_path, content, options):
    assert "default" not in made(tmp_path, written(tmp_path, content), **options)[1]
