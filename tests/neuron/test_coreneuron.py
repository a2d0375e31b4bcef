"""A model that CoreNEURON does not take runs in NEURON, and one line says what it was and why."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import netml
from netml.engine.mechanisms import coreneuron
from netml.engine.mechanisms.build import build_mechanisms
from netml.engine.mechanisms.installation import HIDDEN
from netml.errors import CompileError

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parents[1] / "fixtures"
TABLE = """
NEURON { SUFFIX user_table NONSPECIFIC_CURRENT i RANGE g }
PARAMETER { g = 1e-5 (siemens/cm2) }
ASSIGNED { v (millivolt) i (milliamp/cm2) }
FUNCTION_TABLE shape(v (millivolt))
BREAKPOINT { i = g*shape(v)*(v + 65) }
"""


def test_a_mod_file_that_it_does_not_translate(tmp_path):
    (tmp_path / "file_of_table.mod").write_text(TABLE)
    library = build_mechanisms([tmp_path], "coreneuron")
    assert library.refused.startswith("user_table (file_of_table.mod): its translator fails: ")
    assert "shape" in library.refused and "\n" not in library.refused
    assert library.nrnmech.is_file() and library.corenrnmech is None
    assert build_mechanisms([tmp_path], "neuron").nrnmech == library.nrnmech


def test_what_neuron_does_not_build_either_is_an_error(tmp_path):
    (tmp_path / "wrong.mod").write_text(TABLE.replace("(v + 65)", "(v + 65"))
    with pytest.raises(CompileError, match=r"building .*wrong.mod failed"):
        build_mechanisms([tmp_path], "coreneuron")


def test_a_global_that_threads_would_share(tmp_path):
    """The translator's own words (CoreNEURON of NEURON 9.0.2)."""
    path = tmp_path / "globals.mod"
    path.write_text("NEURON { SUFFIX user_globals GLOBAL minf }")
    output = (
        "[NMODL] [error] :: Code incompatibility detected\n[NMODL] [error] :: Fix the following errors and try again\n"
        '[NMODL] [error] :: Code Incompatibility :: "minf" variable found at [1.60-63] should be defined as a RANGE '
        "variable instead of GLOBAL to enable backend transformations\n\n"
        "make: *** [share/nrnivmodl_core_makefile:185: x86_64/corenrn/mod2c/globals.cpp] Error 1\n"
    )
    assert '"minf" variable' in coreneuron.refusal(output, {path.name: path})


def test_a_mod_file_of_which_it_keeps_other_numbers(tmp_path):
    """Three users' mod files, one with VERBATIM and without THREADSAFE: CoreNEURON would end the process in its run.

    By NEURON's own translation; compiling it for CoreNEURON takes most of a minute.
    """
    folder = FIXTURES / "cells" / "mod"
    files = {path.name: path for path in sorted(folder.glob("*.mod"))}
    translator = Path(find_spec("neuron").origin).parent / ".data" / "bin" / "nocmodl"
    (tmp_path / "built").mkdir()
    for name in files:
        shutil.copy(folder / name, tmp_path / "built")
        environment = {key: value for key, value in os.environ.items() if key not in HIDDEN}
        environment |= {"NRNUNITS": str(translator.parents[1] / "share" / "nrn" / "lib" / "nrnunits.lib")}
        subprocess.run([translator, name], cwd=tmp_path / "built", env=environment, check=True, capture_output=True)
    assert coreneuron.unthreaded(tmp_path, files) == (
        "user_ca (user_ca.mod): it has VERBATIM without THREADSAFE in its NEURON block (say so there if its code is)"
    )
    assert coreneuron.unthreaded(tmp_path, {name: path for name, path in files.items() if name != "user_ca.mod"}) == ""


def test_a_mod_file_that_it_does_not_compile(tmp_path):
    """The compiler's words on VERBATIM that takes an argument of hoc (CoreNEURON of NEURON 9.0.2, g++ 12)."""
    (tmp_path / "argument.mod").write_text("NEURON { SUFFIX user_argument RANGE g }")
    output = (
        "x86_64/corenrn/mod2c/argument.cpp: In function 'int coreneuron::setg()':\n"
        "x86_64/corenrn/mod2c/argument.cpp:230:17: error: 'ifarg' was not declared in this scope\n"
    )
    path = tmp_path / "argument.mod"
    refused = coreneuron.refusal(output, {path.name: path})
    assert refused == "user_argument (argument.mod): its compiler says: 'ifarg' was not declared in this scope"
    assert coreneuron.refusal("Killed", {}) == ""


def test_a_network_with_what_it_does_not_have(tmp_path, capfd):
    """Its run is NEURON's; records are taken in NEURON too, with one line for all launches."""
    model = tmp_path / "tiny"
    shutil.copytree(FIXTURES / "tiny", model, ignore=shutil.ignore_patterns("mod", "__pycache__"))
    text = (model / "netParams.py").read_text()
    (model / "netParams.py").write_text(text.replace('"tiny_leak": {"g": 1e-5, "e": -65.0}', '"extracellular": {}'))
    common = {"duration": 50.0, "build": "fast"}
    run = netml.Run.open(netml.simulate(model, engine="coreneuron", output=tmp_path / "run", **common))
    line = "netml: CoreNEURON does not take extracellular (section 'soma' of cellParams 'I'); running in NEURON\n"
    assert capfd.readouterr().err == line
    assert run.metadata["engine"] == "neuron" and run.metadata["coreneuron_refused"].startswith("extracellular")
    asked = netml.Run.open(netml.simulate(model, engine="neuron", output=tmp_path / "asked", **common))
    assert capfd.readouterr().err == "" and asked.metadata["coreneuron_refused"] == ""
    for population in run.populations:
        for own, expected in zip(run.spikes(population), asked.spikes(population), strict=True):
            np.testing.assert_array_equal(own, expected)
    records = netml.record(model, population="E", network_trials=2, protocol_trials=2, output=tmp_path / "r", **common)
    assert capfd.readouterr().err == line
    assert netml.Records.open(records).provenance["engine"] == "neuron"
