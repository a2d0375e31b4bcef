"""Objects of mod files are compiled once: for all projects, folders and builds, and in spite of interruptions."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netml import toolchain
from netml.engine.mechanisms import compile_once
from netml.engine.mechanisms.build import build_mechanisms

LEAK = """NEURON {{ SUFFIX {name} RANGE g NONSPECIFIC_CURRENT i }}
PARAMETER {{ g = 1e-4 (S/cm2) }}
ASSIGNED {{ v (mV) i (mA/cm2) }}
BREAKPOINT {{ i = g*(v + 65) }}
"""


class Log:
    """A compiler with a word before it, as ccache is: the word notes what is compiled."""

    def __init__(self, folder: Path):
        self.word, self._file = folder / "noting", folder / "compiled"
        self.word.write_text(f'#!/bin/sh\ncase "$*" in *" -c "*) echo "$*" >> {self._file};; esac\nexec "$@"\n')
        self.word.chmod(0o755)

    def sources(self) -> list[str]:
        """Names of the sources compiled since the last call."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self._file.write_text("")
        return sorted(Path(word).name for line in lines for word in line.split() if word.endswith(".cpp"))


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    log = Log(tmp_path)
    monkeypatch.setenv("NETML_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", f"{log.word} g++")
    for cached in (toolchain.compiler, toolchain.compiler_version):
        cached.cache_clear()
    yield log
    for cached in (toolchain.compiler, toolchain.compiler_version):
        cached.cache_clear()


def mods(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.mod").write_text(LEAK.format(name=name))
    return folder


@pytest.mark.slow
def test_a_mod_file_is_compiled_once_for_all_projects(compiled, tmp_path):
    first = build_mechanisms([mods(tmp_path / "one", "leak_a", "leak_b")])
    assert compiled.sources() == ["leak_a.cpp", "leak_b.cpp", "mod_func.cpp"]
    # The same files elsewhere are the same build; other files beside them leave their objects alone.
    assert build_mechanisms([mods(tmp_path / "two", "leak_a", "leak_b")]) == first
    assert compiled.sources() == []
    build_mechanisms([mods(tmp_path / "three", "leak_b", "leak_c")])
    assert compiled.sources() == ["leak_c.cpp", "mod_func.cpp"]
    (tmp_path / "three" / "misc.h").write_text("/* that no file includes */\n")
    text = (tmp_path / "three" / "leak_c.mod").read_text()
    (tmp_path / "three" / "leak_c.mod").write_text(text.replace("1e-4", "2e-4"))
    build_mechanisms([tmp_path / "three"])
    assert compiled.sources() == ["leak_c.cpp"]


def command(source: Path, output: Path) -> list[str]:
    return [*toolchain.compiler(), "-c", str(source), "-o", str(output), "-O0"]


def environment(cache: Path, root: Path, headers=None) -> dict[str, str]:
    told = compile_once.launcher(("unused",), objects=cache, root=root, salt="", headers=headers or {})
    return os.environ | {compile_once.TOLD: told[compile_once.TOLD]}


def run(words: list[str], told: dict[str, str]) -> int:
    return subprocess.run([sys.executable, compile_once.__file__, *words], env=told, check=False).returncode


def test_the_folder_and_the_time_of_a_build_are_no_part_of_its_objects(compiled, tmp_path):
    """NEURON's translator writes its folder into its C++, CoreNEURON's the time."""
    for name, now in (("here", "Mon Nov 30 22:48:04 2026"), ("there", "Tue Dec 1 01:00:00 2026")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "one.cpp").write_text(
            f'/****\nCreated         : {now}\n****/\nextern "C" const char* where() {{ return "{folder}/one.mod"; }}\n'
        )
        assert run(command(folder / "one.cpp", folder / "one.o"), environment(tmp_path / "objects", folder)) == 0
        assert (folder / "one.o").is_file()
    assert compiled.sources() == ["one.cpp"]


def test_a_header_that_a_source_includes_is_part_of_its_object(compiled, tmp_path):
    (tmp_path / "one.cpp").write_text('#include "one.h"\nint one = ONE;\n')
    for value, expected in (("1", ["one.cpp"]), ("2", ["one.cpp"]), ("1", [])):
        (tmp_path / "one.h").write_text(f"#define ONE {value}\n")
        told = environment(tmp_path / "objects", tmp_path, {"one.h": value})
        assert run(command(tmp_path / "one.cpp", tmp_path / "one.o"), told) == 0
        assert compiled.sources() == expected


def test_a_compiler_that_fails_leaves_no_object(compiled, tmp_path):
    (tmp_path / "one.cpp").write_text("int one = two;\n")
    told = environment(tmp_path / "objects", tmp_path)
    for _ in range(2):
        assert run(command(tmp_path / "one.cpp", tmp_path / "one.o"), told) != 0
        assert list((tmp_path / "objects").iterdir()) == [] and not (tmp_path / "one.o").exists()
    assert compiled.sources() == ["one.cpp"] * 2


@pytest.mark.slow
def test_an_interrupted_build_keeps_what_it_had(compiled, tmp_path):
    folder = mods(tmp_path / "mod", "leak_a", "leak_b")
    slow = tmp_path / "slowly"
    slow.write_text('#!/bin/sh\ncase "$*" in *"leak_b.cpp"*) sleep 600;; esac\nexec "$@"\n')
    slow.chmod(0o755)
    build = f"from netml.engine.mechanisms.build import build_mechanisms; build_mechanisms([{str(folder)!r}])"
    build = "from pathlib import Path; " + build.replace("([", "([Path(").replace("])", ")])")
    child = subprocess.Popen(
        [sys.executable, "-c", build], env=os.environ | {"CXX": f"{slow} g++"}, start_new_session=True
    )
    objects = tmp_path / "cache" / "objects"
    while len([path for path in objects.glob("*.o") if "making" not in path.name]) < 2:  # leak_a and mod_func
        time.sleep(0.05)
        assert child.poll() is None
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not list((tmp_path / "cache").glob("mechanisms-*"))
    slow.write_text(f'#!/bin/sh\nexec {compiled.word} "$@"\n')
    done = subprocess.run([sys.executable, "-c", build], env=os.environ | {"CXX": f"{slow} g++"}, check=False)
    assert done.returncode == 0 and compiled.sources() == ["leak_b.cpp"]


def test_the_compiler_may_have_a_word_before_it(compiled, tmp_path):
    assert toolchain.compiler() == (str(compiled.word), "g++")
    assert toolchain.compiler_version() == subprocess.run(
        ["g++", "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]  # fmt: skip
    (tmp_path / "one.cpp").write_text('extern "C" int one() { return 1; }\n')
    assert toolchain.build_library([tmp_path / "one.cpp"], ["-O0"], "one").is_file()


def test_words_of_the_compiler_reach_the_shell_whole(tmp_path):
    told = compile_once.launcher(("/a b/ccache", "g++"), objects=tmp_path, root=tmp_path, salt="", headers={})
    assert shlex.split(told["CXX"])[-3:] == [compile_once.__file__, "/a b/ccache", "g++"]
    assert shutil.which(shlex.split(told["CXX"])[0])
