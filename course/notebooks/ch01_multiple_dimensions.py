# %% [markdown]
# # Further challenge C1: Multiple dimensions
#
# Which numbers share a mean? Layer norm, batch norm, instance norm and group norm give different
# answers to this one question, and are otherwise the same few lines. With a function that takes any
# set of dims you have them all. By the end of this notebook you can
#
# - normalise over any dims of a tensor: neighbours or not, in any order, counted from either end,
# - say why one dim after the other is not the same as all of them at once,
# - lay parameters along any dims, so that the same weights serve `(N, C, H, W)` and `(N, H, W, C)`,
# - name the published layers by their dims, and say what each of them cannot see.
#
# **40 minutes · medium · 10 points (bonus).** You need exercise 3. If you have done exercise 10:
# there you chose the dims for images, texts and series; here the caller chooses.

# %%
import torch
from torch import nn

from course import check
from course.student.figures.choice_of_dims import joint_and_one_by_one, shared_over_sets
from course.student.prediction import Prediction
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# Call the chosen dims $S$. Two entries share a mean if they differ in the indices of $S$ only. Over
# the $D$ entries of such a group,
#
# $$
# \mu = \frac{1}{D} \sum x \qquad \sigma^2 = \frac{1}{D} \sum (x - \mu)^2 \qquad
# \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}
# $$
#
# and $D$ is the product of the lengths of the dims in $S$. `nn.LayerNorm` knows only sets that end in
# the last dim and have no gap. Here is an array with 2 samples, 2 channels and 3 positions, and six
# choices of dims. Equal numbers share a mean.

# %% tags=["show"]
shared_over_sets()

# %% [markdown]
# The fourth has a gap: dims 0 and 2 are named, and dim 1 between them is not.
#
# **By hand.** Take $x$ of shape `(2, 2)` with the rows $(1, 3)$ and $(5, 7)$, and leave out
# $\varepsilon$.
#
# | dims | $\mu$ | $\sigma^2$ | result |
# |---|---|---|---|
# | `(1,)` | 2 and 6, one for each row | 1 and 1 | (−1, 1) and (−1, 1) |
# | `(0,)` | 3 and 5, one for each column | 4 and 4 | (−1, −1) and (1, 1) |
# | `(0, 1)` | 4 | (9 + 1 + 1 + 9) / 4 = 5 | (−1.34, −0.45) and (0.45, 1.34) |
#
# **Means of means, variances of what?** The mean of the two row means, 2 and 6, is 4: the mean of all.
# The mean of the two row variances is 1, and the variance of all is 5. What is missing is the spread of
# the row means about their mean, which is 4. This holds for all groups of equal size:
#
# $$
# \text{variance of all} = \text{mean of the variances} + \text{variance of the means}
# $$

# %% tags=["show"]
x = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
variance_of_all = x.var((1, 2), unbiased=False)
rows_var, rows_mean = torch.var_mean(x, 2, unbiased=False)
mean_of_variances, variance_of_means = rows_var.mean(1), rows_mean.var(1, unbiased=False)
print("variance of all:                 ", [f"{v:.3f}" for v in variance_of_all.tolist()])
print("mean of variances:               ", [f"{v:.3f}" for v in mean_of_variances.tolist()])
both = mean_of_variances + variance_of_means
print("mean of var. + variance of means:", [f"{v:.3f}" for v in both.tolist()])

# %% [markdown]
# ## Predict
#
# Normalise the $x$ above, with the rows (1, 3) and (5, 7), over dim 1. Then normalise the *result* over
# dim 0. What comes out?

# %% tags=["show"]
prediction = Prediction(
    "ch01_multiple_dimensions",
    "(-1.34, -0.45), (0.45, 1.34)",
    "(-1.00, 1.00), (-1.00, 1.00)",
    "(-1.00, -1.00), (1.00, 1.00)",
    "(0.00, 0.00), (0.00, 0.00)",
)
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# Zeros. After the first step both rows are (−1, 1), so each column holds the same number twice. The
# second step subtracts it. The first had already removed what tells the rows apart, the second removes
# what tells the columns apart, and in this x there is nothing else.
#
# </details>

