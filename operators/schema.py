"""A message class and its Arrow record: schemas from annotations, packing, and checking what comes in.

A message is an Arrow struct array with exactly one record. Rows of actions are list columns, so an empty
plan is still a message that says its episode and cycle.
"""

from typing import Annotated, Any, TypeVar, get_type_hints

import numpy as np
import pyarrow as pa

ACTION_WIDTH = 10

_integer = pa.int64()
_real = pa.float64()
_text = pa.string()
_rows = pa.list_(pa.list_(pa.float32(), ACTION_WIDTH))

Integer = Annotated[int, _integer]
Real = Annotated[float, _real]
Text = Annotated[str, _text]
Truth = Annotated[bool, pa.bool_()]
Vector6 = Annotated[np.ndarray, pa.list_(_real, 6)]
Action = Annotated[np.ndarray, pa.list_(pa.float32(), ACTION_WIDTH)]
Actions = Annotated[np.ndarray, _rows]  # (n, 10) float32
Integers = Annotated[np.ndarray, pa.list_(_integer)]
Reals = Annotated[np.ndarray, pa.list_(_real)]
Texts = Annotated[list, pa.list_(_text)]
Points2 = Annotated[np.ndarray, pa.list_(pa.list_(pa.float32(), 2))]  # (n, 2) m, on the surface of the work piece

M = TypeVar("M", bound=tuple)


def schema(message: type) -> pa.StructType:
    """The Arrow type of a message class, from its annotations."""
    if message not in _schemas:
        hints = get_type_hints(message, include_extras=True)
        _schemas[message] = pa.struct(
            [pa.field(name, hint.__metadata__[0], nullable=False) for name, hint in hints.items()]
        )
    return _schemas[message]


def pack(message: tuple) -> pa.StructArray:
    """One message as an Arrow struct array of length 1."""
    fields = list(schema(type(message)))
    columns = [_column(value, field.type) for value, field in zip(message, fields, strict=True)]
    return pa.StructArray.from_arrays(columns, fields=fields)


def unpack(message: type[M], array: pa.Array) -> M:
    """Check and read one message; list columns become read-only views of the received buffer.

    Args:
        message: the class expected.
        array: what was received.

    Raises:
        BadMessage: another type, not one record, a null, or a number that is not finite.
    """
    expected = schema(message)
    if array.type != expected:
        raise BadMessage(message, "schema", f"expected {expected}, got {array.type}")
    if len(array) != 1 or array.null_count:
        raise BadMessage(message, "length", f"expected one record without null, got {len(array)}")
    return message(*(_value(message, array.field(i), field) for i, field in enumerate(expected)))


class BadMessage(ValueError):
    """A message that must not be used; `kind` names what is wrong with it."""

    def __init__(self, message: type, kind: str, detail: str):
        self.kind = kind
        super().__init__(f"{message.__name__}: {detail}")


_schemas: dict[type, pa.StructType] = {}
_NUMPY = {pa.float32(): np.float32, pa.float64(): np.float64}


def _column(value: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        return _fixed(np.asarray(value)[None], kind)
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
        rows = _fixed(np.asarray(value), kind.value_type)
        return pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows, type=kind)
    if pa.types.is_list(kind):
        flat = pa.array(value, kind.value_type)
        return pa.ListArray.from_arrays(pa.array([0, len(flat)], pa.int32()), flat, type=kind)
    return pa.array([value], kind)


def _fixed(rows: np.ndarray, kind: pa.DataType) -> pa.Array:
    if rows.ndim != 2 or (len(rows) and rows.shape[1] != kind.list_size):
        raise ValueError(f"expected rows of {kind.list_size} numbers, got an array of shape {rows.shape}")
    flat = np.ascontiguousarray(rows, _NUMPY[kind.value_type]).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind)


def _value(message: type, column: pa.Array, field: pa.Field) -> Any:
    kind = field.type
    if not pa.types.is_list(kind) and not pa.types.is_fixed_size_list(kind):
        if column.null_count:
            raise BadMessage(message, "null", f"expected a value in {field.name}, got null")
        return _finite(message, column[0].as_py(), field.name)
    inner = column.flatten()
    nulls, width = column.null_count + inner.null_count, 0  # counted before `flatten`, which passes over null rows
    if pa.types.is_fixed_size_list(kind.value_type):
        width, inner = kind.value_type.list_size, inner.flatten()
        nulls += inner.null_count
    if nulls:
        raise BadMessage(message, "null", f"expected values in {field.name}, got null")
    if pa.types.is_string(kind.value_type):
        return inner.to_pylist()
    flat = _finite(message, inner.to_numpy(), field.name)
    return flat.reshape(-1, width) if width else flat


def _finite(message: type, value: Any, name: str) -> Any:
    number = isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")
    if number and not np.isfinite(value).all():
        raise BadMessage(message, "not finite", f"expected finite numbers in {name}, got NaN or infinity")
    return value
