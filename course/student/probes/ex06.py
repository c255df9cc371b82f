"""The probes of exercise 6: layer normalization that a condition steers, and a gated block.

Nobody says what is inside: gamma and beta may come from one layer or from a network. So these
probes set no parameters by name. They add noise to all of them, measure what the module makes of
rows whose normalised form is known, and return facts that are the same for every right module.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import nn

from course.student.outcome import UnusableError
from course.student.plain import PlainValue, PlainValues
from course.student.torch_modules import forward, gradients_of, new_module, output_array, seeded

# Parameters that start at zero hide what they are for; this much noise shows it.
NOISE = 0.5
# So much that gamma leaves every range a squeezing function could hold it in.
LOUD_NOISE, LOUD_DRAWS = 20.0, 4
# Noise is drawn again while some gamma is this small beside the largest: what is divided by it
# would lose its digits. Most draws are well above; after so many the best one is taken.
SMALL_GAMMA = 0.02
DRAWS = 8
# Rows to measure gamma and beta with have this standard deviation: eps plays no part in them.
MEASURING_SPREAD = 10.0
# What differs by less than this share is the same but for rounding (1e-6 in float32, times what
# the layers add); what differs for a reason differs by 0.01 and more.
SAME = 2e-3
# A step of gradient descent moves the fastest parameter by this much, however small its gradient.
# Three steps: with two layers that have to move one after the other, the second moves at the third.
STEP, STEPS = 0.5, 3
# What no gradient reaches does not move, but for the rounding of outputs around 10 (1e-6); other
# things move by 1e-3 and more.
MOVED = 3e-5
RAISED_BY = 3.0

Module = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# Gamma and beta, in float64.
Measured = tuple[torch.Tensor, torch.Tensor]


def conditional_layer_norm(
    student: type[nn.Module],
    x: np.ndarray,
    condition: np.ndarray,
    seed: int,
    eps: float | None = None,
    look_at: str = "x_hat",
    upstream: np.ndarray | None = None,
) -> PlainValues:
    """Build `ConditionalLayerNorm(features, condition_size, eps)` and see what it does.

    Args:
        student: the class.
        x: `(batch, ..., features)`.
        condition: `(batch, condition_size)`.
        seed: of the module's own start, and of the noise on its parameters.
        eps: the third argument; left to its default when None.
        look_at: what to return, see below. "start" looks at a new module, the others at one with
            noise on its parameters.
        upstream: like x; what the gradient of the loss with respect to x_hat shall be.

    Returns:
        By `look_at`:
        "x_hat": the output with gamma and beta, measured on other rows with the same conditions,
        taken off again (None where these depend on x), and three facts about the output;
        "whose condition": for each row of the output, the number of the sample whose condition
        was used on it, -1 for none of them;
        "gamma and beta": facts about them under several conditions;
        "range": which values they can take;
        "start": what a new module does, and whether it can learn;
        "gradients": what they reach, and dx;
        "inputs": whether they are left as they were.
    """
    inputs = torch.tensor(x), torch.tensor(condition)
    arguments = (x.shape[-1], condition.shape[-1], *([] if eps is None else [eps]))
    module = _new(student, arguments, seed, *inputs)
    if look_at == "start":
        return _start_of_norm(module, *inputs, _tensor(upstream))
    if look_at == "range":
        return _ranges(module, *inputs, seed)
    measured = _unsettle(module, *inputs, seed, 1e-5 if eps is None else eps)
    if look_at == "whose condition":
        return {"whose condition": _whose_condition(module, *inputs, one_row=False)}
    if look_at == "gamma and beta":
        return _facts(*_by_condition(module, *inputs))
    if look_at == "gradients":
        return _gradients_of_norm(module, *inputs, _tensor(upstream), measured)
    if look_at == "inputs":
        return _left_alone(module, *inputs)
    return _x_hat(module, *inputs, measured, 1e-5 if eps is None else eps)


def gated_block(
    student: type[nn.Module],
    x: np.ndarray,
    condition: np.ndarray,
    seed: int,
    look_at: str = "output",
    upstream: np.ndarray | None = None,
) -> PlainValues:
    """Build `GatedResidualBlock(d_model, condition_size)` and see what it does.

    Args:
        student: the class.
        x: `(batch, ..., d_model)`.
        condition: `(batch, condition_size)`.
        seed: of the module's own start, and of the noise on its parameters.
        look_at: what to return, see below. "start", "learning", "first step" and "gates" look at
            a new block, the others at one with noise on its parameters.
        upstream: like x; the gradient of the loss with respect to the output.

    Returns:
        By `look_at`:
        "output": how it changes with the level and spread of x, and with the condition;
        "whose condition": see `conditional_layer_norm`, with each row sent in by itself;
        "branch": facts about output - x;
        "start": what a new block does;
        "learning": whether it has changed after three steps of gradient descent;
        "first step": what it does after one step;
        "gates": how many features of a new block move when the loss asks for one;
        "gradients": what they reach, and whether inputs are left as they were.
    """
    inputs = torch.tensor(x), torch.tensor(condition)
    block = _new(student, (x.shape[-1], condition.shape[-1]), seed, *inputs)
    if look_at == "start":
        return {"a new block returns": _start_of_block(block, *inputs)}
    if look_at == "learning":
        start = _run(block, *inputs)
        _descend(block, *inputs, _tensor(upstream), STEPS)
        return {"block learns": _moves(_run(block, *inputs) - start, "block learns")}
    if look_at == "first step":
        return _first_step(block, *inputs, _tensor(upstream))
    if look_at == "gates":
        return _gates(block, *inputs, _tensor(upstream))
    _add_noise(block, seed, NOISE)
    if look_at == "whose condition":
        return {"whose condition": _whose_condition(block, *inputs, one_row=True)}
    if look_at == "branch":
        return _branch(block, *inputs)
    if look_at == "gradients":
        return _gradients_of_block(block, *inputs, _tensor(upstream))
    return _levels(block, *inputs)


# Building a module, and running it


def _new(
    student: type[nn.Module],
    arguments: tuple[int | float, ...],
    seed: int,
    x: torch.Tensor,
    condition: torch.Tensor,
) -> nn.Module:
    """Build a module and run it twice, to see whether it keeps what it learns."""
    with seeded(seed):
        # Dropout, if there is any, is no part of what is looked at.
        module = new_module(student, *arguments).eval()
        before = [id(parameter) for parameter in module.parameters()]
        first, again = _run(module, x, condition), _run(module, x, condition)
    output_array(first)  # complex numbers and the like have a message of their own
    if not first.isfinite().all():
        raise UnusableError(
            "A new module of yours returns NaN or infinite values. Is there a division by 0, the"
            " root of a negative number, or a parameter made by `torch.empty` and never set?"
        )
    after = [id(parameter) for parameter in module.parameters()]
    if before != after or not torch.allclose(first, again, equal_nan=True):
        raise UnusableError(
            "Called twice with the same x and condition, your module gives two answers, or has"
            " other parameters the second time. Layers made in `forward` are new, and random, at"
            " every call: make them once, in `__init__`."
        )
    if not after:
        raise UnusableError(_why_no_parameters(module))
    return module


def _why_no_parameters(module: nn.Module) -> str:
    kept = list(vars(module).values())
    inside = [
        item
        for value in kept
        if isinstance(value, list | tuple | dict)
        for item in (value.values() if isinstance(value, dict) else value)
    ]
    if any(isinstance(item, nn.Module) for item in inside):
        return (
            "Your module has no learnable parameters: PyTorch does not look into a Python list,"
            " tuple or dict. Assign each layer to an attribute of its own."
        )
    if any(isinstance(value, torch.Tensor) for value in kept + inside):
        return (
            "Your module has no learnable parameters: it keeps plain tensors. Let a layer such as"
            " `nn.Linear` hold them, or wrap each in `nn.Parameter(...)`."
        )
    return (
        "Your module has no learnable parameters. `__init__` has to create what makes gamma and"
        " beta of the condition, `nn.Linear` layers for example, and assign it to attributes."
    )


def _run(module: Module, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """Call a module on copies, which it may damage, and without following gradients."""
    with torch.no_grad():
        return _followed(module, x, condition)


def _followed(module: Module, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    # The clones carry gradients on, and are no leaves: writing into them is not an error here.
    output = forward(module, x.clone(), condition.clone())  # type: ignore[arg-type]
    if output.shape != x.shape:
        raise UnusableError(
            f"Your module returned shape {tuple(output.shape)} for an x of shape {tuple(x.shape)}"
            f" and a condition of shape {tuple(condition.shape)}. The shape of x was expected."
        )
    return output


def _tensor(values: np.ndarray | None) -> torch.Tensor:
    assert values is not None
    return torch.tensor(values)


def _add_noise(module: nn.Module, seed: int, spread: float) -> None:
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=random))


def _unsettle(
    module: nn.Module, x: torch.Tensor, condition: torch.Tensor, seed: int, eps: float
) -> Measured:
    """Add noise to all parameters, such that no gamma is close to 0; return gamma and beta."""
    start = [parameter.detach().clone() for parameter in module.parameters()]

    def drawn(draw: int) -> tuple[float, Measured]:
        _set(module, start)
        _add_noise(module, seed + draw, NOISE)
        gamma, beta = _measured(module, x.shape, condition, eps)
        share = gamma.abs().min() / (gamma.abs().max() + beta.abs().max() + 1e-30)
        return float(share), (gamma, beta)

    best, best_share = 0, -1.0
    for draw in range(DRAWS):
        share, measured = drawn(draw)
        if share > SMALL_GAMMA:
            return measured
        if share > best_share:
            best, best_share = draw, share
    return drawn(best)[1]


def _set(module: nn.Module, values: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), values, strict=True):
            parameter.copy_(value)


def _descend(
    module: nn.Module,
    x: torch.Tensor,
    condition: torch.Tensor,
    upstream: torch.Tensor,
    steps: int = 1,
) -> None:
    """Take steps of gradient descent by all parameters, on the loss sum(upstream * output)."""
    for _ in range(steps):
        parameters = list(module.parameters())
        loss = (_followed(module, x, condition) * upstream).sum()
        gradients = gradients_of(loss, parameters)
        steepest = max((float(g.abs().max()) for g in gradients if g is not None), default=0.0)
        if steepest == 0:
            return
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.sub_(STEP / steepest * gradient)


# Measuring gamma and beta


@cache
def _measuring_rows(shape: torch.Size, seed: int = 0) -> torch.Tensor:
    """Rows of two levels each, of mean 0 and a known spread, every row in another order."""
    *leading, features = shape
    low = features // 2
    row = torch.tensor([-(features - low)] * low + [low] * (features - low)).float()
    row = row / row.square().mean().sqrt()
    random = torch.Generator().manual_seed(seed)
    order = torch.rand(int(np.prod(leading)), features, generator=random).argsort(dim=-1)
    return MEASURING_SPREAD * row[order].reshape(shape)


def _measured(
    module: Module,
    shape: torch.Size,
    condition: torch.Tensor,
    eps: float = 1e-5,
    seed: int = 0,
) -> Measured:
    """Gamma and beta at every place of x: y = gamma x_hat + beta, and x_hat(-x) = -x_hat(x)."""
    rows = _measuring_rows(shape, seed)
    x_hat = rows / np.sqrt(MEASURING_SPREAD**2 + eps)
    plus, minus = (_run(module, sign * rows, condition).double() for sign in (1, -1))
    return (plus - minus) / (2 * x_hat), (plus + minus) / 2


def _by_condition(module: Module, x: torch.Tensor, condition: torch.Tensor) -> Measured:
    """Gamma and beta of each condition, measured in a batch of one: `(conditions, features)`."""
    shape = torch.Size((1, x.shape[-1]))
    found = [_measured(module, shape, row[None]) for row in condition]
    gammas, betas = zip(*found, strict=True)
    return torch.cat(gammas), torch.cat(betas)


def _differ(
    one: torch.Tensor, other: torch.Tensor | float, scale: torch.Tensor, what: str = ""
) -> bool:
    """Whether the largest difference is more than rounding, as a share of the largest of scale."""
    return _beyond(float((one - other).abs().max() / (scale.abs().max() + 1e-30)), SAME, what)


def _moves(change: torch.Tensor, what: str) -> bool:
    """Whether anything has moved by more than rounding."""
    return _beyond(float(change.abs().max()), MOVED, what)


def _beyond(size: float, threshold: float, what: str) -> bool:
    """Whether a size is above a threshold; benchmarks/ex06_facts.py shows the sizes of `what`."""
    return size > threshold


# Facts about a conditional layer norm


def _x_hat(
    module: Module, x: torch.Tensor, condition: torch.Tensor, measured: Measured, eps: float
) -> PlainValues:
    gamma, beta = measured
    depend_on_x = _depend_on_x(module, x, condition, measured, eps)
    output = _run(module, x, condition).double()
    others = _run(module, x, 1 - 2 * condition).double()
    return {
        "output depends on the condition": _differ(output, others, output, "output, condition"),
        "gamma and beta depend on x": depend_on_x,
        "output has mean 0 and spread 1": _is_normalised(output),
        "x_hat": None if depend_on_x else _share(output - beta, gamma).numpy(),
    }


def _depend_on_x(
    module: Module, x: torch.Tensor, condition: torch.Tensor, measured: Measured, eps: float
) -> bool:
    """Whether gamma and beta come out otherwise when measured on other rows."""
    again = _measured(module, x.shape, condition, eps, seed=1)
    scale = torch.cat(measured)
    return any(
        _differ(one, other, scale, "gamma and beta, x")
        for one, other in zip(measured, again, strict=True)
    )


def _share(values: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """Values over gamma, 0 where gamma is nothing but rounding."""
    usable = gamma.abs() > 1e-4 * gamma.abs().max() + 1e-30
    return torch.where(usable, values / torch.where(usable, gamma, 1.0), 0.0)


def _is_normalised(output: torch.Tensor) -> bool:
    means, spreads = output.mean(-1), output.std(-1, correction=0)
    return bool((means.abs() < 0.01).all() and ((spreads - 1).abs() < 0.01).all())


def _whose_condition(
    module: Module, x: torch.Tensor, condition: torch.Tensor, one_row: bool
) -> np.ndarray:
    """For each row, the sample whose condition explains it, its own first; -1 for none."""
    output = _run(module, x, condition)
    scale = output.abs().max()
    found = np.full(x.shape[:-1], -1)
    batch = len(condition)

    def alone(sample: int, other: int) -> torch.Tensor:
        """One sample under one condition; its rows, if they shall not meet, as samples."""
        rows = x[sample : sample + 1]
        if one_row:
            rows = rows.reshape(-1, *[1] * (x.dim() - 2), x.shape[-1])
        under = condition[other : other + 1].expand(len(rows), -1)
        return _run(module, rows, under).reshape(x[sample].shape)

    for sample in range(batch):
        for other in sorted(range(batch), key=lambda other: (other != sample, other)):
            error = (alone(sample, other) - output[sample]).abs().amax(-1)
            fits = (error < SAME * scale).numpy()
            found[sample] = np.where((found[sample] < 0) & fits, other, found[sample])
            if (found[sample] >= 0).all():
                break
    return found


def _facts(gamma: torch.Tensor, beta: torch.Tensor) -> PlainValues:
    facts: PlainValues = {}
    scale = torch.cat([gamma, beta])
    for name, value in {"gamma": gamma, "beta": beta}.items():
        facts |= {
            f"{name} depends on the condition": _differ(value, value[:1], scale, f"{name}, c"),
            f"{name} differs from feature to feature": _differ(
                value, value[:, :1], scale, f"{name}, features"
            ),
        }
    # Beta is tied to gamma where it is the same straight line of gamma everywhere.
    both = facts["gamma depends on the condition"] and facts["beta depends on the condition"]
    line, _ = _straight_line(gamma, beta)
    tied = bool(both) and not _differ(line, beta, beta, "beta, gamma")
    return facts | {"beta is a fixed function of gamma": tied}


def _straight_line(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The values at x, and the slope, of the straight line that comes nearest to y."""
    centred = x - x.mean()
    slope = (centred * y).sum() / (centred.square().sum() + 1e-30)
    return y.mean() + slope * centred, float(slope)


