import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import split_dataset
from tests.conftest import check_user_error, run_command
from tests.datasets.pictures import class_folders, files_below

ROOT = Path(__file__).parents[1]


def run(*arguments, cwd=ROOT):
    command = [sys.executable, str(ROOT / "split_dataset.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.fixture
def source(tmp_path):
    return class_folders(tmp_path / "source", {"cat": 20, "dog": 10})


def test_table_on_stdout(source, tmp_path):
    done = run("--source", source, "--output", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[:4]] == [
        ["class", "train", "val", "test", "total"],
        ["cat", "14", "3", "3", "20"],
        ["dog", "7", "2", "1", "10"],
        ["total", "21", "5", "4", "30"],
    ]


def test_json_is_one_line_on_stdout(source, tmp_path, capsys):
    (source / "cat" / "bad.jpg").write_text("x")
    assert split_dataset.main(["--source", str(source), "--output", str(tmp_path / "data"), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    values = json.loads(out)
    assert values["counts"]["train"] == {"cat": 14, "dog": 7} and values["set_aside"] == 1
    assert values["content_hash"] == json.loads((tmp_path / "data" / "split.json").read_text())["content_hash"]


def test_help_is_light_and_splitting_loads_no_tensorflow(source, tmp_path):
    code = (
        "import sys, split_dataset\n"
        "assert not {'cv2', 'PIL', 'tensorflow', 'keras'} & set(sys.modules)\n"
        f"assert split_dataset.main(['--source', {str(source)!r}, '--output', {str(tmp_path / 'data')!r}]) == 0\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    done = run("--help")
    assert done.returncode == 0 and "examples:" in done.stdout


def test_errors_are_one_sentence_and_exit_code_2(source, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_text("no archive")
    (tmp_path / "file").write_text("x")
    output = ["--output", str(tmp_path / "data")]
    cases = {
        "cats_vs_dogs, cats_and_dogs_filtered, cifar10, cifar100, shapes": [
            "--source",
            str(tmp_path / "missing"),
            *output,
        ],
        "neither folders of classes": ["--source", str(tmp_path / "empty"), *output],
        "damaged": ["--source", str(tmp_path / "bad.zip"), *output],
        "no class emu": ["--source", str(source), *output, "--classes", "emu"],
        "would lie below it": [
            "--source",
            str(source),
            "--output",
            str(tmp_path / "file" / "data"),
        ],
        "--ratios": ["--source", str(source), *output, "--ratios", "1", "1", "1"],
    }
    for message, arguments in cases.items():
        assert split_dataset.main(arguments) == 2, arguments
        captured = capsys.readouterr()
        assert message in captured.err and captured.err.count("error:") == 1 and captured.out == ""
    assert not (tmp_path / "data").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip", "empty", "file", "source"]


def test_an_error_through_the_shell_has_no_traceback(source, tmp_path):
    done = run("--source", tmp_path / "missing", "--output", tmp_path / "data")
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.startswith("error: ")
    done = run("--source", source, "--output", "/proc/data")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr


def test_a_path_wins_over_a_name(tmp_path):
    class_folders(tmp_path / "cifar10", {"cat": 4, "dog": 4})
    done = run("--source", "cifar10", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["class_names"] == ["cat", "dog"] and (tmp_path / "data" / "split.json").is_file()


def test_places_that_cannot_be_are_one_sentence(source, tmp_path, capsys):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    home, loop = "~no-such-user-here/x", str(tmp_path / "loop")
    for arguments, words in (
        (["--source", home], "no such home folder"),
        (["--source", str(source), "--output", home], "no such home folder"),
        (["--source", loop], "no folder or archive here"),
        (["--source", str(source), "--output", loop], "is not a folder"),
        (["--source", "shapes", "--picture-size", "60000"], "at most"),
    ):
        output = [] if "--output" in arguments else ["--output", str(tmp_path / "data")]
        assert split_dataset.main([*arguments, *output]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ") and words in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "source"]


# ------------------------------------------------------------------------------ bad input, through the command line


def _empty_class(source):
    (source / "emu").mkdir()


def _one_class(source):
    shutil.rmtree(source / "dog")


def _absent_class(source):
    for i, part in enumerate(("train", "val", "test")):
        class_folders(source / part, {"cat": 4, "dog": 4}, first=1000 * (i + 1))
    shutil.rmtree(source / "cat")
    shutil.rmtree(source / "dog")
    shutil.rmtree(source / "val" / "dog")


BAD_SOURCES = {
    "missing folder": (shutil.rmtree, ["no folder or archive here"]),
    "empty class": (_empty_class, ["no pictures in the folder of emu"]),
    "one class": (_one_class, ["at least two classes", "only cat"]),
    "class absent from a part": (_absent_class, ["class dog", "no picture in val"]),
}


@pytest.mark.commands
@pytest.mark.parametrize("case", BAD_SOURCES)
def test_bad_sources(case, source, tmp_path):
    data = class_folders(tmp_path / "before", {"cat": 4, "dog": 4}, first=5000)
    assert run_command("split_dataset.py", "--source", data, "--output", tmp_path / "data").returncode == 0
    before = files_below(tmp_path / "data")
    spoil, words = BAD_SOURCES[case]
    spoil(source)
    check_user_error(
        run_command("split_dataset.py", "--source", source, "--output", tmp_path / "data", "--force"), *words
    )
    assert files_below(tmp_path / "data") == before


@pytest.mark.commands
def test_no_network(tmp_path):
    offline = {"https_proxy": "http://127.0.0.1:9", "no_proxy": "", "IMAGE_DATASETS_CACHE": str(tmp_path / "cache")}
    result = run_command("split_dataset.py", "--source", "cifar10", "--output", tmp_path / "data", env=offline)
    check_user_error(result, "could not fetch cifar10", "--source PATH")
    assert not (tmp_path / "data").exists()


@pytest.mark.commands
def test_an_output_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file", tmp_path / "file" / "data", "/proc/data"):
        check_user_error(run_command("split_dataset.py", "--source", source, "--output", place), str(place))
    assert (tmp_path / "file").read_text() == "in the way"
