"""``python -m src.run``: what is done, what is not done again, what is refused. Commands that learn are pretended,
but in the tests at the end."""

import json
import shutil
import signal
import sys
import zipfile
from pathlib import Path

import pytest

from src import run
from src.errors import EXIT_INTERRUPTED, EXIT_PARTIAL, EXIT_USER_ERROR, UserError
from src.locks import hold_lock
from src.model_choice import checkpoint_path
from src.running import execute, plan
from src.running.record import LOCK_FILE
from src.running.stages import as_typed
from tests.conftest import read_json_line, run_command
from tests.running.made import Pretended, write_photos

ALL = ["split", "audit", "baseline", "estimate", "transfer", "evaluate", "gradcam", "report"]


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """Pretended stages, in a folder of their own with 12 + 10 photos."""
    stages = Pretended()
    monkeypatch.setattr(execute, "run_stage", stages)
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos"), {"a": 12, "b": 10})
    return stages


def test_all_stages_in_their_order_and_what_they_came_to(pretended, capsys):
    assert run.main(["photos"]) == 0
    shown = capsys.readouterr()
    assert pretended.ran == ALL
    assert "transfer: 90.0% of 10 test pictures are right (95% interval 50.0% to 95.0%)" in shown.out
    assert "baseline: 60.0%" in shown.out
    assert "By cross-validation of all 22 pictures: 85.0% (95% interval 70.0% to 93.0%)" in shown.out
    assert "Audit: 2 x label_error (pictures that look like another class), as train/b/b_001.png" in shown.out
    assert "The page: runs/photos/gradcam/report.html" in shown.out
    assert "python -m src.predict --models-dir runs/photos/models PHOTO" in shown.out
    assert "photos: 22 pictures of 2 classes (a 12, b 10)." in shown.err
    assert "[8/8] report: " in shown.err and " left." in shown.err
    split = json.loads(Path("runs/photos/data/split.json").read_text())
    assert sum(sum(counts.values()) for counts in split["counts"].values()) == 22