def _ranges(module: nn.Module, x: torch.Tensor, condition: torch.Tensor, seed: int) -> PlainValues:
    """Which values gamma and beta take with loud noise of both signs on the parameters."""
    start = [parameter.detach().clone() for parameter in module.parameters()]
    found = []
    for draw in range(LOUD_DRAWS):
        for sign in (1, -1):
            _set(module, start)
            _add_noise(module, seed + draw, sign * LOUD_NOISE)
            found.append(_measured(module, x.shape, condition))
    gammas, betas = zip(*found, strict=True)
    return {"gamma can be": _range(gammas), "beta can be": _range(betas)}


def _range(values: Sequence[torch.Tensor]) -> str:
    low, high = (float(end) for end in torch.stack(list(values)).aminmax())
    if low < -5 and high > 5:
        return "any number"
    if low > -SAME and high > 5:
        return "positive numbers only"
    return "a limited range only"


def _start_of_norm(
    module: nn.Module, x: torch.Tensor, condition: torch.Tensor, upstream: torch.Tensor
) -> PlainValues:
    before = _by_condition(module, x, condition)
    starts_as = _in_terms_of_x_hat(_run(module, x, condition), x)
    _descend(module, x, condition, upstream, STEPS)
    after = _by_condition(module, x, condition)
    learned: PlainValues = {}
    for name, old, new in zip(("gamma", "beta"), before, after, strict=True):
        moved = new - old
        learned[f"{name} learns to follow the condition"] = _moves(
            moved - moved[:1], f"{name} learns"
        )
    return {"a new module is": starts_as, **learned}


