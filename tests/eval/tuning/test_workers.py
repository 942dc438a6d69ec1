import os

import pytest

from eval.tuning.workers import Workers


def test_results_of_several_processes() -> None:
    with Workers(abs, 2) as workers:
        assert sorted(workers.map([-3, 2, -1])) == [1, 2, 3]
        assert list(workers.map([-7])) == [7]  # the same processes again


def test_a_process_that_dies_is_told() -> None:
    with Workers(os._exit, 2) as workers, pytest.raises(ChildProcessError, match="fewer workers"):
        list(workers.map([1]))


def test_one_worker_is_this_process() -> None:
    with Workers(lambda task: (task, os.getpid()), 1) as workers:
        assert list(workers.map("ab")) == [("a", os.getpid()), ("b", os.getpid())]
    with pytest.raises(ValueError, match="1 or more"):
        Workers(abs, 0)
