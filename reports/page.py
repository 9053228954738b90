"""The page of a run's report: tiles, charts and tables, one file that needs no network.

Episodes are shown in detail until the page has reached DETAIL_BYTES; the tables always hold all of them.
"""

import json
from collections.abc import Callable, Sequence
from html import escape
from math import isfinite
from typing import Any

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


def page(logs: Sequence[EpisodeLog], found: dict[str, Any]) -> str:
    """HTML of episodes and of what `reports.report.report` found out about them."""
    meta = found["meta"]
    title = " · ".join(str(meta[key]) for key in ("task", "mode") if isinstance(meta.get(key), str)) or "episodes"
    pooled = [
        _card("Velocity jump", "how hard chunks meet, against the same measure inside chunks", seam_chart(logs)),
        _card("Inference delay", "ticks played between observation and takeover", delay_chart(logs)),
        _card("Cycle jitter", "how even the 60 Hz command is", jitter_chart(logs)),
    ]
    body = [
        f"<header><h1>{escape(title)}</h1><p>{_chips(meta)}</p></header>",
        f'<section class="tiles">{"".join(_tiles(found))}</section>',
        *_episodes(logs, found),
        f'<h2>All episodes together</h2><section class="cards">{"".join(pooled)}</section>',
        _episode_table(found) if len(logs) > 1 else "",
        _metric_table(found),
        _fault_table(logs),
        _meta_table(found),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    top = f"<!doctype html>\n<html lang=en><head>{head}<title>{escape(title)}</title><style>{CSS}</style></head>"
    return f"{top}\n<body><main>\n{chr(10).join(body)}\n</main></body></html>\n"


def _chips(meta: dict[str, Any]) -> str:
    shown = [
        key for key in ("policy", "codec", "refine", "margin", "join", "align", "latency_ms", "seed") if key in meta
    ]
    return "".join(f"<span class=chip>{escape(key)} <b>{escape(_short(meta[key]))}</b></span>" for key in shown)


def _tiles(found: dict[str, Any]) -> list[str]:
    metrics: dict[str, Interval] = found["metrics"]
    mean = {name: metrics[name]["mean"] for name in metrics}
    success = metrics["success"]
    n, share = success["n"], success["mean"]
    good = "" if not n else " good" if share >= 0.5 else " bad"
    verdict = "not judged" if not n else ("yes" if share else "no") if n == 1 else f"{round(share * n)} of {n}"
    chance = (
        f"95 %: {100 * success['ci95'][0]:.0f}-{100 * success['ci95'][1]:.0f} %" if n > 1 else "by the task's score"
    )
    told = mean["observation_age_ms"]
    age_ms = told if isfinite(told) else 1e3 * mean["delay_ticks"] / HZ
    return [
        _tile("success", verdict, "", chance, good),
        _tile("deviation", number(mean["deviation_mm"]), "mm", f"p95 {number(mean['deviation_p95_mm'])} mm"),
        _tile(
            "velocity jump",
            number(mean["velocity_jump"]),
            "mm/tick",
            f"floor inside chunks {number(mean['velocity_jump_floor'])}",
        ),
        _tile(
            "surging",
            number(100 * mean["speed_ripple"]),
            "% of the speed",
            f"acceleration {number(mean['acceleration_rms_mm_s2'])} mm/s², {number(mean['speed_drops_per_s'])} drops/s",
        ),
        _tile("starved", number(mean["starved_percent"]), "%", f"waiting {number(mean['waiting_percent'])} %"),
        _tile(
            "delay",
            number(mean["delay_ticks"]),
            "ticks",
            f"{number(age_ms)} ms from picture to command, {number(mean['late_handover'])} late",
        ),
        _tile("inference", number(mean["inference_ms_p50"]), "ms", f"p99 {number(mean['inference_ms_p99'])} ms"),
        _tile("jitter p99", number(mean["jitter_ms_p99"]), "ms", f"max {number(mean['jitter_ms_max'])} ms"),
    ]


def _tile(name: str, value: str, unit: str, note: str, mood: str = "") -> str:
    big = f"<b>{escape(value)}</b> <small>{escape(unit)}</small>"
    return f'<div class="tile{mood}"><h3>{escape(name)}</h3><p>{big}</p><p class=note>{escape(note)}</p></div>'


def _episodes(logs: Sequence[EpisodeLog], found: dict[str, Any]) -> list[str]:
    """Episodes in detail, the first one open, as many as fit."""
    parts, size = [], 0
    for i, (log, episode) in enumerate(zip(logs, found["episodes"], strict=True)):
        if size > DETAIL_BYTES:
            parts.append(f"<p class=note>Episodes not drawn here: {len(logs) - i}. See the tables and report.json.</p>")
            break
        parts.append(_episode(log, episode["metrics"], opened=i == 0))
        size += len(parts[-1])
    return parts


def _episode(log: EpisodeLog, metrics: dict[str, float], opened: bool) -> str:
    played = len(active(log)) > 0
    seconds = f"{number(len(active(log)) / HZ)} s"
    line = f"{name_of(log)} <small>{seconds}, deviation {number(metrics['deviation_mm'])} mm, "
    line += f"velocity jump {number(metrics['velocity_jump'])} mm/tick, faults {len(log.faults)}</small>"
    drawn = [
        _card("Marks", "over the goal", marks_chart(log)) if len(log.marks) or len(log.goal) else "",
        _card("Timing of each chunk", _chunk_note(log), chunk_chart(log)) if _timed(log) else "",
    ]
    legend = (
        "<i class=mark></i> a new chunk takes over <i class=red></i> braking or holding <i class=amber></i> waiting"
        " <i class=dash></i> 120 mm/s"
    )
    timeline = _card("Over time", legend, time_chart(log), wide=True) if played else ""
    score = "".join(f"<span class=chip>{escape(k)} <b>{number(v)}</b></span>" for k, v in log.score.items())
    inside = f'<p class=score>{score}</p><section class="cards pair">{"".join(drawn)}{timeline}</section>'
    return f"<details{' open' if opened else ''}><summary>{line}</summary>{inside}</details>"


def _timed(log: EpisodeLog) -> bool:
    """Whether a clock was read on the way of any chunk."""
    return any(chunk.request_ns is not None and chunk.inference_end_ns is not None for chunk in log.chunks)


def _chunk_note(log: EpisodeLog) -> str:
    more = f", the first {CHUNKS_SHOWN} of {len(log.chunks)}" if len(log.chunks) > CHUNKS_SHOWN else ""
    return f"request to takeover{more}"


def _card(title: str, note: str, chart: str, wide: bool = False) -> str:
    kind = "card wide" if wide else "card"
    return f'<figure class="{kind}"><figcaption><b>{escape(title)}</b> {note}</figcaption><div>{chart}</div></figure>'


def _episode_table(found: dict[str, Any]) -> str:
    names = (
        "success",
        "completion_s",
        "deviation_mm",
        "velocity_jump",
        "speed_ripple",
        "acceleration_rms_mm_s2",
        "boundary_gap_mm",
        "starved_percent",
        "delay_ticks",
    )
    rows = [
        [episode["name"], *(number(episode["metrics"][name]) for name in names), str(len(episode["faults"]))]
        for episode in found["episodes"]
    ]
    return _table("Episodes", ["episode", *names, "faults"], rows, _is_number)


def _metric_table(found: dict[str, Any]) -> str:
    many = len(found["episodes"]) > 1
    rows = []
    for name, metric in METRICS.items():
        summary = found["metrics"][name]
        spread = [_interval(summary["ci95"])] if many else []
        rows.append([name, number(summary["mean"]), *spread, metric.unit, metric.meaning])
    head = ["metric", "mean" if many else "value", *(["95 % interval"] if many else []), "unit", "meaning"]
    return _table("Metrics", head, rows, lambda column: column in (1, 2) if many else column == 1)


def _fault_table(logs: Sequence[EpisodeLog]) -> str:
    rows = [
        [name_of(log), f"{(t_ns - log.cycles.t_ns[0]) / 1e9:.2f}" if len(log.cycles) else "", node, kind, detail]
        for log in logs
        for t_ns, node, kind, detail in log.faults
    ]
    if not rows:
        return "<h2>Faults</h2><p>None.</p>"
    table = _table("Faults", ["episode", "s", "node", "kind", "detail"], rows[:200], lambda column: column == 1)
    return table + (f"<p class=note>{len(rows) - 200} more in report.json.</p>" if len(rows) > 200 else "")


def _meta_table(found: dict[str, Any]) -> str:
    rows = [[key, _short(value)] for part in ("meta", "extra") for key, value in found[part].items()]
    return _table("Run", ["setting", "value"], rows, lambda column: False)


def _table(title: str, head: list[str], rows: list[list[str]], right: Callable[[int], bool]) -> str:
    def line(cells: list[str], tag: str) -> str:
        kinds = [" class=n" if right(i) else "" for i in range(len(cells))]
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<h2>{title}</h2><div class=scroll><table><tr>{line(head, 'th')}</tr>{body}</table></div>"


def _is_number(column: int) -> bool:
    return column > 0


def _interval(ends: Sequence[float]) -> str:
    return f"{number(ends[0])} to {number(ends[1])}" if all(isfinite(end) for end in ends) else ""


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"{value[0]} \N{HORIZONTAL ELLIPSIS} {value[-1]} ({len(value)} values)"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 160 else text[:157] + "..."


CSS = """
:root{color-scheme:light;--dark:#1c2430;--muted:#667085;--line:#e3e7ed;--page:#f5f7fa;--good:#0b7a4b;--bad:#b42318}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--dark);
 font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}
h1{margin:0 0 8px;font-size:26px;letter-spacing:-.01em}
h2{margin:34px 0 12px;font-size:18px}
.chip{display:inline-block;margin:0 6px 6px 0;padding:2px 10px;border:1px solid var(--line);border-radius:99px;
 background:#fff;font-size:13px;color:var(--muted)}
.chip b{color:var(--dark);font-weight:600}
.tiles{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));margin:14px 0 24px}
.tile,.card,.scroll,details{background:#fff;border:1px solid var(--line);border-radius:12px}
.tile{padding:14px 16px;border-top:3px solid #c9d0da}
.tile.good{border-top-color:var(--good)}.tile.good b{color:var(--good)}
.tile.bad{border-top-color:var(--bad)}.tile.bad b{color:var(--bad)}
.tile h3{margin:0;font-size:13px;font-weight:600;color:var(--muted)}
.tile p{margin:0}.tile b{font-size:28px;font-weight:650;letter-spacing:-.02em}
small,.note,figcaption{color:var(--muted)}.note,figcaption{font-size:13px}
figcaption b{color:var(--dark);font-size:15px;margin-right:6px}
details{margin:0 0 12px;padding:0 16px}details[open]{padding-bottom:16px}
details .card{border-color:var(--line);background:#fff}
summary{cursor:pointer;padding:12px 0;font-weight:650;font-size:17px}
summary small{font-weight:400;font-size:13px;margin-left:8px}
.cards{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(330px,100%),1fr));align-items:start}
.pair{grid-template-columns:repeat(auto-fit,minmax(min(430px,100%),1fr))}
.score{margin:0 0 6px}
.card{margin:0;padding:12px 14px;min-width:0}.card div{overflow-x:auto}
.card svg{display:block;width:100%;height:auto;min-width:320px;font-family:inherit}
.wide{grid-column:1/-1}.wide svg{min-width:720px}
figcaption i{display:inline-block;width:14px;height:12px;margin:0 4px 0 10px;vertical-align:-1px;border-radius:2px}
.red{background:#f8dede}.amber{background:#fbeed7}
figcaption .mark{width:2px;background:#1c2430}
figcaption .dash{height:0;border-top:2px dashed #d43d3d;vertical-align:4px;border-radius:0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{padding:6px 12px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
th{color:var(--muted);font-weight:600;white-space:nowrap}
td:first-child{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:12.5px;white-space:nowrap}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
@media(max-width:640px){main{padding:18px 12px 40px}h1{font-size:21px}
 .tiles{grid-template-columns:1fr 1fr}.tile b{font-size:23px}}
"""
