"""JSON and CSV files written whole or not at all, and digests."""

import csv
import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path

from src.atomic import atomic_file
from src.errors import UserError, describe_os_error


def expand_path(path: str | os.PathLike) -> Path:
    """``path`` with ``~`` as the home folder. Raises ``UserError`` where that user has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: there is no such home folder; write the path in full") from error


def write_json(path: str | os.PathLike, value) -> None:
    """Write ``value`` as indented JSON, atomically; keys keep their order."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as temporary:
        # A file name that is not UTF-8 holds lone surrogates; as \udcXX, JSON's own escape, they come back unchanged.
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def format_json(value) -> str:
    """``value`` as one line of JSON for stdout. JSON knows no NaN: what is not a finite number becomes null."""
    return json.dumps(finite(value), allow_nan=False)


def finite(value):
    """``value`` for JSON, which knows no NaN: numbers that are not finite become None."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: str | os.PathLike, remedy: str = "make it anew with the command that wrote it"):
    """Read a JSON file; ``UserError`` where it is missing or not JSON, which ``remedy`` says how to mend."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise UserError(describe_os_error(error)) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); {remedy}") from error


def _refuse_constant(name: str):
    raise ValueError(f"{name} is no number of JSON's")


def write_csv(path: str | os.PathLike, header: list[str], rows: Iterable[Iterable]) -> None:
    """Write rows under a header as CSV, atomically. Cells that a spreadsheet would run as a formula get a quote."""
    with (
        atomic_file(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows([harmless(cell) for cell in row] for row in rows)


_FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what begins so a spreadsheet would run


def harmless(cell):
    """A cell of a table that no spreadsheet runs as a formula: texts that begin as one get a quote."""
    return f"'{cell}" if isinstance(cell, str) and _is_formula(cell) else cell


def _is_formula(cell: str) -> bool:
    """Whether it begins as one; with quotes before it, too, so that those are told from ours."""
    return cell.lstrip("'").startswith(_FORMULAS)


def read_table(path: str | os.PathLike, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """These columns of a CSV file with a header, row by row, "" where a row has nothing; cells as they were before
    :func:`write_csv` made them harmless. Raises ``UserError`` where there is no such file or table."""
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            reader = csv.DictReader(stream)
            if not set(columns) <= set(reader.fieldnames or ()):
                raise UserError(f"{path} needs a first line with the columns {' and '.join(columns)}")
            return [tuple(_plain(row[column] or "") for column in columns) for row in reader]
    except OSError as error:
        raise UserError(describe_os_error(error)) from error
    except csv.Error as error:
        raise UserError(f"{path} is no table of comma-separated values ({error})") from error


def _plain(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and _is_formula(cell) else cell


def sha256_file(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
