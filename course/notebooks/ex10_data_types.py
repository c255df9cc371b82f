# %% [markdown]
# # Exercise 10: Layer normalization for different data types
#
# A row of features was all that layer norm knew so far. A photograph has channels, rows and columns,
# a text has tokens and padding, a time series has steps and features. For each there is more than one
# thing that "layer norm" may mean, and people mean all of them. By the end of this notebook you can
#
# - say for any normalisation which numbers share a mean, and what is lost with that mean,
# - normalise images in the two ways that are in use, with a scale for each channel,
# - keep padding out of the statistics, out of the output and out of the gradients,
# - choose between normalising a series step by step and over time.
#
# **45 minutes · medium · 15 points.** You need exercise 3 (a module with two parameters), and
# broadcasting.

# %%
import torch
from torch import nn

from course import check
from course.student.figures.data_types import (
    axes_explorer,
    contrast_removed,
    forecast_with_level_returned,
    padding_leaks,
    photographs_normalised,
    series_both_ways,
    shared_by_norms,
)
from course.student.prediction import Prediction
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# There is one formula, for a set $S$ of numbers that share a mean, and it is the one you know:
#
# $$
# \mu_S = \frac{1}{|S|} \sum_{i \in S} x_i \qquad
# \sigma_S^2 = \frac{1}{|S|} \sum_{i \in S} (x_i - \mu_S)^2 \qquad
# y_i = w_c \, \frac{x_i - \mu_S}{\sqrt{\sigma_S^2 + \varepsilon}} + b_c
# $$
#
# Two choices are left. Which numbers are in $S$? And which index $c$ do the scale and the shift go
# by? In this exercise they always go by the channel or feature, whatever $S$ is. An image has no
# fixed height, and a text no fixed length, so there could be no scale for each place.
#
# **By hand.** An image with two channels, one row and two columns: shape `(1, 2, 1, 2)`. Leave
# $\varepsilon$ out, and let $w = 1$ and $b = 0$. Red is $(1, 7)$ and blue is $(9, 15)$.
#
# | what shares a mean | $\mu$ | $\sigma^2$ | red | blue |
# |---|---|---|---|---|
# | the image, over C, H and W: layer norm | 8 | (49 + 1 + 1 + 49) / 4 = 25 | (−1.4, −0.2) | (0.2, 1.4) |
# | each channel, over H and W: instance norm | 4 and 12 | 9 and 9 | (−1, 1) | (−1, 1) |
# | each pixel, over C: layer norm per pixel | 5 and 11 | 16 and 16 | (−1, −1) | (1, 1) |
#
# In the first line you still see that blue is the stronger channel, and that the right pixel is the
# brighter one. The second line has lost the one, the third has lost the other. With a mean, the
# level goes that it stands for. Now scale and shift the channels of the first line by
# $w = (1, 2)$ and $b = (0, 1)$: red stays, and blue becomes (1.4, 3.8).
#
# The same for a batch of two images with four channels. Equal numbers share a mean.

# %% tags=["show"]
shared_by_norms()

# %% [markdown]
# Tick the dims that share a mean, and see what becomes of two photographs. They come as a camera's
# sensor sees them, in four channels: red, two greens and blue. On the right grey is 0, and black and white are two
# standard deviations below and above. Which boxes make the two photographs depend on each other?

# %% tags=["show"]
axes_explorer()

# %% [markdown]
# ## Predict
#
# A sentence has 10 tokens, and their numbers have mean 0 and standard deviation 1. It is padded with
# zeros to a length of 40, and then normalised as one: all its numbers share one mean and one
# variance, padding included. What is the standard deviation of the 10 real tokens afterwards?

# %% tags=["show"]
prediction = Prediction("ex10_data_types", "0.25", "0.5", "1", "2", "4")
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# 2. The mean is still 0. The squares of the real tokens add up to what they did before, but are now
# divided by a count four times as large: the variance is 1/4, its root 1/2, and everything is divided
# by that. So the same sentence comes out twice as large, only because a longer one is in its batch.
#
# </details>

