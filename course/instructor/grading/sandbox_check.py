"""The self-test of the sandbox: what it promises, tried on this machine."""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from course.instructor.build import ROOT
from course.instructor.grading import sandbox
from course.instructor.grading.kernel import WATCHED_EVERY, too_much

# Small, so that trying them takes no time.
LIMITS = sandbox.Limits(
    memory=512 * sandbox.MIB, processes=40, files=8 * sandbox.MIB, file_count=2000, open_files=64
)

CANARY = "COURSE_SANDBOX_CHECK"

# Runs inside. Each function says what it could do, in a few words; "" if nothing.
INSIDE = r"""
import ctypes, json, os, socket, subprocess, sys, threading, time

told = json.loads(sys.argv[1])

def attempt(function):
    try:
        return function() or ""
    except BaseException as error:
        return ""

def connects(family, address):
    with socket.socket(family) as line:
        line.settimeout(2)
        line.connect(address)
    return f"connected to {address!r}"

def reads(paths):
    return ", ".join(path for path in paths if os.path.lexists(path))

def writes(folders):
    done = []
    for folder in folders:
        path = os.path.join(folder, told["canary"])
        try:
            open(path, "w").close()
            os.unlink(path)
            done.append(folder)
        except OSError:
            pass
    return ", ".join(done)

def rights():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    held = int(status["CapEff"], 16) | int(status["CapPrm"], 16)
    wrong = [f"uid {os.getuid()}"] * (os.getuid() == 0)
    wrong += [f"capabilities {held:x}"] * bool(held)
    wrong += ["may gain rights"] * (status["NoNewPrivs"].strip() != "1")
    return ", ".join(wrong)

def processes():
    seen = [name for name in os.listdir("/proc") if name.isdigit()]
    return f"{len(seen)} processes" if len(seen) > 3 else ""

def environment():
    everything = repr(dict(os.environ)) + open("/proc/1/environ").read()
    return "its variables" if told["canary"] in everything else ""

def memory():
    held = bytearray(told["limits"]["memory"] + 1)
    return f"{len(held):,} bytes"

def many():
    threads = []
    def wait():
        stop.wait()
    stop = threading.Event()
    try:
        while len(threads) < 4 * told["limits"]["processes"]:
            thread = threading.Thread(target=wait, daemon=True)
            thread.start()
            threads.append(thread)
        return f"{len(threads)} threads"
    finally:
        stop.set()

def programs():
    return "ran one" if subprocess.call([sys.executable, "-c", ""]) == 0 else ""

def unowned():
    return "a segment" if ctypes.CDLL(None).shmget(0, 4096, 0o1600) >= 0 else ""

def fill(folder):
    size = 0
    path = os.path.join(folder, told["canary"])
    try:
        with open(path, "wb", buffering=0) as file:
            while size < 4 * told["limits"]["files"]:
                size += file.write(bytes(2**20))
    finally:
        os.unlink(path)
    return f"{size:,} bytes in {folder}. "

found = {
    "network": attempt(lambda: connects(socket.AF_INET, ("127.0.0.1", told["port"]))),
    "sockets": attempt(lambda: connects(socket.AF_UNIX, "\0" + told["canary"])),
    "files": attempt(lambda: reads(told["hidden"])),
    "writes": attempt(lambda: writes(told["folders"])),
    "rights": attempt(rights),
    "processes": attempt(processes),
    "environment": attempt(environment),
    "memory": attempt(memory),
    "many": attempt(many),
    "programs": attempt(programs),
    "unowned": attempt(unowned),
    "disk": attempt(lambda: fill("/tmp")) + attempt(lambda: fill("/dev/shm")),
}
print(json.dumps(found))
sys.stdout.flush()
# A process of its own that would outlive this one.
if not os.fork():
    os.setsid()
    for stream in range(3):
        os.close(stream)
    time.sleep(600)
"""

# Uses less in each process than one may, and more in all.
TOO_MUCH_IN_ALL = r"""
import os, time
for _ in range(3):
    if os.fork() == 0:
        break
held = bytearray(200 * 2**20)
time.sleep(60)
"""

PROMISES = {
    "network": "reaches nobody over the network, nor this machine's own ports",
    "sockets": "reaches no program of this machine over a socket without a file",
    "files": "sees no secret, gradebook, solution, submission or home",
    "writes": "writes nowhere but to its own folder, which is gone when it ends",
    "rights": "is not root, holds no capability, and can gain none",
    "processes": "sees no process but its own",
    "environment": "knows nothing of the grader's environment",
    "memory": "one process gets no more memory than is allowed",
    "many": "starts no more processes and threads than are allowed",
    "programs": "starts no other program",
    "unowned": "makes no memory that belongs to no process",
    "disk": "writes no more bytes to files than are allowed",
}


