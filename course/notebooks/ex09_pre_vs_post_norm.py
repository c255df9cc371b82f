# %% [markdown]
# # Exercise 9: Pre-LayerNorm vs Post-LayerNorm
#
# The first transformers put the norm after each sublayer, and could be trained only with a learning
# rate that was raised slowly from zero. Move the norm to the front of the sublayer, and most of that
# trouble is gone. Both kinds are in use, their names are mixed up all the time, and a single line of
# code decides between them. By the end of this notebook you can
#
# - write both encoders, and tell from a line of code which of the two it is,
# - say why Pre-LN needs a final norm, and Post-LN does not,
# - measure the gradient of every layer of a model without disturbing it,
# - show, before a single training step, why one of them needs warm-up; and say what that does not show.
#
# **50 minutes · medium to hard · 15 points.** You need exercises 3 and 7.

# %%
import torch
from torch import nn

from course import check
from course.student.figures.norm_placement import (
    gradients_at_the_start,
    size_of_the_stream,
    two_placements,
)
from course.student.figures.warm_up import warm_up_explorer, who_learns
from course.student.prediction import Prediction

# %% [markdown]
# ## The idea
#
# A layer of a transformer encoder has two sublayers, attention and a feed-forward network. Each is
# added to its input. With $f$ for a sublayer, there are two places for the norm:
#
# $$
# \text{Post-LN:}\quad x \leftarrow \mathrm{LN}(x + f(x))
# \qquad\qquad
# \text{Pre-LN:}\quad x \leftarrow x + f(\mathrm{LN}(x))
# $$
#
# In Pre-LN nothing ever happens to $x$ but that something is added to it. This untouched line from
# the input to the output is called the *stream*. It grows from layer to layer, so at the very end
# there is one more norm, the *final norm*. In Post-LN the norms stand on the line itself. After the
# last layer, $x$ comes from a norm already, and nothing follows.

# %% tags=["show"]
two_placements()

# %% [markdown]
# **By hand.** A token has two features, $x = (1, 5)$. Take the sublayer $f(a, b) = (b, 0)$, and
# leave out $\varepsilon$. The norm of two different numbers is always $-1$ for the smaller and $1$ for
# the larger one.
#
# | | Pre-LN | Post-LN |
# |---|---|---|
# | the sublayer reads | LN(1, 5) = (−1, 1) | (1, 5) |
# | it returns | (1, 0) | (5, 0) |
# | added to x | (2, 5) | (6, 5) |
# | x after one sublayer | (2, 5) | LN(6, 5) = (1, −1) |
# | the same sublayer again reads | LN(2, 5) = (−1, 1) | (1, −1) |
# | it returns | (1, 0) | (−1, 0) |
# | added to x | (3, 5) | (0, −1) |
# | x after two sublayers | (3, 5) | LN(0, −1) = (1, −1) |
# | output | final norm: (−1, 1) | (1, −1) |
#
# Same input, same sublayers, opposite outputs. In Pre-LN each sublayer adds a step of the same size,
# however large the stream has become; so each counts for less than the one before. In Post-LN every
# norm starts afresh, and the last sublayer counts for as much as the first.
#
# ## Predict
#
# An encoder is new: no training step yet. Look at the gradient of the loss with respect to the weights
# of its *last* layer. How does it change when the encoder has twelve layers instead of one?

# %% tags=["show"]
prediction = Prediction(
    "ex09_pre_vs_post_norm",
    "smaller for Pre-LN, about the same for Post-LN",
    "about the same for both",
    "smaller for both",
    "about the same for Pre-LN, larger for Post-LN",
)
prediction

# %% [markdown]
# You will measure it with your own code in task 3.
#
# ## Task 1: `PreLayerNormTransformer`
#
# Write the encoder with the norm before each sublayer. It takes vectors, so there is no embedding and no
# position code. `nn.MultiheadAttention`, `nn.LayerNorm`, `nn.Linear` and all functions of
# `torch.nn.functional` may be used; `nn.TransformerEncoderLayer` and `nn.TransformerEncoder` may not, in
# this task and the next: an encoder that calls one earns no points.
#
# - The feed-forward network is $W_2 \, \varphi(W_1 h + b_1) + b_2$, where $\varphi$ is ReLU or GELU.
# - Dropout acts on what a sublayer returns, before it is added.
# - A layer may be a class of its own, or a part of the loop in `forward`; the names are yours. Each norm
#   has its own scale and shift, and each layer its own everything.
#
# What trips people up:
#
# - **The copy.** What is normalised is a copy that the sublayer reads. `x = norm(x)` changes the stream.
# - **The final norm.** Once, after the last layer.
# - **`batch_first`.** `nn.MultiheadAttention` takes its input for `(seq, batch, d_model)` unless told
#   otherwise, and gives no error.
# - **`[layer] * num_layers`.** That is the same layer, many times.
#
# The check does not look at names. It finds the weights of your encoder by their shapes, and sets them so
# that the right output is known. Most cases then look at `rows`: your output, with each row normalised
# once more. So a forgotten final norm costs its own case, and not all of them.


