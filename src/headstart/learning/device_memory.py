"""How much memory the devices of this machine have to give to this process."""

from __future__ import annotations

import os
from pathlib import Path

# Limits of a container or a job (cgroups 2 and 1), bytes; "max", or 2^63 or so: none.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def device_memory() -> dict[str, int]:
    """Bytes of each device that is there: "cpu", and "cuda" (its smallest one) or "mps"."""
    import torch

    memory = {"cpu": processor_memory()}
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        memory["cuda"] = min(torch.cuda.get_device_properties(i).total_memory for i in range(count))
    if torch.backends.mps.is_available():
        memory["mps"] = int(torch.mps.recommended_max_memory())
    return memory


def processor_memory() -> int:
    """Bytes of main memory that this process may use: all there is, or the limit set for it.

    What other processes have taken at the moment does not count: they come and go.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *(limit for file in _LIMITS if (limit := _limit(file)) is not None)])


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
