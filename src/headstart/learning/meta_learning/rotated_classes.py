"""Rotations as new classes: a character turned by a quarter is another character.

Santoro et al. (2016) made four classes of each character of Omniglot in this way, and everybody
after them.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import HeadstartError
from headstart.learning.meta_learning.episodes import ClassPool


def with_rotations(pool: ClassPool) -> ClassPool:
    """A pool with four times the classes: class c turned r quarters to the left is 4 c + r.

    Split the classes before: c and its rotations belong together.

    Args:
        pool: of square images.

    Raises:
        HeadstartError: the images are not square.
    """
    if pool.inputs.ndim != 4 or pool.inputs.shape[2] != pool.inputs.shape[3]:
        raise HeadstartError(
            f"{pool.name}: only square images can be turned into new classes, these inputs have "
            f"shape {pool.inputs.shape[1:]}; give them one side length, or turn rotations off."
        )
    turned = [np.rot90(pool.inputs, quarter, axes=(2, 3)) for quarter in range(4)]
    labels = [4 * pool.labels + quarter for quarter in range(4)]
    return ClassPool(pool.name, np.concatenate(turned), np.concatenate(labels))
