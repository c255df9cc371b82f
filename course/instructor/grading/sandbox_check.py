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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from course.instructor.build import ROOT
from course.instructor.grading import sandbox
from course.instructor.grading.kernel import too_much
from course.instructor.grading.warm import WarmProcess

# Small, so that trying them takes no time.
LIMITS = sandbox.Limits(
    memory=1024 * sandbox.MIB, processes=40, files=8 * sandbox.MIB, file_count=2000, open_files=64
)

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
    return f"{len(seen)} processes" if len(seen) > 1 else ""

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

def namespaces():
    libc, new_user = ctypes.CDLL(None), 0x10000000
    number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    child = libc.syscall(number, new_user | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return "a namespace of users" if child > 0 or libc.unshare(new_user) == 0 else ""

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
    "namespaces": attempt(namespaces),
    "unowned": attempt(unowned),
    "disk": attempt(lambda: fill("/tmp")) + attempt(lambda: fill("/dev/shm")),
}
with open(told["answer"] + ".new", "w") as file:
    json.dump(found, file)
os.rename(told["answer"] + ".new", told["answer"])
time.sleep(told["waits"])
"""

# Leaves behind what another might find.
LEAVES = r"""
import os, time
for folder in ("/tmp", "/dev/shm", os.path.expanduser("~")):
    open(os.path.join(folder, "left"), "w").close()
if not os.fork():
    time.sleep(600)
"""

# Says what of that it sees.
LOOKS = r"""
import os, time
folders = ("/tmp", "/dev/shm", os.path.expanduser("~"))
seen = [name for folder in folders for name in os.listdir(folder) if name == "left"]
with open("/tmp/new", "w") as file:
    file.write(repr(seen))
os.rename("/tmp/new", "/tmp/seen")
time.sleep(60)
"""

# Uses less in each process than one may, and more in all.
TOO_MUCH_IN_ALL = r"""
import os, time
for _ in range(3):
    if os.fork() == 0:
        break
held = bytearray(b"x") * (400 * 2**20)
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
    "namespaces": "makes no namespace of its own, in which it would be root",
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
    with closing(WarmProcess(LIMITS)) as warm:
        left, found = _after_another(warm)
        return [
            *(Promise(words, found[name]) for name, words in PROMISES.items()),
            Promise("leaves nothing to the next one: no file, no process", left),
            Promise("all its processes together get no more memory than is allowed", _in_all(warm)),
            Promise("dies with the process that grades", _outlives_the_grader()),
        ]


def tried_by(run: Callable[[list[str], Path], str], waits: int = 0) -> dict[str, str]:
    """Try what code inside must not be able to do; return what it could, by promise.

    Args:
        run: runs Python with arguments, until there is a file; returns the text in that.
        waits: how many seconds it waits then to be read.
    """
    answer = Path("/tmp/answer.json")
    canary = f"COURSE_SANDBOX_CHECK_{secrets.token_hex(8)}"
    with (
        tempfile.TemporaryDirectory(dir=ROOT) as folder,
        _listening(socket.AF_INET, ("127.0.0.1", 0)) as port,
        _listening(socket.AF_UNIX, f"\0{canary}"),
    ):
        secret = Path(folder, "secret")
        secret.write_text(canary, encoding="ascii")
        told = {
            "answer": str(answer),
            "waits": waits,
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
                *(str(ROOT), str(ROOT / "course" / "student"), sys.prefix, "/", "/usr", "/dev"),
            ],
        }
        os.environ[canary] = canary
        try:
            found: dict[str, str] = json.loads(run(["-c", INSIDE, json.dumps(told)], answer))
        finally:
            del os.environ[canary]
    return found


def _after_another(warm: WarmProcess) -> tuple[str, dict[str, str]]:
    """What one leaves to the next, and what code inside could do, by promise."""

    def run(argv: list[str], answer: Path) -> str:
        fork = warm.fork(argv)
        try:
            _wait_until(lambda: fork.ended() or fork.path(answer).exists(), 60)
            return fork.path(answer).read_text(encoding="utf-8")
        finally:
            fork.kill()

    warm.fork(["-c", LEAVES]).ended(60)
    inside = psutil.Process(warm.pid)
    # Bubblewrap's own second process, and the warm one, are there still.
    _wait_until(lambda: len(inside.children(recursive=True)) <= 2)
    left = inside.children(recursive=True)[2:]
    seen = run(["-c", LOOKS], Path("/tmp/seen"))
    words = [f"{len(left)} processes"] * bool(left) + [seen] * (seen != "[]")
    return ", ".join(words), tried_by(run, waits=60)


def _in_all(warm: WarmProcess) -> str:
    fork = warm.fork(["-c", TOO_MUCH_IN_ALL])
    try:
        seen = _wait_until(lambda: too_much(fork.pid, LIMITS))
    finally:
        fork.kill()
    return "" if seen else f"more than {LIMITS.memory:,} bytes"


# Starts a sandbox and says which processes it is.
GRADER = """
import sys, time
from course.instructor.grading.sandbox_check import LIMITS
from course.instructor.grading.warm import WarmProcess
warm = WarmProcess(LIMITS)
fork = warm.fork(["-c", "import time; time.sleep(600)"])
print(warm.pid, fork.pid, flush=True)
time.sleep(600)
"""


def _outlives_the_grader() -> str:
    """Kill a process that grades, and see whether its sandbox lives on."""
    with subprocess.Popen([sys.executable, "-c", GRADER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pids = [int(number) for number in process.stdout.readline().split()]
        process.kill()
    _wait_until(lambda: not any(map(psutil.pid_exists, pids)))
    left = [pid for pid in pids if psutil.pid_exists(pid)]
    return f"{len(left)} processes" if left or not pids else ""


def _wait_until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until something holds; return what it was last."""
    until = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return held


@contextmanager
def _listening(family: socket.AddressFamily, address: Any) -> Iterator[int]:
    """Take connections to an address; yields its port, where it has one."""
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        name = listener.getsockname()
        yield name[1] if isinstance(name, tuple) else 0
