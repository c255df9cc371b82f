# %% [markdown]
# # Exercise 8: Visualizing the effect of layer normalization
#
# Before a network has learned anything, its depth can already have spoiled it: the numbers shrink or
# grow from layer to layer until nothing is left of the input, or of the gradient. Nothing fails, and
# the loss just does not fall. Those who look at the activations see it at once. By the end of this
# notebook you can
#
# - record what any layer of any PyTorch model puts out, and leave the model as it was,
# - predict how the spread of activations changes with depth, and show it in a figure,
# - say what layer norm does about it, and what it does nothing about.
#
# **35 minutes · medium · 10 points.** You need exercise 3, `nn.Sequential`, and to have drawn a
# histogram with matplotlib.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from course import check
from course.student.figures.activations import (
    depth_explorer,
    gradients_through_depth,
    histograms_by_gain,
    input_to_output,
    own_figure,
    statistics_through_depth,
    where_to_record,
)
from course.student.prediction import Prediction
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# Take a deep network of equal layers, each a linear layer without bias and a ReLU. Each of its
# weights is drawn with mean 0 and standard deviation $g / \sqrt{n}$, where $n$ is the number of
# features and $g$ is called the *gain*. Let $z^{(l)}$ be what comes out of linear layer $l$, and
# $s_l$ its spread, the root of the mean of its squares. Two things happen on the way to the next
# layer:
#
# 1. The numbers lie symmetrically around 0, and ReLU replaces the negative half of them by 0. That
#    leaves half of the mean square: $s_l^2 / 2$.
# 2. Each number of the next layer is a sum of $n$ terms, and each term has a random weight. The mean
#    square of such a sum is $n \cdot \frac{g^2}{n} \cdot \frac{s_l^2}{2}$.
#
# The $n$ cancels, and what remains is a law for the whole depth:
#
# $$
# s_{l+1} = \frac{g}{\sqrt{2}} \, s_l
# \qquad \text{and from a standard normal input} \qquad
# s_l = g \left( \frac{g}{\sqrt{2}} \right)^{l-1}
# $$
#
# **By hand.** Let layer 1 hold $(2, -2, 1, -1)$. Its mean square is $(4 + 4 + 1 + 1) / 4 = 2.5$. After
# ReLU it is $(2, 0, 1, 0)$, with a mean square of $5 / 4 = 1.25$, which is half. With a gain of 1 the
# mean square of layer 2 is expected to be 1.25, with a gain of 2 it is $4 \cdot 1.25 = 5$. Continued:
#
# | gain | factor a layer | spread of layer 1 | layer 2 | layer 3 | layer 5 | layer 9 |
# |---|---|---|---|---|---|---|
# | 1 | 0.71 | 1 | 0.71 | 0.50 | 0.25 | 0.06 |
# | $\sqrt{2}$ | 1 | 1.41 | 1.41 | 1.41 | 1.41 | 1.41 |
# | 2 | 1.41 | 2 | 2.83 | 4 | 8 | 32 |
#
# Only one gain keeps the spread, $\sqrt{2}$; it is known as Kaiming's. `nn.Linear` itself starts
# with a gain of $1 / \sqrt{3} = 0.58$.
#
# Now put layer norm between each linear layer and its ReLU. Each row has mean 0 and spread 1 then,
# whatever the gain. Below you see both networks, and where this notebook looks at them: at the
# input of each ReLU.

# %% tags=["show"]
where_to_record()

# %% [markdown]
# ## Predict
#
# A network without norm has 16 layers and a gain of 1, a harmless-looking number. The spread of layer 1
# is 1. What is that of layer 16?

# %% tags=["show"]
prediction = Prediction(
    "ex08_visualizing_activations", "about 1", "about 1/4", "about 1/16", "about 1/181"
)
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# 1/181. There are 15 steps from layer 1 to layer 16, and each halves the mean square, so the spread
# is $2^{-15/2} = 1/181$. That is for very wide layers; one with 512 units comes close to it.
#
# </details>

