"""Several processes train one reduction: each computes its share of the sequences, the first does all the rest.

A training is what it is on one process.  Where it runs a window, the blocks of 16 sequences are shared out: the others
get the parameters and the window, and give back outputs and gradients of their blocks (torch.distributed, gloo).  The
first sums the gradients in the order of the blocks, as it would alone; so the weights do not depend on the number of
processes, to the bit on processors of one kind.
"""

import os
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from netml.errors import TrainingError
from netml.training.recurrence import Recurrence

#: Rank and number of ranks, as launchers tell them: torchrun, Open MPI, MPICH and its kin, srun.
LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)
JOBS = ("PMIX_NAMESPACE", "SLURM_JOB_ID", "PMI_JOBID")  # what names a job, the same on all of its ranks
TIMEOUT = timedelta(hours=12)  # the others wait while the first loads records or exports


def launched(environment=os.environ) -> tuple[int, int]:
    """Rank of this process and the number of ranks; (0, 1) where no launcher started it."""
    for rank, size in LAUNCHERS:
        if environment.get(rank, "").isdigit() and environment.get(size, "").isdigit():
            return int(environment[rank]), int(environment[size])
    return 0, 1


class Team:
    """The processes that train together.

    Attributes:
        rank, size: This one among them.
    """

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size
        self._given: tuple = ()

    @classmethod
    @contextmanager
    def joined(cls, output: Path, sequences_blocks: int):
        """The team of a launcher, while the block runs; None for a process alone.

        Args:
            output: The artifact; ranks that torchrun did not start meet over a file beside it.
            sequences_blocks: Blocks of 16 sequences in a training, at least one a rank.

        Raises:
            TrainingError: More ranks than blocks, or they do not find each other.
        """
        rank, size = launched()
        if size == 1:
            yield None
            return
        if size > sequences_blocks:
            raise TrainingError(
                f"{size} ranks are more than the {sequences_blocks} blocks of 16 sequences; start fewer, or raise "
                f"batch_size"
            )
        meeting = output.with_name(f".{output.name}.{_job()}.ranks")
        how = "env://" if "RANK" in os.environ else f"file://{meeting.resolve()}"
        try:
            dist.init_process_group("gloo", rank=rank, world_size=size, timeout=TIMEOUT, init_method=how)
        except (RuntimeError, ValueError) as error:
            raise TrainingError(f"the {size} ranks did not find each other: {error}") from error
        try:
            yield cls(rank, size)
        except RuntimeError as error:
            if isinstance(error, TrainingError) or "gloo" not in str(error).lower():
                raise
            raise TrainingError(f"a rank of the training ended ({error}); see what it said") from error
        finally:
            dist.destroy_process_group()
            if rank == 0:
                with suppress(OSError):
                    meeting.unlink()

    def share(self, blocks: int, rank: int) -> range:
        """The blocks of a rank."""
        return range(blocks * rank // self.size, blocks * (rank + 1) // self.size)

    def forward(self, recurrence: Recurrence, params, gain, threshold, window, keep):
        """On the first rank: see ``Recurrence._compute``; the others take their part."""
        self._send(("forward", params, gain, threshold, window, keep))
        outputs = recurrence._compute(params, gain, threshold, window, keep, self.share(len(window.state), 0))
        self._collect([*outputs, window.state])
        return outputs

    def backward(self, recurrence: Recurrence, params, gain, window, grads):
        """On the first rank: gradients of the blocks, in their order."""
        self._send(("backward", *grads))
        gradients = recurrence._differentiate(params, gain, window, grads, self.share(len(window.state), 0))
        self._collect(gradients)
        return gradients

    def stop(self) -> None:
        """On the first rank: the others may go."""
        with suppress(RuntimeError):  # they have gone
            self._send(None)

    def serve(self, recurrence: Recurrence) -> None:
        """On the others: compute until the first says stop."""
        while (message := self._send(None)) is not None:
            what, *given = message
            if what == "forward":
                params, gain, threshold, window, keep = given
                mine = self.share(len(window.state), self.rank)
                self._give([*recurrence._compute(params, gain, threshold, window, keep, mine), window.state], mine)
                self._given = params, gain, window
            else:
                params, gain, window = self._given
                mine = self.share(len(window.state), self.rank)
                self._give(recurrence._differentiate(params, gain, window, given, mine), mine)

    def _send(self, message):
        """The first rank's message, on every rank."""
        box = [message]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def _collect(self, arrays) -> None:
        """Fill in the blocks that the others computed."""
        for rank in range(1, self.size):
            mine = self.share(len(arrays[0]), rank)
            parts = [array[mine.start : mine.stop] for array in arrays]
            received = torch.empty(sum(part.nbytes for part in parts), dtype=torch.uint8)
            dist.recv(received, src=rank)
            at, raw = 0, received.numpy()
            for part in parts:
                part[:] = raw[at : at + part.nbytes].view(part.dtype).reshape(part.shape)
                at += part.nbytes

    @staticmethod
    def _give(arrays, mine: range) -> None:
        parts = [np.ascontiguousarray(a[mine.start : mine.stop]).reshape(-1).view(np.uint8) for a in arrays]
        dist.send(torch.from_numpy(np.concatenate(parts)), dst=0)


def _job() -> str:
    named = next((os.environ[name] for name in JOBS if name in os.environ), "job")
    return "".join(c if c.isalnum() else "-" for c in named)
