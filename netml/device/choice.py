"""Which torch device to work on."""

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
