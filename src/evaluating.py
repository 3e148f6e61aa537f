"""What ``python -m src.evaluate`` does with its models: each on the test part, together, and pair by pair."""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from src.bundle import PICTURES_FILE, Bundle, load_bundle, load_pictures
from src.datasets.manifest import read_fingerprint
from src.datasets.seen import PictureRecord, Seen, find_seen, record_pictures
from src.ensemble import align_classes
from src.errors import ModelError, UserError
from src.estimating.of_bundle import CrossValidatedModels
from src.evaluation.artefacts import Predictions, save_comparison, save_evaluation
from src.evaluation.calibration import average_logits
from src.evaluation.metrics import Evaluation, SeenPictures, evaluate_predictions
from src.evaluation.pairs import PairedComparison, compare_pairs, save_pairs
from src.judging import measure_verdicts, rate_unknown
from src.loading.parts import get_data_generator
from src.model_choice import ENSEMBLE, check_members, describe_mismatch, list_bundles, plain_facts
from src.progress import say, track
from src.verdicts import Judge, create_judge


@dataclass(frozen=True)
class Judged:
    """A model's answers, and what they amount to; ``train`` where the gap is asked for, ``seen`` where the model has a
    record of what it was trained on, ``network`` where it has a digest, ``cross_validated`` where test pictures are few
    and it has a pre-trained backbone, ``unread`` how many pictures of --unknown could not be read."""

    evaluation: Evaluation
    test: Predictions
    train: Predictions | None
    seen: Seen | None = None
    network: str | None = None
    cross_validated: dict | None = None
    unread: int = 0

    def as_json(self) -> dict:
        """The evaluation's figures, and those of cross-validation where there are any."""
        extra = {"cross_validated": self.cross_validated} if self.cross_validated else {}
        return self.evaluation.as_json() | extra


def judge_models(arguments: Namespace, class_names: list[str]) -> Iterator[tuple[str, Judged]]:
    """Evaluate one model after the other and save what there is to look at; yields each name with its ``Judged``."""
    options = {"data": arguments.data, "batch_size": arguments.batch_size, "flips": arguments.flips}
    places = arguments.data, class_names, arguments.models_dir, arguments.output
    known, estimated = KnownPictures(), CrossValidatedModels(*places)
    for bundle in _load_fitting(arguments, class_names):
        judge = create_judge(bundle)
        try:
            parts = [predict_part(bundle, class_names, part, judge=judge, **options) for part in _list_parts(arguments)]
            unknown, unread = _ask_unknown(bundle, judge, arguments)
        except ModelError as error:
            if arguments.model:
                raise
            say(f"Skipped: {error}.")
            continue
        test = parts[0]
        record = {"temperature": bundle.temperature, "seen": known.find(bundle, test.paths)}
        if judge:
            record["trust"] = measure_verdicts(judge, test.labels, test.probabilities, test.novelties, unknown)
        origin = {"network": bundle.digest}
        if found := estimated.find(bundle, len(parts[0].paths)):
            origin["cross_validated"] = found
        yield bundle.name, replace(_judge(bundle.name, parts, class_names, arguments, origin, **record), unread=unread)


def judge_ensemble(judged: dict[str, Judged], class_names: list[str], arguments: Namespace) -> Judged:
    """Evaluate all models together, by the mean of their logits, from the answers that each has given.

    Raises ``UserError`` where they are fewer than two.
    """
    check_members(list(judged))
    members = list(judged.values())
    parts = [_average([member.test for member in members])]
    if arguments.gap:
        parts.append(_average([member.train for member in members]))
    record = {"temperature": None, "members": list(judged), "seen": _join_seen([member.seen for member in members])}
    origin = {"network": None, "member_networks": [member.network for member in members]}
    return _judge(ENSEMBLE, parts, class_names, arguments, origin, **record)


class KnownPictures:
    """Which test pictures models have learned from; what is read of the test part is read once for all models."""

    def __init__(self):
        self._tested: PictureRecord | None = None
        self._found: dict[str, Seen] = {}

    def find(self, bundle: Bundle, paths: list[str]) -> Seen | None:
        """The places in ``paths``; None for a model that has no record, and where its record is damaged, which is
        said."""
        try:
            trained = load_pictures(bundle)
        except UserError as error:
            say(f"It cannot be told which test pictures {bundle.name} has learned from: {error}.")
            return None
        if trained is None:
            return None
        if self._tested is None:
            self._tested = record_pictures(paths)
        key = bundle.info["sha256"][PICTURES_FILE]  # models of one split share it
        if key not in self._found:
            self._found[key] = find_seen(self._tested, trained)
        return self._found[key]


def _join_seen(found: list[Seen | None]) -> Seen | None:
    """What any of several models has learned from, as far as they have records; None where none has."""
    found = [each for each in found if each is not None]
    if not found:
        return None
    identical = {place for each in found for place in each.identical}
    copies = {place for each in found for place in each.near_copies} - identical
    return Seen(tuple(sorted(identical)), tuple(sorted(copies)))


def _describe_seen(seen: Seen | None, test: Predictions) -> SeenPictures | None:
    if seen is None:
        return None
    others = np.setdiff1d(np.arange(len(test.paths)), [*seen.identical, *seen.near_copies])
    return SeenPictures(
        identical=[test.paths[place] for place in seen.identical],
        near_copies=[test.paths[place] for place in seen.near_copies],
        n=len(others),
        right=int(test.right[others].sum()),
    )


