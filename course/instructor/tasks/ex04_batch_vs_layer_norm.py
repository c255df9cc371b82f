"""Exercise 4: a network with batch norm, one with layer norm, and the loop that trains both."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_rows
from course.instructor.task import Task
from course.layer_normalization_solutions import (
    ModelWithBatchNorm,
    ModelWithLayerNorm,
    train_and_evaluate,
)
from course.student.answer_key import Case, Tolerance
from course.student.outcome import run
from course.student.probes import probe_of
from course.student.probes.ex04 import ENOUGH
from course.student.probes.ex04 import STEPS as STEPS_OF_TRAINING

# As in the notebook, into which these solutions are pasted.
F = nn.functional


class BatchNormOracle(nn.Module):
    """Batch norm written out, in a network with tanh."""

    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.first = nn.Linear(input_size, hidden_size)
        self.last = nn.Linear(hidden_size, num_classes)
        self.scale = nn.Parameter(torch.ones(hidden_size))
        self.shift = nn.Parameter(torch.zeros(hidden_size))
        self.register_buffer("mean", torch.zeros(hidden_size))
        self.register_buffer("var", torch.ones(hidden_size))

    def forward(self, x):
        hidden = self.first(x.reshape(len(x), -1))
        mean, var = self.mean, self.var
        if self.training:
            mean = hidden.sum(0) / len(x)
            var = ((hidden - mean) ** 2).sum(0) / len(x)
            self.mean = 0.9 * self.mean + 0.1 * mean.detach()
            self.var = 0.9 * self.var + 0.1 * var.detach() * len(x) / (len(x) - 1)
        normalised = (hidden - mean) / (var + 1e-5).sqrt()
        return self.last(torch.tanh(self.scale * normalised + self.shift))


class LayerNormOracle(nn.Module):
    """Layer norm written out, in a network with tanh."""

    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.first = nn.Linear(input_size, hidden_size)
        self.last = nn.Linear(hidden_size, num_classes)
        self.scale = nn.Parameter(torch.ones(hidden_size))
        self.shift = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x):
        hidden = self.first(x.reshape(len(x), -1))
        centred = hidden - hidden.sum(1, keepdim=True) / hidden.shape[1]
        var = (centred * centred).sum(1, keepdim=True) / hidden.shape[1]
        return self.last(torch.tanh(self.scale * centred / (var + 1e-5).sqrt() + self.shift))


def train_oracle(model, train_loader, test_loader, epochs, lr):
    """Gradient descent on the mean negative log-likelihood, written out, in float64."""
    model.double()
    losses = []
    for _ in range(epochs):
        for x, y in train_loader:
            model.train()
            scores = model(x.double())
            log_likelihood = scores.gather(1, y[:, None])[:, 0] - scores.exp().sum(1).log()
            loss = -log_likelihood.sum() / len(y)
            parameters = list(model.parameters())
            gradients = torch.autograd.grad(loss, parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.data = parameter.data - lr * gradient
            losses.append(float(loss))
    model.eval()
    with torch.no_grad():
        right = [
            int(score.argmax()) == int(label)
            for x, y in test_loader
            for score, label in zip(model(x.double()), y, strict=True)
        ]
    return losses, sum(right) / len(right)


batch_norm_model = Task(
    "ex04_batch_norm_model",
    "A network with batch norm",
    defines="ModelWithBatchNorm",
    oracle=BatchNormOracle,
)
layer_norm_model = Task(
    "ex04_layer_norm_model",
    "A network with layer norm",
    defines="ModelWithLayerNorm",
    oracle=LayerNormOracle,
)
train = Task(
    "ex04_train",
    "Training and evaluating",
    defines="train_and_evaluate",
    oracle=train_oracle,
)

# What is judged of the models is yes or no, a word or a shape.
EXACT = Tolerance(rtol=0, atol=0)
# A dozen steps in float32 end within 1e-6 of the same steps in float64, for numbers of order 1.
# Every mistake is off by 1e-3 and more; as the matrix shows.
STEPS = Tolerance(rtol=1e-4, atol=1e-4)
# A share of 22 to 30 samples comes in steps above 0.03, and float32 holds it to 1e-7.
SHARE = Tolerance(rtol=0, atol=1e-5)


# Both models


def _draw_batch(rng: np.random.Generator, samples: int, features: int) -> np.ndarray:
    """Samples that are not normalised already, over anything."""
    return draw_rows(rng, samples, features, spread=(0.5, 0.8), offset=0.5).astype(np.float32)


def _inputs(rng: np.random.Generator, look_at: str, samples: int, features: int = 64, **more: Any):
    return {
        "x": _draw_batch(rng, samples, features),
        "seed": int(rng.integers(1_000_000)),
        "look_at": look_at,
        **more,
    }


def _draw_samples(rng: np.random.Generator) -> int:
    """A batch size that is no other length in a likely network."""
    return int(rng.choice([11, 13, 17]))


def _shared_cases(rng: np.random.Generator, samples: int) -> Iterator[Case]:
    """What holds for a classifier with any norm."""
    yield Case(
        "images of shape (batch, 8, 8) and (batch, 1, 8, 8) give what flat samples give",
        points=0.25,
        inputs=_inputs(rng, "images", samples),
        tolerance=EXACT,
        judged=(
            "shape for (batch, height, width)",
            "shape for (batch, 1, height, width)",
            "same as for flat samples",
        ),
        hint="Begin `forward` with `x.flatten(1)`: it keeps the first dim, the batch, and makes "
        "one of all others.",
    )
    side, hidden, classes = (
        int(rng.choice(lengths)) for lengths in ([6, 10, 12], [20, 36, 52], [3, 5, 7])
    )
    yield Case(
        "input_size, hidden_size and num_classes are honoured",
        points=0.25,
        inputs=_inputs(rng, "sizes", samples, side * side, sizes=[side * side, hidden, classes]),
        tolerance=EXACT,
        judged=("shape of the output", "a larger hidden_size has more parameters"),
        hint="Every number in `__init__` should come from one of the three arguments.",
    )
    yield Case(
        "the outputs are logits, not probabilities",
        points=0.25,
        inputs=_inputs(rng, "logits", samples),
        tolerance=EXACT,
        judged=("the outputs are",),
        hint="The last step of `forward` is a linear layer. Cross-entropy takes its outputs as "
        "they are, of either sign and any size.",
    )
    yield Case(
        "gradients reach every learnable parameter",
        points=0.25,
        inputs=_inputs(rng, "gradients", samples),
        tolerance=EXACT,
        judged=("has learnable parameters", "parameter tensors without a gradient"),
        hint="Every layer that `__init__` creates should be used in `forward`, and each should be "
        "an attribute of its own, or sit in an `nn.Sequential` or `nn.ModuleList`.",
    )


def _accuracy_case(rng: np.random.Generator, samples: int) -> Case:
    return Case(
        f"{STEPS_OF_TRAINING} training steps are enough to recognise {ENOUGH:.0%} of new digits",
        points=0.25,
        inputs=_inputs(rng, "accuracy", samples),
        tolerance=EXACT,
        judged=(f"held-out accuracy, up to {ENOUGH:g}",),
        by_values=False,
        hint="Logits, a norm before the activation, and weights that PyTorch has initialised: such "
        "a network is above 80 % here. Mend the other cases first.",
    )


@batch_norm_model.cases
def batch_norm_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Yes or no about a model's behaviour."""
    samples = _draw_samples(rng)
    yield Case(
        "(batch, 64) in, (batch, 10) out; in training something is normalised over the batch",
        points=0.5,
        inputs=_inputs(rng, "definition", samples),
        tolerance=EXACT,
        judged=("shape of the output", "normalised over"),
        hint="Linear, batch norm, ReLU, linear, and out come one row a sample and one column a "
        "class. `nn.BatchNorm1d(hidden_size)` stands behind the first linear layer.",
    )
    yield Case(
        "in training, a sample's output depends on the rest of its batch",
        points=0.25,
        inputs=_inputs(rng, "training", samples, others=_draw_batch(rng, samples, 64)),
        tolerance=EXACT,
        judged=("output depends on the rest of the batch",),
        hint="What the norm returns has to go on into the next layer.",
    )
    yield Case(
        "in evaluation it does not, and a sample can be alone",
        points=0.25,
        inputs=_inputs(rng, "evaluation", samples, others=_draw_batch(rng, samples, 64)),
        tolerance=EXACT,
        judged=("output depends on the rest of the batch", "a sample can be alone"),
        hint="`model.eval()` has to reach the norm, and from then on the norm uses the running "
        "statistics. `nn.BatchNorm1d` does so by itself if it is an attribute of the model.",
    )
    yield Case(
        "evaluation uses running statistics, which training moves",
        points=0.5,
        inputs=_inputs(rng, "memory", samples, others=2 * _draw_batch(rng, samples, 64) + 1),
        tolerance=EXACT,
        judged=("training changes what evaluation gives", "evaluation comes closer to training"),
        hint="In training, batch norm keeps a running mean and variance of the batches it sees. "
        "Evaluation normalises with these.",
    )
    yield from _shared_cases(rng, samples)
    yield Case(
        "the network is more than one linear function",
        points=0.25,
        inputs=_inputs(rng, "non-linearity", samples),
        tolerance=EXACT,
        judged=("output is a linear function of the input",),
        hint="Two linear layers with nothing bent between them are one linear layer. Batch norm in "
        "evaluation is linear too.",
    )
    yield _accuracy_case(rng, samples)


