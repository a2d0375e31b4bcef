"""Whether a reduction is of the cell that a network has."""

from netml.artifact import Artifact
from netml.circuit.cell import fingerprint
from netml.errors import ArtifactError


def check_cell(netParams, population: str, cell: str, artifact: Artifact, path) -> None:
    """Raise where a reduction is of other synapses or of another cell than a population's (ArtifactError)."""
    synapses = artifact.header["synapses"]
    if missing := [s for s in synapses if s not in netParams.synMechParams]:
        raise ArtifactError(
            f"{path} was trained with synMechs {', '.join(synapses)}; the network has no {', '.join(missing)} "
            f"(it has {', '.join(map(str, netParams.synMechParams))})"
        )
    found = fingerprint(netParams.cellParams[cell], {s: netParams.synMechParams[s] for s in synapses})
    trained = artifact.header["cell"]
    if found != trained["fingerprint"]:
        raise ArtifactError(
            f"{path} is of another cell: {trained.get('label')!r} ({trained['fingerprint'][:12]}), while "
            f"population {population} has {cell!r} ({found[:12]}); sections, mechanisms or synapses differ: record and "
            "train on this cell, or take its own reduction"
        )
