"""Further challenge C4: what gamma and beta start at, and what weight decay pulls at."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_rows
from course.instructor.task import Task
from course.layer_normalization_solutions import NormedResidualBlock
from course.student.answer_key import Case, Tolerance


class Oracle(nn.Module):
    """The definition with the norm written out."""

    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__()
        self.inner = nn.Parameter(torch.randn(2, features, features))
        self.affine = nn.ParameterList(torch.ones(features) * start for start in (gamma, beta))

    def forward(self, x):
        first, second = self.inner
        branch = torch.tanh(x @ first / 10) @ second
        centred = branch - branch.mean(-1, keepdim=True)
        var = centred.square().mean(-1, keepdim=True)
        return x + self.affine[0] * centred / (var + 1e-5).sqrt() + self.affine[1]


residual_block = Task(
    "ch04_residual_block",
    "A residual block whose gamma and beta start as asked",
    defines="NormedResidualBlock",
    oracle=Oracle,
)

# The mean and the spread of what is added are exact but for the eps of the norm. A branch that
# starts with weights of 0.02 comes out up to 3 % too small; wrong answers are off by 0.2 or more.
STATISTICS = Tolerance(rtol=0, atol=0.04)
# At gamma = 0 the gradient of x is the upstream one and an exact zero.
GRADIENT = Tolerance(rtol=0, atol=1e-9)
# Facts are the same or not.
EXACT = Tolerance(rtol=0, atol=0)

STATISTICS_OF_ROWS = tuple(
    f"{what} of a row of {of}" for of in ("output - x", "output") for what in ("mean", "spread")
)
KIND = "with the weights of the branch at 0, a block gives"


@residual_block.cases
def block_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Rows differ in mean and spread; gamma, |beta|, 0 and 1 are far apart."""
    features = int(rng.integers(6, 10))
    batch, seq = (int(n) for n in rng.permutation([4, 5]))

    def inputs(*shape, look_at="rows", **more):
        rows = draw_rows(rng, *shape, features, spread=(20.0, 40.0), offset=20.0)
        return {"x": rows, "seed": int(rng.integers(1000)), "look_at": look_at, **more}

    def starts():
        gamma = float(rng.uniform(0.3, 0.6))
        return {"gamma": gamma, "beta": float(rng.choice([-1, 1]) * rng.uniform(0.9, 1.3))}

    def shut(look_at):
        """Rows of ordinary size, so that no activation saturates, and a gradient at the output."""
        rows = draw_rows(rng, batch + 4, features, spread=(1.0, 2.0), offset=1.0)
        more = {"gamma": 0.0, "beta": 0.0, "upstream": rng.normal(size=rows.shape)}
        return inputs(look_at=look_at, **more) | {"x": rows}

    yield Case(
        "what is added to x is a normalised branch, by default with gamma 1 and beta 0",
        points=0.75,
        inputs=inputs(batch),
        tolerance=STATISTICS,
        judged=(*STATISTICS_OF_ROWS, "what is added depends on x", KIND),
        hint="Subtract x from your output: each row of what is left should have mean 0 and spread "
        "1. So the norm comes last in the branch, and x is added after it.",
    )
    yield Case(
        "gamma is the spread of what is added, beta its mean",
        points=1,
        inputs=inputs(batch, **starts()),
        tolerance=STATISTICS,
        judged=(*STATISTICS_OF_ROWS, KIND),
        hint="Give the norm's weight the value gamma, the norm's bias the value beta, and leave "
        "all other parameters as they are. x itself is not multiplied by anything.",
    )
    yield Case(
        "with gamma = 0 and beta = 0, a new block gives back x",
        points=1,
        inputs=inputs(batch, look_at="start", gamma=0.0, beta=0.0),
        tolerance=EXACT,
        judged=("a new block gives",),
        hint="Nothing is added, and x passes as it is. What happens to x on its way by the branch?",
    )
    yield Case(
        "from gamma = 0, the first step moves gamma and beta, and nothing else",
        points=1,
        inputs=shut("first step"),
        tolerance=EXACT,
        judged=(
            "gamma moves",
            "beta moves",
            "forward changes the parameters",
            "numbers with a gradient in the first step",
        ),
        hint="Gamma and beta are `nn.Parameter`s with a number for each feature. They get their "
        "values once, in `__init__`, and `forward` uses them even while they are 0.",
    )
    yield Case(
        "the second step reaches the branch",
        points=0.25,
        inputs=shut("second step"),
        tolerance=EXACT,
        judged=("the second step reaches the branch",),
        hint="Once gamma has left 0, a gradient comes through to the layers before the norm. They "
        "must give something that can be normalised.",
    )
    yield Case(
        "one learnable gamma and one learnable beta start at the given values",
        points=0.5,
        inputs=inputs(batch, look_at="parameters", **starts()),
        tolerance=EXACT,
        judged=("learnable vectors that start at gamma", "learnable vectors that start at beta"),
        hint="Build a block with gamma=0.4 and beta=0.9 and print its parameters: one vector of "
        "0.4s and one of 0.9s, and everything else as PyTorch starts it.",
    )
    yield Case(
        "(batch, seq, features): every position by itself",
        points=0.5,
        inputs=inputs(batch, seq, **starts()),
        tolerance=STATISTICS,
        judged=STATISTICS_OF_ROWS,
        hint="The norm goes over the last dim alone, however many dims come before it.",
    )
    yield Case(
        "a single row, of shape (features,)",
        points=0.25,
        inputs=inputs(**starts()),
        tolerance=STATISTICS,
        judged=STATISTICS_OF_ROWS[:2],
        hint="Count dims from the end: -1 is the features, whether there is a batch or not.",
    )
    yield Case(
        "gradients reach x past the branch, and through it once gamma is not 0",
        points=0.25,
        inputs=shut("gradients"),
        tolerance=GRADIENT,
        judged=("dx at gamma = 0", "at gamma = 1, dx goes through the branch too"),
        hint="`.data`, `.detach()` and `torch.no_grad()` hide a step from autograd.",
    )
    yield Case(
        "gamma and beta may be ints",
        points=0.25,
        inputs=inputs(batch, look_at="start", gamma=0, beta=0),
        tolerance=EXACT,
        judged=("a new block gives",),
        hint="`torch.full` makes integers of an int, and integers have no gradient. Try "
        "`float(gamma)`, or `nn.init.constant_`.",
    )
    yield Case(
        "x is left as it was",
        points=0.25,
        inputs=inputs(batch, look_at="input", gamma=1.0, beta=0.0),
        tolerance=EXACT,
        judged=("x is unchanged",),
        hint="`+=` and operations whose name ends in `_` write into the caller's tensor.",
    )


