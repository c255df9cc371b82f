# %% [markdown]
# # Exercise 7: Layer normalization in a Transformer
#
# Layer normalization owes its fame to the Transformer, which has two of them in each of its blocks.
# In this notebook you build such a block from nothing: the attention, the heads, the feed-forward
# network, the residual connections and, around them, the norms. Everything in it is short, and
# nearly everything in it can be wrong without an error. By the end of this notebook you can
#
# - write attention with masks of both kinds, and say what the √d is for,
# - split it into heads without mixing positions up,
# - put residual connections, norms and dropout where the original Transformer has them,
# - test a module whose inside you do not know.
#
# **60 minutes · hard · 20 points.** You need exercise 3, matrix products of tensors with leading
# dims (`A @ B`), and softmax. Take a break after task 2.

# %%
import math

import torch
from torch import nn

from course import check
from course.student.figures.attention import (
    heads_at_work,
    masks_at_work,
    scores_against_width,
)
from course.student.figures.encoder_block import post_norm_block, stream_through_depth
from course.student.prediction import Prediction
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# A sequence is a list of positions, each with a vector of $d$ features. Everything you have met so
# far treats each vector by itself. Attention is the one step in which positions exchange something.
# Each position asks a question, its *query*. Each position offers a *key*, which says what can be had
# from it, and a *value*, which is what one gets. A query is compared with all keys, and the answer is
# a mean of the values in which better-fitting keys count more.
#
# With $L$ queries and $S$ keys as the rows of matrices $Q$, $K$ and $V$, that is
#
# $$
# \mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left( \frac{Q K^\top}{\sqrt{d}} \right) V
# \qquad\text{with}\qquad
# \mathrm{softmax}(s)_j = \frac{e^{s_j}}{\sum_k e^{s_k}}
# $$
#
# | quantity | what it is | shape |
# |---|---|---|
# | $Q$, $K$, $V$ | queries, keys, values | `(..., L, d)`, `(..., S, d)`, `(..., S, d_v)` |
# | $Q K^\top / \sqrt{d}$ | the *scores*: how well query $i$ fits key $j$ | `(..., L, S)` |
# | softmax over $j$ | the *weights*: each row sums to 1 | `(..., L, S)` |
# | weights times $V$ | the output: one mean of values for each query | `(..., L, d_v)` |
#
# The dots are any leading dims: a batch, a batch and heads, or none.
#
# **By hand.** Two positions, $d = 4$, so $\sqrt{d} = 2$.
#
# | | query | key | value |
# |---|---|---|---|
# | position 1 | (1, 0, 1, 0) | (1, 1, −1, 0) | (10, 0) |
# | position 2 | (0, 2, 0, 0) | (2, 0, 0, 1) | (0, 10) |
#
# | step | query 1 | query 2 |
# |---|---|---|
# | dot products with keys 1 and 2 | 0 and 2 | 2 and 0 |
# | scores, divided by 2 | 0 and 1 | 1 and 0 |
# | exponentials | 1 and 2.718 | 2.718 and 1 |
# | weights, divided by their sum 3.718 | 0.269 and 0.731 | 0.731 and 0.269 |
# | output | (2.69, 7.31) | (7.31, 2.69) |
#
# **Masks.** Some positions must not be seen: those that only fill up a batch (*padding*), or, in a
# model that predicts the next word, all later ones. A mask acts on the scores, before the softmax,
# and comes in two kinds. One of **booleans** blocks where it is `True`: that score becomes
# $-\infty$, and $e^{-\infty} = 0$. One of **floats** is added to the scores. If query 1 above may not
# look at key 2, its scores are 0 and $-\infty$, its weights 1 and 0, and its output is (10, 0): the
# whole weight is shared out again among the keys that are left.
#
# ## Predict
#
# The entries of a query and a key are independent random numbers with mean 0 and variance 1, and
# $d = 64$. What is the standard deviation of their dot product, before any scaling?

