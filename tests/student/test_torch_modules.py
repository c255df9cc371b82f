"""What every probe of a module relies on: clear words for what is no module, and open eyes."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from course.student.outcome import UnusableError
from course.student.ready_made import BUILT_IN_NORMS
from course.student.torch_modules import (
    calls_of,
    forward,
    gradients_of,
    new_module,
    seeded,
    zeros_if_none,
)


class Returns(nn.Module):
    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> object:
        return self.value


def test_a_class_is_built_with_its_arguments() -> None:
    module = new_module(nn.Linear, 2, 3, bias=False)
    assert isinstance(module, nn.Linear)
    assert (module.in_features, module.out_features, module.bias) == (2, 3, None)


@pytest.mark.parametrize(
    ("given", "words"),
    [(nn.Linear(1, 1), "a module that is already built"), (len, "builtin_function_or_method")],
)
def test_what_is_no_class_of_modules_is_told_in_words(given: object, words: str) -> None:
    with pytest.raises(UnusableError, match=words):
        new_module(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("returned", "words"),
    [(None, "Does the code end in a `return`"), ((1, 2), "tuple"), ([1.0], "list")],
)
def test_a_module_that_returns_no_tensor_is_told_in_words(returned: object, words: str) -> None:
    with pytest.raises(UnusableError, match=words):
        forward(Returns(returned), torch.ones(2))


def test_the_gradient_of_what_plays_no_part_is_none_or_zeros() -> None:
    used, unused = (torch.ones(2, requires_grad=True) for _ in range(2))
    constant = torch.ones(2)
    first, second, third = gradients_of((3 * used).sum(), [used, unused, constant])
    assert first is not None
    assert first.tolist() == [3, 3]
    assert second is None
    assert third is None
    assert zeros_if_none(None, unused).tolist() == [0, 0]
    assert gradients_of(constant.sum(), [used]) == [None]


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(
    "norm",
    [
        lambda x: functional.layer_norm(x, x.shape[-1:]),
        lambda x: functional.rms_norm(x, x.shape[-1:]),
        lambda x: torch.native_layer_norm(x, x.shape[-1:], None, None, 1e-5),
        lambda x: torch.ops.aten.native_layer_norm(x, x.shape[-1:], None, None, 1e-5),
        lambda x: nn.BatchNorm1d(3)(x),
        lambda x: nn.GroupNorm(1, 3)(x),
        lambda x: torch.jit.trace(nn.LayerNorm(3), x)(x),
    ],
)
def test_a_built_in_norm_is_seen_by_whatever_road_it_is_called(norm) -> None:  # type: ignore[no-untyped-def]
    with calls_of(*BUILT_IN_NORMS) as called:
        norm(torch.randn(2, 3))
    assert called


def test_a_norm_written_by_hand_is_not_taken_for_a_built_in_one() -> None:
    x = torch.randn(2, 3)
    with calls_of(*BUILT_IN_NORMS) as called:
        (x - x.mean(-1, keepdim=True)) / x.var(-1, keepdim=True, correction=0).add(1e-5).sqrt()
    assert not called


def test_seeded_draws_are_the_same_and_leave_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    with seeded(1):
        one = torch.rand(3)
    with seeded(1):
        assert torch.equal(one, torch.rand(3))
    assert torch.equal(torch.get_rng_state(), before)