# %% tags=["show"]
random = torch.Generator().manual_seed(0)
h = torch.randn(256, 512, generator=random)
spreads = []
for _ in range(16):
    activations = h @ torch.randn(512, 512, generator=random) / 512**0.5
    spreads.append(activations.std())
    h = activations.relu()
print(f"spread of layer 1: {spreads[0]:.1f}; of layer 16: about 1/{1 / spreads[-1]:.0f}")
prediction.beside("about 1/181")

# %% [markdown]
# ## Task 1: `record_activations`
#
# You could rewrite a model so that it returns what it has inside. PyTorch has a better way, a *forward
# hook*: a function that you register on a layer, and that the layer calls whenever it has run, with
# three arguments: itself, a tuple of its inputs, and its output. Here is one that prints.


# %% tags=["show"]
def tell_shape(module, inputs, output):
    print(type(module).__name__, "puts out", tuple(output.shape))


model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
handle = model.get_submodule("1.1").register_forward_hook(tell_shape)
model(torch.zeros(5, 3))
handle.remove()
model(torch.zeros(5, 3))
print("The names of all layers:", [name for name, _ in model.named_modules() if name])

# %% [markdown]
# The first call of the model prints a line; the second does not, for the hook is gone. A layer within a
# block has a name with dots in it.
#
# Write a function that records what some layers put out. What trips people up:
#
# - **The name in the loop.** A function that is made in a loop looks its variables up when it is
#   *called*. By then the loop is over, and every hook finds the last name.
# - **Memory that someone else writes into.** `output.detach()` is the same memory under another name. If
#   the next layer is an `nn.ReLU(inplace=True)`, it overwrites what you have recorded.
# - **What stays behind.** A hook that is not removed runs for ever. That holds for a model that raises an
#   error half-way, too.


# %% tags=["solution"]
def record_activations(model, x, layers):
    """
    Run a model once, and record what some of its layers put out.

    The model runs in the mode that it is in (training or evaluation), and is left as it was.

    Args:
        model: an nn.Module
        x: its input, a tensor of shape (batch, ...)
        layers: list of names of layers, as model.named_modules() has them, such as "0.linear"

    Returns:
        dict with one tensor for each name, without gradients: what that layer put out for x,
        whatever the model does with it afterwards
    """
    # 1. Make an empty dict, and a function that makes the hook for one name
    # 2. Register a hook on each layer, and keep the handle that you get
    # 3. Run the model on x
    # 4. Remove the hooks, even if the model has raised an error
    ### BEGIN SOLUTION
    recorded = {}

    def hook_for(name):
        def hook(module, inputs, output):
            recorded[name] = output.detach().clone()

        return hook

    handles = [model.get_submodule(name).register_forward_hook(hook_for(name)) for name in layers]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorded
    ### END SOLUTION


# %% tags=["check"]
check("ex08_record_activations", record_activations)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Take the cell above, and let the hook write `output` into a dict instead of printing. Do it for
# one layer first.
#
# </details>
# <details><summary>Hint 2: one hook for each name</summary>
#
# A function that makes a hook keeps its own `name` for it:
#
# ```python
# def hook_for(name):
#     def hook(layer, inputs, output):
#         recorded[name] = ...
#     return hook
# ```
#
# </details>
# <details><summary>Hint 3: nearly there</summary>
#
# ```python
# recorded = {}
# handles = [... for name in layers]   # register hook_for(name) on the layer of that name
# try:
#     model(x)
# finally:                             # runs after an error as well
#     for each in handles:
#         ...
# return recorded
# ```
#
# The hook stores `output.detach().clone()`: `detach` lets go of the graph of gradients, `clone` copies.
#
# </details>
#
# ## Task 2: `visualize_activations`
#
# Build the two networks of the idea, record the input of each ReLU, draw both in one figure, and return
# the figure together with the numbers in it. How you draw is yours to decide: histograms, lines, boxes
# or heat maps. Your numbers are checked against what must hold for them, whatever the random numbers are.
# `nn.LayerNorm` may be used.
#
# What trips people up:
#
# - **Two networks that differ in more than the norm.** Random numbers go on from where they stopped. Start
#   them again from `seed` before the second network, or its weights are others, and you compare
#   chance with chance.
# - **The place.** In the network with layer norm the input of the ReLU is the output of the norm.
# - **Figures shown twice.** Jupyter shows what pyplot has open at the end of a cell. You return the
#   figure, so you may close it before: `plt.close(fig)`.


