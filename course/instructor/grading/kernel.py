"""The kernel of a submission: in the sandbox, watched, and talked to over sockets in a folder."""

import os
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import zmq
import zmq.asyncio
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import LocalProvisioner
from traitlets import default

from course.instructor.grading import sandbox

PROVISIONER = "layer-normalization-sandbox"

# One message of a kernel, and how many may wait to be read: together what a flood can take of the
# grading process's memory. An honest figure takes some 100 KB.
MESSAGE_BYTES, MESSAGES = 8 * sandbox.MIB, 50

# Seconds between two looks at what a kernel uses: it can take about as many GiB in between.
WATCHED_EVERY = 0.2

# With less of the machine's memory free than this, the kernel ends before all else suffers.
SPARE_MEMORY = 256 * sandbox.MIB

# Folders for sockets; the paths of sockets must be short.
RUNTIME_PREFIX = "grading-"


class MachineFullError(Exception):
    """The machine ran out of memory, which need not be the fault of what is graded."""


class SandboxKernelManager(AsyncKernelManager):
    """Starts Python in the sandbox."""

    def __init__(self, **kwargs: Any) -> None:
        """Make the folder through which the kernel is talked to."""
        # Nobody but root and this user may look in.
        self._runtime = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX))
        super().__init__(**kwargs)
        self.transport = "ipc"
        self.connection_file = str(self._runtime / "kernel.json")
        self.ip = str(self._runtime / "socket")
        self.shutdown_wait_time = 0

    @default("context")
    def _context_default(self) -> zmq.asyncio.Context:
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
        context.setsockopt(zmq.RCVHWM, MESSAGES)
        context.setsockopt(zmq.LINGER, 0)
        return context

    @property
    def kernel_spec(self) -> KernelSpec:
        """The one kernelspec: whatever the notebook says, it runs in this."""
        launch = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(
            # Files beside the notebook must not stand in for modules of the same name.
            argv=[
                *launch,
                "--InteractiveShellApp.ignore_cwd=True",
                "--IPKernelApp.log_level=ERROR",
            ],
            display_name="Python in the sandbox",
            language="python",
            # A signal would reach bubblewrap, not Python.
            interrupt_mode="message",
            metadata={"kernel_provisioner": {"provisioner_name": PROVISIONER}},
        )

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart)
        shutil.rmtree(self._runtime, ignore_errors=True)

    cleanup_resources = _async_cleanup_resources


class SandboxProvisioner(LocalProvisioner):
    """Launches a kernel in the sandbox, and ends it when it uses more than it may."""

    limits = sandbox.Limits()
    # Why the kernel was ended, as a sentence; empty while it was not.
    ended_because = ""
    # Whether it was ended because the machine, and not its own share, was used up.
    machine_full = False

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Put the sandbox around the command that starts the kernel."""
        kwargs = await super().pre_launch(**kwargs)
        assert self.parent is not None
        connection_file = Path(self.parent.connection_file)
        folder = connection_file.parent
        uid = None
        if os.geteuid() == 0:
            uid = sandbox.new_uid()
            for path in (folder, connection_file):
                os.chown(path, uid, uid)
        kwargs["cmd"] = sandbox.command_line(kwargs["cmd"], self.limits, [folder], uid=uid)
        # Of bubblewrap itself too: a kernel may read what its parent was started with.
        kwargs["env"] = sandbox.environment()
        kwargs["cwd"] = "/"
        # What it writes past Jupyter would fill the terminal, or whatever holds the log.
        kwargs["stdout"] = kwargs["stderr"] = subprocess.DEVNULL
        # It could not see this process to find out whether it lives; bubblewrap does that.
        kwargs["independent"] = True
        return kwargs

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel, and a watch over it."""
        info = await super().launch_kernel(cmd, **kwargs)
        threading.Thread(target=self._watch, args=(self.process,), daemon=True).start()
        return info

    def _watch(self, process: Any) -> None:
        """Look at what the kernel uses until it has ended, or must."""
        while process.poll() is None:
            self.ended_because = too_much(process.pid, self.limits)
            self.machine_full = psutil.virtual_memory().available < SPARE_MEMORY
            if self.ended_because or self.machine_full:
                process.kill()  # bubblewrap; all that is inside dies with it
                return
            time.sleep(WATCHED_EVERY)


def too_much(pid: int, limits: sandbox.Limits) -> str:
    """What a sandbox uses more of than it may, as a sentence; empty if nothing.

    Args:
        pid: of its bubblewrap.
        limits: what it may use.
    """
    memory = 0
    folders: dict[int, tuple[int, int]] = {}
    for process in _inside(pid):
        with suppress(psutil.Error, OSError):  # it may just have ended
            memory += process.memory_info().rss + _files_without_names(process.pid)
            folders |= _folders(process.pid, limits)
    if memory > limits.memory:
        memory -= sum(_shared(process.pid) for process in _inside(pid))
    size, count = (sum(numbers) for numbers in zip((0, 0), *folders.values(), strict=True))
    if memory + size > limits.memory:
        return f"It used more than {limits.memory / 2**30:.3g} GiB of memory."
    if count > limits.file_count:
        return f"It made more than {limits.file_count:,} files."
    return ""


def _inside(pid: int) -> Iterator[psutil.Process]:
    try:
        yield from psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return


def _shared(pid: int) -> int:
    """The bytes of a process's memory that others count too: a fork shares what is unchanged."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    sizes = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(" ") for line in lines[1:])
    }
    return sizes["Rss:"] - sizes["Pss:"]


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


def _folders(pid: int, limits: sandbox.Limits) -> dict[int, tuple[int, int]]:
    """Bytes and files in the folders that a process may write to, by their device."""
    found = {}
    for name in sandbox.WRITABLE:
        path = f"/proc/{pid}/root{name}"
        inside = os.statvfs(path)
        # While bubblewrap is still at work, these are the machine's own.
        if inside.f_blocks * inside.f_frsize == limits.files:
            used = (inside.f_blocks - inside.f_bfree) * inside.f_frsize
            found[os.stat(path).st_dev] = (used, inside.f_files - inside.f_ffree)
    return found
