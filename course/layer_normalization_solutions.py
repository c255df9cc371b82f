# Built by `make build` from the solution cells of course/notebooks/: edit those, not this file.
"""The reference solutions, in exercise order."""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import sparse
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


# Exercise 4: Comparing normalization techniques


class ModelWithBatchNorm(nn.Module):
    """
    A classifier with batch normalization inside.

    Args:
        input_size: How many values a sample has
        hidden_size: How many units the hidden layer, or each hidden layer, has
        num_classes: How many classes there are
    """

    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        # 1. Create a linear layer, a batch norm, and a second linear layer
        self.hidden = nn.Linear(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(hidden_size)
        self.logits = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        """
        Args:
            x: Samples of shape (batch, ...), with input_size values each

        Returns:
            Logits of shape (batch, num_classes), which no softmax has seen
        """
        # 2. Flatten each sample
        # 3. Linear layer, batch norm, activation
        # 4. The last linear layer gives the logits
        hidden = self.hidden(x.flatten(1))  # (batch, hidden_size)
        return self.logits(torch.relu(self.norm(hidden)))  # (batch, num_classes)


class ModelWithLayerNorm(nn.Module):
    """
    The same classifier, with layer normalization in the place of batch normalization.

    Args:
        input_size: How many values a sample has
        hidden_size: How many units the hidden layer, or each hidden layer, has
        num_classes: How many classes there are
    """

    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        # 1. Create the same layers, with another norm
        self.hidden = nn.Linear(input_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.logits = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        """
        Args:
            x: Samples of shape (batch, ...), with input_size values each

        Returns:
            Logits of shape (batch, num_classes), which no softmax has seen
        """
        # 2. As in ModelWithBatchNorm
        hidden = self.hidden(x.flatten(1))  # (batch, hidden_size)
        return self.logits(torch.relu(self.norm(hidden)))  # (batch, num_classes)


def train_and_evaluate(model, train_loader, test_loader, epochs, lr):
    """
    Train a classifier with plain stochastic gradient descent, then see how good it is.

    Args:
        model: An nn.Module that returns logits of shape (batch, num_classes)
        train_loader: Batches (x, y) to train on; y are class numbers of shape (batch,)
        test_loader: Batches (x, y) to evaluate on
        epochs: How often to go through train_loader
        lr: Learning rate of torch.optim.SGD

    Returns:
        losses: The cross-entropy of every step of every epoch, in order, as a list of floats
        accuracy: The share of all samples of test_loader whose class has the largest logit
    """
    # 1. Create the optimizer: plain SGD, without momentum
    # 2. For every epoch and every batch, in training mode: loss, gradients, step; note the loss
    # 3. In evaluation mode, and without gradients: count what is right in test_loader
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    model.eval()
    correct = total = 0
    with torch.no_grad():
        for x, y in test_loader:
            correct += (model(x).argmax(dim=1) == y).sum().item()
            total += len(y)
    return losses, correct / total


# Exercise 5: RMSNorm


class RMSNorm(nn.Module):
    """
    Root mean square normalization over the last dims of x, with a learnable scale.

    Args:
        normalized_shape: the lengths of the last dims of x, which share one mean square: an int
            (the last dim alone), or a tuple, list or torch.Size of ints
        eps: Small constant for numerical stability

    Learnable parameter, an nn.Parameter of shape normalized_shape. Any name will do, but only
    with PyTorch's, given here, a state_dict moves to and from nn.RMSNorm:
        weight: the scale, starting at ones
    """

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        # 1. Make a tuple of normalized_shape, whichever of its forms was given
        # 2. Keep what forward needs, and create the parameter
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (*, *normalized_shape), of any floating point dtype

        Returns:
            Normalized and scaled tensor of same shape and dtype as x
        """
        # 3. If x is float16 or bfloat16, go on with it in float32
        # 4. Calculate the mean square over the last dims, as many as normalized_shape has
        # 5. Divide by the root of the mean square plus eps
        # 6. Scale, and give the result the dtype of x
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape), 0))
        mean_square = wide.square().mean(dims, keepdim=True)  # (*, 1, ..., 1)
        x_hat = wide * torch.rsqrt(mean_square + self.eps)  # (*, *normalized_shape)
        return (x_hat * self.weight).to(x.dtype)


def rms_norm_backward(dout, x, weight, eps=1e-5):
    """
    Gradients of the loss with respect to the input and the scale of an RMSNorm over the last dim.

    Args:
        dout: Gradient of loss with respect to output, of shape (..., features)
        x: Input of the forward pass, of shape (..., features)
        weight: The scale, of shape (features,)
        eps: The eps of the forward pass

    Returns:
        dx: Gradient of loss with respect to x, of the shape of x
        dweight: Gradient of loss with respect to weight, of shape (features,)
    """
    # 1. r and x_hat, as in the forward pass
    # 2. g: what of dout comes through the scale
    # 3. dx: two terms, times r
    # 4. dweight: collect over all the rows
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)  # (..., 1)
    x_hat = x * r  # (..., features)
    g = dout * weight  # (..., features)
    dx = r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True))  # (..., features)
    dweight = (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)  # (features,)
    return dx, dweight


# Exercise 6: Conditional layer normalization


class ConditionalLayerNorm(nn.Module):
    """
    Layer normalization whose scale and shift are learned functions of a condition.

    Args:
        normalized_shape: The number of features, the length of the last dim of x: an int
        condition_size: The length of a condition
        eps: Small constant for numerical stability
    """

    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__()
        # 1. Create what makes a change of gamma, and a beta, from a condition
        # 2. Let both give 0 for every condition at first
        self.normalized_shape = normalized_shape
        self.eps = eps
        self.to_change = nn.Linear(condition_size, normalized_shape)
        self.to_beta = nn.Linear(condition_size, normalized_shape)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x, condition):
        """
        Args:
            x: Input tensor of shape (batch, ..., features)
            condition: One condition for each sample, of shape (batch, condition_size)

        Returns:
            Normalized tensor of same shape as x, each sample scaled and shifted by its condition
        """
        # 3. Normalize the last dim of x, without any scale or shift
        # 4. Make gamma and beta of the condition, each of shape (batch, features)
        # 5. Give them dims of length 1 between batch and features, as many as x has there
        # 6. Scale and shift
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        between = [1] * (x.dim() - 2)
        shape = (x.shape[0], *between, self.normalized_shape)
        gamma = (1 + self.to_change(condition)).reshape(shape)  # (batch, 1, ..., 1, features)
        beta = self.to_beta(condition).reshape(shape)  # (batch, 1, ..., 1, features)
        return gamma * x_hat + beta


class GatedResidualBlock(nn.Module):
    """
    A residual block that a condition steers: x + alpha(c) * MLP(gamma(c) * x_hat + beta(c)).

    Args:
        d_model: The number of features, the length of the last dim of x
        condition_size: The length of a condition
        hidden_size: The width of the MLP
    """

    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__()
        # 1. Create the conditional norm
        # 2. Create the MLP: a layer to hidden_size, a non-linearity, a layer back to d_model
        # 3. Create what makes alpha of a condition, and let it give 0 at first
        self.norm = ConditionalLayerNorm(d_model, condition_size)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, hidden_size), nn.GELU(), nn.Linear(hidden_size, d_model)
        )
        self.to_alpha = nn.Linear(condition_size, d_model)
        nn.init.zeros_(self.to_alpha.weight)
        nn.init.zeros_(self.to_alpha.bias)

    def forward(self, x, condition):
        """
        Args:
            x: Input tensor of shape (batch, ..., d_model)
            condition: One condition for each sample, of shape (batch, condition_size)

        Returns:
            Tensor of same shape as x
        """
        # 4. Normalize and modulate x, and send it through the MLP
        # 5. Make alpha, one number for each feature, and give it the dims it lacks
        # 6. Add the gated result to x
        branch = self.mlp(self.norm(x, condition))  # (batch, ..., d_model)
        alpha = self.to_alpha(condition)  # (batch, d_model)
        alpha = alpha.reshape(x.shape[0], *[1] * (x.dim() - 2), x.shape[-1])
        return x + alpha * branch


# Exercise 7: Layer normalization in a Transformer


def scaled_dot_product_attention(query, key, value, mask=None):
    """
    Scaled dot-product attention.

    Args:
        query: Tensor of shape (..., L, d)
        key: Tensor of shape (..., S, d)
        value: Tensor of shape (..., S, d_v)
        mask: None, or a tensor that broadcasts to (..., L, S): of booleans, True where a key is
            blocked for a query; or of floats, added to the scaled scores

    Returns:
        output: Tensor of shape (..., L, d_v)
        weights: Tensor of shape (..., L, S), whose rows sum to 1
    """
    # 1. The scores: every query with every key, divided by the square root of d
    # 2. The mask, by its dtype
    # 3. Softmax over the keys
    # 4. The mean of the values with these weights
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (..., L, S)
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(mask, float("-inf"))
        else:
            scores = scores + mask
    weights = torch.softmax(scores, dim=-1)  # (..., L, S)
    return weights @ value, weights  # (..., L, d_v) and (..., L, S)


class MultiHeadSelfAttention(nn.Module):
    """
    Multi-head self-attention: every position looks at every position of its own sequence.

    Args:
        d_model: number of features of a position
        nhead: number of heads, which share the features: d_head = d_model / nhead each

    Raises:
        ValueError: nhead does not divide d_model; the message names both numbers

    Any names and any layout of the weights will do. Only with the names q_proj, k_proj, v_proj
    and out_proj, for four linear layers from d_model to d_model, can weights be copied from
    nn.MultiheadAttention (with its own names, in_proj_weight and so on, as well).
    """

    def __init__(self, d_model, nhead):
        super().__init__()
        # 1. Refuse a d_model that nhead does not divide
        # 2. Create the four projections
        if d_model % nhead:
            raise ValueError(f"d_model={d_model} cannot be split into nhead={nhead} equal heads.")
        self.nhead = nhead
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        """
        Args:
            x: Tensor of shape (batch, seq, d_model)
            mask: None, or a tensor of shape (seq, seq), the same for all samples and heads: of
                booleans, True where blocked; or of floats, added to the scaled scores

        Returns:
            Tensor of shape (batch, seq, d_model)
        """
        # 3. Queries, keys and values, split into heads
        # 4. Attention, in all heads at once
        # 5. The heads side by side again, and the last projection
        query = self.split(self.q_proj(x))  # (batch, nhead, seq, d_head)
        key = self.split(self.k_proj(x))
        value = self.split(self.v_proj(x))
        heads, _ = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(self.merge(heads))  # (batch, seq, d_model)

    def split(self, x):
        """From (batch, seq, d_model) to (batch, nhead, seq, d_head)."""
        batch, seq, d_model = x.shape
        return x.view(batch, seq, self.nhead, d_model // self.nhead).transpose(1, 2)

    def merge(self, heads):
        """From (batch, nhead, seq, d_head) to (batch, seq, d_model)."""
        return heads.transpose(1, 2).flatten(2)


class TransformerEncoderBlock(nn.Module):
    """
    A Transformer encoder block with the layer norms after the residual connections (Post-LN).

    Args:
        d_model: number of features of a position
        nhead: number of attention heads
        dim_feedforward: width of the hidden layer of the feed-forward network
        dropout: probability with which, in training, a feature of a sub-layer's output is dropped

    Any names will do. Only with PyTorch's can weights be copied from nn.TransformerEncoderLayer:
    linear1, linear2, norm1, norm2, and self_attn for your MultiHeadSelfAttention or for
    nn.MultiheadAttention.
    """

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__()
        # 1. Multi-head self-attention
        # 2. Two layer norms
        # 3. The two linear maps of the feed-forward network
        # 4. Dropout
        self.self_attn = MultiHeadSelfAttention(d_model, nhead)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, src, src_mask=None):
        """
        Args:
            src: Tensor of shape (batch, seq, d_model)
            src_mask: None, or a tensor of shape (seq, seq): of booleans, True where blocked; or of
                floats, added to the scaled scores

        Returns:
            Tensor of shape (batch, seq, d_model)
        """
        # 5. Attention, dropout, residual connection, norm
        # 6. Feed-forward network, dropout, residual connection, norm
        src = self.norm1(src + self.dropout(self.self_attn(src, src_mask)))
        return self.norm2(src + self.dropout(self.feed_forward(src)))

    def feed_forward(self, x):
        """The same small network at every position."""
        hidden = torch.relu(self.linear1(x))  # (batch, seq, dim_feedforward)
        return self.linear2(self.dropout(hidden))  # (batch, seq, d_model)


# Exercise 8: Visualizing the effect of layer normalization


def record_activations(model, x, layers):
    """
    Run a model once, and record what some of its layers put out.

    The model runs in the mode that it is in (training or evaluation), and is left as it was.

    Args:
        model: an nn.Module
        x: its input, a tensor of shape (batch, ...)
        layers: list of names of layers, as model.named_modules() has them, such as "0.linear"

    Returns:
        dict with one tensor for each name, without gradients: what that layer put out for x,
        whatever the model does with it afterwards
    """
    # 1. Make an empty dict, and a function that makes the hook for one name
    # 2. Register a hook on each layer, and keep the handle that you get
    # 3. Run the model on x
    # 4. Remove the hooks, even if the model has raised an error
    recorded = {}

    def hook_for(name):
        def hook(module, inputs, output):
            recorded[name] = output.detach().clone()

        return hook

    handles = [model.get_submodule(name).register_forward_hook(hook_for(name)) for name in layers]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


def visualize_activations(depth=8, width=64, batch=256, gain=1.0, seed=0):
    """
    Draw the activations of a deep network without and with layer normalization, layer by layer.

    The network repeats depth times: a linear layer from width to width features without bias,
    layer normalization (in the second network only), ReLU. Its weights are normal, with mean 0
    and standard deviation gain / sqrt(width). Its input is standard normal. Input and weights
    are the same in both networks.

    Args:
        depth: Number of layers
        width: Number of features of a layer, and of the input
        batch: Number of samples
        gain: The size of the weights
        seed: Of the random numbers: the same seed gives the same activations

    Returns:
        fig: a matplotlib figure that shows both networks, with labelled axes and the words
            "without" and "with"
        activations: {"without": {layer: values}, "with": {layer: values}}, with one entry for
            each layer, from the first to the last, under any key. Values have shape
            (batch, width): the input of the ReLU, which in the second network is the output of
            the norm
    """
    # 1. For each of the two networks, start the random numbers from the seed
    # 2. Draw the input, build the network, and draw its weights
    # 3. Record what goes into each ReLU
    # 4. Draw the figure, label it, and return it with the numbers
    activations = {}
    for network in ("without", "with"):
        random = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, width, generator=random)
        model = nn.Sequential()
        for layer in range(1, depth + 1):
            linear = nn.Linear(width, width, bias=False)
            nn.init.normal_(linear.weight, std=gain / width**0.5, generator=random)
            model.add_module(f"linear {layer}", linear)
            if network == "with":
                model.add_module(f"norm {layer}", nn.LayerNorm(width))
            model.add_module(f"relu {layer}", nn.ReLU())
        before_relu = "norm" if network == "with" else "linear"
        names = [f"{before_relu} {layer}" for layer in range(1, depth + 1)]
        recorded = record_activations(model, x, names)
        activations[network] = dict(enumerate(recorded.values(), start=1))

    fig, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True, sharey=True)
    colours = plt.get_cmap("viridis_r")(np.linspace(0.1, 1, depth))
    for axes, (network, layers) in zip(panels, activations.items(), strict=True):
        for colour, (layer, values) in zip(colours, layers.items(), strict=True):
            density, edges = np.histogram(values.numpy(), bins=50, density=True)
            axes.stairs(density, edges, color=colour, label=layer)
        axes.set(title=f"{network} layer norm", xlabel="input of the ReLU", yscale="log")
    panels[0].set_ylabel("density")
    panels[1].legend(title="layer", ncols=2, fontsize="small")
    plt.close(fig)  # it is returned; pyplot would show it once more
    return fig, activations


# Exercise 9: Pre-LayerNorm vs Post-LayerNorm


class PreLayerNormTransformer(nn.Module):
    """
    Transformer encoder with the norm before each sublayer, and one final norm

    Args:
        d_model: Number of features of a token
        nhead: Number of attention heads, a divisor of d_model
        num_layers: Number of layers
        dim_feedforward: Number of features inside the feed-forward network
        dropout: Probability of dropout, on the output of each sublayer
    """

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        # 1. For each layer: attention, a feed-forward network, and two norms, all its own
        # 2. Dropout, and the final norm
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "attention_norm": nn.LayerNorm(d_model),
                    "attention": nn.MultiheadAttention(d_model, nhead, batch_first=True),
                    "feed_forward_norm": nn.LayerNorm(d_model),
                    "feed_forward": nn.Sequential(
                        nn.Linear(d_model, dim_feedforward),
                        nn.ReLU(),
                        nn.Linear(dim_feedforward, d_model),
                    ),
                }
            )
            for _ in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.final_norm = nn.LayerNorm(d_model)

    def forward(self, src, src_mask=None):
        """
        Args:
            src: Input of shape (batch, seq, d_model)
            src_mask: None, or of shape (seq, seq), as `attn_mask` of nn.MultiheadAttention:
                boolean, True where a token (row) may not look at another (column), or
                floats that are added to the scores

        Returns:
            Output of shape (batch, seq, d_model)
        """
        # 3. Attention reads a normalised copy of x; its output, after dropout, is added to x
        # 4. The same with the feed-forward network
        # 5. After the last layer: the final norm
        x = src
        for layer in self.layers:
            h = layer["attention_norm"](x)
            h, _ = layer["attention"](h, h, h, attn_mask=src_mask, need_weights=False)
            x = x + self.dropout(h)
            h = layer["feed_forward_norm"](x)
            h = layer["feed_forward"](h)
            x = x + self.dropout(h)
        return self.final_norm(x)


class PostLayerNormTransformer(nn.Module):
    """
    Transformer encoder with the norm after each sublayer, on the sum

    Args:
        d_model: Number of features of a token
        nhead: Number of attention heads, a divisor of d_model
        num_layers: Number of layers
        dim_feedforward: Number of features inside the feed-forward network
        dropout: Probability of dropout, on the output of each sublayer
    """

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        # 1. The same building blocks. Is there a final norm?
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "attention": nn.MultiheadAttention(d_model, nhead, batch_first=True),
                    "attention_norm": nn.LayerNorm(d_model),
                    "feed_forward": nn.Sequential(
                        nn.Linear(d_model, dim_feedforward),
                        nn.ReLU(),
                        nn.Linear(dim_feedforward, d_model),
                    ),
                    "feed_forward_norm": nn.LayerNorm(d_model),
                }
            )
            for _ in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, src, src_mask=None):
        """
        Args:
            src: Input of shape (batch, seq, d_model)
            src_mask: as in PreLayerNormTransformer

        Returns:
            Output of shape (batch, seq, d_model)
        """
        # 2. Attention reads x; its output, after dropout, is added to x; the sum is normalised
        # 3. The same with the feed-forward network
        x = src
        for layer in self.layers:
            h, _ = layer["attention"](x, x, x, attn_mask=src_mask, need_weights=False)
            x = layer["attention_norm"](x + self.dropout(h))
            h = layer["feed_forward"](x)
            x = layer["feed_forward_norm"](x + self.dropout(h))
        return x


def gradient_norms(model, groups, src, upstream):
    """
    Norm of the loss gradient for each group of a model's parameters

    The loss is the sum of model(src) * upstream. The model comes out as it went in: same
    mode, same parameters, and in every `.grad` what was there before.

    Args:
        model: An nn.Module, to be called as model(src)
        groups: A list of lists of parameters of the model, such as one list for each layer
        src: Input of the model
        upstream: Gradient of the loss with respect to the output, of the output's shape

    Returns:
        A list with one float for each group: the L2 norm of the gradients of all its
        parameters, taken together as one long vector. A parameter that the loss does not
        depend on counts as 0.
    """
    # 1. The loss
    # 2. Its gradient with respect to every parameter of every group
    # 3. For each group: square, add up over all entries of all parameters, take the root
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    squares = iter([gradient.square().sum() for gradient in gradients])
    return [sum(next(squares) for _ in group).sqrt().item() for group in groups]


# Exercise 10: Layer normalization for different data types


class ImageLayerNorm(nn.Module):
    """
    Layer normalization of images, with a learnable scale and shift for each channel.

    Args:
        num_channels: C, the number of channels
        eps: Small constant for numerical stability
        per_pixel: False: all numbers of an image share one mean and one variance (C, H and W).
            True: the C numbers of each pixel do (C alone)

    Learnable parameters, each an nn.Parameter with one number per channel. Any names will do:
        weight: the scale, starting at ones
        bias: the shift, starting at zeros
    """

    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__()
        # 1. Keep what forward needs, and create the two parameters
        self.dims = 1 if per_pixel else (1, 2, 3)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (N, C, H, W), of any height and width

        Returns:
            Normalized tensor of same shape and dtype as x
        """
        # 2. If x is float16 or bfloat16, go on with it in float32
        # 3. Calculate mean and variance over the dims that the mode asks for
        # 4. Normalize the input
        # 5. Scale and shift each channel by its own numbers; give the result the dtype of x
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)  # (N, 1, 1, 1), or (N, 1, H, W) per pixel
        var = (wide - mean).square().mean(self.dims, keepdim=True)  # the same
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)  # (N, C, H, W)
        weight, bias = self.weight[:, None, None], self.bias[:, None, None]  # (C, 1, 1)
        return (x_hat * weight + bias).to(x.dtype)


