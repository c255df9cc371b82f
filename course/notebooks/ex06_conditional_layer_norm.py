# %% [markdown]
# # Exercise 6: Conditional layer normalization
#
# A layer norm has a scale and a shift, and after training they are fixed. Often a network should
# treat the same input in different ways: draw *this* class, remove *that* much noise, read a scan
# from *this* machine. A cheap and strong way to tell it so is to let the scale and the shift depend
# on what it should know, the *condition*. Image generators do that in each of their blocks. By the
# end of this notebook you can
#
# - write a layer norm whose gamma and beta are learned functions of a condition,
# - line up one condition per sample with any number of dims between,
# - let a layer start as something harmless, and still be able to learn,
# - say why a block that begins as the identity needs exactly one zero, not two.
#
# **35 minutes · medium · 10 points.** You need exercise 3 and `nn.Linear`.

# %%
import torch
from torch import nn

from course import check
from course.student.figures.conditioning import (
    accuracy_by_domain,
    block_drawing,
    condition_explorer,
    digit_domains,
    row_under_conditions,
    zero_start_against_random,
)
from course.student.prediction import Prediction
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# The normalised $\hat{x}$ is the one you know. It comes from $x$ alone. New is where gamma and beta
# come from: a condition $c$, a row of numbers that goes with the sample. It may be a class in
# one-hot form, an embedding of a sentence, or a point in time.
#
# $$
# \hat{x}_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}} \qquad
# y_i = \gamma_i(c) \, \hat{x}_i + \beta_i(c) \qquad
# \gamma_i(c) = 1 + \Delta_i(c)
# $$
#
# $\Delta$ and $\beta$ are learned functions of $c$. The simplest choice is one `nn.Linear` for
# each, from `condition_size` numbers to as many as there are features. What is learned are the
# weights of these layers, and no longer gamma and beta themselves.
#
# The 1 is there for the start. If $\Delta$ and $\beta$ give 0 for every condition at first, the
# layer begins as plain layer norm, and moves away from that only where it helps.
#
# **By hand.** Take $x = (1, 5, 1, 5)$. Its mean is 3 and its variance 4, so without $\varepsilon$
# $\hat{x} = (-1, 1, -1, 1)$. Let the condition have two numbers, $c = (c_1, c_2)$, and let training
# have arrived at
#
# $$
# \Delta(c) = c_1 \cdot (0, 0, 1, 1) + c_2 \cdot (1, 0, 0, -2) \qquad
# \beta(c) = c_1 \cdot (0, 0, 0, 1) + c_2 \cdot (2, 0, 0, 0)
# $$
#
# | $c$ | $\gamma(c)$ | $\beta(c)$ | $y$ |
# |---|---|---|---|
# | $(0, 0)$ | (1, 1, 1, 1) | (0, 0, 0, 0) | (−1, 1, −1, 1) |
# | $(1, 0)$ | (1, 1, 2, 2) | (0, 0, 0, 1) | (−1, 1, −2, 3) |
# | $(0, 1)$ | (2, 1, 1, −1) | (2, 0, 0, 0) | (0, 1, −1, −1) |
# | $(½, ½)$ | (1.5, 1, 1.5, 0.5) | (1, 0, 0, 0.5) | (−0.5, 1, −1.5, 1) |
#
# One input, four outputs. In the third line gamma has turned the last feature around. The last line
# lies half-way between the two above it: with linear $\Delta$ and $\beta$, what is between two
# conditions gets an output between theirs.
#
# ## Predict
#
# A friend has the steps in the other order: first scale and shift x by the condition, then
# normalise. For one condition gamma is 3 and beta is 7, for all features. How much of that is left
# in the output?

# %% tags=["show"]
prediction = Prediction("ex06_conditional_layer_norm", "all", "the scale", "the shift", "nothing")
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# Nothing. $3x + 7$ has another mean and another spread than $x$, and the normalisation removes
# both. If gamma and beta differ between features, something is left, but every row still comes out
# with mean 0 and spread 1. Gamma and beta belong behind the normalisation.
#
# </details>

# %% tags=["show"]
x = torch.tensor([[1.0, 5.0, 1.0, 5.0]])
print("x normalised:        ", nn.functional.layer_norm(x, (4,)))
print("3 x + 7, normalised: ", nn.functional.layer_norm(3 * x + 7, (4,)))
prediction.beside("nothing")