# %% tags=["solution"]
class PreLayerNormTransformer(nn.Module):
    """
    Transformer encoder with the norm before each sublayer, and one final norm

    Args:
        d_model: Number of features of a token
        nhead: Number of attention heads, a divisor of d_model
        num_layers: Number of layers
        dim_feedforward: Number of features inside the feed-forward network
        dropout: Probability of dropout, on the output of each sublayer
    """

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        # 1. For each layer: attention, a feed-forward network, and two norms, all its own
        # 2. Dropout, and the final norm
        ### BEGIN SOLUTION
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "attention_norm": nn.LayerNorm(d_model),
                    "attention": nn.MultiheadAttention(d_model, nhead, batch_first=True),
                    "feed_forward_norm": nn.LayerNorm(d_model),
                    "feed_forward": nn.Sequential(
                        nn.Linear(d_model, dim_feedforward),
                        nn.ReLU(),
                        nn.Linear(dim_feedforward, d_model),
                    ),
                }
            )
            for _ in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.final_norm = nn.LayerNorm(d_model)
        ### END SOLUTION

    def forward(self, src, src_mask=None):
        """
        Args:
            src: Input of shape (batch, seq, d_model)
            src_mask: None, or of shape (seq, seq), as `attn_mask` of nn.MultiheadAttention:
                boolean, True where a token (row) may not look at another (column), or
                floats that are added to the scores

        Returns:
            Output of shape (batch, seq, d_model)
        """
        # 3. Attention reads a normalised copy of x; its output, after dropout, is added to x
        # 4. The same with the feed-forward network
        # 5. After the last layer: the final norm
        ### BEGIN SOLUTION
        x = src
        for layer in self.layers:
            h = layer["attention_norm"](x)
            h, _ = layer["attention"](h, h, h, attn_mask=src_mask, need_weights=False)
            x = x + self.dropout(h)
            h = layer["feed_forward_norm"](x)
            h = layer["feed_forward"](h)
            x = x + self.dropout(h)
        return self.final_norm(x)
        ### END SOLUTION


# %% tags=["check"]
check("ex09_pre_layer_norm", PreLayerNormTransformer)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Begin with one layer, and without mask and dropout. Write down what happens to x, in two lines: one
# for the attention, one for the feed-forward network. The check's first case is exactly this.
#
# </details>
# <details><summary>Hint 2: attention</summary>
#
# `nn.MultiheadAttention` takes queries, keys and values, which are all the same tensor here, and
# returns two things: the output, and the attention weights. Its mask is called `attn_mask`, and
# means just what `src_mask` means.
#
# </details>
# <details><summary>Hint 3: many layers</summary>
#
# `nn.ModuleList` takes a list of modules. Build each of them anew, in a loop. What it holds may be a
# module of yours, or an `nn.ModuleDict` with the four parts of a layer.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# x = src
# for layer in self.layers:
#     h = ...                                   # the normalised copy
#     h, _ = ...                                # the attention of h with itself, masked
#     x = x + self.dropout(h)
#     ...                                       # the same with the other norm and the network
# return ...                                    # not x itself
# ```
#
# </details>
#
# ## Task 2: `PostLayerNormTransformer`
#
# The same parts, put together differently. Copy what you have and move the norms. What trips people
# up:
#
# - **The brackets.** The norm goes around the sum: neither around the sublayer alone, nor around x alone.
# - **The end.** Nothing follows the last layer. (PyTorch's `nn.Transformer` adds a final norm even here.
#   The paper that this notebook follows has none, and neither has the first transformer.)