class TextLayerNorm(nn.Module):
    """
    Layer normalization of padded sequences, with a learnable scale and shift for each feature.

    Args:
        d_model: D, the number of features of a token
        eps: Small constant for numerical stability
        per_sequence: False: the D features of each token share one mean and one variance.
            True: all features of all real tokens of a sequence do

    Learnable parameters, each an nn.Parameter with one number per feature. Any names will do:
        weight: the scale, starting at ones
        bias: the shift, starting at zeros
    """

    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__()
        # 1. Keep what forward needs, and create the two parameters
        self.dims = (1, 2) if per_sequence else 2
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))

    def forward(self, x, mask=None):
        """
        Args:
            x: Input tensor of shape (N, T, D), of any length T. What it holds at padded positions
                is of no account, whatever it is: large numbers, inf or NaN
            mask: Tensor of shape (N, T), of bools or of ints 0 and 1. True or 1: a real token;
                False or 0: padding. Without a mask every token is real

        Returns:
            Normalized tensor of same shape and dtype as x, with 0 at padded positions
        """
        # 2. Make a mask of bools that lines up with x, and clear the padded positions of x
        # 3. Calculate mean and variance over the dims that the mode asks for: divide by how many
        #    real numbers there are, which may be none
        # 4. Normalize the input, in float32 if x is float16 or bfloat16
        # 5. Scale and shift, clear the padded positions, and give the result the dtype of x
        mask = torch.ones(x.shape[:2], device=x.device) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)  # (N, T, D)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        wide = torch.where(real, wide, 0)
        # Where nothing is real a count of 0 would divide 0 by 0.
        count = real.sum(self.dims, keepdim=True).clamp(min=1)  # (N, T, 1) or (N, 1, 1)
        mean = wide.sum(self.dims, keepdim=True) / count  # the same
        centred = torch.where(real, wide - mean, 0)  # (N, T, D)
        var = centred.square().sum(self.dims, keepdim=True) / count  # (N, T, 1) or (N, 1, 1)
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias  # (N, T, D)
        return torch.where(real, y, 0).to(x.dtype)


