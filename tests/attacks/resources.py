"""Attacks on time, memory, processes, disk and output."""

from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.attacks.attack import RIGHT, TOLD, WRONG, World, attack, code, notebook, slim, write
from tests.attacks.in_kernel import SEND, TRAP


@code(expected=TOLD)
def an_endless_loop(world: World) -> str:
    """Loops without end in its cell."""
    return "while True:\n    pass"


@code(expected=TOLD)
def a_loop_that_swallows_interrupts(world: World) -> str:
    """Loops without end, and swallows each interrupt."""
    return """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""


@code(expected=TOLD)
def ignored_signals(world: World) -> str:
    """Ignores all signals that can be ignored, blocks the others, and sleeps in the check."""
    return (
        TRAP
        + """
import signal, time

def spring():
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    while True:
        time.sleep(1000)
"""
    )


@code(expected=TOLD)
def a_loop_in_c(world: World) -> str:
    """Computes something in C that no interrupt reaches, in the check."""
    return TRAP + "spring = lambda: 7 ** (7 ** 11)"


@code(expected=TOLD)
def a_regular_expression_without_end(world: World) -> str:
    """Matches a regular expression that takes for ever, in the check."""
    return TRAP + "import re\nspring = lambda: re.match('(a+)+$', 'a' * 60 + 'b')"


@code(expected=TOLD)
def a_loop_at_exit(world: World) -> str:
    """Loops without end when the kernel is shut down."""
    return """
import atexit, threading

def loop():
    while True:
        pass

atexit.register(loop)
threading.Thread(target=loop).start()
"""


@code(expected=TOLD)
def a_slow_answer(world: World) -> str:
    """Takes four seconds for each case, which is within the limit for none but all of them."""
    return """
import time

def layer_norm(x, gamma, beta, eps=1e-5):
    time.sleep(4)
    return x
"""


@notebook(expected=TOLD, stock=False)
def many_slow_cells(whole: NotebookNode) -> None:
    """Adds cells each of which stays within the limit of a cell, but not of a notebook."""
    whole.cells += [new_code_cell("import time\ntime.sleep(5)") for _ in range(30)]


@code(expected=TOLD, stock=False)
def a_fork_bomb(world: World) -> str:
    """Forks without end."""
    return "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"


@code(expected=TOLD)
def many_threads(world: World) -> str:
    """Starts threads until no more can be started, in the check."""
    return (
        TRAP
        + """
import threading, time

def spring():
    for _ in range(3000):
        threading.Thread(target=time.sleep, args=(30,)).start()
"""
    )


@code(expected=TOLD, stock=False)
def a_memory_bomb(world: World) -> str:
    """Takes all the memory that it can get, and writes to it."""
    return """
kept = []
while True:
    kept.append(bytearray(b"x" * 200_000_000))
"""


@code(expected=TOLD, stock=False)
def a_memory_bomb_of_processes(world: World) -> str:
    """Takes memory in many processes at once, each of which stays below a limit."""
    return """
import os, time
for _ in range(40):
    if os.fork() == 0:
        kept = bytearray(b"x" * 500_000_000)
        time.sleep(20)
        os._exit(0)
time.sleep(4)
"""


@code(expected=TOLD, stock=False)
def memory_that_belongs_to_nobody(world: World) -> str:
    """Fills shared memory, memory files and pipes, which count for no process."""
    return """
import os
kept = []
for number in range(60):
    file = os.memfd_create(str(number))
    kept.append(file)
    for _ in range(50):
        os.write(file, bytes(1_000_000))
"""


@code(expected=TOLD)
def a_full_disk(world: World) -> str:
    """Fills the disk: its folder, /tmp and shared memory."""
    return """
block = b"x" * 50_000_000
for folder in (".", "/tmp", "/dev/shm", "/var/tmp"):
    for number in range(10):
        try:
            with open(f"{folder}/fill-{number}", "wb") as file:
                for _ in range(5):
                    file.write(block)
        except OSError as error:
            print(error)
            break
"""


@code(expected=TOLD)
def files_without_number(world: World) -> str:
    """Makes files until its time is up, for an inode each."""
    return """
import time
end = time.monotonic() + 4
number = 0
while time.monotonic() < end and number < 200_000:
    number += 1
    try:
        open(f"f{number}", "w").close()
    except OSError:
        break
"""


@code(expected=TOLD)
def a_sparse_file(world: World) -> str:
    """Makes a sparse file, small on disk and large for whoever copies it."""
    return """
for size in (2**44, 2**40, 2**36, 290_000_000):
    try:
        with open("data.npy", "wb") as file:
            file.truncate(size)
        break
    except OSError as error:
        print(error)
