"""Recordings of older versions: which columns messages once had, and how they become those of today.

A recording carries the columns of every message in its Arrow data, so they are its version. A migration says what was
changed; it is applied where the older columns are found. Columns whose meaning changes therefore get a new name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from operators.messages import TOPICS
from operators.schema import schema


class Added(NamedTuple):
    """A column that older messages lack, and what was true of them."""

    name: str
    value: Any

    def columns(self, old: dict[str, pa.Array], new: pa.StructType) -> dict[str, pa.Array]:
        if self.name in old:
            return old
        length = len(next(iter(old.values())))
        return {**old, self.name: pa.array([self.value] * length, new.field(self.name).type)}


class Renamed(NamedTuple):
    """A column that older messages have under another name."""

    old: str
    name: str

    def columns(self, old: dict[str, pa.Array], new: pa.StructType) -> dict[str, pa.Array]:
        return {self.name if name == self.old else name: column for name, column in old.items()}


class Dropped(NamedTuple):
    """A column that is gone."""

    name: str

    def columns(self, old: dict[str, pa.Array], new: pa.StructType) -> dict[str, pa.Array]:
        return {name: column for name, column in old.items() if name != self.name}


# topic -> changes, oldest first
MIGRATIONS: Mapping[str, Sequence[Added | Renamed | Dropped]] = {
    **{topic: [Added("run_ns", -1)] for topic in TOPICS},
    "plan": [Added("most", 1.0), Added("run_ns", -1)],
}


def migrated(topic: str, array: pa.Array) -> pa.Array:
    """A message with the columns of today, or as it is where no migration leads there."""
    if topic not in TOPICS or not pa.types.is_struct(array.type):
        return array
    wanted = schema(TOPICS[topic].message)
    if array.type == wanted or topic not in MIGRATIONS:
        return array
    columns = {field.name: array.field(i) for i, field in enumerate(array.type)}
    for change in MIGRATIONS[topic]:
        columns = change.columns(columns, wanted)
    fits = set(columns) == {field.name for field in wanted} and all(columns[f.name].type == f.type for f in wanted)
    return pa.StructArray.from_arrays([columns[f.name] for f in wanted], fields=list(wanted)) if fits else array


def state(topic: str, array: pa.Array) -> str:
    """Of which version a message is: current, migrated, other, or not ours."""
    if topic not in TOPICS:
        return "not ours"
    wanted = schema(TOPICS[topic].message)
    if array.type == wanted:
        return "current"
    return "migrated" if migrated(topic, array).type == wanted else "other"
