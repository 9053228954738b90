"""The doctor's judgements; the slow probes (OpenGL, torch) are replaced."""

import errno
import os

import pytest

from studies import doctor


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(doctor, "_open_gl", lambda: ("llvmpipe", ""))
    monkeypatch.setattr(doctor, "_torch_threads", lambda: 1)


def test_this_machine_has_what_the_tests_need(quick):
    findings = doctor.report()
    assert [finding.name for finding in findings if finding.essential and not finding.ok] == []
    assert len({finding.name for finding in findings}) == 7


def test_asking_changes_nothing(quick):
    before = os.sched_getscheduler(0), os.sched_getaffinity(0), dict(os.environ)
    doctor.report()
    assert (os.sched_getscheduler(0), os.sched_getaffinity(0), dict(os.environ)) == before


def test_one_line_a_finding_even_on_a_narrow_terminal(quick, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(doctor, "_torch_threads", lambda: 99)
    assert doctor.main() == 0  # a warning is no failure
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(doctor.report())
    assert lines[-1].startswith("warn torch threads 99: ") and "OMP_NUM_THREADS" in lines[-1]


def test_something_essential_missing_is_exit_code_1(quick, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_open_gl", lambda: ("", "no context (no libEGL)"))
    assert doctor.main() == 1
    assert "FAIL EGL           no context (no libEGL): make system" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("finding", "ok"),
    [
        (doctor.python((3, 10, 12)), False),
        (doctor.python((3, 11, 0)), True),
        (doctor.python((3, 13, 9)), True),
        (doctor.python((3, 14, 0)), False),
        (doctor.dora(None), False),
        (doctor.dora("/dev/null"), False),
        (doctor.sched_fifo(None), True),
        (doctor.sched_fifo(OSError(errno.EPERM, "Operation not permitted")), False),
        (doctor.shared_memory(0, 0), False),
        (doctor.shared_memory(64 << 20, 63 << 20), False),
        (doctor.shared_memory(64 << 20, 64 << 20), True),
        (doctor.cores(1), False),
        (doctor.cores(2), True),
        (doctor.torch_threads(3, 2), False),
    ],
)
def test_judgement(finding, ok):
    assert finding.ok is ok
    assert finding.value and finding.fix


def test_dora_of_another_version_is_refused(tmp_path):
    command = tmp_path / "dora"
    command.write_text("#!/bin/sh\necho dora-cli 1.2.0\n")
    command.chmod(0o755)
    assert doctor.dora(str(command))[1:3] == (False, "1.2.0")
