"""An estimate in words, for the terminal and for the report."""

from collections.abc import Sequence

MEANING = (
    "It is a statement about pictures like these, and about a logistic regression over the pre-trained backbone as it "
    "is; a network whose backbone is trained further may do better or worse."
)


def describe_accuracy(found: dict) -> str:
    """Of ``CrossValidation.as_json``."""
    low, high = found["interval"]
    return (
        f"{found['accuracy']:.1%} (95% interval {low:.1%} to {high:.1%}), by cross-validation of all {found['n']} "
        f"pictures ({found['folds']} folds, {'once' if found['repeats'] == 1 else str(found['repeats']) + ' times'})"
    )


def describe_beside(found: dict) -> str:
    """Beside the figures of a small test part, of ``CrossValidatedModels.find``."""
    return (
        f"so few test pictures tell little; accuracy {describe_accuracy(found)}, of a logistic regression over the "
        f"pre-trained {found['backbone']} as it is, not of this very network"
    )


def describe_curve(curve: dict) -> str:
    """What twice as many pictures would bring, of ``LearningCurve.as_json``."""
    twice = curve["twice"]
    if twice is None:
        return "Too few pictures of a class for a learning curve."
    low, high = (100 * bound for bound in twice["gain_interval"])
    start = (
        f"Twice as many pictures of each class ({twice['pictures']} in all) would bring "
        f"{100 * twice['gain']:+.1f} points of accuracy (95% interval {low:+.1f} to {high:+.1f})"
    )
    if twice["can_be_told"]:
        return f"{start}."
    return f"{start}; how much it would help cannot be told from these."


def describe_needs(needs: Sequence[dict]) -> str:
    """Which class needs more pictures the most, of ``Estimate.as_json``."""
    if not needs:
        return ""
    first = needs[0]
    low, high = (100 * bound for bound in first["interval"])
    loss = f"{100 * first['loss']:.1f} points of accuracy (95% interval {low:+.1f} to {high:+.1f})"
    if first["can_be_told"]:
        return f"{first['class']} needs more pictures the most: half of its own cost {loss}."
    return f"Which class needs more pictures the most cannot be told; half of {first['class']}'s cost {loss}."


def describe_weakest(found: dict) -> str:
    """The class that is recognised the least, of ``CrossValidation.as_json``."""
    name, row = min(found["per_class"].items(), key=lambda item: (item[1]["recall"], item[0]))
    low, high = row["interval"]
    return f"The least recognised is {name}: {row['recall']:.1%} of {row['n']} ({low:.1%} to {high:.1%})."


def describe_choice(choice: dict) -> str:
    """What was chosen, on what."""
    low, high = choice["interval"]
    return (
        f"Chosen on {' and '.join(choice['chosen_on'])} ({choice['n']} pictures; test pictures took no part): "
        f"{choice['description']}. There its cross-validated accuracy is {choice['accuracy']:.1%} ({low:.1%} to "
        f"{high:.1%}), a little too good, since it was chosen by the same pictures."
    )


def describe_estimate(record: dict) -> str:
    """All of it, for the terminal."""
    accuracy = record["cross_validated"]
    lines = [
        f"Accuracy: {describe_accuracy(accuracy)}. Nothing was chosen by it but the strength of the regularisation, "
        "by training pictures of its folds.",
        f"  {MEANING}",
        f"  {describe_weakest(accuracy)}",
        describe_curve(record["learning_curve"]),
        describe_needs(record["needs"]),
        describe_choice(record["choice"]),
    ]
    return "\n".join(line for line in lines if line)
