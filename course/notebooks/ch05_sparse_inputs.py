# %% [markdown]
# # Further challenge C5: Sparse inputs
#
# A text of 100 words, written as counts over a vocabulary of a million words and word pairs, has
# nearly a million zeros. Nobody stores those, until a layer subtracts the mean and every zero
# becomes a number. By the end of this notebook you can
#
# - say what layer normalization of a sparse row can mean, in two readings, and what each does to it,
# - take a mean and a variance over entries that you never look at, without losing digits,
# - put the layer and the linear map behind it into one, so that the dense array never exists,
# - measure that time and memory grow with the stored entries.
#
# **40 minutes · hard · 10 points (bonus).** You need exercises 1 and 3. SciPy's sparse arrays are
# introduced here as far as you need them.

# %%
from importlib import resources

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import StandardScaler

from course import check
from course.student.figures.sparse_inputs import (
    cost_against_stored,
    cost_of_the_linear_map,
    two_readings,
    words_by_length,
)
from course.student.prediction import Prediction
from course.student.sparse import as_scipy_csr, as_torch_csr
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# ### Three arrays
#
# The usual sparse format for rows is CSR, *compressed sparse row*. It holds the stored values row by
# row, the column of each, and where each row begins. SciPy calls these arrays `data`, `indices` and
# `indptr`; PyTorch calls them `values()`, `col_indices()` and `crow_indices()`.

# %% tags=["show"]
dense = np.array([[3.0, 0, 0, 1, 0, 0, 0, 0], [0, 2, 2, 0, 0, 5, 0, 0]])
x = sparse.csr_array(dense)
print("data:   ", x.data)
print("indices:", x.indices)
print(
    "indptr: ", x.indptr, "so row 1 is data[2:5], in columns", x.indices[x.indptr[1] : x.indptr[2]]
)
print("stored in each row:", np.diff(x.indptr))

# %% [markdown]
# Three things that this format allows, and that your code has to expect:
#
# - a row may store nothing at all,
# - a stored value may be 0: `x.indptr` counts what is *stored*, not what differs from 0,
# - the columns of a row may be stored in any order. (Each place is stored once at most.)
#
# ### Why never dense
#
# Take 100,000 texts over 1,000,000 columns, with 100 entries stored in each row, in float32.
#
# | | numbers | memory |
# |---|---|---|
# | CSR: values, columns, row starts | 10,000,000 + 10,000,000 + 100,001 | 80 MB (4 bytes each) |
# | the dense array | 100,000,000,000 | 400 GB |
#
# Five thousand times as much, and nearly all of it is the same number. Time goes the same way: a
# pass over the dense array visits each of its entries.
#
# ### Two readings
#
# What *is* layer normalization of such a row? It depends on what an entry means that is not stored.
#
# | reading | unstored means | examples | $D$ in the formula becomes |
# |---|---|---|---|
# | over all entries | 0, a number like any other | counts of words | all $D$ columns |
# | over the stored entries | unknown, or not there | ratings of films | $n$, what the row stores |
#
# **By hand.** Row 0 above has $D = 8$ columns and stores $n = 2$ values, 3 and 1. Leave
# $\varepsilon$ out, and let $\gamma = 1$ and $\beta = 0$.
#
# | | mean | variance | the 3 | the 1 | unstored |
# |---|---|---|---|---|---|
# | over the stored | (3 + 1) / 2 = 2 | (1 + 1) / 2 = 1 | 1 | −1 | still not stored |
# | over all | (3 + 1) / 8 = 0.5 | (2.5² + 0.5² + 6 · 0.5²) / 8 = 1 | 2.5 | 0.5 | −0.5 |
#
# In the second line the six zeros are 6 · 0.5² of the variance. And they are zeros no longer.

# %% tags=["show"]
two_readings()

# %% [markdown]
# The first reading gives a sparse result with the pattern of x. The second does not, and that is the
# hard part of this challenge.
#
# ## Predict
#
# The vocabulary grows: eight new columns, which none of the old rows uses. What becomes of the
# values that are stored in those rows, after the layer?