# %% tags=["solution"]
def visualize_activations(depth=8, width=64, batch=256, gain=1.0, seed=0):
    """
    Draw the activations of a deep network without and with layer normalization, layer by layer.

    The network repeats depth times: a linear layer from width to width features without bias,
    layer normalization (in the second network only), ReLU. Its weights are normal, with mean 0
    and standard deviation gain / sqrt(width). Its input is standard normal. Input and weights
    are the same in both networks.

    Args:
        depth: Number of layers
        width: Number of features of a layer, and of the input
        batch: Number of samples
        gain: The size of the weights
        seed: Of the random numbers: the same seed gives the same activations

    Returns:
        fig: a matplotlib figure that shows both networks, with labelled axes and the words
            "without" and "with"
        activations: {"without": {layer: values}, "with": {layer: values}}, with one entry for
            each layer, from the first to the last, under any key. Values have shape
            (batch, width): the input of the ReLU, which in the second network is the output of
            the norm
    """
    # 1. For each of the two networks, start the random numbers from the seed
    # 2. Draw the input, build the network, and draw its weights
    # 3. Record what goes into each ReLU
    # 4. Draw the figure, label it, and return it with the numbers
    ### BEGIN SOLUTION
    activations = {}
    for network in ("without", "with"):
        random = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, width, generator=random)
        model = nn.Sequential()
        for layer in range(1, depth + 1):
            linear = nn.Linear(width, width, bias=False)
            nn.init.normal_(linear.weight, std=gain / width**0.5, generator=random)
            model.add_module(f"linear {layer}", linear)
            if network == "with":
                model.add_module(f"norm {layer}", nn.LayerNorm(width))
            model.add_module(f"relu {layer}", nn.ReLU())
        before_relu = "norm" if network == "with" else "linear"
        names = [f"{before_relu} {layer}" for layer in range(1, depth + 1)]
        recorded = record_activations(model, x, names)
        activations[network] = dict(enumerate(recorded.values(), start=1))

    fig, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True, sharey=True)
    colours = plt.get_cmap("viridis_r")(np.linspace(0.1, 1, depth))
    for axes, (network, layers) in zip(panels, activations.items(), strict=True):
        for colour, (layer, values) in zip(colours, layers.items(), strict=True):
            density, edges = np.histogram(values.numpy(), bins=50, density=True)
            axes.stairs(density, edges, color=colour, label=layer)
        axes.set(title=f"{network} layer norm", xlabel="input of the ReLU", yscale="log")
    panels[0].set_ylabel("density")
    panels[1].legend(title="layer", ncols=2, fontsize="small")
    plt.close(fig)  # it is returned; pyplot would show it once more
    return fig, activations
    ### END SOLUTION


# %% tags=["check"]
check("ex08_visualize_activations", visualize_activations)

