"""The report of a run: `report.json` with every metric, and `report.html`, one file that needs no network.

Charts are SVG drawn by matplotlib and stand in the page itself. Episodes are shown in detail until the page has
reached DETAIL_BYTES; the tables and the JSON always hold all of them.
"""

import json
import re
from collections.abc import Callable, Sequence
from html import escape
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from operators.episode_log import ChunkRecord, Cycles, EpisodeLog
from operators.messages import HZ
from operators.metrics import (
    METRICS,
    WINDOW,
    Interval,
    active,
    aggregate,
    distance_mm,
    episode_metrics,
    is_late,
    jitter_ms,
    jump_floor_mm,
    plan_time,
    seam_jumps_mm,
    step_mm,
    switches,
    third_difference_mm,
)

DETAIL_BYTES = 1_000_000
CHUNKS_SHOWN = 48
FORCE_BAND_N = (1.0, 3.0)
SPEED_LIMIT_MM_S = 120.0
TIGHT: dict[str, Any] = {"columnspacing": 1.0, "handlelength": 1.0, "handletextpad": 0.4, "borderaxespad": 0.2}
FAR_MM = 3.0  # ink farther than this from the target is marked

INK, MUTED, GRID = "#1c2430", "#667085", "#e6e9ef"
BLUE, TEAL, AMBER, RED, VIOLET, GREY, SKY = "#2563eb", "#0f9b8e", "#e59a1f", "#d43d3d", "#7c5cd6", "#c9d0da", "#a9cdf5"

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # the page's own font: small, sharp, can be copied
    "svg.hashsalt": "report",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#b8c0cc",
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.2,
    "lines.solid_joinstyle": "round",
}


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
    with matplotlib.rc_context(_STYLE):
        (directory / "report.html").write_text(_page(logs, found), encoding="utf-8")


