"""Small pictures for runs, and commands that only leave what a run looks for."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from src.files import write_csv
from src.imaging import write_image
from src.running.stages import run_stage


def write_photos(folder: Path, counts: dict[str, int], first: int = 0) -> Path:
    """``folder``/<class>/<class>_000.png, all different, no copies of each other."""
    for index, (name, count) in enumerate(counts.items()):
        for number in range(first, first + count):
            rng = np.random.default_rng([index, number])
            coarse = rng.integers(0, 90, (8, 8, 3)) + (20 if index == 0 else 140)
            write_image(
                folder / name / f"{name}_{number:03d}.png", np.kron(coarse, np.ones((6, 6, 1))).astype(np.uint8)
            )
    return folder


ESTIMATE = {
    "choice": {"words": ["--l2", "0.3"]},
    "cross_validated": {"accuracy": 0.85, "interval": [0.7, 0.93], "n": 22},
}


class Pretended:
    """Stands for ``run_stage``: splits in earnest, and for all others writes what a run reads of them.

    Attributes:
        ran: names of the stages that were run, with ``--restart`` where they were told so.
        fails: an exception for a stage by its name, raised instead of running it.
        codes: exit codes of stages, where they are others than 0.
    """

    def __init__(self):
        self.ran: list[str] = []
        self.fails: dict[str, BaseException | Callable] = {}
        self.codes: dict[str, int] = {}
        self._made = 0

    def __call__(self, stage: str, words: list[str], again: str) -> int:
        if stage in self.fails:
            raise self.fails.pop(stage)
        self.ran.append(stage + " --restart" * ("--restart" in words))
        if stage == "split":
            return run_stage(stage, words, again)
        self._made += 1
        options = dict(zip(words, words[1:]))
        if stage == "audit":
            output = Path(options["--output"])
            output.mkdir(parents=True, exist_ok=True)
            (output / "audit.json").write_text(json.dumps({"made": self._made}))
            header = ["file", "kind", "score", "reason", "suggested", "other"]
            rows = [["train/a/a_001.png", "near_copy", "0.9", "copy", "", "train/a/a_002.png"],
                    ["train/b/b_001.png", "label_error", "0.9", "looks like a", "a", ""],
                    ["train/b/b_002.png", "label_error", "0.8", "looks like a", "a", ""]]  # fmt: skip
            write_csv(output / "findings.csv", header, rows)
        elif stage in ("baseline", "transfer"):
            bundle = Path(options["--models-dir"], stage)
            bundle.mkdir(parents=True, exist_ok=True)
            (bundle / "bundle.json").write_text(json.dumps({"made": self._made}))
        elif stage == "estimate":
            for name, record in (("estimate", ESTIMATE), ("what_next", {})):
                folder = Path(options["--output"], name)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{name}.json").write_text(json.dumps(record | {"made": self._made}))
        elif stage == "report":
            Path(options["--output"], "report.html").write_text(str(self._made))
        else:
            self._judge(stage, words, Path(options["--output"]))
        return self.codes.get(stage, 0)

    def _judge(self, stage: str, words: list[str], output: Path) -> None:
        names = words[words.index("--model") + 1 : words.index("--output")]
        for place, name in enumerate(names):
            (output / name).mkdir(parents=True, exist_ok=True)
            figures = {"accuracy": 0.9 - 0.3 * place, "interval": [0.5, 0.95], "n": 10, "made": self._made}
            files = ("metrics.json", "predictions.csv") if stage == "evaluate" else ("explained.json", "heatmaps.npz")
            for file in files:
                (output / name / file).write_text(json.dumps(figures))
