"""Parameters of the probing stage."""

from typing import Annotated

from pydantic import Field

from headstart.learning.configuration import Parameters


class LinearProbeParameters(Parameters):
    """Logistic regression on the representation.

    Attributes:
        strengths: penalties to choose among.
    """

    strengths: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(min_length=1)


class NearestNeighborsParameters(Parameters):
    """Weighted nearest neighbors.

    Attributes:
        neighbors: how many, to choose among.
        temperature: of the weights; the smaller, the more the nearest count.
        smoothing: pseudo-neighbors that are spread over all classes.
    """

    neighbors: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    temperature: float = Field(gt=0)
    smoothing: float = Field(gt=0)


class ProbingParameters(Parameters):
    """`probing` in `conf/base/parameters_probing.yml`.

    Attributes:
        linear_probe: see `LinearProbeParameters`.
        nearest_neighbors: see `NearestNeighborsParameters`.
    """

    linear_probe: LinearProbeParameters
    nearest_neighbors: NearestNeighborsParameters
