"""Node functions that know which target they are for."""

from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints


def for_target(function: Callable[..., Any], target: str) -> Callable[..., Any]:
    """The function with its first argument, the target's name, given.

    Unlike a bare partial it keeps its name and type hints, by which Kedro names nodes and checks
    parameters.

    Args:
        function: a node function whose first argument is `target`.
        target: the target's name.
    """
    bound = partial(function, target)
    hints = get_type_hints(function)
    hints.pop("target")
    bound.__annotations__ = hints
    bound.__name__ = function.__name__  # type: ignore[attr-defined]
    bound.__doc__ = function.__doc__
    return bound
