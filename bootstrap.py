"""Make the virtual environment that the Makefile runs everything in, or say what is missing.

This file runs before anything is installed, on whatever Python there is.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
OLDEST, NEWEST = (3, 11), (3, 13)


def main():
    """Create .venv with everything pinned in requirements.lock and this course itself."""
    python = suitable_python()
    if not (VENV / "bin" / "python").exists():
        say("Making the virtual environment .venv")
        run(
            [python, "-m", "venv", str(VENV)],
            "Python could not make a virtual environment. On Debian and Ubuntu it needs a package "
            "of its own: `sudo apt install python3-venv`. Then run make again.",
        )
    say("Installing the packages of requirements.lock (minutes, the first time)")
    pip = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "-q",
    ]
    run(
        [*pip, "-r", str(ROOT / "requirements.lock")],
        "The packages could not be installed; pip says why above. Without a network: connect, or "
        "point pip to a folder of wheels (PIP_FIND_LINKS). Then run make again.",
    )
    run(
        [*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)],
        "The course itself could not be installed; pip says why above.",
    )
    if sys.platform == "linux":
        install_sandbox(pip)
    (VENV / "ready").touch()


def install_sandbox(pip):
    """Install a bubblewrap for a machine whose own is missing or too old; students need none."""
    command = [*pip, "--require-hashes", "--no-deps", "-r", str(ROOT / "sandbox.lock")]
    if subprocess.call(command) != 0:
        say(
            "There is no ready-made sandbox for this machine. To grade on it, install bubblewrap"
            " (Debian and Ubuntu: `sudo apt install bubblewrap`); all else works without."
        )


def suitable_python():
    """Return a Python of the right version: this one, or another on the PATH."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and works(found):
            return found
    version = ".".join(map(str, sys.version_info[:2]))
    stop(
        f"This course needs Python 3.11, 3.12 or 3.13; {sys.executable} is Python {version}. "
        "Install one of these, then run `make PYTHON=python3.12` with what you wanted to make."
    )


def works(python):
    """Whether an interpreter starts: a version manager's shim may stand for one not installed."""
    return subprocess.call([python, "-c", ""], stderr=subprocess.DEVNULL) == 0


def run(command, advice):
    """Run a command, or stop with advice."""
    if subprocess.call(command) != 0:
        stop(advice)


def say(message):
    """Print a line at once."""
    print(message, flush=True)


def stop(message):
    """End with a message in words."""
    sys.exit("\n" + message)


if __name__ == "__main__":
    main()
