# %% [markdown]
# # Further challenge C3: Group normalization
#
# Batch norm and layer norm are two answers to one question: which values share a mean? Group norm
# is a third. It cuts the channels of an image into groups, and normalises each group of each image.
# It needs no batch, and was made for networks whose images are so large that only two of them fit
# into the memory of a GPU. By the end of this notebook you can
#
# - write group norm for an input with any number of dims behind the channels,
# - say what it has in common with layer norm and with instance norm, and what not,
# - repeat, on digits, the experiment for which it became known.
#
# **40 minutes · hard · 10 points (bonus).** You need exercises 3 and 4. It helps to have done
# exercise 10, where layer norm meets images.

# %%
import torch
from torch import nn

from course import check
from course.student.data import digits
from course.student.figures.group_norm import (
    error_against_batch_size,
    error_against_groups,
    groups_of_channels,
    what_is_left_of_the_means,
)
from course.student.prediction import Prediction
from course.student.progress_bar import with_progress
from course.student.torch_modules import seeded
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# An x of shape $(N, C, H, W)$ has $N$ samples, and each has $C$ channels of $H \times W$ places. Cut
# the channels into $G$ groups of $C / G$ neighbours: channel $c$ is in group
# $\lfloor c \, / \, (C / G) \rfloor$. All values of a group in one sample, $S$ of them, share one mean
# and one variance. Each *channel* has its own scale and shift:
#
# $$
# \mu_{ng} = \frac{1}{S} \sum_{c \in g} \sum_{h, w} x_{nchw} \qquad
# \sigma^2_{ng} = \frac{1}{S} \sum_{c \in g} \sum_{h, w} (x_{nchw} - \mu_{ng})^2 \qquad
# y_{nchw} = w_c \, \frac{x_{nchw} - \mu_{ng}}{\sqrt{\sigma^2_{ng} + \varepsilon}} + b_c
# $$
#
# with $S = (C / G) \, H \, W$ and $g$ the group of $c$. The same holds for $(N, C, L)$, and for
# $(N, C)$, where a channel is a single number.
#
# **By hand.** Take one sample with four channels of one number each: $(1, 3, 6, 10)$. Leave out
# $\varepsilon$, and let $w = 1$ and $b = 0$.
#
# | $G$ | groups | $\mu$ | $\sigma^2$ | result |
# |---|---|---|---|---|
# | 1 | (1, 3, 6, 10) | 5 | (16 + 4 + 1 + 25) / 4 = 11.5 | (−1.18, −0.59, 0.29, 1.47) |
# | 2 | (1, 3) and (6, 10) | 2 and 8 | 1 and 4 | (−1, 1, −1, 1) |
# | 4 | (1), (3), (6), (10) | 1, 3, 6, 10 | 0 | (0, 0, 0, 0) |
#
# The fewer values share a mean, the less is left of x. Remember the last two lines: a value alone
# always becomes 0, and of two values one always becomes −1 and the other 1.

# %% tags=["show"]
groups_of_channels()

# %% [markdown]
# With $G = C$ each channel of each sample is normalised by itself; that is instance norm. With
# $G = 1$ all channels of a sample are normalised together, as layer norm over $(C, H, W)$ does.
#
# ## Predict
#
# Is `nn.GroupNorm(1, C)` the same layer as `nn.LayerNorm((C, H, W))`? Build both, give both the same
# x, then let both take one step of gradient descent on the same loss. Where do their outputs differ?

# %% tags=["show"]
prediction = Prediction(
    "ch03_group_norm",
    "nowhere",
    "not when new, but after the step",
    "when new, and after the step",
)
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# New, both normalise the same $C H W$ values, and have scales of 1 and shifts of 0: the outputs are
# equal. But `nn.GroupNorm` has one scale and one shift for each *channel*, and `nn.LayerNorm` has one
# for each *element*, $C H W$ of each. As soon as they learn they part. Wu and He call their GN with
# $G = 1$ layer norm, and mean the first of these two.
#
# </details>


# %% tags=["show"]
def furthest_apart(one, other, x, target):
    """The largest difference of two layers' outputs: as they are, and after a step of each."""
    apart = []
    for _ in range(2):
        apart.append((one(x) - other(x)).abs().max().item())
        for layer in (one, other):
            if not list(layer.parameters()):
                continue
            layer.zero_grad()
            nn.functional.mse_loss(layer(x), target, reduction="sum").backward()
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter -= 0.001 * parameter.grad
    return apart