# %% tags=["solution"]
class PostLayerNormTransformer(nn.Module):
    """
    Transformer encoder with the norm after each sublayer, on the sum

    Args:
        d_model: Number of features of a token
        nhead: Number of attention heads, a divisor of d_model
        num_layers: Number of layers
        dim_feedforward: Number of features inside the feed-forward network
        dropout: Probability of dropout, on the output of each sublayer
    """

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        # 1. The same building blocks. Is there a final norm?
        ### BEGIN SOLUTION
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "attention": nn.MultiheadAttention(d_model, nhead, batch_first=True),
                    "attention_norm": nn.LayerNorm(d_model),
                    "feed_forward": nn.Sequential(
                        nn.Linear(d_model, dim_feedforward),
                        nn.ReLU(),
                        nn.Linear(dim_feedforward, d_model),
                    ),
                    "feed_forward_norm": nn.LayerNorm(d_model),
                }
            )
            for _ in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, src, src_mask=None):
        """
        Args:
            src: Input of shape (batch, seq, d_model)
            src_mask: as in PreLayerNormTransformer

        Returns:
            Output of shape (batch, seq, d_model)
        """
        # 2. Attention reads x; its output, after dropout, is added to x; the sum is normalised
        # 3. The same with the feed-forward network
        ### BEGIN SOLUTION
        x = src
        for layer in self.layers:
            h, _ = layer["attention"](x, x, x, attn_mask=src_mask, need_weights=False)
            x = layer["attention_norm"](x + self.dropout(h))
            h = layer["feed_forward"](x)
            x = layer["feed_forward_norm"](x + self.dropout(h))
        return x
        ### END SOLUTION


# %% tags=["check"]
check("ex09_post_layer_norm", PostLayerNormTransformer)

# %% [markdown]
# <details><summary>Hint 1: what does a sublayer read?</summary>
#
# x itself, which comes from a norm, but for the very first. After the norm, the result is the new x.
#
# </details>
# <details><summary>Hint 2: nearly there</summary>
#
# ```python
# for layer in self.layers:
#     h, _ = ...                # the attention of x with itself, masked
#     x = ...                   # the norm of x plus dropout of h
#     ...                       # the same with the network
# return x
# ```
#
# </details>
#
# ## Task 3: `gradient_norms`
#
# How strongly does the loss pull at each layer? Put all gradients of a layer's parameters into one long
# vector $g$, and take its length $\lVert g \rVert = \sqrt{\sum_i g_i^2}$. For a weight whose gradient has
# length 3 and a bias whose gradient has length 4 that is $\sqrt{3^2 + 4^2} = 5$, not 7.
#
# Your function gets the parameters in groups, so that it works for any model: a group may be a layer, a
# part of one, or a single weight. As in exercise 2, the loss is a fake one with a given gradient at the
# output: `(model(src) * upstream).sum()`.
#
# A measurement should not disturb what it measures. The model keeps its mode, and `.grad` stays as it
# was: someone may call your function between `loss.backward()` and `optimizer.step()`.


# %% tags=["solution"]
def gradient_norms(model, groups, src, upstream):
    """
    Norm of the loss gradient for each group of a model's parameters

    The loss is the sum of model(src) * upstream. The model comes out as it went in: same
    mode, same parameters, and in every `.grad` what was there before.

    Args:
        model: An nn.Module, to be called as model(src)
        groups: A list of lists of parameters of the model, such as one list for each layer
        src: Input of the model
        upstream: Gradient of the loss with respect to the output, of the output's shape

    Returns:
        A list with one float for each group: the L2 norm of the gradients of all its
        parameters, taken together as one long vector. A parameter that the loss does not
        depend on counts as 0.
    """
    # 1. The loss
    # 2. Its gradient with respect to every parameter of every group
    # 3. For each group: square, add up over all entries of all parameters, take the root
    ### BEGIN SOLUTION
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    squares = iter([gradient.square().sum() for gradient in gradients])
    return [sum(next(squares) for _ in group).sqrt().item() for group in groups]
    ### END SOLUTION


# %% tags=["check"]
check("ex09_gradient_norms", gradient_norms)

