"""A process of our own is heard from, is ended when it should be, and never outlives the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from stream.processes import OwnProcess

LONG = 60.0
ROOT = Path(__file__).parents[1]
COMPLAINT = "Expression 'alsa_snd_pcm_drop( self->pcm )' failed"


def double(pipe: Connection) -> None:
    while True:
        pipe.send(2 * pipe.recv())


def fail(pipe: Connection) -> None:
    os.write(2, b"a remark\n")
    raise RuntimeError(f"nobody listens to {pipe.recv()}")


def spin(_: Connection) -> None:
    while True:
        os.write(2, f"{COMPLAINT}\n".encode() * 1000)


def hang(pipe: Connection) -> None:
    """Keep Python's lock: no signal handler and no other thread can run."""
    pipe.send(os.getpid())
    ctypes.PyDLL(None).sleep(3600)


def shout(pipe: Connection) -> None:
    """Far more than a pipe holds, and less than a flood."""
    os.write(1, b"x" * 100_000)
    for _ in range(5):
        os.write(2, b"y" * 100_000)
    pipe.send("done")


def test_questions_and_answers_cross_over() -> None:
    with contextlib.closing(OwnProcess(double)) as process:
        process.pipe.send(21)
        assert process.pipe.recv() == 42


def test_what_it_died_of_is_known() -> None:
    process = OwnProcess(fail)
    process.pipe.send("us")
    with pytest.raises(EOFError):
        process.pipe.recv()
    process.close()
    assert process.last_words == "RuntimeError: nobody listens to us"


def test_one_that_is_left_with_an_unread_answer_ends_without_a_word() -> None:
    process = OwnProcess(double)
    process.pipe.send(21)
    assert process.pipe.poll(LONG)
    process.pipe.close()
    assert process._process.wait(LONG) == 0
    process.close()
    assert process.last_words == "it said nothing"


def test_what_it_says_cannot_block_it() -> None:
    with contextlib.closing(OwnProcess(shout)) as process:
        assert process.pipe.recv() == "done"


def test_one_that_floods_stderr_is_ended() -> None:
    process = OwnProcess(spin)
    assert process.pipe.poll(LONG)
    with pytest.raises(EOFError):
        process.pipe.recv()
    process.close()
    assert COMPLAINT.startswith(process.last_words)


def test_one_that_hangs_can_be_closed() -> None:
    process = OwnProcess(hang)
    pid = process.pipe.recv()
    process.close()
    assert not psutil.pid_exists(pid)


def test_one_that_hangs_ends_with_the_one_that_started_it() -> None:
    program = (
        "import sys, time; sys.path.insert(0, 'tests')\n"
        "from stream.processes import OwnProcess; from test_processes import hang\n"
        "process = OwnProcess(hang); print(process.pipe.recv(), flush=True); time.sleep(3600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert running(child)
        parent.kill()
    deadline = time.monotonic() + LONG
    while running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(process: psutil.Process) -> bool:
    """Whether it does more than wait for somebody to ask how it ended."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
