# %% [markdown]
# # Exercise 4: Comparing normalization techniques
#
# Batch norm and layer norm differ in one thing: which numbers share a mean. That one thing decides
# whether a network may be trained with two images at a time, whether it can be asked about a single
# one, and whether it does the same in training and in use. By the end of this notebook you can
#
# - put either norm into a classifier, and say which numbers share a mean in it,
# - show what a batch does to the output for one of its images, and what evaluation mode is for,
# - write a training loop that would survive a review, and name the slips that give no error,
# - predict how the two norms fare as the batch shrinks, and test the prediction over several seeds.
#
# **40 minutes · medium · 10 points.** You need exercise 3, and to have seen PyTorch train a network.

# %%
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course import check
from course.student.data import digits
from course.student.figures.two_norms import (
    compare,
    error_against_batch_size,
    normalised_both_ways,
    one_sample_in_many_batches,
    training_curves,
)
from course.student.prediction import Prediction

F = nn.functional

# %% [markdown]
# ## The idea
#
# Take a batch of $N$ samples with $D$ features, and let $x_{ni}$ be feature $i$ of sample $n$. Both
# norms subtract a mean, divide by a standard deviation, and give each feature a scale $w_i$ and a
# shift $b_i$ that are learned:
#
# $$
# y_{ni} = w_i \, \frac{x_{ni} - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b_i
# $$
#
# | | mean | shares a mean and a variance |
# |---|---|---|
# | batch norm | $\mu_i = \frac{1}{N} \sum_n x_{ni}$, one per feature | a column: one feature, over the batch |
# | layer norm | $\mu_n = \frac{1}{D} \sum_i x_{ni}$, one per sample | a row: one sample, over its features |
#
# **By hand.** Three samples with three features. Leave out $\varepsilon$, and let $w = 1$ and
# $b = 0$.
#
# | $x$ | | | batch norm | | | layer norm | | |
# |---|---|---|---|---|---|---|---|---|
# | 1 | 3 | 5 | −1.22 | −0.46 | 0 | −1.22 | 0 | 1.22 |
# | 2 | 2 | 8 | 0 | −0.93 | 1.22 | −0.71 | −0.71 | 1.41 |
# | 3 | 7 | 2 | 1.22 | 1.39 | −1.22 | −0.46 | 1.39 | −0.93 |
#
# The first column has mean 2 and variance (1 + 0 + 1) / 3 = 2/3, so its first entry becomes
# (1 − 2) / √(2/3) = −1.22. The first row has mean 3 and variance (4 + 0 + 4) / 3 = 8/3, so its first
# entry becomes (1 − 3) / √(8/3) = −1.22 too. Now put (9, 7, 2) in the place of the third sample. The
# first column then has mean 4 and variance 38/3, and its first entry becomes −0.84. The first
# *sample* has not changed, but what batch norm makes of it has. What layer norm makes of it has not.

# %% tags=["show"]
normalised_both_ways()

# %% [markdown]
# ### Two modes
#
# A network that is asked about one image has no batch to take a mean of, and nobody wants an answer
# that depends on who else is asking. So batch norm keeps *running statistics*. In training it
# normalises with the batch, and moves a running mean and a running variance a little towards it,
#
# $$
# \text{running} \leftarrow 0.9 \cdot \text{running} + 0.1 \cdot \text{batch}.
# $$
#
# In evaluation it normalises with the running ones and leaves them alone. The 0.1 is what PyTorch
# calls `momentum`. `model.train()` and `model.eval()` switch from one to the other. Layer norm has no
# need of this: it computes the same in both modes.
#
# A mean of $N$ values of spread $\sigma$ is itself off by about $\sigma / \sqrt{N}$. So batch norm
# adds noise to training: a little at 64 images in a batch, and a lot at 2.
#
# ## Predict
#
# Batch norm in training, with *two* images in the batch. For one feature they hold 3.0 and 3.2.
# Leave out $\varepsilon$: what does the norm give for the two? And what if they hold 3 and 300?