# %% tags=["show"]
prediction = Prediction("ex07_transformer_block", "1", "8", "64")
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# 8. Each of the 64 products has mean 0 and variance 1. The variances of independent numbers add up
# to 64, and the standard deviation is the square root of that. Divided by $\sqrt{d} = 8$ it is 1,
# for any $d$. You will see below what the softmax does when it is not.
#
# </details>

# %% tags=["show"]
query, key = torch.randn(2, 10_000, 64, generator=torch.Generator().manual_seed(0))
prediction.beside(f"{(query * key).sum(1).std():.0f}")

# %% [markdown]
# ## Task 1: `scaled_dot_product_attention`
#
# Write the formula as a function. PyTorch's own, `nn.functional.scaled_dot_product_attention` (`F.scaled_dot_product_attention`
# in most code), may not be used in this task: a function that calls it earns no points.
# What trips people up:
#
# - **Counting dims from the front.** With a batch the last two dims are 1 and 2, without one they are
#   0 and 1, with heads 2 and 3. They are −2 and −1 always.
# - **The axis of the softmax.** One query shares its weight out among all keys.
# - **The sense of `True`.** Here, and in `nn.MultiheadAttention`, it means *blocked*. In
#   `F.scaled_dot_product_attention` it means *may be seen*. Both are PyTorch.
# - **Blocking after the softmax.** The weights that are left no longer sum to 1.
#
# A query for which every key is blocked has no right answer. PyTorch gives NaN, and no check asks.


# %% tags=["solution"]
def scaled_dot_product_attention(query, key, value, mask=None):
    """
    Scaled dot-product attention.

    Args:
        query: Tensor of shape (..., L, d)
        key: Tensor of shape (..., S, d)
        value: Tensor of shape (..., S, d_v)
        mask: None, or a tensor that broadcasts to (..., L, S): of booleans, True where a key is
            blocked for a query; or of floats, added to the scaled scores

    Returns:
        output: Tensor of shape (..., L, d_v)
        weights: Tensor of shape (..., L, S), whose rows sum to 1
    """
    # 1. The scores: every query with every key, divided by the square root of d
    # 2. The mask, by its dtype
    # 3. Softmax over the keys
    # 4. The mean of the values with these weights
    ### BEGIN SOLUTION
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))  # (..., L, S)
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(mask, float("-inf"))
        else:
            scores = scores + mask
    weights = torch.softmax(scores, dim=-1)  # (..., L, S)
    return weights @ value, weights  # (..., L, d_v) and (..., L, S)
    ### END SOLUTION


# %% tags=["check"]
check("ex07_attention", scaled_dot_product_attention)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Begin without a mask and with the two positions worked by hand: `query = torch.tensor([[1., 0., 1., 0.],
# [0., 2., 0., 0.]])`, and so on. Print the scores and compare them with the table.
#
# </details>
# <details><summary>Hint 2: the product</summary>
#
# `query @ key` would need the inner dims to match: (..., L, d) and (..., d, S). Which call swaps the
# last two dims of `key` and leaves those before them alone?
#
# </details>
# <details><summary>Hint 3: the mask</summary>
#
# `scores.masked_fill(mask, number)` returns new scores with `number` where the mask is True, and
# broadcasts. Which number becomes 0 under `exp`? For the other kind of mask a `+` is enough.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# scores = query @ ... / math.sqrt(...)
# if mask is not None:
#     if mask.dtype == ...:
#         scores = scores.masked_fill(...)
#     else:
#         scores = ...
# weights = torch.softmax(scores, dim=...)
# return ..., weights
# ```
#
# </details>
#
# The same queries and keys under four masks, by your function. In which panels do all rows still sum
# to 1?

# %% tags=["show"]
masks_at_work(scaled_dot_product_attention)

