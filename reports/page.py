"""The page of a run's report: tiles, charts and tables, one file that needs no network.

Episodes are shown in detail until the page has reached DETAIL_BYTES; the tables always hold all of them.
"""

import json
from collections.abc import Collection, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from operators.measure.intervals import Interval
from operators.measure.log import EpisodeLog, active
from operators.measure.metrics import METRICS
from operators.messages import HZ
from reports.charts import (
    CHUNKS_SHOWN,
    chunk_chart,
    delay_chart,
    jitter_chart,
    marks_chart,
    name_of,
    number,
    seam_chart,
    time_chart,
)

DETAIL_BYTES = 1_000_000
FAULTS = 200  # shown at most
CHIPS = "policy", "codec", "refine", "margin", "join", "align", "latency_ms", "seed"
COLUMNS = (
    *("success", "completion_s", "deviation_mm", "velocity_jump", "speed_ripple", "acceleration_rms_mm_s2"),
    *("boundary_gap_mm", "starved_percent", "delay_ticks"),
)

Table = tuple[str, list[str], list[list[str]], Collection[int]]  # title, head, rows, columns of numbers


def page(logs: Sequence[EpisodeLog], found: dict[str, Any]) -> str:
    """HTML of episodes and of what `reports.report.report` found out about them."""
    meta, episodes = found["meta"], _episodes(logs, found)
    return rendered(
        "page.html",
        title=" · ".join(str(meta[key]) for key in ("task", "mode") if isinstance(meta.get(key), str)) or "episodes",
        chips=[(key, _short(meta[key])) for key in CHIPS if key in meta],
        tiles=_tiles(found),
        succeeded=found["metrics"]["success"],
        episodes=episodes,
        left_out=len(logs) - len(episodes),
        pooled=[
            ("Velocity jump", "how hard chunks meet, against the same measure inside chunks", seam_chart(logs)),
            ("Inference delay", "ticks played between observation and takeover", delay_chart(logs)),
            ("Cycle jitter", "how even the 60 Hz command is", jitter_chart(logs)),
        ],
        tables=[
            *([_episode_table(found)] if len(logs) > 1 else []),
            _metric_table(found),
            _fault_table(logs),
            _run_table(found),
        ],
    )


def rendered(template: str, **values: Any) -> str:
    """A template of this folder, filled."""
    files = Environment(trim_blocks=True, lstrip_blocks=True, autoescape=True, undefined=StrictUndefined)
    files.loader = FileSystemLoader(Path(__file__).parent)
    return files.get_template(template).render(values)


