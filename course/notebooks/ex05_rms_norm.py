# %% [markdown]
# # Exercise 5: RMSNorm
#
# Layer norm takes two things out of a row: its mean and its size. RMSNorm takes out the size alone.
# T5, LLaMA, Gemma and many other language models use it in the place of layer norm. It has one
# statistic where layer norm has two, and one parameter where layer norm has two. By the end of this
# notebook you can
#
# - write RMSNorm as a module that agrees with PyTorch's, half precision included,
# - write its backward pass by hand, and say which of layer norm's terms is gone and why,
# - say what a network with RMSNorm can feel that one with layer norm cannot,
# - measure what the simpler formula costs and saves on your own machine.
#
# **30 minutes · medium · 10 points.** You need exercises 1 and 3, and for the second task the
# derivation in exercise 2.

# %%
import torch
from torch import nn

from course import check
from course.student.data import digits
from course.student.figures.root_mean_square import (
    apart_as_the_mean_grows,
    cost_beside_layer_norm,
    error_against_eps,
    mean_explorer,
    two_ways_to_the_circle,
    what_backward_removes,
)
from course.student.prediction import Prediction
from course.student.progress_bar import with_progress
from course.student.torch_modules import seeded
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# Zhang and Sennrich (2019) ask which half of layer norm does the work: centring a row, or bringing
# it to a fixed size? They drop the first. What is left is a division by the *root mean square*, and
# a scale $w_i$ for each of the $D$ entries:
#
# $$
# \mathrm{RMS}(x) = \sqrt{\frac{1}{D} \sum_{i=1}^{D} x_i^2} \qquad
# y_i = w_i \, \frac{x_i}{\sqrt{\frac{1}{D} \sum_j x_j^2 + \varepsilon}}
# $$
#
# Nothing is subtracted, and nothing is added at the end. The paper's formula is $x / \mathrm{RMS}(x)$,
# without $\varepsilon$. In practice, as in PyTorch, $\varepsilon$ is added to the mean square, under the
# root, so that a row of zeros does not become 0 / 0.
#
# **By hand.** Take the row $(1, 7)$, leave out $\varepsilon$, and let $w = 1$.
#
# | | RMSNorm | layer norm without shift |
# |---|---|---|
# | subtract | nothing | the mean, 4: $(-3, 3)$ |
# | mean of the squares | $(1 + 49) / 2 = 25$ | $(9 + 9) / 2 = 9$ |
# | divide by its root | 5 | 3 |
# | result | $(0.2, 1.4)$ | $(-1, 1)$ |
# | mean square of the result | $(0.04 + 1.96) / 2 = 1$ | 1 |
#
# The mean square of a row is the square of its mean plus its variance: $25 = 4^2 + 9$. So the two
# norms divide by the same number just when the mean is 0.

# %% tags=["show"]
two_ways_to_the_circle()

# %% [markdown]
# That is the geometry of it. Layer norm removes the part of a row that lies along $(1, 1, \dots, 1)$,
# then brings what is left to length $\sqrt{D}$. RMSNorm does the second step alone. With only two
# features, layer norm takes every row to $(-1, 1)$ or to $(1, -1)$, whatever it was. RMSNorm keeps its
# direction.
#
# ## Predict
#
# A row of eight features has mean 0 and spread 1. Now 100 is added to every entry. Layer norm gives
# the same as before. What does RMSNorm give?