def _in_terms_of_x_hat(output: torch.Tensor, x: torch.Tensor) -> str:
    """What a new module does in words."""
    centred = x.double() - x.double().mean(-1, keepdim=True)
    x_hat = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    line, steepness = _straight_line(x_hat, output.double())
    if _differ(line, output, torch.cat([output, x_hat]), "start, layer norm"):
        return "something else"
    slope, level = round(steepness, 2) + 0.0, round(float(line.mean()), 2) + 0.0
    if (slope, level) == (1, 0):
        return "plain layer norm"
    if slope == 0:
        return f"{level:g} everywhere"
    return f"{slope:g} times layer norm" + (f" plus {level:g}" if level else "")


def _gradients_of_norm(
    module: nn.Module,
    x: torch.Tensor,
    condition: torch.Tensor,
    upstream: torch.Tensor,
    measured: Measured,
) -> PlainValues:
    gamma, beta = measured
    recovered = not _depend_on_x(module, x, condition, measured, 1e-5)
    weights = _share(upstream.double(), gamma).float()
    x.requires_grad_()
    condition.requires_grad_()
    loss = (_followed(module, x, condition) * weights).sum()
    dx, dcondition = gradients_of(loss, [x, condition])
    shown: PlainValue = dx.numpy() if recovered and dx is not None else None
    x.requires_grad_(False)
    condition.requires_grad_(False)
    _descend(module, x, condition, weights)
    new = _measured(module, x.shape, condition)
    return {
        "gradient reaches x": _is_some(dx),
        "gradient reaches the condition": _is_some(dcondition),
        "gradient reaches what makes gamma": _moves(new[0] - gamma, "gamma, step"),
        "gradient reaches what makes beta": _moves(new[1] - beta, "beta, step"),
        "dx": shown,
    }


