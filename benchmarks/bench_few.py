"""What few pictures come to: accuracy, the honesty of its interval, unlike pictures, sets of classes, time.

Small sets are drawn from large ones by fixed seeds, so that the truth is known from all the pictures that were not
drawn: dogs and cats (2,000 photographs), and classes of Tiny ImageNet (64 x 64 pixels). The backbone is
EfficientNet-Lite0 with its ImageNet weights on every side; its authors' ImageNet held the originals of Tiny ImageNet's
pictures, which favours no side.

- schedules: ours (``--phase1-epochs exact``) against S1's schedule, of 5, 10, 20, 50 pictures of each class, all for
  training, and of 70, split 70/15/15.
- intervals: whether the cross-validated interval of 70 of each class holds the accuracy on all the rest.
- unlike: the novelty's AUROC, and what is kept and refused at the threshold for 95%.
- sets: coverage of conformal sets.
- run: seconds of ``python -m src.run`` on 200 photographs from a cold start, as a process of its own.
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import describe_machine, print_conditions, print_json_line
from src.errors import UserError, command
from src.files import read_json
from src.settings import create_parser, positive_int, quiet_tensorflow

EXAMPLES = """\
  python -m benchmarks.bench_few --datasets ../shared/datasets
  python -m benchmarks.bench_few --datasets ../shared/datasets --parts unlike sets
  python -m benchmarks.bench_few --datasets ../shared/datasets --parts run"""
PARTS = ("schedules", "intervals", "unlike", "sets", "run")
DOGS_CATS = "kaggle_dogs_vs_cats/train"
ALIKE, APART = ("Chihuahua", "Egyptian_cat", "German_shepherd"), ("goldfish", "monarch", "slug")
TEXTURES = ("brick", "grass", "gravel")
_ENVIRONMENT = dict(os.environ)  # as the user's, before this process sets up TensorFlow for itself


class Pictures:
    """Folders of class folders, made of the data sets as they are needed, and kept in ``cache``."""

    def __init__(self, datasets: Path, cache: Path):
        self.datasets, self.cache = datasets, cache
        if not (datasets / DOGS_CATS).is_dir():
            raise UserError(f"{datasets} has no {DOGS_CATS}; give the folder of the data sets with --datasets")

    def dogs_cats(self, most: int | None = None) -> Path:
        found = {}
        for path in sorted((self.datasets / DOGS_CATS).iterdir()):
            found.setdefault(path.name.split(".")[0], []).append(str(path))
        return self._make("dogs_cats" if most is None else f"dogs_cats_{most}", found, most)

    def tiny(self, name: str, class_names=None, most: int | None = None, part: str = "train") -> Path:
        return self._make(name, self._unpacked("tiny_imagenet_50", part, class_names), most)

    def cifar(self, name: str, class_names=None, most: int | None = None) -> Path:
        return self._make(name, self._unpacked("cifar10", "test", class_names, "cifar10_images"), most)

    def textures(self) -> Path:
        """Crops of photographed surfaces (scikit-image's), and noise of single pixels and of blots."""
        target = self.cache / "textures"
        if not target.is_dir():
            import cv2
            from skimage import data

            from src.imaging import write_image

            random, partial = np.random.default_rng(0), self.cache / "textures.partial"
            for name in TEXTURES:
                surface = np.repeat(getattr(data, name)()[..., None], 3, axis=2)
                for number in range(60):
                    side = int(random.integers(120, 300))
                    top, left = (int(random.integers(0, surface.shape[axis] - side)) for axis in (0, 1))
                    write_image(_made(partial / name, number), surface[top : top + side, left : left + side])
            for number in range(60):
                grain = int(random.choice([1, 4, 16]))
                noise = random.integers(0, 256, (256 // grain, 256 // grain, 3)).astype(np.uint8)
                write_image(_made(partial / "noise", number), cv2.resize(noise, (256, 256)))
            partial.rename(target)
        return target

    def _unpacked(self, name: str, part: str, class_names=None, archive: str | None = None) -> dict[str, list[str]]:
        from src.datasets.archives import unpack
        from src.imaging import is_picture_name

        folder = self.cache / "unpacked" / name
        if not folder.is_dir():
            partial = folder.with_suffix(".partial")
            unpack(self.datasets / f"{archive or name}.tar.xz", partial, is_picture_name)
            (partial / name).rename(folder)
        found = {path.name: [str(each) for each in path.iterdir()] for path in (folder / part).iterdir()}
        return {key: found[key] for key in sorted(found) if class_names is None or key in class_names}

    def _make(self, name: str, files: dict[str, list[str]], most: int | None) -> Path:
        from benchmarks.few_pools import link_pictures

        target = self.cache / name
        if not target.is_dir():
            partial = target.with_suffix(".partial")
            link_pictures(files, partial, most)
            partial.rename(target)
        return target


def _made(folder: Path, number: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{number:03d}.png"


def time_run(pictures: Pictures) -> dict:
    """Seconds of ``src.run`` on 100 dogs and 100 cats, and what it came to."""
    source = pictures.dogs_cats(100)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        begin = time.perf_counter()
        words = [sys.executable, "-m", "src.run", str(source), "--output", name + "/run"]
        if code := subprocess.run(words, env=_ENVIRONMENT, stdout=sys.stderr).returncode:
            raise UserError(f"src.run ended with exit code {code}; see above")
        seconds = time.perf_counter() - begin
        accuracy = read_json(Path(name, "run", "gradcam", "transfer", "metrics.json"))["accuracy"]
    print(f"src.run on 200 photographs: {seconds:.1f} s, test accuracy {accuracy:.3f}", flush=True)
    return {"seconds": seconds, "pictures": 200, "test_accuracy": accuracy}


def measure(pictures: Pictures, parts, draws: int) -> dict:
    """All parts but the time; features are computed once and kept in the cache."""
    quiet_tensorflow()
    from benchmarks import few_parts
    from benchmarks.few_pools import Networks, load_pool

    store, result = pictures.cache / "features", {}
    network = functools.cache(Networks)  # by the number of classes

    def pool(folder: Path, **options):
        return load_pool(folder, store, network(sum(1 for _ in folder.iterdir())), **options)

    if {"schedules", "intervals"} & set(parts):
        tasks = {
            "dogs_cats": pictures.dogs_cats(),
            "tiny_alike": pictures.tiny("tiny_alike", ALIKE),
            "tiny_apart": pictures.tiny("tiny_apart", APART),
        }
        for name, folder in tasks.items():
            loaded = pool(folder, views=5 if "schedules" in parts else 0)
            if "intervals" in parts:
                result.setdefault("intervals", {})[name] = few_parts.check_intervals(name, loaded, draws)
            if "schedules" in parts:
                found = result.setdefault("schedules", {}).setdefault(name, {})
                for count in (few_parts.PER_CLASS, *few_parts.SHOTS):
                    options = {"parts": count == few_parts.PER_CLASS}
                    found[str(count)] = few_parts.compare_schedules(
                        name, loaded, network(len(loaded.class_names)), count, draws, **options
                    )
    if "unlike" in parts:
        animals = ("cat", "dog")
        others = [path.name for path in (pictures.tiny("tiny_all", most=150)).iterdir()]
        folders = {
            "cifar": pictures.cifar("cifar_others", _all_but(pictures, animals), 60),
            "tiny": pictures.tiny("tiny_others", [name for name in others if name not in ALIKE], 10),
            "textures": pictures.textures(),
        }
        unlike = {name: few_parts.load_features(folder, store, network(2)) for name, folder in folders.items()}
        known, many = pool(pictures.dogs_cats(), views=0), pool(pictures.tiny("tiny_all", most=150), views=0)
        result["unlike"] = {"dogs_cats": few_parts.measure_unlike("dogs_cats", known, unlike, draws)}
        for count in (20, few_parts.PER_CLASS):
            name = f"left_out_{count}"
            result["unlike"][name] = few_parts.measure_left_out(name, many, count, draws)
    if "sets" in parts:
        loaded = pool(pictures.cifar("cifar_400", None, 400), views=0)
        result["sets"] = few_parts.check_sets("cifar10", loaded, draws, (1000, 1000, 2000))
    return result


def _all_but(pictures: Pictures, left_out) -> list[str]:
    return [name for name in pictures._unpacked("cifar10", "test", None, "cifar10_images") if name not in left_out]


@command
def main(argv=None) -> None:
    parser = create_parser("Measure what few pictures come to.", EXAMPLES)
    parser.add_argument("--datasets", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--draws", type=positive_int, default=20, help="small sets that are drawn")
    parser.add_argument("--cache", type=Path, default=Path("models/.bench_few"), help="where features are kept")
    arguments = parser.parse_args(argv)
    pictures = Pictures(arguments.datasets, arguments.cache)
    print_conditions(
        describe_machine(("tensorflow", "keras", "numpy", "openvino", "scikit-learn"))
        | {"backbone": "efficientnet_lite0, ImageNet weights", "draws": arguments.draws, "parts": arguments.parts}
    )
    arguments.cache.mkdir(parents=True, exist_ok=True)
    result = {"run": time_run(pictures)} if "run" in arguments.parts else {}
    if set(arguments.parts) - {"run"}:
        result |= measure(pictures, arguments.parts, arguments.draws)
    print_json_line(result)


if __name__ == "__main__":
    sys.exit(main())
