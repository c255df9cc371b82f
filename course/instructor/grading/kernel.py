"""The kernel of a submission: in the sandbox, watched, and talked to over sockets in a folder."""

import asyncio
import math
import os
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import psutil
import zmq
import zmq.asyncio
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import LocalProvisioner
from traitlets import Type, default

from course.instructor.grading import sandbox
from course.instructor.grading.warm import Fork, warm_process

PROVISIONER = "layer-normalization-sandbox"

# One message of a kernel, and how many may wait to be read: together what a flood can take of the
# grading process's memory. A figure takes some 100 KB; a data set, printed, far more.
MESSAGE_BYTES, MESSAGES = 128 * sandbox.MIB, 10

# Seconds between two looks at what a kernel uses: it can take about as many GiB in between.
WATCHED_EVERY = 0.2

# With less of the machine's memory free than this, the kernel ends before all else suffers.
SPARE_MEMORY = 256 * sandbox.MIB


# In the kernel's folder: how it is to be talked to.
CONNECTION_FILE = ".kernel.json"


class MachineFullError(Exception):
    """The machine ran out of memory, which need not be the fault of what is graded."""


class SandboxKernelClient(AsyncKernelClient):
    """Talks to a kernel, and to no other that was in its place before."""

    @default("context")
    def _context_default(self) -> zmq.asyncio.Context:
        self._created_context = True  # so it ends with this client
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
        context.setsockopt(zmq.RCVHWM, MESSAGES)
        context.setsockopt(zmq.LINGER, 0)
        context.setsockopt(zmq.RECONNECT_IVL, 10)  # milliseconds, until the kernel listens
        return context

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until the kernel answers, and what it shows arrives here.

        Jupyter's own method goes on to wait until a fifth of a second has passed in silence.

        Raises:
            RuntimeError: it has ended, or does not answer in time.
        """
        until = time.monotonic() + (timeout or math.inf)
        while time.monotonic() < until and await self._async_is_alive():
            self.kernel_info()
            with suppress(Empty):
                await self.shell_channel.get_msg(timeout=1)
                await self.iopub_channel.get_msg(timeout=0.02)
                return
        raise RuntimeError("The kernel has ended, or does not answer.")


class SandboxKernelManager(AsyncKernelManager):
    """Starts Python in the sandbox, in a fork of the warm process."""

    transport = "ipc"
    # As it is inside; from outside it is known when there is a process.
    ip = str(sandbox.HOME / ".socket")
    shutdown_wait_time = 0.0
    client_factory = Type(SandboxKernelClient)

    @property
    def kernel_spec(self) -> KernelSpec:
        """The one kernelspec: whatever the notebook says, it runs in this."""
        launch = ["-m", "ipykernel_launcher", "-f", CONNECTION_FILE]
        return KernelSpec(
            # Files beside the notebook must not stand in for modules of the same name.
            argv=[
                *launch,
                "--InteractiveShellApp.ignore_cwd=True",
                "--IPKernelApp.log_level=ERROR",
            ],
            display_name="Python in the sandbox",
            language="python",
            # A signal from outside is not known to be of a user.
            interrupt_mode="message",
            metadata={"kernel_provisioner": {"provisioner_name": PROVISIONER}},
        )


class SandboxProvisioner(LocalProvisioner):
    """Launches a kernel in the sandbox, and ends it when it uses more than it may."""

    process: Fork | None = None  # type: ignore[assignment]
    # Why the kernel was ended, as a sentence; empty while it was not.
    ended_because = ""
    # Whether it was ended because the machine, and not its own share, was used up.
    machine_full = False

    async def launch_kernel(self, cmd: list[str], **_: Any) -> Any:
        """Start the kernel, and a watch over it."""
        assert isinstance(self.parent, SandboxKernelManager)
        content = Path(self.parent.connection_file).read_text(encoding="utf-8")
        self.process = warm_process().fork(cmd, {CONNECTION_FILE: content})
        threading.Thread(target=self._watch, args=(self.process,), daemon=True).start()
        outside = self.process.path(Path(self.parent.ip))
        return self.connection_info | {"ip": str(outside)}

    async def poll(self) -> int | None:
        """None while the kernel lives."""
        return None if self.process and not self.process.ended() else 0

    async def wait(self) -> int | None:
        """Wait for the kernel's end."""
        while await self.poll() is None:
            await asyncio.sleep(0.01)
        self.process = None
        return 0

    async def send_signal(self, signum: int) -> None:
        """End the kernel, for only that is asked for with a signal."""
        if self.process:
            self.process.kill()

    def _watch(self, fork: Fork) -> None:
        """Look at what the kernel uses until it has ended, or must."""
        while not fork.ended(WATCHED_EVERY):
            self.ended_because = too_much(fork.pid, warm_process().limits)
            self.machine_full = psutil.virtual_memory().available < SPARE_MEMORY
            if self.ended_because or self.machine_full:
                fork.kill()
                return


def most_memory(pid: int) -> int:
    """The bytes of memory that a process has used at most; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def too_much(pid: int, limits: sandbox.Limits) -> str:
    """What a sandbox uses more of than it may, as a sentence; empty if nothing.

    Args:
        pid: of its first process, all others being its children.
        limits: what it may use.
    """
    # What processes share is counted for each in the one number, which is quick to have, and once
    # in the other.
    for held in (_resident, _own):
        memory = 0
        folders: dict[int, int] = {}
        for process in _inside(pid):
            with suppress(psutil.Error, OSError):  # it may just have ended
                memory += held(process) + _files_without_names(process.pid)
                folders |= _folders(process.pid)
        if memory + sum(folders.values()) <= limits.memory:
            return ""
    return f"It used more than {limits.memory / 2**30:.3g} GiB of memory."


def _inside(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.Error:
        return []


def _resident(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def _own(process: psutil.Process) -> int:
    """The bytes of a process's memory, less the others' part in what it shares with them."""
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("Pss:")]
    return int(kilobytes) * 1024


def _files_without_names(pid: int) -> int:
    """The bytes of files that a process holds open and that no folder shows, such as memfds."""
    size = 0
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        try:
            found = os.stat(f"{folder}/{name}")
        except OSError:
            continue  # just closed
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
            size += found.st_blocks * 512
    return size


def _folders(pid: int) -> dict[int, int]:
    """Bytes in the folders that a process may write to, by their device."""
    found = {}
    for name in sandbox.WRITABLE:
        path = f"/proc/{pid}/root{name}"
        inside = os.statvfs(path)
        found[os.stat(path).st_dev] = (inside.f_blocks - inside.f_bfree) * inside.f_frsize
    return found