# %% tags=["show"]
prediction = Prediction(
    "ex04_batch_vs_layer_norm",
    "about −0.1 and 0.1, then about −150 and 150",
    "−1 and 1, both times",
    "0 and 0, then −1 and 1",
)
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# −1 and 1, both times. The mean lies half-way between the two, so both deviate from it by the same
# amount, and that amount is the standard deviation. Whatever the two values are, all that is left is
# which of them is larger. The same happens in every feature. Only a pair that differs by little more
# than $\sqrt{\varepsilon}$ escapes it.
#
# </details>

# %% tags=["show"]
pairs = torch.tensor([[3.0, 3.0], [3.2, 300.0]])  # two images with two features
print(nn.BatchNorm1d(2, affine=False)(pairs))
prediction.beside("−1 and 1, both times")

# %% [markdown]
# ## Task 1: `ModelWithBatchNorm`
#
# Write a classifier for the 8 × 8 images of digits that you know from this course, or for any other
# samples with `input_size` values each. The architecture is yours. A linear layer, the norm, an
# activation and a second linear layer are enough. Here `nn.BatchNorm1d` may be used, and a norm of
# your own as well.
#
# What trips people up:
#
# - **Logits.** Return what the last linear layer gives. `F.cross_entropy` applies softmax itself.
# - **Shapes.** Samples come flat or as images, `(batch, 64)`, `(batch, 8, 8)` or `(batch, 1, 8, 8)`.
#   Keep the batch and flatten the rest.
# - **A norm that does nothing.** A module returns its result. It does not change its input.
# - **Layers that PyTorch cannot see.** Layers in a Python list are not trained, and `model.eval()`
#   does not reach them.
#
# The check goes by what the network does, not by how it is written. It also tries other sizes; its
# `input_size` is always a square, such as 36 or 100, so that convolutions may be used. Dropout is no
# part of this task, but does no harm if it is off in evaluation.