# %% tags=["show"]
x = torch.tensor([[1.0, 3.0], [5.0, 7.0]])
for dim in (1, 0):
    var, mean = torch.var_mean(x, dim, unbiased=False, keepdim=True)
    x = (x - mean) / torch.sqrt(var + 1e-5)
prediction.beside(", ".join(f"({first:.2f}, {second:.2f})" for first, second in x.tolist()))

# %% [markdown]
# ## Task 1: `layer_norm_over_dims`
#
# Write the function, without scale and shift. PyTorch's own normalisations (`nn.LayerNorm`,
# `F.layer_norm` and all others) may not be used in either task: what calls one earns no points.
# `torch.mean`, `torch.var` and all other tensor operations may be used. As in exercise 3, float16 and bfloat16
# are normalised in float32.
#
# Three things trip people up.
#
# - **Cutting before moving.** `reshape` never changes the order of the numbers. A group whose dims are
#   not the last ones does not lie in one piece.
# - **What `dims` may be.** An int, 0 included. Negative numbers. Any order.
# - **What `dims` may not be.** PyTorch refuses some of it, with an error of its own kind, and takes
#   the empty tuple for *all* dims. This function is to refuse it all, in words.


# %% tags=["solution"]
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
    ### BEGIN SOLUTION
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
    ### END SOLUTION


# %% tags=["check"]
check("ch01_layer_norm_over_dims", layer_norm_over_dims)

# %% [markdown]
# <details><summary>Hint 1: the dims</summary>
#
# `mean` takes a tuple of dims as it is: negative, in any order, with gaps. Most of the work is in
# refusing what cannot be.
#
# </details>
# <details><summary>Hint 2: what cannot be</summary>
#
# A tensor of $n$ dims has the dims $-n$ to $n - 1$. `dim % n` counts each of them from the front. A
# set keeps each number once, so its length tells whether one came twice. Look at the three in this
# order: a remainder makes a valid dim of any number.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# dims = ...                                       # a tuple, also of an int
# if not dims: ...
# for dim in dims: ...                             # does it exist?
# if len({...}) < len(dims): ...                   # is one named twice?
# wide = ...
# centred = ...                                    # less the mean, with keepdim=True
# var = ...                                        # the mean of the squares of that
# return ...
# ```
#
# </details>
#
# ## See it
#
# A digit, normalised over both of its dims at once, and over one after the other, in both orders.

# %% tags=["show"]
joint_and_one_by_one(layer_norm_over_dims)

