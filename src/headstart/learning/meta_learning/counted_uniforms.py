"""Random numbers that are a pure function of (seed, index, position), for many indices at once.

The state of SplitMix64 (Steele, Lea and Flood 2014) is a counter, so its p-th number can be had
without the ones before:

    u_p = mix(s + p gamma) / 2^64,     s = mix(mix(seed) + index)

A generator a task would cost more than a whole step of a small network.
"""

from __future__ import annotations

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd


def counted_uniforms(seed: int, indices: np.ndarray, count: int) -> np.ndarray:
    """Uniform numbers in [0, 1), float64, shape (n, count).

    Args:
        seed: not negative.
        indices: shape (n,), not negative; row i depends on seed and indices[i] alone.
        count: numbers a row; more of them leave the first ones as they are.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is meant
        start = _mix(_mix(np.array([seed], np.uint64)) + np.asarray(indices).astype(np.uint64))
        positions = np.arange(1, count + 1, dtype=np.uint64) * _GAMMA
        bits = _mix(start[:, None] + positions)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed
