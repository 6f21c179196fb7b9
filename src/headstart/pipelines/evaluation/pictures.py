"""Pictures as they stand inside a page."""

from __future__ import annotations

import base64
import io

import numpy as np

LARGEST_PICTURE = 192  # pixels on the longer side, sharp enough for the width of a tile


def picture(image: np.ndarray) -> str:
    """An image, uint8 of shape (H, W, C) with C = 1 or 3, as a data URI of a small file."""
    from PIL import Image

    pixels = np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)
    small = Image.fromarray(pixels)
    small.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE))
    buffer = io.BytesIO()
    kind = "png" if max(small.size) <= 64 else "jpeg"
    small.save(buffer, kind, **({"quality": 85} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