# %% tags=["show"]
tokens = torch.randn(10, 512, generator=torch.Generator().manual_seed(0))
padded = torch.cat([tokens, torch.zeros(30, 512)])
print(f"alone:  {(tokens / padded[:10].std()).std():.1f}")
print(f"padded: {(tokens / padded.std()).std():.1f}")
prediction.beside("2")

# %% [markdown]
# ## Task 1: `ImageLayerNorm`
#
# Write layer norm for images of shape `(N, C, H, W)`, in two modes. By default the numbers of an image
# share one mean and one variance. With `per_pixel=True` the C numbers of each pixel do, as in
# ConvNeXt (Liu et al. 2022, [arXiv:2201.03545](https://arxiv.org/abs/2201.03545)). In both modes each
# channel has its own scale and its own shift.
#
# PyTorch's own normalisations (`nn.LayerNorm`, `nn.GroupNorm`, `nn.InstanceNorm2d`,
# `F.layer_norm` and all others) may not be used in any task of this notebook: a module that calls one
# earns no points. `torch.mean`, `torch.var` and all other tensor operations may be used. As in exercise 3,
# float16 and bfloat16 input is normalised in float32, and the result has the dtype of x.
#
# What trips people up:
#
# - **Broadcasting starts at the right.** A scale of C numbers lines up with the *last* dim, which is
#   W. If W happens to equal C, nothing fails, and the columns are scaled in place of the channels.
# - **The batch.** An image must come out the same whatever other images are in its batch.
# - **Channels first.** In PyTorch the channels are dim 1. In many other libraries they are last.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        self.dims = 1 if per_pixel else (1, 2, 3)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)  # (N, 1, 1, 1), or (N, 1, H, W) per pixel
        var = (wide - mean).square().mean(self.dims, keepdim=True)  # the same
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)  # (N, C, H, W)
        weight, bias = self.weight[:, None, None], self.bias[:, None, None]  # (C, 1, 1)
        return (x_hat * weight + bias).to(x.dtype)
        ### END SOLUTION


