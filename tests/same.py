"""Do two revisions decide the same? Compared by meaning, whatever files, functions and columns are called.

    python -m tests.same 7ac6205            # that revision against the working tree
    python -m tests.same 7ac6205 HEAD~1 --policy dp_latent60

Each revision runs in a tree of its own, with its own code: the golden recording through every process, and lockstep
episodes through `rtr evaluate`. What it decided is then read as tables by (episode, cycle) or (episode, chunk): every
command, planned row, chunk row and delay. Stamps, counts of messages and names are not compared.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro

ROOT = Path(__file__).parents[1]
PROCESSES = "executor", "scheduler", "decoder", "policy", "policy_vlash", "policy_rtc", "executor_ruckig", "robot"
RENAMED = {"robot": "robot_sim"}  # process -> what an older revision calls it
MODES = "sync", "async_naive", "async_rtr"
KEYS = "episode", "cycle", "chunk_id", "tick", "first_tick"  # what a record is told apart by, as far as it has them

# what is compared -> the columns in which it has stood, the newest first
DECIDED: Mapping[str, tuple[str, ...]] = {
    "planned": ("planned",),
    "action": ("action",),
    "executed": ("executed",),
    "values": ("values",),
    "state": ("state",),
    "owner": ("chunk_id",),
    "clamped": ("clamped",),
    "delay_cycles": ("delay_cycles",),
    "delay_ticks": ("delay_ticks", "expected_delay"),
    "waits": ("waits",),
    "raw": ("raw",),
    "handed": ("handed",),
    "arrival_tick": ("arrival_tick",),
    "expected_tick": ("expected_tick",),
    "shift_ticks": ("shift_ticks",),
    "tcp_pose": ("tcp_pose",),
    "wrench": ("wrench",),
}
# table -> column that older revisions lack -> what was true of all its records
ADDED = {"golden.robot.proprio": {"state": "ready"}}

DUMP = """
import os, sys
os.sched_setscheduler = lambda *_: None  # with real-time priority two of these would starve each other on two cores
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
from tests import golden
folder = Path(sys.argv[1])
for name, older in zip(sys.argv[2].split(","), sys.argv[3].split(",")):
    name = name if name in golden.PROCESSES else older
    for topic, arrays in golden.outputs(name).items():
        if arrays and isinstance(arrays[0], pa.StructArray):
            whole = pa.concat_arrays(arrays)
            columns = {f.name: whole.field(i) for i, f in enumerate(whole.type)}
            pq.write_table(pa.table(columns), folder / f"golden.{name}.{topic}.parquet")
"""


@dataclass(frozen=True)
class Same:
    """Compare what two revisions decide; exit code 1 where they differ."""

    before: Annotated[str, tyro.conf.Positional]
    after: Annotated[str, tyro.conf.Positional] = ""
    """Empty: the working tree."""
    policy: str = "expert"
    delays: tuple[str, ...] = ("8", "16")
    episodes: int = 2
    seed: int = 10_000

    def run(self) -> int:
        with TemporaryDirectory() as folder:
            found = []
            for name in (self.before, self.after):
                with tree(name) as root:
                    print(f"{name or 'working tree'} ...", flush=True)
                    found.append(decided(root, Path(folder) / (name or "tree"), self))
            lines = list(differences(*found))
        print("\n".join([*lines, f"{len(lines)} of {len(set(found[0]) | set(found[1]))} tables differ"]))
        return 1 if lines else 0


@contextmanager
def tree(revision: str) -> Iterator[Path]:
    """A folder with the files of a revision."""
    if not revision:
        yield ROOT
        return
    with TemporaryDirectory() as folder:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--force", folder, revision], check=True, capture_output=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True, capture_output=True)


def decided(root: Path, folder: Path, options: Same) -> dict[str, pa.Table]:
    """Everything the code in a tree decides: name -> table."""
    folder.mkdir(parents=True)
    environ = {**os.environ, "PYTHONPATH": str(root)}
    older = ",".join(RENAMED.get(name, name) for name in PROCESSES)
    _run([sys.executable, "-c", DUMP, str(folder), ",".join(PROCESSES), older], root, environ)
    for mode in MODES:
        for delay in options.delays if mode != "sync" else options.delays[:1]:
            out = folder / f"{mode}_{delay}"
            about = ["--policy", options.policy, "--mode", mode, "--delay", delay, "--episodes", str(options.episodes)]
            command = [sys.executable, "-m", "studies.cli", "evaluate", *about, "--seed", str(options.seed)]
            _run([*command, "--trace", str(out)], root, environ)
    tables = {}
    for path in sorted(folder.rglob("*.parquet")):
        if not path.stem.endswith("_task"):
            name = path.relative_to(folder).with_suffix("").as_posix()
            for new, old in RENAMED.items():
                name = name.replace(f".{old}.", f".{new}.")
            table = pq.read_table(path)
            for column, value in ADDED.get(name, {}).items():
                if column not in table.column_names:
                    table = table.append_column(column, pa.array([value] * len(table)))
            tables[name] = table
    return tables


def differences(before: Mapping[str, pa.Table], after: Mapping[str, pa.Table]) -> Iterator[str]:
    """A line for each table that is not the same, saying where it first differs."""
    for name in sorted({*before, *after}):
        if name not in before or name not in after:
            decides = any(_column(table, column) for table in (before.get(name), after.get(name)) for column in DECIDED)
            if decides:
                yield f"{name}: only {'before' if name in before else 'after'}"
            continue
        left, right = before[name], after[name]
        if len(left) != len(right):
            yield f"{name}: {len(left)} records before, {len(right)} after"
            continue
        for column in DECIDED:
            one, other = _column(left, column), _column(right, column)
            if one is None and other is None:
                continue
            if one is None or other is None:
                yield f"{name}: {column} is only there {'after' if one is None else 'before'}"
                continue
            apart = _apart(left[one], right[other])
            if apart is not None:
                yield f"{name}: {column} differs from {_key(left, apart)} on"
                break


def _column(table: pa.Table | None, column: str) -> str | None:
    names = () if table is None else table.column_names
    return next((name for name in DECIDED[column] if name in names), None)


def _apart(one: pa.ChunkedArray, other: pa.ChunkedArray) -> int | None:
    """The first record in which two columns differ, bit by bit."""
    left, right = one.to_pylist(), other.to_pylist()
    return next((at for at, pair in enumerate(zip(left, right, strict=True)) if not _equal(*pair)), None)


def _equal(left: object, right: object) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(_equal(*pair) for pair in zip(left, right, strict=True))
    both_nan = isinstance(left, float) and isinstance(right, float) and np.isnan(left) and np.isnan(right)
    return both_nan or left == right


def _key(table: pa.Table, at: int) -> str:
    return ", ".join(f"{name} {table[name][at].as_py()}" for name in KEYS if name in table.column_names) or f"row {at}"


def _run(command: list[str], root: Path, environ: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=root, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} in {root}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    sys.exit(tyro.cli(Same).run())
