"""Whether two values of an activation differ by more than the order of additions.

The same prompt in another batch, or through another executor, gives values that are not bitwise the
same. Were that to count as a change, a cut that does nothing would pass for one that does.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

_SHARES: dict[str, dict[torch.dtype, float]] = {
    # attention multiplies what scores are off by; sums of a residual stream are off by a few eps
    "sent": {torch.float32: 1e-4, torch.float64: 1e-10},
    "read": {torch.float32: 1e-6, torch.float64: 1e-12},
}


def apart(new: Tensor, old: Tensor, what: Literal["sent", "read"]) -> Tensor:
    """By how much vectors [..., D] differ, at most over features: [...]; 0 where it is rounding.

    Rounding is a share of the vector's own size: 1e-4 of what a sender puts out (float64: 1e-10),
    1e-6 of what a receiver reads, in which a weak sender is a small part (float64: 1e-12).
    """
    sizes = (new - old).abs().amax(-1)
    scale = torch.maximum(new.abs().amax(-1), old.abs().amax(-1))
    return torch.where(sizes > _SHARES[what].get(new.dtype, 1e-2) * scale, sizes, 0.0)