# %% [markdown]
# <details><summary>Hint 1: where to start</summary>
#
# Begin without a figure: return `plt.figure()` and the dict. The report card then tells you about the
# numbers. Draw when they are right.
#
# </details>
# <details><summary>Hint 2: the networks</summary>
#
# One loop over the two networks, and in it one loop over the layers. An empty `nn.Sequential()` and
# `model.add_module("linear 1", ...)` make a model with names of your choice, which
# `record_activations` then takes. Names must not contain dots.
#
# </details>
# <details><summary>Hint 3: the same random numbers</summary>
#
# `torch.manual_seed(seed)` at the start of the outer loop's body is enough, if the input and the weights
# are drawn after it and in the same order in both networks. `nn.LayerNorm` draws nothing.
#
# </details>
# <details><summary>Hint 4: nearly there</summary>
#
# ```python
# for network in ["without", "with"]:
#     torch.manual_seed(seed)
#     x, model = ..., nn.Sequential()
#     for number in range(depth):
#         linear = nn.Linear(width, width, ...)
#         nn.init.normal_(linear.weight, std=...)
#         ...                                    # add it, the norm if network == "with", and the ReLU
#     names = [...]                              # of the norms, or of the linear layers
#     activations[network] = record_activations(model, x, names)
#
# fig, panels = plt.subplots(1, 2)
# for axes, network in zip(panels, activations):
#     for values in activations[network].values():
#         axes.hist(values.flatten().numpy(), bins=50, histtype="step")
#     axes.set(title=..., xlabel=..., ylabel=...)
# ```
#
# </details>
#
# ## See it
#
# Your own figure first, drawn by your function as it is called without arguments.

# %% tags=["show"]
own_figure(visualize_activations)

# %% [markdown]
# Now your numbers for three gains and 16 layers, all on the same axes. Follow a row from left to right.

# %% tags=["show"]
histograms_by_gain(visualize_activations)

# %% [markdown]
# The blue outlines of one column are not merely alike: they are the same in all three rows. A gain
# multiplies every number of a row by one factor, and layer norm divides it out again. What remains in a
# column is the shape, and in the last one it is rough: 64 units, each with numbers close to one value of its
# own. The next figure has more on that.

# %% tags=["show"]
statistics_through_depth(visualize_activations)

# %% [markdown]
# The left panel shows the law, as three straight lines on a logarithmic axis, and what layer norm does
# about it. The other two show what it does nothing about. A *dead* unit gives ReLU no number above 0 in the
# whole batch: it puts out 0, and no gradient passes. The deeper the layer, the more of them there are, with
# layer norm as without. And the samples grow alike: in layer 16 any two rows point nearly the same way. The
# lines of the three gains lie on top of each other here, because neither a sign nor a direction
# depends on a factor.
#
# A training step needs gradients. For a random gradient of the output, how large is that of each
# layer's weights?

# %% tags=["show"]
gradients_through_depth()

# %% [markdown]
# Without layer norm each curve is level, which may surprise you. The gradient of a weight is a product of what
# comes from the front, the activation, and what comes from behind. Together they pass every layer but one,
# so each layer's gradient holds the same power of $g / \sqrt{2}$. It is too small everywhere, or too
# large everywhere. A learning rate that suits one depth is wrong for another. With layer norm the
# gain hardly matters.
#
# Choose depth and gain yourself. Can you find a gain for which 32 layers without norm keep their spread? Does
# it keep it for every seed?

# %% tags=["show"]
depth_explorer(visualize_activations)

# %% [markdown]
# ## What the papers found
#
# **Where the law comes from.** Glorot and Bengio (2010), *Understanding the difficulty of training deep
# feedforward neural networks*, draw histograms of the activations layer by layer in their Figure 6, for
# networks with tanh: with the start that was common then, the peak at 0 grows from layer to layer. He
# et al. (2015), *Delving Deep into Rectifiers* ([arXiv:1502.01852](https://arxiv.org/abs/1502.01852)), derive
# the law for ReLU in Section 2.2, and with it the standard deviation $\sqrt{2 / n}$: a gain of
# $\sqrt{2}$. Does it hold for your networks? Below, eight seeds for each gain, with 16 layers.


