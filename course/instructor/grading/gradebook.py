"""nbgrader's gradebook, made quicker for a whole class."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import nbgrader.api


@contextmanager
def one_engine() -> Iterator[None]:
    """Let all gradebooks opened meanwhile share SQLAlchemy's engine, if they are of one database.

    nbgrader opens its gradebook about a dozen times for one submission, each time with a new
    engine. Half of all that it then does is to compile statements that the last engine knew.
    """
    create = nbgrader.api.create_engine
    nbgrader.api.create_engine = cache(create)
    try:
        yield
    finally:
        nbgrader.api.create_engine = create
