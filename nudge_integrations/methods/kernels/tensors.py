"""Arrays as tensors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy.typing as npt
import torch


def tensor(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """`array` on `device`; on the CPU its own memory, which must not be written to."""
    with warnings.catch_warnings():
        # Memory-mapped vectors are read-only; torch says so though nothing here writes.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array).to(device)
