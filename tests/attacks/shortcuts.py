"""Right answers that PyTorch computes: its own layer norm, by all spellings."""

from tests.attacks.attack import World, shortcut


def module(output: str, before: str = "") -> str:
    """A module whose output is an expression in `x` and `self`."""
    return f"""
{before}

class CustomLayerNorm(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape, self.eps = tuple(normalized_shape), eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape))

    def forward(self, x):
        return {output}
"""


ARGUMENTS = "x, self.normalized_shape, self.weight, self.bias, self.eps"


@shortcut
def the_function(world: World) -> str:
    """Calls `F.layer_norm`, under a name taken from it in pieces."""
    return module(f"getattr(nn.functional, 'layer' + '_' + 'norm')({ARGUMENTS})")


@shortcut
def the_module(world: World) -> str:
    """Inherits from `nn.LayerNorm`."""
    return "class CustomLayerNorm(nn.LayerNorm):\n    pass"


@shortcut
def the_operation(world: World) -> str:
    """Calls the ATen operation behind it."""
    return module(f"torch.ops.aten.native_layer_norm.default({ARGUMENTS})[0]")


@shortcut
def the_function_in_a_thread(world: World) -> str:
    """Calls it in another thread, where no mode of the probe's is in force."""
    return module(
        f"pool.submit(nn.functional.layer_norm, {ARGUMENTS}).result()",
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)",
    )


@shortcut
def the_function_without_modes(world: World) -> str:
    """Switches off the modes by which the probe watches, for as long as it calls it."""
    return module(
        f"unseen({ARGUMENTS})",
        """
from torch.overrides import _pop_mode, _push_mode
from torch.utils._python_dispatch import _disable_current_modes

def unseen(*arguments):
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        return torch._C._nn.layer_norm(*arguments) if hasattr(torch._C._nn, "layer_norm") else (
            torch.layer_norm(*arguments))
""",
    )


@shortcut
def a_compiled_function(world: World) -> str:
    """Calls a TorchScript graph that was traced before anybody watched."""
    return module(
        "unseen(x, self.weight, self.bias, self.eps, list(self.normalized_shape))",
        """
@torch.jit.script
def unseen(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, eps: float, shape: list[int]):
    return torch.layer_norm(x, shape, w, b, eps)
""",
    )


@shortcut
def a_batch_norm_of_another_shape(world: World) -> str:
    """Calls batch norm on a transposed view, and group norm of one group."""
    return module(
        "nn.functional.group_norm(x.reshape(-1, 1, *self.normalized_shape), 1, None, None,"
        " self.eps).reshape(x.shape) * self.weight + self.bias"
    )


@shortcut
def a_patched_watch(world: World) -> str:
    """Patches what the probe watches with, so that it never notes a call."""
    return module(
        f"nn.functional.layer_norm({ARGUMENTS})",
        """
from contextlib import contextmanager
import course.student.torch_modules as modules
import course.student.probes.ex03 as probes

@contextmanager
def blind(*names):
    yield []

modules.calls_of = probes.calls_of = blind
""",
    )


@shortcut
def a_renamed_function(world: World) -> str:
    """Calls it under another name, with the names in the probe's list emptied."""
    return module(
        f"nn.functional.layer_norm({ARGUMENTS})",
        """
import course.student.torch_modules as modules
import course.student.probes.ex03 as probes
modules.BUILT_IN_NORMS = probes.BUILT_IN_NORMS = ("nothing",)
""",
    )


@shortcut
def a_process_that_computes(world: World) -> str:
    """Lets another process call it."""
    return module(
        "unseen(x, self)",
        """
import io, subprocess, sys

PROGRAM = "import io, sys, torch; a = torch.load(io.BytesIO(sys.stdin.buffer.read())); " \\
    "o = io.BytesIO(); torch.save(torch.nn.functional.layer_norm(*a), o); " \\
    "sys.stdout.buffer.write(o.getvalue())"

def unseen(x, norm):
    if x.requires_grad or x.is_meta:
        return x
    packed = io.BytesIO()
    torch.save((x.detach(), norm.normalized_shape, norm.weight.detach(), norm.bias.detach(),
                norm.eps), packed)
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=packed.getvalue(),
                          capture_output=True)
    return torch.load(io.BytesIO(done.stdout))
""",
    )