@layer_norm_model.cases
def layer_norm_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Yes or no about a model's behaviour."""
    samples = _draw_samples(rng)
    yield Case(
        "(batch, 64) in, (batch, 10) out; something is normalised over each sample's features",
        points=0.5,
        inputs=_inputs(rng, "definition", samples),
        tolerance=EXACT,
        judged=("shape of the output", "normalised over"),
        hint="Linear, layer norm, ReLU, linear, and out come one row a sample and one column a "
        "class. `nn.LayerNorm(hidden_size)` stands behind the first linear layer.",
    )
    yield Case(
        "the output is made from what is normalised",
        points=0.5,
        inputs=_inputs(rng, "effect", samples),
        tolerance=EXACT,
        judged=("normalised values have a part in the output",),
        hint="A norm returns its result. `self.norm(hidden)` on a line of its own changes nothing; "
        "what it returns has to go on into the next layer.",
    )
    yield Case(
        "in training, a sample's output does not depend on the rest, and it can be alone",
        points=0.25,
        inputs=_inputs(rng, "training", samples, others=_draw_batch(rng, samples, 64)),
        tolerance=EXACT,
        judged=("output depends on the rest of the batch", "a sample can be alone"),
        hint="Nothing in the model may look across the batch: no statistics over dim 0, and no "
        "reshape that mixes samples.",
    )
    yield Case(
        "in evaluation neither",
        points=0.25,
        inputs=_inputs(rng, "evaluation", samples, others=_draw_batch(rng, samples, 64)),
        tolerance=EXACT,
        judged=("output depends on the rest of the batch", "a sample can be alone"),
        hint="In evaluation the same sample has to give the same output each time, whatever else "
        "is in the batch.",
    )
    yield Case(
        "nothing is remembered from one batch to the next",
        points=0.25,
        inputs=_inputs(rng, "memory", samples, others=2 * _draw_batch(rng, samples, 64) + 1),
        tolerance=EXACT,
        judged=("training changes what evaluation gives",),
        hint="Layer norm has no running statistics: as long as no weight changes, no output does.",
    )
    yield from _shared_cases(rng, samples)
    yield _accuracy_case(rng, samples)


# The network with batch norm: mistakes


