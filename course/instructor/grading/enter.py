"""The way into the sandbox: set the limits, give up what rights are left, become the command.

Runs inside, before any code of a student: `python enter.py SETTINGS COMMAND...`.
"""

import json
import os
import resource
import shutil
import sys


def main() -> None:
    """Read the settings that `sandbox.command_line` wrote, and run the command."""
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
    os.execv(sys.argv[2], sys.argv[2:])


main()
