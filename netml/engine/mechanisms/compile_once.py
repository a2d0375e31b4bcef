"""A compiler that compiles nothing twice: NEURON's makefiles call it instead of the compiler, which it calls.

Objects are kept by all that decides them: the C++ that NEURON made of a mod file, the headers it can see, the
compiler and its flags. So projects share what their mod files have in common, netml's own and NEURON's built-in ones
before all, and a build that is interrupted keeps what it had compiled. An object appears by one atomic rename, so any
number of builds at once share the folder.

Runs as a program, once an object: it imports nothing of netml, and starts in some milliseconds.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

#: Environment variable with what it is told, in JSON: see `launcher`.
TOLD = "NETML_COMPILE_ONCE"
#: The time at which CoreNEURON's translator made its C++.
CREATED = re.compile(r"^Created +: [^\n]*\n", re.MULTILINE)


def launcher(compiler, *, objects, root, salt, headers, coreneuron_flags=""):
    """Return the environment variables with which make calls this program.

    Args:
        compiler: the compiler's words.
        objects: folder of compiled objects, made if missing.
        root: folder of the build, whose path NEURON writes into its C++: it does not count.
        salt: what else decides an object (versions of NEURON and the compiler, the CPU).
        headers: {name: digest} of the header files beside the mod files.
        coreneuron_flags: further flags of what is compiled for CoreNEURON.
    """
    told = {"objects": str(objects), "roots": [str(root), os.path.realpath(root)], "salt": salt, "headers": headers,
            "coreneuron_flags": shlex.split(coreneuron_flags)}  # fmt: skip
    return {"CXX": shlex.join([sys.executable, "-I", "-S", __file__, *compiler]), TOLD: json.dumps(told)}


def digest_of(command, source, told):
    """Return what names the object of a command: the same wherever the build lies."""
    with open(source, encoding="utf-8", errors="surrogateescape") as file:
        text = CREATED.sub("", file.read())
    seen = told["headers"] if any(f'"{name}"' in text for name in told["headers"]) else {}
    arguments = [os.path.basename(word) if word == source else word for word in command]
    parts = json.dumps([told["salt"], seen, arguments, text])
    for root in sorted(told["roots"], key=len, reverse=True):
        parts = parts.replace(json.dumps(root)[1:-1], "ROOT")
    return hashlib.sha256(parts.encode(errors="surrogateescape")).hexdigest()


def main(command):
    """Run a compiler's command, or copy the object that it would make; returns its exit status."""
    told = json.loads(os.environ[TOLD])
    output = command[command.index("-o") + 1] if "-o" in command[:-1] else None
    if output and "-c" not in command and "-shared" not in command:
        open(output, "w").close()  # NEURON's own program with the mechanisms, which netml does not run
        return 0
    if "-DCORENEURON_BUILD" in command:
        command = [*command, *told["coreneuron_flags"]]
    sources = [word for word in command if word.endswith(".cpp")]
    if "-c" not in command or output is None or len(sources) != 1:
        return subprocess.call(command)
    at = command.index("-o") + 1
    kept = os.path.join(told["objects"], digest_of([*command[: at - 1], *command[at + 1 :]], sources[0], told) + ".o")
    if not os.path.isfile(kept):
        made = f"{kept[:-2]}.{os.uname().nodename}.{os.getpid()}.making.o"
        try:
            os.makedirs(told["objects"], exist_ok=True)
            status = subprocess.call([*command[:at], made, *command[at + 1 :]])
            if status:
                return status
            os.replace(made, kept)
        finally:
            if os.path.exists(made):
                os.remove(made)
    shutil.copyfile(kept, output)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
