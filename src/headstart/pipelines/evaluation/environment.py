"""What a report was made with: versions, machine and configuration."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

from headstart.learning.configuration import usable_processors

LIBRARIES = ("headstart", "kedro", "torch", "torchvision", "timm", "scikit-learn", "numpy")


def describe_environment(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that somebody needs who wants to repeat the run.

    Args:
        configuration: all parameters of the run.

    Returns:
        Names and values; `versions` and `configuration` are nested.
    """
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "system": platform.platform(terse=True),
        "processors": f"{usable_processors()} ({platform.machine()})",
        "GPU": ", ".join(gpus) or "none",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "configuration": {name: _plain(value) for name, value in sorted(configuration.items())},
    }


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
