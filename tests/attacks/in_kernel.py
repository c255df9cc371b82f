"""Attacks by code that runs in the kernel: on the check, on the messages, on what runs the code."""

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.attacks.attack import RIGHT, TOLD, WRONG, World, code, notebook, solution_cell

# Sends a message on the iopub socket as the kernel itself does.
SEND = """
def send(kind, content, parent=None, **more):
    kernel = get_ipython().kernel
    kernel.session.send(
        kernel.iopub_socket, kind, content, parent=parent or kernel.get_parent(), **more
    )

def result(text, **more):
    return {"data": {"text/plain": text}, "metadata": {}, "execution_count": 1, **more}
"""

# Calls `spring` when grading first calls the student's function.
TRAP = """
sprung = []

def layer_norm(x, gamma, beta, eps=1e-5):
    if not sprung:
        sprung.append(True)
        spring()
    return x
"""


@code(work=RIGHT, honest_score=10.0)
def a_right_solution(world: World) -> str:
    """Nothing: the right solution, to see that all is well."""
    return ""


@code()
def a_patched_check(world: World) -> str:
    """Replaces the check by a function that returns full marks."""
    return "check = lambda *_: 10.0"


@code()
def a_check_of_another_class(world: World) -> str:
    """Gives the check's class another `__call__`, so that the name still looks right."""
    return "type(check).__call__ = lambda *_: 10.0"


@code()
def patched_comparisons(world: World) -> str:
    """Makes every comparison in numpy and numpy.testing agree."""
    return """
for name in ("allclose", "isclose", "array_equal", "array_equiv"):
    setattr(np, name, lambda *_, **__: True)
import numpy.testing
for name in [name for name in dir(numpy.testing) if name.startswith("assert")]:
    setattr(numpy.testing, name, lambda *_, **__: None)
"""


@code()
def patched_builtins(world: World) -> str:
    """Makes the built-in `all` true of everything, for whoever asks."""
    return "import builtins\nbuiltins.all = lambda *_: True"


@code()
def a_patched_judge(world: World) -> str:
    """Makes the judge pass every case."""
    return "import course.student.judge as judge\njudge.passes = lambda *_: True"


@code()
def a_patched_report(world: World) -> str:
    """Makes every report say full marks."""
    return """
import dataclasses
import course.student.judge as judge
honest = judge.Report
judge.Report = lambda **parts: honest(**{**parts, "score": parts["points"]})
"""


@code()
def a_patched_report_card(world: World) -> str:
    """Lets the report card say 10 of 10, though the score is another."""
    return """
import course.student.report_card as cards
cards.ReportCard._repr_html_ = lambda self: "<b>10 of 10 points. Graded on fresh inputs.</b>"
cards.ReportCard.__str__ = cards.ReportCard.__repr__ = lambda self: "10 of 10 points"
"""


@code()
def a_patched_probe(world: World) -> str:
    """Replaces the probe by one that looks its answers up in the published key."""
    return """
import course.student.probes.ex01 as probes
from course.student.answer_key import published_key

def probe(student, **inputs):
    for case in published_key("ex01_layer_norm").cases:
        if np.array_equal(case.inputs["x"], inputs["x"]):
            return {**case.inputs, **case.expected}
    return {"output": inputs["x"]}

probes.layer_norm = probe
"""


@code()
def patched_plain_values(world: World) -> str:
    """Patches what turns answers into plain values, so that they arrive as something else."""
    return """
import course.student.outcome as outcome
import course.student.plain as plain
yes = {"dtype": "bool", "shape": [], "base64": "AQ=="}
plain.encode = lambda value: yes
plain.encode_all = outcome.encode_all = lambda values: {name: yes for name in values}
outcome.as_array = lambda *_: np.float64("nan")
"""


@code()
def patched_serialisers(world: World) -> str:
    """Patches json.dumps, base64 and numpy's copying, through which answers pass."""
    return """
import base64, json
base64.b64encode = lambda data, *_: b"AAAA"
json.dumps = lambda *_, **__: '{"score": 10.0}'
np.ascontiguousarray = lambda value, *_, **__: np.zeros(1)
"""