# %% [markdown]
# ## Task 1: `ConditionalLayerNorm`
#
# Write the module. You normalised by hand in exercise 3, so here `nn.functional.layer_norm` and
# `nn.LayerNorm` are allowed. What makes gamma and beta of the condition is up to you: two layers,
# one layer whose output is cut in two, a small network.
#
# What trips people up:
#
# - **Lining up.** Each sample has one condition, so gamma has the shape `(batch, features)`. Beside
#   an x of shape `(batch, seq, features)`, PyTorch lines dims up from the right and takes gamma's
#   first dim for seq. Where seq happens to equal batch, there is not even an error.
# - **The start.** A new layer should be plain layer norm. But a layer that starts at zero must
#   still be able to move. If you use a network, set only its *last* layer to zero.
# - **Passing eps on.** `nn.functional.layer_norm` has an eps of its own, unless you give it yours.
# - **No squeezing.** Gamma and beta may take any value. A sigmoid or tanh at the end would not let
#   them.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        self.normalized_shape = normalized_shape
        self.eps = eps
        self.to_change = nn.Linear(condition_size, normalized_shape)
        self.to_beta = nn.Linear(condition_size, normalized_shape)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        between = [1] * (x.dim() - 2)
        shape = (x.shape[0], *between, self.normalized_shape)
        gamma = (1 + self.to_change(condition)).reshape(shape)  # (batch, 1, ..., 1, features)
        beta = self.to_beta(condition).reshape(shape)  # (batch, 1, ..., 1, features)
        return gamma * x_hat + beta
        ### END SOLUTION


# %% tags=["check"]
check("ex06_conditional_layer_norm", ConditionalLayerNorm)

# %% [markdown]
# The check does not know your parameters' names. It adds noise to all of them, sends in rows whose
# $\hat{x}$ it knows, and finds out your gamma and beta from what comes back.
#
# <details><summary>Hint 1: where to start</summary>
#
# Begin with x of shape `(batch, features)`, where nothing needs lining up. In `__init__`, two
# layers `nn.Linear(condition_size, normalized_shape)`. In `forward`, the formula above, line by
# line.
#
# </details>
# <details><summary>Hint 2: starting at zero</summary>
#
# `nn.init.zeros_(layer.weight)` and `nn.init.zeros_(layer.bias)`. Why does one layer of zeros still
# learn? The gradient of its weight is a product of what comes in, the condition, and what comes
# back. The weight itself is not in it.
#
# </details>
# <details><summary>Hint 3: lining up</summary>
#
# For x of shape `(batch, seq, features)` you want gamma as `(batch, 1, features)`; for
# `(batch, height, width, features)` as `(batch, 1, 1, features)`. How many ones is that in terms of
# `x.dim()`? `[1] * 2` is `[1, 1]`, and `[1] * 0` is `[]`.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# # in forward
# x_hat = nn.functional.layer_norm(x, ..., eps=...)
# shape = (x.shape[0], *..., x.shape[-1])
# gamma = (1 + ...).reshape(shape)
# beta = ...
# return ...
# ```
#
# </details>
#
# If a case fails and you want to hold it in your hands, `check.last_failure()` gives you its
# inputs, your outputs and the expected ones as arrays.
#
# ## See it: one input under several conditions
#
# A new module of yours does the same under every condition, so here its parameters got some noise,
# as if it had been trained. The same row goes in three times, each time with another condition.

# %% tags=["show"]
row_under_conditions(ConditionalLayerNorm)

# %% [markdown]
# Now two of these conditions, and what lies between them. At t = 0 you see the first, at t = 1 the
# second; the marks stay where these two are. Move the slider beyond both ends, too.

# %% tags=["show"]
condition_explorer(ConditionalLayerNorm)

# %% [markdown]
# If your gamma and beta are linear in the condition, every bar moves along a straight line from one
# mark to the other, and on. With a network inside, it may take another way between the marks.
#
# ### A network that is told where it is
#
# Now to a use. The digits of exercise 4 come in five *domains*, drawn here for one of them. One
# small network has to read them all.

# %% tags=["show"]
digit_domains()

