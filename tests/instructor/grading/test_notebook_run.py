"""A kernel does what it likes; what runs it goes on, in bounded time and memory."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from course.instructor.grading import kernel, notebook_run
from course.instructor.grading.kernel import MachineFullError
from course.instructor.grading.notebook_run import CELL_OUTPUT, NotebookRun
from course.instructor.grading.sandbox import MIB, Limits
from course.instructor.grading.warm import WarmProcess, warm_process


@pytest.fixture(scope="module")
def small() -> Iterator[WarmProcess]:
    limits = Limits(memory=900 * MIB, processes=60, files=16 * MIB, file_count=3000)
    with closing(WarmProcess(limits)) as warm:
        yield warm


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, small: WarmProcess) -> Iterator[NotebookRun]:
    monkeypatch.setattr(notebook_run, "PATIENCE", 2)
    monkeypatch.setattr(kernel, "warm_process", lambda: small)
    with NotebookRun(cell_timeout=3, timeout=60) as run:
        yield run


def text(run: NotebookRun, source: str) -> str:
    return str(run.outputs_of(source))


def test_cells_share_one_kernel_and_show_what_they_show(run: NotebookRun) -> None:
    assert run.outputs_of("x = 6") == []
    shown = run.outputs_of("print('a'); print('b'); x * 7")
    assert [output.get("text") or output.data["text/plain"] for output in shown] == ["a\nb\n", "42"]
    assert not run.stopped


def test_an_error_stops_its_cell_and_no_other(run: NotebookRun) -> None:
    assert "ZeroDivisionError" in text(run, "1 / 0")
    assert "'2'" in text(run, "1 + 1")


def test_a_cell_that_takes_too_long_is_interrupted_and_the_next_runs(run: NotebookRun) -> None:
    assert "was stopped after 3 seconds" in text(run, "print('first')\nwhile True: pass")
    assert "'2'" in text(run, "1 + 1")
    assert not run.stopped


SWALLOWS = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True:
    pass
"""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (SWALLOWS, "went on when it was interrupted"),
        ("import os; os._exit(0)", "The kernel ended"),
        ("import ctypes; ctypes.string_at(0)", "The kernel ended"),
        ("import os, time\nfor _ in range(3):\n    if not os.fork():\n"
         "        held = bytearray(b'x') * (350 * 2**20)\n        break\ntime.sleep(60)",
         "more than 0.879 GiB of memory"),
        ("import os\nfiles = [os.memfd_create('a') for _ in range(70)]\n"
         "for f in files: os.write(f, bytes(15 * 2**20))\nimport time; time.sleep(60)",
         "more than 0.879 GiB of memory"),
    ],
    ids=["ignores interrupts", "exits", "crashes", "memory of three processes",
         "files without names"],
)  # fmt: skip
def test_a_kernel_that_cannot_go_on_stops_with_a_reason(
    run: NotebookRun, source: str, reason: str
) -> None:
    run.outputs_of("print('before')")
    run.outputs_of(source)
    assert reason in run.stopped
    assert run.outputs_of("1 + 1") == []


@pytest.mark.parametrize(
    "source",
    [
        "bytearray(1000 * 2**20)",
        "open('full', 'wb').write(bytes(20 * 2**20))",
        "for i in range(10**6): open(f'{i}', 'w').close()",
        "import subprocess; subprocess.run(['true'])",
        "import os\nwhile True:\n    if not os.fork():\n        import time; time.sleep(30)",
        "import socket; socket.create_connection(('127.0.0.1', 1), 1)",
    ],
)
def test_a_limit_is_an_error_in_the_students_own_code(run: NotebookRun, source: str) -> None:
    assert "'output_type': 'error'" in text(run, source)
    assert "'2'" in text(run, "1 + 1")


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGSTOP", "SIGTERM"])
@pytest.mark.parametrize("target", ["os.getpid()", "os.getppid()", "0", "-1"])
def test_a_kernel_can_signal_neither_itself_away_nor_what_it_was_forked_from(
    run: NotebookRun, small: WarmProcess, target: str, signal: str
) -> None:
    run.outputs_of(f"import os, signal; os.kill({target}, signal.{signal})")
    assert "'2'" in text(run, "1 + 1")
    assert not run.stopped
    assert small.lives
    assert small.fork(["-c", ""]).ended(5)


def test_a_warm_process_that_has_ended_is_made_anew() -> None:
    first = warm_process()
    assert warm_process() is first
    first.close()
    with NotebookRun(cell_timeout=3, timeout=60) as run:
        assert "'2'" in text(run, "1 + 1")
    assert warm_process() is not first


@pytest.mark.parametrize(
    "source",
    [
        "print('x' * 10**8)",
        "print('x' * 1_500_000)",
        "for _ in range(3000): print('x' * 10**5)",
        "from IPython.display import display\nfor _ in range(10**4): display('x' * 1000)",
        "import sys\nfor _ in range(100): sys.stderr.write('x' * 10**6)",
    ],
)
def test_output_without_end_is_cut(run: NotebookRun, source: str) -> None:
    outputs = run.outputs_of(source)
    assert len(str(outputs)) < 2 * CELL_OUTPUT
    assert not run.stopped
    assert "'2'" in text(run, "1 + 1")


