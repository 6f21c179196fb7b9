"""Parameters of the multi-task stage."""

from pydantic import Field

from headstart.learning.configuration import Parameters
from headstart.learning.multi_task.parameters import TaskParameters


class PairGainsParameters(Parameters):
    """How it is measured which tasks help which (`headstart.learning.multi_task.groupings`).

    Attributes:
        seeds: the first so many draws, at the fewest labeled rows per task. With more tasks than
            `learning.conflict.tasks` it is not measured, pairs being their square.
    """

    seeds: int = Field(ge=1)


class MultiTaskParameters(Parameters):
    """`multi_task` in `conf/base/parameters_multi_task.yml`.

    Attributes:
        seeds: the first so many draws of rows.
        seeds_all: of all rows, where a fit takes longest and varies least.
        learning: networks, hyper-parameters and training, the same for every method.
        pair_gains: which tasks help which.
    """

    seeds: int = Field(ge=1)
    seeds_all: int = Field(ge=1)
    learning: TaskParameters
    pair_gains: PairGainsParameters
