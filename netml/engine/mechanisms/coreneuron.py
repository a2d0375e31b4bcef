"""What CoreNEURON takes of a model's mechanisms.

CoreNEURON translates mod files by itself, to other C++ than NEURON does: some it does not translate, some it does not
compile (VERBATIM that calls what only NEURON has). Of those that NEURON did not take as safe for threads it keeps other
numbers than NEURON, which it notices when it first runs, and ends the process ("is a different MOD file").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from netml.engine.mechanisms.mod_file import mechanism_names, thread_safety

#: NEURON's own, which CoreNEURON 9 does not have.
ONLY_IN_NEURON = frozenset(
    ("extracellular", "fastpas", "IntFire1", "IntFire2", "IntFire4", "APCount", "VClamp", "OClamp", "AlphaSynapse")
)

_COMPILER = re.compile(r"mod2c/(?P<stem>\w+)\.cpp:\d+:\d+: error: (?P<what>[^\n]*)")
_TRANSLATOR = re.compile(r"make[^\n]*\*\*\* \[[^\]\n]*mod2c/(?P<stem>\w+)\.cpp\] Error")
_WORDS = re.compile(r"what\(\): +([^\n]*)|\[(?:error|critical|fatal)\] :: ([^\n]*)", re.IGNORECASE)


def refusal(output: str, files: Mapping[str, Path]) -> str:
    """Return which mechanism CoreNEURON's build did not take and why, in a line; "" if the output does not say.

    Args:
        output: of a failed nrnivmodl -coreneuron.
        files: mod files by name.
    """
    by_stem = {Path(name).stem: path for name, path in files.items()}
    for match in _COMPILER.finditer(output):
        if path := by_stem.get(match["stem"]):
            return f"{_named(path)}: its compiler says: {match['what'].strip()}"
    for match in _TRANSLATOR.finditer(output):
        if path := by_stem.get(match["stem"]):
            said = ["".join(words).strip() for words in _WORDS.findall(output)]
            return f"{_named(path)}: its translator fails: {said[-1] if said else 'without a word'}"
    return ""


def unthreaded(folder: Path, files: Mapping[str, Path]) -> str:
    """Return which mechanism NEURON translated as one that threads must not share, in a line; "" if none.

    Args:
        folder: where nrnivmodl left NEURON's C++ of the mod files.
        files: mod files by name.
    """
    for path in files.values():
        if any("/* NOT VECTORIZED */" in cpp.read_text(errors="replace") for cpp in folder.glob(f"*/{path.stem}.cpp")):
            return f"{_named(path)}: {thread_safety(path)}"
    return ""


def _named(path: Path) -> str:
    return f"{', '.join(mechanism_names(path)) or path.stem} ({path.name})"