# %% tags=["check"]
check("ex10_image", ImageLayerNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Begin with the default mode and try it on the image that was worked by hand:
# `torch.tensor([[[[1.0, 7.0]], [[9.0, 15.0]]]])`. Then change which dims you pass to `mean`.
#
# </details>
# <details><summary>Hint 2: the dims</summary>
#
# The dims are N = 0, C = 1, H = 2, W = 3. The ones you pass to `mean` are those that *share* a mean.
# The mean should have shape `(N, 1, 1, 1)` by default, and `(N, 1, H, W)` per pixel. Only the
# dims differ between the modes, so `__init__` can choose them once.
#
# </details>
# <details><summary>Hint 3: the scale</summary>
#
# `weight[:, None, None]` or `weight.view(-1, 1, 1)` gives a tensor of C numbers the shape
# `(C, 1, 1)`, which lines up with `(N, C, H, W)`.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# # in __init__
# self.dims = ...                          # one dim per pixel, three by default
# self.weight = ...                        # a parameter of C ones; self.bias: of C zeros
#
# # in forward
# wide = ...                               # x, or x in float32
# mean = wide.mean(self.dims, keepdim=True)
# var = ...                                # dividing by the number of entries
# x_hat = ...
# weight, bias = ...                       # of shape (C, 1, 1)
# return (...).to(x.dtype)
# ```
#
# </details>
#
# ## Task 2: `TextLayerNorm`
#
# Sentences differ in length, and a batch is a box. So short ones are filled up, and a *mask* of shape
# `(N, T)` says which tokens are real: `True`, or 1. What stands at the other positions has no
# meaning. It may be zeros, the vector of a padding token, or what an earlier layer has made of it, up
# to inf and NaN.
#
# By default each token is normalised over its features, as in every Transformer. With
# `per_sequence=True` all features of all real tokens of a sequence share one mean and one variance.
# By hand, for tokens $(1, 3)$ and $(5, 7)$, and a padded position that holds $(9, 9)$:
#
# | | mean | variance | token 1 | token 2 | padding |
# |---|---|---|---|---|---|
# | per token | 2 and 6 | 1 and 1 | (−1, 1) | (−1, 1) | (0, 0) |
# | per sequence | 16 / 4 = 4 | 20 / 4 = 5 | (−1.34, −0.45) | (0.45, 1.34) | (0, 0) |
#
# What trips people up:
#
# - **Padding is out of everything.** Out of the mean, out of the squared deviations, and out of the
#   count that both are divided by. And it comes out as 0, not as the shift.
# - **0 times NaN is NaN.** A product does not clear what it multiplies.
# - **A sequence may be all padding.** A batch of fixed size at the end of a data set has such rows. How
#   many numbers do you divide by? A NaN that you hide at the end still ruins the gradients.
# - **The mask may hold ints.** Most tokenizers give 1 and 0. And `~` of the int 1 is −2.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        self.dims = (1, 2) if per_sequence else 2
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        ### END SOLUTION

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
        ### BEGIN SOLUTION
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
        ### END SOLUTION


# %% tags=["check"]
check("ex10_text", TextLayerNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Begin without a mask: this is exercise 3 with an int. Then clear the padded positions of the output.
# Only then turn to `per_sequence=True`, where the mask has to reach the statistics. With a mask of ones
# everything should come out as it does without a mask.
#
# </details>
# <details><summary>Hint 2: one mask that fits x</summary>
#
# `mask.bool()` takes care of ints. `[:, :, None]` gives it a third dim, and `.expand(x.shape)` the
# shape of x. Without a mask, let it be a mask of ones; then one way serves both. And
# `torch.where(real, x, 0)` is x where the mask is true and 0 elsewhere, whatever x holds there.
#
# </details>
# <details><summary>Hint 3: the mean of what is real</summary>
#
# Once the padded positions are 0, the sum over all is the sum over what is real. The sum of the
# expanded mask is the count. After you subtract the mean, the padded positions are no longer 0.
# `count.clamp(min=1)` is at least 1.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# real = ...                                        # bools, of shape (N, T, D)
# wide = ...                                        # x, or x in float32
# wide = torch.where(real, wide, 0)
# count = ...                                       # how many are real; at least 1
# mean = wide.sum(self.dims, keepdim=True) / count
# centred = ...                                     # wide - mean; 0 at padded positions
# var = ...
# y = ...                                           # normalised, scaled, shifted
# return torch.where(real, y, 0).to(x.dtype)
# ```
#
# Per token this divides by D at real positions, and by 1 at padded ones, where all is 0 anyway.
#
# </details>
#
# ## Task 3: `TimeSeriesLayerNorm`
#
# A time series of shape `(N, T, F)` has F features, measured at T steps. By default each step is
# normalised over its features. With `over_time=True` each feature of each series is normalised over
# its steps. This is instance norm, with time in the place of H and W. In both modes each feature has
# its own scale and shift.
#
# What trips people up:
#
# - **Features are last here,** and were dim 1 in images. PyTorch's own `nn.InstanceNorm1d` and
#   `nn.Conv1d` expect `(N, F, T)`.
# - **Any length.** A module sees series of 50 steps, then of 7, then of 1.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        self.dim = 1 if over_time else 2
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dim, keepdim=True)  # (N, T, 1), or (N, 1, F) over time
        var = (wide - mean).square().mean(self.dim, keepdim=True)  # the same
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)  # (N, T, F)
        return (x_hat * self.weight + self.bias).to(x.dtype)
        ### END SOLUTION