# %% [markdown]
# At once, the digit is the same picture in other units. One by one, each row loses its own level and
# contrast, then each column does: a faint stroke becomes as strong as a bold one, and the margins,
# which have no ink, are filled with the marks of their columns. The two orders differ. And only the
# step that came last has left what it promises: after *rows, then columns* each column has mean 0,
# and the rows no longer have variance 1.
#
# ## Task 2: `MultiDimLayerNorm`
#
# Now the module, with a scale and a shift for each place in the normalised dims. `shape` gives the
# lengths of these dims, in the order of `dims`:
#
# | | x | weight and bias | |
# |---|---|---|---|
# | `MultiDimLayerNorm((H, W), (-2, -1))` | `(*, H, W)` | `(H, W)` | is `nn.LayerNorm((H, W))` |
# | `MultiDimLayerNorm((C, W), (1, 3))` | `(N, C, H, W)` | `(C, W)` | `nn.LayerNorm` cannot do it |
# | `MultiDimLayerNorm((C, H, W), (1, 2, 3))` | `(N, C, H, W)` | `(C, H, W)` | channels first |
# | `MultiDimLayerNorm((C, H, W), (3, 1, 2))` | `(N, H, W, C)` | `(C, H, W)` | channels last, same weights |
#
# The last two lines are the point of it: a `state_dict` of the one is a `state_dict` of the other. You
# may call your `layer_norm_over_dims`.
#
# - **Broadcasting starts at the right.** A weight of shape `(C,)` lines up with the *last* dim of x. If
#   the lengths are equal by chance, nothing fails.
# - **Two orders.** The dims of the weight come in the order of `dims`, those of x as they lie in x.
# - **A length of 1 fits everything.** Broadcasting does not mind an x with one channel where the weight
#   has three. You should.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dims = (dims,) if isinstance(dims, int) else tuple(dims)
        if len(self.shape) != len(self.dims):
            raise ValueError(f"shape {self.shape} and dims {self.dims} differ in number")
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.shape))
        self.bias = nn.Parameter(torch.zeros(self.shape))
        ### END SOLUTION

    def forward(self, x):
        """
        Args:
            x: Input tensor of any number of dims, with the lengths `shape` along `dims`

        Returns:
            Normalized tensor of same shape and dtype as x

        Raises:
            ValueError: x has other lengths along `dims`
        """
        ### BEGIN SOLUTION
        # With the normalised dims last, in the order of dims, broadcasting does the rest.
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)  # (*, *shape)
        if moved.shape[-len(self.dims) :] != self.shape:
            raise ValueError(f"x of shape {tuple(x.shape)} has not {self.shape} at {self.dims}")
        normalized = layer_norm_over_dims(moved, last, self.eps)
        return (normalized * self.weight + self.bias).movedim(last, self.dims)
        ### END SOLUTION


# %% tags=["check"]
check("ch01_module", MultiDimLayerNorm)

# %% [markdown]
# <details><summary>Hint 1: two ways</summary>
#
# Either bring x to the weight: move the normalised dims to the end, in the order of `dims`, scale
# there, and move them back. Or bring the weight to x: permute its dims into the order in which they lie
# in x, and give it a length of 1 for every other dim of x. The first is shorter.
#
# </details>
# <details><summary>Hint 2: moving dims</summary>
#
# `x.movedim((3, 1), (-2, -1))` puts dim 3 in the last place but one, and dim 1 in the last; the others
# keep their order. With the two arguments swapped it undoes itself. For two dims the second argument
# is `(-2, -1)`, for three `(-3, -2, -1)`: which call of `range` gives that?
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# last = ...                                 # (-k, ..., -1) for k dims
# moved = x.movedim(..., last)               # (*, *shape)
# if moved.shape[...] != self.shape: ...     # ValueError
# normalized = layer_norm_over_dims(...)     # over the last dims, with your eps
# return (...).movedim(last, self.dims)      # scaled and shifted
# ```
#
# </details>
#
# ## See it
#
# One batch of images in three forms: channels first; channels last; and channels first by their
# indices but channels last in memory, which PyTorch calls `channels_last`. Which of them needs other
# dims? And what does `reshape` make of the batch in place of `permute`?


# %% tags=["show"]
def layouts(norm):
    """Normalise the same images in three layouts with the same weights."""
    random = torch.Generator().manual_seed(0)
    N, C, H, W = 2, 3, 4, 4
    first = torch.randn(N, C, H, W, generator=random)
    one, other = norm((C, H, W), (1, 2, 3)), norm((C, H, W), (3, 1, 2))
    for parameter in one.parameters():
        nn.init.normal_(parameter, generator=random)
    print("state_dict moved:", other.load_state_dict(one.state_dict()))
    expected = one(first).permute(0, 2, 3, 1)
    last = first.permute(0, 2, 3, 1).contiguous()
    in_memory = first.to(memory_format=torch.channels_last)
    cut = first.reshape(N, H, W, C)
    for words, same, x in (
        ("first, dims (1, 2, 3)", one(first), first),
        ("last, dims (3, 1, 2)", other(last).permute(0, 3, 1, 2), last),
        ("channels_last, dims (1, 2, 3)", one(in_memory), in_memory),
        ("reshaped, dims (3, 1, 2)", other(cut).permute(0, 3, 1, 2), cut),
    ):
        agrees = torch.allclose(same.permute(0, 2, 3, 1), expected, atol=1e-5)
        print(f"{words:30} shape {tuple(x.shape)}, strides {x.stride()!s:14} same: {agrees}")


