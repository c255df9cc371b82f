# Built by `make build` from the solution cells of course/notebooks/: edit those, not this file.
"""The reference solutions, in exercise order."""

import numpy as np
import torch
from torch import nn

# Start here


def centre_rows(x):
    """
    Subtract from each row its mean.

    Args:
        x: Input array of shape (rows, columns)

    Returns:
        Array of same shape as x; each of its rows has mean 0
    """
    # 1. Calculate the mean of each row
    # 2. Subtract it
    return x - x.mean(axis=1, keepdims=True)


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


# Exercise 2: Forward and backward pass


class LayerNorm:
    """
    Layer normalization over the last axis, with the gradients for training it.

    You write `forward` here. Task 3 writes `backward`, and attaches it to this class.

    Args:
        normalized_shape: The number of features, the length of the last axis of the input
        eps: Small constant for numerical stability
    """

    def __init__(self, normalized_shape, eps=1e-5):
        self.gamma = np.ones(normalized_shape)
        self.beta = np.zeros(normalized_shape)
        self.eps = eps

        # For storing intermediate values
        self.input = None
        self.normalized = None
        self.mean = None
        self.var = None

    def forward(self, x):
        """
        Forward pass of Layer Normalization

        Args:
            x: Input array of shape (..., features), often (batch_size, features)

        Returns:
            Normalized array of same shape as x, scaled by gamma and shifted by beta
        """
        # 1. Calculate mean and variance along the feature dimension
        # 2. Normalize the input
        # 3. Store what backward will need
        # 4. Scale and shift with self.gamma and self.beta
        self.input = x
        self.mean = x.mean(axis=-1, keepdims=True)  # (..., 1)
        self.var = x.var(axis=-1, keepdims=True)  # (..., 1)
        self.normalized = (x - self.mean) / np.sqrt(self.var + self.eps)  # (..., features)
        return self.gamma * self.normalized + self.beta  # (..., features)


def parameter_gradients(dout, normalized):
    """
    Gradients of the loss with respect to gamma and beta.

    Args:
        dout: Gradient of loss with respect to output, of shape (..., features)
        normalized: Normalized input x_hat, before gamma and beta, of shape (..., features)

    Returns:
        dgamma: Gradient of loss with respect to gamma, of shape (features,)
        dbeta: Gradient of loss with respect to beta, of shape (features,)
    """
    # 1. Which axes hold the rows?
    # 2. What does each entry of the array add to dgamma, and what to dbeta?
    # 3. Collect it over the rows
    leading = tuple(range(dout.ndim - 1))
    dgamma = (dout * normalized).sum(axis=leading)  # (features,)
    dbeta = dout.sum(axis=leading)  # (features,)
    return dgamma, dbeta


def backward(self, dout):
    """
    Backward pass of Layer Normalization

    Args:
        self: The LayerNorm whose forward was called last
        dout: Gradient of loss with respect to output, of shape (..., features)

    Returns:
        dx: Gradient of loss with respect to input, of the shape of dout
        dgamma: Gradient of loss with respect to gamma, of shape (features,)
        dbeta: Gradient of loss with respect to beta, of shape (features,)
    """
    # 1. dgamma and dbeta, from dout as it came in
    # 2. g: through gamma
    # 3. The two means over the features
    # 4. dx: three terms, times rstd
    x_hat = self.normalized  # (..., features)
    dgamma, dbeta = parameter_gradients(dout, x_hat)  # (features,)
    rstd = 1 / np.sqrt(self.var + self.eps)  # (..., 1)
    g = dout * self.gamma  # (..., features)
    mean_g = g.mean(axis=-1, keepdims=True)  # (..., 1)
    mean_g_x_hat = (g * x_hat).mean(axis=-1, keepdims=True)  # (..., 1)
    dx = rstd * (g - mean_g - x_hat * mean_g_x_hat)  # (..., features)
    return dx, dgamma, dbeta


LayerNorm.backward = backward


# Exercise 3: PyTorch implementation


class CustomLayerNorm(nn.Module):
    """
    Layer normalization over the last dims of x, with a learnable scale and shift.

    Args:
        normalized_shape: the lengths of the last dims of x, which share one mean and one
            variance: an int (the last dim alone), or a tuple, list or torch.Size of ints
        eps: Small constant for numerical stability

    Learnable parameters, each an nn.Parameter of shape normalized_shape. Any names will do,
    but only with PyTorch's, given here, a state_dict moves to and from nn.LayerNorm:
        weight: the scale, starting at ones
        bias: the shift, starting at zeros
    """

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        # 1. Make a tuple of normalized_shape, whichever of its forms was given
        # 2. Keep what forward needs, and create the two parameters
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape))

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (*, *normalized_shape), in the dtype of the parameters

        Returns:
            Normalized tensor of same shape and dtype as x
        """
        # 3. If x is float16 or bfloat16, go on with it in float32
        # 4. Calculate mean and variance over the last dims, as many as normalized_shape has
        # 5. Normalize the input
        # 6. Scale and shift, and give the result the dtype of x
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape), 0))
        mean = wide.mean(dims, keepdim=True)  # (*, 1, ..., 1)
        var = (wide - mean).square().mean(dims, keepdim=True)  # (*, 1, ..., 1)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)  # (*, *normalized_shape)
        return (x_hat * self.weight + self.bias).to(x.dtype)