class TimeSeriesLayerNorm(nn.Module):
    """
    Layer normalization of time series, with a learnable scale and shift for each feature.

    Args:
        num_features: F, the number of features that are measured at each step
        eps: Small constant for numerical stability
        over_time: False: the F features of each step share one mean and one variance.
            True: the T steps of each feature of each series do

    Learnable parameters, each an nn.Parameter with one number per feature. Any names will do:
        weight: the scale, starting at ones
        bias: the shift, starting at zeros
    """

    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__()
        # 1. Keep what forward needs, and create the two parameters
        self.dim = 1 if over_time else 2
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (N, T, F), of any length T, 1 included

        Returns:
            Normalized tensor of same shape and dtype as x
        """
        # 2. If x is float16 or bfloat16, go on with it in float32
        # 3. Calculate mean and variance over the dim that the mode asks for
        # 4. Normalize the input
        # 5. Scale and shift each feature by its own numbers; give the result the dtype of x
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dim, keepdim=True)  # (N, T, 1), or (N, 1, F) over time
        var = (wide - mean).square().mean(self.dim, keepdim=True)  # the same
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)  # (N, T, F)
        return (x_hat * self.weight + self.bias).to(x.dtype)


# Further challenge C1: Multiple dimensions


def layer_norm_over_dims(x, dims, eps=1e-5):
    """
    Normalize x over any set of its dims, without scale and shift.

    Args:
        x: Input tensor of any shape
        dims: the dims that share one mean and one variance: an int, or a tuple or list of
            ints. They may be counted from the front or, if negative, from the end, and come in
            any order
        eps: Small constant for numerical stability

    Returns:
        Normalized tensor of same shape and dtype as x

    Raises:
        ValueError: dims names a dim that x does not have, names one twice (1 and -2 are the same
            in a tensor of three dims), or names none
    """
    # 1. Make a tuple of dims, and refuse what cannot be
    # 2. Calculate one mean and one variance over all of them, in float32 for half precision
    # 3. Normalize, and give the result the dtype of x
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if not dims:
        raise ValueError("dims is empty: name at least one dim")
    for dim in dims:
        if not -x.dim() <= dim < x.dim():
            raise ValueError(f"x has {x.dim()} dims, so there is no dim {dim}")
    if len({dim % x.dim() for dim in dims}) < len(dims):
        raise ValueError(f"dims {dims} name a dim of x twice")
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    centred = wide - wide.mean(dims, keepdim=True)
    var = centred.square().mean(dims, keepdim=True)  # length 1 in each of dims
    return (centred / torch.sqrt(var + eps)).to(x.dtype)


class MultiDimLayerNorm(nn.Module):
    """
    Layer normalization over any dims of x, with a learnable scale and shift along these dims.

    Args:
        shape: the lengths of the normalised dims, in the order of dims: an int, or a tuple or
            list of ints
        dims: which dims of x these are: the same, as in layer_norm_over_dims
        eps: Small constant for numerical stability

    Learnable parameters, each an nn.Parameter of shape `shape`. Any names will do, but only with
    PyTorch's, given here, a state_dict moves to and from nn.LayerNorm:
        weight: the scale, starting at ones
        bias: the shift, starting at zeros

    Raises:
        ValueError: shape and dims do not have the same number of entries
    """

    def __init__(self, shape, dims, eps=1e-5):
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dims = (dims,) if isinstance(dims, int) else tuple(dims)
        if len(self.shape) != len(self.dims):
            raise ValueError(f"shape {self.shape} and dims {self.dims} differ in number")
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.shape))
        self.bias = nn.Parameter(torch.zeros(self.shape))

    def forward(self, x):
        """
        Args:
            x: Input tensor of any number of dims, with the lengths `shape` along `dims`

        Returns:
            Normalized tensor of same shape and dtype as x

        Raises:
            ValueError: x has other lengths along `dims`
        """
        # With the normalised dims last, in the order of dims, broadcasting does the rest.
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)  # (*, *shape)
        if moved.shape[-len(self.dims) :] != self.shape:
            raise ValueError(f"x of shape {tuple(x.shape)} has not {self.shape} at {self.dims}")
        normalized = layer_norm_over_dims(moved, last, self.eps)
        return (normalized * self.weight + self.bias).movedim(last, self.dims)


# Further challenge C2: Adaptive layer normalization


class DetachNorm(nn.Module):
    """
    Layer normalization without scale and shift, whose statistics can be constants on the way back.

    Args:
        normalized_shape: the lengths of the last dims of x, which share one mean and one
            standard deviation: an int (the last dim alone) or a tuple of ints
        eps: added to the variance, under the root
        detach_mean: whether the backward pass treats the mean as a constant
        detach_std: whether the backward pass treats the standard deviation as a constant
    """

    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__()
        # 1. Keep what forward needs
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.dims = tuple(range(-len(normalized_shape), 0))
        self.eps = eps
        self.detach_mean = detach_mean
        self.detach_std = detach_std

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (*, *normalized_shape), float32 or float64

        Returns:
            Normalized tensor of same shape and dtype as x
        """
        # 2. Calculate the mean and the standard deviation, with eps in it
        # 3. Cut off from their history those that are to be constants
        # 4. Normalize
        mean = x.mean(self.dims, keepdim=True)  # (*, 1, ..., 1)
        var = (x - mean).square().mean(self.dims, keepdim=True)  # (*, 1, ..., 1)
        std = torch.sqrt(var + self.eps)
        if self.detach_mean:
            mean = mean.detach()
        if self.detach_std:
            std = std.detach()
        return (x - mean) / std