def test_all_is_heard_of_a_cell_that_shows_much_at_once(run: NotebookRun) -> None:
    source = "from IPython.display import display\nfor i in range(900): display(i)"
    assert [output.data["text/plain"] for output in run.outputs_of(source)] == [
        str(number) for number in range(900)
    ]


def test_what_a_kernel_writes_past_jupyter_holds_up_no_other(small: WarmProcess) -> None:
    flood = small.fork(["-c", "import os\nfor _ in range(1000): os.write(2, bytes(1000))"])
    assert flood.ended(5)


SEND = """
from ipykernel.kernelapp import IPKernelApp
kernel = IPKernelApp.instance().kernel
def send(kind, content):
    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())
"""


@pytest.mark.parametrize(
    "message",
    [
        "send('stream', {})",
        "send('status', {})",
        "send('display_data', {'data': 3, 'metadata': []})",
        "send('execute_result', {'data': {'text/plain': 10.0}})",
        "send('error', {})",
        "send('error', {'ename': 1, 'evalue': [], 'traceback': 'x'})",
        "send('comm_open', {})",
        "send('update_display_data', {'transient': 3})",
        "send('display_data', {'transient': {'display_id': []}, 'data': {}, 'metadata': {}})",
        "send('display_data', {'data': {'text/plain': 10**5000}, 'metadata': {}})",
        "send('clear_output', None)",
        "kernel.iopub_socket.send_multipart([b'a', b'b'])",
        "nested = []\nfor _ in range(10**5): nested = [nested]\n"
        "kernel.session.send(kernel.iopub_socket, 'stream', parent=kernel.get_parent(),"
        " content={'name': 'stdout', 'text': 'x'}, buffers=[b'x' * 10**7])",
    ],
)
def test_a_message_that_means_nothing_stops_at_most_its_kernel(
    run: NotebookRun, message: str
) -> None:
    run.outputs_of(SEND)
    run.outputs_of(message)
    assert "'2'" in text(run, "1 + 1") or "cannot be read" in run.stopped


def test_more_at_once_than_can_be_taken_stops_the_kernel_with_a_reason(run: NotebookRun) -> None:
    run.outputs_of(SEND)
    run.outputs_of("kernel.iopub_socket.send_multipart([bytes(129 * 2**20)])")
    assert "showed more than 128 MB at once" in run.stopped
    assert run.outputs_of("1 + 1") == []


def test_no_message_changes_what_an_earlier_cell_showed(run: NotebookRun) -> None:
    source = "from IPython.display import display\nshown = display('0.0', display_id='score')"
    before = run.outputs_of(source)
    after = run.outputs_of("shown.update('10.0')")
    assert "0.0" in str(before)
    assert "10.0" not in str(before) + str(after)


def test_a_notebook_has_a_time_of_its_own() -> None:
    with NotebookRun(cell_timeout=10, timeout=3) as run:
        run.outputs_of("import time; time.sleep(2.9)")
        run.outputs_of("time.sleep(2)")
        assert run.outputs_of("1") == []
        assert "longer than 3 seconds in all" in run.stopped


def test_a_full_machine_is_no_fault_of_the_submission(
    run: NotebookRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "SPARE_MEMORY", 2**60)
    with pytest.raises(MachineFullError, match="no memory left"):
        run.outputs_of("import time; time.sleep(2)")


def test_nothing_of_a_kernel_is_left_when_it_has_ended(
    monkeypatch: pytest.MonkeyPatch, small: WarmProcess
) -> None:
    monkeypatch.setattr(kernel, "warm_process", lambda: small)
    inside = psutil.Process(small.pid)
    with NotebookRun(cell_timeout=3, timeout=60) as run:
        run.outputs_of("import os, time\nif not os.fork():\n    os.setsid()\n    time.sleep(600)")
        assert len(inside.children(recursive=True)) > 4
    until = time.monotonic() + 5
    while len(inside.children(recursive=True)) > 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(inside.children(recursive=True)) == 2  # the warm process, and bubblewrap's own


def test_two_kernels_do_not_see_each_other_and_have_other_numbers_ahead(
    monkeypatch: pytest.MonkeyPatch, small: WarmProcess
) -> None:
    monkeypatch.setattr(kernel, "warm_process", lambda: small)
    look = "import os, numpy as np\nprint(sorted(os.listdir('/tmp')), os.listdir('/proc/1/fd')[:0])"
    with (
        NotebookRun(cell_timeout=5, timeout=60) as one,
        NotebookRun(cell_timeout=5, timeout=60) as other,
    ):
        one.outputs_of("open('/tmp/mine', 'w').close(); import torch; torch.mine = 1")
        assert "mine" not in text(other, look)
        assert "AttributeError" in text(other, "import torch; torch.mine")
        assert text(one, "np.random.rand(4)") != text(other, "np.random.rand(4)")
        assert "[1]" in text(other, "sorted(int(p) for p in os.listdir('/proc') if p.isdigit())")


def test_a_trusted_submission_runs_without_the_sandbox(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with NotebookRun(cell_timeout=5, timeout=60, trusted=True) as run:
        run.outputs_of(f"open({str(mark)!r}, 'w').close()")
    assert mark.exists()