@residual_block.known_mistake(
    "the residual is missing",
    "You return the normalised branch. x itself is not added to it.",
    hint="The last line of `forward` is x + ... .",
)
class NoResidual(NormedResidualBlock):
    def forward(self, x):
        return self.norm(self.branch(x))


@residual_block.known_mistake(
    "the sum is normalised",
    "You add x to the branch and normalise the sum. So gamma scales x as well, and with gamma = 0 "
    "nothing is left of it.",
    hint="Normalise what the branch gives. Then add x, and let nothing come after.",
)
class NormOfTheSum(NormedResidualBlock):
    def forward(self, x):
        return self.norm(x + self.branch(x))


@residual_block.known_mistake(
    "the norm comes first in the branch",
    "You normalise what the branch gets. Its last layer then decides how large the result is, and "
    "gamma = 0 does not shut the branch: its biases still come through.",
    hint="The norm is the last step of the branch here, not the first.",
)
class NormFirst(NormedResidualBlock):
    def forward(self, x):
        return x + self.branch(self.norm(x))


@residual_block.known_mistake(
    "gamma scales x too",
    "Your gamma multiplies x as well as the normalised branch. With gamma = 0 a block forgets x.",
    hint="gamma belongs to the norm, inside the branch. x goes past it.",
)
class GammaOnX(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.gamma = nn.Parameter(torch.ones(features) * gamma)
        self.beta = nn.Parameter(torch.ones(features) * beta)

    def forward(self, x):
        return self.gamma * (x + self.norm(self.branch(x))) + self.beta


@residual_block.known_mistake(
    "gamma scales x in place of the branch",
    "You multiply x by gamma and add the branch as it is. It is the branch that gamma should open "
    "and shut.",
    hint="x + gamma * (normalised branch) + beta, with the first two parts the other way round.",
)
class GammaOnXAlone(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.gamma = nn.Parameter(torch.ones(features) * gamma)
        self.beta = nn.Parameter(torch.ones(features) * beta)

    def forward(self, x):
        return self.gamma * x + self.norm(self.branch(x)) + self.beta


@residual_block.known_mistake(
    "gamma and beta are not learned",
    "The gamma and beta that were given are plain tensors, buffers, numbers, or frozen: no "
    "optimizer moves them. A block that starts at gamma = 0 stays shut for ever, even with a "
    "learnable norm behind that 0.",
    hint="Put both into the norm with `nn.init.constant_`, or make an `nn.Parameter` of each.",
)
class Constants(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.gamma = gamma
        self.beta = beta

    def forward(self, x):
        return x + self.gamma * self.norm(self.branch(x)) + self.beta


@residual_block.known_mistake(
    "beta is ignored",
    "Your scale starts at gamma; your shift starts at 0 whatever beta is.",
    hint="The norm has a bias as well as a weight.",
)
class BetaIgnored(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, gamma)


@residual_block.known_mistake(
    "gamma is ignored",
    "Your shift starts at beta; your scale starts at 1 whatever gamma is.",
    hint="`nn.LayerNorm` starts its weight at ones. Set it in `__init__`.",
)
class GammaIgnored(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, beta=beta)


@residual_block.known_mistake(
    "both gamma and beta are ignored",
    "Your norm starts at 1 and 0 whatever gamma and beta are.",
    hint="`nn.LayerNorm` starts its weight at ones and its bias at zeros. Set both in `__init__`.",
)
class BothIgnored(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)


@residual_block.known_mistake(
    "gamma and beta are swapped",
    "Your scale starts at beta and your shift at gamma.",
    hint="`norm.weight` is gamma, the scale; `norm.bias` is beta, the shift.",
)
class Swapped(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, beta, gamma)


@residual_block.known_mistake(
    "forward sets gamma and beta again",
    "Your `forward` puts gamma and beta back to where they started, so every step of an optimizer "
    "is undone.",
    hint="Initialising is done once, in `__init__`.",
)
class SetAgain(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, gamma, beta)
        self.start = gamma, beta

    def forward(self, x):
        nn.init.constant_(self.norm.weight, self.start[0])
        nn.init.constant_(self.norm.bias, self.start[1])
        return super().forward(x)


@residual_block.known_mistake(
    "the branch is filled with gamma and beta too",
    "You give every weight of the block the value gamma and every bias the value beta, those of "
    "the linear layers included. All features of the branch are then alike, and normalised they "
    "are 0.",
    hint="Set the norm's own two parameters. Do not go through all of `self.parameters()`.",
)
class FilledAll(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, gamma, beta)
        for name, parameter in self.named_parameters():
            nn.init.constant_(parameter, gamma if name.endswith("weight") else beta)


@residual_block.known_mistake(
    "the last layer of the branch starts at zero too",
    "Your branch gives zeros, and normalised those are zeros still. Then gamma has nothing to "
    "scale, so it gets no gradient, and while gamma is 0 the branch gets none either.",
    hint="One zero is enough to shut a branch. Leave the linear layers as PyTorch starts them.",
)
class BranchAtZero(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, gamma, beta)
        nn.init.zeros_(self.branch[-1].weight)
        nn.init.zeros_(self.branch[-1].bias)


@residual_block.known_mistake(
    "the last weight of the branch starts at zero too",
    "The weight of your last linear layer starts at zero, and its bias does not. What is "
    "normalised is that bias, the same for every row, and nothing of x comes through.",
    hint="One zero is enough to shut a branch. Leave the linear layers as PyTorch starts them.",
)
class WeightAtZero(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, gamma, beta)
        nn.init.zeros_(self.branch[-1].weight)


@residual_block.known_mistake(
    "gamma is one number for all features",
    "Your gamma is a single number. A norm has a gamma for each feature, so that a block can open "
    "for one feature and stay shut for another.",
    hint="gamma has the shape (features,), with all entries alike only at the start.",
)
class ScalarGamma(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.gamma = nn.Parameter(torch.tensor(float(gamma)))
        self.beta = nn.Parameter(torch.ones(features) * beta)

    def forward(self, x):
        return x + self.gamma * self.norm(self.branch(x)) + self.beta


@residual_block.known_mistake(
    "gamma and beta are one number each",
    "Your gamma and your beta are single numbers. A norm has one of each for every feature.",
    hint="Both have the shape (features,), with all entries alike only at the start.",
)
class Scalars(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.gamma = nn.Parameter(torch.tensor(float(gamma)))
        self.beta = nn.Parameter(torch.tensor(float(beta)))

    def forward(self, x):
        return x + self.gamma * self.norm(self.branch(x)) + self.beta


@residual_block.known_mistake(
    "gamma as an int is refused",
    "`torch.full` with an int makes a tensor of integers, and integers cannot be learned.",
    hint="`torch.full((features,), float(gamma))`, or `nn.init.constant_`, which takes both.",
)
class FullOfAnInt(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.gamma = nn.Parameter(torch.full((features,), gamma))
        self.beta = nn.Parameter(torch.full((features,), beta))

    def forward(self, x):
        return x + self.gamma * self.norm(self.branch(x)) + self.beta


@residual_block.known_mistake(
    "x is changed in place",
    "You add to x itself, so the caller's x is no longer what it was.",
    hint="`x + ...` makes a new tensor; `x += ...` writes into the old one.",
)
class InPlace(NormedResidualBlock):
    def forward(self, x):
        added = self.norm(self.branch(x))
        x += added
        return x


@residual_block.known_mistake(
    "batch norm in the place of layer norm",
    "Your norm takes its statistics over the batch, feature by feature, and not over each row.",
    hint="`nn.LayerNorm(features)`.",
)
class BatchNorm(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.BatchNorm1d(features)
        nn.init.constant_(self.norm.weight, gamma)
        nn.init.constant_(self.norm.bias, beta)


@residual_block.known_mistake(
    "one mean for all positions of a sample",
    "With (batch, seq, features) you take the mean and the variance over all positions of a sample "
    "together.",
    hint="The statistics of layer norm go over the last dim alone.",
)
class OverAllDims(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.gamma = nn.Parameter(torch.ones(features) * gamma)
        self.beta = nn.Parameter(torch.ones(features) * beta)

    def forward(self, x):
        branch = self.branch(x)
        x_hat = nn.functional.layer_norm(branch, branch.shape[min(1, x.dim() - 1) :])
        return x + self.gamma * x_hat + self.beta


@residual_block.known_mistake(
    "gamma = 0 is a case of its own",
    "With gamma = 0 you return x without a look at the branch. Gamma gets no gradient then, so the "
    "block stays the identity for ever.",
    hint="0 is a number like any other: leave the `if` out.",
)
class ShortCut(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, gamma, beta)
        self.shut = gamma == 0

    def forward(self, x):
        return x if self.shut else super().forward(x)


@residual_block.known_mistake(
    "x is detached before the branch",
    "The branch learns, but no gradient goes through it to x, and so to the layers before.",
    hint="Give the branch x itself, without `.detach()` or `.data`.",
)
class Detached(NormedResidualBlock):
    def forward(self, x):
        return x + self.norm(self.branch(x.detach()))


@residual_block.combination
class BetaIgnoredInPlace(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, gamma)

    def forward(self, x):
        x += self.norm(self.branch(x))
        return x


@residual_block.combination
class DetachedScalar(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.LayerNorm(features, elementwise_affine=False)
        self.gamma = nn.Parameter(torch.tensor(float(gamma)))
        self.beta = nn.Parameter(torch.ones(features) * beta)

    def forward(self, x):
        return x + self.gamma * self.norm(self.branch(x.detach())) + self.beta


@residual_block.combination
class GammaIgnoredAndScalarBeta(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features)
        self.norm = nn.LayerNorm(features, bias=False)
        self.beta = nn.Parameter(torch.tensor(float(beta)))

    def forward(self, x):
        return super().forward(x) + self.beta


@residual_block.right_solution
class FunctionalNorm(nn.Module):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__()
        self.inner = nn.Linear(features, 3 * features)
        self.outer = nn.Linear(3 * features, features)
        self.scale = nn.Parameter(torch.full((features,), float(gamma)))
        self.shift = nn.Parameter(torch.full((features,), float(beta)))

    def forward(self, x):
        branch = self.outer(nn.functional.gelu(self.inner(x)))
        return x + nn.functional.layer_norm(branch, x.shape[-1:], self.scale, self.shift)


@residual_block.right_solution
class ByHand(nn.Module):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__()
        self.linear = nn.Linear(features, features, bias=False)
        self.affine = nn.Parameter(torch.ones(features) * gamma)
        self.offset = nn.Parameter(torch.zeros(features) + beta)

    def forward(self, x):
        branch = torch.relu(self.linear(x))
        branch = branch - branch.mean(-1, keepdim=True)
        var = branch.square().mean(-1, keepdim=True)
        return torch.addcmul(x + self.offset, self.affine, branch * torch.rsqrt(var + 1e-5))


@residual_block.right_solution
class SmallWeights(nn.Module):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Linear(features, 4 * features),
            nn.Tanh(),
            nn.Dropout(0.1),
            nn.Linear(4 * features, features),
            nn.LayerNorm(features),
        )
        for layer in self.branch:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.branch[-1].weight.fill_(gamma)
            self.branch[-1].bias.fill_(beta)

    def forward(self, x):
        return self.branch(x) + x


@residual_block.right_solution
class StateDict(nn.Module):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__()
        ones = torch.ones(features)
        self.norm = nn.LayerNorm(features)
        self.norm.load_state_dict({"weight": gamma * ones, "bias": beta * ones})
        self.first = nn.Linear(features, 2 * features)
        self.second = nn.Linear(2 * features, features)
        nn.init.xavier_uniform_(self.first.weight)
        nn.init.kaiming_normal_(self.second.weight)

    def forward(self, x):
        return torch.add(x, self.norm(self.second(nn.functional.silu(self.first(x)))))


@residual_block.right_solution
class NormedTwice(NormedResidualBlock):
    def __init__(self, features, gamma=1.0, beta=0.0):
        super().__init__(features, gamma, beta)
        self.before = nn.LayerNorm(features)

    def forward(self, x):
        return x + self.norm(self.branch(self.before(x)))


def two_groups(model, weight_decay):
    """The oracle: by the shape of each parameter, from the modules down."""
    found = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            found.setdefault(id(parameter), parameter)
    return [
        {"params": [p for p in found.values() if keeps(p)], "weight_decay": decay}
        for keeps, decay in (
            (lambda p: p.requires_grad and len(p.shape) >= 2, weight_decay),
            (lambda p: p.requires_grad and len(p.shape) < 2, 0.0),
        )
    ]


parameter_groups = Task(
    "ch04_parameter_groups",
    "Parameter groups for weight decay",
    defines="parameter_groups",
    oracle=two_groups,
)

# 1 - 0.1 weight_decay, with weight_decay between 0.05 and 0.3, in float32 (1e-7).
STEP = Tolerance(rtol=0, atol=1e-5)


@parameter_groups.cases
def group_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Small models, of lengths that all differ."""

    def inputs(kind, **more):
        return {
            "kind": kind,
            "sizes": [int(n) for n in rng.permutation([3, 4, 5])],
            "weight_decay": float(rng.uniform(0.05, 0.3)),
            **more,
        }

    names = ("with weight decay", "without")
    yield Case(
        "the weights of linear layers get weight decay, the weight of a layer norm gets none",
        points=1,
        inputs=inputs("plain"),
        tolerance=EXACT,
        judged=names,
        hint="A Linear's weight has two dims, a norm's weight has one: `parameter.dim()` tells.",
    )
    yield Case(
        "biases of linear, convolutional and norm layers get none",
        points=0.75,
        inputs=inputs("biases"),
        tolerance=EXACT,
        judged=names,
        hint="Every bias has one dim. The weight of this convolution has three.",
    )
    yield Case(
        "layers inside layers, and a norm of your own with gamma and beta",
        points=0.5,
        inputs=inputs("nested"),
        tolerance=EXACT,
        judged=(*names, "more than once"),
        hint="`model.parameters()` and `model.named_parameters()` go all the way down. Names and "
        "types tell nothing about a norm that somebody else has written; shapes do.",
    )
    yield Case(
        "an embedding gets weight decay",
        points=0.25,
        inputs=inputs("embedding"),
        tolerance=EXACT,
        judged=names,
        hint="The weight of an embedding has two dims.",
    )
    yield Case(
        "a weight that two layers share is there once",
        points=0.5,
        inputs=inputs("tied"),
        tolerance=EXACT,
        judged=(*names, "more than once"),
        hint="`model.parameters()` gives a shared parameter once. Going through the modules, you "
        "meet it twice.",
    )
    yield Case(
        "frozen parameters are left out",
        points=0.25,
        inputs=inputs("frozen"),
        tolerance=EXACT,
        judged=names,
        hint="`parameter.requires_grad` is False for a frozen parameter.",
    )
    yield Case(
        "AdamW takes the groups, and one step decays what it should, by as much as it should",
        points=0.5,
        inputs=inputs("biases", look_at="step"),
        tolerance=STEP,
        judged=(
            "numbers that a step with gradients of 0 changes",
            "what such a step leaves of each 1",
        ),
        hint="Both dicts need the key 'weight_decay'. Where it is missing, an optimizer uses its "
        "own default, which for AdamW is not 0.",
    )
    yield Case(
        "two groups, even if one of them is empty",
        points=0.25,
        inputs=inputs("one group"),
        tolerance=EXACT,
        judged=("groups", *names),
        hint="A group with an empty list is fine; whoever uses yours may count on two.",
    )


@parameter_groups.known_mistake(
    "biases get weight decay",
    "You keep the norms out of weight decay, but not the biases of other layers.",
    hint="A bias has one dim, whatever layer it belongs to.",
)
def biases_decayed(model, weight_decay):
    free = [
        p
        for n, p in model.named_parameters()
        if p.requires_grad and p.dim() < 2 and "bias" not in n
    ]
    rest = [
        p for p in model.parameters() if p.requires_grad and not any(p is other for other in free)
    ]
    return [
        {"params": rest, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "only biases are kept out, by name",
    "You go by the word bias in the name. A norm's weight is called weight, so it is decayed.",
    hint="Look at the number of dims, not at the name.",
)
def by_the_name_bias(model, weight_decay):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in named if "bias" not in n], "weight_decay": weight_decay},
        {"params": [p for n, p in named if "bias" in n], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "the word norm in the name decides",
    "You go by the word norm in the name. In an `nn.Sequential` a norm is called 1 or 4.",
    hint="Look at the number of dims, not at the name.",
)
def by_the_name_norm(model, weight_decay):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    free = [p for n, p in named if "norm" in n or "bias" in n]
    rest = [p for n, p in named if not ("norm" in n or "bias" in n)]
    return [{"params": rest, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


@parameter_groups.known_mistake(
    "the groups are swapped",
    "Norms and biases get the weight decay, and the weights of the layers get none.",
    hint="Two dims or more: weight_decay. Fewer: 0.",
)
def swapped_groups(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "one group for all",
    "Every parameter gets the weight decay.",
    hint="Two lists: one for the parameters with two dims or more, one for the others.",
)
def all_decayed(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    return [{"params": learned, "weight_decay": weight_decay}, {"params": [], "weight_decay": 0.0}]


@parameter_groups.known_mistake(
    "only top-level layers are looked at",
    "You go through `model.children()`, so layers inside layers are not found. No optimizer would "
    "train them.",
    hint="`model.parameters()` goes all the way down.",
)
def top_level_only(model, weight_decay):
    learned = {
        p: None
        for layer in model.children()
        for p in layer.parameters(recurse=False)
        if p.requires_grad
    }
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "norms that are not PyTorch's are missed",
    "You know a norm by its type, such as `nn.LayerNorm`. One that somebody has written is of "
    "another type, so its gamma gets weight decay.",
    hint="Go by shape: every scale over features has one dim.",
)
def by_type(model, weight_decay):
    norms = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)
    free = {
        id(p)
        for module in model.modules()
        for n, p in module.named_parameters(recurse=False)
        if isinstance(module, norms) or n in ("bias", "beta")
    }
    learned = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if id(p) not in free], "weight_decay": weight_decay},
        {"params": [p for p in learned if id(p) in free], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "only attributes called weight and bias are found",
    "You ask each module for its `weight` and `bias`. A norm of your own calls them gamma and "
    "beta, so they are in no group, and no optimizer would train them.",
    hint="`module.parameters()` asks for no names.",
)
def weight_and_bias_only(model, weight_decay):
    found = {}
    for module in model.modules():
        for name in ("weight", "bias"):
            parameter = getattr(module, name, None)
            if parameter is not None and parameter.requires_grad:
                found[parameter] = None
    return [
        {"params": [p for p in found if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in found if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "names in place of parameters",
    "Your lists hold names. An optimizer needs the parameters themselves.",
    hint="In `for name, parameter in model.named_parameters()`, append `parameter`.",
)
def names_only(model, weight_decay):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [n for n, p in named if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [n for n, p in named if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "names together with parameters",
    "Your lists hold pairs of a name and a parameter.",
    hint="In `for name, parameter in model.named_parameters()`, append `parameter` alone.",
)
def pairs(model, weight_decay):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [(n, p) for n, p in named if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [(n, p) for n, p in named if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "a generator is used twice",
    "`model.parameters()` is a generator: after the first list has gone through it nothing is "
    "left, and the second list is empty. No optimizer would train what is missing.",
    hint="Make a list of it first, or call it twice.",
)
def exhausted(model, weight_decay):
    learned = (p for p in model.parameters() if p.requires_grad)
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "a shared weight is there twice",
    "You go through the modules one by one. A weight that two of them share is then in the list "
    "twice, and PyTorch warns, or refuses it.",
    hint="`model.parameters()` gives every parameter once.",
)
def twice(model, weight_decay):
    learned = [
        p for module in model.modules() for p in module.parameters(recurse=False) if p.requires_grad
    ]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "layers inside layers are there again and again",
    "You go through all modules, and take all parameters of each: `module.parameters()` goes down "
    "into the module's own layers, so most parameters come several times.",
    hint="One loop over `model.parameters()` is enough.",
)
def again_and_again(model, weight_decay):
    learned = [p for module in model.modules() for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "the argument weight_decay is ignored",
    "The right parameters get weight decay, but always 0.01 of it.",
    hint="Use the argument `weight_decay`.",
)
def always_the_same(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": 0.01},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "the second group has no weight_decay of its own",
    "Your second dict does not say 0. It then gets the optimizer's default, which is 0 for SGD, "
    "but 0.01 for AdamW.",
    hint="Both dicts have the keys 'params' and 'weight_decay'.",
)
def left_to_the_default(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2]},
    ]


@parameter_groups.known_mistake(
    "frozen parameters are kept",
    "Parameters with `requires_grad=False` are in your groups too.",
    hint="Take only parameters whose `requires_grad` is True.",
)
def frozen_kept(model, weight_decay):
    return [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "embeddings are kept out",
    "You keep embeddings out of weight decay as well. Some people do; here the rule is the number "
    "of dims, and the weight of an embedding has two.",
    hint="No exceptions: two dims or more get weight decay.",
)
def no_embeddings(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decayed = [p for p in learned if p.dim() >= 2 and id(p) not in tables]
    rest = [p for p in learned if p.dim() < 2 or id(p) in tables]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "only linear layers get weight decay",
    "You give weight decay to the weights of `nn.Linear` alone.",
    hint="Convolutions and embeddings have weights with two dims or more as well.",
)
def linear_only(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    weights = {
        id(m.weight)
        for m in model.modules()
        if isinstance(m, nn.Linear) and not isinstance(m, nn.Embedding)
    }
    return [
        {"params": [p for p in learned if id(p) in weights], "weight_decay": weight_decay},
        {"params": [p for p in learned if id(p) not in weights], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "copies in place of the parameters",
    "Your lists hold `.data`, detached or cloned tensors. An optimizer would change those, and the "
    "model would stay as it is.",
    hint="Put the parameters themselves into the lists.",
)
def copies(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p.data for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p.data for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.known_mistake(
    "an empty group is dropped",
    "Where no parameter belongs into a group you leave the group out.",
    hint="Return two dicts always. An optimizer has nothing against an empty list.",
)
def dropped(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


@parameter_groups.known_mistake(
    "one group for each parameter",
    "Each parameter has a dict of its own. That works, but two were asked for.",
    hint="Collect the parameters in two lists first.",
)
def one_each(model, weight_decay):
    return [
        {"params": [p], "weight_decay": weight_decay if p.dim() >= 2 else 0.0}
        for p in model.parameters()
        if p.requires_grad
    ]


@parameter_groups.combination
def frozen_and_twice(model, weight_decay):
    found = [p for module in model.modules() for p in module.parameters(recurse=False)]
    return [
        {"params": [p for p in found if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in found if p.dim() < 2], "weight_decay": 0.0},
    ]


@parameter_groups.combination
def fixed_and_dropped(model, weight_decay):
    learned = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.dim() >= 2], "weight_decay": 0.01},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


@parameter_groups.combination
def frozen_and_default(model, weight_decay):
    return [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.dim() < 2]},
    ]


@parameter_groups.right_solution
def by_loop(model, weight_decay):
    decayed, free = [], []
    for _, parameter in model.named_parameters():
        if parameter.requires_grad:
            (free if parameter.ndim <= 1 else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]


@parameter_groups.right_solution
def other_order_and_generators(model, weight_decay):
    return (
        {
            "weight_decay": 0,
            "params": (p for p in model.parameters() if p.dim() < 2 and p.requires_grad),
        },
        {
            "weight_decay": weight_decay,
            "params": filter(lambda p: p.dim() > 1 and p.requires_grad, model.parameters()),
        },
    )


@parameter_groups.right_solution
def by_type_of_the_others(model, weight_decay):
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding)
    weights = {m.weight for m in model.modules() if isinstance(m, kinds)}
    learned = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p in weights], "weight_decay": weight_decay},
        {"params": [p for p in learned if p not in weights], "weight_decay": 0.0},
    ]


@parameter_groups.right_solution
def by_dictionary(model, weight_decay):
    groups = {decay: {"params": [], "weight_decay": decay} for decay in (weight_decay, 0.0)}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups[weight_decay if len(parameter.shape) > 1 else 0.0]["params"].append(parameter)
    return list(groups.values())
