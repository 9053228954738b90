"""The charts of a run's report, as SVG elements drawn by matplotlib."""

import re
from collections.abc import Sequence
from html import escape
from io import StringIO
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from operators.measure.jerk import step_mm, third_difference_mm
from operators.measure.log import ChunkRecord, Cycles, EpisodeLog, active
from operators.measure.metrics import distance_mm
from operators.measure.plan_time import plan_time, switches
from operators.measure.seams import WINDOW, jump_floor_mm, seam_jumps_mm
from operators.measure.steadiness import every_cycle, execution_horizon_s, paced
from operators.measure.timing import is_late, jitter_ms
from operators.messages import HZ
from reports.palette import AMBER, BLUE, DARK, GREY, MUTED, RED, SKY, TEAL, VIOLET

CHUNKS_SHOWN = 48
STATIONS = "request_ns", "exposed_ns", "inference_start_ns", "inference_end_ns", "handed_ns", "takeover_ns"
FORCE_BAND_N = (1.0, 3.0)
SPEED_LIMIT_MM_S = 120.0
TIGHT: dict[str, Any] = {"columnspacing": 1.0, "handlelength": 1.0, "handletextpad": 0.4, "borderaxespad": 0.2}
FAR_MM = 3.0  # marks farther than this from the goal are shown in red


def marks_chart(log: EpisodeLog) -> str:
    """What the tool left over what it should."""
    figure, axes = _figure(5.4, 4.0)
    if len(log.goal):
        axes.plot(*(1e3 * log.goal.T), color=SKY, linewidth=6, solid_capstyle="round", label="goal")
    for i, line in enumerate(np.split(log.marks, log.begins[log.begins > 0])):
        axes.plot(*(1e3 * line.T), color=DARK, linewidth=1.4, label=None if i else "marks")
    if len(log.marks) and len(log.goal):
        far = log.marks[distance_mm(log.marks, log.goal) > FAR_MM]
        if len(far):
            label = f"farther than {FAR_MM:g} mm"
            axes.plot(*(1e3 * far.T), ".", color=RED, markersize=3, rasterized=len(far) > 2000, label=label)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.set(xlabel="mm", ylabel="mm")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper left", ncols=3, **TIGHT)
    return _svg(figure, f"Marks and goal of {name_of(log)}")


def time_chart(log: EpisodeLog) -> str:
    """Commanded speed, shifts of chunks, jerk and the measured force over time, with chunk boundaries and stops."""
    cycles = active(log)
    time = (cycles.cycle - cycles.cycle[0]) / HZ
    shifted = any(chunk.shift_ticks for chunk in log.chunks)
    heights = {"speed": 1.5, **({"shift": 0.7} if shifted else {}), "jerk": 0.8, "force": 0.8}
    figure = Figure(figsize=(9.6, 2 * sum(heights.values())), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=list(heights.values()))
    drawn = dict(zip(heights, panels, strict=True))
    speed, jerk, force = drawn["speed"], drawn["jerk"], drawn["force"]
    for axes in panels:
        _shade_stops(axes, time, cycles)
    if shifted:
        _draw_shifts(drawn["shift"], log, cycles)
    _mark_switches(speed, log, cycles)
    _draw_reference_speed(speed, log)
    speed.plot(time, HZ * step_mm(cycles.planned), color=BLUE, label="commanded")
    speed.axhline(SPEED_LIMIT_MM_S, color=RED, linewidth=0.9, linestyle=(0, (5, 3)))
    speed.set_ylim(0, 1.15 * max(SPEED_LIMIT_MM_S, speed.dataLim.ymax))
    speed.set_title("commanded speed, mm/s")
    if len(log.reference):
        speed.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, **TIGHT)
    sizes = third_difference_mm(cycles.planned)
    jerk.plot(time, sizes, color=VIOLET, linewidth=0.9)
    _fit_to_most(jerk, sizes)
    jerk.set_title("command jerk, mm/tick³")
    _draw_force(force, log, cycles)
    force.set(xlabel="seconds since the first played row", xlim=(0, max(time[-1], 1 / HZ)))
    return _svg(figure, f"Speed, jerk and force of {name_of(log)} over time")


