"""Settings: defaults, what is parsed, and what is said when it cannot be."""

from dataclasses import fields

import pytest

from operators.settings import Settings, camera_driver, parse


def test_an_empty_environment_gives_the_defaults():
    assert parse({}) == Settings() == parse({"PATH": "/bin", "task": "not a variable: lower case"})


def test_variables_are_parsed_to_the_type_of_their_default():
    found = parse({"LATENCY_MS": "250", "MARGIN": "5", "JOIN": "fade", "OUT": "somewhere else", "SLOWEST": "1"})
    assert found == Settings(latency_ms=250.0, margin=5, join="fade", out="somewhere else", slowest=1.0)
    assert all(type(getattr(found, f.name)) is type(f.default) for f in fields(Settings))


def test_every_default_is_one_that_would_be_accepted():
    environ = {f.name.upper(): str(f.default) for f in fields(Settings)}
    assert parse(environ) == Settings()


CHOICES = [f for f in fields(Settings) if f.metadata["choices"]]
NUMBERS = [f for f in fields(Settings) if not isinstance(f.default, str)]


@pytest.mark.parametrize("name", [f.name.upper() for f in CHOICES])
def test_a_wrong_choice_names_the_variable_the_choices_and_what_came(name):
    with pytest.raises(ValueError) as refused:
        parse({name: "nonsense"})
    (variable,) = [f for f in CHOICES if f.name.upper() == name]
    assert str(refused.value) == f"{name}: expected one of {', '.join(variable.metadata['choices'])}, got 'nonsense'"


def test_the_message_of_a_wrong_task_word_by_word():
    with pytest.raises(ValueError, match=r"^JOIN: expected one of newest, ensemble, blend, fade, got ''$"):
        parse({"JOIN": ""})


@pytest.mark.parametrize("text", ["", "ten", "1,5", "1e", "0x10"])
@pytest.mark.parametrize("name", [f.name.upper() for f in NUMBERS])
def test_what_is_no_number_is_refused(name, text):
    kind = "a whole number" if type(getattr(Settings(), name.lower())) is int else "a number"
    with pytest.raises(ValueError) as refused:
        parse({name: text})
    assert str(refused.value) == f"{name}: expected {kind}, got {text!r}"


@pytest.mark.parametrize("text", ["1.5", "1e3", "nan"])
def test_counts_are_whole(text):
    with pytest.raises(ValueError, match=f"^EPISODES: expected a whole number, got '{text}'$"):
        parse({"EPISODES": text})


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e12"])
@pytest.mark.parametrize("name", [f.name.upper() for f in NUMBERS if type(f.default) is float])
def test_numbers_out_of_range_are_refused(name, text):
    with pytest.raises(ValueError, match=rf"^{name}: expected a number from [0-9.]+ up, got '{text}'$"):
        parse({name: text})


def test_the_least_value_is_allowed_and_less_is_not():
    assert parse({"EPISODES": "1", "MARGIN": "0"}).episodes == 1
    for name, text in {"EPISODES": "0", "EXECUTION_HORIZON": "0", "MARGIN": "-1", "SLOWEST": "0.01"}.items():
        with pytest.raises(ValueError, match=f"^{name}: expected a number from .* up, got '{text}'$"):
            parse({name: text})


def test_cameras_are_a_family_of_variables():
    assert camera_driver({}, "side") == "sim" == camera_driver({"CAMERA_FRONT": "realsense:7"}, "side")
    assert camera_driver({"CAMERA_FRONT": "realsense:7"}, "front") == "realsense:7"


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        Settings().task = "another"  # pyright: ignore[reportAttributeAccessIssue]
