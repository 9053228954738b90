"""Run traces: an EpisodeLog as four Parquet files (five where the plan was recorded), bit by bit.

`<name>_cycles` one row a cycle, `<name>_plan` one row a tick, `<name>_chunks` one row a chunk, `<name>_proprio` one
row a measurement, `<name>_task` a single row with meta, score, goal, marks and faults. Columns are named and typed
as the fields of operators.measure.log; rows of a chunk are its first tick and a list of actions.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from operators.measure.log import STAMPS, VECTORS, ChunkRecord, Cycles, EpisodeLog, Measurements, PlanTime
from operators.motion.rows import Rows
from operators.schema import ACTION_WIDTH

_action = pa.list_(pa.float32(), ACTION_WIDTH)
_vector6 = pa.list_(pa.float64(), 6)
_points = pa.list_(pa.list_(pa.float64(), 2))
FAULT = "t_ns", "node", "kind", "detail"

CYCLES = pa.schema(
    {
        "cycle": pa.int64(),
        "tick": pa.int64(),
        "t_ns": pa.int64(),
        "state": pa.string(),
        "planned": _action,
        "action": _action,
        "chunk_id": pa.int64(),
        "clamped": pa.int64(),
    }
)
PLAN = pa.schema({"tick": pa.int64(), "action": _action, "chunk_id": pa.int64()})
PROPRIO = pa.schema({**dict.fromkeys(STAMPS, pa.int64()), **dict.fromkeys(VECTORS, _vector6), "gripper": pa.float64()})
CHUNKS = pa.schema(
    {
        "chunk_id": pa.int64(),
        "t0": pa.int64(),
        "arrival_tick": pa.int64(),
        "raw_tick": pa.int64(),
        "raw": pa.list_(_action),
        "handed_tick": pa.int64(),
        "handed": pa.list_(_action),
        "request_ns": pa.int64(),
        "inference_start_ns": pa.int64(),
        "inference_end_ns": pa.int64(),
        "inference_ms": pa.float64(),
        "refine_ms": pa.float64(),
        "handed_ns": pa.int64(),
        "takeover_ns": pa.int64(),
        "expected_tick": pa.int64(),
        "exposed_ns": pa.int64(),
        "shift_ticks": pa.float64(),
    }
)
TASK = pa.schema(
    {
        "meta": pa.string(),  # JSON
        "score_name": pa.list_(pa.string()),
        "score_value": pa.list_(pa.float64()),
        "goal": _points,
        "marks": _points,
        "begins": pa.list_(pa.int64()),
        "reference_rotation": pa.list_(pa.float64()),
        "reference": pa.list_(pa.list_(pa.float64(), 3)),
        "fault_t_ns": pa.list_(pa.int64()),
        "fault_node": pa.list_(pa.string()),
        "fault_kind": pa.list_(pa.string()),
        "fault_detail": pa.list_(pa.string()),
    }
)


class DamagedTrace(ValueError):
    """A trace that cannot be read: one sentence with the file, what was expected and what is there."""

    def __init__(self, path: Path, expected: str, got: str):
        super().__init__(f"{path}: expected {expected}, got {got}")


def save(directory: Path | str, log: EpisodeLog) -> None:
    """Write one episode under `log.meta["name"]`, replacing what was there.

    Raises:
        ValueError: meta has no plain `name`, or holds what JSON cannot.
    """
    directory, name = Path(directory), log.meta.get("name", "")
    if not name or Path(name).name != name:
        raise ValueError(f"expected meta to hold a plain file name under 'name', got {name!r}")
    directory.mkdir(parents=True, exist_ok=True)
    tables = {
        "cycles": _table(vars(log.cycles), CYCLES),
        "chunks": pa.Table.from_pylist([_chunk_record(chunk) for chunk in log.chunks], CHUNKS),
        "proprio": _table(vars(log.proprio), PROPRIO),
        "task": pa.Table.from_pylist([_task_record(log)], TASK),
    }
    (directory / f"{name}_plan.parquet").unlink(missing_ok=True)
    if log.plan is not None:
        tick = np.arange(log.plan.tick, log.plan.tick + len(log.plan.action))
        tables["plan"] = _table({"tick": tick, "action": log.plan.action, "chunk_id": log.plan.chunk_id}, PLAN)
    for part, table in tables.items():
        pq.write_table(table, directory / f"{name}_{part}.parquet")


def load(directory: Path | str, name: str) -> EpisodeLog:
    """Read what `save` wrote.

    Raises:
        DamagedTrace: a file is missing, cut off, or not what `save` writes.
    """
    stem = Path(directory) / name
    task_path = Path(f"{stem}_task.parquet")
    task = _read(task_path, TASK).to_pylist()
    if len(task) != 1:
        raise DamagedTrace(task_path, "one row", f"{len(task)}")
    chunks = _read(Path(f"{stem}_chunks.parquet"), CHUNKS).to_pylist()
    plan_path = Path(f"{stem}_plan.parquet")
    return EpisodeLog(
        cycles=_checked(stem, "cycles", CYCLES, Cycles),
        proprio=_checked(stem, "proprio", PROPRIO, Measurements),
        chunks=[_chunk(record) for record in chunks],
        plan=_plan(plan_path) if plan_path.exists() else None,
        **_task(task_path, task[0]),
    )


def names(directory: Path | str) -> list[str]:
    """The traces in a folder, in the order of their names."""
    return sorted(path.name.removesuffix("_task.parquet") for path in Path(directory).glob("*_task.parquet"))


def _table(columns: dict[str, np.ndarray], schema: pa.Schema) -> pa.Table:
    """Columns (n,), and (n, width) where the schema has lists of fixed size."""
    flat = {field.name: pa.array(np.ascontiguousarray(columns[field.name]).reshape(-1)) for field in schema}
    lists = {field.name: field.type for field in schema if pa.types.is_fixed_size_list(field.type)}
    flat |= {name: pa.FixedSizeListArray.from_arrays(flat[name], type=kind) for name, kind in lists.items()}
    return pa.table(flat, schema)


def _chunk_record(chunk: ChunkRecord) -> dict[str, Any]:
    record = dict(vars(chunk))
    for name in ("raw", "handed"):
        if (rows := record[name]) is not None:
            record |= {f"{name}_tick": rows.tick, name: list(rows.action)}
    return record


def _task_record(log: EpisodeLog) -> dict[str, Any]:
    return {
        "meta": json.dumps(log.meta),
        "score_name": list(log.score),
        "score_value": list(log.score.values()),
        "goal": list(log.goal),
        "marks": list(log.marks),
        "begins": log.begins,
        "reference_rotation": log.reference_rotation,
        "reference": list(log.reference),
        **{f"fault_{part}": [fault[i] for fault in log.faults] for i, part in enumerate(FAULT)},
    }


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DamagedTrace(path, "a trace file", "nothing there") from None
    except (pa.ArrowException, OSError) as error:
        raise DamagedTrace(path, "a Parquet file", str(error).split("\n")[0]) from None
    if table.schema.names != schema.names or table.schema.types != schema.types:
        raise DamagedTrace(path, f"columns {_named(schema)}", _named(table.schema))
    return table


def _named(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _checked(stem: Path, part: str, schema: pa.Schema, kind: type) -> Any:
    path = Path(f"{stem}_{part}.parquet")
    columns = _arrays(path, _read(path, schema))
    try:
        return kind(**columns)
    except ValueError as error:
        raise DamagedTrace(path, "a consistent table", str(error)) from None


def _plan(path: Path) -> PlanTime:
    columns = _arrays(path, _read(path, PLAN))
    tick = columns["tick"]
    if (np.diff(tick) != 1).any():
        raise DamagedTrace(path, "consecutive ticks", "gaps")
    return PlanTime(int(tick[0]) if len(tick) else 0, columns["action"], columns["chunk_id"])


def _arrays(path: Path, table: pa.Table) -> dict[str, np.ndarray]:
    """Columns as numpy arrays, fixed-size lists as (n, width)."""
    arrays = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            raise DamagedTrace(path, f"values in {name}", f"{column.null_count} nulls")
        width = column.type.list_size if pa.types.is_fixed_size_list(column.type) else None
        flat = column.combine_chunks()
        arrays[name] = flat.flatten().to_numpy().reshape(-1, width) if width else flat.to_numpy(zero_copy_only=False)
    return arrays


def _chunk(record: dict[str, Any]) -> ChunkRecord:
    for name in ("raw", "handed"):
        tick = record.pop(f"{name}_tick")
        if tick is not None:
            record[name] = Rows(tick, np.array(record[name], np.float32).reshape(-1, ACTION_WIDTH))
    return ChunkRecord(**record)


def _task(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    reference = record["reference_rotation"]
    try:
        return {
            "meta": json.loads(record["meta"]),
            "score": dict(zip(record["score_name"], record["score_value"], strict=True)),
            "goal": np.array(record["goal"]).reshape(-1, 2),
            "marks": np.array(record["marks"]).reshape(-1, 2),
            "begins": np.array(record["begins"], np.int64),
            "reference_rotation": None if reference is None else np.array(reference),
            "reference": np.array(record["reference"]).reshape(-1, 3),
            "faults": list(zip(*(record[f"fault_{part}"] for part in FAULT), strict=True)),
        }
    except (TypeError, ValueError) as error:
        raise DamagedTrace(path, "meta, score, marks and faults", str(error)) from None
