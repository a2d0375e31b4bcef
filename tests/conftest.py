"""Settings of all tests."""

import os

# Two processes of tests share the cores (pytest -n 2): a rank that waits leaves its core to the others.
os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")
