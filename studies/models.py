"""`rtr models`: which checkpoints there are, what they are made for and how good they are."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.checkpoint import FOLDER, BadCheckpoint, Checkpoint, read


@dataclass(frozen=True)
class Models:
    """List the checkpoints: task, space, what they fit to, metrics, git revision."""

    folder: Path = FOLDER

    def run(self) -> None:
        paths = sorted(self.folder.glob("*.json"))
        if not paths:
            raise ValueError(f"{self.folder}: expected checkpoints, found none")
        table = Table("name", "task", "space", "made for", "metrics", "size", "revision", title=str(self.folder))
        for path in paths:
            try:
                table.add_row(*row(read(path)))
            except BadCheckpoint as error:
                table.add_row(path.stem, "", "", "", str(error), "", "", style="red")
        Console().print(table)


def row(checkpoint: Checkpoint) -> tuple[str, ...]:
    """One line of the table."""
    about = checkpoint.about
    fits = "\n".join(str(about[key]) for key in ("codec", "encoder") if about.get(key))
    metrics = "\n".join(f"{name} {_number(value)}" for name, value in about.get("metrics", {}).items())
    size = f"{checkpoint.path.stat().st_size / 1e6:.1f} MB"
    return (
        checkpoint.name,
        about.get("task", ""),
        about.get("space", ""),
        fits,
        metrics,
        size,
        about.get("revision", ""),
    )


def _number(value: object) -> str:
    """A mean with its interval, or what else was written."""
    if isinstance(value, dict) and {"mean", "ci95"} <= value.keys():
        low, high = value["ci95"]
        return f"{value['mean']:.3g} ({low:.3g} .. {high:.3g})"
    return str(value)
