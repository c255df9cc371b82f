# %% [markdown]
# # Exercise 2: Forward and backward pass
#
# A network learns from gradients. A Transformer has two layer normalizations in each of its blocks,
# and their backward passes have a part in what all the weights before them learn. A wrong one
# raises no error. The network still learns, only worse, and nobody can say why. By the end of this
# notebook you can
#
# - send a gradient backwards through a mean and a variance, with pen and paper and with NumPy,
# - say what a layer has to remember from its forward pass, and what that costs,
# - test a gradient in three ways, and name a test that lets a zero gradient through.
#
# **50 minutes · medium to hard · 15 points.** You need exercise 1 and the chain rule.

# %%
import numpy as np

from course import check
from course.student.figures.gradients import (
    cached_bytes,
    computational_graph,
    detached_statistics,
    finite_difference_error,
    step_explorer,
    three_terms,
)
from course.student.prediction import Prediction
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# The forward pass is the one of exercise 1. We give one over its square root a name, because it
# comes back: `rstd`, the *reciprocal standard deviation*. Beside each line stands the shape for an
# `x` of shape `(..., D)`, where the dots are any leading axes: a batch, a batch and a sequence, or
# none.
#
# | quantity | formula | shape |
# |---|---|---|
# | `mean` | $\mu = \frac{1}{D} \sum_i x_i$ | `(..., 1)` |
# | `var` | $\sigma^2 = \frac{1}{D} \sum_i (x_i - \mu)^2$ | `(..., 1)` |
# | `rstd` | $r = 1 / \sqrt{\sigma^2 + \varepsilon}$ | `(..., 1)` |
# | `x_hat` | $\hat{x}_i = (x_i - \mu) \, r$ | `(..., D)` |
# | `y` | $y_i = \gamma_i \, \hat{x}_i + \beta_i$ | `(..., D)` |
#
# Somewhere behind the layer stands a loss $L$. All that the layer ever learns of it is the
# *upstream gradient* `dout`, which is $\partial L / \partial y$ and has the shape of $y$. The
# backward pass turns it into the gradients of everything that went in: `dx`, `dgamma` and `dbeta`.
#
# To test a layer we need no network behind it. Draw `dout` at random, and let the loss be
# $L = \sum \texttt{dout} \cdot y$: a *fake loss*. Its gradient with respect to $y$ is `dout`, as
# wanted.
#
# In the picture, the gradient runs against the arrows. The colours mark what makes this layer
# harder than most: `x` acts on `x_hat` along three paths.

# %% tags=["show"]
computational_graph()

# %% [markdown]
# **By hand.** Take two rows with $D = 4$, leave $\varepsilon$ out, and let
# $\gamma = (1, 1, 1, 2)$ and $\beta = (0, 0, 0, 1)$.
#
# | step | | | | | |
# |---|---|---|---|---|---|
# | $x$, row 1 | 1 | 5 | 1 | 5 | $\mu = 3$, $\sigma^2 = 4$, $r = 1/2$ |
# | $\hat{x}$, row 1 | −1 | 1 | −1 | 1 | |
# | $y$, row 1 | −1 | 1 | −1 | 3 | the last is $2 \cdot 1 + 1$ |
# | $x$, row 2 | 2 | 2 | 8 | 8 | $\mu = 5$, $\sigma^2 = 9$, $r = 1/3$ |
# | $\hat{x}$, row 2 | −1 | −1 | 1 | 1 | |
# | $y$, row 2 | −1 | −1 | 1 | 3 | |
#
# Now the way back, for one parameter. Suppose that `dout` is $(3, 1, 0, 2)$ for row 1 and
# $(-1, 2, 1, 0)$ for row 2, and raise $\gamma_2$ by 0.1. In row 1, where $\hat{x}_2 = 1$, the
# output $y_2$ rises by 0.1. In row 2, where $\hat{x}_2 = -1$, it falls by 0.1. The loss weighs both
# with their `dout`, 1 and 2, and changes by $1 \cdot 0.1 - 2 \cdot 0.1 = -0.1$. So its slope is
# $-1$: this is `dgamma` for the second feature. Raise $\beta_2$ instead, and $y_2$ rises by 0.1 in
# both rows. The loss changes by $1 \cdot 0.1 + 2 \cdot 0.1 = 0.3$, so `dbeta` is 3.
#
# | gradient | feature 1 | feature 2 | feature 3 | feature 4 |
# |---|---|---|---|---|
# | `dgamma` | −2 | −1 | 1 | 2 |
# | `dbeta` | 2 | 3 | 1 | 2 |
#
# Work out the other six yourself. `dx` is harder, because `x` has three paths to take. You will
# derive it before task 3.
#
# ## Predict
#
# A friend tests a backward pass with the plainest loss there is, the sum of all outputs,
# $L = \sum y$. The layer is fresh: gamma is 1 and beta is 0. So `dout` is 1 everywhere. What is the
# right `dx`?

