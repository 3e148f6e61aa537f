import pytest

from src.errors import UserError
from src.files import expand_path, read_json, sha256_file, write_csv, write_json


def test_an_unknown_home_folder_is_the_users_error():
    with pytest.raises(UserError, match="no such home folder"):
        expand_path("~no-such-user-here/pictures")


def test_json_round_trip_and_damage(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, "é"], "a": None})
    assert read_json(tmp_path / "a.json") == {"b": [1, "é"], "a": None}
    (tmp_path / "a.json").write_text('{"b": [1')
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "missing.json")


def test_csv_cells_that_a_spreadsheet_would_run_are_quoted(tmp_path):
    write_csv(tmp_path / "a.csv", ["name", "n"], [("=cmd()", -1), ("-x", 2), ("plain", 3), ("'=x", 4)])
    lines = ["name,n", "'=cmd(),-1", "'-x,2", "plain,3", "''=x,4"]
    assert (tmp_path / "a.csv").read_text().splitlines() == lines


def test_sha256_of_known_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
