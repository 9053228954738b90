"""The comparison: cells that can be taken up again, pairs, the front; and the shipped figures can be had again."""

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import studies.compare
from operators.measure.intervals import mean_interval
from operators.measure.metrics import METRICS
from reports.comparison import by_delay, front, values, write_results
from studies.compare import QUICK_DELAYS, Compare, cells_of, compare
from studies.evaluate import play
from studies.methods import DELAYS, METHODS, chosen

RESULTS = Path(__file__).parents[1] / "docs" / "results"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    options = Compare(
        policy="expert",
        methods="naive,rtr,rtc",
        delays="8",
        episodes=2,
        seed=10_001,
        out=folder / "cells",
        results=folder / "results",
        workers=1,
    )
    return options, compare(options)


def stored(options: Compare) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(options.out.glob("*.json"))}


def test_a_cell_holds_what_it_was_made_from(small):
    cells = stored(small[0])
    assert set(cells) == {"expert_naive_8", "expert_rtr_8"}  # the expert has no sampler to guide
    for cell in cells.values():
        assert len(cell["configuration"]) == 12 and cell["revision"] and cell["about"]["seeds"] == [10_001, 2]
        assert len(cell["episodes"]) == 2 and set(cell["episodes"][0]) == set(METRICS)
        assert cell["episodes"][0]["inference_ms_p50"] > 0 and cell["episodes"][0]["refine_ms_p50"] > 0


def test_known_cells_are_not_played_again_and_damaged_or_other_ones_are(small, monkeypatch):
    options, _ = small
    monkeypatch.setattr(studies.compare, "ProcessPoolExecutor", lambda workers, _: ThreadPoolExecutor(workers))  # quick
    monkeypatch.setattr(studies.compare, "write_results", lambda *_: None)  # below
    before = {path: path.stat().st_mtime_ns for path in options.out.glob("*.json")}
    compare(options)
    assert before == {path: path.stat().st_mtime_ns for path in options.out.glob("*.json")}
    damaged = options.out / "expert_rtr_8.json"
    damaged.write_text(damaged.read_text()[:100])
    compare(options)
    changed = {path.stem for path, at in before.items() if path.stat().st_mtime_ns != at}
    assert changed == {"expert_rtr_8"} and len(stored(options)["expert_rtr_8"]["episodes"]) == 2


def test_episodes_are_the_same_seeds_in_every_cell_and_come_out_again(small):
    options, _ = small
    cells = stored(options)
    naive, rtr = (next(c for c in cells_of(options) if c.name == name) for name in ("naive", "rtr"))
    assert [job.seed for job in naive.jobs] == [job.seed for job in rtr.jobs] == [10_001, 10_002]
    _, again = play(naive.jobs[1])
    for name, value in again.items():
        if not name.startswith(("inference_ms", "refine_ms")) and np.isfinite(value):
            assert cells["expert_naive_8"]["episodes"][1][name] == value


def test_tables_and_picture_are_written(small):
    options, page = small
    text = page.read_text()
    assert "## Delay 8: 2 episodes" in text and "| **rtr** |" in text and ", d -" in text
    with page.with_suffix(".csv").open() as file:
        lines = {(line["method"], line["metric"]): line for line in csv.DictReader(file)}
    assert len(lines) == 2 * len(METRICS)
    cells = stored(options)
    own, base = (values(cells[f"expert_{name}_8"], "velocity_jump") for name in ("rtr", "naive"))
    line = lines["rtr", "velocity_jump"]
    expected = mean_interval(np.array(own) - np.array(base))
    assert float(line["minus_naive"]) == pytest.approx(expected["mean"], rel=1e-4)
    assert float(line["minus_naive_low"]) == pytest.approx(expected["ci95"][0], rel=1e-4)
    assert float(line["over_naive"]) < 0.4 and line["configuration"] == cells["expert_rtr_8"]["configuration"]
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_panel_for_each_of_many_delays(small, tmp_path):
    cell = stored(small[0])["expert_naive_8"]
    cells = [{**cell, "about": {**cell["about"], "delay": delay}} for delay in DELAYS]
    shown = ["4", "8", "12", "16", "20", "24", "32", "lognormal:8", "spikes:8", "outage:8"]
    assert list(by_delay(cells)) == shown and set(shown) == set(DELAYS)
    assert write_results(cells[:4], tmp_path, "many").read_text().count("## Delay") == 4  # the picture takes two lines


def test_the_front_holds_what_no_other_is_better_than():
    points = {"a": (1.0, 5.0), "b": (2.0, 2.0), "c": (2.0, 3.0), "d": (5.0, 1.0), "e": (6.0, 6.0), "f": (2.0, 2.0)}
    assert front(points) == ["a", "b", "d", "f"]


def test_what_is_compared():
    full, quick = cells_of(Compare(full=True)), cells_of(Compare())
    assert {cell.delay for cell in full} == set(DELAYS) and {cell.delay for cell in quick} == set(QUICK_DELAYS)
    fit = set(METHODS) - {
        "a2c2",
        "a2c2_phase",
        "rtc_trained",
    }  # which ask for an encoder of pictures, and for a training
    assert {cell.name for cell in full} == {cell.name for cell in quick} == fit
    assert {len(cell.jobs) for cell in full if cell.delay in ("8", "16")} == {50}
    assert {len(cell.jobs) for cell in full if cell.delay not in ("8", "16")} == {20}
    assert min(job.seed for cell in full for job in cell.jobs) >= 20_000


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"--methods: expected some of sync, naive, .*, got magic"):
        chosen("naive,magic")
    with pytest.raises(ValueError, match="--delay: expected ticks"):
        cells_of(Compare(delays="8,soon"))


def test_the_shipped_figures_can_be_had_again():
    """One cell of docs/results: its mean, computed anew, lies in the interval that is told."""
    with (RESULTS / "compare_expert_flow.csv").open() as file:
        told = {
            line["metric"]: line for line in csv.DictReader(file) if (line["method"], line["delay"]) == ("rtr", "4")
        }
    one = told["velocity_jump"]
    options = Compare(methods="rtr", delays="4", episodes=int(one["episodes"]), seed=int(one["first_seed"]))
    (cell,) = cells_of(options)
    again = [play(replace(job, timed=False))[1] for job in cell.jobs]
    for metric in ("velocity_jump", "deviation_mm", "command_jerk_mm_per_tick3"):
        low, high = float(told[metric]["low"]), float(told[metric]["high"])
        assert low <= np.mean([episode[metric] for episode in again]) <= high
