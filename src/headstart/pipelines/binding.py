"""Node functions that know which target, or source, they are for."""

from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints


def bind(function: Callable[..., Any], **given: Any) -> Callable[..., Any]:
    """The function with its first arguments given.

    Unlike a bare partial it keeps its name and type hints, by which Kedro names nodes and checks
    parameters.

    Args:
        function: a node function.
        given: its first arguments, in order.
    """
    bound = partial(function, *given.values())
    hints = get_type_hints(function)
    for name in given:
        hints.pop(name)
    bound.__annotations__ = hints
    bound.__name__ = function.__name__  # type: ignore[attr-defined]
    bound.__doc__ = function.__doc__
    return bound


def for_target(function: Callable[..., Any], target: str) -> Callable[..., Any]:
    """The function with its first argument, the target's name, given.

    Args:
        function: a node function whose first argument is `target`.
        target: the target's name.
    """
    return bind(function, target=target)
