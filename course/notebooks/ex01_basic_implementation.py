# %% [markdown]
# # Exercise 1: Basic implementation
#
# A Transformer like BERT or GPT-2 calls layer normalization dozens of times for each word it reads.
# It is four lines of NumPy, and most people's first version has a mistake in it that no error
# message shows. By the end of this notebook you can
#
# - compute layer normalization by hand and with NumPy, for arrays of any rank,
# - say which numbers share a mean, and why it is not the batch,
# - tell what `eps`, `gamma` and `beta` do, and what no longer matters after normalising.
#
# **25 minutes · easy · 10 points.** You need NumPy's `mean`, `var` and broadcasting.

# %%
import numpy as np

from course import check
from course.student.figures.rows import batch_before_and_after, row_explorer, shared_statistics
from course.student.prediction import Prediction
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# A row $x$ holds the $D$ features of one sample. Layer normalization moves the row so that its mean
# is 0, stretches it so that its standard deviation is 1, and then lets the network choose a scale
# $\gamma$ and a shift $\beta$ for each feature (Ba, Kiros and Hinton 2016,
# [arXiv:1607.06450](https://arxiv.org/abs/1607.06450)):
#
# $$
# \mu = \frac{1}{D} \sum_{i=1}^{D} x_i \qquad
# \sigma^2 = \frac{1}{D} \sum_{i=1}^{D} (x_i - \mu)^2 \qquad
# \hat{x}_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}} \qquad
# y_i = \gamma_i \, \hat{x}_i + \beta_i
# $$
#
# The small $\varepsilon$ (`eps`) keeps a constant row from becoming 0 / 0.
#
# **By hand.** Take the row $x = (2, 4, 6, 8)$, with $\varepsilon$ so small that we may leave it out.
#
# | step | | | | | |
# |---|---|---|---|---|---|
# | $x$ | 2 | 4 | 6 | 8 | $\mu = 20 / 4 = 5$ |
# | $x - \mu$ | −3 | −1 | 1 | 3 | |
# | $(x - \mu)^2$ | 9 | 1 | 1 | 9 | $\sigma^2 = 20 / 4 = 5$ |
# | $\hat{x} = (x - \mu) / \sqrt{5}$ | −1.34 | −0.45 | 0.45 | 1.34 | |
#
# With $\gamma = (1, 1, 1, 2)$ and $\beta = (0, 0, 0, 1)$ only the last value changes:
# $2 \cdot 1.34 + 1 = 3.68$.
#
# The one thing to hold on to is *which numbers share a mean*. Below, equal numbers share one.

# %% tags=["show"]
shared_statistics()

# %% [markdown]
# ## Predict
#
# You normalise the row $(2, 4, 6, 8)$ and then the row $(1002, 1004, 1006, 1008)$. How do the two
# results compare? Choose before you read on. Nobody grades it, and you can change it.

# %% tags=["show"]
prediction = Prediction(
    "ex01_basic_implementation", "They are the same", "1000 larger", "1000 times larger"
)
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# The same. The mean grows by 1000 too, so the deviations $x - \mu$ do not change, and nothing after
# the first step ever sees anything else. The explorer below lets you try it, and the scale as well.
#
# </details>
#
# ## Task: `layer_norm`
#
# Write the four steps. Two things trip people up.
#
# - **The axis.** The statistics are over the *last* axis, however many axes come before it.
# - **The shape of the mean.** For x of shape `(batch, features)` a plain `x.mean(axis=-1)` has shape
#   `(batch,)`. NumPy lines shapes up from the right, so `x - mean` would pair the batch with the
#   features: an error if you are lucky, wrong numbers if batch and features happen to be equal.
#
# Use NumPy's `mean`, `var` and whatever else it has, but no ready-made normalisation: a function that
# calls PyTorch's `layer_norm`, scikit-learn's `scale` or the like earns no points.


# %% tags=["solution"]
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
    ### BEGIN SOLUTION
    mean = x.mean(axis=-1, keepdims=True)  # (..., 1)
    var = x.var(axis=-1, keepdims=True)  # (..., 1)
    x_hat = (x - mean) / np.sqrt(var + eps)  # (..., features)
    return gamma * x_hat + beta
    ### END SOLUTION


