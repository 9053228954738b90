"""Pages that show code show the code that is tested."""

from pathlib import Path

import pytest

OWN = Path(__file__).parent / "own"


@pytest.mark.parametrize("name", ["task.py", "policy.py", "rig.py", "scene.xml", "tool.xml"])
def test_extending_shows_the_package_that_is_tested(name):
    assert (OWN / name).read_text().rstrip() in Path("docs/extending.md").read_text()
