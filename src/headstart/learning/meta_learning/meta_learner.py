"""A meta-trained method as data: what is handed over, kept in a file and met by a new task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from headstart.errors import HeadstartError
from headstart.learning.configuration import Parameters
from headstart.learning.meta_learning.method import Method
from headstart.learning.meta_learning.parameters import Conv4Parameters, SinusoidNetworkParameters
from headstart.learning.meta_learning.pooled_pretraining import PooledPretraining
from headstart.learning.meta_learning.problems import CLASSIFICATION, REGRESSION
from headstart.learning.meta_learning.registry import METHOD_PARAMETERS, METHODS, build_network
from headstart.learning.meta_learning.task_network import Reading

NetworkParameters = Conv4Parameters | SinusoidNetworkParameters


def copied(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of their own, on the CPU."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


@dataclass(frozen=True)
class MetaLearner:
    """A meta-trained method, ready for new tasks.

    Attributes:
        method: a key of `headstart.learning.meta_learning.registry.METHODS`.
        parameters: of the method, as its block of parameters is written in JSON.
        network: of the network, likewise.
        problem: "classification" or "regression".
        inputs: how images were made into inputs: size (pixels a side), channels, gray, resize, and
            inverted (whether light and dark were exchanged); empty for numbers.
        outputs: classes of a task, or numbers a prediction; 0: the method takes any number of
            classes.
        classes: of the meta-training, where the method tells them apart (`pooled_pretraining`);
            else 0.
        inner_steps: of the meta-training, whose running statistics of batch norm are kept.
        reading: what batch norm normalizes the queries of a new task by.
        weights: the state dict of the method, on the CPU.
    """

    method: str
    parameters: Mapping[str, Any]
    network: Mapping[str, Any]
    problem: str
    inputs: Mapping[str, Any]
    outputs: int
    classes: int
    inner_steps: int
    reading: Reading
    weights: Mapping[str, torch.Tensor]

    @classmethod
    def of(
        cls,
        name: str,
        method: Method,
        *,
        parameters: Parameters,
        network: NetworkParameters,
        inputs: Mapping[str, Any],
        reading: Reading,
    ) -> MetaLearner:
        """What a trained method is made of; its weights are copied.

        Args:
            name: of the method.
            method: trained.
            parameters: that it was built with.
            network: likewise.
            inputs: see `MetaLearner`.
            reading: see `MetaLearner`.
        """
        last = [w for n, w in method.network.weights.items() if n == "head_bias"]
        return cls(
            method=name,
            parameters=parameters.model_dump(mode="json"),
            network=network.model_dump(mode="json"),
            problem=method.problem.name,
            inputs=dict(inputs),
            outputs=sum(bias.numel() for bias in last),
            classes=len(method.classes) if isinstance(method, PooledPretraining) else 0,
            inner_steps=getattr(parameters, "steps", 0),
            reading=reading,
            weights=copied(method.state_dict()),
        )

    def build(self) -> Method:
        """The method again, on the CPU.

        Raises:
            HeadstartError: what is said of the method and its weights do not fit together.
        """
        try:
            return self._build()
        except (ValidationError, KeyError, RuntimeError, TypeError) as error:
            first = " ".join(str(error).split())
            raise HeadstartError(
                f"The weights of this meta-learner do not fit what is said of it ('{self.method}', "
                f"{self.problem}): {first}. It was changed, or made by another version; "
                "meta-train again."
            ) from error

    def _build(self) -> Method:
        parameters: Any = METHOD_PARAMETERS[self.method].model_validate(self.parameters)
        problem = {p.name: p for p in (CLASSIFICATION, REGRESSION)}[self.problem]
        network: NetworkParameters
        if problem is REGRESSION:
            network = SinusoidNetworkParameters.model_validate(self.network)
        else:
            network = Conv4Parameters.model_validate(self.network)
        built = build_network(
            network,
            channels=self.inputs.get("channels", 1),
            outputs=self.outputs,
            inner_steps=self.inner_steps,
            seed=0,  # of weights that are replaced
        )
        method: Method
        if self.method == "pooled_pretraining":
            width = self.weights["head"].shape[1]
            classes = np.arange(self.classes)
            method = PooledPretraining(built, problem, parameters, width, classes)
        else:
            method = METHODS[self.method](built, problem, parameters)
        method.load_state_dict(dict(self.weights))
        return method.eval()
