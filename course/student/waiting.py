"""What a notebook shows in the place of something that needs code which is not written yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def why_not(error: Exception, awaited: str, what: str) -> str:
    """Say in a sentence why something could not be shown.

    Args:
        error: what the student's code raised.
        awaited: the name of the function or class it was raised by.
        what: what could not be shown, such as "This figure".
    """
    if isinstance(error, NotImplementedError):
        return f"{what} waits for your `{awaited}`."
    return (
        f"{what} does not work with your `{awaited}` yet: {type(error).__name__}: {error}. "
        "Its check above says more."
    )


@contextmanager
def waits_for(solution: Any) -> Iterator[None]:
    """Run a block that uses a student's solution; print a sentence if it cannot run yet."""
    try:
        yield
    except Exception as error:
        print(why_not(error, solution.__name__, "This cell"))
