"""Which torch device to work on, and how data get there."""

import numpy as np
import torch

from netml.errors import DeviceError


def usable(device: str | torch.device) -> torch.device:
    """A device that is there.

    Raises:
        DeviceError: No such device on this machine, or with this build of torch.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"device {str(device)!r} cannot be used ({reason}); use cpu, or a machine with CUDA and a CUDA build of "
            "torch (https://pytorch.org/get-started)"
        ) from error
    return found


def sent(values, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """An array or tensor on a device."""
    if isinstance(values, np.ndarray):
        values = np.require(values, requirements="W")  # broadcast ones are not, and torch warns of them
    return torch.as_tensor(values).to(device, dtype)
