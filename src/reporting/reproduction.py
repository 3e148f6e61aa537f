"""What makes a report again: commands in their order, versions, digests."""

from collections.abc import Sequence

from src.reporting.results import Results


def describe_reproduction(results: Results, command: str, others: Sequence[str | None] = ()) -> dict:
    """``commands`` in their order, ``versions`` of packages, the split's ``fingerprint``, the networks' ``digests``.

    Args:
        command: the report's own.
        others: of further sections.
    """
    manifest, models = results.data.manifest, results.models
    facts = [model.facts or {} for model in models]
    commands = [manifest.command if manifest else None]
    commands += [each.get("command") for each in facts]
    commands += [model.metrics["command"] for model in models]
    commands += [found["command"] for model in models for found in (model.explained, model.comparison) if found]
    commands += [*others, command]
    return {
        "commands": list(dict.fromkeys(filter(None, commands))),
        "versions": _list_versions({model.name: each.get("versions") or {} for model, each in zip(models, facts)}),
        "fingerprint": results.data.fingerprint,
        "digests": [(model.name, model.metrics["network"]) for model in models if model.metrics["network"]],
    }


def _list_versions(by_model: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
    """Each package with the version that trained the models, with all of them by model where they differ."""
    packages: dict[str, dict[str, str]] = {}
    for model, versions in by_model.items():
        for package, version in versions.items():
            packages.setdefault(package, {})[model] = version
    return [(package, _join_versions(versions)) for package, versions in sorted(packages.items())]


def _join_versions(by_model: dict[str, str]) -> str:
    if len(set(by_model.values())) == 1:
        return next(iter(by_model.values()))
    return ", ".join(f"{version} ({model})" for model, version in by_model.items())
