"""Exercise 8: recording activations with hooks, and a figure of what layer norm does to them."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course.instructor.draws import draw_rows
from course.instructor.task import Task
from course.layer_normalization_solutions import record_activations
from course.student.answer_key import Case, Tolerance
from course.student.plain import PlainValues

# Recording


def oracle_of_recording(model, x, layers):
    """Walk through the modules by hand; no hooks."""
    recorded = {}

    def run(module, h, name):
        if isinstance(module, nn.Sequential):
            for child_name, child in module.named_children():
                h = run(child, h, f"{name}.{child_name}".lstrip("."))
        else:
            # A copy goes in, so that nothing is written over; the model's own hooks run.
            h = module(h.clone())
        if name in layers:
            recorded[name] = h.detach().clone()
        return h

    run(model, x, "")
    return {name: recorded[name] for name in layers}


recording = Task(
    "ex08_record_activations",
    "Recording what layers put out",
    defines="record_activations",
    oracle=oracle_of_recording,
)

# Right answers are the very numbers of a float32 forward pass, which another way of computing it
# changes by 1e-6; the numbers of another layer differ by 0.1 and more.
FLOAT32 = Tolerance(rtol=1e-4, atol=1e-4)
EXACT = Tolerance(rtol=0, atol=0)


@recording.cases
def recording_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Batch and features differ, and every layer of the model keeps its features."""
    batch, features = (int(n) for n in rng.choice([4, 5, 6, 7, 8], 2, replace=False))

    def inputs(names, look_at, **more):
        x, *others = (
            np.asarray(draw_rows(rng, batch, features), np.float32)
            for _ in range(1 + (look_at == "twice"))
        )
        weights = rng.normal(size=(3, features, features)) / np.sqrt(features)
        return {
            "x": x,
            "weights": np.asarray(weights, np.float32),
            "names": names,
            "look_at": look_at,
            **({"other": others[0]} if others else {}),
        }

    yield Case(
        "what two layers put out is returned under their names",
        points=0.75,
        inputs=inputs("first last", "outputs"),
        tolerance=FLOAT32,
        judged=("first", "last"),
        hint="A hook is called with (module, inputs, output). `inputs` is a tuple; `output` "
        "is what "
        "you are after.",
    )
    yield Case(
        "layers within a block are found by their dotted names",
        points=0.25,
        inputs=inputs("block.1 block.0", "outputs"),
        tolerance=FLOAT32,
        judged=("block.1", "block.0"),
        hint="`model.get_submodule('block.1')` finds it; so does `dict(model.named_modules())`. "
        "`named_children` has the outermost layers only.",
    )
    yield Case(
        "nothing is recorded but what was asked for",
        points=0.25,
        inputs=inputs("first block.1", "names"),
        tolerance=EXACT,
        judged=("names recorded",),
        hint="Register hooks on the named layers only, and use the names as keys.",
    )
    yield Case(
        "a ReLU that writes over its input does not change what was recorded",
        points=0.5,
        inputs=inputs("first block.1 last", "in-place"),
        tolerance=FLOAT32,
        judged=("first", "block.1", "last"),
        hint="`detach` and `numpy` share the memory of the output. Keep a copy: `.clone()`.",
    )
    yield Case(
        "your hooks are gone afterwards, and no others",
        points=0.25,
        inputs=inputs("first block.1", "hooks"),
        tolerance=EXACT,
        judged=("hooks left on the model", "a hook that was there before is kept"),
        hint="`register_forward_hook` returns a handle. Keep each, and call its `remove()` "
        "at the end.",
    )
    yield Case(
        "your hooks are gone even if the model raises an error",
        points=0.25,
        inputs=inputs("first block.1", "error"),
        tolerance=EXACT,
        judged=("hooks left on the model",),
        hint="`try: model(x)`, then `finally:` with the removal runs it whatever happens.",
    )
    yield Case(
        "what was recorded holds no graph of gradients",
        points=0.25,
        inputs=inputs("first block.1 last", "graph"),
        tolerance=EXACT,
        judged=("tensors that still hold the graph",),
        hint="A tensor that requires gradients keeps the whole graph behind it in memory: "
        "`.detach()` it.",
    )
    yield Case(
        "a second call leaves alone what the first one returned",
        points=0.25,
        inputs=inputs("first block.1", "twice"),
        tolerance=FLOAT32,
        judged=("first", "block.1"),
        hint="Make a new dict in each call, and leave no hook behind that writes into an old one.",
    )
    yield Case(
        "the model runs in the mode that it is in, and stays in it",
        points=0.25,
        inputs=inputs("block.3", "mode"),
        tolerance=EXACT,
        judged=(
            "dropout was at work, in training mode",
            "each part is in the mode it was in",
            "gradients are still enabled",
            "parameters that have a gradient",
        ),
        hint="Call neither `model.eval()` nor `model.train()`: both set every part. And use "
        "`with torch.no_grad():`, which ends with its block, or nothing.",
    )


