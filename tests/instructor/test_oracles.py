"""An oracle that may not call PyTorch's own layer gives the numbers of that layer."""

from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from course.instructor.task import all_tasks
from course.instructor.tasks import (
    ch02_adaptive_layer_norm,
    ex01_basic_implementation,
    ex02_forward_backward,
    ex03_pytorch_module,
    ex05_rms_norm,
    ex07_transformer_block,
)
from course.student.torch_modules import seeded

TASKS = all_tasks()


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 4, 5)])
def test_the_layer_norm_in_numpy_and_its_gradients(shape: tuple[int, ...]) -> None:
    with seeded(0):
        x, dout = torch.randn(2, *shape, dtype=torch.float64)
        gamma, beta = torch.randn(2, shape[-1], dtype=torch.float64)
    leaves = [x.requires_grad_(), gamma.requires_grad_(), beta.requires_grad_()]
    right = nn.functional.layer_norm(x, gamma.shape, gamma, beta, eps=0.1)
    gradients = torch.autograd.grad(right, leaves, dout)

    arrays = [leaf.detach().numpy() for leaf in leaves]
    output = ex01_basic_implementation.oracle(*arrays, eps=0.1)
    np.testing.assert_allclose(output, right.detach().numpy())
    layer = ex02_forward_backward.Oracle(shape[-1], eps=0.1)
    layer.gamma, layer.beta = arrays[1:]
    np.testing.assert_allclose(layer.forward(arrays[0]), right.detach().numpy())
    for own, theirs in zip(layer.backward(dout.numpy()), gradients, strict=True):
        np.testing.assert_allclose(own, theirs.numpy())


@pytest.mark.parametrize(
    ("module", "theirs"), [(ex03_pytorch_module, nn.LayerNorm), (ex05_rms_norm, nn.RMSNorm)]
)
@pytest.mark.parametrize("shape", [5, (4, 5)])
def test_a_norm_of_pytorch(
    module: ModuleType, theirs: type[nn.Module], shape: int | tuple[int, ...]
) -> None:
    own, right = module.Oracle(shape, eps=0.1), theirs(shape, eps=0.1)
    with seeded(0):
        for one, other in zip(own.parameters(), right.parameters(), strict=True):
            nn.init.normal_(one)
            other.data.copy_(one)
        x = torch.randn(3, 4, 5)
    torch.testing.assert_close(own(x), right(x))


def test_the_backward_pass_of_rms_norm() -> None:
    with seeded(0):
        dout, x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
        weight = torch.randn(5, dtype=torch.float64)
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    output = nn.functional.rms_norm(x, (5,), weight, eps=0.1)
    right = torch.autograd.grad(output, leaves, dout)
    own = ex05_rms_norm.jacobian_backward(dout, x.detach(), weight.detach(), eps=0.1)
    torch.testing.assert_close(own, right)


@pytest.mark.parametrize("masked", [False, True])
def test_attention(masked: bool) -> None:
    with seeded(0):
        query, key, value = torch.randn(3, 2, 4, 5, dtype=torch.float64)
        mask = torch.rand(4, 4) < 0.4
    blocked = mask.fill_diagonal_(False) if masked else None
    output, weights = TASKS["ex07_attention"].oracle(query, key, value, blocked)
    # PyTorch's function takes True for "may be seen".
    seen = ~blocked if blocked is not None else None
    right = nn.functional.scaled_dot_product_attention(query, key, value, seen)
    torch.testing.assert_close(output, right)
    torch.testing.assert_close(weights @ value, right)


def test_the_encoder_block_of_pytorch() -> None:
    with seeded(0):
        own = ex07_transformer_block.EncoderBlockOracle(6, 2, 10, dropout=0.0)
        x = torch.randn(2, 4, 6)
        for parameter in own.parameters():
            nn.init.normal_(parameter, std=0.3)
    right = nn.TransformerEncoderLayer(6, 2, 10, dropout=0.0, batch_first=True)
    right.load_state_dict(own.state_dict())
    torch.testing.assert_close(own(x), right(x))


@pytest.mark.parametrize("shape", [5, (4, 5)])
def test_detach_norm_with_nothing_detached_is_layer_norm(shape: int | tuple[int, ...]) -> None:
    with seeded(0):
        x, upstream = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    own = ch02_adaptive_layer_norm.Oracle(shape, 0.1, False, False)
    lengths = (shape,) if isinstance(shape, int) else shape
    outputs = [own, lambda x: nn.functional.layer_norm(x, lengths, eps=0.1)]
    values, gradients = [], []
    for norm in outputs:
        leaf = x.clone().requires_grad_()
        values.append(norm(leaf))
        gradients.append(torch.autograd.grad(values[-1], leaf, upstream)[0])
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)