# %% tags=["show"]
prediction = Prediction(
    "ch05_sparse_inputs",
    "they stay the same in both readings",
    "they change over the stored entries",
    "they change over all entries",
    "they change in both readings",
)
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# They change over all entries. Eight more zeros pull the mean towards 0 and the variance with it.
# Over the stored entries nothing has changed, for nothing more is stored. So in the second reading
# the meaning of a row depends on how many columns somebody chose to reserve.
#
# </details>


# %% tags=["show"]
def normalised(numbers):
    return (numbers - numbers.mean()) / numbers.std()


row = np.array([3.0, 0, 0, 1, 0, 0, 0, 0])
wider = np.append(row, np.zeros(8))
print("over the stored entries:", normalised(row[row != 0]), "then", normalised(wider[wider != 0]))
print(
    "over all entries:       ",
    normalised(row)[[0, 3]],
    "then",
    normalised(wider)[[0, 3]].round(2),
)
changed = {
    "over the stored entries": not np.allclose(
        normalised(row[row != 0]), normalised(wider[wider != 0])
    ),
    "over all entries": not np.allclose(normalised(row)[[0, 3]], normalised(wider)[[0, 3]]),
}
prediction.beside(
    "they change " + " and ".join(reading for reading, change in changed.items() if change)
)

# %% [markdown]
# ## Task 1: over the stored entries
#
# For row $i$ with $n$ stored values $v_1 \dots v_n$ in columns $j_1 \dots j_n$:
#
# $$
# \mu = \frac{1}{n} \sum_k v_k \qquad
# \sigma^2 = \frac{1}{n} \sum_k (v_k - \mu)^2 \qquad
# y_{j_k} = \gamma_{j_k} \, \frac{v_k - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta_{j_k}
# $$
#
# What trips people up:
#
# - **Gamma goes by columns.** The third stored value of a row need not stand in column 2.
# - **Empty rows.** Sums over nothing are where `np.add.reduceat` fails, and where 0 / 0 lurks.
# - **Sharing.** A CSR array made from `x.indices` shares it, and some of SciPy's methods (`power`,
#   `abs`, `count_nonzero`) sort the columns of their array in place. Copy what you pass on.
#
# No array with rows × columns entries, and no row written out: that is what the challenge is about.
# The check runs your function on a larger matrix as well, and watches the memory and `toarray`. A
# loop over the rows is allowed.


# %% tags=["solution"]
def layer_norm_stored(x, gamma, beta, eps=1e-5):
    """
    Layer normalization of each row over its stored entries

    Args:
        x: scipy.sparse.csr_array of shape (rows, D), of floats or integers
        gamma: Scale of shape (D,), one for each column
        beta: Shift of shape (D,), one for each column
        eps: Small constant for numerical stability

    Returns:
        A new scipy.sparse.csr_array of the shape of x, with the same places stored; x is unchanged
    """
    # 1. For every stored entry, find the row it is in
    # 2. Calculate mean and variance of each row over what it stores
    # 3. Normalize the stored entries, scale and shift each with the gamma and beta of its column
    # 4. Make a CSR array of them
    ### BEGIN SOLUTION
    counts = np.diff(x.indptr)  # (rows,)
    row = np.repeat(np.arange(x.shape[0]), counts)  # (stored,)
    shared = np.maximum(counts, 1)  # (rows,); an empty row has no entry that would use its mean
    mean = np.bincount(row, x.data, minlength=x.shape[0]) / shared  # (rows,)
    centred = x.data - mean[row]  # (stored,)
    var = np.bincount(row, centred**2, minlength=x.shape[0]) / shared  # (rows,)
    x_hat = centred / np.sqrt(var[row] + eps)  # (stored,)
    values = gamma[x.indices] * x_hat + beta[x.indices]  # (stored,)
    return sparse.csr_array((values, x.indices.copy(), x.indptr.copy()), shape=x.shape)
    ### END SOLUTION


# %% tags=["check"]
check("ch05_stored_entries", layer_norm_stored)

