"""A sweep with NetPyNE's batch tools: `python batch.py POPULATION=ARTIFACT [slurm]` in a project's folder.

Sweeps the share of a population that is reduced; any value of the project's cfg is swept the same way. Beside the
project's cfg.py and netParams.py lie this file, init.py, and what nrnivmodl made of its mod files.
"""

import sys

from netpyne.batch import Batch

WHERE = {
    "here": {"type": "mpi_direct", "cores": 2, "mpiCommand": "mpiexec"},
    "slurm": {
        "type": "hpc_slurm", "allocation": "ACCOUNT", "walltime": "00:30:00", "nodes": 1, "coresPerNode": 16,
        "email": "you@example.org", "folder": ".", "mpiCommand": "srun", "custom": "#SBATCH --cpus-per-task=1",
    },
}  # fmt: skip

if __name__ == "__main__":
    population, artifact = sys.argv[1].split("=", 1)
    batch = Batch(
        cfgFile="cfg.py", netParamsFile="netParams.py", params={"fraction": [0.0, 1.0]},
        initCfg={"swap": {population: artifact}, "saveJson": True},
    )  # fmt: skip
    batch.batchLabel = batch.saveFolder = "sweep"
    batch.runCfg = {"script": "init.py", **WHERE[sys.argv[2] if len(sys.argv) > 2 else "here"]}
    batch.run()
