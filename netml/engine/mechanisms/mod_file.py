"""What a mod file says about itself, and what a compiler's complaint about it means.

The remedies follow NEURON's guide on adapting mod files for C++ (NEURON 9 translates them to C++, earlier versions to
C): https://nrn.readthedocs.io/en/latest/guide/porting_mechanisms_to_cpp.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from netml.engine.mechanisms.syntax_tree import mod_facts

GUIDE = "https://nrn.readthedocs.io/en/latest/guide/porting_mechanisms_to_cpp.html"

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


def mechanism_names(mod_file: Path) -> list[str]:
    """Return the SUFFIX, POINT_PROCESS or ARTIFICIAL_CELL names a mod file declares ("nothing" declares none)."""
    return list(mod_facts(mod_file).names)


def pointers(mod_file: Path) -> list[str]:
    """Return the names of pointers and random streams, which somebody must set on each instance."""
    return list(mod_facts(mod_file).pointers)


def thread_safety(mod_file: Path) -> str:
    """Return why threads must not share a mod file that NEURON did not take as safe for them, with the remedy."""
    facts = mod_facts(mod_file)
    parts = ["VERBATIM"] * facts.verbatim + ["POINTER"] * bool(facts.pointers)
    has = f"it has {' and '.join(parts)}" if parts else "it is not safe for threads"
    return f"{has} without THREADSAFE in its NEURON block (say so there if its code is)"


def event_arguments(mod_file: Path) -> int:
    """Return how many numbers a connection onto the mechanism carries: more than the weight is state of its own."""
    return mod_facts(mod_file).event_arguments


def needed(mod_files: Iterable[Path], mechanisms: Collection[str]) -> list[Path]:
    """Return those of some mod files that a model of certain mechanisms needs.

    Where one of these takes variables or functions of other files, which need not name themselves, all are needed.

    Args:
        mod_files: To choose from.
        mechanisms: Names of all that the model inserts: membrane mechanisms, synapses and other point processes.
    """
    mod_files = list(mod_files)
    # A file without a SUFFIX defines the mechanism of its own name.
    used = [path for path in mod_files if set(mechanisms).intersection(mechanism_names(path) or [path.stem])]
    return mod_files if any(mod_facts(path).outside for path in used) else used


def unfit_name(mod_file: Path) -> str:
    """Return what is wrong with a file's name, of which NEURON makes the name of a C function; "" if nothing is."""
    if re.fullmatch(r"\w+", mod_file.stem, re.ASCII):
        return ""
    fit = re.sub(r"\W+", "_", mod_file.stem, flags=re.ASCII)
    return (
        f"the file name of {mod_file} is no name in C, as NEURON needs it (letters, digits and _): "
        f"rename the file, e.g. to {fit}.mod; its SUFFIX can stay"
    )


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
            number, said = int(match["line"]), match["what"].strip()
            remedy = "NEURON's translator does not take it"
            if "on-Ascii character" in output[: match.start("line")][-400:]:
                number += 1  # it counts a line when it has read it
                mark = path.read_bytes().startswith(b"\xef\xbb\xbf")
                said = "a byte order mark before the text" if mark else "a character beyond ASCII"
                remedy = "NEURON's translator takes ASCII alone, in remarks too: save the file as plain ASCII"
            return f"building {path} failed in line {number}: {said}\n  {_line(path, number)}\n  {remedy}"
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
