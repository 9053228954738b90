"""Recordings of older versions: which columns messages once had, and how they become those of today.

A recording carries the columns of every message in its Arrow data, so they are its version. A migration says what was
changed; it is applied where the older columns are found. Columns whose meaning changes therefore get a new name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from operators.messages import READY, TOPICS
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


class Copied(NamedTuple):
    """A column in whose place older messages used another one as well."""

    old: str
    name: str

    def columns(self, old: dict[str, pa.Array], new: pa.StructType) -> dict[str, pa.Array]:
        return {**old, self.name: old[self.old]} if self.old in old else old


class Dropped(NamedTuple):
    """A column that is gone."""

    name: str

    def columns(self, old: dict[str, pa.Array], new: pa.StructType) -> dict[str, pa.Array]:
        return {name: column for name, column in old.items() if name != self.name}


class Listed(NamedTuple):
    """Two list columns in whose place older messages had a column for each name, -1 where it did not count."""

    old: Mapping[str, str]  # column -> name
    names: str
    values: str

    def columns(self, old: dict[str, pa.Array], new: pa.StructType) -> dict[str, pa.Array]:
        if self.names in old:
            return old
        told: list[dict[str, int]] = [{} for _ in next(iter(old.values()))]
        for column, name in self.old.items():
            for row, value in zip(told, old.get(column, []), strict=False):
                row |= {name: value.as_py()} if value.as_py() >= 0 else {}
        kept = {name: column for name, column in old.items() if name not in self.old}
        lists = {self.names: [[*row] for row in told], self.values: [[*row.values()] for row in told]}
        return kept | {name: pa.array(rows, new.field(name).type) for name, rows in lists.items()}


Migrations = Mapping[str, Sequence[Added | Renamed | Copied | Dropped | Listed]]

# topic -> changes since its first version, oldest first
MIGRATIONS: Migrations = {
    "episode": [Renamed("targets", "variant"), Added("text", "")],
    "scene": [
        Renamed("board_pose", "piece_pose"),
        Renamed("target", "goal"),
        Renamed("ink", "marks"),
        Renamed("pen_down", "begins"),
    ],
    "proprio": [Added("state", READY)],
    "request": [
        Added("plan", -1),
        Added("plan_before", -1),
        Copied("expected_delay", "delay_ticks"),  # cycles were taken for ticks
        Renamed("expected_delay", "delay_cycles"),
    ],
    "chunk": [
        Added("observed", -1),
        Listed({"frame_front": "front", "frame_wrist": "wrist"}, "cameras", "frames"),
        Added("exposed_ns", -1),
        Added("begun_ns", -1),
        Added("aligned", False),
        Added("shift_ticks", 0.0),
    ],
    "action_chunk": [Added("plan", -1), Added("aligned", False), Added("shift_ticks", 0.0)],
    "plan": [
        *(Added(name, -1) for name in ("asked", "asked_age", "answered", "answered_age", "stood")),
        Added("shift_ticks", 0.0),
    ],
}


def migrated(topic: str, array: pa.Array, migrations: Migrations | None = None) -> pa.Array:
    """A message with the columns of today, or as it is where no migration leads there."""
    if topic not in TOPICS or not pa.types.is_struct(array.type):
        return array
    wanted, migrations = schema(TOPICS[topic].message), MIGRATIONS if migrations is None else migrations
    if array.type == wanted or topic not in migrations:
        return array
    columns = {field.name: array.field(i) for i, field in enumerate(array.type)}
    for change in migrations[topic]:
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
