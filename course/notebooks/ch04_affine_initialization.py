# %% [markdown]
# # Further challenge C4: Initialising gamma and beta
#
# Every norm ends with a scale and a shift, and nearly everybody leaves them where PyTorch starts
# them, at 1 and 0. They are the cheapest handle on a deep network that there is: one number decides
# whether a block opens at once, a little, or not at all. By the end of this notebook you can
#
# - start a residual block at the identity and say which of its parameters learn, in which step,
# - predict what gamma and beta do to the size of the stream, and to the gradient, twenty blocks deep,
# - compare starting values fairly, which takes more than one learning rate,
# - keep norms and biases out of weight decay, and say what the decay would have done to gamma.
#
# **40 minutes · medium · 10 points (bonus).** You need exercises 3 and 7.

# %%
import torch
from torch import nn

from course import check
from course.student.figures.affine_start import (
    decay_runs,
    gamma_under_decay,
    gradient_against_gamma,
    losses_against_rate,
    losses_over_steps,
    size_of_the_stream,
    start_runs,
)
from course.student.prediction import Prediction

F = nn.functional

# %% [markdown]
# ## The idea
#
# A residual block adds something to its input. Let a norm be the last step on the way to what is
# added:
#
# $$
# y = x + \gamma \odot \hat{f} + \beta \qquad
# \hat{f} = \frac{f(x) - \mu}{\sqrt{\sigma^2 + \varepsilon}}
# $$
#
# where $f$ is the branch, such as two linear layers, and $\mu$ and $\sigma^2$ belong to a row of
# $f(x)$. Whatever the weights of the branch are, each row of $\hat{f}$ has mean 0 and spread 1. So as
# long as all entries of $\gamma$ are alike, and all of $\beta$, what is added has spread $|\gamma|$
# and mean $\beta$: how much a new block changes its input is decided by these two and nothing else.
#
# **By hand.** Let $x = (2, 0)$ and $f(x) = (5, 3)$. The mean is 4, the variance 1, and
# $\hat{f} = (1, -1)$, without $\varepsilon$.
#
# | $\gamma$ | $\beta$ | what is added | $y$ |
# |---|---|---|---|
# | 1 | 0 | (1, −1) | (3, −1) |
# | 0.1 | 0 | (0.1, −0.1) | (2.1, −0.1) |
# | 0 | 0 | (0, 0) | (2, 0) |
# | 1 | 2 | (3, 1) | (5, 1) |
#
# In the third line the block is the identity. Can it learn? Let $g = \partial L / \partial y$ be the
# gradient that arrives, in this row:
#
# $$
# \frac{\partial L}{\partial \gamma} = g \odot \hat{f} \qquad
# \frac{\partial L}{\partial \beta} = g \qquad
# \frac{\partial L}{\partial \hat{f}} = g \odot \gamma
# $$
#
# The first does not ask what $\gamma$ is. The last does. With $g = (1, 3)$ and $\gamma = 0$, the
# gradient of $\gamma$ is $(1, -3)$, and that of $\hat{f}$ is $(0, 0)$.
#
# ## Predict
#
# A block has been built with $\gamma = 0$ and $\beta = 0$. An optimizer takes one step of plain
# gradient descent, and then a second. When do the weights inside the branch move for the first time?

# %% tags=["show"]
prediction = Prediction(
    "ch04_affine_initialization", "in the first step", "in the second step", "never"
)
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# In the second. In the first step everything that goes back into the branch is multiplied by
# $\gamma = 0$. But $\gamma$ itself has a gradient, so it moves, and in the second step it is no
# longer 0.
#
# </details>
#
# Here is a branch of one linear layer and nothing around it, so that you can see both steps.