# %% tags=["show"]
prediction = Prediction("ex05_rms_norm", "the same", "all near 0", "all near 1", "all near 100")
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# All near 1. The root mean square is now $\sqrt{100^2 + 1}$, a little over 100, and every entry is
# within a few units of 100. What told the entries apart is still there, but a hundred times smaller.
# RMSNorm does not protect a network from a large common offset. That it does well in practice
# suggests that such offsets are rare inside networks; you will measure one at the end.
#
# </details>
#
# ## Task 1: `RMSNorm`
#
# Write the module. PyTorch's own normalisations (`nn.RMSNorm`, `F.rms_norm`, and those of layers,
# batches, groups and instances) may not be used: a module that calls one earns no points. `mean`,
# `square`, `rsqrt` and all other tensor operations may be used.
#
# Much of it is as in exercise 3. Four things trip people up.
#
# - **Mean, not sum.** The length of a row, `torch.linalg.vector_norm`, is $\sqrt{D}$ times its RMS.
# - **No mean of x anywhere.** `x.var` and `x.std` centre the row before they square it.
# - **Half precision.** 300 squared is infinite in float16. Go on in float32 if x is float16 or
#   bfloat16, and only then.
# - **The way back.** In mixed precision training x is bfloat16 while the scale is float32. A product
#   of the two is float32. The output is to have the dtype of x, so the rounding comes last, after
#   the scale. (In the transformers library, the code of LLaMA rounds before the scale, the code of
#   Gemma after it.)


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape), 0))
        mean_square = wide.square().mean(dims, keepdim=True)  # (*, 1, ..., 1)
        x_hat = wide * torch.rsqrt(mean_square + self.eps)  # (*, *normalized_shape)
        return (x_hat * self.weight).to(x.dtype)
        ### END SOLUTION


