# %% [markdown]
# # Further challenge C2: Adaptive layer normalization
#
# Layer norm does two things at once. It changes what goes forward, and, since its mean and standard
# deviation depend on x, it changes the gradient that comes back. Which of the two helps a network to
# learn? Xu et al. (2019) pull them apart with one method, `.detach()`. Then they drop the learned scale
# and shift, and let the input itself decide how strongly each entry is scaled. By the end of this
# notebook you can
#
# - cut single paths out of a backward pass while the forward pass stays as it was,
# - say what the gradients of the mean and of the standard deviation take out of the gradient of x,
# - write a norm whose scale adapts to its input, and which has nothing to learn,
# - measure, over several seeds, what each of these does to a small network.
#
# **40 minutes · medium · 10 points (bonus).** You need exercises 2 and 3: the three terms of dx, and
# how to write a module.

# %%
import torch
from torch import nn

from course import check
from course.student.data import digits
from course.student.figures.detached import (
    factor_explorer,
    four_gradients,
    losses_by_variant,
    slope_and_factor,
)
from course.student.prediction import Prediction
from course.student.progress_bar import with_progress
from course.student.torch_modules import seeded
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# Layer norm without scale and shift, for a row of $D$ entries:
#
# $$
# \mu = \frac{1}{D} \sum_i x_i \qquad
# \sigma = \sqrt{\frac{1}{D} \sum_i (x_i - \mu)^2 + \varepsilon} \qquad
# y_i = \frac{x_i - \mu}{\sigma}
# $$
#
# The paper calls it LayerNorm-simple. Let $g_i$ be the gradient of the loss with respect to $y_i$. In
# exercise 2 you derived, with $\hat{x} = y$,
#
# $$
# dx = \frac{1}{\sigma} \bigl( \underbrace{g}_{\text{straight}}
# - \underbrace{\mathrm{mean}(g)}_{\text{through } \mu}
# - \underbrace{y \cdot \mathrm{mean}(g \, y)}_{\text{through } \sigma} \bigr)
# $$
#
# The second term takes the mean out of the gradient. The third takes out the part along $y$. Now treat
# $\mu$, or $\sigma$, or both, as numbers that happen to have these values and do not depend on $x$. Not
# a single output changes. In the gradient, the term goes that came through what is now a number:
#
# | constant | $dx$ | name |
# |---|---|---|
# | nothing | $(g - \mathrm{mean}(g) - y \, \mathrm{mean}(g y)) / \sigma$ | LayerNorm-simple |
# | $\mu$ | $(g - y \, \mathrm{mean}(g y)) / \sigma$ | |
# | $\sigma$ | $(g - \mathrm{mean}(g)) / \sigma$ | |
# | both | $g / \sigma$ | DetachNorm |
#
# **By hand.** The row $x = (1, 3, 5, 7)$ has $\mu = 4$, and without $\varepsilon$ its $\sigma$ is
# $\sqrt{5}$. Let $g = (3, 1, 0, 0)$. Then $\mathrm{mean}(g) = 1$. With $x - \mu = (-3, -1, 1, 3)$, the
# mean of $g \, y$ is $-10 / (4 \sqrt{5})$, and $y \, \mathrm{mean}(g y)$ is $-(x - \mu) / 2$.
#
# | constant | $\sigma \cdot dx$ | its sum | its product with $x - \mu$ |
# |---|---|---|---|
# | both | (3, 1, 0, 0) | 4 | −10 |
# | $\mu$ | (1.5, 0.5, 0.5, 1.5) | 4 | 0 |
# | $\sigma$ | (2, 0, −1, −1) | 0 | −10 |
# | nothing | (0.5, −0.5, −0.5, 0.5) | 0 | 0 |
#
# Each of the two terms makes one of the two last columns 0, and leaves the other alone.
#
# ## Predict
#
# A network of a few hidden layers is trained with DetachNorm in each: the activations have mean 0 and
# spread 1 as ever, and the gradient is $g / \sigma$. How does its training loss compare, after the
# same number of steps, with that of LayerNorm-simple?

# %% tags=["show"]
prediction = Prediction(
    "ch02_adaptive_layer_norm",
    "lower: the gradient is not disturbed",
    "about the same: the outputs are the same",
    "higher: the two terms are missed",
)
prediction

