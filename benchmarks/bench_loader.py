"""Augmented training pictures a second: this loader against the stock ImageDataGenerator, both as ``fit`` drives them.

Each side is driven through Keras' own adapter, which ``fit`` uses, over the training part of a data folder: the same
files, transforms, size and interpolation. "First epoch" starts without decoded pictures in memory (the operating
system has the files, for both sides); "later epochs" follow. The stock loader keeps nothing: all its epochs are alike.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import describe_machine, print_conditions, print_json_line, print_medians, run_in_turn
from src.errors import command
from src.settings import create_parser, natural_float, positive_int, quiet_tensorflow

EXAMPLES = """\
  python -m benchmarks.bench_loader --data data
  python -m benchmarks.bench_loader --data data --rounds 5 --image-size 160"""
LATER = 3  # epochs of which the later rate is taken: one alone is over too soon


def measure_epoch(iterator, with_start: bool = False) -> float:
    """Pictures a second through one epoch as ``fit`` draws it, from its start to its last batch.

    ``with_start`` counts the time, but not the pictures, of the batches that Keras draws once to learn their shapes.
    """
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter  # what ``fit`` takes

    begin = time.perf_counter()
    adapter = PyDatasetAdapter(iterator, shuffle=False)
    dataset = adapter.get_tf_dataset()
    adapter.on_epoch_begin()
    pictures, last, start = 0, None, begin if with_start else time.perf_counter()
    for images, _ in dataset:
        pictures += images.shape[0]
        last = time.perf_counter()
    # Not to the loop's end: tf.data's tuning thread may sleep on for as long again, with nothing left to load.
    adapter.on_epoch_end()
    return pictures / (last - start)


def summarise_rates(medians: dict[str, float]) -> dict:
    """Rates and their ratios: each side's bilinear one against Keras' default of one worker, and its nearest one."""
    first, later = medians["ours, bilinear, first epoch"], medians["ours, bilinear, later epochs"]
    keras, nearest = medians["Keras, bilinear, 1 worker"], medians["Keras, nearest, 1 worker"]
    return {
        "ours_images_s": first,
        "keras_images_s": keras,
        "ratio_first_epoch": first / keras,
        "ratio_later_epochs": later / keras,
        "ours_later_images_s": later,
        "keras_best_images_s": max(value for name, value in medians.items() if name.startswith("Keras, bilinear")),
        "keras_nearest_images_s": nearest,
        "ratio_first_epoch_nearest": medians["ours, nearest, first epoch"] / nearest,
        "ratio_later_epochs_nearest": medians["ours, nearest, later epochs"] / nearest,
    }


def build_sides(flow: Callable, arguments) -> dict[str, Callable[[], float]]:
    """What measures each side, by name; ``flow(generator_class, interpolation, **options)`` makes its iterator."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator as KerasImageDataGenerator

    from src.loading.generator import ImageDataGenerator

    def stock(interpolation: str, workers: int) -> Callable[[], float]:
        iterator = flow(KerasImageDataGenerator, interpolation)
        iterator.workers = workers
        return lambda: measure_epoch(iterator)

    def ours(interpolation: str) -> tuple[Callable[[], float], Callable[[], float]]:
        """The first epoch, of an iterator of its own, and then the later ones."""
        kept = []

        def first() -> float:
            iterator = flow(ImageDataGenerator, interpolation, threads=arguments.threads, memory_gb=arguments.memory_gb)
            kept[:] = [iterator]
            return measure_epoch(iterator, with_start=True)  # against us: what it draws at the start is then in memory

        def later() -> float:
            rates = [measure_epoch(kept[0]) for _ in range(LATER)]
            return LATER / sum(1 / rate for rate in rates)

        return first, later

    cores = describe_machine()["cores"]
    sides: dict[str, Callable[[], float]] = {}
    for interpolation in ("bilinear", "nearest"):
        first, later = ours(interpolation)
        sides |= {f"ours, {interpolation}, first epoch": first, f"ours, {interpolation}, later epochs": later}
        sides[f"Keras, {interpolation}, 1 worker"] = stock(interpolation, 1)
        if interpolation == "bilinear":
            more = sorted({2, 4, max(2, cores)})
            sides |= {f"Keras, {interpolation}, {n} workers": stock(interpolation, n) for n in more}
    return sides


def _parse(argv):
    parser = create_parser("Pictures a second: this loader against Keras' ImageDataGenerator.", EXAMPLES)
    parser.add_argument("--data", default="data", help="folder with train, made by split_dataset.py")
    parser.add_argument("--image-size", type=positive_int, default=224, help="height and width")
    parser.add_argument("--batch-size", type=positive_int, default=32, help="pictures in a batch")
    parser.add_argument("--threads", type=positive_int, help="of this loader (default: up to 4, one for each core)")
    parser.add_argument("--memory-gb", type=natural_float, default=1.0, help="for decoded pictures of this loader")
    parser.add_argument("--rounds", type=positive_int, default=3, help="how often all sides are measured in turn")
    return parser.parse_args(argv)


@command
def main(argv=None) -> int | None:
    arguments = _parse(argv)

    from src.loading.folder import check_data_folder

    class_names, counts = check_data_folder(arguments.data, ["train"])
    quiet_tensorflow()
    from src.imaging import read_image
    from src.loading.generator import ImageDataGenerator
    from src.loading.parts import AUGMENTATION

    folder = str(Path(arguments.data) / "train")
    size = (arguments.image_size, arguments.image_size)

    def flow(generator_class, interpolation: str, **options):
        return generator_class(**AUGMENTATION).flow_from_directory(
            folder,
            target_size=size,
            batch_size=arguments.batch_size,
            interpolation=interpolation,
            classes=class_names,
            seed=42,
            **options,
        )

    sides = build_sides(flow, arguments)
    pictures = sum(counts["train"].values())
    shapes = [
        read_image(path).shape[:2] for path in flow(ImageDataGenerator, "bilinear").filepaths[:: pictures // 50 or 1]
    ]
    heights, widths = zip(*shapes)
    print_conditions(
        describe_machine()
        | {
            "pictures": f"{pictures:,} of {len(class_names)} classes in {folder}",
            "their sizes": f"{min(heights)} to {max(heights)} high, {min(widths)} to {max(widths)} wide (of a sample)",
            "loaded as": f"{size[0]} x {size[1]}, float32, batches of {arguments.batch_size}",
            "transforms": ", ".join(f"{name} {value}" for name, value in AUGMENTATION.items()),
            "threads": flow(ImageDataGenerator, "bilinear", threads=arguments.threads).threads,
            "memory": f"{arguments.memory_gb:g} GB",
            "rounds": f"{arguments.rounds}, all sides in turn; a later epoch is the mean of {LATER}",
        }
    )
    print_json_line(summarise_rates(print_medians(run_in_turn(sides, arguments.rounds), "pictures/s")))
    return None


if __name__ == "__main__":
    sys.exit(main())
