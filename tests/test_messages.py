"""Every message through Arrow and back, and every way in which one may be bad."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.messages import TOPICS, Fault, Plan, Proprio, Request, Score, Stats
from operators.schema import BadMessage, pack, schema, unpack

DRAW = np.random.default_rng(3)
TEXTS = st.sampled_from(["", "naive → 12 µm", "two\nlines", "\0", "long " * 999])


def example(message: type, rows: int = 3) -> Any:
    """A message with another value in every column."""
    values = []
    for i, column in enumerate(schema(message)):
        kind = column.type
        if pa.types.is_fixed_size_list(kind):
            values.append(DRAW.uniform(size=kind.list_size).astype(kind.value_type.to_pandas_dtype()))
        elif pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
            values.append(DRAW.uniform(size=(rows, kind.value_type.list_size)).astype(np.float32))
        elif pa.types.is_list(kind):
            plain = {pa.int64(): np.arange(rows), pa.float64(): DRAW.uniform(size=rows)}
            values.append(plain.get(kind.value_type, [f"text {n}" for n in range(rows)]))
        else:
            values.append(
                {pa.int64(): 100 + i, pa.float64(): 0.5 + i, pa.bool_(): True, pa.string(): f"text {i}"}[kind]
            )
    return message(*values)


def with_column(message: Any, name: str, column: pa.Array) -> pa.StructArray:
    """The packed message with one column put in by hand."""
    packed, columns = pack(message), list(schema(type(message)))
    arrays = [column if f.name == name else packed.field(i) for i, f in enumerate(columns)]
    return pa.StructArray.from_arrays(arrays, fields=columns)


def refusal(message: type, array: pa.Array) -> str:
    with pytest.raises(BadMessage, match=f"^{message.__name__}: expected ") as refused:
        unpack(message, array)
    return refused.value.kind


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("rows", [0, 1, 48])
def test_every_topic_comes_back_as_it_was_sent(topic, rows):
    message = TOPICS[topic].message
    sent = example(message, rows)
    packed = pack(sent)
    assert packed.type == schema(message) and len(packed) == 1
    received = unpack(message, packed)
    assert type(received) is message
    for name, before, after in zip(sent._fields, sent, received, strict=True):
        assert np.array_equal(before, after) and np.shape(before) == np.shape(after), name
        assert getattr(before, "dtype", None) == getattr(after, "dtype", None) or topic == "stats", name


@pytest.mark.parametrize("topic", TOPICS)
def test_headers_come_first_and_no_column_may_be_null(topic):
    columns = list(schema(TOPICS[topic].message))
    assert [column.name for column in columns[:3]] == ["seq", "episode", "t_ns"]
    assert not any(column.nullable for column in columns)


@settings(max_examples=40)
@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
def test_any_number_and_any_text_survives(number, real, text):
    stats = unpack(Stats, pack(Stats(0, 0, number, text, [text, ""], np.array([real, -real]))))
    assert stats.t_ns == number and stats.node == text and stats.name == [text, ""]
    assert stats.value.tolist() == [real, -real]


@pytest.mark.parametrize("topic", TOPICS)
def test_lists_are_read_only_views_of_what_was_received(topic):
    packed = pack(example(TOPICS[topic].message))
    buffers = [(buffer.address, buffer.address + buffer.size) for buffer in packed.buffers() if buffer]
    arrays = [value for value in unpack(TOPICS[topic].message, packed) if isinstance(value, np.ndarray)]
    for array in arrays:
        start = array.__array_interface__["data"][0]
        assert any(low <= start and start + array.nbytes <= high for low, high in buffers)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    lists = [column for column in schema(TOPICS[topic].message) if pa.types.is_nested(column.type)]
    texts = [column for column in lists if column.type == pa.list_(pa.string())]
    assert len(arrays) == len(lists) - len(texts)


def test_packing_copies_no_rows_and_leaves_them_alone():
    plan = example(Plan)
    received = unpack(Plan, pack(plan))
    assert np.shares_memory(received.planned, plan.planned) and plan.planned.flags.writeable


def test_the_record_is_found_in_a_slice_of_several():
    """As a recording hands them out: offsets into common buffers."""
    plans = [example(Plan, rows)._replace(tick=rows) for rows in (2, 0, 5)]
    together = pa.concat_arrays([pack(plan) for plan in plans])
    for i, plan in enumerate(plans):
        received = unpack(Plan, together[i : i + 1])
        assert received.tick == plan.tick and np.array_equal(received.planned, plan.planned)
        assert np.array_equal(received.chunk_id, plan.chunk_id)


# --- Bad ones -----------------------------------------------------------------------------------------------------


def test_another_type_is_refused():
    request = example(Request)
    assert refusal(Plan, pack(request)) == "schema"
    assert refusal(Request, pa.array([1, 2, 3])) == "schema"
    assert refusal(Request, pa.array([request._asdict()])) == "schema"  # the same names, but nullable
    narrow = [f.with_type(pa.int32()) if f.name == "tick" else f for f in schema(Request)]
    assert refusal(Request, pack(request).cast(pa.struct(narrow))) == "schema"
    doubles = pa.list_(pa.list_(pa.float64(), 10))
    wide = [f.with_type(doubles) if f.name == "planned" else f for f in schema(Plan)]
    assert refusal(Plan, pack(example(Plan)).cast(pa.struct(wide))) == "schema"


def test_no_record_and_two_records_are_refused():
    packed = pack(example(Plan))
    assert refusal(Plan, packed[:0]) == "length"
    assert refusal(Plan, pa.concat_arrays([packed, packed])) == "length"


def test_a_null_record_is_refused():
    packed = pack(example(Request))
    null = pa.StructArray.from_arrays(packed.flatten(), fields=list(schema(Request)), mask=pa.array([True]))
    assert refusal(Request, null) == "length"


NULLS = {
    "number": (Proprio, "tick", [None]),
    "text": (Fault, "detail", [None]),
    "vector": (Proprio, "q", [None]),
    "number in a vector": (Proprio, "q", [[1.0, 2.0, None, 4.0, 5.0, 6.0]]),
    "list of rows": (Plan, "planned", [None]),
    "row": (Plan, "planned", [[[1.0] * 10, None, [2.0] * 10]]),
    "number in a row": (Plan, "planned", [[[1.0] * 10, [2.0] * 9 + [None]]]),
    "list of numbers": (Plan, "chunk_id", [None]),
    "number in a list": (Plan, "chunk_id", [[1, None, 3]]),
    "list of texts": (Score, "name", [None]),
    "text in a list": (Score, "name", [["a", None]]),
}


@pytest.mark.parametrize("case", NULLS)
def test_a_null_anywhere_is_refused(case):
    message, name, values = NULLS[case]
    column = pa.array(values, schema(message).field(name).type)
    assert refusal(message, with_column(example(message), name, column)) == "null"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("topic", TOPICS)
def test_a_number_that_is_not_finite_is_refused_in_every_column(topic, bad):
    message = TOPICS[topic].message
    good = example(message)
    for name, value in good._asdict().items():
        if isinstance(value, float):
            assert refusal(message, pack(good._replace(**{name: bad}))) == "not finite"
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            spoilt = value.copy()
            spoilt[(-1,) * spoilt.ndim] = bad
            assert refusal(message, pack(good._replace(**{name: spoilt}))) == "not finite"


@pytest.mark.parametrize("shape", [(3, 9), (30,), (1, 3, 10)])
def test_rows_of_another_shape_are_not_packed(shape):
    with pytest.raises(ValueError, match="expected rows of 10 numbers"):
        pack(example(Plan)._replace(planned=np.zeros(shape)))
    with pytest.raises(ValueError, match="expected rows of 6 numbers"):
        pack(example(Proprio)._replace(q=np.zeros(7)))
