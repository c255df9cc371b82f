"""Forks of a warm process: a sandbox that has all imports done, entered in milliseconds.

One process for each process that grades; it is made when it is first needed and ends with that.
"""

import atexit
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from secrets import token_hex
from struct import Struct

import psutil

from course.instructor.grading import sandbox
from course.instructor.grading.sandbox import Limits, SandboxMissingError

# Seconds for the imports of a new process, for a fork that does nothing, and for its end.
STARTING, FORKING, ENDING = 60, 10, 5

# Folders for sockets; the paths of sockets must be short.
PREFIX = "grading-"

_CREDENTIALS = Struct("3i")


class Fork:
    """A process in a view of its own; with it ends whatever it has started."""

    def __init__(self, pid: int) -> None:
        """Take hold of a process by its number."""
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def ended(self, seconds: float = 0) -> bool:
        """Whether it has ended, or does so in time."""
        return bool(select.select([self._handle], [], [], seconds)[0])

    def kill(self) -> None:
        """End it, whatever it does, and wait for that: milliseconds, unless its memory is huge."""
        if not self.ended():
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            self.ended(ENDING)

    def __del__(self) -> None:
        os.close(self._handle)


class WarmProcess:
    """A process in the sandbox that forks when it is asked to."""

    def __init__(self, limits: Limits) -> None:
        """Start it.

        Raises:
            SandboxMissingError: there is no sandbox on this machine, or none can be made.
        """
        self.limits = limits
        _remove_left_rooms()
        # Nobody but root and this user may look in.
        self.rooms = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self._line, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with inside:
            self._process = subprocess.Popen(
                sandbox.command_line(limits, self.rooms, inside.fileno()),
                env=sandbox.environment(),
                pass_fds=[inside.fileno()],
                cwd="/",
                # What is written past Jupyter would fill the terminal, or whatever holds the log.
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )

    @property
    def pid(self) -> int:
        """The number of its bubblewrap."""
        return self._process.pid

    def new_room(self) -> tuple[Path, int | None]:
        """Make a folder for one fork; return it and, where this is root, its user."""
        room = self.rooms / token_hex(4)
        room.mkdir(mode=0o700)
        if os.geteuid() != 0:
            return room, None
        uid = sandbox.new_uid()
        os.chown(room, uid, uid)
        return room, uid

    def fork(self, argv: list[str], room: Path, uid: int | None) -> Fork:
        """Run Python code in a fork.

        Args:
            argv: `-m` and a module or `-c` and code, then what stands in `sys.argv` behind it.
            room: the folder that it may write to and that is seen outside.
            uid: the user that it becomes.

        Raises:
            SandboxMissingError: the process did not start.
        """
        request = {"argv": argv, "room": str(room), "uid": uid}
        announce = room.with_suffix(".new")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(announce))
            listener.listen()
            try:
                self._line.send(json.dumps(request | {"announce": str(announce)}).encode())
                if not select.select([listener, self._line], [], [], STARTING)[0] == [listener]:
                    raise BrokenPipeError
                connection, _ = listener.accept()
            except OSError as error:
                raise SandboxMissingError(self._why()) from error
            finally:
                announce.unlink()
        with connection:
            credentials = connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
            )
            fork = Fork(_CREDENTIALS.unpack(credentials)[0])
            connection.send(b"\n")
        return fork

    def close(self) -> None:
        """End it and all its forks."""
        self._line.close()
        with self._process:
            self._process.kill()
        shutil.rmtree(self.rooms, ignore_errors=True)

    def _why(self) -> str:
        """Why it does not answer."""
        self._process.kill()
        assert self._process.stderr is not None
        words = self._process.stderr.read().decode(errors="replace").strip()
        return (
            "bubblewrap is there, but cannot make a sandbox on this machine:"
            f" {words[-400:] or 'it gives no reason'}. In a container it needs permission for"
            " namespaces, and some systems forbid these to ordinary users: docs/security.md says"
            " what to do."
        )


def _remove_left_rooms() -> None:
    """Remove the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


@cache
def warm_process() -> WarmProcess:
    """The one warm process of this process, which ends with it.

    Raises:
        SandboxMissingError: there is no sandbox on this machine, or none can be made.
    """
    process = WarmProcess(Limits())
    room, uid = process.new_room()
    try:
        # One fork that does nothing, to see that it can.
        process.fork(["-c", ""], room, uid).ended(FORKING)
    except SandboxMissingError:
        process.close()
        raise
    atexit.register(process.close)
    return process