# %% [markdown]
# <details><summary>Hint 1: without <code>.grad</code></summary>
#
# `loss.backward()` writes into `.grad`, and adds to what is there. `torch.autograd.grad(loss,
# parameters)` returns the gradients as a tuple, in the order of `parameters`, and touches nothing.
#
# </details>
# <details><summary>Hint 2: an error about unused tensors, or about a second backward</summary>
#
# `allow_unused=True` permits parameters that the loss does not depend on; with
# `materialize_grads=True` their gradient is a tensor of zeros. The graph is gone after one call: ask
# for all parameters at once, or pass `retain_graph=True`.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# loss = ...
# norms = []
# for group in groups:
#     gradients = torch.autograd.grad(loss, group, ...)      # three arguments more
#     squares = ...                                          # of all entries, added up
#     norms.append(...)                                      # one float
# return norms
# ```
#
# </details>
#
# If a case fails and you want to hold it in your hands, `check.last_failure()` gives you its inputs,
# your outputs and the expected ones as arrays.
#
# ## See it
#
# Now the answer to your prediction, and more. Ten encoders of each kind, not trained at all. Their
# weights are drawn anew with Xavier's variance, as in the paper below; your function measures the two
# weight matrices of each feed-forward network. The lines are medians over ten seeds, and the bands reach
# from the least to the largest.

# %% tags=["show"]
gradients_at_the_start(gradient_norms, PreLayerNormTransformer, PostLayerNormTransformer)

# %% tags=["show"]
prediction.beside("smaller for Pre-LN, about the same for Post-LN")

# %% [markdown]
# On the right is the prediction. In Post-LN the last layer's gradient does not care how many layers
# there are. In Pre-LN it gets smaller with depth: with twelve layers it is less than half of what it
# is with one. On the left, all six layers of one encoder: in Post-LN the medians are level, and in
# Pre-LN the later a layer comes, the less it is pulled.
#
# Why? In Pre-LN the gradient reaches the last layer through the final norm, which divides by the spread of
# the stream. So look at how large the stream has become. Below is the mean square of what the norm
# after each layer reads: the stream itself in Pre-LN, the sum before it is normalised in Post-LN.

# %% tags=["show"]
size_of_the_stream(PostLayerNormTransformer, PreLayerNormTransformer)

# %% [markdown]
# Each layer adds about the same to the stream of Pre-LN, so its mean square grows in proportion to the
# depth, its spread with the root of that, and the gradient shrinks with $1 / \sqrt{L}$. In Post-LN
# each norm makes the spread 1 again.
#
# Does it matter for training? Here are 36 small encoders of six layers. Each learns to reverse a
# sequence of eight symbols, in 80 steps of Adam: at three learning rates, at once or with a warm-up
# of 40 steps over which the rate rises to its full size, and from three seeds. Who guesses has a loss of
# $\ln 8 = 2.08$; yellow has learned nothing. This takes a while.

# %% tags=["show", "nbval-ignore-output"]
who_learns(PostLayerNormTransformer, PreLayerNormTransformer)

# %% [markdown]
# Compare the corners. At the largest learning rate Post-LN without warm-up learns nothing, from any
# seed. With warm-up it learns, and Pre-LN learns with or without. Now the middle column: at a rate that is
# well chosen, both kinds learn within 80 steps, and nobody would see that they differ. In the
# first column warm-up even hurts. It spends half of the 80 steps at a rate that was too small to begin
# with.
#
# The map shows one moment, step 80. The explorer below shows the way there and three times as far, for
# more learning rates and warm-ups. On the left nothing of yours runs: its 252 encoders would take minutes,
# so they were trained beforehand, with the reference solution on the same task, and stored.
#
# On the right are your own encoders, which take one single step from where they start. In its first step
# Adam moves every weight by the learning rate, however small its gradient is. How far does that move
# the output? The mean squared change is 0 where nothing has changed, and 2 where the new output has
# nothing in common with the old. The bands reach from the least to the largest of three seeds. The vertical
# line is the learning rate that you choose; the rates and steps of the warm-up are grey.
#
# Begin at 0.02, without warm-up and with one of 10 steps. Then search: is there a warm-up with which Post-LN
# learns at 0.05, and does not lose it again? Can Pre-LN do without warm-up at 0.1?

# %% tags=["show"]
warm_up_explorer(PostLayerNormTransformer, PreLayerNormTransformer)

