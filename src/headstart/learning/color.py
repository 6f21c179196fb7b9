"""The CIELAB color space: lightness L*, and two axes of color, a* (green-red) and b* (blue-yellow).

sRGB (IEC 61966-2-1) to linear light c, that to CIE XYZ, and with f(t) = t^(1/3) for t > (6/29)^3,
else 841/108 t + 4/29 (CIE 15:2004), white (X_n, Y_n, Z_n) = D65 for the 2 degree observer:

    L* = 116 f(Y/Y_n) - 16    a* = 500 (f(X/X_n) - f(Y/Y_n))    b* = 200 (f(Y/Y_n) - f(Z/Z_n))
"""

from __future__ import annotations

import torch

_WHITE = (0.95047, 1.0, 1.08883)
_XYZ_OF_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_BEND = 6 / 29  # f is a straight line below it


def to_lab(images: torch.Tensor) -> torch.Tensor:
    """SRGB to CIELAB.

    Args:
        images: values in [0, 1], shape (..., 3, H, W).

    Returns:
        L* in [0, 100], a* in [-86.2, 98.3] and b* in [-107.9, 94.5], shape (..., 3, H, W).
    """
    xyz = _mix(_linear(images), images.new_tensor(_XYZ_OF_RGB))
    x, y, z = _f(xyz / images.new_tensor(_WHITE).view(3, 1, 1)).unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def to_rgb(lab: torch.Tensor) -> torch.Tensor:
    """CIELAB to sRGB; what sRGB cannot show is clamped.

    Args:
        lab: L*, a* and b*, shape (..., 3, H, W).

    Returns:
        Values in [0, 1], shape (..., 3, H, W).
    """
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=-3)
    xyz = torch.where(f > _BEND, f**3, (f - 4 / 29) * 108 / 841)
    xyz = xyz * lab.new_tensor(_WHITE).view(3, 1, 1)
    # Inverted in double precision: the rounding would show as a tint of gray.
    rgb_of_xyz = torch.tensor(_XYZ_OF_RGB, dtype=torch.float64).inverse().to(lab)
    rgb = _mix(xyz, rgb_of_xyz).clamp(0, 1)
    return torch.where(rgb > 0.0031308, 1.055 * rgb ** (1 / 2.4) - 0.055, 12.92 * rgb)


def lightness(images: torch.Tensor) -> torch.Tensor:
    """How light each pixel looks: L* / 100.

    Args:
        images: sRGB or gray values in [0, 1], shape (n, C, H, W) with C = 3 or 1.

    Returns:
        Values in [0, 1], shape (n, 1, H, W).
    """
    linear = _linear(images)
    if images.shape[1] == 3:
        linear = _mix(linear, images.new_tensor(_XYZ_OF_RGB[1:2]))
    return 1.16 * _f(linear) - 0.16


def _linear(rgb: torch.Tensor) -> torch.Tensor:
    bent = ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(rgb > 0.04045, bent, rgb / 12.92)


def _f(t: torch.Tensor) -> torch.Tensor:
    return torch.where(t > _BEND**3, t.clamp(min=_BEND**3) ** (1 / 3), 841 / 108 * t + 4 / 29)


def _mix(channels: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Each pixel's channels (..., K, H, W) times a matrix (J, K): (..., J, H, W)."""
    return torch.einsum("jk,...khw->...jhw", matrix, channels)