# %% tags=["solution"]
class ModelWithBatchNorm(nn.Module):
    """
    A classifier with batch normalization inside.

    Args:
        input_size: How many values a sample has
        hidden_size: How many units the hidden layer, or each hidden layer, has
        num_classes: How many classes there are
    """

    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        # 1. Create a linear layer, a batch norm, and a second linear layer
        ### BEGIN SOLUTION
        self.hidden = nn.Linear(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(hidden_size)
        self.logits = nn.Linear(hidden_size, num_classes)
        ### END SOLUTION

    def forward(self, x):
        """
        Args:
            x: Samples of shape (batch, ...), with input_size values each

        Returns:
            Logits of shape (batch, num_classes), which no softmax has seen
        """
        # 2. Flatten each sample
        # 3. Linear layer, batch norm, activation
        # 4. The last linear layer gives the logits
        ### BEGIN SOLUTION
        hidden = self.hidden(x.flatten(1))  # (batch, hidden_size)
        return self.logits(torch.relu(self.norm(hidden)))  # (batch, num_classes)
        ### END SOLUTION


# %% tags=["check"]
check("ex04_batch_norm_model", ModelWithBatchNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Create three layers in `__init__`: `nn.Linear`, `nn.BatchNorm1d`, `nn.Linear`. Write down beside
# each the shape that goes in and the shape that comes out.
#
# </details>
# <details><summary>Hint 2: the shapes</summary>
#
# `x.flatten(1)` makes `(batch, 64)` of all three shapes. `nn.BatchNorm1d` wants to know the number of
# features it gets, which is what the first linear layer puts out.
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# # in __init__
# self.hidden = nn.Linear(input_size, ...)
# self.norm = nn.BatchNorm1d(...)
# self.logits = nn.Linear(..., num_classes)
#
# # in forward
# hidden = self.hidden(...)            # of the flattened x
# return self.logits(torch.relu(...))  # of the normalised hidden values
# ```
#
# </details>
#
# ## Task 2: `ModelWithLayerNorm`
#
# The same network with the other norm. `nn.LayerNorm` may be used, and your `CustomLayerNorm` of
# exercise 3 may be pasted in. Change nothing else, or the comparison below is not one of norms.
#
# One thing trips people up: which dim. In `(batch, features)` the mean of a layer norm runs over the
# last dim, so nothing that one sample does can reach another.


# %% tags=["solution"]
class ModelWithLayerNorm(nn.Module):
    """
    The same classifier, with layer normalization in the place of batch normalization.

    Args:
        input_size: How many values a sample has
        hidden_size: How many units the hidden layer, or each hidden layer, has
        num_classes: How many classes there are
    """

    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        # 1. Create the same layers, with another norm
        ### BEGIN SOLUTION
        self.hidden = nn.Linear(input_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.logits = nn.Linear(hidden_size, num_classes)
        ### END SOLUTION

    def forward(self, x):
        """
        Args:
            x: Samples of shape (batch, ...), with input_size values each

        Returns:
            Logits of shape (batch, num_classes), which no softmax has seen
        """
        # 2. As in ModelWithBatchNorm
        ### BEGIN SOLUTION
        hidden = self.hidden(x.flatten(1))  # (batch, hidden_size)
        return self.logits(torch.relu(self.norm(hidden)))  # (batch, num_classes)
        ### END SOLUTION


# %% tags=["check"]
check("ex04_layer_norm_model", ModelWithLayerNorm)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Copy `ModelWithBatchNorm` and change one line.
#
# </details>
# <details><summary>Hint 2: that line</summary>
#
# Like `nn.BatchNorm1d`, `nn.LayerNorm` wants the number of features. The name of the class is all
# that differs.
#
# </details>
#
# ### See it: what a sample owes to its batch
#
# Both networks are new, and in training mode. The same image is put into 150 batches of random
# other images, again and again, and each dot is its first logit. What should the two panels look
# like?

# %% tags=["show"]
one_sample_in_many_batches(ModelWithBatchNorm, ModelWithLayerNorm)

# %% [markdown]
# On the left, the same image gets another answer in each batch, and the smaller the batch, the
# further apart the answers are. On the right there is one answer. In training, the left network has
# to learn in spite of that noise. In evaluation it uses running statistics, and the dots would lie
# on a line as well.
#
# ## Task 3: `train_and_evaluate`
#
# The loop that trains both. It should work for any model, and with any loaders: a loader is whatever
# gives batches `(x, y)` in a `for` loop, such as PyTorch's `DataLoader`. The optimizer is
# `torch.optim.SGD` with the given `lr` and nothing else, so that your numbers can be compared with
# the expected ones.
#
# Most slips in such a loop raise no error; the numbers that come out are just a little wrong.
#
# - **Gradients add up** until somebody clears them.
# - **Modes.** Training in training mode, evaluation in evaluation mode. Nobody says in which of the
#   two a model arrives.
# - **What is averaged.** The last batch of a loader is often smaller than the others. The accuracy is
#   a share of all samples, not a mean over batches.
# - **Losses that keep their graph.** A loss is a tensor with everything behind it that `backward`
#   may need. Keep the number alone.


# %% tags=["solution"]
def train_and_evaluate(model, train_loader, test_loader, epochs, lr):
    """
    Train a classifier with plain stochastic gradient descent, then see how good it is.

    Args:
        model: An nn.Module that returns logits of shape (batch, num_classes)
        train_loader: Batches (x, y) to train on; y are class numbers of shape (batch,)
        test_loader: Batches (x, y) to evaluate on
        epochs: How often to go through train_loader
        lr: Learning rate of torch.optim.SGD

    Returns:
        losses: The cross-entropy of every step of every epoch, in order, as a list of floats
        accuracy: The share of all samples of test_loader whose class has the largest logit
    """
    # 1. Create the optimizer: plain SGD, without momentum
    # 2. For every epoch and every batch, in training mode: loss, gradients, step; note the loss
    # 3. In evaluation mode, and without gradients: count what is right in test_loader
    ### BEGIN SOLUTION
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    model.eval()
    correct = total = 0
    with torch.no_grad():
        for x, y in test_loader:
            correct += (model(x).argmax(dim=1) == y).sum().item()
            total += len(y)
    return losses, correct / total
    ### END SOLUTION


# %% tags=["check"]
check("ex04_train", train_and_evaluate)

# %% [markdown]
# <details><summary>Hint 1: one step</summary>
#
# Four lines, in this order: clear the gradients, compute the loss, `loss.backward()`,
# `optimizer.step()`. Get one batch right first; the report card's first case is just that.
#
# </details>
# <details><summary>Hint 2: the loss</summary>
#
# `F.cross_entropy(model(x), y)` is a mean over the batch. `loss.item()` is its number.
#
# </details>
# <details><summary>Hint 3: the accuracy</summary>
#
# `model(x).argmax(dim=1)` are the classes that the model names for a batch. Compare them with y, count
# what is right, and count the samples. Both counts go on from batch to batch.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# optimizer = ...                      # of all parameters, with the given lr
# losses = []
# for epoch in range(epochs):
#     ...                              # training mode
#     for x, y in ...:
#         ...                          # the four lines, and losses.append(...)
# ...                                  # evaluation mode
# correct = total = 0
# with ...:                            # no gradients
#     for x, y in ...:
#         correct += ...               # how many of model(x).argmax(dim=1) equal y
#         total += ...
# return losses, ...                   # the share
# ```
#
# </details>
#
# ## See it
#
# Now the comparison. The images are 1,797 handwritten digits that come with scikit-learn; 500 are
# held out. Each network sees the other 1,297 four times. Smaller batches mean more steps, so the
# learning rate shrinks in proportion: 0.1 at 64 images, and 1/32 of that at 2.
#
# Mind `drop_last=True`: 1,297 is odd, so without it the last batch of every epoch would hold a single
# image when the batch size is 2, or 8.

# %% tags=["show"]
data = digits()
training_set = TensorDataset(data.images, data.labels)
held_out = TensorDataset(data.held_out_images, data.held_out_labels)
test_loader = DataLoader(held_out, batch_size=500)


def train_loader(batch_size, seed):
    """Training images in random order, in full batches."""
    order = torch.Generator().manual_seed(seed)
    return DataLoader(training_set, batch_size, shuffle=True, drop_last=True, generator=order)


def one_run(model_class, batch_size, seed):
    """Train a new network; return its losses and its accuracy on held-out images."""
    torch.manual_seed(seed)
    loader = train_loader(batch_size, seed)
    return train_and_evaluate(model_class(), loader, test_loader, 4, 0.1 * batch_size / 64)


# %% tags=["show", "nbval-ignore-output"]
models = {"batch norm": ModelWithBatchNorm, "layer norm": ModelWithLayerNorm}
runs = compare(models, train_and_evaluate, one_run, seeds=5)

# %% tags=["show", "nbval-ignore-output"]
training_curves(runs)

# %% [markdown]
# At 64 batch norm is a little faster in the first steps, and then the two are hard to tell apart. At
# 8 batch norm is behind. At 2 its loss stays above 1: of two images, all that the norm lets through
# is which has more of a feature. The curve of layer norm is nearly the same three times. Note how
# narrow the bands are: what you see is not luck with a seed.
#
# And on images that the networks have not seen?

# %% tags=["show", "nbval-ignore-output"]
error_against_batch_size(runs)

# %% [markdown]
# Layer norm does not care. Batch norm is as good down to 8, and then gets worse. At 2 it is still far
# better than its training loss suggests: in evaluation it normalises with running statistics, which
# have averaged over many batches. But its weights were learned for other activations than those that
# they meet now.
#
# ### And with one?
#
# With a batch of one, each value is its own mean, and every deviation is 0.


# %% tags=["show", "nbval-ignore-output"]
@torch.no_grad()
def asked_in_training_mode(model, images_at_a_time):
    """The error on held-out images in percent, with batches of this size and their statistics."""
    model.train()
    wrong = 0
    for x, y in DataLoader(held_out, images_at_a_time):
        wrong += (model(x).argmax(dim=1) != y).sum().item()
    return 100 * wrong / len(held_out)


if not runs:
    print("This cell waits for the comparison above.")
else:
    torch.manual_seed(0)
    trained = ModelWithBatchNorm()
    _, accuracy = train_and_evaluate(trained, train_loader(64, 0), test_loader, 4, 0.1)
    print(f"evaluation mode:                  {100 * (1 - accuracy):3.0f} % wrong")
    for size in (100, 10, 2, 1):
        try:
            print(f"training mode, {size:3} at a time:    ", end="")
            print(f"{asked_in_training_mode(trained, size):3.0f} % wrong")
        except ValueError as error:
            print(f"ValueError: {error}")

# %% [markdown]
# The weights are the same in every line. This is why a forgotten `model.eval()` can go unnoticed
# for long: with 100 images at a time it does no harm that you could see.
#
# ### Other images
#
# FashionMNIST has 70,000 pictures of clothes, 28 × 28, and is harder. The next cell uses 2,000 of
# them if torchvision is installed and the data lie in the folder `data` beside this notebook. It
# downloads nothing. To fetch them yourself, once, install torchvision and run
# `torchvision.datasets.FashionMNIST("data", download=True)`.


# %% tags=["show", "nbval-ignore-output"]
def fashion(train, count):
    """Some images of FashionMNIST between 0 and 1, and their labels."""
    from torchvision.datasets import FashionMNIST

    images = FashionMNIST("data", train=train)
    return TensorDataset(images.data[:count] / 255, images.targets[:count])


try:
    clothes, other_clothes = fashion(True, 2000), fashion(False, 1000)
except (ImportError, RuntimeError):
    print("FashionMNIST is not on this machine, so this cell does nothing.")
else:
    for name, size in [(name, size) for size in (64, 2) for name in models if runs]:
        torch.manual_seed(0)
        loaders = DataLoader(clothes, size, shuffle=True), DataLoader(other_clothes, 500)
        model = models[name](input_size=784)
        _, accuracy = train_and_evaluate(model, *loaders, 2, 0.1 * size / 64)
        print(f"{name}, batch size {size:2}: {100 * (1 - accuracy):.0f} % wrong")

# %% [markdown]
# ## What the papers found
#
# **Ba, Kiros and Hinton (2016)**, *Layer Normalization*
# ([arXiv:1607.06450](https://arxiv.org/abs/1607.06450)), make this experiment on MNIST, with the
# pixels as a plain vector, in Figure 6: batches of 128 on one side, of 4 on the other. They find that
# layer norm is robust to the batch size, and that it learns faster than batch norm. The first agrees
# with what you see. The second we see in small batches only: at 64 the two curves above end in the
# same place, and batch norm is ahead on the way. Their network is larger, and so is their data set.
#
# **Wu and He (2018)**, *Group Normalization*
# ([arXiv:1803.08494](https://arxiv.org/abs/1803.08494)), train a ResNet-50 on ImageNet with 32 down
# to 2 images on each GPU. In Figure 5 the curves of batch norm rise as the batch shrinks, and those
# of group norm, which like layer norm stays within a sample, lie on each other. In their Table 2 the
# error of batch norm goes from 23.6 % at 32 images to 34.7 % at 2, that of group norm from 24.1 % to
# 24.1 %. They scale the learning rate with the batch size, as we do.
#
# Honest words. The shape is the same here: flat for one norm, and rising below 8 for the other. The
# numbers are not comparable. These digits are easy, the network is small, and 500 held-out images
# make steps of 0.2 %, so a difference of half a percent means nothing. Nor does any of this say that
# layer norm is the better one. In large batches batch norm is on a par here, and on images, in
# convolutional networks, it is often ahead.
#
# ## Reflect
#
# **1.** Spot the bug. `model.eval()` stands before the loop over the test set. The function is called
# once after each epoch, and the losses of the second epoch look odd. What is missing?
#
# <details><summary>Answer</summary>
#
# `model.train()` at the start of each epoch. From the second epoch on, batch norm normalises with
# running statistics, which then never move again, and the gradient no longer passes through a mean
# or a variance. A network with layer norm and no dropout would not show it.
#
# </details>
#
# **2.** Trained and asked in pairs, in training mode, the network with batch norm is wrong about
# 30 % of the held-out images. The same network, in evaluation mode, is wrong about 10 %. Where does
# the difference come from?
#
# <details><summary>Answer</summary>
#
# The two numbers belong to two functions. In training mode the network sees each image through the
# statistics of a pair, and most of what distinguishes the image is lost. In evaluation mode it sees
# the image through statistics of many batches, which are the same for every image. You saw this gap
# above for a network that was trained with 64: asked in pairs, it is wrong about a third.
#
# </details>
#
# **3.** You train on eight GPUs, with two images on each. Is the batch size 16 or 2?
#
# <details><summary>Answer</summary>
#
# For the gradient 16. For batch norm 2, because each GPU normalises with the images that it has.
# There is a layer that exchanges the statistics between GPUs, `nn.SyncBatchNorm`, at the price of
# waiting for each other in every layer. Layer norm has nothing to exchange.
#
# </details>
#
# **Next.** Exercise 5, on RMSNorm, asks whether layer norm needs its mean at all.
