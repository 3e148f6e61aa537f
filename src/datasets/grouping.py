"""Which pictures belong together, and so into one part: identical ones, near-copies, and what the user says.

Pure, but for reading the user's table of groups.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from src.datasets.disjoint import Groups
from src.datasets.near_copies import NearCopy
from src.datasets.sources import Picture
from src.errors import UserError
from src.files import expand_path, read_table
from src.progress import say


def group_alike(pictures: Sequence[Picture], near_copies: Sequence[NearCopy]) -> Groups:
    """Identical pictures and near-copies, joined. ``near_copies`` are of places in ``pictures``."""
    groups = Groups(len(pictures))
    groups.join_equal(picture.digest for picture in pictures)
    for copy in near_copies:
        groups.join(copy.first, copy.second)
    return groups


def assign_groups(
    pictures: Sequence[Picture], near_copies: Sequence[NearCopy], keys: Sequence[str | None] | None = None
) -> None:
    """Set ``group`` of each picture: the same number for identical ones, near-copies and equal keys, and for whatever
    is joined through others.

    Args:
        near_copies: places in ``pictures``.
        keys: for each picture what the user says that it belongs to, or None.
    """
    groups = group_alike(pictures, near_copies)
    if keys is not None:
        groups.join_equal(keys)
    for number, members in enumerate(groups.as_lists()):
        for index in members:
            pictures[index].group = number


def find_keys(group_by: str, relative_paths: Sequence[str]) -> list[str | None]:
    """The group of each picture by ``--group-by``: a CSV file with the columns file and group, or a regular expression.

    The expression is searched for in the picture's path below the source, and its first bracket, or else all that it
    matches, is the group. A picture that nothing is said of has none (None).

    Raises ``UserError`` for what is neither, and where no picture gets a group.
    """
    path = expand_path(group_by)
    tell = _read_table(group_by) if path.suffix.lower() == ".csv" else _read_expression(group_by)
    keys = [tell(relative) for relative in relative_paths]
    told = [key for key in keys if key is not None]
    if not told:
        raise UserError(
            f"--group-by {group_by} tells the group of none of the {len(keys)} pictures, as {relative_paths[0]}; it "
            "must fit their paths below the source"
        )
    if len(told) < len(keys):
        alone = relative_paths[keys.index(None)]
        say(f"--group-by tells nothing of {len(keys) - len(told)} pictures, as {alone}; each stands by itself.")
    return keys


def _read_expression(text: str) -> Callable[[str], str | None]:
    try:
        expression = re.compile(text)
    except re.error as error:
        raise UserError(f"--group-by {text} is no regular expression ({error}), nor the name of a .csv file") from error

    def tell(relative: str) -> str | None:
        match = expression.search(relative)
        if match is None:
            return None
        return (match.group(1) if expression.groups else match.group(0)) or None

    return tell


def _read_table(name: str) -> Callable[[str], str | None]:
    try:
        rows = read_table(expand_path(name), ("file", "group"))
    except UserError as error:
        raise UserError(f"--group-by: {error}") from error
    table: dict[str, str] = {}
    for file, group in rows:
        if not file or not group:
            continue
        file = PurePosixPath(file.replace("\\", "/")).as_posix()
        if table.setdefault(file, group) != group:
            raise UserError(f"--group-by {name} puts {file} into two groups, {table[file]} and {group}; keep one")
    return table.get