with seeded(0):
    x, target = torch.randn(2, 3, 6, 4, 4)  # two batches of three images
pair = nn.GroupNorm(1, 6), nn.LayerNorm((6, 4, 4))
new, trained = furthest_apart(*pair, x, target)
for layer in pair:
    count = sum(parameter.numel() for parameter in layer.parameters())
    print(f"learnable numbers of {type(layer).__name__}: {count}")
print("outputs equal when new:      ", new < 1e-4)
print("outputs equal after the step:", trained < 1e-4)
prediction.beside(
    "when new, and after the step"
    if new > 1e-4
    else "not when new, but after the step"
    if trained > 1e-4
    else "nowhere"
)

# %% [markdown]
# ## Task 1: `group_statistics`
#
# Half of group norm is a question of shapes, so begin with that half. Return the mean and the
# variance of each group of each sample, as two tensors of shape `(N, num_groups)`.
#
# What trips people up is the order. `reshape` cuts a dim into two without moving anything: the first
# of the two new dims counts blocks, the second what is in a block. Which of them should have length
# `num_groups`?


# %% tags=["solution"]
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
    ### BEGIN SOLUTION
    groups = x.reshape(x.shape[0], num_groups, -1)  # (N, G, values of a group)
    mean = groups.mean(-1)
    var = (groups - mean[..., None]).square().mean(-1)
    return mean, var
    ### END SOLUTION


# %% tags=["check"]
check("ch03_group_statistics", group_statistics)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Try your function on `torch.tensor([[1.0, 3.0, 6.0, 10.0]])` with 1, 2 and 4 groups. The table above
# has the results.
#
# </details>
# <details><summary>Hint 2: the shape</summary>
#
# Everything in a group shares a mean, so the channels of a group and their places may as well be one
# long dim. How long it is `reshape` finds out by itself, if you write −1.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# groups = x.reshape(x.shape[0], num_groups, -1)
# mean = ...                           # over the last dim
# var = ...                            # of groups less their mean; a mean again, of squares
# ```
#
# </details>
#
# ## Task 2: `GroupNorm`
#
# Write the module. You may use `group_statistics`, or not. PyTorch's own normalisations
# (`nn.GroupNorm`, `F.group_norm`, and those of layers, batches, instances and RMS) may not be used: a
# module that calls one earns no points.
#
# - **Back to channels.** The statistics belong to groups, the scale and the shift to channels. A weight
#   of shape `(C,)` lines up with the *last* dim of x. Where W happens to equal C, PyTorch does not even
#   complain.
# - **Any number of dims.** `(N, C)`, `(N, C, L)` and `(N, C, H, W)` should take the same way through
#   your code.
# - **Half precision.** As in exercise 3: float16 and bfloat16 are normalised in float32, float64 in
#   float64, and the result has the dtype of x.
# - **A number of groups that does not divide.** Refuse it when the module is built, in words that help.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        if num_channels % num_groups:
            raise ValueError(f"{num_channels} channels cannot be cut into {num_groups} groups")
        self.num_groups = num_groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        ### END SOLUTION

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (N, C), (N, C, L) or (N, C, H, W)

        Returns:
            Normalized tensor of same shape and dtype as x; statistics of half precision input
            are computed in float32
        """
        ### BEGIN SOLUTION
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)  # (N, G, values of a group)
        mean, var = group_statistics(wide, self.num_groups)  # (N, G)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))  # (C, 1, 1) for an x of (N, C, H, W)
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)
        ### END SOLUTION


# %% tags=["check"]
check("ch03_group_norm", GroupNorm)

# %% [markdown]
# <details><summary>Hint 1: the way through</summary>
#
# Four steps: to groups, normalise, back to the shape of x, scale and shift. In the shape
# `(N, num_groups, -1)` a mean of shape `(N, num_groups, 1)` fits, and `mean[..., None]` has it.
#
# </details>
# <details><summary>Hint 2: the scale and the shift</summary>
#
# For `(N, C, H, W)` the weight should have shape `(C, 1, 1)`, for `(N, C, L)` shape `(C, 1)`, for
# `(N, C)` shape `(C,)`. How many ones is that, in terms of `x.dim()`? `(-1, *[1] * 2)` is `(-1, 1, 1)`.
#
# </details>
# <details><summary>Hint 3: refusing</summary>
#
# `num_channels % num_groups` is the rest of the division. Raise
# `ValueError(f"... {num_channels} ... {num_groups} ...")` where it is not 0.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# wide = ...                           # x, or x in float32
# groups = wide.reshape(x.shape[0], self.num_groups, -1)
# mean, var = group_statistics(wide, self.num_groups)
# x_hat = ...                          # of groups, mean[..., None] and var[..., None]
# per_channel = ...                    # the shape of the scale and the shift
# return (...).to(x.dtype)             # x_hat in the shape of x, scaled and shifted
# ```
#
# </details>
#
# ## See it
#
# One sample with eight channels, whose means are far apart, goes through your module with 1, 2, 4
# and 8 groups. Neighbouring bars of one colour are a group. What is left of the differences between
# channels?

# %% tags=["show"]
what_is_left_of_the_means(GroupNorm)

# %% [markdown]
# A difference between two channels survives if they are in one group. With $G = 1$ the network still
# knows which channel was active in this image; with $G = C$ that is gone, and only the pattern inside
# each channel is left. $G$ sets how much a layer may forget.
#
# ### The two ends
#
# Your module with $G = 1$ beside `nn.LayerNorm`, and with $G = C$ beside `nn.InstanceNorm2d`, which
# has no scale and shift unless you ask for them. Which pairs stay together after a step?


# %% tags=["show"]
def two_ends(group_norm_class):
    """Hold the module with one group and with C groups beside PyTorch's relatives."""
    pairs = {
        "G = 1, nn.LayerNorm((6, 4, 4))": (1, nn.LayerNorm((6, 4, 4))),
        "G = C, nn.InstanceNorm2d(6)": (6, nn.InstanceNorm2d(6)),
        "G = C, nn.InstanceNorm2d(6, affine=True)": (6, nn.InstanceNorm2d(6, affine=True)),
    }
    for name, (num_groups, theirs) in pairs.items():
        apart = furthest_apart(group_norm_class(num_groups, 6), theirs, x, target)
        equal = ["equal" if most < 1e-4 else "different" for most in apart]
        print(f"{name + ':':42} {equal[0]} when new, {equal[1]} after a step")