# %% [markdown]
# Three networks are trained, each five times from another start. They differ in what they know
# about the domain. The first has plain layer norm and is told nothing. The second has plain layer
# norm, and gets the domain in one-hot form beside the pixels. The third gets it as the condition of
# your layer, behind each of its two hidden layers.
#
# Before you run it: in which of the domains should it help to be told?

# %% tags=["show", "nbval-ignore-output"]
accuracy_by_domain(ConditionalLayerNorm)

# %% [markdown]
# The marks are means over five starts, the bars one standard deviation. In our run the networks
# that are told are about 2 percentage points better on average, and most of that comes from two
# domains. Upside down, a 6 is a 9, and no look at the picture can tell. Under noise it helps to
# know that what looks like ink may not be. Inverted digits gain nothing: a black border says it
# all.
#
# Honest words. The spread over starts is nearly as large as these gains, so single runs may say
# otherwise. And the two networks that are told do equally well: in a network this small, a one-hot
# code beside the pixels does the job as well as the condition in the norm.
#
# ## Task 2: `GatedResidualBlock`
#
# A Transformer adds up what its blocks have to say: each returns x plus a *branch*. Peebles and Xie
# (2023) steer such a block by a condition $c$ in three places, and call it *adaLN-Zero*:
#
# $$
# y = x + \alpha(c) \cdot \mathrm{MLP}\bigl( \gamma(c) \cdot \hat{x} + \beta(c) \bigr)
# $$

# %% tags=["show"]
block_drawing()

# %% [markdown]
# The third, $\alpha$, is a *gate*. It has one number for each feature, like gamma and beta, but no
# 1 + in front: $\alpha(c)$ starts at 0 for every condition. So a new block returns x itself. A
# hundred new blocks in a row return x itself, whatever their MLPs contain.
#
# **By hand.** Let $x = (1, 5)$, so $\hat{x} = (-1, 1)$, and let $\gamma = (1, 1)$, $\beta = (0,
# 0)$. Suppose that the MLP makes $(4, -2)$ of that. With $\alpha = (0, 0)$ the output is $(1, 5)$.
# With $\alpha = (0.5, 0)$ it is $(1 + 0.5 \cdot 4, \; 5 + 0) = (3, 5)$: the first gate is open by
# half, the second is shut.
#
# How does it learn, if the branch is multiplied by 0? The output's slope along $\alpha_i$ is what
# the MLP gives for feature $i$, here 4 and −2. That is not 0, so the gate moves at the first step;
# the MLP and gamma and beta follow at the second.
#
# Write the block. Your `ConditionalLayerNorm` may be a part of it. The MLP is two linear layers
# with a non-linearity between them, and acts on the last dim.
#
# What trips people up:
#
# - **What the gate multiplies.** The branch, and not x.
# - **What is added.** x as it came in, and not its normalised form.
# - **One zero too many.** If the last layer of the MLP starts at zero as well, the slope along
#   alpha is 0, and so is the slope along that layer. The block stays the identity for ever.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        self.norm = ConditionalLayerNorm(d_model, condition_size)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, hidden_size), nn.GELU(), nn.Linear(hidden_size, d_model)
        )
        self.to_alpha = nn.Linear(condition_size, d_model)
        nn.init.zeros_(self.to_alpha.weight)
        nn.init.zeros_(self.to_alpha.bias)
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        branch = self.mlp(self.norm(x, condition))  # (batch, ..., d_model)
        alpha = self.to_alpha(condition)  # (batch, d_model)
        alpha = alpha.reshape(x.shape[0], *[1] * (x.dim() - 2), x.shape[-1])
        return x + alpha * branch
        ### END SOLUTION


# %% tags=["check"]
check("ex06_gated_block", GatedResidualBlock)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Three attributes: the conditional norm, the MLP as an `nn.Sequential`, and the layer that makes
# alpha. Only the last of them is set to zero here, weight and bias; the norm looks after itself.
#
# </details>
# <details><summary>Hint 2: alpha</summary>
#
# alpha needs the same dims of length 1 as gamma did. The same line of code gives them.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# branch = self.mlp(...)             # what the MLP makes of the normalised, modulated x
# alpha = self.to_alpha(...)
# alpha = alpha.reshape(...)
# return x + ...
# ```
#
# </details>
#
# ## See it: which parameters move first
#
# Here is a new block of yours, and the size of the largest gradient of each parameter: first in the
# new block, then after one step of gradient descent. Which are 0 at first, and why?


