"""The report of a run: `report.json` with every metric, and `report.html` to look at."""

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from operators.measure.intervals import aggregate
from operators.measure.log import EpisodeLog
from operators.measure.metrics import METRICS, episode_metrics
from reports.charts import name_of
from reports.page import page
from reports.palette import styled


@styled
def write_report(logs: Sequence[EpisodeLog], directory: Path | str, extra: dict[str, Any] | None = None) -> None:
    """Write `report.json` and `report.html` of one or more episodes.

    Args:
        logs: the episodes, in order.
        directory: made if it is not there.
        extra: JSON values that belong to the run and to no episode.

    Raises:
        ValueError: no episode.
    """
    if not logs:
        raise ValueError("expected at least one episode to report, got none")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    found = report(logs, extra)
    text = json.dumps(_without_nan(found), indent=1, allow_nan=False)
    (directory / "report.json").write_text(text + "\n", encoding="utf-8")
    (directory / "report.html").write_text(page(logs, found), encoding="utf-8")


def report(logs: Sequence[EpisodeLog], extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `report.json` holds: meta of the run, metrics over episodes, and each episode by itself."""
    measured = [episode_metrics(log) for log in logs]
    episodes = [
        {"name": name_of(log), "meta": log.meta, "metrics": found, "score": log.score, "faults": _faults(log)}
        for log, found in zip(logs, measured, strict=True)
    ]
    return {
        "meta": _shared_meta(logs),
        "extra": extra or {},
        "metrics": aggregate(measured),
        "score": aggregate([log.score for log in logs]),
        "units": {name: metric.unit for name, metric in METRICS.items()},
        "episodes": episodes,
    }


def _faults(log: EpisodeLog) -> list[dict[str, Any]]:
    return [dict(zip(("t_ns", "node", "kind", "detail"), fault, strict=True)) for fault in log.faults]


def _shared_meta(logs: Sequence[EpisodeLog]) -> dict[str, Any]:
    """What all episodes have in common; the others as a list."""
    keys = dict.fromkeys(key for log in logs for key in log.meta)
    found = {key: [log.meta.get(key) for log in logs] for key in keys}
    return {key: values[0] if all(value == values[0] for value in values) else values for key, values in found.items()}


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: null in its place."""
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
