"""A training that is stopped as by Ctrl-C, after so many epochs."""

import contextlib

from src.training.history import TrainingHistory


@contextlib.contextmanager
def stopped_in(epoch: int, monkeypatch):
    """Within the context no training gets beyond this epoch, which is not added to its history."""
    add = TrainingHistory.add

    def interrupt(history, row):
        if row["epoch"] == epoch:
            raise KeyboardInterrupt
        return add(history, row)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingHistory, "add", interrupt)
        yield
