"""What the pictures are worth before anything is trained: ``python -m src.estimate``."""

import shlex
import sys
from argparse import Namespace
from pathlib import Path

from src.errors import command
from src.files import format_json
from src.model_choice import FEATURES_DIR
from src.settings import create_parser, quiet_tensorflow, seed_int, typed_command

EXAMPLES = """  python -m src.estimate
  python -m src.estimate --data my_data --backbone efficientnet_lite0
  python -m src.estimate --json"""


@command
def main(argv=None) -> None:
    parser = create_parser(
        "Estimate, by cross-validation over a frozen pre-trained network: the accuracy, the best settings, what more "
        "pictures would bring, and for which class.",
        EXAMPLES,
    )
    parser.add_argument("--data", default="data", help="folder with train, val and test")
    parser.add_argument("--models-dir", default="models", help="folder in which features are kept (.features)")
    parser.add_argument("--output", default="gradcam", help="folder that estimate/ is written into")
    parser.add_argument(
        "--backbone", default="auto", help="by name; auto: all whose ImageNet weights are at hand without a download"
    )
    parser.add_argument("--seed", type=seed_int, default=42, help="of folds, views and subsets")
    parser.add_argument("--json", action="store_true", help="print the estimate as one JSON line")
    arguments = parser.parse_args(argv)
    from src.loading.folder import check_data_folder

    class_names, _ = check_data_folder(arguments.data)
    quiet_tensorflow()
    from src.estimating.described import describe_estimate
    from src.estimating.estimator import FOLDER, estimate, write_estimate
    from src.networks.registry import get_backbone

    if arguments.backbone != "auto":
        get_backbone(arguments.backbone)
    features_dir, output = Path(arguments.models_dir, FEATURES_DIR), Path(arguments.output)
    result = estimate(arguments.data, features_dir, class_names, backbone=arguments.backbone, seed=arguments.seed)
    record = write_estimate(result, arguments.data, output, typed_command("src.estimate", argv))
    if arguments.json:
        print(format_json(record))
        return
    print(describe_estimate(record))
    following = _suggest(arguments, record["choice"]["words"])
    print(f"Curve and candidates: {output / FOLDER}. Next: {following}")


def _suggest(arguments: Namespace, words: list[str]) -> str:
    """The training by these words, of the same folders and seed where they are not the defaults."""
    kept = {"data": "data", "models_dir": "models", "seed": 42}
    for name, default in kept.items():
        if getattr(arguments, name) != default:
            words = [f"--{name.replace('_', '-')}", str(getattr(arguments, name)), *words]
    return shlex.join(["python", "-m", "src.transfer_model", *words])


if __name__ == "__main__":
    sys.exit(main())