# %% [markdown]
# <details><summary>Hint 1: one row</summary>
#
# `x.data[x.indptr[i]:x.indptr[i + 1]]` are the stored values of row i. Write the loop over the rows
# first. If a row is empty, skip it.
#
# </details>
# <details><summary>Hint 2: without a loop</summary>
#
# `np.repeat(np.arange(rows), np.diff(x.indptr))` gives the row of every stored entry. With that,
# `np.bincount(row, values, minlength=rows)` sums values by row, and `mean[row]` hands every entry its
# own row's mean.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# counts = np.diff(x.indptr)
# row = np.repeat(np.arange(x.shape[0]), counts)
# mean = np.bincount(row, x.data, minlength=x.shape[0]) / np.maximum(counts, 1)
# centred = ...                        # x.data less the mean of each entry's row
# var = ...                            # as the mean, of centred**2
# values = gamma[x.indices] * ... + ...
# return sparse.csr_array((values, x.indices.copy(), x.indptr.copy()), shape=...)
# ```
#
# </details>
#
# ## Task 2: over all entries, the statistics
#
# Now the zeros count. They add nothing to the sum, but $D$ is what it is divided by. In the variance
# each of them is $\mu$ away from the mean, so the $D - n$ of them add $(D - n) \mu^2$:
#
# $$
# \mu = \frac{1}{D} \sum_k v_k \qquad
# \sigma^2 = \frac{1}{D} \Bigl( \sum_k (v_k - \mu)^2 + (D - n) \, \mu^2 \Bigr) \qquad
# r = \frac{1}{\sqrt{\sigma^2 + \varepsilon}}
# $$
#
# All terms of $\sigma^2$ are positive, so nothing cancels. The shorter way,
# $\frac{1}{D} \sum_k v_k^2 - \mu^2$, needs no $D - n$ and is wrong where a row is full and far
# from 0, as in exercise 1.
#
# There is no result to write down yet: after the layer every unstored entry of a row would be
# $-\mu r$, the *background* of that row. Two numbers a row say all of it, so you return $\mu$ and
# $r$.
#
# This time nothing may be made that is as long as a row either. Where columns come from a hash, $D$
# can be far larger than any memory; the last case has $2^{50}$ columns. One of SciPy's most natural
# methods fails there, because it makes a vector of D ones. The report card will say which.


# %% tags=["solution"]
def row_statistics(x, eps=1e-5):
    """
    Mean and reciprocal standard deviation of each row over all D entries, stored or not

    Args:
        x: scipy.sparse.csr_array of shape (rows, D), of floats or integers
        eps: Small constant for numerical stability

    Returns:
        mean: Array of shape (rows,)
        rstd: Array of shape (rows,), 1 / sqrt(var + eps)
    """
    # 1. Sum the stored entries of each row: its mean follows
    # 2. Sum their squared distances from it
    # 3. Add what the entries that are not stored add
    ### BEGIN SOLUTION
    rows, D = x.shape
    counts = np.diff(x.indptr)  # (rows,)
    row = np.repeat(np.arange(rows), counts)  # (stored,)
    mean = np.bincount(row, x.data, minlength=rows) / D  # (rows,)
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)  # (rows,)
    var = (squares + (D - counts) * mean**2) / D  # (rows,)
    return mean, 1 / np.sqrt(var + eps)
    ### END SOLUTION


# %% tags=["check"]
check("ch05_all_entries", row_statistics)

