# %% [markdown]
# # Exercise 3: PyTorch implementation
#
# A layer that other people can build on does more than compute: it learns, it can be saved, it
# follows the model to another device and to another precision. PyTorch gives you nearly all of
# that, if you hand it the right objects, and says nothing if you do not. By the end of this
# notebook you can
#
# - write a layer with learnable parameters that any optimizer, `state_dict` and `.to()` finds,
# - normalise over any number of last dims, as `normalized_shape` asks,
# - say which steps half precision ruins, and keep them out of it,
# - test a layer: its gradients, its second gradients, and its agreement with PyTorch's own.
#
# **30 minutes · medium · 10 points.** You need exercise 1, PyTorch tensors, and to have seen a
# class that inherits from `nn.Module`.

# %%
import torch
from torch import nn

from course import check
from course.student.figures.norm_module import (
    error_against_offset,
    shared_over_dims,
    summed_in_half,
)
from course.student.prediction import Prediction
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# The formula is the one of exercise 1. New is *over what* the mean and the variance are taken.
# In exercise 1 it was always the last axis. PyTorch lets you give the lengths of the last one, two
# or more dims as `normalized_shape`; the $D$ numbers in a block of that shape share one mean and
# one variance, and each of the $D$ places in the block has its own scale $w_i$ and shift $b_i$:
#
# $$
# \mu = \frac{1}{D} \sum_{i=1}^{D} x_i \qquad
# \sigma^2 = \frac{1}{D} \sum_{i=1}^{D} (x_i - \mu)^2 \qquad
# y_i = w_i \, \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b_i
# $$
#
# **By hand.** Take one sample with two rows, $(1, 3)$ and $(5, 7)$. Leave out $\varepsilon$, and let
# $w = 1$ and $b = 0$.
#
# | `normalized_shape` | what shares a mean | $\mu$ | $\sigma^2$ | result |
# |---|---|---|---|---|
# | `(2, 2)` | all four numbers | 4 | (9 + 1 + 1 + 9) / 4 = 5 | (−1.34, −0.45) and (0.45, 1.34) |
# | `2` or `(2,)` | each row by itself | 2 and 6 | 1 and 1 | (−1, 1) and (−1, 1) |
#
# In the first line you still see that the second row was the larger one. In the second line that is
# gone. Below, the same for a small batch of images. Equal numbers share a mean.

# %% tags=["show"]
shared_over_dims()

# %% [markdown]
# `normalized_shape` always names the *last* dims. So it cannot ask for the channels of an
# `(N, C, H, W)` array alone; for that you would move the channels to the end.
#
# ### What `nn.Parameter` is for
#
# A module finds out by itself what it has to learn, save and move. It goes by the type of its
# attributes. Here is a module with two, which differ in nothing else.


# %% tags=["show"]
class TwoTensors(nn.Module):
    def __init__(self):
        super().__init__()
        self.plain = torch.ones(3)
        self.learned = nn.Parameter(torch.ones(3))


module = TwoTensors().to(torch.float64)
print("an optimizer gets:  ", [name for name, _ in module.named_parameters()])
print("a state_dict holds: ", list(module.state_dict()))
print("after .to(float64):  plain is", module.plain.dtype, "and learned is", module.learned.dtype)

# %% [markdown]
# ## Predict
#
# A row in float16 holds values around 300 and as many around −300. Its mean is 0, so its deviations
# are about 300 in size, and the variance needs their squares. What does float16 give for 300 times
# 300? And what becomes of a row that is divided by the square root of that?

# %% tags=["show"]
prediction = Prediction(
    "ex03_pytorch_module", "90000", "65504, its largest number", "inf", "an error"
)
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# `inf`, without an error or a warning. The mean of such squares is infinite too, and so is its root.
# A deviation divided by infinity is 0, so every entry of the row comes out as its shift: the layer
# has forgotten its input, and no NaN gives it away.
#
# </details>

# %% tags=["show"]
row = torch.tensor([310.0, 290.0, -290.0, -310.0], dtype=torch.float16)
deviations = row - row.mean()
squares = deviations**2
print("mean of the row:       ", row.mean().item())
print("squared deviations:    ", squares.tolist())
print("first entry normalised:", (deviations / squares.mean().sqrt())[0].item())
prediction.beside(str(squares[1].item()))