# %% tags=["show"]
prediction = Prediction("ex02_forward_backward", "1 everywhere", "rstd everywhere", "0 everywhere")
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# 0 everywhere. Each row of $\hat{x}$ sums to 0 whatever $x$ is, so $L$ is the same number for every
# input, and a constant has gradient 0. A backward pass that returns zeros passes this test. So does
# one that forgets gamma, `rstd`, or the path through the variance. That is why `dout` is drawn at
# random, and why gamma is uneven, in every check of this notebook.
#
# </details>
#
# ## Task 1: `forward`
#
# Write the forward pass again, this time as a method that also *remembers* what the backward pass
# will ask for. A product passes a gradient on to one factor by multiplying it with the other, so
# the factors of forward are needed once more. `x_hat` and `rstd` are enough, or anything from which
# you can make these two. The four attributes in `__init__` are a proposal: you may store other
# things under other names. Only the names `gamma` and `beta`, and the argument `eps`, are fixed.
#
# This notebook is written in NumPy. A task in which a ready-made normalisation or PyTorch's autograd
# does the work earns no points.
#
# What trips people up:
#
# - **Storing once.** Every call has to overwrite what the last one stored, or `backward` speaks
#   about an input of long ago.
# - **Storing an array, then writing into it.** `output = self.normalized` makes a second name, not
#   a copy. After `output *= self.gamma` the stored array is scaled as well.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        self.input = x
        self.mean = x.mean(axis=-1, keepdims=True)  # (..., 1)
        self.var = x.var(axis=-1, keepdims=True)  # (..., 1)
        self.normalized = (x - self.mean) / np.sqrt(self.var + self.eps)  # (..., features)
        return self.gamma * self.normalized + self.beta  # (..., features)
        ### END SOLUTION


