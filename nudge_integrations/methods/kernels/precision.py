"""Whether a product in bfloat16 pays on this processor, and how wrong it can be."""

from __future__ import annotations

import time
from functools import cache

import torch

ROUGH = torch.bfloat16
# Half a unit in the last place for each of the two factors and for the result; the rest is room
# for their products and for the sum in float32.
_ERROR = 3.2 * torch.finfo(ROUGH).eps / 2
_WORTH_ASKING = 1 << 24
_PAYS = 2.0


def rough_error(reach: torch.Tensor, longest: torch.Tensor) -> torch.Tensor:
    """How far a product in bfloat16 can be from the exact one, by Cauchy-Schwarz.

    Args:
        reach: Length of each query, shape `(q,)`.
        longest: Length of the longest document, a scalar.
    """
    return _ERROR * reach * longest


def rough_pays(device: torch.device, products: int) -> bool:
    """Whether bfloat16 is so much faster here that sorting out with it saves time.

    Measured once in a process, on a product of a few milliseconds; no flag of a processor tells
    what its library makes of it.
    """
    return products >= _WORTH_ASKING and _faster(device)


def rough_supported(device: torch.device, products: int) -> bool:
    """Whether this processor has units for bfloat16, and there is enough to do.

    Unlike `rough_pays` this asks no clock: for results that precision shapes, so that a run can be
    repeated.
    """
    if products < _WORTH_ASKING:
        return False
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # No public call tells; where torch loses this one, float32 is used.
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())


@cache
def _faster(device: torch.device) -> bool:
    seconds = {}
    for dtype in (torch.float32, ROUGH):
        left = torch.ones((256, 256), dtype=dtype, device=device)
        right = torch.ones((1024, 256), dtype=dtype, device=device)
        runs = []
        for _ in range(4):
            started = time.perf_counter()
            product = left @ right.T
            product[0, 0].item()  # waits for the device
            runs.append(time.perf_counter() - started)
        seconds[dtype] = min(runs)
    return seconds[torch.float32] > _PAYS * seconds[ROUGH]