def compare(judged: dict[str, Judged], output: Path) -> list[PairedComparison]:
    """Write the comparison of all models and of every pair; returns the pairs."""
    save_comparison(output, {name: each.evaluation for name, each in judged.items()})
    pairs = compare_pairs({name: each.test.right for name, each in judged.items()})
    if pairs:
        save_pairs(output / "pairs.csv", pairs)
    else:
        (output / "pairs.csv").unlink(missing_ok=True)  # of models that are no longer there
    return pairs


def remove_ensemble(output: Path) -> None:
    """Remove what an earlier run left of an ensemble: it does not belong to the models that are compared now."""
    if (output / ENSEMBLE / "metrics.json").is_file():
        shutil.rmtree(output / ENSEMBLE)


def _ask_unknown(bundle: Bundle, judge: Judge | None, arguments: Namespace) -> tuple[np.ndarray | None, int]:
    """Novelties of the pictures of --unknown, None where there are none, or nothing that tells them, which is said; and
    how many could not be read."""
    found, unread = None, []
    if arguments.unknown_pictures and judge:
        found, unread = rate_unknown(bundle, judge, arguments.unknown_pictures, arguments.batch_size)
    if arguments.unknown_pictures and found is None:
        few = judge and judge.held_out.scores is not None and judge.known_up_to is None
        record = "too few held-out pictures" if few else "no record"
        say(f"{bundle.name} has {record} by which --unknown pictures could be told; train it anew.")
    return found, len(unread)


def predict_part(
    bundle: Bundle,
    class_names: list[str],
    part: str,
    *,
    data: str | Path,
    batch_size: int = 32,
    flips: bool = False,
    judge: Judge | None = None,
) -> Predictions:
    """A bundle's answers on all pictures of one part, not augmented, in the order of their sorted paths.

    Args:
        class_names: the order of classes in the answers; the bundle may have another.
        data: folder with the part.
        batch_size: pictures in a batch; changes the speed only.
        flips: as for ``Classifier.predict``.
        judge: rates how unlike the training pictures they are; None leaves that out.
    """
    pictures = get_data_generator(
        data,
        part,
        bundle.image_size,
        batch_size,
        shuffle=False,
        class_mode="sparse",
        interpolation=bundle.interpolation,
        memory_gb=0,  # each picture is read once
        class_names=class_names,
    )
    answers, rated = [], []
    for index in track(range(len(pictures)), what=f"  {bundle.name} on {part}", unit="batches"):
        inputs = bundle.preprocess(pictures[index][0])
        if judge is None:
            answers.append(bundle.answer(inputs, flips=flips))
            continue
        probabilities, features = bundle.answer_with_features(inputs, flips=flips)
        answers.append(probabilities)
        rated.append(judge.rate(features))
    before = np.concatenate(answers)
    novelties = np.concatenate(rated) if rated and rated[0] is not None else None
    after = bundle.soften(before)
    before, after = (align_classes(answers, bundle.class_names, class_names) for answers in (before, after))
    labels = np.asarray(pictures.classes)
    return Predictions(list(pictures.filepaths), labels, after, None if bundle.temperature == 1 else before, novelties)


def _list_parts(arguments: Namespace) -> tuple[str, ...]:
    return ("test", "train") if arguments.gap else ("test",)


def _judge(
    name: str,
    parts: list[Predictions],
    class_names: list[str],
    arguments: Namespace,
    origin: dict,
    seen: Seen | None = None,
    **record,
) -> Judged:
    """Figures of the test part's answers, and of the training part's where they follow; saved under the name.

    Args:
        origin: ``network``, the digest of what has answered, None where it has none; of an ensemble its members';
            ``cross_validated`` where there is any.
        record: temperature or members and trust, as for ``evaluate_predictions``.
    """
    test, train = parts[0], parts[1] if len(parts) > 1 else None
    evaluation = evaluate_predictions(
        test.labels,
        test.probabilities,
        class_names,
        before=test.before,
        train=(int(train.right.sum()), len(train.right)) if train else None,
        flips=arguments.flips,
        seen=_describe_seen(seen, test),
        **record,
    )
    origin |= {"data": read_fingerprint(arguments.data), "command": arguments.command}
    save_evaluation(Path(arguments.output) / name, evaluation, test, class_names, origin)
    return Judged(evaluation, test, train, seen, origin["network"], origin.get("cross_validated"))


def _average(answers: list[Predictions]) -> Predictions:
    before = None
    if any(each.before is not None for each in answers):
        before = average_logits([each.probabilities if each.before is None else each.before for each in answers])
    together = average_logits([each.probabilities for each in answers])
    return Predictions(answers[0].paths, answers[0].labels, together, before)


def _load_fitting(arguments: Namespace, class_names: list[str]) -> Iterator[Bundle]:
    """Yield the bundles asked for; without --model all that know these classes, naming those that do not fit."""
    names = arguments.model or list_bundles(arguments.models_dir)
    if not names:
        raise UserError(f"there is no model in {arguments.models_dir}; train one with: python -m src.transfer_model")
    for name in names:
        try:
            bundle = load_bundle(name, arguments.models_dir, **plain_facts(name, arguments))
            if sorted(bundle.class_names) != sorted(class_names):
                mismatch = describe_mismatch(bundle.name, bundle.class_names, arguments.data, class_names)
                raise UserError(f"{mismatch}; give it data of its own classes, or train a model on these")
        except UserError as error:
            if arguments.model:
                raise
            say(f"Skipped: {error}.")
            continue
        yield bundle
