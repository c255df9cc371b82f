"""The probes of further challenge C4: a block that starts as asked, and groups for weight decay."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from course.student.outcome import UnusableError
from course.student.plain import PlainValues
from course.student.torch_modules import forward, gradients_of, new_module, seeded

# Two values in float64 that differ by no more than this, as a share of their size, are the same.
SAME = 1e-6
# Rows of a right block share the mean exactly, but for a student's float32, and the spread to the
# eps of the norm: a branch of spread 0.02 comes out 1.2 % too small.
MEANS_ALIKE, SPREADS_ALIKE = 1e-4, 0.03
DIFFERS = "differs from row to row"
# How far one step goes, in the probe of the block.
RATE = 0.1
# And in that of the groups.
GROUPS_RATE = 0.1


def residual_block(
    student: type[nn.Module],
    x: np.ndarray,
    seed: int,
    gamma: float | None = None,
    beta: float | None = None,
    look_at: str = "rows",
    upstream: np.ndarray | None = None,
) -> PlainValues:
    """Build `NormedResidualBlock(features, gamma, beta)` and see what it adds to x.

    The branch is the student's own, and starts at random. So nothing is compared with numbers that
    depend on it.

    Args:
        student: the class.
        x: float64 `(*, features)`.
        seed: of the block's own random numbers.
        gamma: what the scale starts at; None to leave it to the default, like beta.
        beta: what the shift starts at.
        look_at: "rows", "start", "first step", "second step", "parameters", "gradients" or
            "input".
        upstream: `(*, features)`, the gradient of the loss at the output.

    Returns:
        The outputs that belong to `look_at`.
    """
    rows = torch.tensor(x)
    features = x.shape[-1]
    with seeded(seed), _float64():
        block = _new(student, features, gamma, beta, seed)
        if look_at == "rows":
            return _rows(block, rows)
        if look_at == "start":
            return {"a new block gives": _start(block, rows)}
        if look_at == "parameters":
            return _starts(block, features, gamma, beta)
        if look_at == "input":
            given = rows.clone()
            with torch.no_grad():
                forward(block, given)
            return {"x is unchanged": torch.equal(given, rows)}
        assert upstream is not None
        weights = torch.tensor(upstream)
        if look_at == "gradients":
            open_block = _new(student, features, 1.0, 0.0, seed)
            return _gradients(block, open_block, rows, weights)
        first = _step(block, rows, weights)
        if look_at == "second step":
            after = _numbers_with_a_gradient(block, rows, weights)
            return {"the second step reaches the branch": after > first}
        # The same branch with gamma = 1 and beta = 0 adds nothing but what is normalised.
        x_hat = _run(_new(student, features, 1.0, 0.0, seed), rows) - rows
        return {
            "numbers with a gradient in the first step": first,
            **_moves(_run(block, rows) - rows, x_hat, weights),
            "forward changes the parameters": _changed_by_forward(block, rows),
        }


def parameter_groups(
    student: Callable[..., Any],
    kind: str,
    sizes: list[int],
    weight_decay: float,
    look_at: str = "groups",
) -> PlainValues:
    """Build a model, call `parameter_groups(model, weight_decay)`, and see what lies where.

    Args:
        student: the function.
        kind: of model: "plain", "biases", "nested", "embedding", "tied", "frozen" or "one group".
        sizes: three lengths for its layers.
        weight_decay: for the parameters that shall have it.
        look_at: "groups", or "step" for what an optimizer makes of them.

    Returns:
        The names of the parameters by what becomes of them.
    """
    if isinstance(student, type) or not callable(student):
        raise UnusableError("What was checked is no function. Pass the function, without brackets.")
    with seeded(0):
        model = MODELS[kind](*sizes)
        groups = _checked(student(model, weight_decay), model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    if look_at == "step":
        return _one_step(groups, model)
    found: dict[bool, list[str]] = {True: [], False: []}
    for group in groups:
        decayed = group.get("weight_decay", 0) > 0
        found[decayed] += [names[id(parameter)] for parameter in group["params"]]
    listed = found[True] + found[False]
    return {
        "groups": len(groups),
        "with weight decay": _in_order(found[True], model),
        "without": _in_order(found[False], model),
        "more than once": _in_order([name for name in listed if listed.count(name) > 1], model),
    }


# The block


@contextmanager
def _float64() -> Iterator[None]:
    """Let new tensors be float64, plain ones of the student's too, and set the dtype back."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _new(
    student: type[nn.Module],
    features: int,
    gamma: float | None,
    beta: float | None,
    seed: int,
) -> nn.Module:
    torch.default_generator.manual_seed(seed)
    given = {} if gamma is None else {"gamma": gamma, "beta": beta}
    # Without dropout, so that the same x gives the same output twice.
    return new_module(student, features, **given).eval()