# %% [markdown]
# <details><summary>Hint 1: by hand</summary>
#
# `row_statistics(sparse.csr_array([[3.0, 0, 0, 1, 0, 0, 0, 0]]), eps=0)` should give 0.5 and 1.
#
# </details>
# <details><summary>Hint 2: from task 1</summary>
#
# `counts`, `row` and the sums by `np.bincount` are those of task 1. What changes is the number that
# each sum is divided by, and one term that is added to the second one.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# mean = np.bincount(row, x.data, minlength=rows) / ...
# squares = ...                        # of x.data less the mean, summed by row
# var = (squares + (...) * mean**2) / D
# return mean, ...
# ```
#
# </details>
#
# ## Task 3: the layer and the linear map behind it
#
# Behind the layer stands a linear map with a `weight` of shape `(out, in)`, as in `nn.Linear`. Its
# output has few columns, so it may be dense. What stands between, $y$, may not. Put the layer
# into the map, with $x_j = 0$ where nothing is stored:
#
# $$
# \sum_j w_j \Bigl( \gamma_j \, (x_j - \mu) \, r + \beta_j \Bigr) + b
# $$
#
# Take the sum apart into three, before you unfold the answer. Which of them depend on the row? Which
# run over all columns?
#
# <details><summary>Taken apart</summary>
#
# $$
# r \Bigl( \underbrace{\sum_j w_j \gamma_j x_j}_{\text{stored entries only}}
# - \; \mu \underbrace{\sum_j w_j \gamma_j}_{\text{the same for all rows}} \Bigr)
# + \underbrace{\sum_j w_j \beta_j}_{\text{the same for all rows}} + \; b
# $$
#
# The first sum is a product of a sparse matrix and a dense one, at a cost of stored entries × out.
# The other two run over all columns, but they hold no x: they are worked out once, for all rows.
#
# </details>
#
# **By hand.** Row 0 again: 3 in column 0, 1 in column 3, $\mu = 0.5$, $r = 1$. Let $\gamma = 1$,
# $\beta = 0$, $b = 0$ and $w = (1, 0, 0, 2, 0, 0, 0, 1)$.
#
# | way | |
# |---|---|
# | through the dense row (2.5, −0.5, −0.5, 0.5, −0.5, …) | 2.5 · 1 + 0.5 · 2 − 0.5 · 1 = 3 |
# | through the three sums | 1 · ((3 · 1 + 1 · 2) − 0.5 · 4) + 0 + 0 = 3 |
#
# Write it in PyTorch, so that gamma, beta, weight and bias can learn. x is data and needs no
# gradient: you may hand `as_scipy_csr(x)`, which copies no values, to your `row_statistics`, or sum
# by row with `index_add`. `x @ matrix` is PyTorch's sparse product, and autograd follows it.
#
# What trips people up:
#
# - **Centring the stored values.** `x - mean` on the stored entries alone leaves the others at 0.
# - **Beta.** It is added to every entry, stored or not.
# - **A step outside autograd.** Parameters must stay tensors all the way.


# %% tags=["solution"]
def sparse_norm_linear(x, gamma, beta, weight, bias, eps=1e-5):
    """
    Layer normalization over all entries of each row, then a linear map; nothing is made dense

    Args:
        x: torch.sparse_csr tensor of shape (rows, in), float32 or float64
        gamma: Scale of shape (in,)
        beta: Shift of shape (in,)
        weight: Of the linear map, of shape (out, in)
        bias: Of the linear map, of shape (out,)
        eps: Small constant for numerical stability

    Returns:
        Dense tensor of shape (rows, out), in the dtype of x
    """
    # 1. Mean and rstd of each row, as tensors of shape (rows, 1)
    # 2. The sum over the stored entries
    # 3. The two sums that are the same for all rows
    # 4. Put them together
    ### BEGIN SOLUTION
    rows, D = x.shape
    values, counts = x.values(), x.crow_indices().diff()  # (stored,) and (rows,)
    row = torch.arange(rows, device=x.device).repeat_interleave(counts)  # (stored,)
    nothing = values.new_zeros(rows)  # (rows,)
    mean = nothing.index_add(0, row, values) / D  # (rows,)
    squares = nothing.index_add(0, row, (values - mean[row]).square())  # (rows,)
    var = (squares + (D - counts) * mean.square()) / D  # (rows,)
    rstd = torch.rsqrt(var + eps)[:, None]  # (rows, 1)
    scaled = weight * gamma  # (out, in)
    stored = x @ scaled.T  # (rows, out)
    background = mean[:, None] * scaled.sum(dim=1)  # (rows, out)
    return rstd * (stored - background) + (weight @ beta + bias)  # (rows, out)
    ### END SOLUTION


# %% tags=["check"]
check("ch05_sparse_linear", sparse_norm_linear)

# %% [markdown]
# <details><summary>Hint 1: begin without the layer's parameters</summary>
#
# With gamma 1 and beta 0 there are two sums left: `x @ weight.T`, and `weight.sum(dim=1)`, of shape
# (out,), which the mean multiplies.
#
# </details>
# <details><summary>Hint 2: where gamma goes</summary>
#
# Gamma stands beside the weight in both sums. `weight * gamma` scales the columns of the weight once,
# instead of the columns of x.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# statistics = row_statistics(as_scipy_csr(x), eps)
# mean, rstd = (torch.as_tensor(part, dtype=x.dtype)[:, None] for part in statistics)
# scaled = weight * gamma
# stored = x @ ...
# background = mean * ...
# return rstd * (...) + (... + bias)
# ```
#
# </details>
#
# ## See it
#
# ### What it costs
#
# One shape throughout, 1,000 × 10,000, with more and more of its ten million entries stored. Memory
# is what the call holds beyond its input, as counted by Python's `tracemalloc`. The measurements are
# of this machine, and jump a little from run to run.

