from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from headstart.learning import peak_memory
from headstart.learning.peak_memory import PeakMemory

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def _use(megabytes: int) -> None:
    array = np.ones(megabytes * 2**20, dtype=np.uint8)
    del array


def _measured(megabytes: int) -> float:
    with PeakMemory() as memory:
        _use(megabytes)
    assert memory.bytes is not None
    return memory.bytes / 2**20


@linux
def test_what_was_in_use_for_a_moment_counts() -> None:
    assert 55 < _measured(60) < 80  # the kernel counts in batches of pages


@linux
def test_each_measurement_starts_anew() -> None:
    big, small, again = _measured(120), _measured(30), _measured(120)
    assert small < 50
    assert big == pytest.approx(again, abs=20)


@linux
def test_many_small_pieces_count_again_after_they_were_freed() -> None:
    def pieces() -> float:
        with PeakMemory() as memory:
            held = [bytes(1000) for _ in range(40_000)]
        del held
        assert memory.bytes is not None
        return memory.bytes / 2**20

    first, second = pieces(), pieces()
    assert first > 30
    assert second > 30


def test_where_the_platform_cannot_tell_there_is_no_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peak_memory, "_CLEAR", tmp_path / "missing" / "clear_refs")
    with PeakMemory() as memory:
        pass
    assert memory.bytes is None
    monkeypatch.setattr(peak_memory.sys, "platform", "win32")
    with PeakMemory() as memory:
        pass
    assert memory.bytes is None


def test_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), PeakMemory() as memory:
        _ = 1 / 0
    assert memory.bytes is None or memory.bytes >= 0