def _is_some(gradient: torch.Tensor | None) -> bool:
    return gradient is not None and _moves(gradient, "gradient")


def _left_alone(module: nn.Module, x: torch.Tensor, condition: torch.Tensor) -> PlainValues:
    given, under = x.clone(), condition.clone()
    with torch.no_grad():
        forward(module, given, under)
    return {
        "x is unchanged": torch.equal(given, x),
        "condition is unchanged": torch.equal(under, condition),
    }


# Facts about a gated residual block


def _levels(block: Module, x: torch.Tensor, condition: torch.Tensor) -> PlainValues:
    output = _run(block, x, condition)
    stretched = x + (x - x.mean(-1, keepdim=True))
    moved = _run(block, stretched, condition) - output
    others = _run(block, x, 1 - 2 * condition)
    return {
        f"output for x + {RAISED_BY:g}": _raised(block, x, condition),
        "output - x is the same for x with twice the spread": not _differ(
            moved, stretched - x, output, "branch, spread"
        ),
        "output depends on the condition": _differ(output, others, output, "block, condition"),
        "output has mean 0 and spread 1": _is_normalised(output.double()),
    }


def _raised(block: Module, x: torch.Tensor, condition: torch.Tensor) -> str:
    """What happens to the output when every entry of x is raised."""
    changes = []
    scale = torch.tensor(RAISED_BY)
    for row in (x, _measuring_rows(x.shape) / 4):
        output = _run(block, row, condition)
        changes.append(_run(block, row + RAISED_BY, condition) - output)
        scale = torch.maximum(scale, output.abs().max())
    change, other = changes
    if not _differ(change, RAISED_BY, scale, "branch, level"):
        return f"{RAISED_BY:g} higher"
    if not _differ(change, 0, scale):
        return "the same"
    if not _differ(change, float(change.mean()), scale):
        return f"{float(change.mean()):.2f} higher"
    if not _differ(change, other, scale):
        return "higher or lower by another amount in each feature"
    return "different in a way that depends on x"