# %% tags=["check"]
check("ex05_rms_norm", RMSNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Begin with an int, float32 and dim −1. Try it on `torch.tensor([[1.0, 7.0]])`: the table above has
# the result.
#
# </details>
# <details><summary>Hint 2: from layer norm</summary>
#
# Take your `CustomLayerNorm` of exercise 3, and cross out the mean, the subtraction and the bias.
# What is left of the variance is the mean of the squares of x itself.
#
# </details>
# <details><summary>Hint 3: the dims</summary>
#
# For a `normalized_shape` with two entries, the mean is over the dims `(-2, -1)`. `range(-2, 0)`
# counts through just these two. `keepdim=True` leaves lengths of 1 in their place.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# # in forward
# wide = ...                           # x, or x in float32
# dims = ...                           # a tuple of negative ints
# mean_square = ...                    # of wide, over dims, keeping them
# x_hat = wide * torch.rsqrt(...)      # rsqrt is one over the square root
# return (...).to(x.dtype)             # x_hat times the scale
# ```
#
# </details>
#
# If a case fails and you want to hold it in your hands, `check.last_failure()` gives you its inputs,
# your outputs and the expected ones as arrays.
#
# Two comparisons: with PyTorch's own, and with layer norm on a row that has been centred first. The
# second is an identity, $\mathrm{LN}(x) = \mathrm{RMSNorm}(x - \mu)$, with $\varepsilon$ and all.


# %% tags=["show"]
def compare(layer):
    """Hold an RMSNorm of 6 features against PyTorch's, and against layer norm."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(5, 6, generator=random) + 2
    built_in = nn.functional.rms_norm(x, (6,), layer.weight, eps=0.1)
    print("the same as F.rms_norm:            ", torch.allclose(layer(x), built_in, atol=1e-6))
    centred = x - x.mean(-1, keepdim=True)
    layer_norm = nn.functional.layer_norm(x, (6,), layer.weight, eps=0.1)
    print(
        "of a centred row, the same as LN:  ", torch.allclose(layer(centred), layer_norm, atol=1e-6)
    )
    print("of the row itself, the same as LN: ", torch.allclose(layer(x), layer_norm, atol=1e-6))


with waits_for(RMSNorm):
    compare(RMSNorm(6, eps=0.1))

# %% [markdown]
# And the row of your prediction, with mean 0 and spread 1, before and after 100 is added.

# %% tags=["show"]
with waits_for(RMSNorm):
    row = torch.tensor([-1.5, -1.0, -0.7, -0.2, 0.2, 0.7, 1.0, 1.5])
    row = row / row.std(correction=0)
    with torch.no_grad():
        print("before:", RMSNorm(8)(row))
        print("after: ", RMSNorm(8)(row + 100))
prediction.beside("all near 1")

# %% [markdown]
# ## Task 2: `rms_norm_backward`
#
# Autograd differentiates your module by itself. Here you write out what it does, for the last dim
# and any dims before it. Take pen and paper, and exercise 2's derivation as a pattern. With
#
# $$
# m = \frac{1}{D} \sum_j x_j^2 \qquad r = (m + \varepsilon)^{-1/2} \qquad
# \hat{x}_i = x_i \, r \qquad y_i = w_i \, \hat{x}_i
# $$
#
# there are two paths from $x$ to $\hat{x}$: straight, and through $r$. The third one of exercise 2, through
# the mean, is gone. As there, begin with $g_i = \texttt{dout}_i \, w_i$, the gradient that reaches
# $\hat{x}_i$.
#
# <details><summary>Step 1: straight</summary>
#
# $\hat{x}_i = x_i \, r$, so $g_i \, r$ goes to $x_i$ directly.
#
# </details>
# <details><summary>Step 2: to r, and through the root</summary>
#
# All entries of a row share one $r$, so their effects add up: $dr = \sum_j g_j \, x_j$. The power rule
# gives $dm = -\frac{1}{2} r^3 \, dr$.
#
# </details>
# <details><summary>Step 3: through the squares</summary>
#
# The slope of $m$ as $x_i$ moves is $\frac{2}{D} x_i$. The 2 and the ½ cancel, and the three $r$ find
# their places:
#
# $$
# \frac{2}{D} \, x_i \cdot \Bigl( -\tfrac{1}{2} r^3 \sum_j g_j x_j \Bigr)
# = -r \cdot \underbrace{x_i \, r}_{\hat{x}_i} \cdot \frac{1}{D} \sum_j g_j \underbrace{x_j \, r}_{\hat{x}_j}
# $$
#
# </details>
# <details><summary>The result</summary>
#
# $$
# dx = r \, \bigl( g - \hat{x} \cdot \mathrm{mean}(g \, \hat{x}) \bigr) \qquad
# dw_i = \sum_{\text{rows}} \texttt{dout}_i \, \hat{x}_i
# $$
#
# Layer norm has one term more in the brackets, $- \, \mathrm{mean}(g)$.
#
# </details>
#
# **By hand.** The row $(1, 7)$ again, without $\varepsilon$, with $w = (1, 2)$ and $\texttt{dout} = (3, 1)$.
# Does your formula give this?
#
# | step | | | |
# |---|---|---|---|
# | $\hat{x}$ | 0.2 | 1.4 | $r = 1/5$ |
# | $g$ | 3 | 2 | $\texttt{dout} \cdot w$ |
# | $g \, \hat{x}$ | 0.6 | 2.8 | mean 1.7 |
# | the two terms | 2.66 | −0.38 | for the first entry, $3 - 0.2 \cdot 1.7$ |
# | $dx$ | 0.532 | −0.076 | a fifth of the line above |
# | $dw$ | 0.6 | 1.4 | $\texttt{dout} \cdot \hat{x}$, for one row |
#
# Multiply $dx$ by $x$ and add up: $0.532 - 7 \cdot 0.076 = 0$. Now add up $dx$ itself: 0.456, where layer
# norm would give 0.
#
# What trips people up:
#
# - **The rows of dweight.** Its sum runs over all dims but the last. For x of shape `(features,)` there
#   is nothing to sum, and in PyTorch `sum(())`, over no dims, is a sum over everything.
# - **Reading only.** dout, x and weight are the caller's. Leave them as they are.
# - **Autograd.** Write the formula with tensor operations. A function in which a `backward()`, a
#   `torch.autograd.grad` or a norm of PyTorch runs earns no points.


# %% tags=["solution"]
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
    ### BEGIN SOLUTION
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)  # (..., 1)
    x_hat = x * r  # (..., features)
    g = dout * weight  # (..., features)
    dx = r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True))  # (..., features)
    dweight = (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)  # (features,)
    return dx, dweight
    ### END SOLUTION


# %% tags=["check"]
check("ex05_rms_norm_backward", rms_norm_backward)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Feed your function the row worked by hand, and print every step. `eps=0` gives the numbers of the
# table exactly.
#
# ```python
# rms_norm_backward(
#     torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 7.0]]), torch.tensor([1.0, 2.0]), eps=0
# )
# ```
#
# </details>
# <details><summary>Hint 2: how many numbers is that?</summary>
#
# r is one number a row, and so is the mean of `g * x_hat`. Both need shape `(..., 1)`, so both means
# need `keepdim=True`.
#
# </details>
# <details><summary>Hint 3: dweight for any rank</summary>
#
# `a.reshape(-1, features)` makes a list of rows from `(batch, seq, features)`, and from `(features,)`
# too. Then there is one dim to sum over.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# r = torch.rsqrt(...)            # (..., 1)
# x_hat = ...                     # (..., features)
# g = ...                         # (..., features), a new tensor
# dx = r * (g - ...)              # the second term: x_hat times a mean of shape (..., 1)
# dweight = (...).reshape(-1, x.shape[-1]).sum(0)
# ```
#
# </details>
#
# Three facts about `dx`, in float64. The first compares with autograd. The second says how much of `dx`
# is left along x: with $\varepsilon = 0$ stretching a row changes nothing, and
# $dx \cdot x = 0$; with $\varepsilon$ it is exactly $\varepsilon \, r^3 \, (g \cdot x)$. The third has no
# counterpart in layer norm: moving a whole row up or down does change the output, so `dx` must not
# sum to 0.


# %% tags=["show"]
def three_facts(backward):
    """Print whether the gradients of an RMSNorm with a large eps are what they must be."""
    random = torch.Generator().manual_seed(1)
    x, dout = torch.randn(2, 4, 3, 6, generator=random, dtype=torch.float64)
    weight = torch.randn(6, generator=random, dtype=torch.float64)
    eps = 0.3
    dx, dweight = backward(dout, x, weight, eps)

    leaves = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
    y = nn.functional.rms_norm(leaves[0], (6,), leaves[1], eps)
    theirs = torch.autograd.grad(y, leaves, dout)
    same = all(torch.allclose(a, b, atol=1e-12) for a, b in zip((dx, dweight), theirs, strict=True))
    print("dx and dweight agree with autograd:", same)

    r = (x.square().mean(-1) + eps) ** -0.5
    along_x = eps * r**3 * (dout * weight * x).sum(-1)
    print(
        "dx . x is eps r^3 (g . x):         ", torch.allclose((dx * x).sum(-1), along_x, atol=1e-12)
    )
    print(f"the sum of dx over a row is up to:  {dx.sum(-1).abs().max():.1f}")


with waits_for(rms_norm_backward):
    three_facts(rms_norm_backward)

# %% [markdown]
# The figure asks the same of 200 rows of 64 features. The gradient that comes in has a good part along
# the uniform row and along x. Which of the two comes out again?

# %% tags=["show"]
what_backward_removes(rms_norm_backward)

# %% [markdown]
# ## See it
#
# Move the mean. At 0 the blue and the orange bars are the same. As the mean grows against the spread,
# the orange ones stay and the blue ones draw together: near 1 for a positive mean, near −1 for a
# negative one. Now double both the mean and the spread, and watch the blue bars: what do they depend
# on?

# %% tags=["show"]
mean_explorer(RMSNorm)

# %% [markdown]
# They depend on the ratio of mean and spread alone, for RMSNorm does not feel a common factor. Here are
# all ratios up to 6 at once, for the same row:

# %% tags=["show"]
apart_as_the_mean_grows(RMSNorm)

# %% [markdown]
# **The paper's form as a limit.** Without $\varepsilon$, RMSNorm does not care how large a row is. With
# $\varepsilon$ it does, as soon as the mean square comes near it. For small $\varepsilon$ the relative
# error is $\varepsilon / 2m$, which is a straight line here.

# %% tags=["show"]
error_against_eps(RMSNorm)

# %% [markdown]
# At the default, rows with an RMS of 1 lose 5 parts in a million, and rows with an RMS of 0.01 lose 5 %.
# Small activations are where two implementations with different defaults part.
#
# **What it costs.** RMSNorm has fewer steps. Is it faster, and does it need less memory? The cell below
# measures both on your machine, for two modules written by hand and for PyTorch's own.

# %% tags=["show", "nbval-ignore-output"]
cost_beside_layer_norm(RMSNorm)

# %% [markdown]
# Look at your own numbers; these words are about a CPU with PyTorch 2.13. Among the two written by hand,
# RMSNorm takes less time: it makes fewer passes over the array. Both keep two arrays of the size of x
# for the backward pass. But `nn.LayerNorm` beats them by far. It is *fused*: one piece of C++ does all
# the steps, and keeps only x and two numbers a row. `nn.RMSNorm` had no such piece for CPUs, and ran
# step by step like yours. Who wins is decided by the code behind the formula more than by the formula.
# On a GPU, or with `torch.compile`, the order may be another one: measure there.
#
# ## What the papers found
#
# Zhang and Sennrich (2019), *Root Mean Square Layer Normalization*
# ([arXiv:1910.07467](https://arxiv.org/abs/1910.07467)), list in Table 1 what each norm is invariant to.
# You can fill in that table by experiment. A layer computes $a = W x$ for a batch of samples, then
# normalises $a$. Change $W$ or the data, and see whether the normalised values change. *Re-scaling* is
# a multiplication by 3. *Re-centring* adds the same vector to every sample, or to the weight vector of
# every neuron. *pRMSNorm* is the paper's variant that takes the RMS from a part of the
# entries, here the first quarter. `eps` is tiny, so that it plays no part.


# %% tags=["show"]
def invariances(rms_norm_class):
    """For each norm and each change of weights or data: whether the normalised values stay."""
    random = torch.Generator().manual_seed(2)
    x = torch.randn(32, 8, generator=random, dtype=torch.float64)
    weight = torch.randn(16, 8, generator=random, dtype=torch.float64)
    vector = torch.randn(8, generator=random, dtype=torch.float64)
    eps = 1e-12
    rms_norm = rms_norm_class(16, eps).double()
    functional = nn.functional
    norms = {
        "batch norm": lambda x, w: functional.batch_norm(
            x @ w.T, None, None, training=True, eps=eps
        ),
        "weight norm": lambda x, w: x @ functional.normalize(w).T,
        "layer norm": lambda x, w: functional.layer_norm(x @ w.T, (16,), eps=eps),
        "RMSNorm": lambda x, w: rms_norm(x @ w.T),
        "pRMSNorm": lambda x, w: x @ w.T / (x @ w[:4].T).square().mean(-1, keepdim=True).sqrt(),
    }
    one_vector, one_sample = torch.ones(16, 1).double(), torch.ones(32, 1).double()
    one_vector[0], one_sample[0] = 3, 3
    changes = {
        "weight matrix re-scaled": (x, 3 * weight),
        "weight matrix re-centred": (x, weight + vector),
        "one weight vector re-scaled": (x, one_vector * weight),
        "dataset re-scaled": (3 * x, weight),
        "dataset re-centred": (x + vector, weight),
        "single sample re-scaled": (one_sample * x, weight),
    }
    print(" " * 29 + "".join(f"{name:<13}" for name in norms))
    for change, changed in changes.items():
        same = [
            torch.allclose(norm(*changed), norm(x, weight), atol=1e-6) for norm in norms.values()
        ]
        print(f"{change:<29}" + "".join(f"{'stays' if one else '-':<13}" for one in same))


with waits_for(RMSNorm):
    invariances(RMSNorm)

# %% [markdown]
# All thirty entries agree with the paper's table. Between layer norm and RMSNorm there is one
# difference, in the second line: layer norm does not feel a vector that is added to all weight vectors,
# because it moves all entries of $a$ by the same amount. The paper's hypothesis is that this
# invariance can be spared. In its experiments, on several tasks, RMSNorm is about as good as layer norm
# and takes less time, by a share that differs much from one model to the next.
#
# **On digits.** Five networks with each norm, three hidden layers of 64, ten passes over 1,297 images.
# Beside the accuracy stands the share of the mean in what enters the norms, $\mu^2 / m$: the part of a
# row's squared length that lies along the uniform row, which layer norm would remove. For rows of 64
# independent numbers around 0 it would be 1/64, or 1.6 %.


# %% tags=["show", "nbval-ignore-output"]
def train(norm, seed, images):
    """Train a small network on digits; return its accuracy and the share of the mean."""
    with seeded(seed):
        layers = [nn.Flatten()]
        for _ in range(3):
            layers += [nn.Linear(64, 64), norm(64), nn.ReLU()]
        network = nn.Sequential(*layers, nn.Linear(64, 10))
        before = share_of_the_mean(network, norm, images.held_out_images)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(10):
            for batch in torch.randperm(len(images.images)).split(64):
                logits = network(images.images[batch])
                loss = nn.functional.cross_entropy(logits, images.labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    after = share_of_the_mean(network, norm, images.held_out_images)
    with torch.no_grad():
        right = network(images.held_out_images).argmax(1) == images.held_out_labels
    return right.double().mean().item(), before, after


def share_of_the_mean(network, norm, x):
    """Mean over samples and layers of the squared mean over the mean square, before each norm."""
    shares = []
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, norm):
                shares.append((x.mean(1).square() / x.square().mean(1)).mean())
            x = layer(x)
    return torch.stack(shares).mean().item()


with waits_for(RMSNorm):
    RMSNorm(64)(torch.ones(1, 64))  # so that no training begins before it is written
    images = digits()
    runs = [(norm, seed) for norm in (nn.LayerNorm, RMSNorm) for seed in range(5)]
    results = [train(*run, images) for run in with_progress(runs, "Training 10 networks")]
    print("             accuracy on 500 others    share of the mean, before and after training")
    for name, rows in (("layer norm", results[:5]), ("RMSNorm", results[5:])):
        accuracy, before, after = zip(*rows, strict=True)
        print(
            f"{name:<13}{sum(accuracy) / 5:.3f} ({min(accuracy):.3f} to {max(accuracy):.3f})"
            f"    {sum(before) / 5:.1%} and {sum(after) / 5:.1%}"
        )

# %% [markdown]
# Where we ran it, both norms came to the same accuracy within the spread of five seeds. That is what the
# paper's hypothesis says, and on a task as easy as this it says little.
#
# Gupta, Ozdemir and Anumanchipalli (2024), *Geometric Interpretation of Layer Normalization and a
# Comparative Analysis with RMSNorm* ([arXiv:2409.12951](https://arxiv.org/abs/2409.12951)), describe
# layer norm as you saw it in the first figure: remove the part along the uniform vector, normalise,
# scale by $\sqrt{D}$. They look at the hidden vectors of large language models and find that on average
# these have no part along the uniform vector, so that removing it is a step to spare. Ours
# are another case. Where we ran it, the share of the mean grew in training, to several
# times what chance would give, and more so with RMSNorm, which lets it pass. It stayed small: over nine
# tenths of the squared length lie across the uniform row, and there the two norms do the same.
#
# ## Reflect
#
# **1.** Spot the bugs: `return weight * x / (x.norm(dim=-1, keepdim=True) + eps)`.
#
# <details><summary>Answer</summary>
#
# Two. `x.norm` is the length of the row, $\sqrt{D}$ times its RMS, so the output is too small by
# $\sqrt{D}$: 28 times for 768 features. A learned weight can make up for that in time, which is why it
# may go unnoticed. And `eps` is added to the length, where the formula adds it to the mean square.
#
# </details>
#
# **2.** A lecture says: "RMSNorm(ax) = RMSNorm(x) for any a ≠ 0." What is right about it?
#
# <details><summary>Answer</summary>
#
# $\mathrm{RMS}(ax) = |a| \, \mathrm{RMS}(x)$. So for a positive $a$ it is right without $\varepsilon$, and nearly
# right with it, as long as $a$ does not make the row so small that $\varepsilon$ counts. For a
# negative $a$ the sign turns round.
#
# </details>
#
# **3.** A linear layer $a = Wx + b$ stands before a layer norm. Can you change $W$ and $b$ so that an
# RMSNorm in its place gives the same output, but for the shift?
#
# <details><summary>Answer</summary>
#
# Yes. Subtract from each column of $W$ its mean over the neurons, and from $b$ its mean. Then $a$ has
# mean 0 for every $x$, and RMSNorm of a centred row is layer norm. So nothing that layer
# norm can compute is out of RMSNorm's reach there: the network can learn to centre, if that helps.
#
# </details>
#
# **Next.** Exercise 6, on conditional layer normalization, lets a second input decide the scale and the
# shift.