# %% tags=["show"]
def against_the_law(visualize, gain, depth=16, seeds=8):
    """Print the spread of the last layer beside the law, and the dead units of both networks."""
    spreads, dead = [], {"without": [], "with": []}
    for seed in range(seeds):
        fig, activations = visualize(depth=depth, gain=gain, seed=seed)
        plt.close(fig)
        last = {name: np.asarray(list(layers.values())[-1]) for name, layers in activations.items()}
        spreads.append(last["without"].std())
        for name, values in last.items():
            dead[name].append((values <= 0).all(axis=0).mean())
    law = gain * (gain / 2**0.5) ** (depth - 1)
    shares = [f"{np.mean(share):.0%}" for share in dead.values()]
    print(
        f"gain {gain:<5.3g} law {law:<8.2g} yours {min(spreads):.2g} to {max(spreads):.2g};"
        f" dead units {shares[0]} without, {shares[1]} with"
    )


with waits_for(visualize_activations):
    for gain in (1.0, 2**0.5, 2.0):
        against_the_law(visualize_activations, gain)

# %% [markdown]
# The law gives the power of ten. It is a law of the mean over all networks, and each single one is off by its
# own factor, the same for every gain of a seed. That factor wanders further from 1 with depth, and less far
# with more features. Even Kaiming's gain keeps a spread only roughly. And on average over
# the seeds there are about as many dead units with layer norm as without.
#
# **What layer norm is, as a map.** Zhu et al. (2025), *Transformers without Normalization*
# ([arXiv:2503.10622](https://arxiv.org/abs/2503.10622)), plot in Figure 2 the output of trained
# Transformers' layer norms against their input, number by number. In deeper layers they see an S, like tanh,
# and go on to replace the norm by a scaled tanh, which they call DyT. But layer norm is affine in each token: it
# subtracts a number and divides by another. Where does an S come from?

# %% tags=["show"]
input_to_output(visualize_activations)

# %% [markdown]
# From the tokens together. Each is a straight line whose slope is 1 over its spread. Numbers far out
# belong to tokens with a large spread, so they lie on flat lines; near 0 the steep lines count. The
# mean over tokens, in black, bends into an S.
#
# Honest words. Our tokens are drawn with spreads from a log-normal distribution, to make the point; they
# come from no trained model. In your own network of random weights all samples have about the same scale, and there
# is hardly an S to see. Also, all of this notebook looks at networks before training. What matters in the end
# is what happens after the first thousand steps, and good weights at the start are one way there among others.
#
# ## Reflect
#
# **1.** Spot the bug: "To compare, I made the network twice, `plain = build(norm=False)` and
# `normed = build(norm=True)`, with `torch.manual_seed(0)` at the top of my notebook. Layer 1 has a spread of
# 1.03 in one and 0.98 in the other before the norm, so the norm already has an effect there."
#
# <details><summary>Answer</summary>
#
# The seed is set once, so the second network has other weights. Before its first norm a network cannot know
# that there is one: layer 1 must be the same to the last digit. That is a test worth making whenever you
# compare two versions of something.
#
# </details>
#
# **2.** A lecture says: "Layer norm prevents dead ReLUs, because it centres the activations." Is that so?
#
# <details><summary>Answer</summary>
#
# It centres over the features of a sample: about half of the units of each row are above 0. A unit is dead if
# it is below 0 in *every* row, and over rows nothing is centred. If all rows are alike, the same half is below 0
# in all of them, as you have seen in the deep layers. Batch norm centres each unit over the batch, and has no
# dead units at its own output.
#
# </details>
#
# **3.** The gradient figure shows that with layer norm a gain of 2 gives *smaller* gradients of the weights than a
# gain of 1. Why, and by which factor?
#
# <details><summary>Answer</summary>
#
# By a factor of 2. What comes out of the norm does not change when the weights are doubled, so a step of the
# same size in a weight that is twice as large turns it half as far. In formulas: if $f(cW) = f(W)$ for
# every $c > 0$, the gradient at $cW$ is $1/c$ times the gradient at $W$.
#
# </details>
#
# **Next.** Exercise 9 asks where in a Transformer block the norm belongs, and finds the answer in the
# gradients of each layer.
