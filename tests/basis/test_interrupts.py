"""Calls in a thread of their own, during which signals wait."""

import threading

from helpers import SECONDS

from fastbp.basis import interrupts


def test_a_call_is_waited_for_though_python_takes_its_thread_for_stopped(monkeypatch):
    """As Python 3.11 does once a signal handler has raised in `Thread.join`."""
    asked = threading.Event()

    def is_alive(thread):
        asked.set()
        return False

    monkeypatch.setattr(threading.Thread, "is_alive", is_alive)
    with interrupts.held():
        assert interrupts.in_thread(lambda: asked.wait(SECONDS)) is True
