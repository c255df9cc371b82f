"""The inside of the sandbox: a process with all imports done, and its forks, which run kernels.

Runs as a file, inside, before any code of a student: `python enter.py SETTINGS`. It runs no code of
students itself. Each fork gets a view of its own on files, processes and network, gives up what
rights are left, and only then does what it was forked for.
"""

import ctypes
import gc
import importlib
import json
import os
import platform
import resource
import runpy
import shutil
import signal
import socket
import struct
import sys

# Slow to import, and of use to a kernel or to what a notebook imports.
IMPORTS = (
    *("IPython", "ipykernel.debugger", "ipykernel.ipkernel", "ipykernel.kernelapp", "ipywidgets"),
    *("matplotlib.backends.backend_agg", "matplotlib.pyplot", "matplotlib.style"),
    *("matplotlib_inline.backend_inline", "numpy", "scipy.sparse", "sklearn.datasets"),
    # The last is what torch imports when a module first does something out of the ordinary.
    *("torch", "torch.utils.data", "torch._dynamo"),
)

# What no exercise needs, by its number on x86-64 and on ARM: other programs, the memory of other
# processes, memory that belongs to no process, and what the operating system has had holes in.
DENIED = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "fsopen": (430, 430),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "open_by_handle_at": (304, 265),
}
# New processes are needed, but in no namespace of their own. Of the newer call the flags cannot be
# seen; where it seems to be missing, the older one is used.
CLONE, CLONE3 = (56, 220), (435, 435)
# Of each kind of machine: its place in DENIED, and its number in the operating system's audits.
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUALS, _AT_LEAST, _HAS_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where these stand in what a filter is shown
_ALLOW, _REFUSE, _UNKNOWN, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
_NEW_NAMESPACES = 0x7E020000
_X32 = 0x40000000  # above this, x86-64 has all its calls once more

# Of one request.
MOST_BYTES = 2**18

_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAP_AMBIENT = 4, 22, 47
_SECCOMP_MODE_FILTER, _CLEAR_ALL = 2, 4
_CAPABILITIES_VERSION_3 = 0x20080522

# Of files, processes, messages between processes, names of the machine, and network.
_APART = 0x00020000 | 0x20000000 | 0x08000000 | 0x04000000 | 0x40000000
_NOSUID_NODEV, _BIND, _PRIVATE_ALL = 2 | 4, 4096 | 16384, (1 << 18) | 16384

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Import everything, then fork whenever it is asked for, until nobody is there to ask."""
    settings = json.loads(sys.argv[1])
    # Where the machine runs out of memory after all, this is what ends.
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    cache = os.environ["MPLCONFIGDIR"]
    os.makedirs(cache)
    shutil.copy(settings["font_list"], cache)
    for name in IMPORTS:
        importlib.import_module(name)
    # A fork writes to no page of what is here already, not even to count references to garbage.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks need no waiting for
    with socket.socket(fileno=settings["line"]) as line:
        while True:
            request, numbers, _, _ = socket.recv_fds(line, MOST_BYTES, 1)
            if not request:
                return
            with socket.socket(fileno=numbers[0]) as asker:
                if os.fork() == 0:
                    line.close()
                    _be_keeper(json.loads(request), settings, asker)


def _be_keeper(request: dict, settings: dict, asker: socket.socket) -> None:
    """Be the parent of the first process in a view of its own, as long as it lives."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _call(_libc.unshare, _APART)
    child = os.fork()
    if child == 0:
        _be_first(request, settings, asker)
    asker.close()
    os.waitpid(child, 0)
    os._exit(0)


def _be_first(request: dict, settings: dict, asker: socket.socket) -> None:
    """Show who this is, give up all rights, and run what was asked for."""
    os.setsid()  # a signal to one's group is no signal to the keeper, or to the warm process
    asker.send(b"\n")  # whoever asked sees our number
    asker.recv(1)  # and lets us go on when it has hold of us
    asker.close()
    _look_at(settings)
    _limit(settings)
    if request["uid"] is not None:
        os.setgroups([])
        os.setresgid(request["uid"], request["uid"], request["uid"])
        os.setresuid(request["uid"], request["uid"], request["uid"])
    _drop_capabilities()
    os.makedirs(os.environ["MPLCONFIGDIR"])
    os.chdir(os.environ["HOME"])
    for name, text in request["files"].items():
        with open(name, "x") as file:
            file.write(text)
    if platform.machine() in MACHINES:
        _deny(platform.machine())
    sys.modules["numpy"].random.seed()  # every fork has the same numbers ahead otherwise
    os.dup2(1, 2)  # until here, it told whoever asked what failed
    how, what, *arguments = request["argv"]
    sys.argv = [how, *arguments]
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<sandbox>", "exec"), {"__name__": "__main__"})
    sys.exit()


def _look_at(settings: dict) -> None:
    """Have folders and processes of one's own, and write only to memory."""
    _mount("none", "/", None, _PRIVATE_ALL)
    # What is to be seen although it lies where something else will lie over it.
    held = {path: os.open(path, os.O_PATH) for path in settings["shown"]}
    for folder in settings["writable"]:
        options = f"mode=1777,size={settings['files']},nr_inodes={settings['file_count']}"
        _mount("tmpfs", folder, "tmpfs", _NOSUID_NODEV, options)
    for path, number in held.items():
        os.makedirs(path, exist_ok=True)
        _mount(f"/proc/self/fd/{number}", path, None, _BIND)
        os.close(number)
    _mount("proc", "/proc", "proc", _NOSUID_NODEV)


def _limit(settings: dict) -> None:
    for limit, value in {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: settings["memory"],
        resource.RLIMIT_FSIZE: settings["files"],
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: settings["open_files"],
        resource.RLIMIT_NPROC: settings["processes"],
    }.items():
        resource.setrlimit(limit, (value, value))


def _drop_capabilities() -> None:
    """Hold no capability, and have none to come back to."""
    _call(_libc.prctl, _PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    header = struct.pack("Ii", _CAPABILITIES_VERSION_3, 0)
    _call(_libc.capset, header, bytes(24))
    # As after starting a program: one may look at oneself.
    _call(_libc.prctl, _PR_SET_DUMPABLE, 1, 0, 0, 0)


def _deny(machine: str) -> None:
    """Have the operating system refuse the calls in DENIED, to this process and all it starts.

    The filter is a program for seccomp, `struct sock_fprog` of linux/filter.h.
    """
    column, architecture = MACHINES[machine]
    clone, clone3 = CLONE[column], CLONE3[column]
    numbers = [both[column] for both in DENIED.values()]
    allow = len(numbers) + 9  # of the steps below
    refuse, unknown = allow + 1, allow + 2
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUALS, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, refuse - 5, 0, _X32),
        *((_EQUALS, refuse - at, 0, number) for at, number in enumerate(numbers, 6)),
        (_EQUALS, unknown - allow + 3, 0, clone3),
        (_EQUALS, 0, 2, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_HAS_ANY, 1, 0, _NEW_NAMESPACES),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _UNKNOWN),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    _call(_libc.prctl, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = (source.encode(), target.encode(), kind and kind.encode(), flags, options.encode())
    _call(_libc.mount, *words)


def _call(function: object, *arguments: object) -> None:
    """Call a function of the C library.

    Raises:
        OSError: it failed.
    """
    if function(*arguments) != 0:  # type: ignore[operator]
        error = ctypes.get_errno()
        raise OSError(error, f"{function.__name__}: {os.strerror(error)}")  # type: ignore[attr-defined]


main()
