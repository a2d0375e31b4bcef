"""What a mod file says about itself, and what a compiler's complaint about it means.

The remedies follow NEURON's guide on adapting mod files for C++ (NEURON 9 translates them to C++, earlier versions to
C): https://nrn.readthedocs.io/en/latest/guide/porting_mechanisms_to_cpp.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

GUIDE = "https://nrn.readthedocs.io/en/latest/guide/porting_mechanisms_to_cpp.html"

_COMMENT = re.compile(r"COMMENT\b.*?ENDCOMMENT\b|[:?][^\n]*", re.DOTALL)
_DECLARED = re.compile(r"\b(?:SUFFIX|POINT_PROCESS|ARTIFICIAL_CELL)\s+(\w+)")
_POINTER = re.compile(r"\b(?:BBCORE)?POINTER\s+(\w+)|\bRANDOM\s+(\w+)")
_EVENT = re.compile(r"\bNET_RECEIVE\s*\(([^)]*)\)")
_ERROR = re.compile(r"(?P<stem>[^/\s:]+)\.cpp:\d+:\d+: error: (?P<what>[^\n]*)\n(?:\s*\d+ \| ?(?P<code>[^\n]*))?")
_EXPANDED = re.compile(r"note: in expansion of macro [^\n]*\n\s*\d+ \| ?(?P<code>[^\n]*)")
_TRANSLATOR = re.compile(r"(?:[Ee]rror: ?)?(?P<what>[^\n]*) at line (?P<line>\d+) in file (?P<name>[^\s/]+\.mod)")
_OLD_STYLE = re.compile(r"\w\s*\(\s*\w+(?:\s*,\s*\w+)*\s*\)\s*(?:\w+[\w\s,*]*;\s*)+\{?")

#: Pattern of the compiler's message -> what to do.
_REMEDIES = (
    (r"invalid conversion from .void\s?\*. to .(.*?\*)",
     r"C++ does not turn void* into \1 by itself: cast it, e.g. (\1) malloc(...)"),
    (r"invalid conversion from .(.*)\*. to", "C++ does not turn one kind of pointer into another by itself: cast it"),
    (r"ambiguating new declaration|conflicting declaration",
     "NEURON 9 declares this function itself, with other types (random numbers are Rand*, not void*): remove the "
     "declaration from VERBATIM"),
    (r"too many arguments to function",
     "an empty pair of parentheses means 'no arguments' in C++: remove the local declaration of this function from "
     "VERBATIM; NEURON 9 declares its functions itself"),
    (r"incomplete type .(struct )?Section",
     "NEURON 9 does not show mod files what is inside a Section: leave such code (nrn_pushsec and members of Section) "
     "to hoc or Python"),
    (r".(_p|_ppvar|_thread|_nt|_pnt)\w*. was not declared",
     "NEURON 9 keeps no array of the mechanism's variables: use the variable's own name in VERBATIM"),
    (r"before .\.. token", "a name in VERBATIM is also a variable of the mod file, which NEURON 9 replaces: rename it"),
    (r".hoc_Exp. is not a member", "NEURON calls exp by a function of its own: write exp(...), without std::"),
    (r"was not declared in this scope",
     "declare it in the mod file (PARAMETER, ASSIGNED or LOCAL); for a function of C in VERBATIM, include its header"),
)  # fmt: skip
_OLD_STYLE_REMEDY = "C++ has no old-style definitions: write the types into the parentheses, f(double a, double b)"


def _text(mod_file: Path) -> str:
    return _COMMENT.sub("", mod_file.read_text(errors="replace"))


def mechanism_names(mod_file: Path) -> list[str]:
    """Return the SUFFIX, POINT_PROCESS or ARTIFICIAL_CELL names a mod file declares ("nothing" declares none)."""
    return [name for name in _DECLARED.findall(_text(mod_file)) if name != "nothing"]


def pointers(mod_file: Path) -> list[str]:
    """Return the names of pointers and random streams, which somebody must set on each instance."""
    return ["".join(names) for names in _POINTER.findall(_text(mod_file))]


def thread_safety(mod_file: Path) -> str:
    """Return why threads must not share a mod file that NEURON did not take as safe for them, with the remedy."""
    parts = [part for part in ("VERBATIM", "POINTER") if re.search(rf"\b{part}\b", _text(mod_file))]
    has = f"it has {' and '.join(parts)}" if parts else "it is not safe for threads"
    return f"{has} without THREADSAFE in its NEURON block (say so there if its code is)"


def event_arguments(mod_file: Path) -> int:
    """Return how many numbers a connection onto the mechanism carries: more than the weight is state of its own."""
    found = _EVENT.search(_text(mod_file))
    return len([word for word in found[1].split(",") if word.strip()]) if found else 0


def explain(output: str, files: Mapping[str, Path]) -> str:
    """Return what was wrong in which line of a mod file, and the usual remedy; "" if the output does not say.

    Args:
        output: Of a failed nrnivmodl.
        files: Mod files by name.
    """
    by_stem = {Path(name).stem: path for name, path in files.items()}
    for match in _ERROR.finditer(output):
        if (path := by_stem.get(match["stem"])) is not None:
            code = match["code"] or ""
            if code.startswith("#define"):  # NEURON's; the user's is where it is used
                expanded = _EXPANDED.search(output, match.end())
                code = expanded["code"] if expanded else ""
            return _explain_cpp(path, match["what"], code.strip())
    for match in _TRANSLATOR.finditer(output):
        if (path := files.get(match["name"])) is not None:
            line = _line(path, int(match["line"]))
            what = f"{match['what'].strip()}\n  {line}\n  NEURON's translator does not take it"
            return f"building {path} failed in line {match['line']}: {what}"
    return ""


def _explain_cpp(path: Path, what: str, code: str) -> str:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    where = f" in line {lines.index(code) + 1}" if code and code in lines else " with"
    remedy = _OLD_STYLE_REMEDY if _OLD_STYLE.search(code) and "expected" not in what else ""
    for pattern, advice in _REMEDIES if not remedy else ():
        if match := re.search(pattern, what):
            remedy = match.expand(advice) if "\\" in advice else advice
            break
    shown = f"\n  {code}" if code else ""
    remedy = remedy or "NEURON 9 translates mod files to C++"
    return f"building {path} failed{where}: {what}{shown}\n  {remedy}; see {GUIDE}"


def _line(path: Path, number: int) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
