"""Figures show themselves with words, wait calmly for code, and explorers follow their sliders."""

import gc
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from course.student import picture as module
from course.student.figures.rows import batch_before_and_after, row_explorer
from course.student.picture import Note, Picture, picture


def layer_norm(x: np.ndarray, gamma: Any, beta: Any, eps: float = 1e-5) -> np.ndarray:
    return gamma * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) + beta


@picture
def line(height: Any) -> tuple[Figure, str]:
    figure = Figure()
    figure.subplots().plot([0, height()])
    return figure, "A line."


def test_a_picture_is_an_image_with_its_description() -> None:
    shown = line(lambda: 1)
    assert isinstance(shown, Picture)
    data, metadata = shown._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == metadata["image/png"]["alt"] == repr(shown) == "A line."


def test_the_same_figure_is_the_same_bytes() -> None:
    first, second = line(lambda: 1), line(lambda: 1)
    assert isinstance(first, Picture)
    assert isinstance(second, Picture)
    assert first.png == second.png


def test_a_figure_waits_for_unwritten_code() -> None:
    def layer_norm(*_: Any) -> None:
        raise NotImplementedError

    assert repr(batch_before_and_after(layer_norm)) == "This figure waits for your `layer_norm`."


def test_a_figure_says_why_it_cannot_be_drawn() -> None:
    shown = batch_before_and_after(lambda *_: None)
    assert isinstance(shown, Note)
    assert "does not work with your `<lambda>` yet: " in shown.text


def test_an_explorer_draws_what_its_sliders_say() -> None:
    explorer = row_explorer(layer_norm)
    before = explorer.draw()
    explorer.sliders["gamma"].value = 2.0
    after = explorer.draw()
    assert "standard deviation 1.00" in repr(before)
    assert "standard deviation 2.00" in repr(after)


def test_moving_a_slider_changes_the_image_shown() -> None:
    explorer = row_explorer(layer_norm)
    assert isinstance(explorer.first, Picture)
    *_, shown = explorer._widget(explorer.first).children
    before = shown.value
    explorer.sliders["offset"].value = -5.0
    assert shown.value != before
    assert "mean -5.00" in shown.value


def test_an_explorer_has_a_picture_for_places_without_widgets() -> None:
    data, _ = row_explorer(layer_norm)._repr_mimebundle_()
    assert set(data) >= {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}


def test_an_explorer_of_unwritten_code_waits() -> None:
    def layer_norm(*_: Any) -> None:
        raise NotImplementedError

    data, _ = row_explorer(layer_norm)._repr_mimebundle_()
    assert data == {"text/plain": "This figure waits for your `layer_norm`."}


def test_an_explorer_leaves_no_old_figure_for_the_garbage_collector_to_find_later() -> None:
    def figures() -> int:
        return sum(type(thing) is Figure for thing in gc.get_objects())

    explorer = row_explorer(layer_norm)
    gc.collect()
    before = figures()
    explorer.draw()
    assert figures() == before
    assert gc.isenabled()


def test_the_colours_of_the_style_sheet_are_those_of_the_module() -> None:
    with style.context(module._STYLE):
        cycle = [entry["color"] for entry in mpl.rcParams["axes.prop_cycle"]]
    named = [module.BLUE, module.ORANGE, module.GREEN, module.RED, module.PURPLE, module.SKY]
    assert [f"#{colour.lstrip('#')}" for colour in cycle] == named