def _tiles(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Name, value, unit, note."""
    metrics: dict[str, Interval] = found["metrics"]
    mean = {name: metrics[name]["mean"] for name in metrics}
    success = metrics["success"]
    n, share = success["n"], success["mean"]
    verdict = "not judged" if not n else ("yes" if share else "no") if n == 1 else f"{round(share * n)} of {n}"
    chance = (
        f"95 %: {100 * success['ci95'][0]:.0f}-{100 * success['ci95'][1]:.0f} %" if n > 1 else "by the task's score"
    )
    told = mean["observation_age_ms"]
    age_ms = told if isfinite(told) else 1e3 * mean["delay_ticks"] / HZ
    return [
        ("success", verdict, "", chance),
        ("deviation", number(mean["deviation_mm"]), "mm", f"p95 {number(mean['deviation_p95_mm'])} mm"),
        (
            "velocity jump",
            number(mean["velocity_jump"]),
            "mm/tick",
            f"floor inside chunks {number(mean['velocity_jump_floor'])}",
        ),
        (
            "surging",
            number(100 * mean["speed_ripple"]),
            "% of the speed",
            f"acceleration {number(mean['acceleration_rms_mm_s2'])} mm/s², {number(mean['speed_drops_per_s'])} drops/s",
        ),
        ("starved", number(mean["starved_percent"]), "%", f"waiting {number(mean['waiting_percent'])} %"),
        (
            "delay",
            number(mean["delay_ticks"]),
            "ticks",
            f"{number(age_ms)} ms from picture to command, {number(mean['late_handover'])} late",
        ),
        ("inference", number(mean["inference_ms_p50"]), "ms", f"p99 {number(mean['inference_ms_p99'])} ms"),
        ("jitter p99", number(mean["jitter_ms_p99"]), "ms", f"max {number(mean['jitter_ms_max'])} ms"),
    ]


def _episodes(logs: Sequence[EpisodeLog], found: dict[str, Any]) -> list[dict[str, Any]]:
    """Episodes in detail, as many as fit."""
    shown, size = [], 0
    for log, episode in zip(logs, found["episodes"], strict=True):
        if size > DETAIL_BYTES:
            break
        shown.append(_episode(log, episode["metrics"]))
        size += sum(len(shown[-1][chart]) for chart in ("marks", "chunks", "time"))
    return shown


def _episode(log: EpisodeLog, metrics: dict[str, float]) -> dict[str, Any]:
    """Words and charts; a chart of which nothing was recorded is empty."""
    timed = any(chunk.request_ns is not None and chunk.inference_end_ns is not None for chunk in log.chunks)
    return {
        "name": name_of(log),
        "told": f"{number(len(active(log)) / HZ)} s, deviation {number(metrics['deviation_mm'])} mm, "
        f"velocity jump {number(metrics['velocity_jump'])} mm/tick, faults {len(log.faults)}",
        "score": [(name, number(value)) for name, value in log.score.items()],
        "marks": marks_chart(log) if len(log.marks) or len(log.goal) else "",
        "chunks": chunk_chart(log) if timed else "",
        "more": f", the first {CHUNKS_SHOWN} of {len(log.chunks)}" if len(log.chunks) > CHUNKS_SHOWN else "",
        "time": time_chart(log) if len(active(log)) else "",
    }


def _episode_table(found: dict[str, Any]) -> Table:
    rows = [
        [episode["name"], *(number(episode["metrics"][name]) for name in COLUMNS), str(len(episode["faults"]))]
        for episode in found["episodes"]
    ]
    return "Episodes", ["episode", *COLUMNS, "faults"], rows, range(1, len(COLUMNS) + 2)


def _metric_table(found: dict[str, Any]) -> Table:
    many = len(found["episodes"]) > 1
    rows = []
    for name, metric in METRICS.items():
        summary = found["metrics"][name]
        spread = [_interval(summary["ci95"])] if many else []
        rows.append([name, number(summary["mean"]), *spread, metric.unit, metric.meaning])
    head = ["metric", *(["mean", "95 % interval"] if many else ["value"]), "unit", "meaning"]
    return "Metrics", head, rows, (1, 2) if many else (1,)


def _fault_table(logs: Sequence[EpisodeLog]) -> Table:
    rows = [
        [name_of(log), f"{(t_ns - log.cycles.t_ns[0]) / 1e9:.2f}" if len(log.cycles) else "", node, kind, detail]
        for log in logs
        for t_ns, node, kind, detail in log.faults
    ]
    if len(rows) > FAULTS:
        rows[FAULTS:] = [["", "", "", "", f"{len(rows) - FAULTS} more in report.json"]]
    return "Faults", ["episode", "s", "node", "kind", "detail"], rows, (1,)


def _run_table(found: dict[str, Any]) -> Table:
    rows = [[key, _short(value)] for part in ("meta", "extra") for key, value in found[part].items()]
    return "Run", ["setting", "value"], rows, ()


def _interval(ends: Sequence[float]) -> str:
    return f"{number(ends[0])} to {number(ends[1])}" if all(isfinite(end) for end in ends) else ""


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"{value[0]} \N{HORIZONTAL ELLIPSIS} {value[-1]} ({len(value)} values)"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 160 else text[:157] + "..."