class AdaNorm(nn.Module):
    """
    Layer normalization without parameters, whose scale adapts to each entry.

    Args:
        normalized_shape: the lengths of the last dims of x, which share one mean and one
            standard deviation: an int (the last dim alone) or a tuple of ints
        scale: the mean of the factors, C in the formula
        k: how much the factor falls as the normalized entry grows by 1, in units of scale
        eps: added to the variance, under the root
    """

    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__()
        # 1. Keep what forward needs
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.dims = tuple(range(-len(normalized_shape), 0))
        self.scale = scale
        self.k = k
        self.eps = eps

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (*, *normalized_shape), float32 or float64

        Returns:
            Normalized and scaled tensor of same shape and dtype as x
        """
        # 2. Normalize, with gradients through the mean and the standard deviation
        # 3. Calculate the factors, as constants for the backward pass
        # 4. Scale
        mean = x.mean(self.dims, keepdim=True)  # (*, 1, ..., 1)
        var = (x - mean).square().mean(self.dims, keepdim=True)  # (*, 1, ..., 1)
        y = (x - mean) / torch.sqrt(var + self.eps)  # (*, *normalized_shape)
        factor = self.scale * (1 - self.k * y)  # (*, *normalized_shape)
        return factor.detach() * y


# Further challenge C3: Group normalization


def group_statistics(x, num_groups):
    """
    Mean and variance of each group of channels, sample by sample.

    Args:
        x: Input tensor of shape (N, C), (N, C, L) or (N, C, H, W)
        num_groups: how many groups the C channels are cut into, neighbours together; it divides C

    Returns:
        mean, var: each of shape (N, num_groups), in the dtype of x. The variance divides by the
            number of values
    """
    groups = x.reshape(x.shape[0], num_groups, -1)  # (N, G, values of a group)
    mean = groups.mean(-1)
    var = (groups - mean[..., None]).square().mean(-1)
    return mean, var


class GroupNorm(nn.Module):
    """
    Group normalization with a learnable scale and shift for each channel.

    Args:
        num_groups: how many groups the channels are cut into, neighbours together
        num_channels: C, the length of dim 1 of x
        eps: Small constant for numerical stability

    Raises:
        ValueError: num_groups does not divide num_channels. It is raised here, when the module is
            built, and its message gives both numbers

    Learnable parameters, each of shape (num_channels,), with PyTorch's names:
        weight: the scale, starting at ones
        bias: the shift, starting at zeros
    """

    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"{num_channels} channels cannot be cut into {num_groups} groups")
        self.num_groups = num_groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (N, C), (N, C, L) or (N, C, H, W)

        Returns:
            Normalized tensor of same shape and dtype as x; statistics of half precision input
            are computed in float32
        """
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)  # (N, G, values of a group)
        mean, var = group_statistics(wide, self.num_groups)  # (N, G)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))  # (C, 1, 1) for an x of (N, C, H, W)
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