# %% [markdown]
# You will find out below, with your own module.
#
# ## Task 1: `DetachNorm`
#
# Write the module, with a switch for each of the two statistics. It has no learnable parameters. x is
# float32 or float64; half precision was exercise 3. PyTorch's own normalisations may not be used, in
# this task and the next: a module that calls one earns no points.
#
# What trips people up:
#
# - **What is detached.** The statistic, and not x. The x in the numerator is the straight path.
# - **A new tensor.** `t.detach()` returns a tensor that shares its numbers with `t` and has no history.
#   On a line of its own it does nothing.
# - **The variance.** It contains the mean. Compute it from the deviations $x - \mu$; with
#   $\mathrm{mean}(x^2) - \mu^2$ and a $\mu$ that is already detached, the gradient is another one.
# - **The usual three.** Divide by D, keep `eps` under the root, and keep the dims.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.dims = tuple(range(-len(normalized_shape), 0))
        self.eps = eps
        self.detach_mean = detach_mean
        self.detach_std = detach_std
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        mean = x.mean(self.dims, keepdim=True)  # (*, 1, ..., 1)
        var = (x - mean).square().mean(self.dims, keepdim=True)  # (*, 1, ..., 1)
        std = torch.sqrt(var + self.eps)
        if self.detach_mean:
            mean = mean.detach()
        if self.detach_std:
            std = std.detach()
        return (x - mean) / std
        ### END SOLUTION