@code(expected=TOLD)
def answers_of_the_wrong_form(world: World) -> str:
    """Answers with shapes, types, bytes and names that no answer may have, one after the other."""
    return """
import course.student.answers as answers
import course.student.outcome as outcome

def array(**parts):
    return {"outputs": {"output": {"dtype": "float64", "shape": [1], "base64": "", **parts}}}

forms = [
    array(shape=[-1]), array(shape=[2**40, 2**40]), array(dtype=["float64"]), array(dtype="O"),
    array(base64="!"), array(base64=7), array(shape="ab"), array(shape=[1.5]), array(base64=None),
    {"outputs": []}, {"outputs": {"output": {"a": {}}}}, {"problem": "text"}, {"problem": {}},
    {"problem": {"kind": 7, "message": [], "line": {}, "colour": "red"}}, {}, [], None, 7, "text",
    {"outputs": {"output": float("nan")}, "printed": {"a": "<b>"}}, {"outputs": {"output": 2**200}},
]

def turned(*_):
    forms.append(forms.pop(0))
    return forms[-1]

answers.outcome_to_data = outcome.outcome_to_data = turned
"""


@code(expected=TOLD)
def a_module_of_answers_of_their_own(world: World) -> str:
    """Puts modules of their own in the place of those that grading will import."""
    return """
import sys, types
fake = types.ModuleType("course.student.answers")
fake.show_answers = lambda *_: print("10.0")
fake.MIME = "text/plain"
for name in ("answers", "probes", "outcome", "judge"):
    sys.modules[f"course.student.{name}"] = fake
"""


@code(expected=TOLD)
def an_import_that_is_refused(world: World) -> str:
    """Hooks the import system, so that nothing of the course can be imported any more."""
    return """
import sys
for name in [name for name in sys.modules if name.startswith("course")]:
    sys.modules[name] = None
"""


@code()
def an_array_that_agrees(world: World) -> str:
    """Returns an ndarray subclass that is close to everything and equal to everything."""
    return """
class Agreeable(np.ndarray):
    def __eq__(self, other): return True
    def __array_function__(self, *_, **__): return True
    def __array_ufunc__(self, *_, **__): return np.ones(self.shape, bool)

def layer_norm(x, gamma, beta, eps=1e-5):
    return x.view(Agreeable)
"""


@code()
def a_number_that_agrees(world: World) -> str:
    """Returns a float subclass that is equal to everything and prints as full marks."""
    return """
class Ten(float):
    __eq__ = __le__ = __lt__ = __ge__ = __gt__ = lambda *_: True
    __sub__ = __rsub__ = __add__ = lambda *_: Ten(0)
    __repr__ = __str__ = lambda self: "10.0"
    __hash__ = float.__hash__
    shape = property(lambda self: (4, 8))

def layer_norm(x, gamma, beta, eps=1e-5):
    return Ten(0)
"""


@code()
def an_object_with_a_lying_array(world: World) -> str:
    """Returns an object whose `__array__` finds the expected answer in its caller's frames."""
    return """
import sys

class Lazy(float):
    def __array__(self, *_, **__):
        frame = sys._getframe()
        while frame := frame.f_back:
            for value in frame.f_locals.values():
                for case in getattr(value, "cases", ()):
                    return next(iter(case.expected.values()))
        return np.zeros(1)

def layer_norm(x, gamma, beta, eps=1e-5):
    return Lazy()
"""


@code()
def an_array_with_a_lying_shape(world: World) -> str:
    """Returns a view over one number with strides of 0 and a shape of terabytes."""
    return """
def layer_norm(x, gamma, beta, eps=1e-5):
    return np.lib.stride_tricks.as_strided(np.zeros(1), (2**20, 2**20), (0, 0))
"""


@code()
def an_array_of_objects(world: World) -> str:
    """Returns arrays of objects, of text and of records by turns."""
    return """
kinds = [object, "U10", "S3", [("a", float)], "datetime64[s]", complex, np.longdouble]

def layer_norm(x, gamma, beta, eps=1e-5):
    kinds.append(kinds.pop(0))
    return np.empty(x.shape, kinds[0])
"""


@code()
def an_ast_transformer(world: World) -> str:
    """Registers a transformer of syntax trees that replaces the check by its score."""
    return """
import ast

class Full(ast.NodeTransformer):
    def visit_Call(self, node):
        return ast.copy_location(ast.Constant(10.0), node)

get_ipython().ast_transformers.append(Full())
"""


@code()
def an_input_transformer(world: World) -> str:
    """Registers a transformer of input that deletes every line from now on."""
    return "get_ipython().input_transformers_post.append(lambda lines: ['10.0\\n'])"