def test_one_line_of_json(pretended, capsys):
    assert run.main(["photos", "--json", "--output", "out"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["models"]["transfer"] == {"accuracy": 0.9, "interval": [0.5, 0.95], "n": 10}
    assert found["cross_validated"] == {"accuracy": 0.85, "interval": [0.7, 0.93], "n": 22}
    assert list(found["models"]) == ["transfer", "baseline"] and found["classes"] == {"a": 12, "b": 10}
    assert found["worst_finding"]["kind"] == "label_error" and found["worst_finding"]["count"] == 2
    assert found["done_now"] == ALL and found["unreadable"] == [] and found["report"] == "out/gradcam/report.html"


def test_the_same_command_again_does_nothing(pretended):
    assert run.main(["photos"]) == 0
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file() and path.name != "run.json"}
    pretended.ran.clear()
    assert run.main(["photos/"]) == 0 and pretended.ran == []
    assert before == {path: path.read_bytes() for path in before}
    assert run.main(["photos", "--restart"]) == 0 and pretended.ran == ALL


@pytest.mark.parametrize("stage", ALL)
def test_an_interrupted_run_goes_on_with_the_stage_that_is_not_done(pretended, capsys, stage):
    pretended.fails[stage] = KeyboardInterrupt()
    assert run.main(["photos", "--seed", "7"]) == EXIT_INTERRUPTED
    shown = capsys.readouterr().err
    assert f"Stopped in {stage}." in shown and "go on with: python -m src.run photos --seed 7" in shown
    assert pretended.ran == ALL[: ALL.index(stage)]
    pretended.ran.clear()
    assert run.main(["photos", "--seed", "7"]) == 0
    assert pretended.ran == ALL[ALL.index(stage) :]


@pytest.mark.parametrize("stage", ["split", "transfer", "report"])
def test_a_stage_that_fails_is_an_error_and_the_next_run_goes_on(pretended, capsys, stage):
    pretended.fails[stage] = UserError("the disk is full")
    assert run.main(["photos"]) == EXIT_USER_ERROR
    assert capsys.readouterr().err.strip().endswith("error: the disk is full")
    pretended.ran.clear()
    assert run.main(["photos"]) == 0 and pretended.ran == ALL[ALL.index(stage) :]


def test_a_killed_run_leaves_a_training_that_goes_on_and_one_of_other_pictures_begins_anew(pretended):
    """After kill -9 the stage stands as begun; its half-done state lies beside the bundles."""
    state = checkpoint_path("runs/photos/models", "transfer")
    for added, told in ((False, "transfer"), (True, "transfer --restart")):
        pretended.fails["transfer"] = KeyboardInterrupt()
        run.main(["photos", "--restart"])
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text("half done")
        if added:
            write_photos(Path("photos"), {"a": 3}, first=50)
        pretended.ran.clear()
        assert run.main(["photos"]) == 0
        assert told in pretended.ran, pretended.ran
        state.unlink()


def test_photos_that_were_added_are_taken_in(pretended, capsys):
    assert run.main(["photos"]) == 0
    before = json.loads(Path("runs/photos/data/split.json").read_text())
    write_photos(Path("photos"), {"a": 4, "b": 4}, first=50)
    pretended.ran.clear()
    assert run.main(["photos"]) == 0 and pretended.ran == ALL
    assert "[1/8] split, again: your pictures changed" in capsys.readouterr().err
    after = json.loads(Path("runs/photos/data/split.json").read_text())
    assert len(after["files"]) == len(before["files"]) + 8 and set(before["files"]) < set(after["files"])


def test_only_what_follows_from_a_change_is_done_again(pretended, capsys):
    assert run.main(["photos"]) == 0
    for path, expected in (
        ("gradcam/audit/findings.csv", ["audit", "report"]),
        ("models/transfer/bundle.json", ["transfer", "evaluate", "gradcam", "report"]),
        ("gradcam/estimate/estimate.json", ["estimate", "transfer", "evaluate", "gradcam", "report"]),
        ("gradcam/report.html", ["report"]),
        ("data/split.json", ["split"]),  # which comes out the same
    ):
        Path("runs/photos", path).unlink()
        shutil.rmtree("runs/photos/data") if path.startswith("data") else None
        pretended.ran.clear()
        assert run.main(["photos"]) == 0 and pretended.ran == expected, path
    pretended.ran.clear()
    assert run.main(["photos", "--backbone", "mobilenet_v2"]) == 0
    assert pretended.ran == ["estimate", "transfer", "evaluate", "gradcam", "report"]
    assert "[4/8] estimate, again: the options changed" in capsys.readouterr().err


def test_a_run_that_was_moved_is_still_done(pretended, monkeypatch, tmp_path):
    assert run.main(["photos"]) == 0
    pretended.ran.clear()
    assert run.main([str(tmp_path / "photos"), "--output", str(tmp_path / "runs" / "photos")]) == 0
    assert pretended.ran == []


def test_without_the_baseline(pretended, capsys):
    assert run.main(["photos", "--skip-baseline"]) == 0
    assert pretended.ran == [name for name in ALL if name != "baseline"]
    assert "baseline" not in capsys.readouterr().out


def test_pictures_that_cannot_be_read_are_named(pretended, capsys):
    Path("photos/a/broken.jpg").write_text("no picture")
    assert run.main(["photos"]) == EXIT_PARTIAL
    assert "Not read: a/broken.jpg: not a picture" in capsys.readouterr().out
    assert run.main(["photos", "--json"]) == EXIT_PARTIAL, "also where nothing was left to do"
    assert json.loads(capsys.readouterr().out)["unreadable"][0]["path"] == "a/broken.jpg"


def test_a_stage_in_part_makes_the_run_one_in_part(pretended):
    pretended.codes["gradcam"] = EXIT_PARTIAL
    assert run.main(["photos"]) == EXIT_PARTIAL


def test_an_archive(pretended, capsys):
    with zipfile.ZipFile("trip.tar.zip", "w") as archive:
        for path in sorted(Path("photos").rglob("*.png")):
            archive.write(path)
    assert run.main(["trip.tar.zip"]) == 0 and Path("runs/trip/run.json").is_file()
    assert "trip.tar.zip: 22 pictures of 2 classes (a 12, b 10)." in capsys.readouterr().err
    pretended.ran.clear()
    assert run.main(["trip.tar.zip"]) == 0 and pretended.ran == []


REFUSED = {
    "missing": ("nowhere", "there is no folder or archive nowhere"),
    "one class": ("one", "needs at least two classes"),
    "empty class": ("empty", "no pictures in the folder of b"),
    "no pictures": ("none", "holds neither folders of classes"),
    "few": ("few", "class b has 2 pictures; at least 3 are needed"),
    "no archive": ("text.zip", "is not a zip or tar archive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_become_a_classifier_is_told_before_anything_is_written(pretended, capsys, case):
    write_photos(Path("one"), {"a": 5})
    write_photos(Path("empty"), {"a": 5, "b": 0})
    Path("empty/b").mkdir()
    Path("none").mkdir()
    write_photos(Path("few"), {"a": 5, "b": 2})
    Path("text.zip").write_text("no archive")
    source, words = REFUSED[case]
    assert run.main([source]) == EXIT_USER_ERROR
    shown = capsys.readouterr()
    assert words in shown.err and shown.out == "" and shown.err.count("\n") == 1
    assert not Path("runs").exists() and pretended.ran == []


def test_what_is_no_runs_output_is_left_alone(pretended, capsys):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("precious")
    assert run.main(["photos", "--output", "mine"]) == EXIT_USER_ERROR
    assert "mine holds something else than a run's results (thesis.txt)" in capsys.readouterr().err
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]
    assert run.main(["photos", "--output", "mine/thesis.txt"]) == EXIT_USER_ERROR
    assert "is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["photos", "photos/results", "."])
def test_an_output_within_the_pictures_or_around_them_is_refused(pretended, capsys, output):
    assert run.main(["photos", "--output", output]) == EXIT_USER_ERROR
    assert "lie inside each other; choose another --output" in capsys.readouterr().err
    assert sorted(path.name for path in Path("photos").iterdir()) == ["a", "b"] and not Path("run.json").exists()


def test_the_results_of_other_pictures_are_not_replaced(pretended, capsys):
    assert run.main(["photos", "--output", "out"]) == 0
    write_photos(Path("others"), {"a": 8, "b": 8})
    assert run.main(["others", "--output", "out"]) == EXIT_USER_ERROR
    assert "out holds the results of" in capsys.readouterr().err
    Path("photos").rename("renamed")
    assert run.main(["others", "--output", "out"]) == EXIT_USER_ERROR  # they may be on a card that is away
    pretended.ran.clear()
    assert run.main(["renamed", "--output", "out"]) == 0 and pretended.ran == []


def test_two_runs_do_not_write_into_one_folder(pretended, capsys):
    with hold_lock("runs/photos/" + LOCK_FILE, "it", "wait"):
        assert run.main(["photos"]) == EXIT_USER_ERROR
    assert "another run is writing runs/photos" in capsys.readouterr().err and pretended.ran == []
    assert run.main(["photos"]) == 0 and not Path("runs/photos", LOCK_FILE).exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 9}', '{"format": 1, "stages": {"split": {"x": 1}}}'])
def test_a_damaged_record_is_told(pretended, capsys, content):
    Path("runs/photos").mkdir(parents=True)
    Path("runs/photos/run.json").write_text(content)
    assert run.main(["photos"]) == EXIT_USER_ERROR
    assert "move runs/photos away, or give another --output" in capsys.readouterr().err


def test_the_names_of_outputs():
    assert run.default_output("my photos") == Path("runs/my photos")
    assert run.default_output("/x/y/photos.tar.gz") == Path("runs/photos")
    assert run.default_output("Photos.ZIP") == Path("runs/Photos")
    assert run.default_output(".") == Path("runs", Path.cwd().name)


def test_the_words_of_the_transfer_are_chosen_by_one_function(pretended, monkeypatch):
    settings = plan.RunSettings("photos", Path("out"))
    monkeypatch.setattr(plan, "choose_transfer", lambda settings: ["--phase2-epochs", "0"])
    words = {stage.name: stage.words() for stage in plan.plan_stages(settings)}
    assert words["transfer"][-2:] == ["--phase2-epochs", "0"] and list(words) == ALL
    assert as_typed(words["report"]).startswith("python -m src.report --data out/data --models-dir out/models")
    assert as_typed(words["split"]).startswith("python split_dataset.py --source photos --output out/data")


@pytest.mark.slow
def test_the_commands_themselves(monkeypatch, tmp_path, capsys):
    """In this process, small: everything in its place, and on the page."""
    monkeypatch.chdir(tmp_path)
    quick = ["--image-size", "64", "--views", "1", "--phase1-epochs", "2", "--phase2-epochs", "0"]
    monkeypatch.setattr(plan, "choose_transfer", lambda settings: quick)
    write_photos(Path("photos"), {"a": 12, "b": 12})
    Path("photos/b/broken.jpg").write_bytes(b"\xff\xd8 no picture")
    typed = ["photos", "--json", "--backbone", "efficientnet_lite0", "--skip-baseline"]
    assert run.main(typed) == EXIT_PARTIAL
    found = json.loads(capsys.readouterr().out)
    assert found["models"]["transfer"]["n"] == 4 and found["unreadable"][0]["path"] == "b/broken.jpg"
    page = Path(found["report"]).read_text()
    assert "b/broken.jpg" in page and "Not audited" not in page
    assert "The audit is of other pictures" not in page
    assert run.main(typed) == EXIT_PARTIAL
    assert json.loads(capsys.readouterr().out)["done_now"] == []


@pytest.mark.commands
@pytest.mark.large
def test_ctrl_c_says_how_to_go_on_and_it_does(tmp_path):
    """The process is interrupted by itself as soon as the first stage is done."""
    write_photos(tmp_path / "photos", {"a": 6, "b": 6})
    code = (
        "import os, signal, sys\n"
        "from src import run\n"
        "from src.running import execute\n"
        "do = execute.run_stage\n"
        "def stop(stage, words, again):\n"
        "    if stage == 'audit':\n"
        "        os.kill(os.getpid(), int(sys.argv[1]))\n"
        "    return do(stage, words, again)\n"
        "execute.run_stage = stop\n"
        "sys.exit(run.main(['photos']))\n"
    )
    stopped = run_command("-c", code, signal.SIGINT.value, cwd=tmp_path)
    assert stopped.returncode == EXIT_INTERRUPTED and "Stopped in audit" in stopped.stderr, stopped.stderr
    killed = run_command("-c", code, signal.SIGTERM.value, cwd=tmp_path)
    assert killed.returncode == EXIT_INTERRUPTED and "[1/8] split: done already" in killed.stderr


@pytest.mark.slow
@pytest.mark.commands
def test_forty_photographs_from_a_cold_start(real_pictures, tmp_path):
    source = real_pictures / "kaggle_dogs_vs_cats" / "train"
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for path in sorted(source.glob(f"{name}.*.jpg"))[:20]:
            shutil.copy(path, tmp_path / "photos" / name)
    result = run_command("-m", "src.run", "photos", "--json", cwd=tmp_path, timeout=540)
    found = read_json_line(result)
    assert result.returncode == 0 and found["done_now"] == ALL
    assert found["models"]["transfer"]["n"] == 6 and found["models"]["transfer"]["accuracy"] >= 5 / 6
    assert (tmp_path / found["report"]).stat().st_size > 100_000
    answer = run_command(
        "-m", "src.predict", "--models-dir", "runs/photos/models", source / "dog.999.jpg", "--json", cwd=tmp_path
    )
    assert answer.returncode == 0 and read_json_line(answer)["predictions"][0]["class"] == "dog", sys.platform
