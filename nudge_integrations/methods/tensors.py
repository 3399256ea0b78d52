"""Arrays as tensors, and where bfloat16 is worth using."""

from __future__ import annotations

import warnings
from typing import Any

import numpy.typing as npt
import torch

ROUGH = torch.bfloat16
_WORTH_ASKING = 1 << 24


def tensor(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """`array` on `device`; on the CPU it shares the array's memory and must not be written to."""
    with warnings.catch_warnings():
        # Memory-mapped vectors are read-only, and torch warns although nothing here writes.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array).to(device)


def rough_supported(device: torch.device, products: int) -> bool:
    """Whether this processor has units for bfloat16, and there are enough products to use them.

    The answer depends on the hardware and never on a clock, so that a run can be repeated.
    """
    if products < _WORTH_ASKING:
        return False
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # There is no public call for this; in a torch without the private one, float32 is used.
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