# %% tags=["check"]
check("ex10_time_series", TimeSeriesLayerNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# By default this is layer norm over the last dim. The mean should have shape `(N, T, 1)`.
#
# </details>
# <details><summary>Hint 2: over time</summary>
#
# The mean should have shape `(N, 1, F)`. The scale, of shape `(F,)`, lines up with the features in both
# modes: leave it as it is.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# # in __init__
# self.dim = ...                           # 1 or 2
#
# # in forward
# mean = wide.mean(self.dim, keepdim=True)
# var = ...
# x_hat = ...
# return (...).to(x.dtype)
# ```
#
# </details>
#
# If a case fails and you want to hold it in your hands, `check.last_failure()` gives you its inputs,
# your outputs and the expected ones as arrays.
#
# ## See it
#
# First a test that you can make on your own. Each of your modes is some layer of PyTorch, once the
# dims are in the right order. Do you see why, for each line?


# %% tags=["show"]
def same(one, other):
    """Whether two outputs agree to 0.00001."""
    return torch.allclose(one, other, atol=1e-5)


random = torch.Generator().manual_seed(0)
images = torch.randn(3, 4, 6, 5, generator=random)
series = torch.randn(3, 7, 4, generator=random)  # or sentences of 7 tokens

with waits_for(ImageLayerNorm):
    print("image:       ", same(ImageLayerNorm(4)(images), nn.GroupNorm(1, 4)(images)))
    theirs = nn.LayerNorm(4)(images.movedim(1, -1)).movedim(-1, 1)
    print("per pixel:   ", same(ImageLayerNorm(4, per_pixel=True)(images), theirs))
with waits_for(TextLayerNorm):
    print("per token:   ", same(TextLayerNorm(4)(series), nn.LayerNorm(4)(series)))
    theirs = nn.GroupNorm(1, 4)(series.mT).mT
    print("per sequence:", same(TextLayerNorm(4, per_sequence=True)(series), theirs))
with waits_for(TimeSeriesLayerNorm):
    print("per step:    ", same(TimeSeriesLayerNorm(4)(series), nn.LayerNorm(4)(series)))
    theirs = nn.InstanceNorm1d(4)(series.mT).mT
    print("over time:   ", same(TimeSeriesLayerNorm(4, over_time=True)(series), theirs))

# %% [markdown]
# **Images.** Three photographs in one batch; the second is the first with a quarter of its contrast,
# and darker. Which columns still tell the two apart? Which lose the warm light on the flower? And why
# is the last column so garish?

# %% tags=["show"]
photographs_normalised(ImageLayerNorm)

# %% [markdown]
# Batch norm alone keeps the faint photograph faint: it compares it with the others. Instance norm
# brings the four channels to one level, so the flower loses its orange and the leaves turn reddish.
# Layer norm keeps the colours, because all channels of a photograph are moved and stretched alike.
# Group norm lies between. Per pixel, light and dark are gone, and all that is left is hue: where a
# pixel was nearly grey, a tiny difference between its channels is stretched to full size.
#
# **Text.** Twelve words of a real sentence, each with a random vector of its own, and more and more
# padding behind them. The truth is what comes out without padding. The mask does nothing for the real
# tokens in the default mode. Why?

# %% tags=["show"]
padding_leaks(TextLayerNorm)

# %% [markdown]
# Per token, nothing can leak: no token shares a mean with another. Per sequence, zeros do harm at
# once, since they are far from what embeddings look like; here these have a mean of 0.5 and a standard
# deviation of 1. The vector of a padding token looks like any other word, and does less harm. That is
# the more treacherous case: a model trains well with it, and gives a sentence another meaning in
# another batch.
#
# **Time series.** The share prices of four companies at the start of each month. What can you read off
# the middle panel, and what off the right one, that the others do not show?

# %% tags=["show"]
series_both_ways(TimeSeriesLayerNorm)

# %% [markdown]
# Per step you see which share was the dearest at the time, and no longer whether prices rose: four
# numbers with mean 0 know nothing of the level. Over time you see the course of each share, and no
# longer which was worth more. Neither is the right one. The question is what the task may not lose.
#
# ## What the papers found
#
# **Which numbers share a mean.** Wu & He (2018), *Group Normalization*
# ([arXiv:1803.08494](https://arxiv.org/abs/1803.08494)), draw batch, layer, instance and group norm
# side by side in their Figure 2. The first figure of this notebook is that picture, with the pixels
# counted one by one. Their layer norm is your default mode. The one of ConvNeXt is your second mode,
# and their figure does not have it. So ask which is meant when someone says "layer norm" of an image.
#
# **Contrast.** Ulyanov, Vedaldi & Lempitsky (2016), *Instance Normalization: The Missing Ingredient for
# Fast Stylization* ([arXiv:1607.08022](https://arxiv.org/abs/1607.08022)), argue that a stylised image
# should not depend on the contrast of the photograph it was made from, and that batch norm in a
# generator lets it depend on it. Below, the temple loses its contrast step by step.

# %% tags=["show"]
contrast_removed(ImageLayerNorm)

# %% [markdown]
# The claim holds, for instance norm and for your layer norm alike, down to a contrast of about 1/16.
# There the variance of the photograph comes near `eps`, which is 1e-5, and from then on faint means
# faint again. Honest words: this shows the argument of the paper and not its result, which is that
# stylised images look better. Where two methods do the same here, they differ in what happens to
# colours, as you saw above.
#
# **Levels that move.** Kim et al. (2022), *Reversible Instance Normalization for Accurate Time-Series
# Forecasting against Distribution Shift* (ICLR 2022), normalise each window of a series over time, let
# a model forecast, and then return the window's own level and spread to the forecast. They report
# that this makes forecasts more accurate for several models. Here is the smallest form of it: a linear
# forecast of the next 12 months from the last 36, fitted on the years to 2006, and tried on the years
# after that, in which some prices reached levels never seen before.

# %% tags=["show"]
forecast_with_level_returned(TimeSeriesLayerNorm)

# %% [markdown]
# For all six series the error falls, and by more than half for NASDAQ and MSFT. Look at the grey
# bars before you believe in the forecast, though. To say that the price will stay as it is takes no
# model, and it is as good or better for four of the six. The paper's models and data are other ones,
# and much larger. What carries over is why it helps: a model fitted on one level is not asked about
# another.
#
# ## Reflect
#
# **1.** A library writes its layer norm for images as `nn.LayerNorm(x.shape[1:])`, made when the first
# batch comes. Its outputs equal yours at the start of training. What is different?
#
# <details><summary>Answer</summary>
#
# The statistics are the same. But it has a scale and a shift for each of the C·H·W places, where
# yours has them for each of the C channels. They cannot be used for an image of another size. They
# also treat the same thing differently in the middle and at the edge, which a convolution takes care
# not to do. And parameters that are made in `forward` are unknown to an optimizer made before.
#
# </details>
#
# **2.** You normalise windows of 100 steps with `over_time=True`. At each step of a window a network is
# to predict the next one. Its error is wonderful, until it is put to work. Why?
#
# <details><summary>Answer</summary>
#
# The mean and the variance of a window are made of all its steps, so each normalised step knows
# something of the later ones: whether prices will go up, for one. At work there are no later steps
# yet. Per step nothing of that kind happens. Over time, use statistics of the past alone, or predict
# only what comes after the window, as in the last figure.
#
# </details>
#
# **3.** What does `ImageLayerNorm(1, per_pixel=True)` make of a grey image? And with two channels, what
# is left of them?
#
# <details><summary>Answer</summary>
#
# With one channel each number is its own mean, so everything comes out as the shift: the image is
# gone. With two channels the deviations are $d$ and $-d$, and the standard deviation is $|d|$. So all
# that is left is −1 and 1: which of the two is larger, and nothing of by how much. ConvNeXt has 96
# channels and more where it normalises.
#
# </details>
#
# **Next.** You have done all ten exercises. The challenges go further, beginning with one norm for any
# set of dims.
