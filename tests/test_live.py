"""`rtr live`: the latency goes up until a cycle starves, and what is known is not played again."""

import pytest

from reports.live import limits
from studies import live
from studies.live import Live
from studies.methods import METHODS
from studies.running import ROOT, run_graph


@pytest.fixture
def played(monkeypatch):
    """Runs that starve from 500 ms on; which were made."""
    made = []

    def run(self, name, method, latency):
        made.append((name, latency))
        starved = 3.5 if latency >= 500 else 0.0
        ticks = latency * 0.06
        return dict(success=True, starved_percent=starved, delay_ticks=ticks, delay_ticks_max=ticks, velocity_jump=0.5)

    monkeypatch.setattr(live.Live, "_run", run)
    monkeypatch.setattr(live, "revision", lambda: "abc")
    return made


def test_the_latency_goes_up_until_a_cycle_starves_and_what_is_known_is_kept(tmp_path, played):
    Live(methods="naive", latencies="700,500,200", results=tmp_path).run()
    assert played == [("naive", 200), ("naive", 500)]
    Live(methods="naive,fade", latencies="200,500", results=tmp_path).run()
    assert played[2:] == [("fade", 200), ("fade", 500)]
    page = (tmp_path / "live_expert_flow.md").read_text()
    held = "up to 200 ms (12.0 ticks in the mean, 12 at most), not at 500 ms"
    row = f"| fade | `async_naive.yml` | `JOIN=fade` `ALIGN=tick` | {held} | 200, 500 |"
    assert row in page and "revision abc" in page


def test_each_policy_has_a_page_of_its_own(tmp_path, played):
    for policy in ("expert_flow", "dp_latent60"):
        Live(methods="naive", latencies="200", policy=policy, results=tmp_path).run()
    assert played == [("naive", 200)] * 2
    assert sorted(path.name for path in tmp_path.glob("*.md")) == ["live_dp_latent60.md", "live_expert_flow.md"]


def test_another_revision_begins_anew(tmp_path, played, monkeypatch):
    Live(methods="naive", latencies="200", results=tmp_path).run()
    monkeypatch.setattr(live, "revision", lambda: "def")
    Live(methods="naive", latencies="200", results=tmp_path).run()
    assert played == [("naive", 200)] * 2


def test_what_starves_at_once_has_no_range():
    run = dict(success=True, starved_percent=1.0, delay_ticks=5.0, delay_ticks_max=6.0)
    assert limits({"200": run}) == "already 200 ms is too long"
    assert limits({"100": {**run, "starved_percent": 0.0}, "200": run}).endswith("not at 200 ms")


def test_every_method_names_a_graph_and_its_variables():
    for name, method in METHODS.items():
        assert (ROOT / "dataflows" / f"{method.mode}.yml").exists(), name
        assert "JOIN" in method.variables


def test_a_run_that_fails_or_does_not_end_is_named(tmp_path, monkeypatch):
    (tmp_path / "dora").write_text("#!/bin/sh\necho policy: no such checkpoint\nexit 1\n")
    (tmp_path / "dora").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        ValueError, match=r"async_rtr\.yml: expected it to run to its end, got exit 1; see .*\npolicy: no"
    ):
        run_graph("async_rtr", tmp_path, {})
    (tmp_path / "dora").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(ValueError, match=r"async_naive\.yml: expected it to end within 0\.2 s, it did not"):
        run_graph("async_naive", tmp_path, {}, 0.2)