# %% tags=["check"]
check("ex02_forward", LayerNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Your four lines of exercise 1 are nearly enough. `gamma`, `beta` and `eps` are now `self.gamma`,
# `self.beta` and `self.eps`. Try the two rows worked by hand: `LayerNorm(4, eps=0)` gives the
# numbers of the table exactly.
#
# </details>
# <details><summary>Hint 2: what to store</summary>
#
# Whatever you compute on the way, give it to `self`: `self.mean = ...`, and use `self.mean` in the
# next line. Store without an `if`.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# self.mean = x.mean(axis=-1, keepdims=True)
# self.var = ...
# self.normalized = (x - self.mean) / ...
# return ...                      # a new array: gamma times the normalised one, plus beta
# ```
#
# </details>
#
# ## Task 2: `parameter_gradients`
#
# Begin with the end of the graph, $y_i = \gamma_i \hat{x}_i + \beta_i$, and with the two rows
# worked by hand. Which outputs move when one $\gamma_i$ moves, and how far each? And when one
# $\beta_i$ moves? That is what these two lines say:
#
# $$
# \frac{\partial L}{\partial \gamma_i} = \sum_{\text{rows}} \texttt{dout}_i \, \hat{x}_i
# \qquad
# \frac{\partial L}{\partial \beta_i} = \sum_{\text{rows}} \texttt{dout}_i
# $$
#
# What trips people up:
#
# - **Which axes.** A *row* is whatever has features. How many rows are there in an array of shape
#   `(batch, seq, features)`, and how many in one of shape `(features,)`?
# - **A loss that is a mean over the batch.** Its 1/N has come in with `dout`. Where does that leave
#   your own function?
# - **Shapes.** A gradient has the shape of what it is the gradient of.


# %% tags=["solution"]
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
    ### BEGIN SOLUTION
    leading = tuple(range(dout.ndim - 1))
    dgamma = (dout * normalized).sum(axis=leading)  # (features,)
    dbeta = dout.sum(axis=leading)  # (features,)
    return dgamma, dbeta
    ### END SOLUTION


# %% tags=["check"]
check("ex02_parameter_gradients", parameter_gradients)

# %% [markdown]
# <details><summary>Hint 1: one feature, two rows</summary>
#
# Write the loss of two rows for one feature:
# $L = \texttt{dout}_1 (\gamma \hat{x}_1 + \beta) + \texttt{dout}_2 (\gamma \hat{x}_2 + \beta)$.
# Take its derivative with respect to $\gamma$, then to $\beta$, and put in the numbers worked by
# hand.
#
# </details>
# <details><summary>Hint 2: all axes but the last</summary>
#
# `np.sum` takes a tuple of axes. For an array with 3 axes you want `(0, 1)`, with 2 axes `(0,)`,
# with 1 axis `()`. Or flatten the leading axes with `reshape(-1, features)` first.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# leading = tuple(range(...))     # 0, 1, ... up to the last axis, which stays
# dgamma = (...).sum(axis=leading)
# dbeta = ...
# return dgamma, dbeta
# ```
#
# </details>
#
# ## The derivation
#
# Now to `dx`. Take pen and paper. We walk from `y` back to `x`, one box of the graph at a time, and
# ask at each the same question: *how much does the loss change when this moves a little?* Names
# begin with `d`: `dvar` is $\partial L / \partial \sigma^2$. Try each step before you unfold it.
# All of it happens within one row.
#
# **Step 1, through gamma.** From `dout`, the gradient of $y_i = \gamma_i \hat{x}_i + \beta_i$, find
# the gradient of $\hat{x}$. We call it `g`.
#
# <details><summary>Step 1</summary>
#
# $g_i = \texttt{dout}_i \, \gamma_i$, of shape `(..., D)`. Gamma differs from feature to feature.
# It has to be multiplied in *here*, before any mean over the features is taken: it cannot be
# factored out afterwards.
#
# </details>
#
# **Step 2, through the product.** With $c = x - \mu$, we have $\hat{x}_i = c_i \, r$. Both factors
# move. Find the gradient of $r$, and the part of the gradient of $c$ that comes straight from here.
#
# <details><summary>Step 2</summary>
#
# All $D$ entries of the row share one $r$, so their effects add up: $dr = \sum_i g_i \, c_i$, of
# shape `(..., 1)`. Straight to $c$ goes $g_i \, r$, of shape `(..., D)`. That is the direct path.
#
# </details>
#
# **Step 3, through the variance.** $r = (\sigma^2 + \varepsilon)^{-1/2}$ and
# $\sigma^2 = \frac{1}{D} \sum_i c_i^2$. Find `dvar`, then what it adds to the gradient of $c$.
#
# <details><summary>Step 3</summary>
#
# The power rule brings $-\frac{1}{2}$ and an exponent of $-\frac{3}{2}$:
# $d\mathrm{var} = -\frac{1}{2} r^3 \, dr$, of shape `(..., 1)`. The slope of $\sigma^2$ as $c_i$
# moves is $\frac{2}{D} c_i$. Together they add
#
# $$
# \frac{2}{D} \, c_i \cdot \Bigl( -\tfrac{1}{2} r^3 \sum_j g_j c_j \Bigr)
# = -r \cdot \underbrace{c_i \, r}_{\hat{x}_i} \cdot \frac{1}{D} \sum_j g_j \underbrace{c_j \, r}_{\hat{x}_j}
# = -r \, \hat{x}_i \, \mathrm{mean}(g \, \hat{x})
# $$
#
# The 2 and the ½ have cancelled. If only one of them is in your code, the term is twice or half
# as large as it should be.
#
# </details>
#
# **Step 4, through the mean.** $c_i = x_i - \mu$, and each $x_j$ moves $\mu$ by $\frac{1}{D}$. You
# have the gradient $dc$ of $c$, from steps 2 and 3. Find `dx`.
#
# <details><summary>Step 4</summary>
#
# Straight through goes $dc_i$. Through the mean, with a minus, goes $\frac{1}{D} \sum_j dc_j$. So
# $dx = dc - \mathrm{mean}(dc)$. Of $dc = r \, (g - \hat{x} \, \mathrm{mean}(g \hat{x}))$ the second
# part has mean 0, because $\hat{x}$ has. What is left to subtract is $r \, \mathrm{mean}(g)$.
#
# </details>
#
# **The result.** Put the steps together. Your `dx` should have three terms, one for each path, and
# all of them the same factor $r$. Write it in one line before you unfold it.
#
# <details><summary>The three-term form</summary>
#
# $$
# dx = r \, \bigl( g - \mathrm{mean}(g) - \hat{x} \cdot \mathrm{mean}(g \, \hat{x}) \bigr)
# $$
#
# | term | path | shape |
# |---|---|---|
# | $g = \texttt{dout} \cdot \gamma$ | direct | `(..., D)` |
# | $- \, \mathrm{mean}(g)$, over the last axis | through the mean | `(..., 1)` |
# | $- \, \hat{x} \cdot \mathrm{mean}(g \, \hat{x})$, over the last axis | through the variance | `(..., D)`: an array times a `(..., 1)` |
# | all of it times $r$ | | `(..., 1)` |
#
# In words: from `g`, remove what would move the whole row, and what would stretch it. The layer
# undoes both, so the loss cannot feel them.
#
# </details>
#
# **By hand.** Row 1 of the beginning had $\hat{x} = (-1, 1, -1, 1)$ and $r = 1/2$, with
# $\gamma = (1, 1, 1, 2)$. Does your line give this `dx`?
#
# | step | | | | | |
# |---|---|---|---|---|---|
# | `dout` | 3 | 1 | 0 | 2 | given |
# | $g$ | 3 | 1 | 0 | 4 | $\mathrm{mean}(g) = 8 / 4 = 2$ |
# | $g \, \hat{x}$ | −3 | 1 | 0 | 4 | $\mathrm{mean}(g \, \hat{x}) = 2 / 4 = 0.5$ |
# | the three terms | 1.5 | −1.5 | −1.5 | 1.5 | for the first entry, $3 - 2 - 0.5 \cdot (-1)$ |
# | $dx$ | 0.75 | −0.75 | −0.75 | 0.75 | half of the line above |
#
# Add up the last line: 0. Multiply it by $\hat{x}$ and add up: 0 again. Neither is an accident, and
# both will serve as tests.
#
# ## Task 3: `backward`
#
# Write the method that returns all three gradients, in this order: `dx, dgamma, dbeta`. You
# may use the three-term form, or code steps 1 to 4 one by one; both are right. You may call
# `parameter_gradients`. What trips people up:
#
# - **Two kinds of sums.** The means in `dx` run over the features, within a row. The sums in
#   `dgamma` and `dbeta` run over everything else.
# - **The same `rstd` as in forward,** with the layer's own `eps` inside the square root.
# - **Reading only.** `backward` leaves `dout` and everything stored as they are, and adds to
#   nothing. Called twice, it gives the same answer twice.
#
# The last line of the cell makes the function a method of your class. Run this cell again whenever
# you have run the cell of the class. If you would rather have both methods inside the class, write
# `backward` there and empty this cell.


# %% tags=["solution"]
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
    ### BEGIN SOLUTION
    x_hat = self.normalized  # (..., features)
    dgamma, dbeta = parameter_gradients(dout, x_hat)  # (features,)
    rstd = 1 / np.sqrt(self.var + self.eps)  # (..., 1)
    g = dout * self.gamma  # (..., features)
    mean_g = g.mean(axis=-1, keepdims=True)  # (..., 1)
    mean_g_x_hat = (g * x_hat).mean(axis=-1, keepdims=True)  # (..., 1)
    dx = rstd * (g - mean_g - x_hat * mean_g_x_hat)  # (..., features)
    return dx, dgamma, dbeta
    ### END SOLUTION


LayerNorm.backward = backward

# %% tags=["check"]
check("ex02_backward", LayerNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Feed your layer the row that was worked by hand, and print every step. `eps=0` gives the numbers
# of the table exactly.
#
# ```python
# layer = LayerNorm(4, eps=0)
# layer.gamma = np.array([1.0, 1.0, 1.0, 2.0])
# layer.forward(np.array([[1.0, 5.0, 1.0, 5.0]]))
# layer.backward(np.array([[3.0, 1.0, 0.0, 2.0]]))
# ```
#
# </details>
# <details><summary>Hint 2: a TypeError that speaks of NoneType</summary>
#
# Something that `backward` reads is still None. The attributes begin as None in `__init__`, and
# `forward` has to fill those you want to use. Print `layer.normalized`, `layer.mean` and
# `layer.var` after a forward. If you have changed `forward`, run the cell of the class again, then
# the cell of `backward`.
#
# </details>
# <details><summary>Hint 3: how many numbers is that?</summary>
#
# The mean of `g` is one number a row, and so is the mean of `g * x_hat`. Both need shape
# `(..., 1)` to be subtracted from a row, as the mean in `forward` did.
#
# </details>
# <details><summary>Hint 4: which gradient goes where</summary>
#
# Task 2 has done two of the three gradients: hand it the `dout` that came in, untouched, and what
# `forward` stored. For `dx` it is the other way round: there `dout` appears only inside `g`.
#
# </details>
# <details><summary>Hint 5: nearly there</summary>
#
# ```python
# dgamma, dbeta = parameter_gradients(..., ...)
# rstd = ...                      # (..., 1), from what forward stored
# g = ...                         # (..., features)
# mean_g = ...                    # (..., 1)
# mean_g_x_hat = ...              # (..., 1)
# dx = ... * (g - ... - ...)      # (..., features)
# ```
#
# </details>
#
# If a case fails and you want to hold it in your hands, run it yourself:
#
# ```python
# case = check.last_failure()
# layer = LayerNorm(case.inputs["x"].shape[-1], case.inputs.get("eps", 1e-5))
# layer.gamma, layer.beta = case.inputs["gamma"], case.inputs["beta"]
# y = layer.forward(case.inputs["x"])
# dx, dgamma, dbeta = layer.backward(case.inputs["dout"])
# ```
#
# Then compare with `case.expected["dx"]`, or whatever `case.expected` holds. Where the inputs have an
# `earlier_x`, `forward` was called with that first. For a case of task 1 leave the last line out.
# For one of task 2 call `parameter_gradients(case.inputs["dout"], case.inputs["normalized"])`.
#
# ## Three tests of a gradient
#
# The check above compares with an independent right answer. When you write a layer that nobody has
# written before there is none. Two tests are left, and you should know them.
#
# **Finite differences.** Move one number up by $h$, then down by $h$, and see by how much the fake
# loss changes. The slope is $(L(x + h) - L(x - h)) / 2h$. In float64, with $h = 10^{-6}$, expect an
# agreement of about 1e-9.


# %% tags=["show"]
def numerical_gradient(loss, a, h=1e-6):
    """The gradient of a loss at the array a, by central differences."""
    gradient = np.zeros_like(a)
    for index in np.ndindex(a.shape):
        step = np.zeros_like(a)
        step[index] = h
        gradient[index] = (loss(a + step) - loss(a - step)) / (2 * h)
    return gradient


def gradient_check(layer_class):
    """The largest difference between backward and finite differences, for dx, dgamma, dbeta."""
    rng = np.random.default_rng(0)
    x, dout = rng.normal(1, 2, size=(2, 3, 5)), rng.normal(size=(2, 3, 5))
    gamma, beta = rng.normal(size=5), rng.normal(size=5)

    def fake_loss(x, gamma, beta):
        layer = layer_class(5)
        layer.gamma, layer.beta = gamma, beta
        return (dout * layer.forward(x)).sum()

    layer = layer_class(5)
    layer.gamma, layer.beta = gamma, beta
    layer.forward(x)
    dx, dgamma, dbeta = layer.backward(dout)
    return {
        "dx": dx - numerical_gradient(lambda a: fake_loss(a, gamma, beta), x),
        "dgamma": dgamma - numerical_gradient(lambda a: fake_loss(x, a, beta), gamma),
        "dbeta": dbeta - numerical_gradient(lambda a: fake_loss(x, gamma, a), beta),
    }


with waits_for(LayerNorm):
    for name, difference in gradient_check(LayerNorm).items():
        size = np.abs(difference).max()
        print(f"{name:7} {'agrees' if size < 1e-7 else f'differs by up to {size:.2g}'}")

# %% [markdown]
# Mind what this test cannot see: it compares `backward` with *your own* `forward`. A layer that
# computes the wrong thing, and differentiates this wrong thing rightly, passes.
#
# **Identities.** These hold exactly, so in float64 expect a violation of 1e-13 or less. With
# $s = \sqrt{\sigma^2 + \varepsilon}$:
#
# - $\sum_i dx_i = 0$, because adding a constant to a row changes nothing.
# - $dx \cdot \hat{x} = \frac{g \cdot \hat{x}}{s} \cdot \frac{\varepsilon}{\sigma^2 + \varepsilon}$,
#   which for a small $\varepsilon$ is next to nothing: stretching a row changes nothing but the
#   weight of $\varepsilon$.
#
# The last two lines are your friend's test from the beginning, with a plain sum for a loss: once
# while gamma is 1 everywhere, and once with an uneven gamma.


# %% tags=["show"]
def identities(layer_class):
    """The largest violation of three statements about dx, then dx for a sum with uneven gamma."""
    rng = np.random.default_rng(1)
    x, dout = rng.normal(1, 2, size=(6, 5)), rng.normal(size=(6, 5))
    eps = 0.3
    layer = layer_class(5, eps)
    layer.gamma = rng.normal(size=5)
    layer.forward(x)
    dx = layer.backward(dout)[0]
    var = x.var(axis=1)
    s = np.sqrt(var + eps)
    x_hat = (x - x.mean(axis=1, keepdims=True)) / s[:, None]
    g = dout * layer.gamma

    plain_sum = np.ones_like(x)
    uneven = layer.backward(plain_sum)[0]
    fresh = layer_class(5)
    fresh.forward(x)
    return {
        "dx sums to 0 over the features": dx.sum(axis=1),
        "dx . x_hat is (g . x_hat) / s times eps / (var + eps)": (dx * x_hat).sum(axis=1)
        - (g * x_hat).sum(axis=1) / s * eps / (var + eps),
        "for a plain sum of the outputs dx is 0, while gamma is 1": fresh.backward(plain_sum)[0],
    }, uneven


with waits_for(LayerNorm):
    violations, uneven = identities(LayerNorm)
    for identity, violation in violations.items():
        size = np.abs(violation).max()
        print(f"{'holds' if size < 1e-12 else f'off by {size:.2g}':>14}  {identity}")
    size = np.abs(uneven).max()
    print("\nFor a plain sum of the outputs, when gamma is uneven:")
    if size > 1e-12:
        print(f"dx is not 0, and must not be. Its largest entry has size {size:.2g}.")
    else:
        print("dx is 0, and must not be. Does gamma enter it, or does backward return zeros?")
prediction.beside("0 everywhere")

# %% [markdown]
# The third line is why the plain sum is a bad test: a backward pass that returns zeros satisfies
# it. It satisfies the first as well, and fails at the second, where $dx \cdot \hat{x}$ is not 0.
# And it fails at the last: with an uneven gamma some entries of `x_hat` count for more in the sum
# than others, so `x` can change it.
#
# ## See it
#
# **The three terms**, for one row of eight features. The bars are computed from the definitions,
# the diamonds are *your* `dx`. The orange bars are all equal: they move the row as a whole. The
# green ones follow $\hat{x}$: they shrink or stretch it.

# %% tags=["show"]
three_terms(LayerNorm)

# %% [markdown]
# **How small a step?** One would think the smaller the better. Each finite difference below has two
# enemies. A large step sees the loss bend: the error grows with $h$ for the one-sided difference,
# and with $h^2$ for the central one. A small step subtracts two nearly equal numbers, each known to
# 16 digits only, and divides what is left by $h$: the error grows with $1/h$. Hence the V.

# %% tags=["show"]
finite_difference_error(LayerNorm)

# %% [markdown]
# Now look at a single entry of `x`, from far to near. Begin with a large step, where the dashed
# line through two points (the finite difference) misses the slope of the curve in the middle (your
# `dx`). Make `log10 h` smaller until both slopes agree in all the digits shown, at about −3. Then
# go on. Below −9 they part again, and below −14 the smooth curve has turned into stairs: between
# two neighbouring float64 numbers there is nothing.

# %% tags=["show"]
step_explorer(LayerNorm)

# %% [markdown]
# **Keep it, or make it again?** Between forward and backward, `x_hat` has to be somewhere. You may
# keep it, or keep only `mean` and `rstd` and make it again from `x`, which the network often holds
# in memory anyway. That costs a subtraction and a multiplication for each entry: time for memory.
# The sizes are those of the small GPT-2: 12 blocks with two layer norms each and one at the end,
# rows of 768 features, and a batch of 8 texts of 1024 tokens. The figure is arithmetic on these
# shapes. Nothing was measured.

# %% tags=["show"]
cached_bytes()

# %% [markdown]
# ## What the paper found
#
# Xu, Sun, Zhang, Zhao and Lin (2019, [arXiv:1911.07013](https://arxiv.org/abs/1911.07013)) ask
# which half of layer normalization does the good. They build *DetachNorm*: its forward pass is that
# of layer norm, but backward treats the mean and the variance as constants, so the two terms you
# have worked for are missing. In their experiments DetachNorm does worse than layer norm. They
# conclude that the derivatives of the mean and the variance, which re-centre and re-scale the
# gradient, matter more than the normalised forward pass.
#
# Training on their data takes longer than this notebook has. What we can look at is where the
# gradient goes. Below, the `x` of 32 rows is changed directly by gradient descent, to bring
# `forward(x)` close to a target which no layer norm can reach: its rows have a mean of 1 and a
# spread of 2. Once with your `dx`, once with $dx = r \, g$.

# %% tags=["show"]
detached_statistics(LayerNorm)

# %% [markdown]
# Your `dx` has no part along the constant row, so the mean of a row stays where it was. It has next
# to no part along $\hat{x}$, so the spread hardly grows. The detached gradient sees outputs that
# are too low and too narrow, and pushes the row up and apart, step after step. The layer takes both
# out again, so no output moves any closer to its target for it. But as the spread grows, `rstd`
# shrinks, and with it every gradient to come.
#
# **What this does not show.** No network was trained here, and no accuracy was measured. That
# DetachNorm trains worse is the paper's finding on its own tasks, not ours. Challenge 2, on
# adaptive norms, comes back to it.
#
# ## Reflect
#
# **1.** A colleague writes `dx = gamma * rstd * (dout - mean(dout) - x_hat * mean(dout * x_hat))`.
# A gradient check on a fresh layer agrees to nine digits. After a day of training the gradients are
# off. Spot the bug, and say why the check did not.
#
# <details><summary>Answer</summary>
#
# Gamma was taken out of the means. It differs from feature to feature, so it has to be inside. On a
# fresh layer gamma is 1 everywhere, where both formulas agree. Training makes gamma uneven. A test
# of a layer should start from parameters that no initialisation would give.
#
# </details>
#
# **2.** A lecture says: "Layer norm at inference uses running averages, so its backward pass may
# treat the mean and the variance as constants." Spot two bugs.
#
# <details><summary>Answer</summary>
#
# Layer norm keeps no running averages: it takes the statistics of each row, in training and at
# inference. That is batch norm. And in training both statistics depend on `x`, so their paths
# belong to the gradient; leaving them out is DetachNorm.
#
# </details>
#
# **3.** A row is constant, and `eps` is 1e-5. What is `dx`, and how large?
#
# <details><summary>Answer</summary>
#
# `x_hat` is 0, so the third term vanishes, and `rstd` is $1/\sqrt{10^{-5}}$, about 316. So `dx` is
# 316 times `g` minus its mean: finite, thanks to `eps`, but large. Nearly constant rows make loud
# gradients.
#
# </details>
#
# **4.** You keep only `y`, `gamma`, `beta` and `rstd` after forward, because the next layer keeps
# `y` anyway. Can you still compute all three gradients?
#
# <details><summary>Answer</summary>
#
# Yes, as long as no entry of gamma is 0: `x_hat` is `(y - beta) / gamma`. Where gamma is 0 the
# output has forgotten `x_hat`, and where it is tiny the division loses digits.
#
# </details>
#
# **Next.** [Exercise 3](../ex03_pytorch_module/ex03_pytorch_module.ipynb) builds the same layer in
# PyTorch, where autograd writes the backward pass for you. Now you know what it writes.
