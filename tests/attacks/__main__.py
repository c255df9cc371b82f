"""`python -m tests.attacks`: what each attack reaches against stock nbgrader and this course."""

import os
import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from tests.attacks import container
from tests.attacks.attack import Attack
from tests.attacks.catalogue import ATTACKS
from tests.attacks.grade import WORKERS
from tests.attacks.harness import CONTAINED, Row, measure

COLUMNS = ("score", "read", "stopped", "ungraded", "script")


@click.command()
@click.option("--only", multiple=True, help="An attack's name, or the beginning of it.")
@click.option("--ours", "only_ours", is_flag=True, help="Leave stock nbgrader out.")
@click.option("--stock", "only_stock", is_flag=True, help="Leave this course's grading out.")
@click.option("--together", type=int, help="How many attacks share a batch.")
@click.option(
    "--workers",
    type=click.Choice(["this process", "processes", "cluster"]),
    default="processes",
    help="Who executes submissions in this course's grading.",
)
def main(
    only: tuple[str, ...],
    only_ours: bool,
    only_stock: bool,
    together: int | None,
    workers: str,
) -> None:
    """Try all attacks, show what they reached, and fail if any reached anything here."""
    os.environ[WORKERS] = workers
    chosen = [attack for name, attack in ATTACKS.items() if not only or name.startswith(only)]
    console = Console(width=max(150, Console().width))
    sides = [s for s in ("stock", "ours") if not (s == "stock" and only_ours)]
    sides = [s for s in sides if not (s == "ours" and only_stock)]
    if any(CONTAINED[side] for side in sides) and not container.available():
        raise click.ClickException("The container for hostile code needs Linux, root and bwrap.")
    rows = {side: _rows(side, chosen, console, together) for side in sides}
    console.print(_table(chosen, rows))
    sys.exit(not all(row.held for row in rows.get("ours", {}).values()))


def _rows(
    side: str, attacks: Sequence[Attack], console: Console, together: int | None
) -> dict[str, Row]:
    def tell(row: Row) -> None:
        console.print(f"{side} {row.attack.name}: {' '.join(_cells(row))}", highlight=False)

    able = [attack for attack in attacks if side == "ours" or attack.stock]
    return {row.attack.name: row for row in measure(side, able, tell, together)}


def _table(attacks: Sequence[Attack], rows: dict[str, dict[str, Row]]) -> Table:
    table = Table("attack", "tries", *(f"{s}: {c}" for s in rows for c in COLUMNS), show_lines=True)
    for attack in attacks:
        found = [side.get(attack.name) for side in rows.values()]
        cells = [cell for row in found for cell in _cells(row)]
        table.add_row(attack.name, attack.tries, *cells)
    return table


def _cells(row: Row | None) -> tuple[str, ...]:
    if row is None:
        return ("not run",) * len(COLUMNS)
    ungraded = "left ungraded" if row.ungraded else "no word on why" if row.silent else "none"
    return (
        row.gained or "none",
        ", ".join(row.read) or "none",
        row.stopped or "none",
        ungraded,
        "script runs" if row.script else "none",
    )


if __name__ == "__main__":
    main()