def chunk_chart(log: EpisodeLog) -> str:
    """One bar a chunk, from its request to the first command that played a row of it.

    It waits for a picture to be taken, the picture comes to the policy, it is inferred, decoded, refined, handed over.
    """
    chunks = [chunk for chunk in log.chunks if chunk.request_ns is not None][:CHUNKS_SHOWN]
    figure, axes = _figure(5.4, 4.0)
    request, exposed, begun, ended, handed, taken = (_ms(chunks, name) for name in STATIONS)
    refine = np.array([chunk.refine_ms or np.nan for chunk in chunks])
    stages = {  # from, to
        "waiting": (GREY, request, np.fmax(exposed, request)),  # for its picture, if that was taken after the request
        "picture": (SKY, exposed, begun),
        "inference": (BLUE, begun, ended),
        "decoding": (TEAL, ended, handed),
        "refine": (VIOLET, handed - refine, handed),  # the last thing done before a chunk is handed over
        "hand-over": (AMBER, handed, taken),
    }
    for label, (colour, start, end) in stages.items():
        known = np.flatnonzero(np.isfinite(end - start))
        if len(known):
            axes.barh(known, (end - start)[known], 0.74, start[known], color=colour, label=label)
    late = [i for i, chunk in enumerate(chunks) if is_late(chunk)]
    if late:
        at = np.full(len(late), -0.01), late
        axes.scatter(*at, s=9, color=RED, marker="D", clip_on=False, label="late", transform=axes.get_yaxis_transform())
    axes.set(ylim=(max(len(chunks), 4) - 0.4, -0.6), xlabel="ms since the request", ylabel="chunk")
    axes.margins(x=0.01)
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=7, **TIGHT)
    return _svg(figure, f"Way of each chunk of {name_of(log)} from request to takeover")


def delay_chart(logs: Sequence[EpisodeLog]) -> str:
    """How many ticks lie between observation and takeover."""
    delays = [chunk.arrival_tick - chunk.t0 for log in logs for chunk in log.chunks if chunk.arrival_tick is not None]
    figure, axes = _figure(3.7, 2.4)
    values, counts = np.unique(np.array(delays, np.int64), return_counts=True)
    axes.bar(values, counts, 0.8, color=TEAL)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
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
            axes.axvline(value, color=RED, linewidth=1.1, linestyle=style, label=f"{label} {number(value)} ms")
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
    axes.plot(time, np.full(len(time), 0.96), "|", color=DARK, markersize=7, transform=axes.get_xaxis_transform())


def _draw_shifts(axes: Axes, log: EpisodeLog, cycles: Cycles) -> None:
    """By how much each chunk was shifted in time to lie on the plan, where it took over."""
    taken = [(chunk.arrival_tick, chunk.shift_ticks) for chunk in log.chunks if chunk.arrival_tick is not None]
    ticks, shifts = np.array([each for each in taken if each[1] is not None], np.float64).reshape(-1, 2).T
    at = np.searchsorted(cycles.tick, ticks)
    time = (cycles.cycle[at[at < len(cycles)]] - cycles.cycle[0]) / HZ
    shifts = shifts[at < len(cycles)]
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.vlines(time, 0, shifts, color=TEAL, linewidth=1.2)
    axes.plot(time, shifts, "o", color=TEAL, markersize=3)
    most = 1.15 * np.abs(shifts).max(initial=2.0)
    axes.set_ylim(-most, most)
    axes.set_title("shift in time that lays a chunk on the plan, ticks")


def _draw_reference_speed(axes: Axes, log: EpisodeLog) -> None:
    """How fast the expert is at the same place: where the arm is faster or slower than that, it surges."""
    if not len(log.reference):
        return
    pace = paced(every_cycle(active(log)), log.reference, execution_horizon_s(log))
    time = (pace.start + np.arange(len(pace.wanted))) / HZ
    axes.plot(time, pace.wanted, color=AMBER, linewidth=1.6, label="expert at the same place")


def _fit_to_most(axes: Axes, sizes: np.ndarray) -> None:
    """Let a few peaks run out of the chart rather than flatten everything else; tell the highest."""
    finite = sizes[np.isfinite(sizes)]
    if len(finite) and finite.max() > 0:
        top = min(1.1 * finite.max(), 2.5 * max(float(np.percentile(finite, 99)), 1e-3))
        axes.set_ylim(0, top)
        text = f"highest {number(float(finite.max()))}"
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


def _ms(chunks: Sequence[ChunkRecord], station: str) -> np.ndarray:
    """When each chunk was at a station, (n,) ms since its request; NaN where that is not known."""
    times = [(getattr(chunk, station), chunk.request_ns) for chunk in chunks]
    return np.array([np.nan if at is None or asked is None else (at - asked) / 1e6 for at, asked in times])


def _say_if_empty(axes: Axes, empty: bool) -> None:
    if empty:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color=MUTED)


def name_of(log: EpisodeLog) -> str:
    """What an episode is called."""
    return str(log.meta.get("name", log.meta.get("episode", "episode")))


def number(value: float) -> str:
    """Three significant digits, an en dash where there is no number."""
    if not isfinite(value):
        return "\N{EN DASH}"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"
