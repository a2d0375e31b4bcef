"""What an editor and a type checker see of `import netml`: names that are loaded late have their types, wrong calls are
errors."""

import re

from mypy import api

# Only netml is read: its libraries are Any here, which takes seconds off.
CONFIG = """
[mypy]
follow_imports = skip
[mypy-netml.*]
follow_imports = silent
"""
USE = """\
from pathlib import Path
import netml

run: Path = netml.simulate("model", ranks=2, reductions={"PYR": "pyr.netml"})
netml.compare(run, "other", floor=[run])
reduction: Path = netml.train("records", output="pyr.netml", updates=100)
result: dict = netml.validate(netml.Artifact.load(reduction), netml.Records.open("records"))
netml.simulate("model", rankz=2)  # call-arg
netml.compare("a", "b", floor=3)  # arg-type
netml.validate(7, "records")  # arg-type
number: int = netml.build(None, {"PYR": "pyr.netml"}, seed=1)  # assignment
netml.simulat("model")  # attr-defined
"""


def test_a_type_checker_takes_right_calls_and_refuses_wrong_ones(tmp_path, request):
    snippet, config = tmp_path / "use.py", tmp_path / "mypy.ini"
    snippet.write_text(USE)
    config.write_text(CONFIG)
    cache = request.config.cache.mkdir("mypy")
    out, err, _ = api.run([str(snippet), "--config-file", str(config), "--cache-dir", str(cache), "--no-error-summary"])
    found = {(int(n), code) for n, code in re.findall(r"use\.py:(\d+): error: .*\[(.+)\]$", out, re.MULTILINE)}
    expected = {(n, line.rpartition("# ")[2]) for n, line in enumerate(USE.splitlines(), 1) if "# " in line}
    assert found == expected, out + err