# %% [markdown]
# bfloat16, the other half precision, reaches as far as float32 but keeps only two or three digits:
# near 300 it has nothing between 300 and 302.
#
# ## Task: `CustomLayerNorm`
#
# Write the module. PyTorch's own normalisations (`nn.LayerNorm`, `F.layer_norm`,
# `torch.layer_norm`, and those of batches, groups, instances and RMS) may not be used: a module that
# calls one earns no points. `torch.mean`, `torch.var` and all other tensor operations may be used.
#
# Four things trip people up.
#
# - **The forms of `normalized_shape`.** It may be an int, a tuple, a list or a `torch.Size`.
# - **The variance.** `torch.var` and `torch.std` divide by D − 1 unless you tell them otherwise. The
#   formula divides by D.
# - **Half precision.** float16 and bfloat16 input is to be normalised in float32, which is the remedy
#   for both troubles. float64 input is not: it would lose digits. The result has the dtype of x.
# - **Autograd.** It follows every tensor operation. `.data`, `.detach()`, `.item()`, `.numpy()` and
#   `torch.no_grad()` hide a step from it, and the numbers that come out look as right as before.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape))
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape), 0))
        mean = wide.mean(dims, keepdim=True)  # (*, 1, ..., 1)
        var = (wide - mean).square().mean(dims, keepdim=True)  # (*, 1, ..., 1)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)  # (*, *normalized_shape)
        return (x_hat * self.weight + self.bias).to(x.dtype)
        ### END SOLUTION


# %% tags=["check"]
check("ex03_custom_layer_norm", CustomLayerNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Begin with an int, float32 and dim −1, and leave the rest for later. Try it on
# `torch.tensor([[1.0, 3.0], [5.0, 7.0]])`: the second line of the table above has the result. The
# report card then says what to do next.
#
# </details>
# <details><summary>Hint 2: the parameters</summary>
#
# `torch.ones` and `torch.zeros` take an int as well as a tuple. What makes a tensor learnable is the
# wrapper around it, as in `TwoTensors` above.
#
# </details>
# <details><summary>Hint 3: the dims</summary>
#
# `mean` takes a tuple of dims: for a `normalized_shape` of two it is `(-2, -1)`. Which call of `range`
# gives −2, −1, and which −3, −2, −1? `keepdim=True` (PyTorch has no s at the end) leaves lengths of 1
# in their place.
#
# </details>
# <details><summary>Hint 4: half precision</summary>
#
# `x.dtype in (torch.float16, torch.bfloat16)` tells whether x is in half precision, `x.float()` is x
# in float32, and `.to(x.dtype)` goes back. Remember x itself for the way back.
#
# </details>
# <details><summary>Hint 5: nearly there</summary>
#
# ```python
# # in __init__
# self.weight = ...                    # a parameter of ones; self.bias: one of zeros
#
# # in forward
# wide = ...                           # x, or x in float32
# dims = ...                           # a tuple of negative ints
# mean = wide.mean(dims, keepdim=True)
# var = ...                            # dividing by D
# normalized = (wide - mean) / ...     # the square root of var + eps
# return (...).to(x.dtype)             # normalized times the scale, plus the shift
# ```
#
# </details>
#
# If a case fails and you want to hold it in your hands, `check.last_failure()` gives you its inputs,
# your outputs and the expected ones as arrays.
#
# ## See it
#
# Rows with a spread of 4 get a larger and larger offset, are stored in one of three dtypes, and then
# normalised twice: by your module, and with every step in the dtype of x. The truth is computed in
# float64 from the stored row. Where do the two lines part, and why not in float32?

# %% tags=["show"]
error_against_offset(CustomLayerNorm)

# %% [markdown]
# In the first two panels the blue line stays flat: all that is left of its error is the rounding of
# the result, which no care can avoid. The orange line starts a little higher, for it rounds at every
# step, and then rises: the mean falls between two numbers of the row's own dtype, and rounded to one
# of them it shifts the whole row. In the last panel both lines are the same computation. It rises
# too, at errors that do no harm yet: exercise 1 went on to an offset of 10,000.
#
# ### A layer like any other
#
# Weights move between your module and PyTorch's, because a `state_dict` goes by names and shapes.


# %% tags=["show"]
def there_and_back(layer):
    """Move random weights from nn.LayerNorm to a layer of shape (2, 3), and back."""
    random = torch.Generator().manual_seed(0)
    theirs = nn.LayerNorm((2, 3))
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, generator=random)
    x = torch.randn(5, 2, 3, generator=random)
    print("into yours:", layer.load_state_dict(theirs.state_dict(), strict=False))
    print("same output:", torch.allclose(layer(x), theirs(x), atol=1e-5))
    again = nn.LayerNorm((2, 3))
    print("and back:", again.load_state_dict(layer.state_dict(), strict=False))
    print("same output:", torch.allclose(again(x), theirs(x), atol=1e-5))


with waits_for(CustomLayerNorm):
    there_and_back(CustomLayerNorm((2, 3)))

# %% [markdown]
# `torch.autograd.gradcheck` holds a gradient against finite differences, in float64 and for every
# input you hand it; here x and both parameters. `gradgradcheck` does so for the gradient of the
# gradient, which some optimizers and penalties need. Each prints True or False here.