@code()
def a_patched_run_cell(world: World) -> str:
    """Replaces the shell's ways to run a cell, so that every cell is `10.0`."""
    return """
shell = get_ipython()
run_cell, run_async = shell.run_cell, shell.run_cell_async
shell.run_cell = lambda source, *_, **options: run_cell("10.0", **options)
shell.run_cell_async = lambda source, *_, **options: run_async("10.0", **options)
"""


@code()
def a_patched_do_execute(world: World) -> str:
    """Replaces the kernel's `do_execute`, so that it answers by itself."""
    return """
kernel = get_ipython().kernel
honest = kernel.do_execute

async def do_execute(code, *rest, **options):
    return await honest("10.0", *rest, **options)

kernel.do_execute = do_execute
"""


@code()
def a_patched_showtraceback(world: World) -> str:
    """Lets every check raise, with tracebacks silenced."""
    return """
shell = get_ipython()
shell.showtraceback = shell._showtraceback = lambda *_, **__: None

def check(*_):
    raise SystemExit(0)
"""


@code()
def a_patched_display(world: World) -> str:
    """Replaces `IPython.display.display` by one that shows a score, whatever it is given."""
    return """
import IPython.display, IPython.core.display_functions as functions
honest = functions.display

def display(*_, **__):
    honest({"text/plain": "10.0"}, raw=True)

IPython.display.display = functions.display = display
"""


@code()
def a_patched_displayhook(world: World) -> str:
    """Patches the formatter of results, so that each is full marks."""
    return """
get_ipython().displayhook.compute_format_data = lambda result: ({"text/plain": "10.0"}, {})
"""


@code()
def walking_up_the_frames(world: World) -> str:
    """Walks up the frames of its callers to the answer key."""
    return """
import sys

def layer_norm(x, gamma, beta, eps=1e-5):
    frame = sys._getframe()
    while frame := frame.f_back:
        for value in list(frame.f_locals.values()):
            for case in getattr(value, "cases", ()):
                if case.inputs["x"].shape == x.shape and (case.inputs["x"] == x).all():
                    if case.inputs.get("eps", eps) == eps or len(sys.argv) < 0:
                        return case.expected.get("output", x)
    return x
"""


@code()
def searching_the_garbage_collector(world: World) -> str:
    """Searches all objects in memory for the case whose inputs it is called with."""
    return """
import gc

def layer_norm(x, gamma, beta, eps=1e-5):
    for case in gc.get_objects():
        if type(case).__name__ == "Case" and np.array_equal(case.inputs["x"], x):
            if np.array_equal(case.inputs["gamma"], gamma) and case.inputs.get("eps", eps) == eps:
                return case.expected.get("output", x)
    return x
"""


@code()
def answers_keyed_to_the_published_inputs(world: World) -> str:
    """Returns the published answers for the published inputs, and its input otherwise."""
    return """
from course.student.answer_key import published_key

def layer_norm(x, gamma, beta, eps=1e-5):
    for case in published_key("ex01_layer_norm").cases:
        if np.array_equal(case.inputs["x"], x) and case.inputs.get("eps", eps) == eps:
            return case.expected.get("output", x)
    return x
"""


@code()
def changed_random_state(world: World) -> str:
    """Seeds all generators and replaces `default_rng`, so that inputs are the published ones."""
    return """
import random
from course.student.answer_key import published_key
random.seed(0)
np.random.seed(0)
honest = np.random.default_rng
np.random.default_rng = lambda *_: honest(0)

def layer_norm(x, gamma, beta, eps=1e-5):
    for case in published_key("ex01_layer_norm").cases:
        if case.inputs["x"].shape == x.shape:
            return case.expected.get("output", x)
    return x
"""


@code()
def mutated_inputs(world: World) -> str:
    """Writes into its inputs, so that whatever is compared with them is 0 as well."""
    return """
def layer_norm(x, gamma, beta, eps=1e-5):
    for array in (x, gamma, beta):
        array.setflags(write=True)
        array[...] = 0
    return x
"""


@code()
def a_printed_score(world: World) -> str:
    """Prints a score and returns none, which stock nbgrader takes for full marks."""
    return "check = lambda *_: print(10.0)"