with waits_for(GroupNorm):
    two_ends(GroupNorm)

# %% [markdown]
# A scale for each element also ties a layer to one size of image. `nn.LayerNorm((6, 4, 4))` refuses an
# image of 8 × 8 places; a group norm of six channels takes any.
#
# ## What the papers found
#
# Wu and He (2018), *Group Normalization* ([arXiv:1803.08494](https://arxiv.org/abs/1803.08494)), train
# ResNet-50 on ImageNet with 32, 16, 8, 4 and 2 images a GPU (Figure 5, Table 2). With batch norm the
# error rises as the batches get smaller. With group norm it stays where it is, and at 2 images it is
# 10.6 points lower than with batch norm.
#
# Below, the same on digits with a network of three small convolutions. As in the paper, the learning
# rate is proportional to the batch size, and every network sees the same number of images. All that
# changes between the lines is the norm.

# %% tags=["show"]
data = digits()
norms = {
    "batch norm": lambda channels, size: nn.BatchNorm2d(channels),
    "group norm, yours": lambda channels, size: GroupNorm(4, channels),
    "layer norm": lambda channels, size: nn.LayerNorm((channels, size, size)),
}


def network(norm):
    """Three convolutions that halve the image: 8 x 8 to 4 x 4, 2 x 2 and a single place."""
    layers = []
    for channels_in, channels, size in ((1, 16, 4), (16, 32, 2), (32, 32, 1)):
        convolution = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        layers += [convolution, norm(channels, size), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 10))


