"""A worker makes calls beside this process; whoever loses it, or has none, makes them itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sealkeep_client.workers import Worker, WorkerLostError
from sealkeep_protocol.errors import SourceError
from support.worker_functions import broken_stream, called, locks, out_of_memory, process_ids


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as made:
        if not made.enabled:
            pytest.skip("this machine has one core")
        yield made


def pid_of(worker: Worker) -> int:
    return next(worker.stream(process_ids))


def there(worker: Worker, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in the worker."""
    (result,) = worker.stream(called, function, *arguments)
    return result


def test_a_worker_calls_functions_in_another_process(worker: Worker) -> None:
    assert pid_of(worker) != os.getpid()


def test_tasks_give_their_own_results_in_any_order(worker: Worker) -> None:
    tasks = [worker.submit(pow, 2, exponent) for exponent in range(20)]
    assert [task.result() for task in reversed(tasks)] == [2**exponent for exponent in reversed(range(20))]


def test_large_arguments_and_results_pass_in_both_directions_at_once(worker: Worker) -> None:
    tasks = [worker.submit(bytes.upper, bytes([97 + number]) * 3_000_000) for number in range(6)]
    assert [task.result() for task in tasks] == [bytes([65 + number]) * 3_000_000 for number in range(6)]


def test_a_task_raises_what_its_function_raises(worker: Worker) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        worker.submit(int, "x").result()
    assert worker.submit(int, "1").result() == 1


def test_an_error_of_ours_comes_over_whole(worker: Worker) -> None:
    with pytest.raises(SourceError) as raised:
        list(worker.stream(broken_stream, "chats.json"))
    assert (raised.value.path, raised.value.line) == ("chats.json", 3)


def test_a_call_that_waits_can_be_made_here(worker: Worker) -> None:
    tasks = [worker.submit(sum, range(10_000_000)) for _ in range(6)]
    broken = worker.submit(int, "x")
    assert broken.take_back()
    assert tasks[-1].take_back()
    assert tasks[-1].is_done
    with pytest.raises(ValueError, match="invalid literal"):
        broken.result()
    assert len({task.result() for task in tasks}) == 1
    assert not tasks[0].take_back()


def test_a_stream_gives_its_items_in_order(worker: Worker) -> None:
    assert list(worker.stream(range, 100)) == list(range(100))
    assert list(worker.stream(iter, [None, (), "x"])) == [None, (), "x"]


def test_a_call_that_cannot_be_sent_says_so_and_the_worker_goes_on(worker: Worker) -> None:
    with pytest.raises(Exception, match="pickle"):
        list(worker.stream(iter, [lambda: None]))
    assert worker.submit(int, "1").result() == 1


def test_a_result_that_cannot_be_sent_loses_the_worker(worker: Worker) -> None:
    with pytest.raises(WorkerLostError):
        list(worker.stream(locks))
    assert not worker.enabled


def test_what_a_killed_worker_leaves_undone_is_done_here(worker: Worker) -> None:
    identifier = pid_of(worker)
    tasks = [worker.submit(os.getpid) for _ in range(4)]
    os.kill(identifier, signal.SIGKILL)
    assert {task.result() for task in tasks} <= {identifier, os.getpid()}
    with pytest.raises(WorkerLostError):
        list(worker.stream(range, 1_000_000))
    assert not worker.enabled
    assert worker.submit(os.getpid).result() == os.getpid()


def test_a_stream_of_a_killed_worker_is_lost(worker: Worker) -> None:
    stream = worker.stream(process_ids)
    os.kill(next(stream), signal.SIGKILL)
    with pytest.raises(WorkerLostError):
        list(stream)


def test_closing_ends_the_process_whatever_it_does() -> None:
    with Worker() as worker:
        if not worker.enabled:
            pytest.skip("this machine has one core")
        identifier = pid_of(worker)
        worker.submit(sum, range(10**12))
    assert not psutil.pid_exists(identifier)


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\nfrom sealkeep_client.workers import Worker\nfrom support.worker_functions import process_ids\n"
        "worker = Worker()\nprint(next(worker.stream(process_ids)), flush=True)\nsys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        _, left = psutil.wait_procs([child], timeout=20)
    assert not left


def test_what_a_function_prints_does_not_stand_among_the_results(worker: Worker) -> None:
    worker.submit(print, "hello").result()
    assert worker.submit(int, "1").result() == 1


def test_without_a_worker_the_calls_are_made_here() -> None:
    with Worker(enabled=False) as worker:
        assert not worker.enabled
        assert worker.submit(os.getpid).result() == os.getpid()
        assert list(worker.stream(range, 3)) == [0, 1, 2]


def test_a_worker_that_cannot_start_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Worker() as worker:
        assert worker.submit(os.getpid).result() == os.getpid()
        assert not worker.enabled


def test_a_worker_without_memory_is_lost(worker: Worker) -> None:
    """The parent makes the call itself, and has its memory for that."""
    with pytest.raises(WorkerLostError):
        list(worker.stream(out_of_memory))
    assert not worker.enabled


def test_a_worker_inherits_no_passphrase_and_none_of_its_parents_channels(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEALKEEP_PASSPHRASE", "correct horse")
    with Worker() as worker:
        if not worker.enabled:
            pytest.skip("this machine has one core")
        assert there(worker, os.getenv, "SEALKEEP_PASSPHRASE") is None
        # What reads standard input reads nothing, where the calls would come from; Ctrl-C is for the parent alone.
        assert there(worker, os.read, 0, 1) == b""
        assert there(worker, os.getpgrp) != os.getpgrp()
        for channel in (1, 2):
            there(worker, os.write, channel, b"of the chat")
    assert capfd.readouterr() == ("", "")


def test_what_is_no_interpreter_is_not_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where Python is embedded, `sys.executable` is the app."""
    app = tmp_path / "app"
    app.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\nexec sleep 60\n")
    app.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(app))
    with Worker() as worker:
        assert worker.submit(os.getpid).result() == os.getpid()
    assert not (tmp_path / "started").exists()


def test_places_that_are_no_texts_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/somewhere"), b"/else"])
    with Worker() as worker:
        assert worker.submit(int, "1").result() == 1
        assert list(worker.stream(range, 3)) == [0, 1, 2]


def test_without_a_thread_there_is_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with Worker() as worker:
            assert worker.submit(os.getpid).result() == os.getpid()
            assert not worker.enabled
    assert not [
        child for child in psutil.Process().children() if "sealkeep_client.workers" in " ".join(child.cmdline())
    ]