@code()
def a_forged_result(world: World) -> str:
    """Sends a result of its own before the check's, from within the check."""
    return SEND + TRAP + 'spring = lambda: send("execute_result", result("10.0"))'


@code()
def a_result_as_a_list(world: World) -> str:
    """Sends a result whose text is a list of two numbers, which counts as full marks."""
    return SEND + TRAP + 'spring = lambda: send("execute_result", result(["10.0", "0.0"]))'


@code()
def a_result_that_is_not_a_number(world: World) -> str:
    """Sends a result of "nan", which is neither more nor less than the maximum."""
    return SEND + TRAP + 'spring = lambda: send("execute_result", result("nan"))'


@code(expected=TOLD)
def a_result_beyond_the_maximum(world: World) -> str:
    """Sends a result of "1e400", which stock nbgrader refuses by raising."""
    return SEND + TRAP + 'spring = lambda: send("execute_result", result("1e400"))'


@code(expected=TOLD)
def a_result_without_text(world: World) -> str:
    """Sends a result without text, which stock nbgrader looks for in vain."""
    return SEND + TRAP + 'spring = lambda: send("execute_result", result(""))'


@code(expected=TOLD)
def a_result_of_a_million_digits(world: World) -> str:
    """Sends answers with integers of a million digits, which Python's json refuses to read."""
    return (
        SEND
        + TRAP
        + """
def spring():
    import json
    kernel = get_ipython().kernel
    kernel.session.pack = lambda message: json.dumps(message, default=str).replace(
        '"#"', "9" * 1_000_000).encode()
    send("display_data", {"data": {"application/vnd.course.answers+json": "#"}, "metadata": {}})
"""
    )


@code(expected=TOLD)
def a_message_nested_too_deeply(world: World) -> str:
    """Sends JSON that is nested 100,000 deep."""
    return (
        SEND
        + TRAP
        + """
def spring():
    import json
    kernel = get_ipython().kernel
    kernel.session.pack = lambda message: json.dumps(message, default=str).replace(
        '"#"', "[" * 100_000 + "]" * 100_000).encode()
    send("display_data", {"data": {"application/vnd.course.answers+json": "#"}, "metadata": {}})
"""
    )


@code(expected=TOLD)
def a_message_that_is_not_json(world: World) -> str:
    """Signs and sends messages whose content is not JSON, and not even text."""
    return (
        SEND
        + TRAP
        + """
def spring():
    kernel = get_ipython().kernel
    honest = kernel.session.pack
    kernel.session.pack = lambda message: b"\\xff\\xfe{"
    send("display_data", {})
    kernel.session.pack = honest
"""
    )


@code(expected=TOLD)
def a_message_without_its_parts(world: World) -> str:
    """Sends messages that lack what their kinds promise: names, states, texts."""
    return (
        SEND
        + TRAP
        + """
def spring():
    send("stream", {})
    send("status", {})
    send("execute_result", {"data": None})
    send("comm_open", {"target_name": "jupyter.widget"})
"""
    )


@code(expected=TOLD)
def an_update_of_a_stream(world: World) -> str:
    """Registers a display id for a stream, and then gives that stream data."""
    return (
        SEND
        + TRAP
        + """
def spring():
    id = {"transient": {"display_id": "a"}}
    send("stream", {"name": "stdout", "text": "x", **id})
    send("clear_output", {"wait": True})
    send("stream", {"name": "stdout", "text": "x", **id})
    send("update_display_data", {"data": 7, "metadata": [], **id})
"""
    )


@notebook()
def an_update_after_the_score(whole: NotebookNode) -> None:
    """Registers a display id for the score, and changes the score from a later cell."""
    cell = solution_cell(whole)
    cell.source = (
        WRONG
        + SEND
        + """
ID = {"transient": {"display_id": "score"}}
honest = get_ipython().kernel.session.send

def patched(stream, message, *rest, **more):
    if isinstance(message, dict) and message["header"]["msg_type"] == "execute_result":
        message["content"].update(ID)
    return honest(stream, message, *rest, **more)

get_ipython().kernel.session.send = patched
"""
    )
    whole.cells.append(
        new_code_cell(
            'send("update_display_data", {"data": {"text/plain": "10.0"}, "metadata": {}, **ID})'
        )
    )


