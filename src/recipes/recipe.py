"""What a recipe is: an experiment as the options of this project's own commands, and what is known of its outcome."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from src.errors import UserError
from src.settings import flag_of

EXPERIMENTS_DIR = "experiments"
# What the published experiments do to training pictures, and nothing else.
FLIPS = {"rotation": 0, "shift": 0, "zoom": 0}
CROPS_AND_FLIPS = FLIPS | {"crop_padding": 4, "crop_fill": "constant"}
_NO_RUN = {"expected": None, "minutes": None, "measured_n": None}
_QUICK_PICTURES = 40  # of each class


@dataclass(frozen=True)
class Task:
    """Pictures and how they are split: recipes of one task are trained, chosen and tested on the same ones.

    Attributes:
        name: folder below the experiments.
        source: a data set's name for ``split_dataset.py``.
        split: further options of ``split_dataset.py``.
    """

    name: str
    source: str
    split: dict = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One experiment.

    Attributes:
        name: as on the command line.
        title: what it is, in a line.
        origin: whose experiment it is, and what it published; of ours, what differs from the published one and why.
        claim: the published score, as accuracy of the part that it names; None for ours.
        task: its pictures.
        command: "baseline_cnn" or "transfer_model".
        options: of the command, by field name.
        quick: options that ``--quick`` changes besides the number of epochs.
        evaluation: options of ``src.evaluate``.
        expected: lowest and highest test accuracy that is no surprise: about the 95% interval of a run of ours, wider
            where thousands of pictures make that narrower than other seeds would; None before there was a run.
        minutes: for training, about, on ``machine``.
        measured_n: test pictures of that run, which may have had others than the whole task's.
    """

    name: str
    title: str
    origin: str
    task: Task
    command: str
    options: dict
    claim: str | None = None
    quick: dict = field(default_factory=dict)
    evaluation: dict = field(default_factory=dict)
    expected: tuple[float, float] | None = None
    minutes: float | None = None
    measured_n: int | None = None
    machine: str = "2 CPU cores (AVX-512)"

    def __post_init__(self):
        if len({value is None for value in (self.expected, self.minutes, self.measured_n)}) > 1:
            raise ValueError(f"{self.name}: expected, minutes and measured_n are of one run, give all or none")

    def in_seconds(self) -> "Recipe":
        """The recipe as ``--quick`` runs it: drawn pictures, three epochs, and what ``quick`` makes smaller."""
        if self.command == "baseline_cnn":
            epochs = {"epochs": 3}
        else:
            first, second = (self.options.get(f"phase{phase}_epochs") != 0 for phase in (1, 2))
            epochs = {"phase1_epochs": 3 * first, "phase2_epochs": (1 if first else 3) * second}
        task = Task(f"{self.task.name}-quick", "shapes", {"images_per_class": _QUICK_PICTURES})
        return replace(self, task=task, options=self.options | epochs | self.quick, **_NO_RUN)

    def folders(self, experiments: str | Path) -> dict[str, Path]:
        """Where data, models, pictures and results go."""
        root = Path(experiments, self.task.name)
        return {name: root / name for name in ("data", "models", "gradcam", "results")}

    def commands(self, experiments: str | Path, source: str | None = None) -> dict[str, list[str]]:
        """The command lines, by stage: "split", "train", "evaluate"; the first word is the module.

        Args:
            source: folder or archive of the pictures; None for the data set's name.
        """
        folders = self.folders(experiments)
        data, models = ["--data", str(folders["data"])], ["--models-dir", str(folders["models"])]
        split = {"source": source or self.task.source, "output": str(folders["data"])} | self.task.split
        evaluation = ["--model", self.name, "--output", str(folders["gradcam"]), *as_arguments(self.evaluation)]
        return {
            "split": ["split_dataset", *as_arguments(split)],
            "train": [f"src.{self.command}", *data, *models, "--name", self.name, *as_arguments(self.options)],
            "evaluate": ["src.evaluate", *data, *models, *evaluation],
        }


def as_arguments(options: dict) -> list[str]:
    """Options by field name as the command line has them; None is left out."""
    arguments = []
    for name, value in options.items():
        flag = flag_of(name)
        if isinstance(value, bool):
            arguments.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, (list, tuple)):
            arguments += [flag, *map(str, value)]
        elif value is not None:
            arguments += [flag, str(value)]
    return arguments


def find_recipe(recipes: dict[str, Recipe], name: str) -> Recipe:
    """The recipe of that name. Raises ``UserError`` where there is none."""
    try:
        return recipes[name]
    except KeyError:
        raise UserError(f"there is no recipe {name}; there are {', '.join(recipes)}") from None
