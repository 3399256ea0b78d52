"""The hot loop: two products over the corpus, and what can still win afterwards."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from nudge_integrations.errors import DataError

Kernel = Literal["torch", "triton"]


def checked_kernel(kernel: Kernel, device: torch.device) -> Kernel:
    """`kernel` itself, if it runs on `device`.

    Raises:
        DataError: No such kernel, or none for this device; the remedy is named.
    """
    if kernel not in get_args(Kernel):
        known = " or ".join(map(repr, get_args(Kernel)))
        raise DataError(f"unknown kernel {kernel!r}: give {known}")
    if kernel == "triton":
        from nudge_integrations.methods.kernels import triton_kernel

        if not triton_kernel.available(device):
            raise DataError(
                f"kernel='triton' does not run on {device}: it needs an NVIDIA GPU (Ampere or "
                "later) and the package triton; kernel='torch' runs anywhere"
            )
    return kernel