@recording.known_mistake(
    "one name for all hooks",
    "Your hooks look the name up when they run, and by then the loop has come to its last name. "
    "They all write to that one key.",
    hint="Let a function make the hook, with the name as its argument: `def hook_for(name): ...`. "
    "Or fix it as a default: `lambda module, inputs, output, name=name: ...`.",
)
def late_name(model, x, layers):
    recorded, handles = {}, []
    for name in layers:

        def hook(module, inputs, output):
            recorded[name] = output.detach().clone()  # noqa: B023

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


@recording.known_mistake(
    "what goes into the layer, not what comes out",
    "You recorded the second argument of the hook, which is the layer's input.",
    hint="A hook is called with (module, inputs, output), in this order.",
)
def inputs_recorded(model, x, layers):
    recorded = {}

    def hook_for(name):
        return lambda module, inputs, output: recorded.update({name: inputs[0].detach().clone()})

    handles = [model.get_submodule(name).register_forward_hook(hook_for(name)) for name in layers]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


@recording.known_mistake(
    "the tuple of inputs itself",
    "You recorded the second argument of the hook: a tuple with the layer's inputs.",
    hint="A hook is called with (module, inputs, output). Record the third.",
)
def tuple_recorded(model, x, layers):
    recorded = {}
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: recorded.update({name: inputs})
        )
        for name in layers
    ]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


@recording.known_mistake(
    "no copy of the output",
    "What you kept is the output itself, a view of it, or a copy that your hook returned. What a "
    "hook returns, as a lambda always does, takes the output's place. The next layer may write "
    "into the same memory, as `nn.ReLU(inplace=True)` does; then you have what came after.",
    hint="`.detach()` shares memory, and so does `.numpy()`; `.clone()` makes a copy. And let the "
    "hook be a function without a `return`.",
)
def no_copy(model, x, layers):
    recorded, handles = {}, []
    for name in layers:
        handles.append(
            model.get_submodule(name).register_forward_hook(
                lambda module, inputs, output, name=name: recorded.update({name: output.detach()})
            )
        )
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


@recording.known_mistake(
    "neither detached nor copied",
    "You kept the output itself. It holds the graph of gradients, and the next layer may "
    "write into "
    "its memory, as `nn.ReLU(inplace=True)` does.",
    hint="Record `output.detach().clone()`.",
)
def output_itself(model, x, layers):
    recorded = {}

    def hook_for(name):
        def hook(module, inputs, output):
            recorded[name] = output

        return hook

    handles = [model.get_submodule(name).register_forward_hook(hook_for(name)) for name in layers]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


@recording.known_mistake(
    "copied, but not detached",
    "A clone still belongs to the graph of gradients, and keeps all of it in memory.",
    hint="`.detach()` first, then `.clone()`; or run the model under `with torch.no_grad():`.",
)
def keeps_graph(model, x, layers):
    recorded, handles = {}, []
    for name in layers:

        def hook(module, inputs, output, name=name):
            recorded[name] = output.clone()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


@recording.known_mistake(
    "hooks left on the model",
    "Your hooks are still there after the call. Every later run of the model writes into your dict "
    "again, and hooks pile up with each call.",
    hint="`register_forward_hook` returns a handle. Keep each, and call its `remove()` at the end.",
)
def hooks_left(model, x, layers):
    recorded = {}

    def hook_for(name):
        def hook(module, inputs, output):
            recorded[name] = output.detach().clone()

        return hook

    for name in layers:
        model.get_submodule(name).register_forward_hook(hook_for(name))
    model(x)
    return dict(recorded)


@recording.known_mistake(
    "hooks left on the model, and still recording",
    "Your hooks are still there after the call. The next run of the model writes over what you had "
    "returned.",
    hint="`register_forward_hook` returns a handle. Keep each, and call its `remove()` at the end.",
)
def hooks_left_at_work(model, x, layers):
    recorded = {}

    def hook_for(name):
        def hook(module, inputs, output):
            recorded[name] = output.detach().clone()

        return hook

    for name in layers:
        model.get_submodule(name).register_forward_hook(hook_for(name))
    model(x)
    return recorded