@dataclass(frozen=True)
class Promise:
    """What the sandbox promises, and what came of trying it.

    Args:
        words: what the code inside does not do.
        found: what it did all the same; empty if nothing.
    """

    words: str
    found: str

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return not self.found


def checks() -> list[Promise]:
    """Try everything.

    Raises:
        SandboxMissingError: there is no sandbox on this machine.
    """
    sandbox.must_work()
    found = _inside()
    return [
        *(Promise(words, found[name]) for name, words in PROMISES.items()),
        Promise("leaves no process behind when it ends", _left_behind()),
        Promise("dies with the process that grades", _outlives_the_grader()),
        Promise("all its processes together get no more memory than is allowed", _in_all()),
    ]


def _inside() -> dict[str, str]:
    """What code inside could do, by promise."""
    canary = f"{CANARY}_{secrets.token_hex(8)}"
    with (
        tempfile.TemporaryDirectory(dir=ROOT) as folder,
        _listening(socket.AF_INET, ("127.0.0.1", 0)) as (_, port),
        _listening(socket.AF_UNIX, f"\0{canary}"),
    ):
        secret = Path(folder, "secret")
        secret.write_text(canary, encoding="ascii")
        told = {
            "canary": canary,
            "port": port,
            "limits": vars(LIMITS),
            "hidden": [
                *(str(secret), str(ROOT / "source"), str(ROOT / "gradebook.db")),
                *(str(ROOT / ".class_secret"), str(ROOT / "submitted"), str(ROOT / ".git")),
                *(str(ROOT / "course" / "layer_normalization_solutions.py"), "/etc/shadow"),
                *(str(ROOT / "course" / "instructor" / "tasks"), str(Path.home() / ".ssh")),
                *(str(Path.home() / ".bashrc"), "/var", "/run", "/sys"),
            ],
            "folders": [
                str(ROOT),
                str(ROOT / "course" / "student"),
                "/",
                "/usr",
                "/dev",
                sys.prefix,
            ],
        }
        os.environ[canary] = canary
        try:
            command = ["-c", INSIDE, json.dumps(told)]
            run = subprocess.run(
                _sandboxed(command), env=sandbox.environment(), capture_output=True, text=True
            )
        finally:
            del os.environ[canary]
    found: dict[str, str] = json.loads(run.stdout)
    return found


def _left_behind() -> str:
    left = _processes_with(CANARY)
    return f"{len(left)} processes" if left else ""


def _outlives_the_grader() -> str:
    """Start a sandbox from a process that is killed, and see whether it lives on."""
    mark = f"{CANARY}_{secrets.token_hex(8)}"
    command = _sandboxed(["-c", "import time; time.sleep(600)", mark])
    starter = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    with subprocess.Popen([*starter, *command], env=sandbox.environment()) as process:
        _wait_until(lambda: len(_processes_with(mark)) >= 3)
        process.kill()
    _wait_until(lambda: not _processes_with(mark))
    left = _processes_with(mark)
    return f"{len(left)} processes" if left else ""


def _in_all() -> str:
    command = _sandboxed(["-c", TOO_MUCH_IN_ALL])
    with subprocess.Popen(command, env=sandbox.environment()) as process:
        try:
            seen = _wait_until(lambda: too_much(process.pid, LIMITS))
        finally:
            process.kill()
    return "" if seen else f"more than {LIMITS.memory:,} bytes"


def _sandboxed(command: list[str]) -> list[str]:
    uid = sandbox.new_uid() if os.geteuid() == 0 else None
    return sandbox.command_line(command, LIMITS, uid=uid)


def _processes_with(mark: str) -> list[int]:
    """The processes that have a mark among their arguments."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(mark in word for word in process.info["cmdline"] or ())
    ]


def _wait_until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until something holds; return what it was last."""
    until = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < until:
        time.sleep(WATCHED_EVERY)
    return held


@contextmanager
def _listening(family: socket.AddressFamily, address: Any) -> Iterator[tuple[Any, int]]:
    """Take connections to an address; its port, where it has one."""
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        name = listener.getsockname()
        yield listener, name[1] if isinstance(name, tuple) else 0
