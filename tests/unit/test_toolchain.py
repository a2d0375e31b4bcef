"""The cache builds once, fails cleanly and keys on content; mod files that clash are named."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from netml import toolchain
from netml.engine.mechanisms.build import build_mechanisms, collect_mod_files, mechanism_names
from netml.errors import CompileError

BUILD_SLOWLY = """
import sys, time
from pathlib import Path
from netml import toolchain

def build(folder):
    with open(sys.argv[1], "a") as log:
        log.write("built\\n")
    time.sleep(float(sys.argv[2]))
    (folder / "made").write_text("whole")

print(toolchain.cached_build(["key"], build, name="slow"))
"""


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NETML_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def start_build(log: Path, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-c", BUILD_SLOWLY, str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def entries(cache: Path) -> list[Path]:
    """Builds; facts and objects of single mod files are no part of them."""
    return [path for path in cache.iterdir() if path.is_dir() and path.name not in ("mod-facts", "objects")]


def test_concurrent_processes_build_once(cache, tmp_path):
    children = [start_build(tmp_path / "log", 1) for _ in range(4)]
    found = {child.communicate(timeout=60)[0] for child in children}
    assert [child.returncode for child in children] == [0] * 4
    assert (tmp_path / "log").read_text() == "built\n"
    assert len(found) == 1 and (Path(found.pop().strip()) / "made").read_text() == "whole"


def test_killed_build_leaves_no_entry_and_is_built_anew(cache, tmp_path):
    log = tmp_path / "log"
    child = start_build(log, 600)
    while not log.exists():
        time.sleep(0.05)
        assert child.poll() is None
    child.kill()
    child.wait()
    assert not any(path.name.startswith("slow-") for path in entries(cache))
    assert start_build(log, 0).wait(60) == 0
    assert [path.name.startswith("slow-") for path in entries(cache)] == [True]


def test_failing_builder_leaves_nothing(cache):
    def build(folder):
        (folder / "half").write_text("half")
        raise CompileError("no")

    with pytest.raises(CompileError):
        toolchain.cached_build(["key"], build)
    assert entries(cache) == []


def test_compile_error_has_the_message_and_the_file(cache, tmp_path):
    source = tmp_path / "broken.cpp"
    source.write_text("int f() { return missing_name; }\n")
    with pytest.raises(CompileError, match=r"(?s)broken\.cpp.*missing_name"):
        toolchain.build_library([source], ["-O0"], "broken")
    assert entries(cache) == []


def test_library_is_keyed_by_sources_headers_and_flags(cache, tmp_path):
    source, header = tmp_path / "one.cpp", tmp_path / "one.hpp"
    source.write_text('#include "one.hpp"\nextern "C" int one() { return ONE; }\n')
    header.write_text("#define ONE 1\n")
    first = toolchain.build_library([source], ["-O0"], "one")
    assert toolchain.build_library([source], ["-O0"], "one") == first and first.is_file()
    assert toolchain.build_library([source], ["-O1"], "one") != first
    header.write_text("#define ONE 2\n")
    assert toolchain.build_library([source], ["-O0"], "one") != first


def test_missing_compiler_names_the_remedy(monkeypatch):
    toolchain.compiler.cache_clear()
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    try:
        with pytest.raises(CompileError, match=r"apt-get install g\+\+"):
            toolchain.compiler()
    finally:
        toolchain.compiler.cache_clear()


def mod(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_mechanism_names_skip_comments(tmp_path):
    text = ": SUFFIX no\nCOMMENT\nSUFFIX neither\nENDCOMMENT\nNEURON { POINT_PROCESS Syn RANGE e }\n"
    assert mechanism_names(mod(tmp_path, "a.mod", text) / "a.mod") == ["Syn"]
    assert mechanism_names(mod(tmp_path, "b.mod", "NEURON { SUFFIX nothing }") / "b.mod") == []


def test_equal_mod_files_are_one_and_different_ones_clash(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    mod(ours, "leak.mod", "NEURON { SUFFIX leak }")
    mod(theirs, "leak.mod", "NEURON { SUFFIX leak }")
    assert list(collect_mod_files([ours, theirs])) == ["leak.mod"]
    mod(theirs, "leak.mod", "NEURON { SUFFIX leak RANGE g }")
    with pytest.raises(CompileError, match="ours/leak.mod and .*theirs/leak.mod"):
        collect_mod_files([ours, theirs])
    mod(theirs, "leak.mod", "NEURON { SUFFIX other }")
    with pytest.raises(CompileError, match="leak"):
        collect_mod_files([ours, theirs])


def test_mod_error_has_the_compilers_message_and_the_file(cache, tmp_path):
    mod(tmp_path / "mod", "wrong.mod", "NEURON { SUFFIX wrong }\nBREAKPOINT { undeclared_thing = 1 }\n")
    mod(tmp_path / "mod", "right.mod", "NEURON { SUFFIX right }\n")
    with pytest.raises(CompileError, match=r"(?s)^building \S*/mod/wrong\.mod failed .*undeclared_thing"):
        build_mechanisms([tmp_path / "mod"])
    assert entries(cache) == []


MOD = """NEURON { SUFFIX wrong RANGE g NONSPECIFIC_CURRENT i }
PARAMETER { g = 1e-4 (S/cm2) }
ASSIGNED { v (mV) i (mA/cm2) }
BREAKPOINT { i = g*(v + 65) }
"""


@pytest.mark.slow
@pytest.mark.parametrize("text, line, message, remedy", [
    (MOD + "VERBATIM\nstatic double* table() { double* x = malloc(56); return x; }\nENDVERBATIM\n",
     6, "invalid conversion from .void", r"cast it, e\.g\. \(double\*\) malloc"),
    (MOD + "VERBATIM\nstatic double add(a, b) double a, b; { return a + b; }\nENDVERBATIM\n",
     6, "was not declared", "write the types into the parentheses"),
    (MOD + "VERBATIM\nvoid* nrn_random_arg(int argpos);\nENDVERBATIM\n",
     6, "ambiguating new declaration", r"are Rand\*.*remove the declaration"),
    (MOD + "PROCEDURE p() {\nVERBATIM\n  Section* s = chk_access();\n  int k = s->nnode;\nENDVERBATIM\n}\n",
     8, "incomplete type", "nrn_pushsec"),
    (MOD.replace("65)", "65"), 4, "Illegal block", "translator does not take it"),
], ids=("malloc", "old style", "Random", "Section", "syntax"))  # fmt: skip
def test_a_mod_file_of_an_earlier_neuron_gets_its_line_and_the_remedy(cache, tmp_path, text, line, message, remedy):
    folder = mod(tmp_path / "mod", "wrong.mod", text)
    with pytest.raises(CompileError, match=rf"(?s)wrong\.mod failed in line {line}: .*{message}.*{remedy}"):
        build_mechanisms([folder])
    assert entries(cache) == []


def test_a_mechanism_that_neuron_has_itself_is_refused(tmp_path):
    folder = mod(tmp_path / "mod", "mine.mod", MOD.replace("wrong", "hh"))
    with pytest.raises(CompileError, match="mine.mod defines hh, which NEURON has itself; rename its SUFFIX"):
        collect_mod_files([folder])