with waits_for(MultiDimLayerNorm):
    layouts(MultiDimLayerNorm)

# %% [markdown]
# Dims name indices, and say nothing of memory: the third line has the strides of the second and the
# dims of the first. The last line has the right shape and no error, and its "channels" are numbers that
# stood next to each other in a row of the image.
#
# ## What the papers found
#
# Wu & He (2018), *Group Normalization* ([arXiv:1803.08494](https://arxiv.org/abs/1803.08494)), write
# batch, layer, instance and group norm as one formula that differs in the set of entries that share a
# mean. Their Figure 2 draws these sets in blue. As dims of an `(N, C, H, W)` array:
#
# | layer | dims | from |
# |---|---|---|
# | batch norm (in training) | `(0, 2, 3)` | Ioffe & Szegedy 2015, [1502.03167](https://arxiv.org/abs/1502.03167) |
# | layer norm | `(1, 2, 3)` for images; `(-1,)` for the tokens of a Transformer | Ba, Kiros & Hinton 2016, [1607.06450](https://arxiv.org/abs/1607.06450) |
# | instance norm | `(2, 3)` | Ulyanov, Vedaldi & Lempitsky 2016, [1607.08022](https://arxiv.org/abs/1607.08022) |
# | group norm | `(2, 3, 4)` after a reshape to `(N, G, C/G, H, W)` | Wu & He 2018 |
# | positional norm | `(1,)` | Li et al. 2019, [1907.04312](https://arxiv.org/abs/1907.04312) |
#
# In group norm `reshape` is right: it cuts dim 1 in two, and moves nothing. Your function against
# PyTorch's own layers; positional norm has none, and is there `F.layer_norm` with the channels last:


# %% tags=["show"]
def over_a_group(over_dims, x, eps, groups=2):
    """Group norm: a reshape, and three dims."""
    return over_dims(x.unflatten(1, (groups, -1)), (2, 3, 4), eps).flatten(1, 2)


FAMILY = {
    "batch norm": lambda over_dims, x, eps: over_dims(x, (0, 2, 3), eps),
    "layer norm": lambda over_dims, x, eps: over_dims(x, (1, 2, 3), eps),
    "instance norm": lambda over_dims, x, eps: over_dims(x, (2, 3), eps),
    "group norm": over_a_group,
    "positional norm": lambda over_dims, x, eps: over_dims(x, (1,), eps),
}

with waits_for(layer_norm_over_dims):
    x = torch.randn(5, 4, 6, 7, generator=torch.Generator().manual_seed(1))
    last = x.movedim(1, -1)
    theirs = {
        "batch norm": nn.BatchNorm2d(4, affine=False)(x),
        "layer norm": nn.functional.layer_norm(x, (4, 6, 7)),
        "instance norm": nn.InstanceNorm2d(4)(x),
        "group norm": nn.functional.group_norm(x, 2),
        "positional norm": nn.functional.layer_norm(last, (4,)).movedim(-1, 1),
    }
    for name, normalize in FAMILY.items():
        yours = normalize(layer_norm_over_dims, x, 1e-5)
        print(f"{name:16} same as PyTorch's: {torch.allclose(yours, theirs[name], atol=1e-5)}")

# %% [markdown]
# The choice of dims is a choice of what the layer cannot see. Below, image 0 of a batch is normalised
# before and after a change, over ten random batches: in how many of them does its output change?