@recording.known_mistake(
    "only the last hook removed",
    "You kept one handle, that of the last layer; the other hooks are still on the model.",
    hint="Collect the handles in a list, and remove each of them.",
)
def last_hook_removed(model, x, layers):
    recorded = {}

    def hook_for(name):
        def hook(module, inputs, output):
            recorded.setdefault(name, output.detach().clone())

        return hook

    for name in layers:
        handle = model.get_submodule(name).register_forward_hook(hook_for(name))
    model(x)
    handle.remove()
    return recorded


@recording.known_mistake(
    "every hook removed, those of others too",
    "You emptied the layers' dicts of hooks. Hooks that were there before your call are gone.",
    hint="Remove your own, by the handles that `register_forward_hook` returned.",
)
def all_hooks_removed(model, x, layers):
    recorded = {}

    def hook_for(name):
        def hook(module, inputs, output):
            recorded[name] = output.detach().clone()

        return hook

    for name in layers:
        model.get_submodule(name).register_forward_hook(hook_for(name))
    try:
        model(x)
    finally:
        for module in model.modules():
            module._forward_hooks.clear()
    return recorded


@recording.known_mistake(
    "hooks left when the model raises an error",
    "If the model raises an error, your line that removes the hooks is never reached.",
    hint="Run the model under `try:`, and remove the hooks under `finally:`.",
)
def no_finally(model, x, layers):
    recorded, handles = {}, []
    for name in layers:

        def hook(module, inputs, output, name=name):
            recorded[name] = output.detach().clone()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    model(x)
    for handle in handles:
        handle.remove()
    return recorded


@recording.known_mistake(
    "evaluation mode for the recording",
    "You called `model.eval()`. The model is then left in evaluation mode, or comes back "
    "with every "
    "part in training mode; and what you recorded is not what it does in the mode it was in.",
    hint="Leave `eval` and `train` out of it.",
)
def in_evaluation_mode(model, x, layers):
    model.eval()
    return record_activations(model, x, layers)


@recording.known_mistake(
    "gradients switched off for good",
    "`torch.set_grad_enabled(False)` holds until someone switches them on again. After your "
    "function, "
    "nothing can be trained.",
    hint="`with torch.no_grad():` ends with its block.",
)
def gradients_off(model, x, layers):
    torch.set_grad_enabled(False)
    return record_activations(model, x, layers)


@recording.known_mistake(
    "every layer recorded",
    "Your dict has the layers that you were asked for, and all the others as well.",
    hint="Go through `layers`, and not through `model.named_modules()`.",
)
def every_layer(model, x, layers):
    return record_activations(model, x, [name for name, _ in model.named_modules() if name])


@recording.known_mistake(
    "one dict for all calls",
    "The dict lives on between calls, so a second call writes over what the first one returned.",
    hint="Make the dict inside the function. A default argument such as `recorded={}` is "
    "made once, "
    "when the function is defined.",
)
def one_dict(model, x, layers, recorded={}):  # noqa: B006
    recorded.clear()
    recorded.update(record_activations(model, x, layers))
    return recorded


@recording.known_mistake(
    "a list in place of a dict",
    "You returned the tensors in a list. A dict was asked for, with the names as keys.",
    hint="`recorded[name] = ...` in the hook, and `recorded = {}` at the start.",
)
def as_list(model, x, layers):
    return list(record_activations(model, x, layers).values())


@recording.known_mistake(
    "nothing returned",
    "Your function ends without `return`, so it gives None.",
    hint="End with `return recorded`.",
)
def recording_nothing(model, x, layers):
    record_activations(model, x, layers)


@recording.known_mistake(
    "only the outermost layers can be found",
    "You look a layer up among the model's own children, so one within a block is not found.",
    hint="`dict(model.named_modules())` has the layers within layers too, with dots in their "
    "names; "
    "so has `model.get_submodule(name)`.",
)
def outermost_only(model, x, layers):
    children = dict(model.named_children())
    for name in layers:
        children[name]
    return record_activations(model, x, layers)


@recording.combination
def late_name_inputs_left(model, x, layers):
    recorded = {}
    for name in layers:
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: recorded.update({name: inputs[0]})  # noqa: B023
        )
    model(x)
    return recorded


@recording.combination
def no_copy_and_left(model, x, layers):
    recorded = {}
    for name in layers:
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: recorded.update({name: output.detach()})
        )
    model(x)
    return recorded


@recording.combination
def graph_and_evaluation(model, x, layers):
    recorded, handles = {}, []
    model.eval()
    for name in layers:

        def hook(module, inputs, output, name=name):
            recorded[name] = output.clone()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorded


@recording.right_solution
def names_by_module(model, x, layers):
    names = {module: name for name, module in model.named_modules() if name in layers}
    outputs = {}

    def hook(module, inputs, output):
        outputs[names[module]] = output.detach().cpu().clone()

    handles = [module.register_forward_hook(hook) for module in names]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return {name: outputs[name] for name in layers}


