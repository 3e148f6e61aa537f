"""A small source, and the command on it."""

import pytest

from src.datasets.split import split_dataset
from src.datasets.split_settings import SplitSettings
from tests.datasets.pictures import class_folders


@pytest.fixture
def source(tmp_path):
    return class_folders(tmp_path / "source", {"cat": 20, "dog": 10})


@pytest.fixture
def run(tmp_path, source):
    def run(**changes):
        return split_dataset(SplitSettings(**{"source": str(source), "output": str(tmp_path / "data")} | changes))

    return run