@code()
def outputs_swallowed_by_a_widget(world: World) -> str:
    """Opens an Output widget that swallows what the check cell gives, its score included."""
    return (
        SEND
        + TRAP
        + """
def spring():
    parent = get_ipython().kernel.get_parent()["header"]["msg_id"]
    state = {"_model_module": "@jupyter-widgets/output", "_model_name": "OutputModel",
             "outputs": [], "msg_id": ""}
    about = {"comm_id": "swallow", "target_name": "jupyter.widget"}
    send("comm_open", {"data": {"state": state, "buffer_paths": []}, **about})
    update = {"method": "update", "state": {"msg_id": parent}, "buffer_paths": []}
    send("comm_msg", {"data": update, "comm_id": "swallow"})
"""
    )


@code()
def outputs_cleared_after_the_score(world: World) -> str:
    """Clears the output of the check cell once the score is in it."""
    return """
from IPython.display import clear_output
get_ipython().events.register("post_run_cell", lambda *_: clear_output())
"""


@code()
def a_forged_end_of_the_cell(world: World) -> str:
    """Sends a score and then that the kernel is idle, so that the true score comes too late."""
    return (
        SEND
        + TRAP
        + """
def spring():
    send("execute_result", result("10.0"))
    send("status", {"execution_state": "idle"})
"""
    )


@notebook()
def messages_for_the_next_cell(whole: NotebookNode) -> None:
    """Guesses the id of the next request and answers it in advance, again and again."""
    solution_cell(whole).source = (
        WRONG
        + SEND
        + """
import threading, time

def ahead():
    for _ in range(60):
        for number in range(1, 12):
            parent = {"header": {**mine["header"], "msg_id": f"{stem}_{number}"}}
            send("execute_result", result("10.0"), parent)
            send("status", {"execution_state": "idle"}, parent)
        time.sleep(0.02)

mine = get_ipython().kernel.get_parent()
stem = mine["header"]["msg_id"].rpartition("_")[0]
threading.Thread(target=ahead).start()
"""
    )


@code()
def a_forged_reply(world: World) -> str:
    """Answers the request on the shell socket itself, with a status of its own."""
    return (
        SEND
        + TRAP
        + """
def spring():
    kernel = get_ipython().kernel
    parent = kernel.get_parent()
    send("execute_result", result("10.0"))
    send("status", {"execution_state": "idle"})
    for stream in (kernel.shell_stream, getattr(kernel.shell_stream, "socket", None)):
        content = {"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": []}
        ident = kernel._parent_ident["shell"]
        kernel.session.send(stream, "execute_reply", content, parent, ident=ident)
"""
    )


@code(expected=TOLD)
def a_socket_from_another_thread(world: World) -> str:
    """Floods the iopub socket with raw bytes from other threads, which zmq does not allow."""
    return """
import threading

def flood():
    socket = get_ipython().kernel.iopub_socket
    for socket in (socket, getattr(socket, "io_thread", None) and socket.io_thread.socket):
        for _ in range(2000):
            try:
                socket.send_multipart([b"topic", b"<IDS|MSG>", b"", b"{}", b"{}", b"{}", b"{}"])
            except Exception:
                pass

for _ in range(3):
    threading.Thread(target=flood).start()
"""


@code(expected=TOLD)
def a_dead_iopub_thread(world: World) -> str:
    """Stops the thread that carries outputs, so that grading waits for what never comes."""
    return "get_ipython().kernel.iopub_thread.stop()"


@code(expected=TOLD)
def a_closed_shell_socket(world: World) -> str:
    """Closes all file descriptors, the kernel's sockets among them."""
    return "import os\nos.closerange(3, 1000)"


@code(work=RIGHT, honest_score=10.0, expected=TOLD)
def a_replaced_stdout(world: World) -> str:
    """Right work after which `sys.stdout` and `sys.stderr` are None, and every print raises."""
    return "import sys\nsys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None"


@code(expected=TOLD)
def sys_exit(world: World) -> str:
    """Leaves with `sys.exit` in the cell and in the function."""
    return """
import sys

def layer_norm(x, gamma, beta, eps=1e-5):
    sys.exit(0)

sys.exit(0)
"""


@code(expected=TOLD)
def os_exit(world: World) -> str:
    """Leaves with `os._exit(0)` when it is first called."""
    return TRAP + "import os\nspring = lambda: os._exit(0)"


@code(expected=TOLD)
def os_exit_in_the_cell(world: World) -> str:
    """Leaves with `os._exit(0)` while its cell runs."""
    return "import os\nos._exit(0)"