# Further challenge C4: Initialising gamma and beta


class NormedResidualBlock(nn.Module):
    """
    A residual block: x plus a branch that ends in layer normalization.

    Args:
        features: The length of the last dim of x
        gamma: What all entries of the norm's scale start at
        beta: What all entries of the norm's shift start at

    The norm's scale and shift are learnable, of shape (features,). All other parameters start as
    they would without gamma and beta.
    """

    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__()
        # 1. Create the branch and its norm
        # 2. Let the norm's scale start at gamma, and its shift at beta
        self.branch = nn.Sequential(
            nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features)
        )
        self.norm = nn.LayerNorm(features)
        nn.init.constant_(self.norm.weight, gamma)
        nn.init.constant_(self.norm.bias, beta)

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (*, features)

        Returns:
            x plus the normalised branch, of the shape of x
        """
        # 3. Run the branch, normalise what it gives, and add it to x
        return x + self.norm(self.branch(x))


def parameter_groups(model, weight_decay):
    """
    Sort a model's parameters into those that get weight decay and those that do not.

    Args:
        model: Any nn.Module
        weight_decay: For the parameters with two dims or more

    Returns:
        A list of two dicts for an optimizer, in any order, each with the keys "params" (a list of
        parameters, which may be empty) and "weight_decay" (a number)
    """
    # 1. Collect the learnable parameters in two lists, by their number of dims
    # 2. Return a dict for each list
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]


# Further challenge C5: Sparse inputs


def layer_norm_stored(x, gamma, beta, eps=1e-5):
    """
    Layer normalization of each row over its stored entries

    Args:
        x: scipy.sparse.csr_array of shape (rows, D), of floats or integers
        gamma: Scale of shape (D,), one for each column
        beta: Shift of shape (D,), one for each column
        eps: Small constant for numerical stability

    Returns:
        A new scipy.sparse.csr_array of the shape of x, with the same places stored; x is unchanged
    """
    # 1. For every stored entry, find the row it is in
    # 2. Calculate mean and variance of each row over what it stores
    # 3. Normalize the stored entries, scale and shift each with the gamma and beta of its column
    # 4. Make a CSR array of them
    counts = np.diff(x.indptr)  # (rows,)
    row = np.repeat(np.arange(x.shape[0]), counts)  # (stored,)
    shared = np.maximum(counts, 1)  # (rows,); an empty row has no entry that would use its mean
    mean = np.bincount(row, x.data, minlength=x.shape[0]) / shared  # (rows,)
    centred = x.data - mean[row]  # (stored,)
    var = np.bincount(row, centred**2, minlength=x.shape[0]) / shared  # (rows,)
    x_hat = centred / np.sqrt(var[row] + eps)  # (stored,)
    values = gamma[x.indices] * x_hat + beta[x.indices]  # (stored,)
    return sparse.csr_array((values, x.indices.copy(), x.indptr.copy()), shape=x.shape)


def row_statistics(x, eps=1e-5):
    """
    Mean and reciprocal standard deviation of each row over all D entries, stored or not

    Args:
        x: scipy.sparse.csr_array of shape (rows, D), of floats or integers
        eps: Small constant for numerical stability

    Returns:
        mean: Array of shape (rows,)
        rstd: Array of shape (rows,), 1 / sqrt(var + eps)
    """
    # 1. Sum the stored entries of each row: its mean follows
    # 2. Sum their squared distances from it
    # 3. Add what the entries that are not stored add
    rows, D = x.shape
    counts = np.diff(x.indptr)  # (rows,)
    row = np.repeat(np.arange(rows), counts)  # (stored,)
    mean = np.bincount(row, x.data, minlength=rows) / D  # (rows,)
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)  # (rows,)
    var = (squares + (D - counts) * mean**2) / D  # (rows,)
    return mean, 1 / np.sqrt(var + eps)


def sparse_norm_linear(x, gamma, beta, weight, bias, eps=1e-5):
    """
    Layer normalization over all entries of each row, then a linear map; nothing is made dense

    Args:
        x: torch.sparse_csr tensor of shape (rows, in), float32 or float64
        gamma: Scale of shape (in,)
        beta: Shift of shape (in,)
        weight: Of the linear map, of shape (out, in)
        bias: Of the linear map, of shape (out,)
        eps: Small constant for numerical stability

    Returns:
        Dense tensor of shape (rows, out), in the dtype of x
    """
    # 1. Mean and rstd of each row, as tensors of shape (rows, 1)
    # 2. The sum over the stored entries
    # 3. The two sums that are the same for all rows
    # 4. Put them together
    rows, D = x.shape
    values, counts = x.values(), x.crow_indices().diff()  # (stored,) and (rows,)
    row = torch.arange(rows, device=x.device).repeat_interleave(counts)  # (stored,)
    nothing = values.new_zeros(rows)  # (rows,)
    mean = nothing.index_add(0, row, values) / D  # (rows,)
    squares = nothing.index_add(0, row, (values - mean[row]).square())  # (rows,)
    var = (squares + (D - counts) * mean.square()) / D  # (rows,)
    rstd = torch.rsqrt(var + eps)[:, None]  # (rows, 1)
    scaled = weight * gamma  # (out, in)
    stored = x @ scaled.T  # (rows, out)
    background = mean[:, None] * scaled.sum(dim=1)  # (rows, out)
    return rstd * (stored - background) + (weight @ beta + bias)  # (rows, out)
