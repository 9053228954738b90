"""What several test files need: hypothesis without luck, and a dora that meets nobody else's."""

import os
import socket
import sysconfig
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: the first call of a property compiles and imports. The same examples in every run; search for
# new ones with `pytest --hypothesis-profile=search`.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept-golden", action="store_true", help="store what processes now send as golden outputs")


@pytest.fixture(autouse=True)
def ordinary_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is run within the test process asks for real-time priority; all tests after it would have it too."""
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)


@pytest.fixture
def dora_env(tmp_path: Path) -> dict[str, str]:
    """Environment for a `dora` of its own: home, coordinator port, no multicast, scripts of this interpreter first."""
    return isolated(tmp_path / "home")


@pytest.fixture(scope="module")
def module_dora_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same for all tests of a module."""
    return isolated(tmp_path_factory.mktemp("dora") / "home")


def isolated(home: Path) -> dict[str, str]:
    home.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        **os.environ,
        "HOME": str(home),
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
        "DORA_COORDINATOR_PORT": str(port),
        "DORA_ZENOH_MULTICAST": "off",
        "DORA_ZENOH_CONFIG_OVERLAY": str(Path(__file__).parents[1] / "dataflows" / "zenoh.json5"),
        "RUST_BACKTRACE": "0",
    }