# %% [markdown]
# In all of them: what is taken from a blocked key goes to the others.
#
# ## From one head to many
#
# One softmax can look at one thing at a time. So a Transformer runs several attentions beside each
# other, called *heads*, each on its own share of the features. Three linear maps of $x$ give the
# queries, keys and values, so each head can look for something else. What the heads bring back is
# put side by side again, and a fourth linear map mixes it:
#
# $$
# \mathrm{head}_h = \mathrm{Attention}(x W^Q_h, \; x W^K_h, \; x W^V_h)
# \qquad
# \mathrm{MultiHead}(x) = [\mathrm{head}_1, \dots, \mathrm{head}_H] \, W^O
# $$
#
# A head has $d_\text{head} = d_\text{model} / H$ features, and its scores are divided by
# $\sqrt{d_\text{head}}$. Nobody computes the heads one by one: one product with a matrix of
# $d_\text{model} \times d_\text{model}$ gives the queries of all heads, side by side. What is left
# is bookkeeping with dims, and that is where it goes wrong.
#
# | step | shape |
# |---|---|
# | $x$, and each of its three projections | `(batch, seq, d_model)` |
# | the last dim split in two | `(batch, seq, nhead, d_head)` |
# | heads brought to the front | `(batch, nhead, seq, d_head)` |
# | attention | `(batch, nhead, seq, d_head)` |
# | and all the way back | `(batch, seq, d_model)` |
#
# ### How to check a module without knowing its inside
#
# You may name your layers as you like, use one layer or three for the projections, and order heads as
# you please. Still the check knows your numbers. It gives *every* weight matrix the same number $c$ in
# every place, and every bias 0. Then order and layout no longer matter, and the result can be worked
# out by hand. Call $s_j$ the sum of the features of token $j$. Every query, key and value of token $j$
# is $c \, s_j$ in every feature. A score is a sum of $d_\text{head}$ equal products, divided by
# $\sqrt{d_\text{head}}$, and the last projection sums $d_\text{model}$ equal numbers:
#
# $$
# \mathrm{score}_{ij} = c^2 \sqrt{d_\text{head}} \; s_i s_j
# \qquad
# \mathrm{output}_i = c^2 \, d_\text{model} \sum_j \mathrm{softmax}_j(\mathrm{score}_{ij}) \, s_j
# $$
#
# With $c = \frac12$, $d_\text{model} = 8$, two heads and two tokens that sum to 0 and 2: token 1 has
# the scores 0 and 0, so its output is $\frac14 \cdot 8 \cdot (\frac12 \cdot 0 + \frac12 \cdot 2) = 2$
# in every feature. Token 2 has the scores 0 and $\frac14 \cdot 2 \cdot 4 = 2$, the weights 0.119 and
# 0.881, and the output 3.52. What such weights cannot show, such as whether the heads differ, the
# check finds out with random ones.
#
# ## Task 2: `MultiHeadSelfAttention`
#
# Write the module. `nn.MultiheadAttention` may not be used in this task: a module that calls it earns
# no points. Your own `scaled_dot_product_attention` may and should; should it still resist you,
# PyTorch's function may stand in for it here. What trips people up:
#
# - **`view` is not `transpose`.** A `view` straight to `(batch, nhead, seq, d_head)` has the right
#   shape and the wrong numbers: it cuts the memory elsewhere.
# - **The way back** needs the transpose again, before the last two dims become one.
# - **A mask** of shape `(seq, seq)` holds for all samples and heads. Broadcasting does the rest.
# - **A `d_model` that `nhead` does not divide.** Refuse it at once, in words, with both numbers.


