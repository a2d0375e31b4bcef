"""Whole files with one thing wrong in them: each is refused by one NetmlError, or runs with finite output."""

from collections import Counter

import damaged_artifacts as damage
import pytest

from netml.artifact import Artifact
from netml.errors import ArtifactError
from netml.reductions.kernel import Reduction

SHARE = 5  # every fifth change; 1 tries all 7,332 of them in two minutes


def tried(changes, path) -> Counter:
    """How many of each kind were refused, and ran."""
    counts: Counter = Counter()
    for change in changes:
        change.write(path)
        try:
            counts[change.kind, damage.outcome(path)] += 1
        except Exception as error:
            raise AssertionError(f"{change.kind}: {change.name}: {type(error).__name__}: {error}") from error
    return counts


def table(counts: Counter) -> str:
    kinds = sorted({kind for kind, _ in counts})
    return "\n".join(f"{kind:22} {counts[kind, 'refused']:6} refused {counts[kind, 'ran']:6} ran" for kind in kinds)


@pytest.mark.parametrize("name", damage.MAKERS)
def test_a_changed_file_is_refused_or_runs(name, tmp_path, record_property):
    artifact, path = damage.MAKERS[name](), tmp_path / "a.netml"
    artifact.save(path)
    assert damage.outcome(path) == "ran"
    every = list(damage.changes(artifact))
    counts = tried(every[list(damage.MAKERS).index(name) :: SHARE], path)
    counts += tried(damage.random_changes(artifact, 200, seed=3), path)
    print(f"\n{name}: {sum(counts.values())} changed files\n{table(counts)}")
    record_property(name, {f"{kind}, {what}": n for (kind, what), n in counts.items()})
    refused = sum(n for (_, what), n in counts.items() if what == "refused")
    assert refused > 0.6 * sum(counts.values())  # most changes are wrong, and are seen
    assert counts["array dtype", "ran"] == 0
    assert counts["array missing", "ran"] <= 1  # input_limit, which older files lack


@pytest.mark.parametrize("name", damage.MAKERS)
def test_sizes_that_follow_from_others_are_compared(name):
    artifact = damage.MAKERS[name]()
    for size, value in artifact.header["dims"].items():
        for wrong in (value + 1, value - 1, 2 * value + 3):
            changed = Artifact.__new__(Artifact)  # past the header's schema: the kernel judges alone
            object.__setattr__(changed, "header", artifact.header | {"dims": artifact.header["dims"] | {size: wrong}})
            object.__setattr__(changed, "arrays", artifact.arrays)
            if (size, wrong) == ("expected", 1) or (size == "inputs" and wrong > value and "cable" not in name):
                continue  # another cell, but a whole one
            with pytest.raises(ArtifactError):
                Reduction.of(changed)


def test_an_ensemble_is_of_one_cell():
    one, other = damage.leaky(), damage.leaky()
    for key, value in {"dt_r_ms": 0.5, "cell": {"label": "PV", "fingerprint": "b"}, "synapses": ["I", "E"]}.items():
        stranger = Artifact(other.header | {key: value}, other.arrays)
        with pytest.raises(ArtifactError, match=f"member_1 of the ensemble has another {key}"):
            _ = one.with_members([stranger], damage.ABOUT).members
    with pytest.raises(ArtifactError, match="is one itself"):
        _ = one.with_members([damage.ensemble()], damage.ABOUT).members
