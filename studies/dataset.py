"""`rtr dataset`: look after data sets."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Check:
    """Check a data set in LeRobot v3.0 layout: every file, row and picture. Ends with 1 if anything is wrong."""

    root: Annotated[Path, tyro.conf.Positional]
    videos: bool = True
    """Decode every picture; otherwise only see that the files are there."""

    def run(self) -> None:
        from recordings.dataset.check import by_lerobot, problems

        count = 0
        for line in problems(self.root, self.videos):
            print(line, flush=True)
            count += 1
        said = by_lerobot(self.root)
        print(said or "lerobot reads it")
        count += "cannot" in said
        print(f"{self.root}: {count or 'no'} problem{'' if count == 1 else 's'}")
        if count:
            sys.exit(1)


@dataclass(frozen=True)
class Info:
    """What a data set holds: episodes, rows, features."""

    root: Annotated[Path, tyro.conf.Positional]

    def run(self) -> None:
        from recordings.dataset.reader import Dataset

        dataset = Dataset.open(self.root)
        rows = sum(episode.length for episode in dataset.episodes)
        print(f"{self.root}: {len(dataset.episodes)} episodes, {rows} rows, {dataset.fps} rows a second")
        for name, kind in dataset.features.items():
            print(f"  {name}: {kind['dtype']} {kind['shape']}")


@dataclass(frozen=True)
class DataSet:
    """Data sets: info, check."""

    command: tyro.conf.OmitSubcommandPrefixes[Info | Check]

    def run(self) -> None:
        self.command.run()