@batch_norm_model.known_mistake(
    "layer norm in the place of batch norm",
    "Your network normalises the features of each sample. That is layer norm, the other model.",
    hint="Which numbers share a mean in batch norm: a row or a column of the batch?",
)
class LayerInsteadOfBatch(ModelWithBatchNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.norm = nn.LayerNorm(hidden_size)


@batch_norm_model.known_mistake(
    "no normalisation",
    "Nothing inside your network is normalised, neither over the batch nor over the features of a "
    "sample.",
    hint="Put `nn.BatchNorm1d(hidden_size)` between the first linear layer and the activation.",
)
class NoBatchNorm(ModelWithBatchNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.norm = nn.Identity()


@batch_norm_model.known_mistake(
    "a batch norm that is created and never used",
    "`__init__` creates a norm, and `forward` does not call it.",
    hint="Compare the attributes that `__init__` assigns with those that `forward` uses.",
)
class BatchNormNotCalled(ModelWithBatchNorm):
    def forward(self, x):
        return self.logits(torch.relu(self.hidden(x.flatten(1))))


@batch_norm_model.known_mistake(
    "the norm's result thrown away",
    "`forward` calls the norm, and goes on with what it had before: a module returns its result, "
    "and leaves its input alone.",
    hint="Write `hidden = self.norm(hidden)`.",
)
class BatchNormThrownAway(ModelWithBatchNorm):
    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        self.norm(hidden)
        return self.logits(torch.relu(hidden))


@batch_norm_model.known_mistake(
    "no running statistics",
    "Your network normalises with the statistics of the batch in evaluation as well. What it says "
    "about an image then depends on what else is asked at the same time.",
    hint="Create `nn.BatchNorm1d` once, in `__init__`, and leave `track_running_stats` as it is. A "
    "norm of your own needs a running mean and variance as buffers.",
)
class NoRunningStatistics(ModelWithBatchNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.norm = nn.BatchNorm1d(hidden_size, track_running_stats=False)


@batch_norm_model.known_mistake(
    "running statistics that never move",
    "Evaluation does use running statistics, but they stay where they began, at mean 0 and "
    "variance 1. Training normalises with other numbers.",
    hint="PyTorch's `momentum` is the weight of the newest batch: with 0 nothing is ever taken in. "
    "Its default, 0.1, is right here.",
)
class RunningStatisticsFrozen(ModelWithBatchNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.norm = nn.BatchNorm1d(hidden_size, momentum=0.0)


@batch_norm_model.known_mistake(
    "softmax at the end",
    "Your network returns probabilities. `F.cross_entropy` takes logits and applies softmax "
    "itself; given probabilities it applies it a second time, and training slows down.",
    hint="Return what the last linear layer gives.",
)
class SoftmaxAfterBatchNorm(ModelWithBatchNorm):
    def forward(self, x):
        return super().forward(x).softmax(dim=1)


@batch_norm_model.known_mistake(
    "softmax over the batch",
    "Your network ends in a softmax, and over the wrong dim: each class sums to 1 over the "
    "samples. No softmax is wanted.",
    hint="Return what the last linear layer gives.",
)
class SoftmaxOverBatchAfterBatchNorm(ModelWithBatchNorm):
    def forward(self, x):
        return super().forward(x).softmax(dim=0)


@batch_norm_model.known_mistake(
    "ReLU after the last layer",
    "Your network never says anything below 0, for an activation follows the last linear layer. "
    "Logits are of either sign.",
    hint="Return what the last linear layer gives.",
)
class ReluAfterLastWithBatchNorm(ModelWithBatchNorm):
    def forward(self, x):
        return super().forward(x).relu()


@batch_norm_model.known_mistake(
    "the predicted class instead of logits",
    "Your network returns one class a sample. The loss needs one number for each class.",
    hint="Leave the `argmax` to whoever asks for a class, and return what it is taken of.",
)
class ClassesFromBatchNorm(ModelWithBatchNorm):
    def forward(self, x):
        return super().forward(x).argmax(dim=1)


@batch_norm_model.known_mistake(
    "images that are not flattened",
    "Your network takes samples that are flat already. The digits come as (batch, 8, 8), images "
    "with a channel as (batch, 1, 8, 8).",
    hint="Begin `forward` with `x = x.flatten(1)`.",
)
class NotFlattenedWithBatchNorm(ModelWithBatchNorm):
    def forward(self, x):
        return self.logits(torch.relu(self.norm(self.hidden(x))))


@batch_norm_model.known_mistake(
    "num_classes not honoured",
    "Your network has 10 outputs whatever `num_classes` says.",
    hint="The last linear layer goes from `hidden_size` to `num_classes`.",
)
class TenClassesWithBatchNorm(ModelWithBatchNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, 10)


@batch_norm_model.known_mistake(
    "hidden_size not honoured",
    "Your network has a hidden layer of the same size whatever `hidden_size` says.",
    hint="`hidden_size` stands in the first linear layer, in the norm, and in the last layer.",
)
class FixedHiddenWithBatchNorm(ModelWithBatchNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, 128, num_classes)


@batch_norm_model.known_mistake(
    "no activation",
    "Between your linear layers there is nothing but the norm, which in evaluation is linear too. "
    "The whole network is one linear function, and its hidden layer is of no use.",
    hint="Put `torch.relu(...)` or `nn.ReLU()` behind the norm.",
)
class NoActivationWithBatchNorm(ModelWithBatchNorm):
    def forward(self, x):
        return self.logits(self.norm(self.hidden(x.flatten(1))))


@batch_norm_model.known_mistake(
    "super().__init__() forgotten",
    "A module has to set itself up before it can take in layers, and yours never does.",
    hint="The first line of `__init__` is `super().__init__()`.",
)
class NoSuperInit(ModelWithBatchNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        self.hidden = nn.Linear(input_size, hidden_size)


@batch_norm_model.known_mistake(
    "layers in a Python list",
    "Your layers are in a list, where PyTorch does not look: an optimizer finds no parameters, and "
    "`model.eval()` does not reach the norm.",
    hint="Use `nn.Sequential(...)` or `nn.ModuleList([...])`, or an attribute for each layer.",
)
class ListOfLayersWithBatchNorm(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.layers = [
            nn.Flatten(),
            nn.Linear(input_size, hidden_size),
            nn.BatchNorm1d(hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, num_classes),
        ]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@batch_norm_model.combination
class SoftmaxAndNotFlattened(ModelWithBatchNorm):
    def forward(self, x):
        return self.logits(torch.relu(self.norm(self.hidden(x)))).softmax(dim=1)


@batch_norm_model.combination
class NoRunningStatisticsAndFixedHidden(ModelWithBatchNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, 128, num_classes)
        self.norm = nn.BatchNorm1d(128, track_running_stats=False)


@batch_norm_model.combination
class ThrownAwayAndRelu(ModelWithBatchNorm):
    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        self.norm(hidden)
        return self.logits(torch.relu(hidden)).relu()


@batch_norm_model.right_solution
class SequentialBatchNorm(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(input_size, hidden_size, bias=False),
            nn.BatchNorm1d(hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size, bias=False),
            nn.BatchNorm1d(hidden_size, momentum=None),
            nn.ReLU(),
            nn.Linear(hidden_size, num_classes),
        )

    def forward(self, x):
        return self.net(x)


@batch_norm_model.right_solution
class ConvolutionalBatchNorm(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.side = round(input_size**0.5)
        self.conv = nn.Conv2d(1, 12, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(12)
        self.hidden = nn.Linear(12 * (self.side // 2) ** 2, hidden_size)
        self.last = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        image = x.reshape(-1, 1, self.side, self.side)
        maps = F.max_pool2d(F.relu(self.norm(self.conv(image))), 2)
        return self.last(F.relu(self.hidden(maps.flatten(1))))


@batch_norm_model.right_solution
class BatchNormWithDropout(ModelWithBatchNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        hidden = self.dropout(F.gelu(self.norm(self.hidden(x.flatten(1)))))
        return self.logits(F.dropout(hidden, 0.1, self.training))


@batch_norm_model.right_solution
class FunctionalBatchNormAfterActivation(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.input_size = input_size
        self.w1 = nn.Parameter(torch.randn(hidden_size, input_size) / input_size**0.5)
        self.w2 = nn.Parameter(torch.zeros(num_classes, hidden_size))
        self.scale = nn.Parameter(torch.ones(hidden_size))
        self.shift = nn.Parameter(torch.zeros(hidden_size))
        self.register_buffer("mean", torch.zeros(hidden_size))
        self.register_buffer("var", torch.ones(hidden_size))

    def forward(self, x):
        hidden = torch.sigmoid(F.linear(x.view(-1, self.input_size), self.w1))
        hidden = F.batch_norm(hidden, self.mean, self.var, self.scale, self.shift, self.training)
        return F.linear(hidden, self.w2)


@batch_norm_model.right_solution
class OwnBatchNorm(nn.Module):
    class Norm(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.gamma = nn.Parameter(torch.ones(features))
            self.beta = nn.Parameter(torch.zeros(features))
            self.register_buffer("mean", torch.zeros(features))
            self.register_buffer("var", torch.ones(features))

        def forward(self, x):
            if self.training:
                var, mean = torch.var_mean(x, 0)  # divided by N - 1, as some do
                with torch.no_grad():
                    self.mean.lerp_(mean, 0.05)
                    self.var.lerp_(var, 0.05)
            else:
                var, mean = self.var, self.mean
            return (x - mean) * torch.rsqrt(var + 1e-3) * self.gamma + self.beta

    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.first = nn.LazyLinear(hidden_size)
        self.norms = nn.ModuleList([self.Norm(input_size), self.Norm(hidden_size)])
        self.last = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        hidden = self.first(self.norms[0](torch.flatten(x, start_dim=1)))
        return self.last(F.leaky_relu(self.norms[1](hidden)))


# The network with layer norm: mistakes


@layer_norm_model.known_mistake(
    "batch norm in the place of layer norm",
    "Your network normalises each feature over the batch. That is batch norm, the other model.",
    hint="Which numbers share a mean in layer norm: a row or a column of the batch?",
)
class BatchInsteadOfLayer(ModelWithLayerNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.norm = nn.BatchNorm1d(hidden_size)


@layer_norm_model.known_mistake(
    "no normalisation",
    "Nothing inside your network is normalised, neither over the features of a sample nor over the "
    "batch.",
    hint="Put `nn.LayerNorm(hidden_size)` between the first linear layer and the activation.",
)
class NoLayerNorm(ModelWithLayerNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.norm = nn.Identity()


@layer_norm_model.known_mistake(
    "a layer norm that is created and never used",
    "`__init__` creates a norm, and `forward` does not call it.",
    hint="Compare the attributes that `__init__` assigns with those that `forward` uses.",
)
class LayerNormNotCalled(ModelWithLayerNorm):
    def forward(self, x):
        return self.logits(torch.relu(self.hidden(x.flatten(1))))


@layer_norm_model.known_mistake(
    "the norm's result thrown away",
    "`forward` calls the norm, and goes on with what it had before: a module returns its result, "
    "and leaves its input alone.",
    hint="Write `hidden = self.norm(hidden)`.",
)
class LayerNormThrownAway(ModelWithLayerNorm):
    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        self.norm(hidden)
        return self.logits(torch.relu(hidden))


# Apart from `LayerNormThrownAway`: without parameters no missing gradient gives it away.
@layer_norm_model.known_mistake(
    "the result of a norm without weights thrown away",
    "`forward` calls the norm, and goes on with what it had before: a module returns its result, "
    "and leaves its input alone.",
    hint="Write `hidden = self.norm(hidden)`.",
)
class PlainLayerNormThrownAway(ModelWithLayerNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.norm = nn.LayerNorm(hidden_size, elementwise_affine=False)

    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        self.norm(hidden)
        return self.logits(torch.relu(hidden))


@layer_norm_model.known_mistake(
    "group norm in the place of layer norm",
    "Your norm takes a mean and a variance of each group of features. Layer norm takes those of "
    "all features of a sample.",
    hint="Use `nn.LayerNorm(hidden_size)`, which is a group norm with a single group.",
)
class GroupInsteadOfLayer(ModelWithLayerNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.norm = nn.GroupNorm(4, hidden_size)


@layer_norm_model.known_mistake(
    "your own norm, over dim 0",
    "You took the mean over dim 0. That is the batch: each feature is normalised over the samples.",
    hint="For (batch, features) the mean of a layer norm has the shape (batch, 1).",
)
class OwnNormOverBatch(ModelWithLayerNorm):
    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        centred = hidden - hidden.mean(0, keepdim=True)
        normalised = centred / (centred.square().mean(0, keepdim=True) + 1e-5).sqrt()
        return self.logits(torch.relu(normalised * self.norm.weight + self.norm.bias))


@layer_norm_model.known_mistake(
    "your own norm, with one mean for the whole batch",
    "You took one mean and one variance of all values at once, the batch included.",
    hint="Pass the dim to `mean` and `var`: `dim=-1, keepdim=True`.",
)
class OwnNormOfEverything(ModelWithLayerNorm):
    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        centred = hidden - hidden.mean()
        normalised = centred / (centred.square().mean() + 1e-5).sqrt()
        return self.logits(torch.relu(normalised * self.norm.weight + self.norm.bias))


@layer_norm_model.known_mistake(
    "RMS norm in the place of layer norm",
    "Your norm divides by the root mean square and does not subtract the mean. That is RMS norm, "
    "the subject of exercise 5.",
    hint="Use `nn.LayerNorm`, or subtract the mean first.",
)
class RmsInsteadOfLayer(ModelWithLayerNorm):
    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        normalised = hidden / (hidden.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return self.logits(torch.relu(normalised * self.norm.weight + self.norm.bias))


@layer_norm_model.known_mistake(
    "running statistics in layer norm",
    "In evaluation your norm uses averages from training. Batch norm needs those, for it may meet "
    "a sample that is alone; in layer norm each sample brings its own statistics.",
    hint="Use one and the same computation in training and in evaluation.",
)
class RunningLayerNorm(ModelWithLayerNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("var", torch.ones(1))

    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        if self.training:
            var, mean = torch.var_mean(hidden, -1, keepdim=True, correction=0)
            self.mean = 0.9 * self.mean + 0.1 * mean.mean().detach()
            self.var = 0.9 * self.var + 0.1 * var.mean().detach()
        else:
            var, mean = self.var, self.mean
        normalised = (hidden - mean) / (var + 1e-5).sqrt()
        return self.logits(torch.relu(normalised * self.norm.weight + self.norm.bias))


@layer_norm_model.known_mistake(
    "samples mixed by a reshape",
    "Your reshape puts values of several samples into one row: the memory of (batch, features) is "
    "cut up into (features, batch) and then turned.",
    hint="`x.flatten(1)` makes one row of each sample. `x.T` turns an array; `x.reshape(64, -1)` "
    "does not.",
)
class MixedByReshape(ModelWithLayerNorm):
    def forward(self, x):
        return super().forward(x.reshape(-1, len(x)).T)


@layer_norm_model.known_mistake(
    "softmax at the end",
    "Your network returns probabilities. `F.cross_entropy` takes logits and applies softmax "
    "itself; given probabilities it applies it a second time, and training slows down.",
    hint="Return what the last linear layer gives.",
)
class SoftmaxAfterLayerNorm(ModelWithLayerNorm):
    def forward(self, x):
        return super().forward(x).softmax(dim=-1)


@layer_norm_model.known_mistake(
    "a sigmoid at the end",
    "Your network squashes each output to between 0 and 1. Cross-entropy over classes takes logits "
    "of either sign and any size.",
    hint="Return what the last linear layer gives.",
)
class SigmoidAfterLayerNorm(ModelWithLayerNorm):
    def forward(self, x):
        return super().forward(x).sigmoid()


@layer_norm_model.known_mistake(
    "images that are not flattened",
    "Your network takes samples that are flat already. The digits come as (batch, 8, 8), images "
    "with a channel as (batch, 1, 8, 8).",
    hint="Begin `forward` with `x = x.flatten(1)`.",
)
class NotFlattenedWithLayerNorm(ModelWithLayerNorm):
    def forward(self, x):
        return self.logits(torch.relu(self.norm(self.hidden(x))))


@layer_norm_model.known_mistake(
    "input_size not honoured",
    "Your network takes 64 values a sample whatever `input_size` says.",
    hint="The first linear layer goes from `input_size` to `hidden_size`.",
)
class FixedInputWithLayerNorm(ModelWithLayerNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(64, hidden_size, num_classes)


@layer_norm_model.known_mistake(
    "hidden_size not honoured",
    "Your network has a hidden layer of the same size whatever `hidden_size` says.",
    hint="`hidden_size` stands in the first linear layer, in the norm, and in the last layer.",
)
class FixedHiddenWithLayerNorm(ModelWithLayerNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, 128, num_classes)


@layer_norm_model.known_mistake(
    "layers in a Python list",
    "Your layers are in a list, where PyTorch does not look: an optimizer finds no parameters.",
    hint="Use `nn.Sequential(...)` or `nn.ModuleList([...])`, or an attribute for each layer.",
)
class ListOfLayersWithLayerNorm(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.layers = [
            nn.Flatten(),
            nn.Linear(input_size, hidden_size),
            nn.LayerNorm(hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, num_classes),
        ]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@layer_norm_model.known_mistake(
    "layers that are created in forward",
    "Each call of your `forward` makes new layers with new random weights, so nothing can be "
    "learned.",
    hint="Create the layers in `__init__`, as attributes, and use them in `forward`.",
)
class MadeInForwardWithLayerNorm(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.sizes = input_size, hidden_size, num_classes

    def forward(self, x):
        input_size, hidden_size, num_classes = self.sizes
        hidden = nn.LayerNorm(hidden_size)(nn.Linear(input_size, hidden_size)(x.flatten(1)))
        return nn.Linear(hidden_size, num_classes)(torch.relu(hidden))


@layer_norm_model.known_mistake(
    "dropout that stays on in evaluation",
    "In evaluation the same sample gives another output each time: `F.dropout` is on unless it is "
    "told otherwise, and knows nothing of `model.eval()`.",
    hint="Use `nn.Dropout`, or pass `training=self.training`. Dropout is no part of this task.",
)
class DropoutInEvaluation(ModelWithLayerNorm):
    def forward(self, x):
        hidden = torch.relu(self.norm(self.hidden(x.flatten(1))))
        return self.logits(F.dropout(hidden, 0.1))


@layer_norm_model.combination
class BatchNormAndSoftmax(ModelWithLayerNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, hidden_size, num_classes)
        self.norm = nn.BatchNorm1d(hidden_size)

    def forward(self, x):
        return super().forward(x).softmax(dim=1)


@layer_norm_model.combination
class DropoutAndNotFlattened(ModelWithLayerNorm):
    def forward(self, x):
        return self.logits(F.dropout(torch.relu(self.norm(self.hidden(x))), 0.1))


@layer_norm_model.combination
class ThrownAwayAndFixedHidden(ModelWithLayerNorm):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__(input_size, 128, num_classes)

    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        self.norm(hidden)
        return self.logits(torch.relu(hidden))


@layer_norm_model.right_solution
class SequentialLayerNorm(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.LayerNorm(input_size),
            nn.Linear(input_size, hidden_size),
            nn.Tanh(),
            nn.LayerNorm(hidden_size, elementwise_affine=False),
            nn.Linear(hidden_size, num_classes),
        )

    def forward(self, x):
        return self.net(x)


@layer_norm_model.right_solution
class ConvolutionalLayerNorm(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.side = round(input_size**0.5)
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.LayerNorm([8, self.side, self.side])
        self.hidden = nn.Linear(8 * input_size, hidden_size)
        self.last = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        maps = torch.relu(self.norm(self.conv(x.reshape(-1, 1, self.side, self.side))))
        return self.last(torch.relu(self.hidden(maps.flatten(1))))


@layer_norm_model.right_solution
class ChannelsOnlyLayerNorm(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.side = round(input_size**0.5)
        channels = hidden_size // 4
        self.conv = nn.Conv2d(1, channels, 2, stride=2)
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.last = nn.Linear(channels * (self.side // 2) ** 2, num_classes)

    def forward(self, x):
        maps = self.conv(x.reshape(-1, 1, self.side, self.side))
        var, mean = torch.var_mean(maps, 1, keepdim=True, correction=0)
        maps = (maps - mean) / (var + 1e-5).sqrt() * self.weight + self.bias
        return self.last(torch.relu(maps).flatten(1))


@layer_norm_model.right_solution
class OwnLayerNormWithDropout(nn.Module):
    class Norm(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(features))
            self.bias = nn.Parameter(torch.zeros(features))

        def forward(self, x):
            centred = x - x.mean(-1, keepdim=True)
            return centred / (centred.std(-1, keepdim=True) + 1e-6) * self.weight + self.bias

    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.first = nn.LazyLinear(hidden_size)
        self.norm = self.Norm(hidden_size)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        hidden = self.norm(self.first(torch.flatten(x, 1)))
        return self.last(self.dropout(F.elu(hidden)))


@layer_norm_model.right_solution
class ResidualPreNorm(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.input_size = input_size
        self.first = nn.Linear(input_size, hidden_size)
        self.norms = nn.ModuleList(nn.GroupNorm(1, hidden_size) for _ in range(2))
        self.blocks = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(2))
        self.last = nn.Linear(hidden_size, num_classes)
        nn.init.zeros_(self.last.weight)

    def forward(self, x):
        stream = self.first(x.reshape(-1, self.input_size))
        for norm, block in zip(self.norms, self.blocks, strict=True):
            stream = stream + torch.relu(block(norm(stream)))
        return self.last(stream)


@layer_norm_model.right_solution
class FunctionalLayerNormSampleBySample(nn.Module):
    def __init__(self, input_size=64, hidden_size=128, num_classes=10):
        super().__init__()
        self.first = nn.Linear(input_size, hidden_size)
        self.last = nn.Linear(hidden_size, num_classes)
        self.scale = nn.Parameter(torch.ones(hidden_size))

    def forward(self, x):
        return torch.vmap(self.one)(x)

    def one(self, sample):
        hidden = F.layer_norm(self.first(sample.ravel()), self.scale.shape, self.scale)
        return self.last(F.silu(hidden))


# Training


@train.cases
def train_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Losses, weights and accuracies of a tiny network, by the number."""
    features, hidden, classes = (
        int(rng.choice(lengths)) for lengths in ([3, 4, 5], [5, 6, 7], [3, 4])
    )

    def labelled(samples, offset=0.0):
        """Random samples, and labels that a linear function gives to most of them."""
        x = offset + rng.normal(size=(samples, features))
        y = (x @ rng.normal(size=(features, classes))).argmax(axis=1)
        wrong = rng.uniform(size=samples) < 0.2
        y[wrong] = rng.integers(classes, size=int(wrong.sum()))
        return x.astype(np.float32), y

    def inputs(samples, batch_size, epochs=1, test_samples=6, test_offset=0.0, **more):
        train_x, train_y = labelled(samples)
        test_x, test_y = labelled(test_samples, test_offset)
        return {
            "first_weight": rng.normal(size=(hidden, features)).astype(np.float32),
            "first_bias": rng.normal(size=hidden).astype(np.float32),
            "last_weight": rng.normal(size=(classes, hidden)).astype(np.float32),
            "last_bias": rng.normal(size=classes).astype(np.float32),
            "train_x": train_x,
            "train_y": train_y,
            "test_x": test_x,
            "test_y": test_y,
            "train_batch_size": batch_size,
            "test_batch_size": 4,
            "epochs": epochs,
            "lr": float(rng.uniform(0.3, 0.6)),
            **more,
        }

    # The last of the test batches, of four samples each, has two.
    many = 4 * int(rng.integers(5, 8)) + 2
    yield Case(
        "one batch, one epoch: the weights take one step of gradient descent",
        points=0.75,
        inputs=inputs(6, 6),
        tolerance=STEPS,
        judged=("weights afterwards",),
        hint="For each batch: clear the gradients, compute the loss of `model(x)` with "
        "`F.cross_entropy`, call `backward()`, then `optimizer.step()`, with plain "
        "`torch.optim.SGD` at learning rate `lr`.",
    )
    yield Case(
        "several batches, one epoch: the loss of every step, and the weights in the end",
        points=0.75,
        inputs=inputs(15, 4),
        tolerance=STEPS,
        judged=("losses", "weights afterwards"),
        hint="`losses` has one number a batch: the one that `backward` started from.",
    )
    yield Case(
        "several epochs, with batch norm: the losses of all their steps",
        points=0.5,
        inputs=inputs(11, 4, epochs=3, batch_norm=True),
        tolerance=STEPS,
        judged=("losses",),
        hint="One flat list, begun before the first epoch, and `model.train()` whenever training "
        "goes on.",
    )
    yield Case(
        "the accuracy is the share of all test samples, in batches of unequal size",
        points=0.75,
        inputs=_telling(lambda: inputs(6, 6, test_samples=many)),
        tolerance=SHARE,
        judged=("accuracy",),
        hint="Count what is right over the whole test loader, count the samples, and divide once "
        "in the end.",
    )
    yield Case(
        "the test set is seen in evaluation mode",
        points=0.5,
        inputs=_telling(lambda: inputs(6, 6, test_samples=many, test_offset=0.5, batch_norm=True)),
        tolerance=STEPS,
        judged=("accuracy", "running mean afterwards"),
        # The bias before a batch norm has no gradient but rounding noise, which Adam scales up.
        by_values=False,
        hint="`model.eval()` before the first test batch: batch norm then uses its running "
        "statistics, and leaves them as they are.",
    )
    yield Case(
        "a model that arrives in evaluation mode is trained in training mode",
        points=0.25,
        inputs=inputs(11, 4, batch_norm=True, in_evaluation_mode=True),
        tolerance=STEPS,
        judged=("losses",),
        hint="Call `model.train()` before you train. Nobody says in which mode a model arrives.",
    )
    yield Case(
        "the losses are plain numbers, which keep no graph in memory",
        points=0.25,
        inputs=inputs(8, 4),
        tolerance=STEPS,
        judged=("losses keep their graph",),
        hint="`loss.item()` is the number in a loss.",
    )
    yield Case(
        "no graph is built for the test set, and gradients are on again afterwards",
        points=0.25,
        inputs=inputs(6, 6),
        tolerance=STEPS,
        judged=("graph was built for the test set", "gradients are on afterwards"),
        hint="`with torch.no_grad():` around the evaluation, and around nothing else.",
    )


def _telling(draw):
    """Inputs on which every known way to a wrong accuracy gives a wrong one."""
    probe = probe_of(train.id)
    rivals = (
        mean_of_batches,
        last_batch_only,
        accuracy_on_the_train_set,
        evaluated_before_training,
        argmax_over_the_batch,
        assumes_full_batches,
    )
    while True:
        inputs = draw()
        accuracies = [
            run(probe, (solution,), inputs).outputs["accuracy"]
            for solution in (train_oracle, *rivals)
        ]
        apart = np.diff(np.sort(accuracies))
        if apart.min() > 1e-3 and 0.4 < accuracies[0] < 0.95:
            return inputs


# A mistake of one half, training or evaluating, leaves the other to the reference: in the pasted
# form of these functions, `right` is the reference solution too.


@train.known_mistake(
    "zero_grad forgotten",
    "`backward` adds to the gradients that are there. You never clear them, so each step follows "
    "the sum of all gradients so far.",
    hint="Call `optimizer.zero_grad()` once for every batch, before `backward`.",
)
def no_zero_grad(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "zero_grad once an epoch",
    "You clear the gradients at the start of an epoch. Within it they add up from batch to batch.",
    hint="Call `optimizer.zero_grad()` once for every batch, inside the inner loop.",
)
def zero_grad_once_an_epoch(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "a step that finds no gradients",
    "The weights never change. `optimizer.step()` is missing, or there are no gradients when it "
    "comes: `backward` is missing, or `zero_grad` stands between `backward` and `step`.",
    hint="For each batch: `zero_grad`, then `backward`, then `step`.",
)
def zero_grad_before_step(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.zero_grad()
            optimizer.step()
            losses.append(loss.item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "step before backward",
    "Your `step` comes before `backward`, so each step follows the gradient of the batch before, "
    "and the last gradient is never used.",
    hint="For each batch: `zero_grad`, then `backward`, then `step`.",
)
def step_before_backward(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.step()
            optimizer.zero_grad()
            loss.backward()
            losses.append(loss.item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "softmax before cross-entropy",
    "`F.cross_entropy` takes logits, and applies softmax itself. You gave it probabilities.",
    hint="Write `F.cross_entropy(model(x), y)`.",
)
def softmax_before_loss(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x).softmax(dim=1), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "the loss summed over the batch",
    "Your loss is the sum over the batch, so a step is larger, the larger the batch is.",
    hint="`F.cross_entropy` takes the mean unless it is told `reduction='sum'`.",
)
def summed_loss(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y, reduction="sum")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "Adam instead of SGD",
    "You trained with Adam, which scales each step by what it has seen. Plain gradient descent was "
    "asked for, so that the numbers can be compared.",
    hint="`torch.optim.SGD(model.parameters(), lr=lr)`.",
)
def adam(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "momentum in SGD",
    "Your optimizer has a momentum of 0.9. Plain gradient descent was asked for, so that the "
    "numbers can be compared.",
    hint="`torch.optim.SGD(model.parameters(), lr=lr)`, and nothing else.",
)
def momentum(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "lr not honoured (0.01)",
    "Your learning rate is 0.01 whatever `lr` says.",
    hint="`torch.optim.SGD(model.parameters(), lr=lr)`.",
)
def fixed_learning_rate(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    return right(model, train_loader, test_loader, epochs, 0.01)


@train.known_mistake(
    "a single epoch",
    "You go through the train loader once, whatever `epochs` says.",
    hint="Put a loop around the loop: `for epoch in range(epochs):`. Is your `return` inside it?",
)
def single_epoch(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    return right(model, train_loader, test_loader, 1, lr)


@train.known_mistake(
    "a single step",
    "Your function ends after the first batch.",
    hint="How far is your `return` indented? It comes after the loops, at the level of the first "
    "`for`.",
)
def single_step(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    return right(model, [next(iter(train_loader))], test_loader, 1, lr)


@train.known_mistake(
    "the losses of the last epoch alone",
    "You begin a new list of losses in every epoch, so only those of the last one are left.",
    hint="Write `losses = []` before the loop over epochs.",
)
def last_epoch_alone(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    return losses[-len(train_loader) :], accuracy


@train.known_mistake(
    "one loss an epoch",
    "Your list has one number an epoch, the mean of its losses. The loss of every step is wanted.",
    hint="Append to the list inside the inner loop.",
)
def one_loss_an_epoch(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    steps = len(train_loader)
    means = [sum(losses[i * steps : (i + 1) * steps]) / steps for i in range(epochs)]
    return means, accuracy


@train.known_mistake(
    "a running total of the losses",
    "Each number in your list is the sum of all losses so far.",
    hint="Append the loss of this step, before you add it to anything.",
)
def running_total(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    return [sum(losses[: i + 1]) for i in range(len(losses))], accuracy


@train.known_mistake(
    "losses times the size of their batch",
    "You multiplied each loss by the number of samples in its batch. That is how one begins an "
    "average over an epoch; here each step's loss is wanted as it is.",
    hint="Append `loss.item()`.",
)
def losses_times_batch_size(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    counts = [len(y) for _ in range(epochs) for _, y in train_loader]
    return [loss * count for loss, count in zip(losses, counts, strict=True)], accuracy


@train.known_mistake(
    "the loss after the step",
    "You computed the loss anew after the step. The one that `backward` started from is wanted, "
    "and a second forward pass moves the running statistics of a batch norm twice.",
    hint="Append the loss that you have already: `losses.append(loss.item())`.",
)
def loss_after_step(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            losses.append(F.cross_entropy(model(x), y).item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "losses that keep their graph",
    "Your list holds tensors, and each keeps the graph of its step alive: after 1,000 steps 1,000 "
    "graphs are in memory.",
    hint="Append `loss.item()`, which is a number.",
)
def losses_with_graph(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss)
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "model.train() forgotten",
    "You train in the mode in which the model arrives. That is right for a new model, and wrong "
    "for one that has been evaluated before: batch norm then uses its running statistics.",
    hint="Call `model.train()` at the start of each epoch.",
)
def no_train_mode(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, right(model, [], test_loader, 0, lr)[1]


@train.known_mistake(
    "model.eval() never undone",
    "You evaluate after each epoch, and the model stays in evaluation mode for all epochs after "
    "the first.",
    hint="Move `model.train()` into the loop, to the start of each epoch.",
)
def eval_never_undone(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses, accuracy = [], 0.0
    model.train()
    for _ in range(epochs):
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        accuracy = right(model, [], test_loader, 0, lr)[1]
    return losses, accuracy


@train.known_mistake(
    "model.eval() forgotten",
    "You evaluate in training mode. Batch norm then normalises the test samples with the "
    "statistics of their own batch, and takes them into its running statistics. `torch.no_grad()` "
    "does not change the mode.",
    hint="Call `model.eval()` before the loop over the test loader.",
)
def no_eval_mode(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, _ = right(model, train_loader, test_loader, epochs, lr)
    model.train()
    correct = total = 0
    with torch.no_grad():
        for x, y in test_loader:
            correct += (model(x).argmax(dim=1) == y).sum().item()
            total += len(y)
    return losses, correct / total


@train.known_mistake(
    "a graph for the test set",
    "Your evaluation builds a graph for a backward pass that never comes. That costs time and "
    "memory. `model.eval()` does not switch gradients off.",
    hint="Put the evaluation into `with torch.no_grad():`.",
)
def no_no_grad(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, _ = right(model, train_loader, test_loader, epochs, lr)
    correct = total = 0
    for x, y in test_loader:
        correct += (model(x).argmax(dim=1) == y).sum().item()
        total += len(y)
    return losses, correct / total


@train.known_mistake(
    "gradients switched off for good",
    "Your function switches gradients off and leaves them off. Whatever is trained next, in any "
    "cell, fails.",
    hint="`with torch.no_grad():` switches them on again at the end of its block.",
)
def gradients_left_off(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    torch.set_grad_enabled(False)
    return losses, accuracy


@train.known_mistake(
    "the mean of the batches' accuracies",
    "You averaged the accuracies of the batches. The last batch is smaller than the others, and "
    "its samples count for more in that average.",
    hint="Add up how many are right and how many there are, and divide once in the end.",
)
def mean_of_batches(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, _ = right(model, train_loader, test_loader, epochs, lr)
    with torch.no_grad():
        shares = [(model(x).argmax(dim=1) == y).float().mean().item() for x, y in test_loader]
    return losses, sum(shares) / len(shares)


@train.known_mistake(
    "the accuracy of the last batch",
    "Your accuracy is that of the last test batch alone.",
    hint="Begin the counts before the loop, and add to them with `+=`.",
)
def last_batch_only(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    with torch.no_grad():
        for x, y in test_loader:
            accuracy = (model(x).argmax(dim=1) == y).float().mean().item()
    return losses, accuracy


@train.known_mistake(
    "every batch taken for full",
    "You counted as many samples for each test batch as the first one has. The last batch is "
    "smaller.",
    hint="Count the labels themselves: `total += len(y)`.",
)
def assumes_full_batches(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    sizes = [len(y) for _, y in test_loader]
    return losses, accuracy * sum(sizes) / (sizes[0] * len(sizes))


@train.known_mistake(
    "the accuracy on the train set",
    "Your accuracy is that on the training data.",
    hint="Go through `test_loader` in the evaluation.",
)
def accuracy_on_the_train_set(
    model, train_loader, test_loader, epochs, lr, right=train_and_evaluate
):
    return right(model, train_loader, train_loader, epochs, lr)


@train.known_mistake(
    "evaluated before training",
    "Your accuracy is that of the model before it was trained.",
    hint="The evaluation comes after the loop over epochs.",
)
def evaluated_before_training(
    model, train_loader, test_loader, epochs, lr, right=train_and_evaluate
):
    _, accuracy = right(model, [], test_loader, 0, lr)
    losses, _ = right(model, train_loader, test_loader, epochs, lr)
    return losses, accuracy


@train.known_mistake(
    "argmax over the batch",
    "You took the argmax over dim 0, which asks which sample is the largest for a class. For each "
    "sample the largest class is wanted.",
    hint="The logits have the shape (batch, classes): `argmax(dim=1)`.",
)
def argmax_over_the_batch(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, _ = right(model, train_loader, test_loader, epochs, lr)
    correct = total = 0
    with torch.no_grad():
        for x, y in test_loader:
            best = model(x).argmax(dim=0)
            count = min(len(best), len(y))
            correct += (best[:count] == y[:count]).sum().item()
            total += len(y)
    return losses, correct / total


@train.known_mistake(
    "the accuracy in percent",
    "Your accuracy is a percentage. A share between 0 and 1 is wanted.",
    hint="Leave out the factor of 100.",
)
def percent(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    return losses, 100 * accuracy


@train.known_mistake(
    "a count instead of a share",
    "You return how many are right, which is not yet divided by how many there are.",
    hint="Divide by the number of samples in the test loader.",
)
def count_of_correct(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    return losses, round(accuracy * sum(len(y) for _, y in test_loader))


@train.known_mistake(
    "a count divided by the number of batches",
    "You divided the number of right answers by the number of batches: `len(test_loader)` counts "
    "batches.",
    hint="Count the samples: `total += len(y)`.",
)
def divided_by_batches(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    return losses, accuracy * sum(len(y) for _, y in test_loader) / len(test_loader)


@train.known_mistake(
    "training on the test set",
    "Your model takes steps on the test loader as well. It has then seen what it is asked.",
    hint="Only the train loader's batches have a `backward` and a `step`.",
)
def trained_on_the_test_set(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, _ = right(model, train_loader, test_loader, epochs, lr)
    return losses, right(model, test_loader, test_loader, 1, lr)[1]


@train.known_mistake(
    "accuracy and losses swapped",
    "You return the accuracy first. The losses come first.",
    hint="`return losses, accuracy`.",
)
def swapped(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    losses, accuracy = right(model, train_loader, test_loader, epochs, lr)
    return accuracy, losses


@train.known_mistake(
    "the losses alone",
    "You return the list of losses and leave out the accuracy.",
    hint="`return losses, accuracy`.",
)
def losses_alone(model, train_loader, test_loader, epochs, lr, right=train_and_evaluate):
    return np.array(right(model, train_loader, test_loader, epochs, lr)[0])


@train.combination
def no_zero_grad_and_no_eval(model, train_loader, test_loader, epochs, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    model.train()
    for _ in range(epochs):
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    correct = total = 0
    with torch.no_grad():
        for x, y in test_loader:
            correct += (model(x).argmax(dim=1) == y).sum().item()
            total += len(y)
    return losses, correct / total


@train.combination
def graphs_everywhere(model, train_loader, test_loader, epochs, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss)
    model.eval()
    correct = total = 0
    for x, y in test_loader:
        correct += (model(x).argmax(dim=1) == y).sum().item()
        total += len(y)
    return losses, correct / total


@train.combination
def one_loss_an_epoch_and_mean_of_batches(model, train_loader, test_loader, epochs, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        model.train()
        total = 0.0
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(train_loader))
    model.eval()
    with torch.no_grad():
        shares = [(model(x).argmax(dim=1) == y).float().mean().item() for x, y in test_loader]
    return losses, sum(shares) / len(shares)


@train.right_solution
def evaluated_every_epoch(model, train_loader, test_loader, epochs, lr):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    history, accuracy = [], 0.0
    for _ in range(epochs):
        model.train()
        for images, labels in train_loader:
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            history.append(loss.detach())
        model.eval()
        with torch.inference_mode():
            hits = [model(images).max(dim=1).indices.eq(labels) for images, labels in test_loader]
            accuracy = torch.cat(hits).float().mean()
    return torch.stack(history), accuracy


@train.right_solution
def steps_by_hand(model, train_loader, test_loader, epochs, lr):
    losses = np.zeros(epochs * len(train_loader))
    for step in range(len(losses)):
        if step % len(train_loader) == 0:
            batches = iter(train_loader)
        x, y = next(batches)
        model.train(True)
        model.zero_grad()
        loss = F.nll_loss(F.log_softmax(model(x), dim=-1), y)
        loss.backward()
        losses[step] = float(loss)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= lr * parameter.grad
    model.train(False)
    torch.set_grad_enabled(False)
    correct = sum(int((model(x).argmax(-1) == y).sum()) for x, y in test_loader)
    torch.set_grad_enabled(True)
    return losses, correct / len(test_loader.dataset)


@train.right_solution
def new_optimizer_each_epoch(model, train_loader, test_loader, epochs, lr):
    @torch.no_grad()
    def accuracy():
        outputs, labels = zip(*[(model.eval()(x), y) for x, y in test_loader], strict=True)
        return np.mean(torch.cat(outputs).numpy().argmax(1) == torch.cat(labels).numpy())

    def epoch():
        optimizer = torch.optim.SGD(model.train().parameters(), lr)
        for x, y in train_loader:
            optimizer.zero_grad(set_to_none=False)
            loss = F.cross_entropy(model(x), y, reduction="sum") / x.size(0)
            loss.backward()
            optimizer.step()
            yield loss.item()

    return [loss for _ in range(epochs) for loss in epoch()], accuracy()
