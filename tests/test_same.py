"""The comparer of revisions: it sees a row that moved by one bit, whatever the columns are called, and nothing else."""

import numpy as np
import pyarrow as pa
import pytest

from tests.same import differences

ROWS = [[0.5, float("nan")], [1.0, 2.0], []]


def table(**changed):
    columns = {"episode": [0, 0, 0], "cycle": [4, 5, 6], "t_ns": [1, 2, 3], "planned": ROWS, "delay_ticks": [8, 8, 9]}
    return pa.table(columns | changed)


def test_the_same_decisions_at_other_times_under_other_names_do_not_differ():
    older = table(t_ns=[7, 8, 9]).rename_columns(["episode", "cycle", "t_ns", "planned", "expected_delay"])
    assert list(differences({"plan": older}, {"plan": table()})) == []
    assert list(differences({"plan": table()}, {"plan": table(t_ns=[7, 8, 9])})) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"planned": [ROWS[0], [1.0, np.nextafter(2.0, 3.0)], []]}, "planned differs from episode 0, cycle 5 on"),
        ({"planned": [[0.5, 0.0], *ROWS[1:]]}, "planned differs from episode 0, cycle 4 on"),
        ({"planned": [*ROWS[:2], [1.0]]}, "planned differs from episode 0, cycle 6 on"),
        ({"delay_ticks": [8, 8, 8]}, "delay_ticks differs from episode 0, cycle 6 on"),
    ],
)
def test_what_moved_is_named(changed, said):
    assert list(differences({"plan": table()}, {"plan": table(**changed)})) == [f"plan: {said}"]


def test_what_is_missing_is_named():
    assert list(differences({"plan": table()}, {"plan": table().slice(1)})) == ["plan: 3 records before, 2 after"]
    assert list(differences({"plan": table()}, {})) == ["plan: only before"]
    assert list(differences({"stats": pa.table({"value": [1.0]})}, {})) == []