# %% tags=["show", "nbval-ignore-output"]
cost_against_stored(layer_norm_stored)

# %% [markdown]
# The dense layer does not care what is stored. Yours does: once the stored entries outweigh the rest,
# ten times as many take ten times the memory. Time rises with them too, more steeply at the right
# end, where the arrays have outgrown the processor's caches. A stored entry costs more than a dense
# one, for it has a column and a row to look up, but where few are stored that does not matter.

# %% tags=["show", "nbval-ignore-output"]
cost_of_the_linear_map(sparse_norm_linear)

# %% [markdown]
# At the right end of the left panel one entry in ten is stored, and not much of the gain is left:
# sparse code is for sparse data. On the right, at the same number of stored entries, more columns
# cost the dense layer more. You pay only for the two sums over the columns, once and not for each
# row.
#
# The matrix of the last case in task 2 could not be dense anywhere: one of its rows has more entries
# than any one machine's memory has bytes. Here is such a one with a hundred thousand rows.

# %% tags=["show"]
rng = np.random.default_rng(0)
places = rng.integers(0, 2**50, 1_000)
rows = np.sort(rng.integers(0, 100_000, 1_000))
starts = np.searchsorted(rows, np.arange(100_001))
hashed = sparse.csr_array((rng.uniform(1e7, 2e7, 1_000), places, starts), shape=(100_000, 2**50))

with waits_for(row_statistics):
    mean, rstd = row_statistics(hashed)
    print(f"{hashed.shape[0]:,} rows, {hashed.shape[1]:,} columns, {hashed.nnz:,} entries stored")
    print("rows that store something:", np.count_nonzero(mean))
    print(f"rstd of a row that stores nothing: {rstd.max():.1f}")

# %% [markdown]
# ### What the readings do to texts
#
# scikit-learn comes with descriptions of its data sets, from a few lines to several pages. We count
# their words, one row for each text.

# %% tags=["show"]
folder = resources.files("sklearn.datasets.descr")
names = sorted(path.name for path in folder.iterdir() if path.name.endswith(".rst"))
texts = [(folder / name).read_text(encoding="utf-8") for name in names]
counts = sparse.csr_array(CountVectorizer().fit_transform(texts))
words = np.diff(counts.indptr)
print(f"{counts.shape[0]} texts, {counts.shape[1]} words in the vocabulary")
print(f"different words in a text: {words.min()} to {words.max()}")
print(f"stored: {100 * counts.nnz / np.prod(counts.shape):.0f} % of the entries")

# %% tags=["show"]
words_by_length(row_statistics, layer_norm_stored, counts)

# %% [markdown]
# Over all entries, one occurrence of a word is an event in a short text and hardly worth mentioning
# in a long one: the layer has taken out how much was written. Over the stored entries, most words
# occur once, so a 1 is below the row's mean and comes out *negative*, while a word that does not occur
# stays at 0. The order has turned round: absent words rank above words that occur once. For
# counts, this reading says something that nobody meant.
#
# It gets worse where only presence is stored, as is common.

# %% tags=["show"]
present = counts.copy()
present.data = np.ones(present.nnz)

with waits_for(layer_norm_stored):
    ones, zeros = np.ones(present.shape[1]), np.zeros(present.shape[1])
    print("largest value after the layer:", abs(layer_norm_stored(present, ones, zeros).data).max())

# %% [markdown]
# All stored values are 1, so each is its row's mean, and every text comes out as zeros. The
# statistics over all entries have no such trouble: there the ones stand out against the zeros.
#
# ### With what you know from exercise 3
#
# On a matrix small enough to be dense, your function and PyTorch's own layers agree, and so do their
# gradients.


