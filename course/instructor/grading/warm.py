"""Forks of a warm process: a sandbox that has all imports done, entered in milliseconds.

One process for each process that grades; it is made when it is first needed and ends with that.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from struct import Struct
from types import MappingProxyType

from course.instructor.grading import sandbox
from course.instructor.grading.sandbox import Limits, SandboxMissingError

# Seconds for the imports of a new process, for a fork that does nothing, and for its end.
STARTING, FORKING, ENDING = 60, 10, 5

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

    def path(self, inside: Path) -> Path:
        """Where a file inside is to be found from outside, while it lives."""
        return Path(f"/proc/{self.pid}/root{inside}")

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
        self._line, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with inside:
            self._process = subprocess.Popen(
                sandbox.command_line(limits, inside.fileno()),
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

    @property
    def lives(self) -> bool:
        """Whether it can still fork."""
        return self._process.poll() is None

    def fork(self, argv: list[str], files: Mapping[str, str] = MappingProxyType({})) -> Fork:
        """Run Python code in a fork.

        Args:
            argv: `-m` and a module or `-c` and code, then what stands in `sys.argv` behind it.
            files: texts that it finds in its folder, by name.

        Raises:
            SandboxMissingError: the process did not start.
        """
        uid = sandbox.new_uid() if os.geteuid() == 0 else None
        request = json.dumps({"argv": argv, "files": dict(files), "uid": uid})
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            ours.settimeout(STARTING)
            try:
                with its:
                    socket.send_fds(self._line, [request.encode()], [its.fileno()])
                # Its number as it is known here comes with whatever it says.
                said, about, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
                if not said:
                    raise BrokenPipeError
            except OSError as error:
                raise SandboxMissingError(self._why()) from error
            [(_, _, credentials)] = about
            fork = Fork(_CREDENTIALS.unpack(credentials)[0])
            ours.send(b"\n")  # only now it goes on
        return fork

    def close(self) -> None:
        """End it and all its forks."""
        self._line.close()
        with self._process:
            self._process.kill()

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


_kept: list[WarmProcess] = []


def warm_process() -> WarmProcess:
    """The one warm process of this process, which ends with it; made anew, should it have ended.

    Raises:
        SandboxMissingError: there is no sandbox on this machine, or none can be made.
    """
    if _kept and _kept[0].lives:
        return _kept[0]
    process = WarmProcess(Limits())
    try:
        # One fork that does nothing, to see that it can.
        process.fork(["-c", ""]).ended(FORKING)
    except SandboxMissingError:
        process.close()
        raise
    atexit.register(process.close)
    _kept[:] = [process]
    return process
