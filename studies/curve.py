"""`rtr curve`: how smooth and how precise the policies' chunks are at 25, 50 and 100 % of the training."""

from dataclasses import dataclass
from pathlib import Path

from models.checkpoint import FOLDER, read
from reports.curve import MEASURES, Line, draw, table

POLICIES = {"dp_action60": "direct", "dp_latent60": "latent"}
FILTERED = "savgol_"  # before a measure's name: of chunks that were smoothed by a Savitzky-Golay filter
DRAWN = "drawn_"  # of chunks that were sampled at temperature 1


@dataclass(frozen=True)
class Curve:
    """Draw the training curves that the policies' checkpoints hold, and write them as a table."""

    out: Path = Path("docs/results")
    folder: Path = FOLDER

    def run(self) -> None:
        lines = curves(self.folder)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "training.md").write_text(table(lines))
        draw(lines, self.out / "training.png")
        print(self.out / "training.md")


def curves(folder: Path) -> dict[str, Line]:
    """Name -> its metrics at each part of the steps; filtered and drawn chunks are lines of their own."""
    lines: dict[str, Line] = {}
    for policy, name in POLICIES.items():
        about = read(folder / policy).about
        lines[name] = {**about["curve"], "100%": about["metrics"]}
    also = {"direct, filtered": FILTERED, "direct, temperature 1": DRAWN, "latent, temperature 1": DRAWN}
    for name, prefix in also.items():
        line = lines[name.split(",")[0]]
        lines[name] = {part: {each: metrics[prefix + each] for each in MEASURES} for part, metrics in line.items()}
    return lines
