"""Attacks by code in the kernel."""

from tests.attacks.attack import RIGHT, World, code, notebook


@code(work=RIGHT, honest_score=10.0)
def a_right_solution(world: World) -> str:
    """Nothing: the right solution, to see that all is well."""
    return ""


@code()
def a_patched_check(world: World) -> str:
    """Replaces the check by a function that returns full marks."""
    return "check = lambda *_: 10.0"
