"""The cross-validated accuracy beside that of a small test part, for a model over a pre-trained backbone."""

from pathlib import Path

from src.bundle import Bundle
from src.datasets.manifest import read_fingerprint
from src.errors import UserError, describe_os_error
from src.estimating.cross_validation import can_cross_validate, cross_validate
from src.estimating.pictures import FrozenBackbone, PictureFeatures
from src.files import sha256_file
from src.loading.folder import check_data_folder
from src.model_choice import FEATURES_DIR
from src.networks.registry import BACKBONES, get_backbone
from src.progress import say
from src.reporting.estimated import SCHEMA as ESTIMATE_SCHEMA
from src.reporting.schema import read_checked
from src.settings import PARTS

FEW_TEST_PICTURES = 100
_MOST_PICTURES = 1500  # in all; of more it would no longer cost seconds


class CrossValidatedModels:
    """For models of one data folder; models of one backbone share what is computed.

    Args:
        data: folder with the parts.
        class_names: of the test part.
        models_dir: in whose ``.features`` features are stored.
        output: where an estimate of these pictures may lie, whose figures are taken; None: nowhere.
    """

    def __init__(
        self, data: str | Path, class_names: list[str], models_dir: str | Path, output: str | Path | None = None
    ):
        self.data, self.class_names, self.root = data, class_names, Path(models_dir, FEATURES_DIR)
        self._estimate = None if output is None else Path(output) / "estimate" / "estimate.json"
        self._found: dict[tuple, dict | None] = {}

    def find(self, bundle: Bundle, test_pictures: int) -> dict | None:
        """``CrossValidation.as_json`` of all labelled pictures over the model's backbone with its pre-trained weights.

        None for a model without one, where test pictures are many, or where it cannot be told, which is said.
        """
        name, weights = bundle.info.get("backbone"), bundle.info.get("weights")
        if test_pictures >= FEW_TEST_PICTURES or not _has_origin(name, weights):
            return None
        key = name, weights["origin"], weights.get("sha256"), bundle.image_size
        if key not in self._found:
            self._found[key] = None
            try:
                self._found[key] = self._read_estimate(bundle, name, weights) or self._compute(bundle, name, weights)
            except UserError as error:
                say(f"{bundle.name} is not cross-validated: {error}.")
            except OSError as error:  # as of a folder of models that may only be read
                say(f"{bundle.name} is not cross-validated: {describe_os_error(error)}.")
        return self._found[key]

    def _read_estimate(self, bundle: Bundle, name: str, weights: dict) -> dict | None:
        """The same figures as ``src.estimate`` has them of this split and backbone; None where it has not."""
        size = get_backbone(name).image_size
        fingerprint = read_fingerprint(self.data)
        usual = weights["origin"].startswith("imagenet") and tuple(bundle.image_size) == (size, size)
        if not usual or fingerprint is None or self._estimate is None or not self._estimate.is_file():
            return None
        try:
            record = read_checked(self._estimate, ESTIMATE_SCHEMA)
        except UserError:  # the report says so
            return None
        of_these = record["data"] == fingerprint and record["class_names"] == self.class_names
        found = record["cross_validated"]
        fits = of_these and record["choice"]["words"][:2] == ["--backbone", name] and len(found["interval"]) == 2
        return found | {"backbone": name} if fits else None

    def _compute(self, bundle: Bundle, name: str, weights: dict) -> dict:
        parts = [part for part in PARTS if (Path(self.data) / part).is_dir()]
        _, counts = check_data_folder(self.data, parts, self.class_names)
        total = sum(sum(by_class.values()) for by_class in counts.values())
        if total > _MOST_PICTURES:
            raise UserError(f"of {total} pictures it would take long; python -m src.estimate does it")
        source = _find_weights(name, weights)
        say(f"Fewer than {FEW_TEST_PICTURES} test pictures: cross-validating all {total} over {name} ...")
        backbone = FrozenBackbone(name, source, bundle.image_size)
        features = PictureFeatures(self.data, self.class_names, self.root, parts=parts)
        rows = features.plain(backbone)
        pictures = features.pictures
        if not can_cross_validate(pictures.labels, pictures.groups):
            raise UserError("a class has fewer than two different pictures")
        found = cross_validate(rows[None], pictures.labels, pictures.groups)
        return found.as_json(self.class_names) | {"backbone": name}


def _has_origin(name, weights) -> bool:
    """Whether bundle.json, which may be a stranger's, names a backbone of ours and where its weights came from."""
    if not isinstance(name, str) or name not in BACKBONES or not isinstance(weights, dict):
        return False
    origin, digest = weights.get("origin"), weights.get("sha256")
    return isinstance(origin, str) and origin != "none" and isinstance(digest, (str, type(None)))


def _find_weights(name: str, weights: dict) -> str:
    """ "imagenet" or a path. Raises ``UserError`` where the weights that the model began from are not at hand."""
    if weights["origin"].startswith("imagenet"):
        if BACKBONES[name].is_at_hand():
            return "imagenet"
        raise UserError(f"the ImageNet weights of {name} are not here")
    path = Path(weights["origin"])
    if path.is_file() and sha256_file(path) == weights.get("sha256"):
        return str(path)
    raise UserError(f"the weights that it began from, {path}, are not here any more")
