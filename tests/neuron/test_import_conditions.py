"""A cell that NetPyNE holds keeps the temperature and initial voltage it was made for; the comparison shows it."""

import json
import pickle

import pytest

from netml.engine.cell_import.experiment import default_conditions
from netml.engine.cell_import.import_cell import import_cell

GEOM = {"L": 20.0, "diam": 20.0, "nseg": 1, "Ra": 100.0, "cm": 1.0}
ACTIVE = {"soma": {"geom": GEOM, "mechs": {"hh": {"gnabar": 0.12, "gkbar": 0.036, "gl": 3e-4, "el": -54.3}}}}
DEFAULT = "celsius is 6.3 degC, and v_init -65 mV, NEURON's default; hh depends on the temperature. If the cell"


def saved(settings, own):
    """A network as NetPyNE saves it."""
    cells = {"A": {"secs": ACTIVE, "globals": own}}
    return {"net": {"params": {"cellParams": cells, "synMechParams": {}}}, "simConfig": {"hParams": settings}}


@pytest.mark.slow
@pytest.mark.parametrize("content, options, celsius, v_init, told", [
    ({"secs": ACTIVE, "globals": {"celsius": 16.0, "vinit": -70.0}}, {}, 16.0, -70.0, False),
    (saved({"celsius": 16.0, "v_init": -71.0}, {"celsius": 9.0}), {}, 16.0, -71.0, False),
    ({"secs": ACTIVE, "globals": {"celsius": 16.0}}, {"celsius": 6.3}, 6.3, -65.0, False),  # somebody chose it
    ({"secs": ACTIVE}, {}, 6.3, -65.0, True),
])  # fmt: skip
def test_they_count_and_the_voltage_is_the_originals(tmp_path, content, options, celsius, v_init, told):
    file = tmp_path / ("cell.pkl" if "net" in content else "cell.json")
    file.write_bytes(pickle.dumps(content) if "net" in content else json.dumps(content).encode())
    lines: list[str] = []
    folder = import_cell(file, tmp_path / "project", rate=0, progress=False, say=lines.append, **options)
    values, said = json.loads((folder / "cells" / "values.json").read_text()), "\n".join(lines)
    assert (values["celsius"], values["v_init"]) == (celsius, v_init)
    assert "spikes) its voltage is exactly the original's" in said
    assert (DEFAULT in said) == ("default" in said) == told


def test_neurons_defaults_are_said_where_something_depends_on_them():
    from neuron import h

    assert default_conditions(h, ["pas", "hh"], 6.3, -65.0)[0].startswith(DEFAULT)
    assert "v_init" not in default_conditions(h, ["hh"], 6.3, -70.0)[0].partition(";")[0]
    assert default_conditions(h, ["pas"], 6.3, -65.0) == ()
    assert default_conditions(h, ["hh"], 34.0, -65.0) == ()