@recording.right_solution
def as_numpy(model, x, layers):
    from contextlib import ExitStack

    outputs = {}
    modules = dict(model.named_modules())
    with ExitStack() as stack, torch.no_grad():
        for name in layers:
            handle = modules[name].register_forward_hook(
                lambda module, inputs, output, name=name: outputs.update(
                    {name: np.array(output)}  # a copy
                )
            )
            stack.callback(handle.remove)
        model.forward(x)
    return outputs


@recording.right_solution
def a_recorder(model, x, layers):
    class Recorder:
        def __init__(self, module):
            self.handle = module.register_forward_hook(self)

        def __call__(self, module, inputs, output):
            self.output = output.data.clone()

        def remove(self):
            self.handle.remove()

    recorders = {}
    try:
        for name in layers:
            recorders[name] = Recorder(model.get_submodule(name))
        model(x)
    finally:
        for recorder in recorders.values():
            recorder.remove()
    return {name: recorder.output for name, recorder in recorders.items()}


@recording.right_solution
def with_handles(model, x, layers):
    from functools import partial

    def keep(name, module, inputs, output):
        outputs[name] = torch.empty_like(output).copy_(output).detach()

    outputs = dict.fromkeys(layers)
    handles = []
    for name, module in model.named_modules():
        if name in outputs:
            handles.append(module.register_forward_hook(partial(keep, name)))
    try:
        model(x)
    finally:
        while handles:
            handles.pop().remove()
    return outputs


# Visualising


def oracle_of_visualizing(depth=8, width=64, batch=256, gain=1.0, seed=0):
    """Both networks as matrix products in NumPy, in float64; a bare figure."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, width))
    weights = gain / np.sqrt(width) * rng.normal(size=(depth, width, width))
    activations = {"without": {}, "with": {}}
    for network, layers in activations.items():
        h = x
        for layer, weight in enumerate(weights, start=1):
            z = h @ weight
            if network == "with":
                z = z - z.mean(axis=1, keepdims=True)
                z = z / np.sqrt((z * z).mean(axis=1, keepdims=True) + 1e-5)
            layers[layer] = z
            h = z * (z > 0)
    fig = Figure()
    axes = fig.add_subplot(xlabel="layer", ylabel="spread")
    for network, layers in activations.items():
        axes.plot(list(layers), [z.std() for z in layers.values()], label=network)
    axes.legend()
    return fig, activations


visualizing = Task(
    "ex08_visualize_activations",
    "Activations with and without layer normalization",
    defines="visualize_activations",
    oracle=oracle_of_visualizing,
)

# The probe judges numbers itself, with the bounds written there, and returns words.
WORDS = Tolerance(rtol=0, atol=0)
# The weights into a layer are 1,296 numbers and more: their root mean square is off by 2 % (one
# standard deviation), and so is the oracle's. The smallest mistake is a factor of sqrt(2).
SPREAD = Tolerance(rtol=0.2, atol=0)


@visualizing.cases
def visualizing_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Depth, width, batch and gain are none of the defaults, and there are more rows than columns.

    With no more rows than columns every network fits the numbers.
    """
    depth = int(rng.integers(4, 7))
    width = int(rng.integers(36, 47))
    batch = int(rng.integers(100, 161))
    seed, other = (int(n) for n in rng.choice(np.arange(1, 100_000), 2, replace=False))
    asked: PlainValues = {
        "depth": depth,
        "width": width,
        "batch": batch,
        "gain": round(float(rng.uniform(2.1, 2.4)), 2),
        "seed": seed,
    }
    yield Case(
        "called with no argument: a figure and numbers; rows are normalised 'with', not 'without'",
        points=1.5,
        inputs={"look_at": "rows"},
        tolerance=WORDS,
        judged=(
            "rows of 'without' have mean 0 and spread 1",
            "rows of 'with' have mean 0 and spread 1",
        ),
        hint="In the network with layer norm, what goes into the ReLU comes out of the norm: "
        "record "
        "that. In the other, record what comes out of the linear layer.",
    )
    yield Case(
        "depth layers of batch rows and width columns, as plain numbers",
        points=0.75,
        inputs=asked | {"look_at": "shapes"},
        tolerance=WORDS,
        judged=(
            "layers of 'without'",
            "layers of 'with'",
            "tensors that still hold the graph",
        ),
        hint="Use the arguments `depth`, `width` and `batch` wherever the network and its "
        "input are "
        "made.",
    )
    yield Case(
        "without norm: each layer is weights times ReLU of the layer before",
        points=1.0,
        inputs=asked | {"look_at": "chain"},
        tolerance=WORDS,
        judged=("layer after layer, without",),
        hint="What is recorded comes before the ReLU, and the ReLU is at work between the layers. "
        "Record the output of each linear layer.",
    )
    yield Case(
        "layer 1 with norm is the layer norm of layer 1 without: same data, same weights",
        points=1.0,
        inputs=asked | {"look_at": "first"},
        tolerance=WORDS,
        judged=("layer 1, with",),
        hint="Start the random numbers from the same seed before you make each network and "
        "its input, "
        "and draw them in the same order.",
    )
    yield Case(
        "the deeper layers have the same weights in both networks",
        points=1.0,
        inputs=asked | {"look_at": "deeper"},
        tolerance=WORDS,
        judged=("layers 2 and on, with",),
        hint="The weights were computed from your numbers without norm. With the same weights the "
        "other network would give other numbers than yours. Seed both, or copy the weights.",
    )
    yield Case(
        "the figure shows both networks",
        points=0.5,
        inputs=asked | {"look_at": "drawn"},
        tolerance=WORDS,
        judged=("the figure shows",),
        hint="Draw into the axes of the figure that you return, from the numbers that you return.",
    )
    yield Case(
        "both axes have labels, and the words 'without' and 'with' name the networks",
        points=0.25,
        inputs=asked | {"look_at": "labels"},
        tolerance=WORDS,
        judged=("the x axis has a label", "the y axis has a label", "the networks are named"),
        hint="`axes.set_xlabel`, `axes.set_ylabel`, and `axes.set_title` or a legend, in which the "
        "words 'without' and 'with' stand. A `label=` shows only once `axes.legend()` is called.",
    )
    yield Case(
        "the seed decides: the same seed, the same numbers",
        points=0.5,
        inputs=asked | {"look_at": "seed", "other_seed": other},
        tolerance=WORDS,
        judged=(
            "the same seed gives the same numbers",
            "another seed gives other numbers",
        ),
        hint="Everything random, the input and the weights, is to be drawn after "
        "`torch.manual_seed(seed)`, or from a generator that starts from it.",
    )
    yield Case(
        "the gain decides: weights have standard deviation gain / sqrt(width)",
        points=0.5,
        inputs=asked | {"look_at": "gain"},
        tolerance=SPREAD,
        judged=("spread of the weights, times sqrt(width)", "spread of layer 1, without"),
        hint="`nn.init.normal_(linear.weight, std=...)` sets the weights of a layer. The input is "
        "standard normal: `torch.randn`.",
    )