def _branch(block: Module, x: torch.Tensor, condition: torch.Tensor) -> PlainValues:
    """Facts about r(x, c) = output - x, found from several x under two conditions."""
    first, second = condition[:1], condition[1:2]

    def branch(rows: torch.Tensor, under: torch.Tensor) -> torch.Tensor:
        return (_run(block, rows, under.expand(len(rows), -1)) - rows).double()

    here, there = branch(x, first), branch(x, second)
    # Where the condition acts through the gate alone, the branch has one factor for every x.
    crossed = here * there.roll(1, 0) - here.roll(1, 0) * there
    product = here.abs().max() * there.abs().max()
    # A sublayer that is a straight line sends the mean of two rows to the mean of what they give.
    rows = _measuring_rows(x.shape)
    flat = torch.zeros_like(rows)
    bent = branch(rows, first) + branch(-rows, first) - 2 * branch(flat, first)
    return {
        "condition acts on what the sublayer sees": _differ(
            crossed, 0, product, "sublayer, condition"
        ),
        "sublayer is more than a straight line": _differ(
            bent, 0, branch(rows, first), "sublayer, bend"
        ),
    }


def _start_of_block(block: Module, x: torch.Tensor, condition: torch.Tensor) -> str:
    output = _run(block, x, condition)
    if not _differ(output, x, x):
        return "x itself"
    if not _differ(output, 0, x):
        return "0 everywhere"
    normalised = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, correction=0)
    if not _differ(output, normalised, x):
        return "x normalised"
    factor = float((output * x).sum() / x.square().sum())
    if not _differ(output, factor * x, x):
        return f"{factor:.2f} times x"
    others = _run(block, x, 1 - 2 * condition)
    follows = _differ(output, others, output)
    what = "something that follows the condition" if follows else "something"
    if _raised(block, x, condition) == f"{RAISED_BY:g} higher":
        branch = output - x
        one_row = _run(block, x[:1].expand(x.shape), condition) - x[:1]
        blind = not _differ(branch, one_row, output)
        return f"x plus {what}" + (", the same for every x" if blind else "")
    return f"{what}, without x"


