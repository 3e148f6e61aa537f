import json
import subprocess
import sys
from pathlib import Path

import pytest

import split_dataset
from tests.datasets.pictures import class_folders

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