# %% tags=["check"]
check("ex01_layer_norm", layer_norm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Try your function on `np.array([[2.0, 4.0, 6.0, 8.0]])` and print every step. The table above has
# the numbers you should see.
#
# </details>
# <details><summary>Hint 2: the shape of the mean</summary>
#
# `keepdims=True` leaves an axis of length 1 where the mean was taken: `(batch, 1)`. An axis of
# length 1 stretches to any length, so `x - mean` subtracts from each row its own mean.
#
# </details>
# <details><summary>Hint 3: the variance</summary>
#
# `np.var` divides by D, as the formula does, and takes the same `axis` and `keepdims`. Inside the
# square root stands `var + eps`.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# mean = x.mean(axis=-1, keepdims=True)
# var = ...                       # the same with x.var
# normalized = (x - mean) / ...   # the square root of var + eps
# return ...                      # gamma times this, plus beta
# ```
#
# </details>
#
# If a case fails and you want to hold it in your hands, `case = check.last_failure()` gives it to you:
# `case.inputs["x"]` is what your function was called with, `case.outputs["output"]` what it returned,
# and `case.expected["output"]` what was expected.
#
# ## See it
#
# A batch of six samples whose rows differ in level and spread, before and after *your* function.
# Look along a row, then down a column: which of them has mean 0 now?

# %% tags=["show"]
batch_before_and_after(layer_norm)

# %% [markdown]
# One row of 512 features, as a histogram. Move `offset`: nothing happens on the right. Move `scale`
# to a negative value: the shape turns over, and its width stays. Let `log10 eps` grow past the
# variance: now the result shrinks. `gamma` and `beta` alone decide where the row ends up.

# %% tags=["show"]
row_explorer(layer_norm)

# %% [markdown]
# And your prediction from the beginning, beside what your function makes of the two rows.

# %% tags=["show"]
with waits_for(layer_norm):
    row = np.array([[2.0, 4.0, 6.0, 8.0]])
    print("   2,    4, ... become", layer_norm(row, np.ones(4), np.zeros(4)).round(4))
    print("1002, 1004, ... become", layer_norm(row + 1000, np.ones(4), np.zeros(4)).round(4))
prediction.beside("They are the same")

# %% [markdown]
# ## What must hold
#
# The formula promises four things. Each is one line, and each fails for some wrong version of the
# function. The largest violation is printed; in float64 expect about 1e-13 or less.


# %% tags=["show"]
def identities(norm):
    """The largest violation of four identities of layer normalization."""
    rng = np.random.default_rng(0)
    x, eps, a = rng.normal(2, 3, size=(5, 8)), 0.3, -7.0
    gamma, beta = rng.normal(size=8), rng.normal(size=8)
    one, zero = np.ones(8), np.zeros(8)
    var = x.var(axis=1)
    x_hat = norm(x, one, zero, eps)
    return {
        "adding a constant to a row changes nothing": norm(x + 100, gamma, beta, eps)
        - norm(x, gamma, beta, eps),
        "scaling a row by a leaves only the sign of a, if eps is scaled by a**2": norm(
            a * x, one, zero, a**2 * eps
        )
        - np.sign(a) * x_hat,
        "a constant row becomes beta": norm(np.full((1, 8), 4.0), gamma, beta, eps) - beta,
        "the squared length of x_hat is D var / (var + eps)": (x_hat**2).sum(axis=1)
        - 8 * var / (var + eps),
    }


with waits_for(layer_norm):
    for identity, violation in identities(layer_norm).items():
        size = np.abs(violation).max()
        print(f"{'holds' if size < 1e-10 else f'off by {size:.2g}':>14}  {identity}")

# %% [markdown]
# ## What the paper found
#
# Table 1 of Ba, Kiros and Hinton (2016) lists what a normalised layer $y = \mathrm{norm}(xW)$ does
# not notice. We can fill in what it says of two norms with your function: layer norm, and batch
# norm, which is your function applied to the transposed array. A change that leaves every output within
# 0.001 counts as invisible.


# %% tags=["show"]
def invariance_table(norm):
    """What Table 1 of Ba, Kiros and Hinton (2016) says of two norms, by experiment."""
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(64, 10)), rng.normal(size=(10, 16))

    def layer(h):
        return norm(h, np.ones(h.shape[1]), np.zeros(h.shape[1]))

    def batch(h):
        return layer(h.T).T

    one_unit, one_case = np.ones(16), np.ones((64, 1))
    one_unit[3], one_case[5] = 5, 5
    changes = {
        "weight matrix re-scaled": (x, 3 * w),
        "weight matrix re-centred": (x, w + rng.normal(size=(10, 1))),
        "one weight vector re-scaled": (x, w * one_unit),
        "dataset re-scaled": (3 * x, w),
        "dataset re-centred": (x + rng.normal(size=10), w),
        "one training case re-scaled": (x * one_case, w),
    }
    for name, (new_x, new_w) in changes.items():
        differences = [np.abs(f(new_x @ new_w) - f(x @ w)).max() for f in (batch, layer)]
        verdicts = ["no change" if d < 1e-3 else "changes" for d in differences]
        print(f"{name:28} batch norm: {verdicts[0]:10} layer norm: {verdicts[1]}")


with waits_for(layer_norm):
    invariance_table(layer_norm)

# %% [markdown]
# All twelve entries agree with the paper's table. At this size there is nothing to average over: the
# invariances are exact up to `eps`, which is why 0.001 and not 0 is the bound. The last line is the
# one that matters most in practice: a single loud example does not disturb a layer-normalised
# network, and its batch plays no part.
#
# ## Reflect
#
# **1.** A lecture says: "LN(x) = LN(ax) for any a ≠ 0." Spot the bug; there are two.
#
# <details><summary>Answer</summary>
#
# A negative a flips the sign: LN(ax) = sign(a) LN(x). And even that holds exactly only as eps → 0:
# with eps fixed, a row scaled down far enough has a variance below eps, and comes out small.
#
# </details>
#
# **2.** A textbook says: "the offset and the scale are scalars". What would be lost?
#
# <details><summary>Answer</summary>
#
# `gamma` and `beta` have one entry a feature. With scalars every feature would leave the layer with
# the same scale and shift, and the network could no longer turn a feature down or give it a bias.
#
# </details>
#
# **3.** Your network has a single feature in some layer, D = 1. What does layer norm make of it?
#
# <details><summary>Answer</summary>
#
# Always beta: one number is its own mean. The layer passes on nothing about its input.
#
# </details>
#
# **Next.** [Exercise 2](../ex02_forward_backward/ex02_forward_backward.ipynb) runs the four steps
# backwards, to learn how the gradient flows through a mean and a variance.