@visualizing.known_mistake(
    "recorded after the ReLU",
    "No number of yours is below 0: what you recorded has been through the ReLU. Either you "
    "recorded its output, or an `nn.ReLU(inplace=True)` wrote over what you had recorded.",
    hint="Record the layer before the ReLU, and keep a copy: `.clone()`.",
)
def after_relu(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = torch.relu(z)
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "recorded before the norm",
    "In the network with layer norm you recorded the linear layer. The norm is at work "
    "there, but the ReLU gets its output, and that is what was asked for.",
    hint="Record the norm in the one network, and the linear layer in the other.",
)
def before_norm(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            layers[layer] = z
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "what goes into the linear layer",
    "You recorded the input of each linear layer: the data first, then the outputs of the ReLU.",
    hint="A hook gets (module, inputs, output). Record the output.",
)
def linear_inputs(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            layers[layer] = h
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "other weights in the second network",
    "The two networks have different random numbers, so what they show is not the effect of "
    "the norm alone.",
    hint="Call `torch.manual_seed(seed)` before each of the two networks, or copy the "
    "weights of the first.",
)
def other_weights(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    torch.manual_seed(seed)
    for network in ("without", "with"):
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "other data in the second network",
    "The weights are the same, but the two networks have different inputs.",
    hint="Draw the input once, before both networks, or right after the seed in each.",
)
def other_data(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    torch.manual_seed(seed)
    weights = gain / width**0.5 * torch.randn(depth, width, width)
    for network in ("without", "with"):
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = weights[layer]
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "batch norm",
    "Your norm takes its mean and spread over the batch, for each feature. That is batch "
    "normalization.",
    hint="`nn.LayerNorm(width)` normalises each row by itself.",
)
def batch_norm(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.BatchNorm1d(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "a norm with the unbiased standard deviation",
    "Your norm divides by a standard deviation with D - 1, as `torch.std` and `torch.var` "
    "take it by default.",
    hint="`nn.LayerNorm(width)` divides by D; so does `std(1, correction=0)`.",
)
def unbiased_norm(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = (z - z.mean(1, keepdim=True)) / (z.std(1, keepdim=True) + 1e-5)
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the norm behind the ReLU",
    "Your second network normalises what comes out of the ReLU, and the next linear layer "
    "gets numbers below 0. The order was linear layer, norm, ReLU.",
    hint="Put the norm between the linear layer and the ReLU.",
)
def norm_after_relu(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = h = nn.LayerNorm(width)(torch.relu(z)).detach()
            else:
                h = torch.relu(z)
            layers[layer] = z
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the two networks exchanged",
    "What stands under 'with' has no norm, and what stands under 'without' has one.",
    hint="Look at the line that decides whether a network gets norms.",
)
def exchanged(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "without":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the same network twice",
    "Both entries hold the same numbers. Either no network has a norm, or one dict stands "
    "under both keys.",
    hint="Print the two models: which has LayerNorm in it? Does each network get a dict of "
    "its own?",
)
def no_norm(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "no ReLU between the layers",
    "Each layer is weights times the layer before, so the whole network is one linear map.",
    hint="Apply the ReLU to what goes into the next layer.",
)
def no_relu(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = z
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the last layer missing",
    "Your network is one layer too short, or the last layer is not recorded.",
    hint="`range(depth)` gives depth numbers, and `range(1, depth)` one less.",
)
def last_missing(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth - 1):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the first layer missing",
    "What you return starts with the second layer.",
    hint="Is the first layer made apart from the others, outside the loop that records?",
)
def first_missing(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            if layer > 0:
                layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the argument depth ignored",
    "Your network is the same whatever `depth` is.",
    hint="Where does your code read the argument `depth`?",
)
def depth_ignored(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(8):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the argument width ignored",
    "Your network is the same whatever `width` is.",
    hint="Where does your code read the argument `width`?",
)
def width_ignored(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, 64), {}
        for layer in range(depth):
            z = h @ (gain / 8 * torch.randn(64, 64))
            if network == "with":
                z = nn.LayerNorm(64)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the argument batch ignored",
    "Your network is the same whatever `batch` is.",
    hint="Where does your code read the argument `batch`?",
)
def batch_ignored(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(256, width), {}
        for layer in range(depth):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the argument seed ignored",
    "Your numbers are the same whatever `seed` is.",
    hint="Start the random numbers from `seed`: `torch.manual_seed(seed)`.",
)
def seed_ignored(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(0)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "the argument gain ignored",
    "Your weights are the same size whatever `gain` is: standard deviation 1 / sqrt(width).",
    hint="Multiply by the argument `gain`.",
)
def gain_ignored(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (width**-0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "PyTorch's own start of the weights",
    "You left the weights as `nn.Linear` draws them: uniform, with standard deviation 0.58 / "
    "sqrt(width), whatever `gain` is.",
    hint="`nn.init.normal_(linear.weight, std=...)` after the layer is made.",
)
def own_start(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = nn.Linear(width, width, bias=False).weight.detach().T
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "Kaiming's factor on top of the gain",
    "Your weights are larger than asked for by a factor of sqrt(2): `kaiming_normal_` brings "
    "its own gain.",
    hint="`nn.init.normal_(linear.weight, std=gain / width**0.5)`.",
)
def kaiming_too(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain * (2 / width) ** 0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "gain / width, without the square root",
    "Your weights have standard deviation gain / width. The spread of a sum of width terms "
    "grows with the square root of width only.",
    hint="`width**0.5`.",
)
def no_root(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain / width * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "input uniform between 0 and 1",
    "Your input comes from `torch.rand`, which is uniform between 0 and 1. It was to be "
    "standard normal.",
    hint="`torch.randn`, with an n.",
)
def uniform_input(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.rand(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "nothing seeded",
    "Your random numbers do not start from `seed`: each call gives others, and each of the "
    "two networks too.",
    hint="Call `torch.manual_seed(seed)` before each of the two networks.",
)
def not_seeded(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "tensors that hold the graph",
    "What you recorded still requires gradients, and keeps the graph of the whole network in "
    "memory.",
    hint="`.detach()` it, or run the network under `with torch.no_grad():`.",
)
def graph_kept(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width).requires_grad_()
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z)
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std().item() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "numbers flattened for the histogram",
    "You return each layer as one long row of numbers, or one number. The shape (batch, "
    "width) was asked for.",
    hint="Flatten where you draw: `axes.hist(values.flatten())`.",
)
def flattened(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z.flatten()
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "other keys than 'without' and 'with'",
    "The keys of `activations` are the names of the two networks, and were to be 'without' "
    "and 'with'.",
    hint="Look at the line that writes into `activations`.",
)
def other_keys(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("plain", "norm"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "norm":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.known_mistake(
    "only the figure returned",
    "The figure and the numbers were asked for.",
    hint="`return fig, activations`.",
)
def figure_alone(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig


@visualizing.known_mistake(
    "the figure second",
    "You return the numbers first. The figure comes first.",
    hint="`return fig, activations`.",
)
def figure_second(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return activations, fig


@visualizing.known_mistake(
    "nothing returned",
    "Your function ends without `return`, so it gives None.",
    hint="End with `return fig, activations`.",
)
def visualizing_nothing(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            z = h @ (gain / width**0.5 * torch.randn(width, width))
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    _, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")


@visualizing.known_mistake(
    "one network drawn twice",
    "The figure shows one of the two networks only. What you return is right.",
    hint="Is the dict of the second network the one that you draw in the second panel?",
)
def drawn_twice(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for network in activations:
        axes.plot([z.std() for z in layers.values()], label=network)
    axes.set(xlabel="layer", ylabel="spread")
    axes.legend()
    return fig, activations


@visualizing.known_mistake(
    "an empty figure",
    "The figure has axes and labels, but no data.",
    hint="Draw into the axes of the figure that you return: `axes.hist(...)`. A new "
    "`plt.figure()` after that is another, empty figure.",
)
def empty_figure(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, panels = plt.subplots(1, 2)
    for axes, network in zip(panels, activations, strict=True):
        axes.set(xlabel="input of the ReLU", ylabel="count", title=network)
    return fig, activations


@visualizing.known_mistake(
    "a figure without words",
    "Your figure has no labels and does not say which network is which.",
    hint="`axes.set(xlabel=..., ylabel=..., title=...)`. A `label=` shows only once "
    "`axes.legend()` is called.",
)
def no_words(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for network, layers in activations.items():
        axes.plot([z.std() for z in layers.values()], label=network)
    return fig, activations


@visualizing.combination
def other_weights_and_last_missing(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    torch.manual_seed(seed)
    for network in ("without", "with"):
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth - 1):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.combination
def after_relu_and_gain_ignored(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = width**-0.5 * torch.randn(width, width)
            z = h @ weight
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            h = layers[layer] = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for layers in activations.values():
        axes.plot([z.std() for z in layers.values()])
    axes.set(xlabel="layer", ylabel="spread", title="without and with layer norm")
    return fig, activations


@visualizing.combination
def before_norm_and_unnamed(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, width), {}
        for layer in range(depth):
            weight = gain / width**0.5 * torch.randn(width, width)
            z = h @ weight
            layers[layer] = z
            if network == "with":
                z = nn.LayerNorm(width)(z).detach()
            h = torch.relu(z)
        activations[network] = layers
    fig, axes = plt.subplots()
    for network, layers in activations.items():
        axes.plot([z.std() for z in layers.values()], label=network)
    axes.set(xlabel="layer", ylabel="spread")
    return fig, activations


@visualizing.combination
def empty_figure_and_width_ignored(depth=8, width=64, batch=256, gain=1.0, seed=0):
    activations = {}
    for network in ("without", "with"):
        torch.manual_seed(seed)
        h, layers = torch.randn(batch, 64), {}
        for layer in range(depth):
            z = h @ (gain / 8 * torch.randn(64, 64))
            if network == "with":
                z = nn.LayerNorm(64)(z).detach()
            layers[layer] = z
            h = torch.relu(z)
        activations[network] = layers
    return Figure(), activations


@visualizing.right_solution
def histograms_in_a_grid(depth=8, width=64, batch=256, gain=1.0, seed=0):
    class Network(nn.Module):
        def __init__(self, norm):
            super().__init__()
            torch.manual_seed(seed)
            self.linears = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.norms = nn.ModuleList(
                nn.LayerNorm(width) if norm else nn.Identity() for _ in range(depth)
            )
            for linear in self.linears:
                nn.init.normal_(linear.weight, 0.0, gain / np.sqrt(width))
                nn.init.zeros_(linear.bias)

        def forward(self, x):
            for linear, norm in zip(self.linears, self.norms, strict=True):
                x = torch.relu(norm(linear(x)))
            return x

    x = torch.randn(batch, width, generator=torch.Generator().manual_seed(seed + 1))
    fig, panels = plt.subplots(2, 2, sharex="row")
    activations = {}
    for row, (name, norm) in zip(panels, (("without", False), ("with", True)), strict=True):
        names = [f"norms.{layer}" for layer in range(depth)]
        activations[name] = record_activations(Network(norm), x, names)
        row[0].set_ylabel(f"{name} LayerNorm\ncount")
        for axes, layer in zip(row, (0, depth - 1), strict=True):
            axes.hist(activations[name][f"norms.{layer}"].flatten().numpy(), bins=10)
            axes.set(title=f"layer {layer + 1}", xlabel="value")
    return fig, activations


@visualizing.right_solution
def copied_weights(depth=8, width=64, batch=256, gain=1.0, seed=0):
    import copy

    random = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, width, generator=random, dtype=torch.float64)
    linears = [nn.Linear(width, width, bias=False).double() for _ in range(depth)]
    for linear in linears:
        nn.init.normal_(linear.weight, std=gain / width**0.5, generator=random)
    activations = {"with": {}, "without": {}}
    for network, layers in activations.items():
        h = x
        for number, linear in enumerate(copy.deepcopy(linears)):
            z = linear(h)
            if network == "with":
                z = nn.functional.layer_norm(z, (width,))
            layers[f"layer {number}"] = z.detach().numpy()
            h = z.clamp(min=0)
    fig = plt.figure()
    left, right = fig.subplots(1, 2)
    ends = [activations["without"][f"layer {n}"].ravel() for n in (0, depth - 1)]
    left.boxplot(ends, showfliers=False)
    ends = [activations["with"][f"layer {n}"].ravel() for n in (0, depth - 1)]
    right.boxplot(ends, showfliers=False)
    left.set_title("Without layer norm")
    right.set_title("With layer norm")
    fig.supxlabel("layer")
    fig.supylabel("activation")
    return fig, activations


@visualizing.right_solution
def heat_maps(depth=8, width=64, batch=256, gain=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, width), dtype=np.float32)
    weights = rng.normal(0, gain / np.sqrt(width), (depth, width, width)).astype(np.float32)
    activations = {"without": {}, "with": {}}
    for network in activations:
        h = x
        for layer in range(depth):
            z = np.einsum("of,bf->bo", weights[layer], h)
            if network == "with":
                z = z - z.mean(-1, keepdims=True)
                z /= z.std(-1, keepdims=True)
            activations[network][layer] = z
            h = np.maximum(z, 0)
    fig, panels = plt.subplots(2, 1)
    for panel, network in zip(panels, activations, strict=True):
        counts = [np.histogram(z, 30, (-4, 4))[0] for z in activations[network].values()]
        panel.imshow(counts, aspect="auto")
        panel.set(xlabel="bin", ylabel="layer", title=f"{network} norm")
    return fig, activations


@visualizing.right_solution
def violins_and_a_line(depth=8, width=64, batch=256, gain=1.0, seed=0):
    def build(norm):
        torch.manual_seed(seed)
        layers = []
        for _ in range(depth):
            layers.append(nn.Linear(width, width))
            nn.init.orthogonal_(layers[-1].weight, gain)
            layers += [nn.LayerNorm(width), nn.ReLU(inplace=True)] if norm else [nn.ReLU(True)]
        return nn.Sequential(*layers), torch.randn(batch, width)

    activations = {}
    fig, axes = plt.subplots()
    for name in ("without", "with"):
        model, x = build(name == "with")
        taken = [str(i - 1) for i, layer in enumerate(model) if isinstance(layer, nn.ReLU)]
        activations[name] = record_activations(model, x, taken)
        every = np.concatenate([z.numpy().ravel() for z in activations[name].values()])
        axes.violinplot([every[::7]], positions=[len(activations)])
    axes.axhline(0, color="black")
    axes.set_xticks([1, 2], ["without LN", "with LN"])
    axes.set(xlabel="network", ylabel="activation")
    plt.show()
    return fig, activations


@visualizing.right_solution
def steps_in_one_panel(depth=8, width=64, batch=256, gain=1.0, seed=0):
    torch.manual_seed(seed)
    x = torch.randn(batch, width)
    blocks = [torch.empty(width, width).normal_(std=gain / width**0.5) for _ in range(depth)]
    plain, normed, a, b = {}, {}, x, x
    for number, weight in enumerate(blocks, start=1):
        plain[number] = a @ weight.T
        z = b @ weight.T
        var, mean = torch.var_mean(z, 1, correction=0, keepdim=True)
        normed[number] = (z - mean) * torch.rsqrt(var + 1e-5)
        a, b = plain[number].relu(), normed[number].relu()
    fig = plt.figure()
    plt.hist(plain[depth].flatten(), bins=30, histtype="step", label="without LN", density=True)
    plt.hist(normed[depth].flatten(), bins=30, histtype="stepfilled", label="with LN", density=True)
    plt.xlabel("activation")
    plt.ylabel("density")
    plt.legend()
    return fig, {"without": plain, "with": normed}
