"""Settings, manifests, tables and names of any content: what is written is read again as it was."""

import argparse
import contextlib
import csv
import dataclasses
import json
import os
import shlex
import types
import typing

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from src.bundle_facts import read_facts
from src.datasets.manifest import Manifest, load_manifest, save_manifest
from src.datasets.split_settings import SplitSettings
from src.drawing import draw_contact_sheet
from src.errors import UserError
from src.files import format_json, read_json, read_table, write_csv, write_json
from src.imaging import read_image
from src.loading.augmentation import AugmentationSettings
from src.plotting import plot_confusion_matrix
from src.settings import PARTS, command_line, load_settings, parse_options, recorded_options, typed_command
from src.training.options import TrainingSettings
from src.training.schedule import TwoPhaseSettings
from tests.faults.fuzz_bundle import BUNDLE

pytestmark = pytest.mark.large

# Always the same examples, so that no run fails by chance; tmp_path may be used again, as each example overwrites it.
always = settings(
    derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
few = settings(always, max_examples=4)
KINDS = (SplitSettings, AugmentationSettings, TrainingSettings, TwoPhaseSettings)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
# whatever a file system may hold: any bytes but "/" and NUL, of which some are no UTF-8
names = st.binary(min_size=1, max_size=20).map(lambda data: os.fsdecode(data.replace(b"/", b"_").replace(b"\0", b"_")))
odd_names = st.sampled_from(
    ["$x^{$", "=1+1", "a\nb", "\x1b[31m", "-x", "é馬🦊", "\u202eab", "%s{}", "\udcff", "  ", "_", "#"]
)
class_names = st.lists(st.one_of(names, odd_names), min_size=2, max_size=6, unique=True)
NUMBERS = (0, 1, 2, 7, 4096, 0.0, 0.1, 1 / 3, 0.5, 0.999, 1.0, 1e-7, 5.0, 10.0, 1e9, "auto", "64", "48x64")


def _values(field: dataclasses.Field, hint) -> st.SearchStrategy:
    """What the command line takes for a field."""
    keywords = field.metadata["argparse"]
    kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if kind is not types.NoneType]
    if kinds == [bool]:
        found = st.booleans()
    elif "choices" in keywords:
        found = st.sampled_from(keywords["choices"])
    elif keywords.get("nargs") == 3:
        found = st.tuples(*[st.floats(0, 1)] * 3)
    elif keywords.get("nargs") == "+":
        found = st.lists(texts.filter(lambda text: not text.startswith("-")), min_size=1, max_size=3)
    elif kinds == [str] and "type" not in keywords:
        found = texts
    else:
        found = st.sampled_from(_convertible(keywords.get("type", kinds[0])))
    return found if field.default is not None else st.none() | found


def _convertible(convert) -> list:
    values = []
    for text in map(str, NUMBERS):
        with contextlib.suppress(ValueError, argparse.ArgumentTypeError):
            values.append(convert(text))
    return values


@st.composite
def _settings(draw, kind: type):
    hints = typing.get_type_hints(kind)
    values = {field.name: draw(_values(field, hints[field.name])) for field in dataclasses.fields(kind)}
    try:
        return kind(**values)
    except UserError:
        assume(False)


@pytest.mark.parametrize("kind", KINDS)
@always
@given(st.data())
def test_settings_survive_the_command_line_and_json(kind, data):
    chosen = data.draw(_settings(kind))
    words = shlex.split(command_line("src.any", [chosen]))[3:]
    (again,) = parse_options([kind], words)
    recorded = json.loads(json.dumps(dataclasses.asdict(chosen)))
    assert json.loads(json.dumps(dataclasses.asdict(again))) == recorded == recorded_options([kind], words)
    assert json.loads(json.dumps(dataclasses.asdict(load_settings(kind, recorded)))) == recorded


@always
@given(st.lists(st.one_of(names, texts, odd_names)))
def test_a_command_is_kept_as_it_was_typed(words):
    assert shlex.split(typed_command("src.gradcam", words)) == ["python", "-m", "src.gradcam", *words]


digests = st.text("0123456789abcdef", min_size=16, max_size=16)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
manifests = st.builds(
    Manifest,
    source=names,
    settings=st.dictionaries(texts, json_values, max_size=3),
    class_names=st.lists(names, max_size=3),
    counts=st.dictionaries(st.sampled_from(PARTS), st.dictionaries(names, st.integers(0, 10**6), max_size=3)),
    content_hash=digests,
    files=st.lists(names, max_size=4),
    set_aside=st.lists(st.fixed_dictionaries({"path": names, "reason": texts}), max_size=2),
    ignored=st.integers(0, 10**6),
    parts=st.dictionaries(digests, st.sampled_from(PARTS), max_size=3),
    corrections=st.dictionaries(digests, names, max_size=2),
    command=names,
)


@always
@given(manifests)
def test_a_manifest_is_read_as_it_was_written(tmp_path, manifest):
    save_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest


@always
@given(
    class_names,
    st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    st.floats(0, exclude_min=True, allow_infinity=False),
)
def test_the_facts_of_a_bundle_are_read_as_they_were_written(tmp_path, known, size, temperature):
    record = BUNDLE | {"class_names": known, "image_size": list(size), "temperature": temperature}
    write_json(tmp_path / "bundle.json", record)
    facts = read_facts(tmp_path)
    assert (facts["class_names"], facts["image_size"], facts["temperature"]) == (tuple(known), size, temperature)
    assert facts["info"] == record


cells = st.one_of(
    names,
    st.sampled_from(
        ["=cmd()", "+1", "-1", "@x", "\tx", "\r", "'=x", "''-", "'plain", 'a"b', "a,b", "", "a\r\nb", "\ufeff"]
    ),
)


@always
@given(st.lists(st.tuples(cells, cells), max_size=5))
def test_a_table_is_read_as_it_was_written_and_runs_no_formula(tmp_path, rows):
    write_csv(tmp_path / "a.csv", ["file", "class"], rows)
    assert read_table(tmp_path / "a.csv", ("file", "class")) == rows
    assert [row[::-1] for row in rows] == read_table(tmp_path / "a.csv", ("class", "file"))
    with open(tmp_path / "a.csv", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        assert not any(cell.startswith(tuple("=+-@\t\r")) for row in csv.reader(stream) for cell in row)


@always
@given(class_names, json_values)
def test_names_go_through_json_unchanged(tmp_path, known, value):
    write_json(tmp_path / "a.json", {"names": known, "value": value})
    assert read_json(tmp_path / "a.json") == {"names": known, "value": value}
    line = format_json({"names": known, "value": value})
    assert json.loads(line) == {"names": known, "value": value} and "\n" not in line and line.isascii()


@few
@given(class_names)
def test_any_name_can_be_drawn(tmp_path, known):
    plot_confusion_matrix(np.eye(len(known), dtype=int), known, tmp_path / "matrix.png", title=known[0])
    tiles = [np.zeros((8, 8, 3), np.uint8)] * len(known)
    draw_contact_sheet(tiles, known, tmp_path / "sheet.png", title=known[-1])
    for name in ("matrix.png", "sheet.png"):
        assert read_image(tmp_path / name).std() > 0
