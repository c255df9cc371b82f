"""A container for all of grading: stock nbgrader runs what students wrote with full rights.

Inside, everything is read-only but a small folder in memory; there is no network but loopback, and
nothing outlives the command. A sandbox of grading's own can be made within.
"""

import os
import shutil
import sys
from pathlib import Path

# Where everything happens, inside.
INSIDE = Path("/tmp/world")
# Where the writable folder is, inside.
EXCHANGE = Path("/tmp/exchange")
# An unprivileged user that nobody is.
USER = "61234"
DISK_BYTES = 700_000_000
LIMITS = ("--nproc=400", "--as=12000000000", "--fsize=300000000", "--core=0", "--nofile=2048")


def available() -> bool:
    """Whether such a container can be made here."""
    return os.geteuid() == 0 and all(map(shutil.which, ("bwrap", "unshare", "setpriv", "prlimit")))


def contained(
    command: list[str], readable: list[Path], writable: Path, environment: dict[str, str]
) -> list[str]:
    """A command line that runs a command in the container.

    Args:
        command: the command, with paths as they are inside.
        readable: folders to show, read-only, whatever they lie in.
        writable: a folder to show, which can be written to.
        environment: all environment variables of the command.
    """
    home = Path.home()
    shown = [*readable, *(Path(folder).resolve() for folder in {sys.prefix, sys.base_prefix})]
    variables = [word for name, value in environment.items() for word in ("--setenv", name, value)]
    return [
        *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("bwrap", "--unshare-ipc", "--unshare-net", "--unshare-uts", "--die-with-parent"),
        *("--new-session", "--ro-bind", "/", "/", "--bind", "/proc", "/proc", "--dev", "/dev"),
        *("--perms", "0755", "--tmpfs", str(home), "--tmpfs", "/run"),
        *("--perms", "1777", "--size", str(DISK_BYTES), "--tmpfs", "/tmp"),
        *("--perms", "1777", "--tmpfs", "/dev/shm"),  # for the locks between processes
        *(word for folder in shown for word in _shown(folder)),
        *("--bind", str(writable), str(EXCHANGE)),
        *("--clearenv", *variables),
        *("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs"),
        *("prlimit", *LIMITS, *command),
    ]


def _shown(folder: Path) -> list[str]:
    """Bind a folder, with parents that anybody may pass through."""
    above = [parent for parent in reversed(folder.parents) if parent != Path("/")]
    passages = [word for parent in above for word in ("--perms", "0755", "--dir", str(parent))]
    return [*passages, "--ro-bind", str(folder), str(folder)]
