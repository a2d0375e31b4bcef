"""Facts about a mod file, from the syntax tree that NEURON's translator `nmodl` writes; kept in the cache.

A file that `nmodl` does not parse may still be one that NEURON compiles (it goes by the older nocmodl), such as one
with Latin-1 in a COMMENT: its facts are read from its text, with all that is no code left out. So they are where this
NEURON has no `nmodl`.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netml import toolchain
from netml.engine.mechanisms.installation import neuron_installation, translator
from netml.files import replacing

#: Part of the cache's key: to be raised with what is read from a tree.
FORM = 3
_KINDS = ("SUFFIX", "POINT_PROCESS", "ARTIFICIAL_CELL")
_POINTS = ("PointerVar", "BbcorePointerVar", "RandomVar")
_INCLUDED = re.compile(rb'^[ \t]*INCLUDE[ \t]+"([^"\n]+)"', re.MULTILINE)
_NO_CODE = re.compile(
    r"^[ \t]*TITLE\b[^\n]*|\bCOMMENT\b.*?\bENDCOMMENT\b|\bVERBATIM\b.*?\bENDVERBATIM\b|[:?][^\n]*",
    re.DOTALL | re.MULTILINE,
)
_DECLARED = re.compile(rf"\b(?:{'|'.join(_KINDS)})\s+(\w+)")
_POINTERS = re.compile(r"\b(?:BBCOREPOINTER|POINTER|RANDOM)\s+(\w+(?:\s*,\s*\w+)*)")
_EVENT = re.compile(r"\bNET_RECEIVE\s*\(((?:[^()]|\([^()]*\))*)\)")
_EXTERN = re.compile(r"\bextern\b")


@dataclass(frozen=True)
class ModFacts:
    """What a mod file declares.

    Attributes:
        names: Of its mechanism; none for SUFFIX nothing.
        pointers: Pointers and random streams, which somebody must set on each instance.
        event_arguments: Numbers that a connection onto it carries, the weight among them.
        verbatim: Whether it has C code.
        outside: Whether it takes variables (EXTERNAL) or functions of C (extern) of other files.
    """

    names: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()
    event_arguments: int = 0
    verbatim: bool = False
    outside: bool = False


def mod_facts(mod_file: Path) -> ModFacts:
    """Return what a mod file declares; each content is parsed once for all processes of this machine.

    Raises:
        CompileError: The cache cannot be written.
    """
    content = mod_file.read_bytes()
    installed = neuron_installation() if translator() else None
    parts = [included.read_bytes() for included in included_files(mod_file)]
    key = toolchain.digest([FORM, installed, mod_file.name, content, parts])
    path = toolchain.cache_folder() / "mod-facts" / f"{key[:24]}.json"
    try:
        return _read(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, LookupError):  # not there, or damaged: parse it
        pass
    tree = syntax_tree(mod_file)
    facts = _of_text(content.decode("utf-8-sig", errors="replace")) if tree is None else _of_tree(tree)
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(facts)))
    return facts


def _read(kept: dict[str, Any]) -> ModFacts:
    names, pointers = (tuple(map(str, kept[name])) for name in ("names", "pointers"))
    return ModFacts(names, pointers, int(kept["event_arguments"]), bool(kept["verbatim"]), bool(kept["outside"]))


def included_files(mod_file: Path) -> list[Path]:
    """Return the files beside a mod file that it takes in by INCLUDE, those of theirs too."""
    found: list[Path] = []
    todo = [mod_file]
    while todo:
        for name in _INCLUDED.findall(todo.pop().read_bytes()):
            path = mod_file.parent / name.decode(errors="replace")
            if path.is_file() and path not in found:
                found.append(path)
                todo.append(path)
    return found


def companions(mod_files: Iterable[Path]) -> list[Path]:
    """Return the files beside mod files that they may need: headers, and what they take in by INCLUDE."""
    mod_files = list(mod_files)
    included = [one for path in mod_files for one in included_files(path) if one.parent == path.parent]
    return list(dict.fromkeys([*toolchain.headers_beside(mod_files), *included]))


def syntax_tree(mod_file: Path) -> Any:
    """Return the tree of a file as nested lists and dictionaries; None where `nmodl` is not there or refuses it."""
    if (tool := translator()) is None:
        return None
    program, environment = tool
    with tempfile.TemporaryDirectory(dir=toolchain.cache_folder(), prefix=".parsing-") as scratch:
        # By force: else what CoreNEURON does not take ends the translator before it writes the tree.
        passes = ("passes", "--json-ast", "codegen", "--force")
        command: list[str | Path] = [program, "--scratch", scratch, "-o", scratch, mod_file, *passes]
        try:
            subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            return json.loads(Path(scratch, f"{mod_file.stem}.ast.json").read_bytes().decode(errors="replace"))
        except (OSError, ValueError):
            return None


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    """All nodes of a tree: (kind, what is in it)."""
    if isinstance(tree, list):
        for part in tree:
            yield from _nodes(part)
        return
    for kind, inside in tree.items():
        if kind != "name":
            yield kind, inside
            yield from _nodes(inside)


def _words(tree: Any) -> list[str]:
    """The names in a part of a tree, in their order."""
    return [part["name"] for kind, inside in _nodes(tree) if kind == "String" for part in inside]


def _of_tree(tree: Any) -> ModFacts:
    found: dict[str, list] = {}
    for kind, inside in _nodes(tree):
        found.setdefault(kind, []).append(inside)
    declared = [_words(one) for one in found.get("Suffix", ())]
    event = found.get("NetReceiveBlock", [[]])[0]
    return ModFacts(
        tuple(name for kind, name in declared if kind in _KINDS and name != "nothing"),
        tuple(_words([one for kind in _POINTS for one in found.get(kind, [])])),
        sum("Argument" in part for part in event),
        "Verbatim" in found,
        "External" in found or any(_EXTERN.search(code) for code in _words(found.get("Verbatim", []))),
    )


def code_of(text: str) -> str:
    """Text of a mod file without its title, remarks and C code."""
    return _NO_CODE.sub(" ", text)


def _of_text(text: str) -> ModFacts:
    code = code_of(text)
    event = _EVENT.search(code)
    arguments = re.sub(r"\([^()]*\)", "", event[1]).split(",") if event else []
    return ModFacts(
        tuple(name for name in _DECLARED.findall(code) if name != "nothing"),
        tuple(name for names in _POINTERS.findall(code) for name in re.findall(r"\w+", names)),
        sum(bool(one.strip()) for one in arguments),
        any(part[0].startswith("VERBATIM") for part in _NO_CODE.finditer(text)),
        re.search(r"\bEXTERNAL\b", code) is not None or _EXTERN.search(text) is not None,
    )