# %% tags=["solution"]
class MultiHeadSelfAttention(nn.Module):
    """
    Multi-head self-attention: every position looks at every position of its own sequence.

    Args:
        d_model: number of features of a position
        nhead: number of heads, which share the features: d_head = d_model / nhead each

    Raises:
        ValueError: nhead does not divide d_model; the message names both numbers

    Any names and any layout of the weights will do. Only with the names q_proj, k_proj, v_proj
    and out_proj, for four linear layers from d_model to d_model, can weights be copied from
    nn.MultiheadAttention (with its own names, in_proj_weight and so on, as well).
    """

    def __init__(self, d_model, nhead):
        super().__init__()
        # 1. Refuse a d_model that nhead does not divide
        # 2. Create the four projections
        ### BEGIN SOLUTION
        if d_model % nhead:
            raise ValueError(f"d_model={d_model} cannot be split into nhead={nhead} equal heads.")
        self.nhead = nhead
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)
        ### END SOLUTION

    def forward(self, x, mask=None):
        """
        Args:
            x: Tensor of shape (batch, seq, d_model)
            mask: None, or a tensor of shape (seq, seq), the same for all samples and heads: of
                booleans, True where blocked; or of floats, added to the scaled scores

        Returns:
            Tensor of shape (batch, seq, d_model)
        """
        # 3. Queries, keys and values, split into heads
        # 4. Attention, in all heads at once
        # 5. The heads side by side again, and the last projection
        ### BEGIN SOLUTION
        query = self.split(self.q_proj(x))  # (batch, nhead, seq, d_head)
        key = self.split(self.k_proj(x))
        value = self.split(self.v_proj(x))
        heads, _ = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(self.merge(heads))  # (batch, seq, d_model)

    def split(self, x):
        """From (batch, seq, d_model) to (batch, nhead, seq, d_head)."""
        batch, seq, d_model = x.shape
        return x.view(batch, seq, self.nhead, d_model // self.nhead).transpose(1, 2)

    def merge(self, heads):
        """From (batch, nhead, seq, d_head) to (batch, seq, d_model)."""
        return heads.transpose(1, 2).flatten(2)
        ### END SOLUTION


# %% tags=["check"]
check("ex07_multi_head", MultiHeadSelfAttention)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Write it for one head first: three `nn.Linear(d_model, d_model)`, your attention, and a fourth. The
# report card will have nothing good to say yet, but the shapes are right. Then put the split and the
# way back around the attention.
#
# </details>
# <details><summary>Hint 2: into heads</summary>
#
# Try it on numbers you can follow: `torch.arange(8).view(1, 2, 4)` holds position 0 with features 0
# to 3, and position 1 with 4 to 7. For two heads, head 0 should hold 0, 1 and 4, 5. Which two calls
# give `[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]`?
#
# </details>
# <details><summary>Hint 3: and back</summary>
#
# The same two calls backwards, in the opposite order. `view` may complain about memory after a
# `transpose`; `reshape` and `flatten` copy where they have to.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# # in __init__
# if ...:
#     raise ValueError(f"... {d_model} ... {nhead} ...")
# self.q_proj = nn.Linear(...)    # and three more
#
# # in forward
# batch, seq, _ = x.shape
# query = self.q_proj(x).view(batch, seq, ..., ...).transpose(..., ...)    # key, value: alike
# heads, _ = ...                               # your function of task 1
# return self.out_proj(heads.transpose(..., ...).reshape(...))
# ```
#
# </details>
#
# ### What heads are for
#
# A sequence of letters goes into your module. Each token says which letter it is and at which position
# it stands, and the query and key weights are chosen, not learned: head 1 asks for the position before
# its own, head 2 for its own letter. One head could not do both with one softmax. (To choose the
# weights, the figure needs the names `q_proj` and `k_proj`.)

# %% tags=["show"]
heads_at_work(MultiHeadSelfAttention)

# %% [markdown]
# Read a row: where does the last A look, in each head? A trained model has found such patterns by
# itself, and far less tidy ones.
#
# ## The block
#
# A Transformer encoder is a stack of equal blocks. Each has two *sub-layers*. The first is the
# multi-head attention: positions exchange something. The second is a small *feed-forward network*
# (FFN), applied to every position by itself: a linear map to a wider layer, a ReLU or GELU, and a
# linear map back. Neither replaces its input. What a sub-layer gives is *added* to it, by a residual
# connection, and the sum goes through a layer norm:
#
# $$
# y = \mathrm{LN}_1\bigl(x + \mathrm{Attention}(x)\bigr)
# \qquad
# z = \mathrm{LN}_2\bigl(y + \mathrm{FFN}(y)\bigr)
# $$
#
# That is *Post-LN*, the order of the original paper and the default of `nn.TransformerEncoderLayer`:
# the norm stands after the sum. In training, dropout acts on what each sub-layer gives, before it is
# added; most implementations drop some hidden features of the FFN as well.

# %% tags=["show"]
post_norm_block()

# %% [markdown]
# The check can silence parts of your block by filling their weights with 0. Then little is left, and
# you can predict it:
#
# | silent | the block computes |
# |---|---|
# | attention and FFN | $\mathrm{LN}_2(\mathrm{LN}_1(x))$ |
# | FFN | $\mathrm{LN}_2(\mathrm{LN}_1(x + \mathrm{Attention}(x)))$ |
# | attention | $\mathrm{LN}_2(y + \mathrm{FFN}(y))$ with $y = \mathrm{LN}_1(x)$ |
#
# It tells parameters by their shape and start: a scale of ones belongs to a norm, a weight that has
# `dim_feedforward` as a length belongs to the FFN.
#
# ## Task 3: `TransformerEncoderBlock`
#
# Write the block. `nn.Linear`, `nn.LayerNorm`, `nn.Dropout` and `nn.MultiheadAttention` may be used, and
# your own classes may take their place; `nn.TransformerEncoderLayer` may not, and a block that uses it
# earns no points. What trips people up:
#
# - **Where the norm stands.** LN(x + f(x)), not x + LN(f(x)) and not x + f(LN(x)).
# - **What the second residual adds.** The first norm's output $y$, not the block's input $x$.
# - **`nn.MultiheadAttention`** takes the sequence first unless you say `batch_first=True`, and returns
#   a pair.
# - **Dropout in evaluation.** `nn.Dropout` stops by itself after `.eval()`. The function
#   `nn.functional.dropout` does not, unless you pass `training=self.training`.


# %% tags=["solution"]
class TransformerEncoderBlock(nn.Module):
    """
    A Transformer encoder block with the layer norms after the residual connections (Post-LN).

    Args:
        d_model: number of features of a position
        nhead: number of attention heads
        dim_feedforward: width of the hidden layer of the feed-forward network
        dropout: probability with which, in training, a feature of a sub-layer's output is dropped

    Any names will do. Only with PyTorch's can weights be copied from nn.TransformerEncoderLayer:
    linear1, linear2, norm1, norm2, and self_attn for your MultiHeadSelfAttention or for
    nn.MultiheadAttention.
    """

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__()
        # 1. Multi-head self-attention
        # 2. Two layer norms
        # 3. The two linear maps of the feed-forward network
        # 4. Dropout
        ### BEGIN SOLUTION
        self.self_attn = MultiHeadSelfAttention(d_model, nhead)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, src, src_mask=None):
        """
        Args:
            src: Tensor of shape (batch, seq, d_model)
            src_mask: None, or a tensor of shape (seq, seq): of booleans, True where blocked; or of
                floats, added to the scaled scores

        Returns:
            Tensor of shape (batch, seq, d_model)
        """
        # 5. Attention, dropout, residual connection, norm
        # 6. Feed-forward network, dropout, residual connection, norm
        ### BEGIN SOLUTION
        src = self.norm1(src + self.dropout(self.self_attn(src, src_mask)))
        return self.norm2(src + self.dropout(self.feed_forward(src)))

    def feed_forward(self, x):
        """The same small network at every position."""
        hidden = torch.relu(self.linear1(x))  # (batch, seq, dim_feedforward)
        return self.linear2(self.dropout(hidden))  # (batch, seq, d_model)
        ### END SOLUTION


