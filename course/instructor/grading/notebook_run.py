"""Running a submission's cells one by one in a kernel, whatever they do."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from itertools import groupby
from types import TracebackType
from typing import Any

from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode, v4
from traitlets.config import Config

from course.instructor.grading.kernel import (
    MESSAGE_BYTES,
    MachineFullError,
    SandboxKernelManager,
    most_memory,
)
from course.instructor.grading.sandbox import MIB
from course.instructor.text_notebook import KERNEL

# Bytes of output that are kept of one cell. An honest figure takes some 100 KB.
CELL_OUTPUT = 2 * 1024**2

# Seconds in which a kernel that was interrupted must say something, or that a cell has ended.
PATIENCE = 5

# Seconds past a notebook's time after which its kernel ends, whatever is being waited for.
GRACE = 30

TOO_MUCH = "Output left out: this cell printed or showed more than can be kept.\n"

# A log of its own. nbclient logs every message of the kernel, inputs and answers of the cases
# among them, and the formgrader would show that to whoever presses its button.
_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())

# What may become a cell's output. Widgets talk in other messages, and there is nobody to move them.
_OUTPUTS = ("stream", "display_data", "execute_result", "error", "clear_output")


class NotebookRun(NotebookClient):
    """A kernel that is asked to run one cell after the other, until it cannot.

    Use it as a context manager. Once `stopped` is a sentence, the kernel runs nothing more. When it
    has ended, `most_memory` is what it used at most, in bytes.
    """

    def __init__(self, *, cell_timeout: int, timeout: int, trusted: bool = False) -> None:
        """Take the limits.

        Args:
            cell_timeout: seconds for one cell.
            timeout: seconds for all.
            trusted: whether to use a kernel without the sandbox.
        """
        config = Config()
        config.NotebookClient.interrupt_on_timeout = True
        config.NotebookClient.error_on_timeout = {
            "ename": "TimeoutError",
            "evalue": f"The cell was stopped after {cell_timeout} seconds.",
            "traceback": [f"TimeoutError: The cell was stopped after {cell_timeout} seconds."],
        }
        config.NotebookClient.allow_errors = True
        config.NotebookClient.record_timing = False
        # Without the word that a cell has ended, nothing of the next ones would be heard either.
        config.NotebookClient.raise_on_iopub_timeout = True
        config.NotebookClient.iopub_timeout = PATIENCE
        config.NotebookClient.shutdown_kernel = "immediate"
        if trusted:
            config.NotebookClient.kernel_name = KERNEL["name"]
            config.NotebookClient.extra_arguments = ["--IPKernelApp.log_level=ERROR"]
        else:
            config.NotebookClient.kernel_manager_class = SandboxKernelManager
        super().__init__(v4.new_notebook(), config=config, log=_LOG)
        self.stopped = ""
        self.most_memory = 0
        self.timeout_func = self._seconds_left
        self._cell_timeout, self._notebook_timeout = cell_timeout, timeout
        self._received, self._timed_out = 0, False

    def __enter__(self) -> "NotebookRun":
        """Start the kernel.

        Raises:
            RuntimeError: it does not start, which is no fault of a submission.
        """
        self._setup = self.setup_kernel()
        self._setup.__enter__()
        self._deadline = time.monotonic() + self._notebook_timeout
        # A thread, for a hostile kernel might find a way to keep this one waiting.
        self._last_resort = threading.Timer(self._notebook_timeout + GRACE, self._end_kernel)
        self._last_resort.daemon = True
        self._last_resort.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the kernel and all that it started."""
        self._last_resort.cancel()
        self._end_kernel()  # Jupyter would ask it to end, and look now and then whether it did
        self._setup.__exit__(kind, error, at)

    def outputs_of(self, source: str) -> list[NotebookNode]:
        """Run a cell's source; return its outputs, which may hold anything.

        Raises:
            MachineFullError: the machine has no memory left to grade with.
        """
        if self.stopped:
            return []
        cell = v4.new_code_cell(source)
        # A notebook of this one cell, so that no message can reach another's outputs.
        self.nb.cells = [cell]
        self.reset_execution_trackers()
        self._received, self._timed_out = 0, False
        if time.monotonic() > self._deadline:
            self._stop(f"The notebook took longer than {self._notebook_timeout} seconds in all.")
            return []
        try:
            self.execute_cell(cell, 0)
            if self._timed_out and not self._responds():
                raise TimeoutError
        except DeadKernelError:
            self._stop(
                "The kernel ended while this ran: `exit`, a crash, or memory it cannot have."
            )
        except TimeoutError:
            self._stop(
                f"A cell ran longer than {self._cell_timeout} seconds and went on when it was"
                " interrupted."
                if self._timed_out
                else "The kernel did not say that the cell had ended, or showed more than"
                f" {MESSAGE_BYTES // MIB} MB at once."
            )
        except Exception as error:
            # A kernel may send anything; what cannot be read is no reason to stop grading.
            self._stop(f"The kernel sent what cannot be read ({type(error).__name__}).")
        return list(_merged(cell.outputs))

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Take a message of the kernel into a cell's outputs, as long as there is room."""
        if msg["msg_type"] == "status":
            return super().process_message(msg, cell, cell_index)
        if msg["msg_type"] not in _OUTPUTS:
            return None
        before, self._received = self._received, self._received + len(json.dumps(msg["content"]))
        if self._received > CELL_OUTPUT:
            if before <= CELL_OUTPUT:
                cell.outputs.append(v4.new_output("stream", name="stdout", text=TOO_MUCH))
            return None
        return super().process_message(msg, cell, cell_index)

    async def _async_check_alive(self) -> None:
        if self.kc is None:  # looked for once more after the run's end
            raise DeadKernelError("The kernel has been ended.")
        await super()._async_check_alive()

    async def _async_handle_timeout(
        self, timeout: int, cell: NotebookNode | None = None
    ) -> dict[str, Any] | None:
        self._timed_out = True
        reply: dict[str, Any] | None = await super()._async_handle_timeout(timeout, cell)
        if cell is not None and reply:
            cell.outputs.append(v4.new_output("error", **self.error_on_timeout))
        return reply

    def _seconds_left(self, _: NotebookNode) -> int:
        left = self._deadline - time.monotonic()
        return max(1, min(self._cell_timeout, round(left)))

    def _responds(self) -> bool:
        """Whether the kernel answers a question that takes no time."""
        assert self.kc is not None
        asked = self.kc.kernel_info()
        until = time.monotonic() + PATIENCE
        while (left := until - time.monotonic()) > 0:
            try:
                reply = run_sync(self.kc.shell_channel.get_msg)(timeout=left)
            except Exception:
                return False  # nothing came, or nothing that can be read
            if reply["parent_header"].get("msg_id") == asked:
                return True
        return False

    def _stop(self, reason: str) -> None:
        self._end_kernel()
        provisioner = self._provisioner
        if getattr(provisioner, "machine_full", False):
            raise MachineFullError(
                "This machine has no memory left, so the kernel was ended. That need not be the"
                " fault of this submission: run grading again when less else is running."
            )
        self.stopped = getattr(provisioner, "ended_because", "") or reason

    def _end_kernel(self) -> None:
        process = getattr(self._provisioner, "process", None)
        if process is not None:
            self.most_memory = max(self.most_memory, most_memory(process.pid))
            process.kill()

    @property
    def _provisioner(self) -> Any:
        assert self.km is not None
        return self.km.provisioner


def _merged(outputs: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Outputs with what was printed in a row as one; nbclient takes hours for a long line."""
    for (kind, name), group in groupby(outputs, lambda one: (one.output_type, one.get("name"))):
        if kind == "stream":
            text = "".join(str(output.get("text", "")) for output in group)
            yield NotebookNode(output_type="stream", name=name, text=text)
        else:
            yield from group
