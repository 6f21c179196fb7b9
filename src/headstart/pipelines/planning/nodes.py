"""Nodes of the planning stage."""

from typing import Any

import pandas as pd

from headstart.learning.configuration import ComputeParameters
from headstart.learning.planning.parameters import PlanningParameters
from headstart.pipelines.planning import figure, page


def plan(
    gpus: pd.DataFrame,
    configurations: dict[str, dict[str, Any]],
    parameters: PlanningParameters,
    compute: ComputeParameters,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict memory, GPUs and time of every planned training.

    Args:
        gpus: the catalogue.
        configurations: of the models that name one.
        parameters: of the stage.
        compute: progress bar.

    Returns:
        Memory by part and the plan by GPU (`headstart.learning.planning.tables`).

    Raises:
        HeadstartError: as `headstart.learning.planning.tables.make_plan`, or the catalogue is
            damaged.
    """
    from tqdm import tqdm

    from headstart.learning.planning.gpu_catalogue import gpus_of
    from headstart.learning.planning.tables import make_plan

    tried = gpus_of(gpus, parameters.gpus.names)

    def progress(jobs: list[Any]) -> Any:
        return tqdm(jobs, desc="plan", unit="job", disable=not compute.progress)

    return make_plan(parameters, tried, configurations, progress)


def draw_memory(memory: pd.DataFrame) -> Any:
    """Memory by part, one bar a planned training.

    Args:
        memory: of `plan`.
    """
    return figure.memory_figure(memory)


def write_page(memory_figure: Any, memory: pd.DataFrame, gpu_plan: pd.DataFrame) -> str:
    """One page with picture and tables, which opens without a network.

    Args:
        memory_figure: of `draw_memory`.
        memory: of `plan`; gpu_plan likewise.
        gpu_plan: see there.
    """
    return page.planning_page(memory_figure, memory, gpu_plan)
