"""`rtr models`: which checkpoints there are, what they are made for and how good they are."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.checkpoint import FOLDER, BadCheckpoint, Checkpoint, read, told


@dataclass(frozen=True)
class Models:
    """List the checkpoints: kind (a policy's family), space, tasks, what they fit to, metrics, git revision."""

    folder: Path = FOLDER

    def run(self) -> None:
        paths = sorted(self.folder.glob("*.json"))
        if not paths:
            raise ValueError(f"{self.folder}: expected checkpoints, found none")
        table = Table("checkpoint", "metrics", title=str(self.folder), show_lines=True)
        for path in paths:
            try:
                table.add_row(*row(read(path)))
            except BadCheckpoint as error:
                table.add_row(path.stem, str(error), style="red")
        Console().print(table)


def row(checkpoint: Checkpoint) -> tuple[str, str]:
    """One line of the table; a narrow terminal shows it whole."""
    about = checkpoint.about
    made_for = [f"for {about[key]}" for key in ("policy", "codec", "encoder") if about.get(key)]
    what = " ".join([about["kind"], about.get("space", ""), *about.get("tasks", [])])
    size = f"{checkpoint.path.stat().st_size / 1e6:.1f} MB, {about.get('revision', '')}"
    metrics = [f"{name} {told(value)}" for name, value in about.get("metrics", {}).items()]
    return "\n".join([checkpoint.name, what, *made_for, size]), "\n".join(metrics)