# %% tags=["show"]
def gradients_are_right(layer):
    """Check first and second gradients with respect to x and the parameters."""
    random = torch.Generator().manual_seed(1)
    parameters = dict(layer.double().named_parameters())
    x = torch.randn(4, 2, 3, generator=random, dtype=torch.float64, requires_grad=True)

    def function(x, *values):
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x,))

    inputs = (x, *parameters.values())
    print("gradcheck:    ", torch.autograd.gradcheck(function, inputs, raise_exception=False))
    print("gradgradcheck:", torch.autograd.gradgradcheck(function, inputs, raise_exception=False))


with waits_for(CustomLayerNorm):
    gradients_are_right(CustomLayerNorm((2, 3), eps=0.1))

# %% [markdown]
# Last, the use of it: a small network that learns a curved function, once with your layer and once
# with PyTorch's. Same start, same data. Should the two losses differ after 200 steps?


# %% tags=["show"]
def train(norm, steps=200):
    """Train a small network that contains a norm layer of 16 features; return its losses."""
    random = torch.Generator().manual_seed(2)
    x = torch.randn(64, 4, generator=random, dtype=torch.float64)
    target = torch.sin(x.sum(dim=1, keepdim=True))
    network = nn.Sequential(nn.Linear(4, 16), norm, nn.Tanh(), nn.Linear(16, 1)).double()
    for linear in (network[0], network[3]):
        nn.init.normal_(linear.weight, std=0.5, generator=random)
        nn.init.zeros_(linear.bias)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        loss = nn.functional.mse_loss(network(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


with waits_for(CustomLayerNorm):
    yours, theirs = train(CustomLayerNorm(16)), train(nn.LayerNorm(16))
    print(f"loss at the first step: {yours[0]:.3f} with yours, {theirs[0]:.3f} with nn.LayerNorm")
    print(f"loss at the last step:  {yours[-1]:.3f} with yours, {theirs[-1]:.3f} with nn.LayerNorm")
    furthest = max(abs(one - other) for one, other in zip(yours, theirs, strict=True))
    print("the same to 0.000001 at every step:", furthest < 1e-6)

# %% [markdown]
# ## What the papers found
#
# Micikevicius et al. (2018), *Mixed Precision Training*
# ([arXiv:1710.03740](https://arxiv.org/abs/1710.03740)), train large networks whose tensors are
# stored in float16. Section 3.3 gives one rule for normalisation layers and softmax, the one you
# have followed: read and write float16, and carry out large sums in float32. What if the sums are in
# float16 too? For the orange line below, the values of a standard normal row, and then the squares
# of its deviations, are added one after the other, with the sum rounded at every step.

# %% tags=["show"]
summed_in_half(CustomLayerNorm)

# %% [markdown]
# Between 2,048 and 4,096 float16 has only the even numbers, then only multiples of 4, and so on. A
# sum that has come so far no longer notices a square of less than half such a step, and most
# squares here are below 1. So the variance of a long row is too small, and the row comes out too
# large. No number overflows on the way.
#
# Honest words. The paper gives this rule from experience with whole networks, and has no figure of
# its own for it; the figure above is ours. The blue line does not show that your module is right: it
# would be flat for a module that never leaves float16 as well, because `x.mean()` on a float16 tensor
# adds up in float32 and rounds only the result. In PyTorch the danger is what you saw before.
#
# ## Reflect
#
# **1.** Spot the bug, or bugs, in this line from a widely read tutorial:
# `return weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + bias`.
#
# <details><summary>Answer</summary>
#
# `x.std` divides by D − 1 as it stands, and `eps` is added to the standard deviation where the
# formula adds it to the variance. With 512 features and an eps of 1e-6 neither shows, and a network
# trains well with it. It shows as soon as you load weights from a model that used the other formula,
# when rows are short, or when their spread comes near eps.
#
# </details>
#
# **2.** A lecture says: "At inference, layer norm uses the running averages from training." Is that so?
#
# <details><summary>Answer</summary>
#
# No. Batch normalization does that, because at inference there may be no batch. In layer norm each
# sample brings its own statistics, so training and inference run the same code, and the
# `state_dict` holds a weight and a bias and nothing else.
#
# </details>
#
# **3.** You wrote `self.bias = torch.zeros(normalized_shape)` and forgot `nn.Parameter`. On the CPU, in
# float32, every output is right. When, and how, would you notice?
#
# <details><summary>Answer</summary>
#
# Nothing fails in training: the shift stays at zero, and the model is a little worse than it could
# be. You notice after `.to("cuda")`, when the plain tensor stays behind and meets an x on the GPU, or
# when a `state_dict` of `nn.LayerNorm` does not load. The cheap way is to print
# `list(layer.parameters())` once.
#
# </details>
#
# **Next.** Exercise 4 puts layer norm and batch norm into the same network, and trains both on
# images with batches of 64, 8 and 2.
