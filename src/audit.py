"""What is wrong with the pictures: ``python -m src.audit`` finds it, and moves pictures only when told to."""

import shlex
import sys
from pathlib import Path

from src.errors import UserError, command, name_some
from src.files import expand_path, format_json
from src.progress import say
from src.settings import create_parser, seed_int

EXAMPLES = """\
  python -m src.audit                                      look through data/, write gradcam/audit/
  python -m src.audit --data my_photos --output findings   pictures that are not split yet
  python -m src.audit --no-features                        only what needs no network: files, copies, looks
  python -m src.audit --quarantine                         move away what cannot be read
  python -m src.audit --quarantine near_copy identical     move away all copies but one
  python -m src.audit --apply gradcam/audit/corrections.csv    after you have looked it through: other classes
  python -m src.audit --undo data/.audit/undo-001.csv      put back what was moved"""


@command
def main(argv=None) -> None:
    parser = create_parser(__doc__, EXAMPLES)
    parser.add_argument("--data", default="data", help="the data folder: parts with classes in them, or classes")
    parser.add_argument("--output", default="gradcam/audit", help="folder that the findings are written into")
    parser.add_argument("--seed", type=seed_int, default=42, help="of the folds that labels are judged by")
    parser.add_argument(
        "--no-features",
        action="store_true",
        help="do not have a pre-trained network look: no label errors, outliers and pictures of one scene",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--quarantine",
        nargs="*",
        metavar="KIND",
        help="move what was found into DATA/.audit/quarantine: of these kinds, or else what cannot be read",
    )
    action.add_argument("--apply", metavar="CSV", help="move pictures to the classes in a table of file and class")
    action.add_argument("--undo", metavar="CSV", help="move back what a list of DATA/.audit says")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    arguments = parser.parse_args(argv)
    data = expand_path(arguments.data)
    if arguments.apply or arguments.undo:
        _move(data, arguments)
        return
    kinds = _check_kinds(arguments.quarantine)
    from src.auditing.auditor import audit_folder

    audit = audit_folder(data, expand_path(arguments.output), features=not arguments.no_features, seed=arguments.seed)
    moved = None
    if kinds:
        from src.auditing.moving import quarantine

        moved = quarantine(data, [finding.file for finding in audit.findings if finding.kind in kinds])
    if arguments.json:
        undo_list = str(moved.undo_list) if moved and moved.undo_list else None
        extra = {"quarantined": moved.pictures, "undo": undo_list} if moved else {}
        print(format_json(audit.summary | extra | {"sheets": audit.sheets, "output": str(audit.output)}))
    else:
        print(_to_table(audit))
    if moved:
        _report(moved, "in quarantine", data, arguments.json)


def _check_kinds(kinds: list[str] | None) -> tuple[str, ...]:
    """The kinds to put into quarantine; none where that is not asked for."""
    from src.auditing.findings import BROKEN, KINDS

    if kinds is None:
        return ()
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise UserError(f"--quarantine: there is no kind {', '.join(unknown)}; the kinds are {', '.join(KINDS)}")
    return tuple(kinds) or BROKEN


def _move(data: Path, arguments) -> None:
    from src.auditing.moving import relabel, undo

    if not data.is_dir():
        raise UserError(f"there is no folder {data}; name it with --data")
    if arguments.apply:
        from src.auditing.auditor import list_pictures

        moved = relabel(list_pictures(data), arguments.apply)
    else:
        moved = undo(data, arguments.undo)
    if arguments.json:
        print(format_json({"moved": moved.pictures, "undo": str(moved.undo_list) if moved.undo_list else None}))
    _report(moved, "moved back" if arguments.undo else "moved", data, arguments.json)


def _report(moved, what: str, data: Path, as_json: bool) -> None:
    lines = [f"{moved.pictures} pictures {what}."]
    if moved.undo_list:
        lines.append(f"To undo it: python -m src.audit{_name_data(data)} --undo {shlex.quote(str(moved.undo_list))}")
        lines.append("Models that are trained already have learned from the pictures as they were.")
    for line in lines:
        say(line) if as_json else print(line)


def _name_data(data: str | Path) -> str:
    """The option for a command that is to be typed, where it is needed."""
    return "" if str(data) == "data" else f" --data {shlex.quote(str(data))}"


def _to_table(audit) -> str:
    """Kinds, how many, the first of each; and what the parts have in common."""
    from src.auditing.findings import KINDS

    summary = audit.summary
    lines = []
    for kind, count in summary["findings"].items():
        first = name_some([finding.file for finding in audit.findings if finding.kind == kind], 2)
        pairs = summary["pairs"].get(kind, {})
        across = [
            f"{pairs[key]} {key.replace('_', ' ')}" for key in ("across_parts", "across_classes") if pairs.get(key)
        ]
        where = f" ({', '.join(across)})" if across else ""
        lines.append(f"{kind:<16}{count:>6}  {KINDS[kind]}{where}: {first}")
    if not lines:
        lines.append("Nothing was found.")
    balance = summary["balance"]
    lines.append(f"Classes of {balance['smallest']} to {balance['largest']} pictures ({balance['ratio']:.1f} to 1).")
    if (shares := summary["class_shares_differ"]) and shares["differ"]:
        lines.append(f"The classes have other shares in some part (p = {shares['p_value']:.1g}).")
    if drifting := [f"{row['part']} in {row['measure']}" for row in summary["drift"] if row["drifts"]]:
        lines.append(f"Parts that differ from train: {name_some(drifting)}.")
    told = summary.get("parts_told_apart")
    if told and told["differ"]:
        low, high = told["interval"]
        lines.append(f"A classifier tells train from the rest: area {told['auc']:.2f} ({low:.2f} to {high:.2f}).")
    lines.append(
        f"{summary['pictures']} pictures. All findings: {audit.output / 'findings.csv'}; to look at: "
        f"{audit.output / 'overview.png'}{', ' if audit.sheets else ''}{', '.join(f'{k}.png' for k in audit.sheets)}"
    )
    if "label_error" in summary["findings"]:
        lines.append(
            f"Labels were judged by a classifier that is right in {summary['label_accuracy']:.1%} of pictures it has "
            "not seen: the less it knows, the more of what it names are its own mistakes, far below 95% nearly all. "
            "The clearest come first."
        )
        lines.append(
            f"Look through {audit.output / 'corrections.csv'}, then: python -m src.audit{_name_data(summary['data'])} "
            f"--apply {audit.output / 'corrections.csv'}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
