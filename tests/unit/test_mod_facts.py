"""What mod files say about themselves, by the syntax tree of NEURON's translator; by their text where it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from netml.engine.mechanisms import syntax_tree
from netml.engine.mechanisms.build import collect_mod_files
from netml.engine.mechanisms.mod_file import explain, needed
from netml.engine.mechanisms.syntax_tree import ModFacts, companions, included_files, mod_facts
from netml.errors import CompileError

POINT = "NEURON { POINT_PROCESS Syn RANGE g }\nPARAMETER { g = 0 }\n"
EVERYTHING = """TITLE a SUFFIX first, a SUFFIX second, and a POINTER
COMMENT
NET_RECEIVE(a, b, c) { }
ENDCOMMENT
VERBATIM
/* SUFFIX third NET_RECEIVE(w, q) POINTER no */
ENDVERBATIM
NEURON {
  POINT_PROCESS Syn : NET_RECEIVE(a, b) POINTER none
  USEION ca READ cai WRITE ica, cao VALENCE 2
  USEION k WRITE ik
  POINTER one, two
  BBCOREPOINTER three
  RANDOM four, five
}
ASSIGNED { v ica ik cao cai one two three }
NET_RECEIVE(weight (uS), F,
   D (1), tsyn
   (ms)) {
  INITIAL { F = 1 D = 1 tsyn = t }
}
"""
FACTS = ModFacts(("Syn",), ("one", "two", "three", "four", "five"), 4, True)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETML_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def write(folder: Path, text: str, encoding: str = "utf-8", name: str = "file.mod") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("form", ["as it is", "line ends of Windows", "a remark", "of an older NEURON"])
def test_facts_are_those_of_the_code(tmp_path, form, encoding):
    text = {"as it is": EVERYTHING, "line ends of Windows": EVERYTHING.replace("\n", "\r\n"),
            "a remark": EVERYTHING + ": 5 µS in the NET_RECEIVE(a)\n",
            "of an older NEURON": EVERYTHING.replace("BBCOREPOINTER three\n", "BBCOREPOINTER three\n EXTERNAL far\n"),
            }[form]  # fmt: skip
    path = write(tmp_path, text, encoding)
    assert syntax_tree.syntax_tree(path) is not None
    assert mod_facts(path) == replace(FACTS, outside="EXTERNAL" in text)


@pytest.mark.parametrize("arguments, number", [
    ("", 0), ("w", 1), ("weight (umho)", 1), ("w, x (ms)", 2), ("w\n,\n x (1/ms)\n,y", 3),
    ("w (uS), x (ms2), y (1)", 3),
])  # fmt: skip
def test_a_connections_numbers(tmp_path, arguments, number):
    path = write(tmp_path, f"{POINT}NET_RECEIVE({arguments}) {{\n INITIAL {{ }}\n}}\n")
    assert mod_facts(path).event_arguments == number


@pytest.mark.parametrize("keyword, names", [("SUFFIX", ["x"]), ("ARTIFICIAL_CELL", ["x"]), ("POINT_PROCESS", ["x"])])
def test_kinds_of_mechanism(tmp_path, keyword, names):
    assert list(mod_facts(write(tmp_path, f"NEURON {{ {keyword} x RANGE y }}\nPARAMETER {{ y = 1 }}\n")).names) == names


def test_a_file_that_the_parser_refuses_is_read_as_text(tmp_path):
    """NEURON takes any bytes in COMMENT, from which nmodl can make no JSON."""
    path = write(tmp_path, EVERYTHING.replace("COMMENT\n", "COMMENT µ\n", 1), "latin-1")
    assert syntax_tree.syntax_tree(path) is None
    assert mod_facts(path) == FACTS
    marked = write(tmp_path, "\ufeff" + EVERYTHING)
    assert syntax_tree.syntax_tree(marked) is None and mod_facts(marked) == FACTS


def test_each_content_is_parsed_once(tmp_path, monkeypatch):
    first = write(tmp_path, EVERYTHING + ": once\n")
    assert mod_facts(first) == FACTS
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(syntax_tree, "syntax_tree", lambda path: pytest.fail(f"{path} is parsed again"))
    assert mod_facts(write(tmp_path / "elsewhere", EVERYTHING + ": once\n")) == FACTS


def test_what_a_file_includes_is_part_of_it(tmp_path):
    path = write(tmp_path, POINT + 'INCLUDE "events.inc"\n')
    part = write(tmp_path, "NET_RECEIVE(w, x) { }\n", name="events.inc")
    assert included_files(path) == [part] and mod_facts(path).event_arguments == 2
    write(tmp_path, "NET_RECEIVE(w, x, y) { }\n", name="events.inc")
    assert mod_facts(path).event_arguments == 3


def test_a_model_takes_the_mod_files_that_it_uses(tmp_path):
    used = [
        write(tmp_path, "NEURON { SUFFIX cell_k }\n", name="k.mod"),
        write(tmp_path, POINT + 'INCLUDE "events.inc"\n', name="syn.mod"),
        write(tmp_path, "PARAMETER { x = 1 }\n", name="unnamed.mod"),
    ]
    others = [
        write(tmp_path, "NEURON { ARTIFICIAL_CELL demo }\n", name="demo.mod"),
        write(tmp_path, "NEURON { SUFFIX nothing }\n", name="tools.mod"),
    ]
    part = write(tmp_path, "NET_RECEIVE(w) { }\n", name="events.inc")
    names = {"cell_k", "Syn", "pas", "unnamed"}
    assert needed([*used, *others], names) == used and companions(used) == [part]


@pytest.mark.parametrize("code", [
    "NEURON { SUFFIX cell_k EXTERNAL apc_metap }\n",
    "NEURON { SUFFIX cell_k }\nVERBATIM\nextern double shared(double);\nENDVERBATIM\n",
])  # fmt: skip
def test_a_mod_file_that_uses_other_files_keeps_them(tmp_path, code):
    files = [write(tmp_path, code, name="k.mod"), write(tmp_path, "NEURON { SUFFIX nothing }\n", name="tools.mod")]
    assert needed(files, {"cell_k"}) == files and needed(files, {"hh"}) == []


@pytest.mark.parametrize("name", ["K-dr.mod", "k dr.mod", "k.dr.mod", "kµ.mod"])
def test_a_file_name_that_is_no_name_gets_its_remedy(tmp_path, name):
    write(tmp_path, POINT, name=name)
    with pytest.raises(CompileError, match=r"file name of .*: rename the file, e\.g\. to [kK]_(dr)?\.mod"):
        collect_mod_files([tmp_path])


def test_a_file_name_may_start_with_a_digit(tmp_path):
    write(tmp_path, POINT, name="2syn.mod")
    assert list(collect_mod_files([tmp_path])) == ["2syn.mod"]


@pytest.mark.parametrize("text, line, what", [
    (POINT + ": µS\n", 3, "a character beyond ASCII"),
    (": µS\n" + POINT, 1, "a character beyond ASCII"),
    (POINT + "VERBATIM\n/* µ */\nENDVERBATIM\n", 4, "a character beyond ASCII"),
    ("\ufeff" + POINT, 1, "a byte order mark"),
])  # fmt: skip
def test_the_line_of_a_character_beyond_ascii(tmp_path, text, line, what):
    """Lines are counted from 0 in NEURON's message on these, and from 1 in others."""
    path = write(tmp_path, text)
    shown = f" at line {line - 1} in file {path.name}\n"
    said = explain(f"Error: Non-Ascii character in file:: \n{shown}", {path.name: path})
    assert f"failed in line {line}: {what}" in said and "plain ASCII" in said