def _first_step(
    block: nn.Module, x: torch.Tensor, condition: torch.Tensor, upstream: torch.Tensor
) -> PlainValues:
    _descend(block, x, condition, upstream)
    one = condition[:1].expand(len(x), -1)
    # The same row many times under one condition and under several, and rows under one condition.
    rows = x[:1].expand(x.shape)
    over_rows = _run(block, x, one) - x
    over_conditions = _run(block, rows, condition) - rows
    return {
        "branch depends on x after one step": _moves(over_rows - over_rows[:1], "branch, step"),
        "gate follows the condition after one step": _moves(
            over_conditions - over_conditions[:1], "gate, step"
        ),
    }


def _gates(
    block: nn.Module, x: torch.Tensor, condition: torch.Tensor, upstream: torch.Tensor
) -> PlainValues:
    """Whether a loss that looks at the first feature alone opens that feature's gate alone."""
    start = _run(block, x, condition)
    wanted = upstream.clone()
    wanted[..., 1:] = 0
    _descend(block, x, condition, wanted)
    moved = (_run(block, x, condition) - start).abs().reshape(-1, x.shape[-1]).amax(0)
    # A gate that stays shut lets nothing through at all, so a small share is a sure sign.
    return {"features that move when one is pulled": int((moved > 0.001 * moved.max()).sum())}


def _gradients_of_block(
    block: nn.Module, x: torch.Tensor, condition: torch.Tensor, upstream: torch.Tensor
) -> PlainValues:
    unchanged = _left_alone(block, x, condition)
    x.requires_grad_()
    condition.requires_grad_()
    loss = (_followed(block, x, condition) * upstream).sum()
    dx, dcondition = gradients_of(loss, [x, condition])
    past = None if dx is None else dx - upstream
    return {
        "gradient reaches x past the branch and through it": _is_some(dx) and _is_some(past),
        "gradient reaches the condition": _is_some(dcondition),
        **unchanged,
    }
