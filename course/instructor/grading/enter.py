"""The way into the sandbox: set the limits, give up what rights are left, run Python code.

Runs inside, before any code of a student: `python enter.py SETTINGS -m MODULE ARGUMENTS...`, or
with `-c CODE` in the place of the module.
"""

import ctypes
import json
import os
import platform
import resource
import runpy
import shutil
import struct
import sys

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
# Of each kind of machine: its place in DENIED, and its number in the operating system's audits.
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # where these stand in what a filter is shown
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_X32 = 0x40000000  # above this, x86-64 has all its calls once more
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


def main() -> None:
    """Read the settings that `sandbox.command_line` wrote, and run the code."""
    settings = json.loads(sys.argv[1])
    # Where the machine runs out of memory after all, this is what ends.
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    if settings["uid"] is not None:
        os.setgroups([])
        os.setresgid(settings["uid"], settings["uid"], settings["uid"])
        os.setresuid(settings["uid"], settings["uid"], settings["uid"])
    for limit, value in {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: settings["memory"],
        resource.RLIMIT_FSIZE: settings["files"],
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: settings["open_files"],
        resource.RLIMIT_NPROC: settings["processes"],
    }.items():
        resource.setrlimit(limit, (value, value))
    cache = os.environ["MPLCONFIGDIR"]
    os.makedirs(cache)
    shutil.copy(settings["font_list"], cache)
    os.chdir(settings["home"])
    if platform.machine() in MACHINES:
        deny(platform.machine())
    how, what, *arguments = sys.argv[2:]
    sys.argv = [how, *arguments]
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<sandbox>", "exec"), {"__name__": "__main__"})


def deny(machine: str) -> None:
    """Have the operating system refuse the calls in DENIED, to this process and all it starts.

    The filter is a program for seccomp, `struct sock_fprog` of linux/filter.h.

    Raises:
        OSError: the operating system takes no filter.
    """
    column, architecture = MACHINES[machine]
    numbers = [both[column] for both in DENIED.values()]
    rest = len(numbers)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUALS, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, rest + 1, 0, _X32),
        *((_EQUALS, rest - at, 0, number) for at, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


main()
