"""Plain values: what may stand in an answer key and come out of a probe, and their JSON form.

Plain values are None, bool, int, float, str, lists of int, and NumPy arrays of booleans, integers
or floats. Their JSON form cannot execute code when read, unlike a pickle.
"""

import base64
from typing import Any

import numpy as np

PlainValue = None | bool | int | float | str | list[int] | np.ndarray
PlainValues = dict[str, PlainValue]

ARRAY_DTYPES = frozenset(
    ["bool", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


def encode(value: PlainValue) -> Any:
    """Return the JSON form of a plain value; an array keeps its dtype, shape and every bit.

    Raises:
        TypeError: the value is not plain.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.name not in ARRAY_DTYPES:
            raise TypeError(f"an array of dtype {value.dtype} is not plain: use bool, int or float")
        little_endian = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        return {
            "dtype": value.dtype.name,
            "shape": list(value.shape),
            "base64": base64.b64encode(little_endian.tobytes()).decode("ascii"),
        }
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list) and all(type(item) is int for item in value):
        return value
    raise TypeError(f"a value of type {type(value).__name__} is not plain: {value!r:.80}")


def decode(data: Any) -> PlainValue:
    """Return the plain value whose JSON form is `data`.

    Raises:
        ValueError: `data` is not the JSON form of a plain value, or an integer is beyond 64 bits.
    """
    if data is None or isinstance(data, bool | float | str) or _is_int64(data):
        return data
    if isinstance(data, list) and all(map(_is_int64, data)):
        return data
    if isinstance(data, dict) and set(data) == {"dtype", "shape", "base64"}:
        if data["dtype"] not in ARRAY_DTYPES or not isinstance(data["base64"], str):
            raise ValueError(f"an array of dtype {data['dtype']!r} is not plain")
        raw = base64.b64decode(data["base64"], validate=True)
        stored = np.frombuffer(raw, dtype=np.dtype(data["dtype"]).newbyteorder("<"))
        return stored.astype(data["dtype"]).reshape(data["shape"])
    raise ValueError(f"not the JSON form of a plain value: {data!r:.80}")


def _is_int64(data: Any) -> bool:
    return type(data) is int and data.bit_length() < 64


def encode_all(values: PlainValues) -> dict[str, Any]:
    """Encode each value of a dict."""
    return {name: encode(value) for name, value in values.items()}


def decode_all(data: dict[str, Any]) -> PlainValues:
    """Decode each value of a dict."""
    return {name: decode(value) for name, value in data.items()}


def describe(value: PlainValue) -> str:
    """Say in a few words what a value is: an array by dtype and shape, a scalar by itself.

    >>> describe(np.zeros((3, 4)))
    'float64 (3, 4)'
    """
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"{value:g}" if isinstance(value, float) else repr(value)