# %% tags=["check"]
check("ex07_encoder_block", TransformerEncoderBlock)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Leave dropout out, and write the two lines of the formula. Each box of the picture is a line or two
# of `__init__`; the two dropouts may be one.
#
# </details>
# <details><summary>Hint 2: the first half</summary>
#
# With your own attention it is `self.norm1(src + self.self_attn(src, src_mask))`. With
# `nn.MultiheadAttention` it is `attended, _ = self.self_attn(src, src, src, attn_mask=src_mask)`
# first. Give the result a name: the second half needs it twice.
#
# </details>
# <details><summary>Hint 3: dropout</summary>
#
# An `nn.Dropout` has no parameters, so one object can serve at all places. It
# belongs around what a sub-layer gives, inside the sum.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# # in forward
# src = self.norm1(src + self.dropout(...))
# hidden = torch.relu(...)
# return self.norm2(... + self.dropout(self.linear2(...)))
# ```
#
# </details>
#
# ## See it
#
# Twenty-four of your blocks, one behind the other, with random weights. How long are the vectors that
# travel along the residual connections, and how long would they be without the norms?

# %% tags=["show"]
stream_through_depth(TransformerEncoderBlock)

# %% [markdown]
# Without norms every block adds something in proportion to what it gets, so the vectors grow like
# compound interest. (How fast depends on the weights, which are drawn by Xavier Glorot's rule here.) A
# norm at the end of each block sets every vector back to a length of
# $\sqrt{d_\text{model}}$: its variance is 1, as long as its scale is. That is what layer norm does for
# the Transformer, whatever else it may do. Where exactly it should stand is a question of its own, and
# exercise 9 asks it.
#
# ### The same block as PyTorch's
#
# If your names are PyTorch's, weights travel both ways. Your three projections are one matrix there, so
# they are cut and joined on the way.