# %% [markdown]
# At 0.02 without warm-up it depends on the seed when Post-LN learns, and whether it does. With 10 steps of
# warm-up all three learn. At 0.05 no warm-up helps for good: with a long one Post-LN learns on the way up,
# and loses it when the rate gets too large. Pre-LN has its limit too, only further up. At 0.1 it
# fails without warm-up, learns with 20 steps of it, and with 160 it learns and then loses most of it.
# And what the map calls half learned is only slow: at 0.003 with a warm-up of 40 steps, both kinds are
# done before step 200.
#
# The right panel fits that. For the same change of its output, Pre-LN bears more than twice the rate. But one
# step is not the whole story. A step of 0.05 moves Pre-LN about as far as one of 0.02 moves Post-LN, and
# yet Pre-LN learns there from every seed.
#
# ## What the papers found
#
# Xiong et al. (2020), *On Layer Normalization in the Transformer Architecture*
# ([arXiv:2002.04745](https://arxiv.org/abs/2002.04745)), ask why the transformer needs warm-up. Their
# answer is in the state before training: in Post-LN the gradients of the layers near the output are
# large, so a large learning rate makes the first steps too large. Compare with your figures.
#
# | the paper | here |
# |---|---|
# | Lemma 2: the mean squared entry before the last norm of a layer is 3/2 in Post-LN, in any layer | the line of Post-LN lies at about 1.5 |
# | Lemma 2: in Pre-LN it lies between $1 + l/2$ and $1 + 3l/2$ after $l$ layers | the line of Pre-LN lies in the grey band, for all ten seeds |
# | Theorem 1: a bound on the last layer's gradient does not depend on the depth $L$ in Post-LN, and falls with $1/\sqrt{L}$ in Pre-LN | level in Post-LN; about 0.4 of it at twelve layers in Pre-LN, where $1/\sqrt{12}$ is 0.29 |
# | Figure 3, measured on models for translation: in Post-LN gradients grow towards the last layer, in Pre-LN they are nearly level | not so: level in Post-LN, falling in Pre-LN. In both pictures Post-LN pulls harder at the last layer, compared with Pre-LN, than at the first |
# | warm-up can be left out with Pre-LN | so in the map above, at its largest rate; not so at 0.1 in the explorer |
#
# Our upstream gradient is random and the same for both kinds; theirs comes from a loss, a decoder and
# real text. That may be why the left panel of your gradients is tilted.
#
# Honest words. Small gradients at the start are one account of it. Adam divides by the size of the
# gradient, so the size alone cannot be the whole story. Liu et al. (2020,
# [arXiv:2004.08249](https://arxiv.org/abs/2004.08249)) conclude that unbalanced gradients are not the
# root of the trouble: in Post-LN each layer leans more on its own sublayers, so that a small change of the
# weights makes a large change of the output. The right panel of the explorer measures just that. And
# easier to train is not better in the end. Nguyen and Salazar (2019,
# [arXiv:1910.05895](https://arxiv.org/abs/1910.05895)) gain from Pre-LN where there is little
# data to translate from, and lose with it where there is much. Our runs have six layers, one toy task,
# at most 240 steps and three seeds. They show that the difference exists, not how large it is elsewhere.
#
# ## Reflect
#
# **1.** Which of these lines is Pre-LN, which is Post-LN, and which is neither?
# (a) `x = norm(x + attention(x))`, (b) `x = x + norm(attention(x))`,
# (c) `x = norm(x); x = x + attention(x)`, (d) `x = x + attention(norm(x))`.
#
# <details><summary>Answer</summary>
#
# (a) is Post-LN and (d) is Pre-LN. (b) normalises what the sublayer returns; some later models do
# that, on purpose and with other norms beside it. (c) looks like Pre-LN, but the norm is on the stream:
# it is $\mathrm{LN}(x) + f(\mathrm{LN}(x))$. Moved by half a step it is Post-LN, without the last norm
# and with one too many at the start.
#
# </details>
#
# **2.** You forget the final norm of Pre-LN. The model trains. What do you lose?
#
# <details><summary>Answer</summary>
#
# The output has the size of the stream, which grows with depth: after twelve layers its mean square is
# about fourteen here. Whatever comes next gets inputs of another size for every depth, and at the start a
# softmax on top of it is far too sure. The gradient no longer shrinks with depth either: the one thing
# that the theorem is about is gone.
#
# </details>
#
# **3.** In Pre-LN the stream grows and every sublayer's step stays the same size. What does that mean for the
# last of a hundred layers?
#
# <details><summary>Answer</summary>
#
# It changes the direction of the stream very little, since it adds one step to about a hundred. The last layers
# of a deep Pre-LN model tend to do little, so it acts like a shallower one. That is one reason why
# Pre-LN is not always better, and why some models combine both placements.
#
# </details>
#
# **Next.** *Layer normalization for different data types* asks, for images, text and time series, which
# numbers belong together under one mean.
