"""Mean-regularized multi-task learning of linear models, in closed form.

    min_{W, b} 1/T (sum_t (1/n_t sum_i (w_t x_ti + b_t - y_ti)^2 + l2 ||w_t||^2)
                    + sum_{t<u} lambda_tu (||w_t - w_u||^2 + (b_t - b_u)^2))

With lambda_tu = strength / T for every pair that is Evgeniou and Pontil (2004). Its gradient is
linear in theta_t = (w_t, b_t), so the minimum solves one system of T (D + 1) equations:

    (blockdiag(X_t^T X_t / n_t + l2 J) + L (x) I) theta = (X_t^T y_t / n_t)_t

X_t with a column of ones, J the identity but for a 0 at the bias, L the Laplacian of lambda.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_regularized(
    features: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    strengths: np.ndarray,
    l2: float,
) -> np.ndarray:
    """The minimum.

    Args:
        features: of each task, shape (n_t, D).
        targets: of each task, shape (n_t,).
        strengths: lambda, symmetric, shape (T, T).
        l2: penalty on the squared weights; above 0, or the tasks' rows span all directions.

    Returns:
        Weights and, in the last column, biases: shape (T, D + 1).
    """
    tasks, width = len(features), features[0].shape[1] + 1
    off = strengths * (1 - np.eye(tasks))
    system = np.kron(np.diag(off.sum(axis=1)) - off, np.eye(width))
    right = np.zeros((tasks, width))
    shrunk = l2 * np.diag(np.append(np.ones(width - 1), 0.0))
    for t, (x, y) in enumerate(zip(features, targets, strict=True)):
        own = slice(t * width, (t + 1) * width)
        x_one = np.column_stack([x, np.ones(len(x))])
        system[own, own] += x_one.T @ x_one / len(x) + shrunk
        right[t] = x_one.T @ y / len(x)
    return np.linalg.solve(system, right.ravel()).reshape(tasks, width)