def report(logs: Sequence[EpisodeLog], extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `report.json` holds: meta of the run, metrics over episodes, and each episode by itself."""
    measured = [episode_metrics(log) for log in logs]
    episodes = [
        {"name": _name(log), "meta": log.meta, "metrics": found, "score": log.score, "faults": _faults(log)}
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


def _name(log: EpisodeLog) -> str:
    return str(log.meta.get("name", log.meta.get("episode", "episode")))


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


# The charts


def stroke_chart(log: EpisodeLog) -> str:
    """What was written over what should be."""
    figure, axes = _figure(5.4, 4.0)
    if len(log.target):
        axes.plot(*(1e3 * log.target.T), color=SKY, linewidth=6, solid_capstyle="round", label="target")
    for i, stroke in enumerate(_strokes(log)):
        axes.plot(*(1e3 * stroke.T), color=INK, linewidth=1.4, label=None if i else "ink")
    if len(log.ink) and len(log.target):
        far = log.ink[distance_mm(log.ink, log.target) > FAR_MM]
        if len(far):
            label = f"farther than {FAR_MM:g} mm"
            axes.plot(*(1e3 * far.T), ".", color=RED, markersize=3, rasterized=len(far) > 2000, label=label)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.set(xlabel="mm", ylabel="mm")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper left", ncols=3, **TIGHT)
    return _svg(figure, f"Stroke of {_name(log)}: target and ink")


def time_chart(log: EpisodeLog) -> str:
    """Commanded speed and jerk and the measured force over time, with chunk boundaries and stops."""
    cycles = active(log)
    time = (cycles.cycle - cycles.cycle[0]) / HZ
    figure = Figure(figsize=(9.6, 5.0), layout="constrained")
    speed, jerk, force = figure.subplots(3, 1, sharex=True, height_ratios=(1.1, 1, 1))
    for axes in (speed, jerk, force):
        _shade_stops(axes, time, cycles)
    _mark_switches(speed, log, cycles)
    speed.plot(time, HZ * step_mm(cycles.planned), color=BLUE)
    speed.axhline(SPEED_LIMIT_MM_S, color=RED, linewidth=0.9, linestyle=(0, (5, 3)))
    speed.set_ylim(0, 1.15 * max(SPEED_LIMIT_MM_S, speed.dataLim.ymax))
    speed.set_title("commanded speed, mm/s")
    sizes = third_difference_mm(cycles.planned)
    jerk.plot(time, sizes, color=VIOLET, linewidth=0.9)
    _fit_to_most(jerk, sizes)
    jerk.set_title("command jerk, mm/tick³")
    _draw_force(force, log, cycles)
    force.set(xlabel="seconds since the first played row", xlim=(0, max(time[-1], 1 / HZ)))
    return _svg(figure, f"Speed, jerk and force of {_name(log)} over time")


def chunk_chart(log: EpisodeLog) -> str:
    """One bar a chunk, from its request to the first command that played a row of it."""
    chunks = [chunk for chunk in log.chunks if chunk.request_ns is not None][:CHUNKS_SHOWN]
    figure, axes = _figure(5.4, 4.0)
    stages = {
        "waiting": (GREY, [_stage(chunk, "request_ns", "inference_start_ns") for chunk in chunks]),
        "inference": (BLUE, [_stage(chunk, "inference_start_ns", "inference_end_ns") for chunk in chunks]),
        "decoding": (TEAL, [_stage(chunk, "inference_end_ns", "handed_ns") for chunk in chunks]),
        "refine": (VIOLET, [_refinement(chunk) for chunk in chunks]),
        "hand-over": (AMBER, [_stage(chunk, "handed_ns", "takeover_ns") for chunk in chunks]),
    }
    for label, (colour, bars) in stages.items():
        kept = {i: bar for i, bar in enumerate(bars) if bar is not None}
        if kept:
            left, width = zip(*kept.values(), strict=True)
            axes.barh(list(kept), width, 0.74, left, color=colour, label=label)
    late = [i for i, chunk in enumerate(chunks) if is_late(chunk)]
    if late:
        axes.scatter(np.full(len(late), -1.5), late, s=9, color=RED, marker="D", clip_on=False, label="late")
    axes.set(ylim=(max(len(chunks), 4) - 0.4, -0.6), xlabel="ms since the request", ylabel="chunk")
    axes.set_xlim(-3, None)
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=6, **TIGHT)
    return _svg(figure, f"Way of each chunk of {_name(log)} from request to takeover")


def delay_chart(logs: Sequence[EpisodeLog]) -> str:
    """How many ticks lie between observation and takeover."""
    delays = [chunk.arrival_tick - chunk.t0 for log in logs for chunk in log.chunks if chunk.arrival_tick is not None]
    figure, axes = _figure(3.7, 2.4)
    values, counts = np.unique(np.array(delays, np.int64), return_counts=True)
    axes.bar(values, counts, 0.8, color=TEAL)
    _whole_numbers(axes)
    _say_if_empty(axes, not delays)
    axes.set(xlabel="delay, ticks", ylabel="chunks")
    return _svg(figure, "Histogram of the inference delay")


def jitter_chart(logs: Sequence[EpisodeLog]) -> str:
    """Errors of the command period."""
    jitter = np.concatenate([jitter_ms(log.cycles) for log in logs])
    figure, axes = _figure(3.7, 2.4)
    axes.hist(jitter, bins=40, range=(0, max(float(jitter.max(initial=0)), 0.05)), color=BLUE, log=len(jitter) > 0)
    if len(jitter):
        for percent, label, style in ((50, "p50", "-"), (99, "p99", "--"), (100, "max", ":")):
            value = float(np.percentile(jitter, percent))
            axes.axvline(value, color=RED, linewidth=1.1, linestyle=style, label=f"{label} {_number(value)} ms")
        figure.legend(loc="outside upper left", ncols=3, **TIGHT)
    _say_if_empty(axes, not len(jitter))
    axes.set(xlabel="error of the period against 1/60 s, ms", ylabel="cycles")
    return _svg(figure, "Histogram of the jitter of the command period")


def seam_chart(logs: Sequence[EpisodeLog]) -> str:
    """Velocity jumps at switches against the same window inside chunks."""
    jumps = np.concatenate([seam_jumps_mm(plan_time(log)) for log in logs])
    handed = [chunk.handed.action for log in logs for chunk in log.chunks if chunk.handed is not None]
    floor = jump_floor_mm(handed, seed=0)
    figure, axes = _figure(3.7, 2.4)
    for values, colour, label in ((floor, GREY, "inside chunks (floor)"), (jumps, VIOLET, "at switches")):
        ordered = np.sort(values[np.isfinite(values)])
        if len(ordered):
            share = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
            axes.step([0, *ordered], [0, *share], where="post", color=colour, linewidth=2, label=label)
    axes.set(xlabel=f"largest velocity jump in {WINDOW + 1} rows, mm/tick", ylabel="% of windows", ylim=(0, 104))
    axes.set_xlim(0, None)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper left", ncols=2, **TIGHT)
    _say_if_empty(axes, not axes.lines)
    return _svg(figure, "Velocity jumps at switches and inside chunks")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Figure, title: str) -> str:
    """The figure as an SVG element with numbers of two decimals, scaled by the page."""
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(
        r'^<svg [^>]*viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{escape(title)}">', svg
    )
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = svg.replace("'DejaVu Sans', sans-serif", "inherit").replace("'DejaVu Sans'", "inherit")
    return re.sub(r"\s*\n\s*", "\n", svg.replace("xlink:href", "href"))


def _strokes(log: EpisodeLog) -> list[np.ndarray]:
    return [stroke for stroke in np.split(log.ink, log.pen_down[log.pen_down > 0]) if len(stroke)]


def _shade_stops(axes: Axes, time: np.ndarray, cycles: Cycles) -> None:
    for states, colour in ((("braking", "holding"), RED), (("waiting",), AMBER)):
        stopped = np.isin(cycles.state, states)
        edges = np.flatnonzero(np.diff(stopped, prepend=False, append=False))
        spans = [(float(time[first]) - 0.5 / HZ, float(last - first) / HZ) for first, last in edges.reshape(-1, 2)]
        axes.broken_barh(spans, (0, 1), transform=axes.get_xaxis_transform(), color=colour, alpha=0.16, linewidth=0)


def _mark_switches(axes: Axes, log: EpisodeLog, cycles: Cycles) -> None:
    """A small mark at the top for each switch."""
    plan = plan_time(log)
    ticks = np.array([plan.tick + switch.start for switch in switches(plan)], np.int64)
    at = np.searchsorted(cycles.tick, ticks)
    time = (cycles.cycle[at[at < len(cycles)]] - cycles.cycle[0]) / HZ
    axes.plot(time, np.full(len(time), 0.96), "|", color=INK, markersize=7, transform=axes.get_xaxis_transform())


def _fit_to_most(axes: Axes, sizes: np.ndarray) -> None:
    """Let a few peaks run out of the chart rather than flatten everything else; tell the highest."""
    finite = sizes[np.isfinite(sizes)]
    if len(finite) and finite.max() > 0:
        top = min(1.1 * finite.max(), 2.5 * max(float(np.percentile(finite, 99)), 1e-3))
        axes.set_ylim(0, top)
        text = f"highest {_number(float(finite.max()))}"
        axes.text(1, 1.03, text, transform=axes.transAxes, ha="right", va="bottom", color=MUTED, fontsize=8)


def _draw_force(axes: Axes, log: EpisodeLog, cycles: Cycles) -> None:
    axes.axhspan(*FORCE_BAND_N, color=TEAL, alpha=0.13, linewidth=0)
    axes.set_title(f"normal force, N (band {FORCE_BAND_N[0]:g}-{FORCE_BAND_N[1]:g} N)")
    axes.plot(_proprio_time(log, cycles), log.proprio.wrench[:, 2], color=TEAL, linewidth=1)
    if not len(log.proprio):
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _proprio_time(log: EpisodeLog, cycles: Cycles) -> np.ndarray:
    """Seconds since the first played row: by the clock, or by ticks where none was read."""
    if cycles.t_ns[0] != cycles.t_ns[-1]:
        return (log.proprio.t_ns - cycles.t_ns[0]) / 1e9
    first = np.unique(cycles.tick, return_index=True)[1]
    return np.interp(log.proprio.tick - 1, cycles.tick[first], (cycles.cycle[first] - cycles.cycle[0]) / HZ)


def _stage(chunk: ChunkRecord, start: str, end: str) -> tuple[float, float] | None:
    """Left edge and width [ms since the request] of one stage; None where a station is not known."""
    first, last = getattr(chunk, start), getattr(chunk, end)
    if first is None or last is None or chunk.request_ns is None:
        return None
    return (first - chunk.request_ns) / 1e6, (last - first) / 1e6


def _refinement(chunk: ChunkRecord) -> tuple[float, float] | None:
    """Refinement is the last thing done before a chunk is handed over."""
    if chunk.handed_ns is None or chunk.request_ns is None or not chunk.refine_ms:
        return None
    return (chunk.handed_ns - chunk.request_ns) / 1e6 - chunk.refine_ms, chunk.refine_ms


def _say_if_empty(axes: Axes, empty: bool) -> None:
    if empty:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _whole_numbers(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


# The page


def _page(logs: Sequence[EpisodeLog], found: dict[str, Any]) -> str:
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
    page = f"<!doctype html>\n<html lang=en><head>{head}<title>{escape(title)}</title><style>{CSS}</style></head>"
    return f"{page}\n<body><main>\n{chr(10).join(body)}\n</main></body></html>\n"


def _chips(meta: dict[str, Any]) -> str:
    shown = [key for key in ("policy", "codec", "refine", "margin", "join", "latency_ms", "seed") if key in meta]
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
    delay_ms = 1e3 * mean["delay_ticks"] / HZ
    return [
        _tile("success", verdict, "", chance, good),
        _tile("deviation", _number(mean["deviation_mm"]), "mm", f"p95 {_number(mean['deviation_p95_mm'])} mm"),
        _tile(
            "velocity jump",
            _number(mean["velocity_jump"]),
            "mm/tick",
            f"floor inside chunks {_number(mean['velocity_jump_floor'])}",
        ),
        _tile("starved", _number(mean["starved_percent"]), "%", f"waiting {_number(mean['waiting_percent'])} %"),
        _tile(
            "delay",
            _number(mean["delay_ticks"]),
            "ticks",
            f"{_number(delay_ms)} ms, {_number(mean['late_handover'])} late",
        ),
        _tile("inference", _number(mean["inference_ms_p50"]), "ms", f"p99 {_number(mean['inference_ms_p99'])} ms"),
        _tile("jitter p99", _number(mean["jitter_ms_p99"]), "ms", f"max {_number(mean['jitter_ms_max'])} ms"),
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
    seconds = f"{_number(len(active(log)) / HZ)} s"
    line = f"{_name(log)} <small>{seconds}, deviation {_number(metrics['deviation_mm'])} mm, "
    line += f"velocity jump {_number(metrics['velocity_jump'])} mm/tick, faults {len(log.faults)}</small>"
    drawn = [
        _card("Written stroke", "ink over the target", stroke_chart(log)) if len(log.ink) or len(log.target) else "",
        _card("Timing of each chunk", _chunk_note(log), chunk_chart(log)) if _timed(log) else "",
    ]
    legend = (
        "<i class=mark></i> a new chunk takes over <i class=red></i> braking or holding <i class=amber></i> waiting"
        " <i class=dash></i> 120 mm/s"
    )
    timeline = _card("Over time", legend, time_chart(log), wide=True) if played else ""
    score = "".join(f"<span class=chip>{escape(k)} <b>{_number(v)}</b></span>" for k, v in log.score.items())
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
        "boundary_gap_mm",
        "starved_percent",
        "delay_ticks",
    )
    rows = [
        [episode["name"], *(_number(episode["metrics"][name]) for name in names), str(len(episode["faults"]))]
        for episode in found["episodes"]
    ]
    return _table("Episodes", ["episode", *names, "faults"], rows, _is_number)


def _metric_table(found: dict[str, Any]) -> str:
    many = len(found["episodes"]) > 1
    rows = []
    for name, metric in METRICS.items():
        summary = found["metrics"][name]
        spread = [_interval(summary["ci95"])] if many else []
        rows.append([name, _number(summary["mean"]), *spread, metric.unit, metric.meaning])
    head = ["metric", "mean" if many else "value", *(["95 % interval"] if many else []), "unit", "meaning"]
    return _table("Metrics", head, rows, lambda column: column in (1, 2) if many else column == 1)


def _fault_table(logs: Sequence[EpisodeLog]) -> str:
    rows = [
        [_name(log), f"{(t_ns - log.cycles.t_ns[0]) / 1e9:.2f}" if len(log.cycles) else "", node, kind, detail]
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
    return f"{_number(ends[0])} to {_number(ends[1])}" if all(isfinite(end) for end in ends) else ""


def _number(value: float) -> str:
    """Three significant digits, an en dash where there is no number."""
    if not isfinite(value):
        return "\N{EN DASH}"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"{value[0]} \N{HORIZONTAL ELLIPSIS} {value[-1]} ({len(value)} values)"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 160 else text[:157] + "..."


CSS = """
:root{color-scheme:light;--ink:#1c2430;--muted:#667085;--line:#e3e7ed;--page:#f5f7fa;--good:#0b7a4b;--bad:#b42318}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
 font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}
h1{margin:0 0 8px;font-size:26px;letter-spacing:-.01em}
h2{margin:34px 0 12px;font-size:18px}
.chip{display:inline-block;margin:0 6px 6px 0;padding:2px 10px;border:1px solid var(--line);border-radius:99px;
 background:#fff;font-size:13px;color:var(--muted)}
.chip b{color:var(--ink);font-weight:600}
.tiles{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));margin:14px 0 24px}
.tile,.card,.scroll,details{background:#fff;border:1px solid var(--line);border-radius:12px}
.tile{padding:14px 16px;border-top:3px solid #c9d0da}
.tile.good{border-top-color:var(--good)}.tile.good b{color:var(--good)}
.tile.bad{border-top-color:var(--bad)}.tile.bad b{color:var(--bad)}
.tile h3{margin:0;font-size:13px;font-weight:600;color:var(--muted)}
.tile p{margin:0}.tile b{font-size:28px;font-weight:650;letter-spacing:-.02em}
small,.note,figcaption{color:var(--muted)}.note,figcaption{font-size:13px}
figcaption b{color:var(--ink);font-size:15px;margin-right:6px}
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
