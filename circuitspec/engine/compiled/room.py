"""How much memory there is for a computation, and what running out of it looks like."""

from __future__ import annotations

from pathlib import Path

import torch

SHARE = 0.5
"""Of the memory that is free, how much one computation plans to take."""
UNKNOWN = 4 << 30
"""Bytes that are taken to be free where the machine does not say."""

_MEMINFO = Path("/proc/meminfo")


def free_bytes(device: torch.device) -> int:
    """Memory that can be had now, in bytes."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # what torch holds and does not use can be had as well
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + held
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return UNKNOWN


def budget(device: torch.device, besides: int = 0) -> int:
    """The bytes that one computation may plan to take, once `besides` more are taken."""
    return int((free_bytes(device) - besides) * SHARE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that there was not enough memory.

    On the CPU torch says so in a plain RuntimeError.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def release(device: torch.device) -> None:
    """Give back what torch holds and does not use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
