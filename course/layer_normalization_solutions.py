# Built by `make build` from the solution cells of course/notebooks/: edit those, not this file.
"""The reference solutions, in exercise order."""

import numpy as np

# Exercise 1: Basic implementation


def layer_norm(x, gamma, beta, eps=1e-5):
    """
    Normalise the last axis of x to mean 0 and variance 1, then scale and shift it.

    Args:
        x: Input array of shape (..., features), often (batch_size, features)
        gamma: Scale parameter of shape (features,)
        beta: Shift parameter of shape (features,)
        eps: Small constant for numerical stability

    Returns:
        Normalized array of same shape as x
    """
    # 1. Calculate mean along the feature dimension
    # 2. Calculate variance along the feature dimension
    # 3. Normalize the input
    # 4. Scale and shift with gamma and beta
    mean = x.mean(axis=-1, keepdims=True)  # (..., 1)
    var = x.var(axis=-1, keepdims=True)  # (..., 1)
    x_hat = (x - mean) / np.sqrt(var + eps)  # (..., features)
    return gamma * x_hat + beta