def error_after_training(norm, batch_size, seed, images=384, epochs=4):
    """Train a network on some of the digits; return its error on those held out, in percent."""
    x, labels = data.images[:images, None], data.labels[:images]
    with seeded(seed):
        model = network(norm)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05 * batch_size / 32, momentum=0.9)
        for _ in range(epochs):
            for batch in torch.randperm(images).split(batch_size):
                loss = nn.functional.cross_entropy(model(x[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    model.eval()
    with torch.no_grad():
        found = model(data.held_out_images[:, None]).argmax(1)
    return 100 * (found != data.held_out_labels).double().mean().item()


# %% tags=["show", "nbval-ignore-output"]
errors = {}
with waits_for(GroupNorm):
    network(norms["group norm, yours"])(data.images[:2, None])  # better fail now than in a minute
    plan = [(name, size, seed) for size in (32, 8, 4, 2) for name in norms for seed in range(3)]
    for name, size, seed in with_progress(plan, f"Training {len(plan)} networks"):
        error = error_after_training(norms[name], size, seed)
        errors.setdefault((name, size), []).append(error)
error_against_batch_size(errors)

# %% [markdown]
# With four images or more in a batch, all three work. Batch norm even has the lowest error at 8 and 32
# images, as it has in the paper at 16 and 32, where it leads by half a point. With two images batch
# norm breaks down, and the other two stay within a few points of where they were. Neither ever looks at
# more than one image.
#
# Honest words. The collapse here is steeper than the paper's, and has a cruder cause. The third norm of
# this network sees one place an image, so batch norm has two numbers for each channel, and of two
# numbers one always becomes −1 and the other 1. What they were before is lost, and no gradient comes
# back through them. In ResNet-50 the last layers have 7 × 7 places, so 98 numbers for two images: the
# statistics are noisy there, and differ from those used at test time, but something gets through. In
# the paper group norm is clearly ahead of layer norm; the seeds here overlap too much to tell.
#
# ### How many groups?
#
# Table 3 of the paper varies $G$ in ResNet-50, at 32 images a GPU. The error is highest at $G = 1$ and
# lowest at $G = 32$, 1.2 points below. Here the same with your module, at batches of 32.


# %% tags=["show", "nbval-ignore-output"]
def norm_with(num_groups):
    """Your norm with so many groups, for a network."""
    return lambda channels, size: GroupNorm(num_groups, channels)


errors_by_groups = {}
with waits_for(GroupNorm):
    GroupNorm(1, 16)(torch.zeros(2, 16))
    plan = [(num_groups, seed) for num_groups in (1, 2, 4, 8, 16) for seed in range(5)]
    for num_groups, seed in with_progress(plan, f"Training {len(plan)} networks"):
        error = error_after_training(norm_with(num_groups), 32, seed)
        errors_by_groups.setdefault(("group norm, yours", num_groups), []).append(error)
error_against_groups(errors_by_groups)

# %% [markdown]
# From 1 to 8 groups the network learns. Two or four groups look a little better than one and eight, but
# the seeds overlap: five of them are too few for an order. With 16 groups nothing is learned. You
# have met the reason before: the third norm has 32 channels of one place, so its groups have two values
# each, and come out as −1 and 1. Batch norm had too few images, this has too few channels in a
# group. A norm needs enough values to share a mean; the norms differ in where they take them from.
#
# ## Reflect
#
# **1.** Spot the bug. A colleague's images are `(N, H, W, C)`. He takes the paper's code as it is,
# `x = x.reshape(N, G, C // G, H, W)`, takes mean and variance over the last three dims, normalises, and
# reshapes back. It runs, and training goes well enough. What shares a mean?
#
# <details><summary>Answer</summary>
#
# `reshape` moves nothing. In the memory of an `(N, H, W, C)` array all channels of a place come
# first, then those of the next place, row after row. Cut into G blocks, that gives bands of rows: with
# G = 2 the upper half of the image, in all channels, and the lower half. Right is
# `x.reshape(N, H, W, G, C // G)` and a mean over dims 1, 2 and 4. No shape gives the bug away; a test in
# which one channel lies far from the others does.
#
# </details>
#
# **2.** A lecture says: "Group norm with one group is layer norm." In which sense is that so, and in
# which is it not?
#
# <details><summary>Answer</summary>
#
# For $(N, C, H, W)$ both take one mean and one variance over all values of a sample. But `nn.LayerNorm`
# has a scale and a shift for each element, and group norm for each channel. And in a transformer layer
# norm means something else again: `nn.LayerNorm(D)` on `(N, T, D)` normalises each token by itself. Group
# norm with one group on `(N, D, T)` would normalise all tokens of a text together, padding and later
# tokens included.
#
# </details>
#
# **3.** Two values $a > b$ share a mean and a variance. Leave out $\varepsilon$. What is the derivative
# of the result with respect to $a$, and what follows for the layers below such a norm?
#
# <details><summary>Answer</summary>
#
# It is 0: the result is $(1, -1)$ whatever $a$ and $b$ are, as long as $a > b$. So no gradient reaches
# anything below, and those layers stay as they were at the start. With $\varepsilon$ the derivative is
# $\varepsilon / (2 (\sigma^2 + \varepsilon)^{3/2})$, which is next to nothing unless $a$ and $b$ are nearly
# equal. In general a norm of $S$ values lets through $S - 2$ of the $S$ directions of a gradient.
#
# </details>
#
# **Next.** Further challenge C4, *Initialising gamma and beta*, asks where a scale and a shift should
# start.
