"""`rtr check`: one line instead of a graph that ends at its start."""

from pathlib import Path

import pytest

from operators.chunks.prefix import GUIDES
from studies.check import Check, resolved

GRAPHS = Path("dataflows")


@pytest.fixture
def check(monkeypatch):
    def checked(graph: str, **environment: str) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        Check(GRAPHS / graph).run()

    return checked


@pytest.mark.parametrize("graph", sorted(path.name for path in GRAPHS.glob("*.yml")))
def test_every_graph_passes_as_it_is(check, graph):
    check(graph)


def test_correction_needs_a_head_of_this_policy(check):
    with pytest.raises(ValueError, match=r"a2c2_dp_action60\.safetensors: expected a checkpoint .* train it"):
        check("async_a2c2.yml", POLICY="dp_action60")


def test_correction_needs_a_policy_with_an_encoder(check):
    with pytest.raises(ValueError, match=r"^actions are corrected by .*, and expert has none: use async_rtr\.yml$"):
        check("async_a2c2.yml", POLICY="expert")


@pytest.mark.parametrize(
    ("policy", "guide", "able"),
    [
        ("expert", "rtc", "vlash"),
        ("dp_latent60", "paint", "rtc, bid, vlash"),
        ("flow_latent60", "paint", "rtc, bid, vlash"),
        ("flow_action60", "rtc_trained", "rtc, bid, paint, vlash"),
    ],
)
def test_a_guide_the_policy_cannot_use_is_refused_with_the_reason(check, policy, guide, able):
    check("async_rtr.yml", POLICY=policy, GUIDE=guide)  # where no plan is shown to the policy
    with pytest.raises(ValueError) as refused:
        check("async_rtc.yml")
    assert str(refused.value) == f"GUIDE={guide}: {GUIDES[guide]}; {policy} can be guided by {able}"


def test_what_is_no_graph_or_no_choice_is_named(check):
    with pytest.raises(ValueError, match=r"expected a graph, dataflows/async\.yml is no file"):
        check("async.yml")
    with pytest.raises(ValueError, match=r"^JOIN: expected one of .*, got 'glue'$"):
        check("async_naive.yml", JOIN="glue")


def test_defaults_are_the_graphs_own():
    env = {"A": "${A:-1}", "B": "${A:-2}", "C": "${OTHER:-x y}", "D": 3}
    assert resolved(env, {}) == {"A": "1", "B": "2", "C": "x y", "D": "3"}
    assert resolved(env, {"A": "7"}) == {"A": "7", "B": "7", "C": "x y", "D": "3"}