# %% tags=["show"]
def compared_with_dense(linear):
    """Compare with LayerNorm and Linear on the texts, in float64."""
    random = torch.Generator().manual_seed(0)
    x = as_torch_csr(counts.astype(np.float64))
    norm, last = torch.nn.LayerNorm(x.shape[1]).double(), torch.nn.Linear(x.shape[1], 4).double()
    parameters = [norm.weight, norm.bias, last.weight, last.bias]
    for parameter in parameters:
        torch.nn.init.normal_(parameter, generator=random)
    outputs = linear(x, *parameters), last(norm(x.to_dense()))
    print("same output:", torch.allclose(*outputs))
    upstream = torch.randn(outputs[0].shape, generator=random, dtype=torch.float64)
    yours, theirs = (torch.autograd.grad((y * upstream).sum(), parameters) for y in outputs)
    for name, one, other in zip(("gamma", "beta", "weight", "bias"), yours, theirs, strict=True):
        print(f"same gradient of {name}:", torch.allclose(one, other))


with waits_for(sparse_norm_linear):
    compared_with_dense(sparse_norm_linear)

# %% [markdown]
# ## What the papers found
#
# Honest words first. Ba, Kiros & Hinton (2016), *Layer Normalization*
# ([arXiv:1607.06450](https://arxiv.org/abs/1607.06450)), take the statistics over all hidden units of
# a layer, which are dense, and do not speak of sparse inputs. The question of this notebook is the
# course's own, and so are its figures.
#
# The two readings are not. Uhrig et al. (2017), *Sparsity Invariant CNNs*
# ([arXiv:1708.06500](https://arxiv.org/abs/1708.06500)), fill in depth maps of which a laser has
# measured few pixels. An unmeasured pixel is not at depth 0, so they divide by the number of measured
# pixels, as you divide by $n$. Their layer is a convolution and no layer norm: what it shares with
# task 1 is the reading.
#
# The trick of task 3, not to centre but to subtract what centring would have done, is an old one for
# linear maps. scikit-learn knows both sides. Its `StandardScaler` refuses to centre a sparse
# matrix; its `PCA`, since version 1.4 and with some solvers, centres one without ever writing
# it out.

# %% tags=["show"]
try:
    StandardScaler().fit(counts)
except ValueError as error:
    print("StandardScaler:", str(error).split(":")[0])

leave_sparse = PCA(3, svd_solver="arpack", random_state=0).fit(counts.astype(np.float64))
made_dense = PCA(3, svd_solver="full").fit(counts.toarray())
same = np.allclose(leave_sparse.explained_variance_, made_dense.explained_variance_)
print("PCA of the sparse matrix finds the variances of the dense one:", same)

# %% [markdown]
# What this notebook does not show: which reading learns better. On a task where unstored means
# unknown it may be the first, with counts the second. That takes data with a question to it, and is a
# project rather than an exercise.
#
# ## Reflect
#
# **1.** A friend scales every row to length 1 instead, x / ‖x‖, which is common for texts. Why has
# nobody trouble with sparsity there? What does it cost?
#
# <details><summary>Answer</summary>
#
# It divides and does not subtract, so a zero stays a zero. That is RMS normalization but for a factor
# of $\sqrt{D}$ (and gamma): the layer without the centring. The price is what centring gave. A constant
# added to all entries of a row now changes the result; but for a sparse row that constant would have
# filled in all the zeros, so it is a price that few notice.
#
# </details>
#
# **2.** Behind the layer stands no linear map but a ReLU, with $\gamma = 1$ and $\beta = 0$, over all
# entries of non-negative counts. Could the result be kept sparse?
#
# <details><summary>Answer</summary>
#
# Yes. Every unstored entry is $-\mu r \le 0$ before the ReLU and 0 after it. What is left are stored
# entries above the mean of their row: the pattern of x, or less. With other gamma and beta it depends
# on the column: wherever $\beta_j - \gamma_j \mu r > 0$, the background comes through the ReLU.
#
# </details>
#
# **3.** Somebody trains with task 3 and looks at the gradient of `weight`. It is dense, of shape
# (out, in), although only few columns of a batch store anything. Which term is to blame, and what
# would the gradient be for x @ weight.T alone?
#
# <details><summary>Answer</summary>
#
# The two sums over all columns: every weight takes part in the background of every row. For the product
# alone, a weight whose column stores nothing in the batch has gradient 0, and sparse optimizers skip
# it. Over all entries, every word's weight learns from every text, also from those in which it does not
# occur.
#
# </details>
#
# ## Next
#
# This was the last notebook. *Start here* shows which exercises and challenges you still have before
# you.