# %% tags=["show"]
def largest_gradients(block, x, condition, target):
    """The largest gradient of each parameter, by name, for a squared error."""
    block.zero_grad()
    nn.functional.mse_loss(block(x, condition), target).backward()
    return {name: float(p.grad.abs().max()) for name, p in block.named_parameters()}


with waits_for(GatedResidualBlock):
    torch.manual_seed(0)
    block = GatedResidualBlock(4, 3)
    x, condition, target = torch.randn(8, 4), torch.randn(8, 3), torch.randn(8, 4)
    new = largest_gradients(block, x, condition, target)
    torch.optim.SGD(block.parameters(), lr=1.0).step()
    later = largest_gradients(block, x, condition, target)
    for name in new:
        signs = ["0" if size[name] == 0 else "not 0" for size in (new, later)]
        print(f"{name:24} at first: {signs[0]:8} after one step: {signs[1]}")

# %% [markdown]
# ## What the papers found
#
# Perez et al. (2018), *FiLM: Visual Reasoning with a General Conditioning Layer*
# ([arXiv:1709.07871](https://arxiv.org/abs/1709.07871)), let a question about a picture scale and
# shift the features of the network that looks at the picture. The layer is yours, with batch norm
# before it.
#
# Peebles and Xie (2023), *Scalable Diffusion Models with Transformers*
# ([arXiv:2212.09748](https://arxiv.org/abs/2212.09748)), compare four ways to tell a Transformer
# the class to draw and the amount of noise to remove. In their Figure 5 the curve of adaLN-Zero is
# the best throughout training. It is clearly better than adaLN, the same without the gate that
# starts at zero, so the start matters. Does it for us? Eight of your blocks in a row read the
# digits in their domains, once as they are, and once with every all-zero weight matrix drawn at
# random instead.

# %% tags=["show", "nbval-ignore-output"]
zero_start_against_random(GatedResidualBlock)

# %% [markdown]
# Honest words: here the zero start is the *slower* one. All its gates are shut at first, so the
# network begins as two linear layers, and loses some fifty steps to opening them; in the end the
# two are alike. A random start with `nn.Linear`'s small weights is harmless in eight narrow blocks
# with Adam. The paper's gain is found in Transformers of up to 28 blocks, over hundreds of
# thousands of steps, on another task and by the quality of images. What you can take from both: a
# start is a choice that costs nothing to try, and its effect depends on the scale.
#
# ## Reflect
#
# **1.** Why not simply train one layer norm for each class, with a gamma and a beta of its own?
#
# <details><summary>Answer</summary>
#
# With a one-hot condition and one `nn.Linear`, that is what you have: column k of the weight is
# what class k adds to gamma. The function of a condition is more general. It takes mixtures of
# classes, and conditions that are no classes, such as a time or a sentence, and it can share
# between those that are alike.
#
# </details>
#
# **2.** Spot the bug: `gamma = 1 + mlp(c)`, where `mlp` is `Linear, ReLU, Linear` and a loop sets
# all of its weights and biases to zero. The new layer is plain layer norm, as wanted. What happens
# in training?
#
# <details><summary>Answer</summary>
#
# The hidden units are 0, so the last weight gets no gradient. The last weight is 0, so nothing
# before it gets one. Only the last bias moves. The layer learns a gamma, but the same one for every
# condition, and no error tells you. Zeros in the last layer alone are enough.
#
# </details>
#
# **3.** A block returns `(1 - alpha(c)) * x + alpha(c) * branch`, with alpha starting at 0. It is
# the identity at first, too. What is different?
#
# <details><summary>Answer</summary>
#
# As soon as a gate opens, less of x is passed on. With alpha at 0.1 in each of 20 blocks, the
# factor on the first x is 0.9 to the power of 20, which is about 0.12. In a residual block the
# factor stays 1, and so does the way back for the gradient.
#
# </details>
#
# **Next.** Exercise 7 puts layer norm, attention and an MLP together to a Transformer encoder
# block.