@code(expected=TOLD)
def a_segfault(world: World) -> str:
    """Reads address 0 when it is first called."""
    return TRAP + "import ctypes\nspring = lambda: ctypes.string_at(0)"


@code(expected=TOLD)
def a_recursion_without_a_limit(world: World) -> str:
    """Lifts the recursion limit and overflows the C stack."""
    return (
        TRAP
        + """
import sys

def spring():
    sys.setrecursionlimit(10**9)
    nested = []
    for _ in range(2_000_000):
        nested = [nested]
    repr(nested)
"""
    )


@code(expected=TOLD)
def a_stopped_kernel(world: World) -> str:
    """Stops its own process with SIGSTOP."""
    return TRAP + "import os, signal\nspring = lambda: os.kill(os.getpid(), signal.SIGSTOP)"


@code(expected=TOLD)
def a_destructor_that_exits(world: World) -> str:
    """Returns an object whose destructor ends the process, after the answer is taken."""
    return """
import os

class Last(np.ndarray):
    def __del__(self):
        os._exit(0)

def layer_norm(x, gamma, beta, eps=1e-5):
    return x.view(Last)
"""


@code(expected=TOLD)
def an_interrupt_from_within(world: World) -> str:
    """Raises KeyboardInterrupt, GeneratorExit and other exceptions that no handler expects."""
    return """
class Odd(BaseException):
    def __str__(self): raise Odd

kinds = [KeyboardInterrupt, GeneratorExit, Odd, StopIteration]

def layer_norm(x, gamma, beta, eps=1e-5):
    kinds.append(kinds.pop(0))
    raise kinds[0]
"""


@code(expected=TOLD)
def an_exception_that_speaks(world: World) -> str:
    """Raises an exception with a name and a message of markup, control codes and megabytes."""
    return """
kind = type("<img src=x onerror=alert(1)>\\x1b[2J", (Exception,), {})

def layer_norm(x, gamma, beta, eps=1e-5):
    raise kind("\\x1b]0;owned\\x07<script>1</script>\\ud800" + "A" * 5_000_000)
"""


@code()
def something_at_exit(world: World) -> str:
    """Leaves an `atexit` function and a thread that write elsewhere when all seems over."""
    return f"""
import atexit, threading, time

def later():
    time.sleep(1)
    open({str(world.drop / "from-a-thread")!r}, "w").write("here")

atexit.register(lambda: open({str(world.drop / "at-exit")!r}, "w").write("here"))
threading.Thread(target=later).start()
"""


@code()
def killing_the_parent(world: World) -> str:
    """Kills the process that started the kernel."""
    return TRAP + "import os\nspring = lambda: os.kill(os.getppid(), 9)"


@code()
def killing_everything(world: World) -> str:
    """Sends SIGKILL to every process that it may send it to."""
    return TRAP + "import os\nspring = lambda: os.kill(-1, 9)"


@code()
def a_profile_of_all_functions(world: World) -> str:
    """Sets a profile function that swaps the code of the judge's functions as they are called."""
    return """
import sys

def profile(frame, event, argument):
    if frame.f_code.co_name == "agree":
        module = sys.modules["course.student.difference"]
        module.agree.__code__ = (lambda value, expected, tolerance: True).__code__

sys.setprofile(profile)
"""


@code()
def a_rewritten_code_object(world: World) -> str:
    """Swaps the code of the check's own function, which leaves every name as it was."""
    return "type(check).__call__.__code__ = (lambda self, task, *objects: 10.0).__code__"


@code()
def a_hook_before_each_cell(world: World) -> str:
    """Restores its patched check before each cell, should grading have put the true one back."""
    return """
def again(*_):
    get_ipython().user_ns["check"] = lambda *_: 10.0

get_ipython().events.register("pre_run_cell", again)
get_ipython().events.register("pre_execute", again)
"""


@code()
def a_namespace_that_lies(world: World) -> str:
    """Replaces the dictionary of names by one that gives its own check whatever is stored."""
    return """
class Lying(dict):
    def __getitem__(self, name):
        return (lambda *_: 10.0) if name == "check" else dict.__getitem__(self, name)

import builtins, sys
frame = sys._getframe()
get_ipython().user_global_ns.setdefault("check", None)
get_ipython().user_ns["check"] = builtins.check = lambda *_: 10.0
"""