"""


@code(expected=TOLD)
def too_many_open_files(world: World) -> str:
    """Opens files until none can be opened, and keeps them."""
    return "kept = []\nwhile True:\n    kept.append(open('/dev/null'))"


@code(expected=TOLD)
def a_core_dump(world: World) -> str:
    """Lifts the limit on core dumps and dies with as much memory as it can."""
    return """
import os, resource
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
kept = bytearray(b"x" * 200_000_000)
os.abort()
"""


@code(expected=TOLD)
def output_without_end(world: World) -> str:
    """Prints 100 MB."""
    return "for _ in range(100):\n    print('x' * 999_999)"


@code(expected=TOLD)
def output_of_many_lines(world: World) -> str:
    """Prints a million short lines, each of them at once."""
    return "for _ in range(1_000_000):\n    print('x', flush=True)"


@code(expected=TOLD)
def output_from_the_check(world: World) -> str:
    """Prints 100 MB while it is called by the check, and to the file descriptors below it."""
    return (
        TRAP
        + """
import os

def spring():
    for _ in range(50):
        print("x" * 1_000_000)
        os.write(1, b"y" * 1_000_000)
        os.write(2, b"z" * 1_000_000)
"""
    )


@code(expected=TOLD)
def many_displays(world: World) -> str:
    """Displays 100,000 things with ids, and updates each of them."""
    return (
        SEND
        + """
for number in range(20_000):
    about = {"data": {"text/plain": "x"}, "metadata": {}, "transient": {"display_id": "same"}}
    send("display_data", about)
    if number % 100 == 0:
        send("update_display_data", about)
"""
    )


@code(expected=TOLD)
def a_picture_of_fifty_megabytes(world: World) -> str:
    """Displays a picture of 50 MB."""
    return SEND + 'send("display_data", {"data": {"image/png": "A" * 50_000_000}, "metadata": {}})'


@code(expected=TOLD)
def an_answer_of_gigabytes(world: World) -> str:
    """Returns arrays of 400 MB for each case."""
    return """
def layer_norm(x, gamma, beta, eps=1e-5):
    return np.zeros((50_000_000,))
"""


@code(expected=TOLD)
def an_answer_that_is_a_bomb(world: World) -> str:
    """Returns a view with more entries than there is memory, which a copy would fill."""
    return """
def layer_norm(x, gamma, beta, eps=1e-5):
    return np.broadcast_to(np.float64(1), (2**31, 64))
"""


@code(expected=TOLD)
def an_ansi_bomb(world: World) -> str:
    """Prints a million changes of colour, each of which a page has to close."""
    return "print(''.join(f'\\x1b[{n % 7 + 31};1mx' for n in range(300_000)))"


@code(expected=TOLD)
def a_line_of_carriage_returns(world: World) -> str:
    """Prints backspaces and carriage returns, for whoever cleans them up."""
    return "print('x' * 50_000 + '\\b' * 100_000 + 'y\\r' * 50_000)"


@code(expected=TOLD)
def a_progress_bar_of_widgets(world: World) -> str:
    """Opens 2,000 widgets, the state of each of which is kept in the notebook."""
    return (
        SEND
        + """
for number in range(2_000):
    state = {"_model_module": "x", "_model_name": "y", "value": "z" * 5_000}
    data = {"state": state, "buffer_paths": []}
    send("comm_open", {"data": data, "comm_id": str(number), "target_name": "jupyter.widget"})
"""
    )


@attack(expected=TOLD)
def a_notebook_of_fifty_megabytes(folder: Path, world: World) -> None:
    """Hands in a notebook whose source is a comment of 50 MB."""
    write(folder, slim(f"{WRONG}\n# " + "x" * 50_000_000))


@attack(expected=TOLD)
def a_line_of_a_million_characters(folder: Path, world: World) -> None:
    """Hands in a line of a million characters that is hard to highlight."""
    write(folder, slim(WRONG + "kept = " + "[" * 80 + "f'" + "{0}" * 100_000 + "'" + "]" * 80))


@attack(expected=TOLD)
def a_thousand_large_files(folder: Path, world: World) -> None:
    """Ships 2,000 files, and a sparse one that is large."""
    for number in range(2_000):
        (folder / f"data-{number}").write_text("x")
    with (folder / "large").open("wb") as file:
        file.truncate(200_000_000)
    write(folder, slim(WRONG))


@code(expected=TOLD, work=RIGHT, honest_score=10.0)
def right_work_that_warns_without_end(world: World) -> str:
    """Right work with 5,000 warnings on stderr, which stock nbgrader takes for a failure."""
    return """
import sys, warnings
honest = layer_norm

def layer_norm(x, gamma, beta, eps=1e-5):
    for number in range(500):
        warnings.warn(f"warning {number}")
        print("careful", file=sys.__stderr__)
    return honest(x, gamma, beta, eps)
"""