# %% tags=["show"]
def changes(x, random):
    """The batch with one change at a time; image 0 is the one that is looked at."""
    other, bright, channel, light = (x.clone() for _ in range(4))
    other[1:] = 2 * torch.randn(x[1:].shape, generator=random, dtype=x.dtype)
    bright[0] += 3  # a brighter image
    channel[0, 2] = 4 * channel[0, 2] + 1  # one channel with more contrast, and brighter
    light[0] += torch.randn(x.shape[2:], generator=random, dtype=x.dtype)  # light on each pixel
    return {"other images": other, "brighter": bright, "one channel": channel, "lighting": light}


with waits_for(layer_norm_over_dims):
    counts = {}
    for seed in range(10):
        random = torch.Generator().manual_seed(seed)
        x = torch.randn(3, 4, 5, 5, generator=random, dtype=torch.float64)
        for change, changed in changes(x, random).items():
            for name, normalize in FAMILY.items():
                before = normalize(layer_norm_over_dims, x, 1e-9)[0]
                after = normalize(layer_norm_over_dims, changed, 1e-9)[0]
                moved = not torch.allclose(before, after, atol=1e-6)
                counts[name, change] = counts.get((name, change), 0) + moved
    columns = ["other images", "brighter", "one channel", "lighting"]
    print(" " * 16 + "".join(f"{column:>14}" for column in columns))
    for name in FAMILY:
        print(f"{name:16}" + "".join(f"{counts[name, column]:14}" for column in columns))

# %% [markdown]
# Each line follows from the dims, and no training is needed to see it. Only batch norm looks at the
# other images. Instance norm alone does not see that a channel got more contrast. Ulyanov et al. want
# just that: the contrast of the photograph should not come through in the stylised picture. Positional
# norm alone does not see light that changes from pixel to pixel and is the same in all channels of a
# pixel. Layer norm sees both, and so does group norm here, with two channels in a group.
#
# Honest words. What a layer cannot see is certain; which blindness is good for a task is not, and the
# papers answer that with long trainings, which this notebook does not repeat. One more difference is
# easily missed. In Wu & He's formulation scale and shift go by the channel in all four layers, whatever
# the dims are; the parameters here, like those of `nn.LayerNorm`, go by the place in the normalised
# dims.
#
# ## Reflect
#
# **1.** Spot the bug, or bugs:
# `for d in dims: x = (x - x.mean(d, keepdim=True)) / (x.std(d, keepdim=True) + eps)`.
#
# <details><summary>Answer</summary>
#
# Three. It normalises one dim after the other, so the result depends on the order and keeps less of x
# than it should. `std` divides by D − 1. And eps is added to the standard deviation, not to the
# variance. For a single dim only the last two are left, so a test with one dim does not find the first.
#
# </details>
#
# **2.** How many learnable numbers have `MultiDimLayerNorm((C, H, W), (1, 2, 3))` and
# `nn.GroupNorm(1, C)`, for 64 channels of 32 × 32? Both share a mean over C, H and W. Which of the two
# can be used on images of another size?
#
# <details><summary>Answer</summary>
#
# 2 · 64 · 32 · 32 = 131,072, and 2 · 64 = 128. Only the second: it has a scale for each channel, and the
# first has one for each place in an image of 32 × 32. At the start, with ones and zeros, their outputs
# are the same, so that a test on new modules takes them for the same layer.
#
# </details>
#
# **3.** Let dim 0, the batch, be one of the dims. Name two things that go wrong when the trained model
# gets a single image.
#
# <details><summary>Answer</summary>
#
# The statistics are those of one image, not of a batch, so that the layer computes something else than
# in training; over the batch alone, `dims=(0,)`, each entry is its own mean, and everything comes out 0.
# Batch norm escapes by using averages it kept in training. And a weight along dim 0 would have one
# number for each place in the batch, which has no meaning, and a length that does not fit.
#
# </details>
#
# **Next.** Further challenge C2 takes the gradients apart that flow through the mean and the variance,
# and asks which of them layer norm owes its success to.
