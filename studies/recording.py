"""`rtr recording`: look at recordings, cut them, turn them into data sets, and into files for other viewers."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Column, Table

from recordings.drec.file import Reader
from recordings.drec.survey import Survey, choose, playable, survey

File = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True)
class Info:
    """What a recording holds: topics, rates, gaps, episodes, damage."""

    file: File
    json: bool = False
    """Print it as JSON."""

    def run(self) -> None:
        found = _survey(self.file)
        if self.json:
            print(json.dumps(found.json(), indent=1))
        else:
            show(found)


@dataclass(frozen=True)
class Check:
    """Check every message; says what is wrong with file and offset, and ends with 1 if anything is."""

    file: File

    def run(self) -> None:
        found = _survey(self.file)
        for line in found.damage:
            print(line)
        more = found.problems - len(found.damage)
        missing = f"{found.missing} missing by their senders' numbers"
        print(f"{found.messages} messages of {len(found.topics)} topics, {missing}")
        if more:
            print(f"{more} more problems")
        if not found.complete:
            print("it has no footer: its recorder was killed, or has not ended yet")
        if why := playable(found):
            print(f"playback: {why}")
        if found.problems:
            sys.exit(1)


@dataclass(frozen=True)
class Trim:
    """Keep a part: by time, episode and topic."""

    file: File
    out: File
    from_s: float = 0.0
    """Seconds since the recording began."""
    to_s: float = float("inf")
    topics: tuple[str, ...] = ()
    """Those to keep, as node/output or output; all if none are named."""
    episode: int | None = None

    def run(self) -> None:
        from recordings.drec.trim import trim

        topics = _topics(self.file, self.topics)
        _another(self.file, self.out)
        with Reader(self.file) as reader:
            kept = trim(reader, self.out, self.from_s, self.to_s, topics, self.episode)
        print(f"{self.out}: {kept} messages")


@dataclass(frozen=True)
class ToDataset:
    """Append the episodes to a data set in LeRobot v3.0 layout, new or begun."""

    file: File
    out: File
    fps: int = 15
    """Rows and pictures a second; divides 60."""

    def run(self) -> None:
        from recordings.convert import to_dataset

        print(f"{self.out}: {to_dataset(self.file, self.out, self.fps)} episodes added")


@dataclass(frozen=True)
class FromDataset:
    """Make a recording for playback of a data set with observation.state (xyz, 6-D rotation) and action (10)."""

    dataset: File
    out: File
    episodes: tuple[int, ...] = ()
    """Those wanted, if not all."""

    def run(self) -> None:
        from recordings.convert import from_dataset
        from recordings.dataset.reader import Dataset

        count = from_dataset(Dataset.open(self.dataset), self.out, set(self.episodes) or None)
        print(f"{self.out}: {count} messages")


@dataclass(frozen=True)
class ToMcap:
    """Write it as MCAP, for Foxglove and others."""

    file: File
    out: File
    topics: tuple[str, ...] = ()

    def run(self) -> None:
        from recordings.drec.export import to_mcap

        _export(to_mcap, self)


@dataclass(frozen=True)
class ToRerun:
    """Write it for the Rerun viewer."""

    file: File
    out: File
    topics: tuple[str, ...] = ()

    def run(self) -> None:
        from recordings.drec.export import to_rerun

        _export(to_rerun, self)


@dataclass(frozen=True)
class Plot:
    """Draw path, rotation, force and topics of an episode into a picture."""

    file: File
    out: File = Path("out/recording.png")
    episode: int | None = None
    """Its number; the first without."""

    def run(self) -> None:
        from recordings.drec.demonstrations import demonstrations
        from reports.plot import plot

        found = {each.episode.episode: each for each in demonstrations(self.file)}
        number = next(iter(found)) if self.episode is None and found else self.episode
        if number not in found:
            raise ValueError(f"{self.file}: expected an episode of {', '.join(map(str, found))}, got {number}")
        topics = {}
        for name, topic in _survey(self.file).topics.items():
            told = f"{topic.messages} messages, largest gap {topic.largest_gap_ms:.0f} ms, {topic.missing} missing"
            topics[name] = topic.rate_hz, told
        plot(f"{self.file.name}, episode {number}", found[number], topics, self.out)
        print(self.out)


@dataclass(frozen=True)
class Recording:
    """Recordings: info, check, trim, to and from data sets, to Rerun and MCAP, plot."""

    command: tyro.conf.OmitSubcommandPrefixes[Info | Check | Trim | ToDataset | FromDataset | ToRerun | ToMcap | Plot]

    def run(self) -> None:
        with suppress(BrokenPipeError):
            self.command.run()


def show(found: Survey) -> None:
    """Print what a recording holds."""
    table = Table(Column("topic", no_wrap=True), "count", "Hz", "from s", "gap ms", "missing", "MB", "columns")
    table.title = f"{found.file}: {found.duration_s:.2f} s"
    for name, topic in found.topics.items():
        rates = f"{topic.rate_hz:.1f}", f"{topic.first_s:.2f}", f"{topic.largest_gap_ms:.0f}"
        table.add_row(name, str(topic.messages), *rates, str(topic.missing), f"{topic.bytes / 1e6:.2f}", topic.columns)
    console = Console()
    console.print(table)
    for told in found.episodes:
        ended = told["reason"] or "not ended"
        console.print(f"episode {told['episode']}: seed {told['seed']}, {told['task']}, {ended}")
    state = "complete" if found.complete else "without footer: its recorder was killed, or has not ended yet"
    console.print(f"{state}; {found.problems} problems{'' if not found.problems else ':'}")
    for line in found.damage[:10]:
        console.print(line, highlight=False)


def _survey(file: Path) -> Survey:
    with Reader(file) as reader:
        return survey(reader)


def _topics(file: Path, asked: tuple[str, ...]) -> set[str]:
    """The recording's topics by these names; none for all."""
    if not asked:
        return set()
    with Reader(file) as reader:
        return choose(asked, sorted({record.topic for record in reader}))


def _export(write: Callable[..., int], options: ToMcap | ToRerun) -> None:
    topics = _topics(options.file, options.topics)
    _another(options.file, options.out)
    with Reader(options.file) as reader:
        count = write(reader, options.out, topics)
        for line in reader.damage:
            print(line)
    print(f"{options.out}: {count} messages")


def _another(file: Path, out: Path) -> None:
    if file.resolve() == out.resolve():
        raise ValueError(f"{out}: expected another file than the one that is read")
    out.parent.mkdir(parents=True, exist_ok=True)
