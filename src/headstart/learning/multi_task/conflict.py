"""How far the tasks' gradients at what they share point the same way.

    cos_tu = <g_t, g_u> / (||g_t|| ||g_u||)          g_t = grad of task t's mean loss, shape (P,)

at the shared layers, without penalties. Where it is negative, a step that helps one task harms the
other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from headstart.learning.multi_task.batches import TaskBatch
from headstart.learning.multi_task.learner import TaskLearner
from headstart.learning.multi_task.task_gradients import gramian

MEAN, CONFLICTING = "gradient_cosine", "conflicting_pairs"  # names in a training history


def gradient_cosines(learner: TaskLearner, batch: TaskBatch) -> torch.Tensor:
    """Cosines of all candidates, shape (C, T, T); 0 where a gradient vanishes.

    Args:
        learner: of a method that shares layers.
        batch: rows that the gradients are computed on.
    """
    with torch.enable_grad():
        layers = learner.networks.unfold()
        losses = learner.data_losses(batch, layers)
        copies = learner.networks.shared_copies(layers)
        products = gramian(torch.autograd.grad(losses.sum(), copies))
    lengths = products.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    return products / (lengths[:, :, None] * lengths[:, None]).clamp(min=1e-30)


def cosine_scores(cosines: np.ndarray, most_tasks: int) -> dict[str, float]:
    """The rows of a training history that tell of the conflict.

    Args:
        cosines: of one candidate, shape (T, T).
        most_tasks: with more, the mean and the share of conflicting pairs are all.
    """
    t, u = np.triu_indices(len(cosines), k=1)
    pairs = cosines[t, u]
    scores = {MEAN: float(pairs.mean()), CONFLICTING: float((pairs < 0).mean())}
    if len(cosines) <= most_tasks:
        scores |= {f"{MEAN}.{i}.{j}": float(c) for i, j, c in zip(t, u, pairs, strict=True)}
    return scores


def cosine_table(history: pd.DataFrame, task_names: tuple[str, ...]) -> pd.DataFrame:
    """The cosine of every pair over training.

    Args:
        history: a training history, with whatever columns before step, epoch, name and value.
        task_names: T.

    Returns:
        The history's columns without `name`, and task, other (names).
    """
    pairs = history[history["name"].str.startswith(f"{MEAN}.")]
    numbers = pairs["name"].str.split(".", expand=True).reindex(columns=[1, 2])
    named = {
        column: numbers[i].map(lambda n: task_names[int(n)]).astype("str")
        for column, i in (("task", 1), ("other", 2))
    }
    return pairs.drop(columns="name").assign(**named).reset_index(drop=True)
