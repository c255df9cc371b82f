"""nbgrader's gradebook, made quicker for a whole class, and safe where several runs share one."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import nbgrader.api
from nbgrader.api import SubmittedAssignment
from sqlalchemy import NullPool, create_engine, make_url, text

# By this number runs know each other among all that may lock something in the database.
LOCK = 0x1A7E4


def score_of(submission: SubmittedAssignment) -> float:
    """A submission's score less what being late cost, as nbgrader exports it."""
    score: float = submission.score - submission.late_submission_penalty
    return max(0.0, score)


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


@contextmanager
def turn(db_url: str) -> Iterator[None]:
    """Write to the gradebook while no other run does so, on whatever machine it is.

    nbgrader looks for an entry and makes it if there is none, which two may do at the same time.
    SQLite's gradebook is a file of the course folder, where only one run grades at a time anyway.

    Args:
        db_url: the gradebook's address.
    """
    if make_url(db_url).get_backend_name() != "postgresql":
        yield
        return
    with create_engine(db_url, poolclass=NullPool).connect() as connection:
        # Held until the connection is closed, or breaks.
        connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": LOCK})
        yield