# %% tags=["show"]
def two_steps():
    """Two steps of gradient descent from gamma = beta = 0; print what has a gradient in each."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(8, 4, generator=random)
    upstream = torch.randn(8, 4, generator=random)
    inner = torch.randn(4, 4, generator=random).requires_grad_()
    gamma, beta = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    first = "never"
    for step in ("first", "second"):
        y = x + F.layer_norm(x @ inner, (4,), gamma, beta)
        found = torch.autograd.grad((y * upstream).sum(), (gamma, beta, inner))
        sizes = [f"{gradient.abs().max().item():.2f}" for gradient in found]
        print(f"{step} step, largest gradient of gamma, beta, inner:", ", ".join(sizes))
        if first == "never" and found[2].abs().max() > 0:
            first = f"in the {step} step"
        with torch.no_grad():
            for value, gradient in zip((gamma, beta, inner), found, strict=True):
                value -= 0.1 * gradient
    return first


prediction.beside(two_steps())

# %% [markdown]
# ## Task 1: `NormedResidualBlock`
#
# Write the block. The branch is yours: two linear layers with an activation between them will do, as
# PyTorch starts them. (Let it end in a linear layer. A ReLU there sometimes gives a row of zeros, which
# no norm can spread.) `nn.LayerNorm` may be used. The check goes by what your block does, whatever you
# call its parts.
#
# - **Where the norm stands.** It is the last step of the branch, and x is added after it. In a Pre-LN
#   block (exercise 7) it is the first, and then its gamma does not close the branch: the layers
#   behind it have biases.
# - **One zero, not two.** If the last linear layer starts at zero as well, there is nothing to
#   normalise, and gamma has no gradient either.
# - **Once.** Gamma and beta *start* at the given values. Then they belong to the optimizer.


# %% tags=["solution"]
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
        ### BEGIN SOLUTION
        self.branch = nn.Sequential(
            nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features)
        )
        self.norm = nn.LayerNorm(features)
        nn.init.constant_(self.norm.weight, gamma)
        nn.init.constant_(self.norm.bias, beta)
        ### END SOLUTION

    def forward(self, x):
        """
        Args:
            x: Input tensor of shape (*, features)

        Returns:
            x plus the normalised branch, of the shape of x
        """
        # 3. Run the branch, normalise what it gives, and add it to x
        ### BEGIN SOLUTION
        return x + self.norm(self.branch(x))
        ### END SOLUTION


# %% tags=["check"]
check("ch04_residual_block", NormedResidualBlock)

# %% [markdown]
# <details><summary>Hint 1: where gamma and beta are kept</summary>
#
# `nn.LayerNorm(features)` has them already: `weight`, which starts at ones, and `bias`, which starts
# at zeros. Both are parameters. It remains to give them other values in `__init__`.
#
# </details>
# <details><summary>Hint 2: how to set a parameter</summary>
#
# `nn.init.constant_(parameter, value)` fills a parameter in place, and autograd does not notice. An
# assignment such as `norm.weight = 0` is an error, and one of a tensor too.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# # in __init__
# self.branch = ...                     # (*, features) in, (*, features) out
# self.norm = ...
# nn.init.constant_(...)               # twice
#
# # in forward
# return x + ...                       # the norm of the branch of x
# ```
#
# </details>
#
# ## See it
#
# Twenty of your blocks, one after the other, fresh from `__init__`. How large is the stream that runs
# past the branches? The figure shows the root mean square of its entries, for rows that start at 1.

# %% tags=["show"]
size_of_the_stream(NormedResidualBlock)

# %% [markdown]
# A block with $\gamma = 1$ adds a row of spread 1 in a direction of its own. The sum of $L$ rows
# without a common direction has a size of about $\sqrt{L}$. But each block with $\beta = 1$ adds the
# *same* row, $(1, \dots, 1)$, and those add up to $L$.
#
# And backwards? Put a linear layer before the blocks and one behind, and take the gradient of a loss
# on images of digits, before any training.

# %% tags=["show"]
gradient_against_gamma(NormedResidualBlock)

# %% [markdown]
# With $\gamma = 0$ the gradient reaches the first layer undisturbed, as if the blocks were not there,
# and the branches get none. For small $\gamma$ that of a branch is proportional to $\gamma$. Near 1 the
# blocks are all open, the stream and the logits are large, and the gradient at the first layer is
# about twenty times what it is at 0. Nothing explodes here, but a step that suits one of these starts
# will not suit another.
#
# ### Does it train better?
#
# The same network, 16 blocks deep, on the digits: 100 steps of plain SGD with 64 images each, from
# three seeds. The starts are four gammas with $\beta = 0$, and $\gamma = 0$ with $\beta = 1$. One
# learning rate would not be fair to all of them, so there are four.

# %% tags=["show", "nbval-ignore-output"]
runs = start_runs(NormedResidualBlock)

# %% tags=["show", "nbval-ignore-output"]
losses_over_steps(runs)

# %% [markdown]
# On the left $\gamma = 1$ falls lowest, and the two shut starts hardly move: their branches learn
# slowly, and a network without branches is a linear one. On the right the same two starts fall from
# the first step, while all others first jump to losses far above that of guessing. They come back, but
# have lost their lead. So which start is best? Ask for each learning rate, and put the answers together.

# %% tags=["show", "nbval-ignore-output"]
losses_against_rate(runs)

# %% [markdown]
# Each start has a best learning rate of its own: small for $\gamma = 1$ and $2$, and the largest in the
# figure for $\gamma = 0$. Somebody who compares at 0.01 finds that 1 wins, and somebody who compares at
# 0.1 finds that 0 and 0.1 do. With each at its best, 0 and 0.1 end lowest here, and they alone
# survive a rate of 0.2. That is what the shut start buys: not a better network by itself, but larger
# steps. A start with $\beta = 1$ buys nothing: the stream carries a large constant that has first to be
# unlearned.
#
# ## Task 2: `parameter_groups`
#
# Weight decay shrinks every parameter a little at each step, towards 0. For the weights of a linear
# layer that is a mild preference for small ones. For a gamma it is a pull towards a shut branch, and
# for a bias it hardly makes sense. So it is widespread practice to leave norms and biases out of it.
# An optimizer takes a list of dicts, called parameter groups, in the place of the parameters:
#
# ```python
# torch.optim.AdamW([{"params": [...], "weight_decay": 0.1},
#                    {"params": [...], "weight_decay": 0.0}], lr=0.001)
# ```
#
# Write the function that makes them. The rule goes by shape: **a parameter with fewer than two dims**,
# as are all biases and the scales and shifts of all norms over features, **gets 0. Everything else gets
# the given weight decay**, an embedding too. Frozen parameters, those with `requires_grad=False`, are
# left out.
#
# - **All, and each once.** A parameter in no group is never trained, and nothing tells you. One that
#   two layers share, such as an embedding and the output layer, must not be there twice.
# - **Say 0.** Where a group has no `weight_decay`, the optimizer's default counts, and for AdamW that
#   is 0.01.


# %% tags=["solution"]
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
    ### BEGIN SOLUTION
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]
    ### END SOLUTION


# %% tags=["check"]
check("ch04_parameter_groups", parameter_groups)

# %% [markdown]
# <details><summary>Hint 1: finding the parameters</summary>
#
# `model.parameters()` goes down into all layers and gives each parameter once, even a shared one.
#
# </details>
# <details><summary>Hint 2: sorting them</summary>
#
# `parameter.dim()` is 2 for the weight of a linear layer, 1 for a bias and for a norm's scale, and 0
# for a single number.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# decayed, free = [], []
# for parameter in ...:
#     if ...:                          # learnable?
#         ...                          # into which list?
# return [{"params": decayed, "weight_decay": ...}, {...}]
# ```
#
# </details>
#
# ## See it: what weight decay does to gamma
#
# Eight blocks that start at $\gamma = 1$ train for 200 steps with AdamW, from three seeds, with a
# weight decay of 0.1 and of 1. In one half of the runs everything is decayed, in the other what your
# groups say. AdamW multiplies what it decays by $1 - \text{lr} \cdot \text{weight decay}$ at every step.
# With a learning rate of 0.003 and a weight decay of 1, what is left of a 1 after 200 steps if nothing
# else happens?
#
# <details><summary>The answer</summary>
#
# $0.997^{200} = 0.55$. That is the dotted line of the figure.
#
# </details>

# %% tags=["show", "nbval-ignore-output"]
decays = decay_runs(NormedResidualBlock, parameter_groups)

# %% tags=["show", "nbval-ignore-output"]
gamma_under_decay(decays)

# %% [markdown]
# The solid lines all but follow the dotted ones. So the decay has its way: the gradient of the loss
# does not pull gamma back, at least not in 200 steps. Where gamma is left out its mean stays at 1,
# though single gammas move.
#
# And the accuracy? Look at how far the dots of one column lie apart before you compare columns. Whether
# gamma is decayed makes no difference that three seeds could show, at either weight decay. The case for leaving norms out is that a weight decay chosen for the weights should not decide,
# on the side, how far every block is open.
#
# ## What the papers found
#
# Goyal et al. (2017), *Accurate, Large Minibatch SGD*
# ([arXiv:1706.02677](https://arxiv.org/abs/1706.02677)), section 5.1: in each residual block of a
# ResNet the last batch norm starts at $\gamma = 0$, all others at 1. They report that it eases the start
# of training, most of all with large minibatches, for which they use large learning rates.
#
# De & Smith (2020), *Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep
# Networks* ([arXiv:2002.10444](https://arxiv.org/abs/2002.10444)), and Bachlechner et al. (2020),
# *ReZero is All You Need* ([arXiv:2003.04887](https://arxiv.org/abs/2003.04887)), keep the zero and drop
# the norm: one learned number in front of each branch, which starts at 0.
#
# He et al. (2018), *Bag of Tricks for Image Classification with Convolutional Neural Networks*
# ([arXiv:1812.01187](https://arxiv.org/abs/1812.01187)), section 3.1, list a zero gamma among what helps
# large batches, and beside it *no bias decay*: weight decay for the weights of layers alone, not for
# biases, nor for the gamma and beta of norms.
#
# What matches: $\gamma = 0$ is what lets our network take the largest steps. What does not: at small
# learning rates it is by far the slower start, and 0.1 does about as well as an exact 0. Those papers
# train ResNets or transformers for many epochs; ours is a small network, watched for 100 steps. On
# weight decay our figure shows what happens to gamma, and no effect on accuracy.
#
# ## Reflect
#
# **1.** Somebody sets the last linear layer of the branch to zero *and* the gamma of the norm behind it,
# "to be safe". What has a gradient in the first step, and what in the second?
#
# <details><summary>Answer</summary>
#
# Beta alone, and beta alone again. The branch gives zeros, so $\hat{f} = 0$, and the gradient of gamma
# is $g \odot \hat{f} = 0$. The gradient of the branch is multiplied by $\gamma = 0$. Each zero waits for
# the other. A product can start from one zero factor, not from two.
#
# </details>
#
# **2.** With weight decay on everything but the norms, the last linear layer of your branch shrinks. Its
# weight and its bias become half as large. What happens to the output of the block?
#
# <details><summary>Answer</summary>
#
# Next to nothing: the norm behind it divides by a spread that has halved too, and only $\varepsilon$ sees
# a difference. What changes is the gradient: for a weight half as large it is twice as large, so each
# step turns the weight further. In front of a norm, weight decay acts on the learning rate more than
# on the function. (With your groups the bias is not decayed, so it gains weight beside the rest.)
#
# </details>
#
# **3.** `nn.LayerNorm((8, 8))` on images has a weight of shape (8, 8). What does your `parameter_groups`
# do with it, and what would you change?
#
# <details><summary>Answer</summary>
#
# It has two dims, so it gets weight decay, and so does its bias. A rule by shape is right for norms over
# features, which is nearly all there are, and needs no list of types that somebody has to keep. For
# such a layer you would add a test of the type: `isinstance(module, nn.LayerNorm)`. Both rules fail
# somewhere, so print the names in each group once before you train for a week.
#
# </details>
#
# **Next.** Further challenge C5 takes layer norm to inputs that are nearly all zeros.