def _run(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The output for a copy of x, without gradients.

    Raises:
        UnusableError: it has not the shape of x.
    """
    with torch.no_grad():
        return _of_shape(forward(block, x.clone()), x)


def _of_shape(output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    if output.shape != x.shape:
        raise UnusableError(
            f"For x of shape {tuple(x.shape)} your block returned shape {tuple(output.shape)};"
            " a residual block returns the shape of x."
        )
    return output


def _close(one: torch.Tensor, other: torch.Tensor | float, scale: torch.Tensor) -> bool:
    return float((one - other).abs().max()) <= SAME * (float(scale.abs().max()) + 1e-30)


def _rows(block: nn.Module, x: torch.Tensor) -> PlainValues:
    output = _run(block, x)
    found: PlainValues = {}
    # A branch that ends in a ReLU may give a row of zeros, which no norm can spread.
    both = torch.stack([x, -x])
    outputs = torch.stack([output, _run(block, -x)])
    alive = (outputs - both).std(-1, correction=0) > SAME
    judged = alive if alive.any() else torch.ones_like(alive)
    for name, values in {
        "output - x": (outputs - both)[judged],
        "output": outputs[judged],
    }.items():
        spreads = values.std(-1, correction=0)
        found[f"mean of a row of {name}"] = _shared(values.mean(-1), MEANS_ALIKE)
        found[f"spread of a row of {name}"] = _shared(spreads, SPREADS_ALIKE)
    added = (output - x).reshape(-1, x.shape[-1])
    found["what is added depends on x"] = not _close(added, added[:1], output)
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.dim() > 1:
                parameter.zero_()
    left = _start(block, x)
    # A branch without biases adds 0, or leaves 0, which is the same for every row too.
    found["with the weights of the branch at 0, a block gives"] = {
        "x": "x plus the same for every row",
        "0": "the same for every row",
    }.get(left, left)
    return found


def _shared(values: torch.Tensor, alike: float) -> float | str:
    """The value of all rows, or that there is none."""
    low, high = (float(end) for end in values.aminmax())
    return (low + high) / 2 if high - low < alike else DIFFERS


def _start(block: nn.Module, x: torch.Tensor) -> str:
    output = _run(block, x)
    if _close(output, x, x):
        return "x"
    if _close(output, 0, x):
        return "0"
    flat, added = (values.reshape(-1, x.shape[-1]) for values in (output, output - x))
    if len(flat) > 1 and _close(added, added[:1], x):
        return "x plus the same for every row"
    if len(flat) > 1 and _close(flat, flat[:1], x):
        return "the same for every row"
    return "something else"


def _starts(
    block: nn.Module, features: int, gamma: float | None, beta: float | None
) -> PlainValues:
    vectors = [p for p in block.parameters() if p.requires_grad and p.numel() == features]
    return {
        f"learnable vectors that start at {name}": sum(
            bool(torch.allclose(vector, torch.tensor(start), rtol=0, atol=1e-6))
            for vector in vectors
        )
        for name, start in {"gamma": gamma, "beta": beta}.items()
        if start is not None
    }


def _gradients(
    shut: nn.Module, opened: nn.Module, x: torch.Tensor, weights: torch.Tensor
) -> PlainValues:
    found: PlainValues = {}
    for gamma, block in ((0, shut), (1, opened)):
        leaf = x.clone().requires_grad_()
        # A copy, so that a block which writes into its input can be seen for its other merits.
        loss = (_of_shape(forward(block, leaf.clone()), x) * weights).sum()
        (dx,) = gradients_of(loss, [leaf])
        dx = torch.zeros_like(x) if dx is None else dx
        if gamma == 0:
            found["dx at gamma = 0"] = dx.numpy()
        else:
            found["at gamma = 1, dx goes through the branch too"] = not _close(dx, weights, weights)
    return found


def _all_gradients(
    block: nn.Module, x: torch.Tensor, weights: torch.Tensor
) -> list[tuple[nn.Parameter, torch.Tensor]]:
    parameters = list(block.parameters())
    loss = (_of_shape(forward(block, x.clone()), x) * weights).sum()
    gradients = gradients_of(loss, parameters)
    return [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]


def _numbers_with_a_gradient(block: nn.Module, x: torch.Tensor, weights: torch.Tensor) -> int:
    return sum(int((g != 0).sum()) for _, g in _all_gradients(block, x, weights))


def _step(block: nn.Module, x: torch.Tensor, weights: torch.Tensor) -> int:
    """Take one step of plain gradient descent; return how many numbers had a gradient."""
    found = _all_gradients(block, x, weights)
    with torch.no_grad():
        for parameter, gradient in found:
            parameter.sub_(RATE * gradient)
    return sum(int((g != 0).sum()) for _, g in found)


def _moves(added: torch.Tensor, x_hat: torch.Tensor, weights: torch.Tensor) -> PlainValues:
    """How gamma and beta moved in a step from 0: what is added is gamma x_hat + beta, by feature.

    The gradient of gamma is the sum over rows of weights * x_hat, and that of beta of the weights.
    """
    gammas, betas = [], []
    for feature in range(x_hat.shape[-1]):
        columns = torch.stack([x_hat[:, feature], torch.ones(len(x_hat))], dim=1)
        # Where x_hat is 0 but for rounding, no gamma can be told, and 0 says so on any processor.
        gamma, beta = torch.linalg.pinv(columns, rtol=SAME) @ added[:, feature]
        gammas.append(gamma)
        betas.append(beta)
    moved = {
        "gamma": (torch.stack(gammas), -RATE * (weights * x_hat).sum(0)),
        "beta": (torch.stack(betas), -RATE * weights.sum(0)),
    }
    return {
        f"{name} moves": _how(values, expected, weights)
        for name, (values, expected) in moved.items()
    }


def _how(values: torch.Tensor, expected: torch.Tensor, scale: torch.Tensor) -> str:
    if _close(values, 0, scale):
        return "not at all"
    # The same by another way of summing, and through float32 as well.
    if bool(((values - expected).abs() <= 1e-3 * expected.abs().max()).all()):
        return "each feature by its own gradient"
    if bool(((values - values.mean()).abs() <= 1e-3 * values.abs().max()).all()):
        return "all features alike"
    return "in another way"


def _changed_by_forward(block: nn.Module, x: torch.Tensor) -> bool:
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.5)
        before = [parameter.clone() for parameter in block.parameters()]
    _run(block, x)
    after = list(block.parameters())
    return not all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


# The groups


class _OwnNorm(nn.Module):
    """A norm as a student writes one, with names of its own."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(features))
        self.beta = nn.Parameter(torch.zeros(features))


class _Block(nn.Module):
    """Layers inside layers."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = _OwnNorm(features)
        self.mlp = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, features)
        )


def _plain(features: int, hidden: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, hidden, bias=False),
        nn.LayerNorm(hidden, bias=False),
        nn.ReLU(),
        nn.Linear(hidden, classes, bias=False),
    )


def _biases(features: int, hidden: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(features, hidden, 3),
        nn.BatchNorm1d(hidden),
        nn.Flatten(),
        nn.Linear(hidden, classes),
        nn.LayerNorm(classes),
    )


def _nested(features: int, hidden: int, classes: int) -> nn.Module:
    blocks = nn.ModuleList([_Block(features, hidden), _Block(features, hidden)])
    return nn.ModuleDict({"blocks": blocks, "head": nn.Linear(features, classes)})


def _embedding(features: int, hidden: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Embedding(classes, features), nn.Linear(features, hidden))


def _tied(features: int, hidden: int, classes: int) -> nn.Module:
    model = nn.ModuleDict(
        {
            "tokens": nn.Embedding(classes, features),
            "norm": nn.LayerNorm(features),
            "logits": nn.Linear(features, classes),
        }
    )
    model["logits"].weight = model["tokens"].weight
    return model


def _frozen(features: int, hidden: int, classes: int) -> nn.Module:
    model = _nested(features, hidden, classes)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith("blocks.0."))
    return model


def _one_group(features: int, hidden: int, classes: int) -> nn.Module:
    lengths = (features, hidden, features, classes)
    return nn.Sequential(*(nn.Linear(ins, outs, bias=False) for ins, outs in pairwise(lengths)))


MODELS: dict[str, Callable[[int, int, int], Any]] = {
    "plain": _plain,
    "biases": _biases,
    "nested": _nested,
    "embedding": _embedding,
    "tied": _tied,
    "frozen": _frozen,
    "one group": _one_group,
}


def _checked(groups: Any, model: nn.Module) -> list[dict[str, Any]]:
    """The groups, each with a list of the model's own parameters.

    Raises:
        UnusableError: they are nothing an optimizer takes.
    """
    if groups is Ellipsis or groups is NotImplemented:
        raise NotImplementedError
    if groups is None:
        raise UnusableError("`parameter_groups` returned None. Does the code end in a `return`?")
    if not isinstance(groups, list | tuple) or not all(isinstance(g, dict) for g in groups):
        raise UnusableError(
            f"`parameter_groups` returned {_kind_of(groups)}; a list of two dicts was expected."
        )
    checked = []
    own = {id(parameter) for parameter in model.parameters()}
    for number, group in enumerate(groups):
        if "params" not in group:
            keys = ", ".join(sorted(map(repr, group))) or "no keys"
            raise UnusableError(
                f"Dict {number} has {keys}. An optimizer looks for the key 'params', and for"
                " 'weight_decay'."
            )
        decay = group.get("weight_decay", 0)
        if isinstance(decay, bool) or not isinstance(decay, int | float):
            raise UnusableError(
                f"'weight_decay' of dict {number} is a {type(decay).__name__}; a number was"
                " expected."
            )
        params = group["params"]
        if isinstance(params, set | dict | str):
            raise UnusableError(
                f"'params' of dict {number} is a {type(params).__name__}; an optimizer wants a"
                " list of parameters, in an order that stays the same."
            )
        params = [params] if isinstance(params, torch.Tensor) else list(params)
        for parameter in params:
            if not isinstance(parameter, torch.Tensor):
                raise UnusableError(
                    f"'params' of dict {number} holds a {type(parameter).__name__}; the parameters"
                    " themselves were expected, not their names."
                )
            if id(parameter) not in own:
                raise UnusableError(
                    f"'params' of dict {number} holds a tensor of shape {tuple(parameter.shape)}"
                    " that is not one of the model's parameters. An optimizer would change a copy."
                    " Put the parameters themselves in, without `.data`, `.detach()` or `.clone()`."
                )
        checked.append({**group, "params": params})
    return checked


def _kind_of(value: Any) -> str:
    if isinstance(value, list | tuple):
        inside = sorted({type(item).__name__ for item in value})
        return f"a {type(value).__name__} of {' and '.join(inside) or 'nothing'}"
    return f"a {type(value).__name__}"


def _in_order(names: list[str], model: nn.Module) -> str:
    """Names as the model orders them, each once."""
    return ", ".join(name for name, _ in model.named_parameters() if name in names) or "none"


def _one_step(groups: list[dict[str, Any]], model: nn.Module) -> PlainValues:
    """What a step of AdamW with gradients of 0 leaves of each parameter: decay and nothing else."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.AdamW(groups, lr=GROUPS_RATE)
    optimizer.step()
    left = {name: float(parameter.detach().mean()) for name, parameter in model.named_parameters()}
    return {
        "numbers that a step with gradients of 0 changes": _in_order(
            [name for name, value in left.items() if value != 1], model
        ),
        "what such a step leaves of each 1": np.array(list(left.values())),
    }
