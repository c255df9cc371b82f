"""Feedback pages that open offline, run no script and load nothing."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, pass_context
from jinja2.bccache import Bucket
from jinja2.runtime import Context
from nbconvert.exporters import HTMLExporter, TemplateExporter
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter
from nbformat import NotebookNode
from nbgrader.server_extensions.formgrader import handlers
from traitlets.config import Config

TEMPLATES = Path(__file__).with_name("templates")
BOOTSTRAP = Path(handlers.static_path) / "node_modules" / "bootstrap" / "dist" / "css"

# How many cells' texts are kept as they look: more than all notebooks of the course have.
KEPT = 2048

# What stands for a picture that cannot be seen.
PICTURE = "A picture that this cell drew"


@lru_cache(KEPT)
def _highlighted(source: str) -> str:
    return str(Highlight2HTML()(source))


@lru_cache(KEPT)
def _marked_up(source: str) -> str:
    return str(HTMLExporter().markdown2html({}, source))


class _Compiled(BytecodeCache):
    """Templates as they were compiled for the first page, which takes longer than all the rest."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


class FeedbackExporter(HTMLExporter):
    """nbgrader's feedback page under a policy by which a browser runs and loads nothing.

    Formulas are shown as they were typed, between dollars: nbgrader's page fetches MathJax from the
    network for them, which does nothing offline and may not run here.
    """

    @property
    def default_config(self) -> Config:
        """The defaults of nbconvert, with this course's template before nbgrader's.

        Under the name of this class they hold against what nbgrader sets for every `HTMLExporter`;
        and the formgrader, whose page is another, does not see them.
        """
        config = super().default_config.copy()
        config.FeedbackExporter.template_name = "course_feedback"
        config.FeedbackExporter.extra_template_basedirs = [str(TEMPLATES), handlers.template_path]
        config.FeedbackExporter.extra_template_paths = [str(BOOTSTRAP), handlers.template_path]
        return config

    def from_notebook_node(  # type: ignore[override]
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kwargs: Any
    ) -> tuple[str, dict[str, Any]]:
        """Fill the template.

        nbconvert's own method then parses the whole page anew, to give a text to pictures without
        one, which takes longer than all else. They are given theirs before.
        """
        for cell in nb.cells:
            cell.metadata.setdefault("alt", PICTURE)
        self.register_filter("highlight_code", lambda source, **_: _highlighted(source))
        self.register_filter(
            "filter_data_type",
            WidgetsDataTypeFilter(
                notebook_metadata=self._nb_metadata, parent=self, resources=resources
            ),
        )
        page: tuple[str, dict[str, Any]] = TemplateExporter.from_notebook_node(
            self, nb, self._init_resources(resources), **kwargs
        )
        return page

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Markdown to HTML, which for the texts of the course is the same for every student."""
        if context.get("cell", {}).get("attachments"):
            return str(super().markdown2html(context, source))
        return _marked_up(source)

    def _create_environment(self) -> Environment:
        environment = super()._create_environment()
        environment.bytecode_cache = _COMPILED
        return environment