# %% tags=["check"]
check("ch02_detach_norm", DetachNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Leave the switches for later. Take `CustomLayerNorm` of exercise 3, and cross out the parameters and
# what is there for half precision. Its gradient is that of the last line of the table by hand.
#
# </details>
# <details><summary>Hint 2: where to cut</summary>
#
# Compute both statistics to the end first. Then replace each, if its switch is on, with its detached
# self. Then normalise with what you have.
#
# </details>
# <details><summary>Hint 3: see the gradient</summary>
#
# ```python
# x = torch.tensor([[1.0, 3.0, 5.0, 7.0]], requires_grad=True)
# y = DetachNorm(4, eps=0, detach_mean=True, detach_std=False)(x)
# y.backward(torch.tensor([[3.0, 1.0, 0.0, 0.0]]))
# print(5**0.5 * x.grad)
# ```
#
# The second line of the table has the result.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# mean = x.mean(self.dims, keepdim=True)
# std = ...                            # from the deviations
# if self.detach_mean:
#     mean = ...
# if self.detach_std:
#     std = ...
# return (x - mean) / std              # x itself, with its history
# ```
#
# </details>
#
# If a case fails and you want to hold it in your hands, `check.last_failure()` gives you its inputs,
# your outputs and the expected ones as arrays.
#
# ## See it
#
# One row, one upstream gradient, the four variants of your module. The outputs are the same. Each
# panel draws your dx over the eight features; below it stand its sum, and its product with the
# output.

# %% tags=["show"]
four_gradients(DetachNorm)

# %% [markdown]
# Read the numbers below the panels by columns and rows: what is constant has left something in the
# gradient. A sum that is not 0 means that a step of gradient descent moves the mean of the row, which no
# output ever feels. A product that is not 0 means that the step stretches or shrinks the row, which no
# output feels either, but for $\varepsilon$. With both statistics as constants the gradient asks for
# moves that have no effect. At the end of exercise 2 you saw where they lead when x itself is changed: the
# rows drift and spread, and as they spread, $1 / \sigma$ shrinks, and every gradient with it.
#
# ## Task 2: `AdaNorm`
#
# A learned scale and shift are the same for every input. The paper finds them of little use, and
# suspects that they add to over-fitting. Its AdaNorm has no parameters at all. It scales every entry by
# a factor that depends on that entry:
#
# $$
# z_i = \varphi(y_i) \, y_i \qquad \varphi(y_i) = C \, (1 - k \, y_i)
# $$
#
# with $y$ the normalised row of above. $C$ (`scale`, in the code) and $k$ are fixed numbers, $k = 0.1$
# in the paper. Since a normalised row has mean 0, the factors of a row have mean $C$, whatever the
# row. Entries above the mean are scaled down, entries below it are scaled up.
#
# On the way back the factor is a constant: it is detached. The gradients of the mean and the standard
# deviation are *not* detached here. So with $g_i = \varphi(y_i) \cdot \texttt{dout}_i$, $dx$ is that
# of LayerNorm-simple, with its three terms.
#
# **By hand.** The row $(1, 7)$ has $y = (-1, 1)$. With $C = 2$ and $k = 0.1$ the factors are $2.2$ and
# $1.8$, with mean 2, and $z = (-2.2, 1.8)$.
#
# The paper leaves $\varepsilon$ aside. Ours stands under the root, as everywhere in this course. Nothing
# is clamped: where $y_i$ is above $1 / k$ the factor is negative, and stays so.
#
# What trips people up:
#
# - **What is detached.** The factor alone. A detached product has no gradient at all, and a $y$ that is
#   detached in the wrong place leaves you the gradient of the factor instead.
# - **The brackets.** $C$ multiplies all of $(1 - k y)$.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.dims = tuple(range(-len(normalized_shape), 0))
        self.scale = scale
        self.k = k
        self.eps = eps
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        mean = x.mean(self.dims, keepdim=True)  # (*, 1, ..., 1)
        var = (x - mean).square().mean(self.dims, keepdim=True)  # (*, 1, ..., 1)
        y = (x - mean) / torch.sqrt(var + self.eps)  # (*, *normalized_shape)
        factor = self.scale * (1 - self.k * y)  # (*, *normalized_shape)
        return factor.detach() * y
        ### END SOLUTION


# %% tags=["check"]
check("ch02_ada_norm", AdaNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Everything up to y is in your `DetachNorm`, with both switches off. You may use it, or write it out
# again.
#
# </details>
# <details><summary>Hint 2: by which path?</summary>
#
# There are two paths from y to z: straight, and through the factor. The second one is to be cut. So
# y is to keep its history where it is multiplied, and the factor is to lose its own.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# y = ...                              # normalised, nothing detached
# factor = ...                         # scale times a bracket
# return factor.detach() * y
# ```
#
# </details>
#
# Three facts about your two modules: the first with its switches off is PyTorch's layer norm without
# scale and shift, gradient and all; the factors of AdaNorm have the mean C; and its dx sums to 0, which
# the gradient of DetachNorm does not.


# %% tags=["show"]
def three_facts():
    """Print whether both modules are what they must be."""
    random = torch.Generator().manual_seed(0)
    x, dout = torch.randn(2, 5, 6, generator=random, dtype=torch.float64)
    x.requires_grad_()

    def gradient(layer):
        return torch.autograd.grad((layer(x) * dout).sum(), x)[0]

    ours, theirs = DetachNorm(6, 1e-5, False, False), nn.LayerNorm(6, elementwise_affine=False)
    same = torch.allclose(ours(x), theirs(x)) and torch.allclose(gradient(ours), gradient(theirs))
    print("the same as PyTorch's:  ", same)
    factors = AdaNorm(6, scale=1.5)(x) / ours(x)
    print("mean of each row's factors:", [f"{mean:.2f}" for mean in factors.mean(1).tolist()])
    for layer in (AdaNorm(6), DetachNorm(6)):
        zero = gradient(layer).sum(1).abs().max().item() < 1e-9
        print(f"dx of {type(layer).__name__} sums to 0 in every row:", zero)


with waits_for(DetachNorm), waits_for(AdaNorm):
    three_facts()

# %% [markdown]
# ## See it
#
# What becomes of each entry of a row. With `k` at 0 and `scale` at 1 you have layer norm. At which `k`
# do two different entries of this row first come out nearly the same?

# %% tags=["show"]
factor_explorer(AdaNorm)

# %% [markdown]
# The curve is the parabola $C (y - k y^2)$, whose top lies at $y = 1 / (2k)$: for $k = 0.1$ at 5, which
# hardly any entry reaches. Beyond it a larger entry gives a smaller output. At $k = 0.3$ the top has come
# down to 1.7, and the two highest entries of the row lie on its two sides.
#
# On the way back this bend does not exist. The parabola has the slope $C (1 - 2 k y)$; a factor that is
# a constant has the slope $C (1 - k y)$. Below are both, for the same row: what your backward pass says,
# and what a finite difference of your forward pass finds.

# %% tags=["show"]
slope_and_factor(AdaNorm)

# %% [markdown]
# So a gradient check of AdaNorm against its own forward pass must fail, and so it must for DetachNorm.
# These are gradients by decision. The paper's reason for it is that the factor must not undo what layer
# norm does for the gradient, to re-centre it and to re-scale it. Test that: take the `.detach()` out and
# print the sum of dx over a row. It is 0 as before, for whatever reaches y, layer norm's own terms come
# after it. What detaching does change is $g$, where the slope of the factor would be added.
#
# ## What the papers found
#
# Xu, Sun, Zhang, Zhao and Lin (2019), *Understanding and Improving Layer Normalization*
# ([arXiv:1911.07013](https://arxiv.org/abs/1911.07013)), train translation, language, text and image
# models with these variants. Three of their claims, in words:
#
# 1. DetachNorm is worse than LayerNorm-simple, and mostly worse than no norm. So it is the derivatives
#    of the mean and the variance that help, more than the normalised activations.
# 2. The learned scale and shift bring little, and raise the risk of over-fitting: LayerNorm-simple is
#    better than LayerNorm on several data sets.
# 3. AdaNorm is better than LayerNorm on most.
#
# **The first, on digits.** Four hidden layers of 32, trained for 150 steps of plain gradient descent,
# from five starts that all variants share. The weights start as He et al. (2015) propose for ReLU, so
# that a network without norm can learn too.


# %% tags=["show", "nbval-ignore-output"]
def network(norm, width, depth, he):
    """A plain network on 8 × 8 images, with a norm before each ReLU."""
    layers, features = [nn.Flatten()], 64
    for _ in range(depth):
        layers += [nn.Linear(features, width), norm(width), nn.ReLU()]
        features = width
    layers.append(nn.Linear(features, 10))
    for layer in layers:
        if he and isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def train(model, optimizer, images, labels, steps, batch):
    """Train on random batches; return the loss at each step."""
    losses = []
    for _ in range(steps):
        chosen = torch.randint(len(images), (batch,))
        loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def losses_from(norm, seed, data):
    """Train a network of four layers from a seed; return the loss at each step."""
    with seeded(seed):
        model = network(norm, width=32, depth=4, he=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return train(model, optimizer, data.images, data.labels, steps=150, batch=64)


variants = {
    "nothing (LayerNorm-simple)": lambda width: DetachNorm(width, 1e-5, False, False),
    "the mean": lambda width: DetachNorm(width, 1e-5, True, False),
    "the standard deviation": lambda width: DetachNorm(width, 1e-5, False, True),
    "both (DetachNorm)": lambda width: DetachNorm(width),
    "no norm at all": lambda width: nn.Identity(),
}
losses = {}
truth = "not known before your DetachNorm is written"
with waits_for(DetachNorm):
    DetachNorm(4)(torch.ones(1, 4))  # so that no training begins before it is written
    data = digits()
    runs = [(name, seed) for name in variants for seed in range(5)]
    for name, seed in with_progress(runs, "Training 25 networks"):
        losses.setdefault(name, []).append(losses_from(variants[name], seed, data))
    last = {name: sum(sum(curve[-20:]) / 20 for curve in losses[name]) / 5 for name in losses}
    ratio = last["both (DetachNorm)"] / last["nothing (LayerNorm-simple)"]
    truth = (
        "higher: the two terms are missed"
        if ratio > 1.2
        else "lower: the gradient is not disturbed"
        if ratio < 0.8
        else "about the same: the outputs are the same"
    )
    for name in losses:
        ends = [sum(curve[-20:]) / 20 for curve in losses[name]]
        print(f"{name:<27} {last[name]:.2f} ({min(ends):.2f} to {max(ends):.2f})")
    display(losses_by_variant(losses))
prediction.beside(truth)

# %% [markdown]
# The table has the mean loss of the last 20 steps: its average over five seeds, and in brackets the
# least and the largest. Where we ran it, DetachNorm ended far above LayerNorm-simple, and above the
# network without any norm, at every seed. Its activations are normalised as well as anybody's. So the
# first claim shows on this small scale.
#
# The two derivatives do not count alike. With the standard deviation as a constant the loss rose most of
# the way to that of DetachNorm, with the mean as a constant a smaller part of it. It fits the paper,
# which finds the derivative of the variance the more important of the two.
#
# Honest words. With half and with twice the learning rate, five seeds each, we found the same order of
# the four variants. With PyTorch's own start of the weights (`he=False`) we did not: the network without
# norm learned nothing in 150 steps and fell behind even DetachNorm, and a constant mean did more harm
# than a constant standard deviation. That LayerNorm-simple does best of the four, and DetachNorm
# much worse, held in all of these. Also, the ranges of LayerNorm-simple and of no norm overlap: four
# layers with a careful start do not need a norm.
#
# **The second and the third.** Only 200 images to learn from, so that there is something to over-fit.
# Three hidden layers of 64, 300 steps of Adam, five seeds, each with images of its own.


# %% tags=["show", "nbval-ignore-output"]
def small_data(norm, seed, data):
    """Train on 200 images; return the last losses, and accuracy and loss on 500 others."""
    with seeded(seed):
        chosen = torch.randperm(len(data.images))[:200]
        model = network(norm, width=64, depth=3, he=False)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        images, labels = data.images[chosen], data.labels[chosen]
        losses = train(model, optimizer, images, labels, steps=300, batch=32)
    with torch.no_grad():
        logits = model(data.held_out_images)
        loss = nn.functional.cross_entropy(logits, data.held_out_labels).item()
        right = (logits.argmax(1) == data.held_out_labels).double().mean().item()
    return sum(losses[-20:]) / 20, loss, right


with waits_for(AdaNorm):
    AdaNorm(4)(torch.ones(1, 4))
    data = digits()
    norms = {
        "LayerNorm": nn.LayerNorm,
        "LayerNorm-simple": lambda width: nn.LayerNorm(width, elementwise_affine=False),
        "AdaNorm": AdaNorm,
    }
    runs = [(name, seed) for name in norms for seed in range(5)]
    found = {name: [] for name in norms}
    for name, seed in with_progress(runs, "Training 15 networks"):
        found[name].append(small_data(norms[name], seed, data))
    print(f"{'':<18}{'training loss':<24}{'held-out loss':<24}held-out accuracy")
    for name, rows in found.items():
        cells = [
            f"{sum(column) / 5:.3f} ({min(column):.3f} to {max(column):.3f})"
            for column in zip(*rows, strict=True)
        ]
        print(f"{name:<18}{cells[0]:<24}{cells[1]:<24}{cells[2]}")

# %% [markdown]
# Where we ran it, the order in the training loss was clear: LayerNorm fits fastest, then
# LayerNorm-simple, then AdaNorm. That is half of the second claim, since what fits fastest can over-fit
# first. The other half does not show: on the held-out images the three are within each other's range,
# and LayerNorm is no worse. Nor is AdaNorm better than LayerNorm here. Ten digits and 300 steps are far
# from translation, and scale and shift are 384 of some 13,500 parameters. What you can take from it is
# that a norm can do without them, and a claim about over-fitting needs the task it was made on.
#
# ## Reflect
#
# **1.** Spot the bug: "`mean = x.mean(-1, keepdim=True); mean.detach(); return (x - mean) / std`, so the
# mean is a constant."
#
# <details><summary>Answer</summary>
#
# `detach()` returns a new tensor, and nobody keeps it. The outputs are the same either way, so no test
# of the forward pass finds this. A test of the gradient does: its sum over a row is 0, and should not be.
#
# </details>
#
# **2.** Without $\varepsilon$, the variance of the entries of $dx$ for layer norm is at most that of $g$
# divided by $\sigma^2$. Why? For which $g$ is it equal?
#
# <details><summary>Answer</summary>
#
# $g$ minus its mean has the variance of $g$. The third term then takes out the part along $y$, which is
# at right angles to what stays, so the variance falls by the square of that part,
# $\mathrm{mean}(g \, y)^2$. The factor $1 / \sigma$ does the rest. It is equal where
# $\mathrm{mean}(g \, y) = 0$. With $\sigma$ as a constant it is always equal. The paper has this as its
# Theorem 1: the derivative of the mean re-centres the gradient, that of the variance makes it smaller.
#
# </details>
#
# **3.** With $k = 0.1$ the factor is negative where $y$ is above 10. How long must a row be for one entry
# to get beyond?
#
# <details><summary>Answer</summary>
#
# At least 102 entries. The squares of a normalised row add up to $D$, and its entries to 0. If one entry
# is $a$ and the others share the rest evenly, then $a^2 + a^2 / (D - 1) \le D$, so $a^2 \le D - 1$. For
# $a = 10$ a row of 101 entries just reaches it, and only if 100 of them are equal. By the same
# reasoning at most one in a hundred entries of any row can be 10 or more from the mean (Chebyshev's
# inequality).
#
# </details>
#
# **Next.** Group normalization takes its statistics over some of the channels of an image, and asks what
# becomes of it as batches get small.
