"""Plain values keep every bit on their way through JSON, and nothing else gets through."""

import json

import numpy as np
import pytest

from course.student.plain import decode, describe, encode


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1.5, -0.0], [np.nan, np.inf]]),
        np.arange(6, dtype=np.int64).reshape(2, 3).T,
        np.array(3.25, dtype=np.float32),
        np.zeros((0, 4), dtype=np.float16),
        np.array([True, False]),
    ],
    ids=str,
)
def test_an_array_comes_back_with_its_dtype_shape_and_bits(value: np.ndarray) -> None:
    back = decode(json.loads(json.dumps(encode(value))))
    assert isinstance(back, np.ndarray)
    assert (back.dtype, back.shape) == (value.dtype, value.shape)
    assert back.tobytes() == np.ascontiguousarray(value).tobytes()


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "tuple", [2, 3]])
def test_a_scalar_comes_back_as_it_was(value: object) -> None:
    assert decode(json.loads(json.dumps(encode(value)))) == value  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [object(), {1: 2}, np.array([object()]), np.array(["a"]), [1.5]])
def test_what_is_not_plain_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="not plain"):
        encode(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        {"dtype": "object", "shape": [1], "base64": "AAAAAAAAAAA="},
        {"dtype": "S8", "shape": [1], "base64": "AAAAAAAAAAA="},
        {"dtype": "float64", "shape": [2], "base64": "AAAAAAAAAAA="},
        {"dtype": "float64", "shape": [1], "base64": "not base64"},
        {"pickle": "gASVAAAAAAA="},
        [[1]],
    ],
)
def test_json_that_is_no_plain_value_is_refused(data: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each has its own words)
        decode(data)


def test_a_value_is_described_by_dtype_and_shape_or_by_itself() -> None:
    assert describe(np.zeros((3, 4))) == "float64 (3, 4)"
    assert describe(1e-5) == "1e-05"
    assert describe("Size") == "'Size'"