# %% tags=["show"]
def there_and_back(block):
    """Move weights from nn.TransformerEncoderLayer to your block, and back."""
    theirs = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    yours = block(16, 4, 32).eval()
    random = torch.Generator().manual_seed(0)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5, generator=random)
    src = torch.randn(2, 5, 16, generator=random)
    later = torch.ones(5, 5).triu(1).bool()
    kinds = ("weight", "bias") if "self_attn.q_proj.weight" in yours.state_dict() else ()

    state = theirs.state_dict()
    for kind in kinds:
        parts = state.pop(f"self_attn.in_proj_{kind}").chunk(3)
        for name, part in zip("qkv", parts, strict=True):
            state[f"self_attn.{name}_proj.{kind}"] = part
    print("into yours: ", yours.load_state_dict(state))
    print("same output:", torch.allclose(yours(src, later), theirs(src, later), atol=1e-4))

    state = yours.state_dict()
    for kind in kinds:
        parts = [state.pop(f"self_attn.{name}_proj.{kind}") for name in "qkv"]
        state[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
    again = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    print("and back:   ", again.load_state_dict(state))
    print("same output:", torch.allclose(again(src, later), theirs(src, later), atol=1e-4))


with waits_for(TransformerEncoderBlock):
    there_and_back(TransformerEncoderBlock)

# %% [markdown]
# (With GELU the first of the two outputs differs: PyTorch's layer has ReLU unless it is told otherwise.)
#
# ## What the papers found
#
# Vaswani et al. (2017), *Attention Is All You Need*
# ([arXiv:1706.03762](https://arxiv.org/abs/1706.03762)), is where this block comes from. Section 3.1 has
# the residual connection with the norm behind it, LayerNorm(x + Sublayer(x)); section 5.4 the dropout on
# the sub-layer's output. Section 3.2.1 explains the scaling. A footnote there says: if the entries of a
# query and a key are independent with mean 0 and variance 1, their dot product has mean 0 and variance
# $d_k$. And the authors *suspect*, in their own word, that large dot products push the softmax into
# regions where its gradients are extremely small. Both can be seen without any training, with your
# function. The orange line has its scaling undone: its queries are $\sqrt{d}$ times as large.

# %% tags=["show"]
scores_against_width(scaled_dot_product_attention)

# %% [markdown]
# And the gradient? The slope of a weight $p$ as its own score moves is $p \, (1 - p)$: nothing is left of
# it when $p$ is near 0 or near 1. Below is its sum over the 32 keys, the mean over 400 queries, and
# the smallest and largest of five seeds.


# %% tags=["show"]
def slope(attention, d, factor, seed):
    """The sum of p (1 - p) over 32 keys, averaged over 400 random queries."""
    random = torch.Generator().manual_seed(seed)
    query = torch.randn(400, 1, d, generator=random, dtype=torch.float64)
    key = torch.randn(400, 32, d, generator=random, dtype=torch.float64)
    _, weights = attention(factor * query, key, key)
    return (weights * (1 - weights)).sum(-1).mean().item()


with waits_for(scaled_dot_product_attention):
    print("   d   your function   scaling undone")
    for d in (4, 64, 1024):
        columns = []
        for factor in (1, math.sqrt(d)):
            slopes = [slope(scaled_dot_product_attention, d, factor, seed) for seed in range(5)]
            columns.append(f"{min(slopes):.2f} to {max(slopes):.2f}")
        print(f"{d:4d}    {columns[0]}     {columns[1]}")

# %% [markdown]
# The footnote holds to the letter: without the scaling the spread follows $\sqrt{d}$, with it the spread
# is 1 at every width. The suspicion holds too, for random queries and keys. At the paper's width of
# $d_k = 64$ the softmax without scaling puts most of the weight on one key of 32, and the slope has
# fallen to less than a third of what it is with scaling; at 1,024 hardly any is left.
#
# Honest words. This is the start of training. A trained model may make its queries and keys as large or
# small as it likes, and could undo the missing factor by itself; that training suffers without it, this
# notebook does not show. Nor does it show that Post-LN is the best place for the norm. Xiong et al.
# (2020, [arXiv:2002.04745](https://arxiv.org/abs/2002.04745)) argue that it is what makes the learning
# rate warm-up necessary; that is exercise 9.
#
# ## Reflect
#
# **1.** A friend makes heads with `q.view(batch, nhead, seq, d_head)`, without a transpose, and her tests
# pass. They use a sequence of length 1, a single head, and a sequence of equal tokens. Why does none of
# them notice? Name a test that does.
#
# <details><summary>Answer</summary>
#
# With one position, or with one head, there is only one way to cut the memory. With equal tokens it does not
# matter which position a number came from. A test that notices: block everything but a position itself,
# with `~torch.eye(seq, dtype=torch.bool)`, and compare with each position passed alone. Or shuffle
# the positions: the output must be shuffled in the same way.
#
# </details>
#
# **2.** Shuffle the tokens of a sentence, and your block gives the same vectors in shuffled order. "Dog
# bites man" and "man bites dog" are the same to it. What in the block could tell them apart, and what does
# a Transformer do about it?
#
# <details><summary>Answer</summary>
#
# Nothing in the block does. Attention is a weighted sum over a set; FFN and norms see one position each.
# So the position has to be in the input: a vector for each position is added to the tokens before the
# first block, or the scores are changed by the distance, as in the last panel of the four masks. A mask
# that hides later positions also breaks the symmetry.
#
# </details>
#
# **3.** Is there a way through your block, from `src` to the output, that meets no norm? What follows for
# a stack of 24, forwards and backwards?
#
# <details><summary>Answer</summary>
#
# No: each of the two norms stands behind a plus, on the only way out. Forwards, no vector grows, as you have
# seen. Backwards, a gradient that returns to the first block has been through 48 norms, and each rescales
# it. In a Pre-LN block the norms stand inside the branches, and the residual connections run from
# the first block to the last untouched. Exercise 9 measures what that does to the gradients.
#
# </details>
#
# **Next.** Exercise 8 looks inside deep networks, with and without layer norm, and draws what becomes of
# their activations.
