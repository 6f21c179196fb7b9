"""Peak memory of a stretch of code."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path
from types import TracebackType

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc(5): resets the peak of the resident set size to its present value


class PeakMemory:
    """Measures how far memory in use rises above where it was, at its highest, inside the block.

    On CUDA, where the process computes on it, bytes that the allocator handed out; on Linux the
    resident set of this process (weights, activations, whatever is there). Elsewhere the platform
    cannot tell.

    Attributes:
        bytes: the rise, once the block has ended; None where the platform cannot tell.
    """

    bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        self._cuda = _computes_on_cuda()
        self._start: int | None = None
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
            self._start = torch.cuda.memory_allocated()
        elif sys.platform == "linux":
            _give_back_freed_memory()
            try:
                _CLEAR.write_text(_RESET_PEAK)
                self._start = _status("VmRSS")
            except OSError:
                self._start = None  # some sandboxes and containers forbid it
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._start is None:
            return
        if self._cuda:
            import torch

            peak = torch.cuda.max_memory_allocated()
        else:
            peak = _status("VmHWM")
        self.bytes = max(0, peak - self._start)


def _computes_on_cuda() -> bool:
    torch = sys.modules.get("torch")  # without torch in the process there is no CUDA in it
    return torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()


def _give_back_freed_memory() -> None:
    """Else what an earlier fit has freed would be used again and not count."""
    gc.collect(1)  # the young: a whole collection takes as long as a small fit
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _status(field: str) -> int:
    """One field of /proc/self/status, in bytes."""
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {field}")
