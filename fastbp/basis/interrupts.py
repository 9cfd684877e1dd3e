"""Delays exceptions from signal handlers until the state of a training is consistent.

Python runs signal handlers in the main thread, between any two bytecodes. A handler's exception
(Ctrl-C's KeyboardInterrupt, an alarm's TimeoutError, a SystemExit on SIGTERM) could therefore be
raised after a layer's weights are set but not its biases, after a loss is recorded but not its
validation loss, or inside a C callback, where it would be lost. Inside `held`, such exceptions
wait until the block ends. Inside `released`, within `held`, they are raised immediately: for the
user's own code. Other threads never run handlers, so there both do nothing.
"""

import _signal  # the C module behind signal; it lists all handlers 20 times faster, for each fit
import contextvars
import os
import signal
import threading

# Seconds between two checks for signals by the waiting main thread. A signal that was delivered to
# another thread does not wake it, and on Windows no signal does.
LOOK_UP = 0.01
# Signals that programs handle in Python. Real-time signals, from 32 on, keep their handlers.
SIGNALS = sorted(number for number in signal.valid_signals() if number < 32)

# State of the main thread; only the main thread changes it.
_depth = 0  # number of nested `held` blocks
_open = True  # whether handlers may raise now
_waiting: BaseException | None = None  # the exception that will be raised later
_stops: tuple = ()  # flags that end the calls running inside `held`
_guards: dict = {}  # signal -> the guard that replaces its handler
_owner: threading.Thread | None = None  # the thread that this state belongs to


def _in_main_thread():
    return threading.current_thread() is threading.main_thread()


def _note(error):
    """Store an exception to be raised later. It replaces a KeyboardInterrupt, but no other."""
    global _waiting
    if _waiting is None or isinstance(_waiting, KeyboardInterrupt):
        _waiting = error
    for stop in _stops:
        stop[0] = 1


class _Guard:
    """Replaces a signal handler; calls it, and stores its exception if it may not raise now."""

    def __init__(self, handler):
        self.handler = handler

    def __call__(self, signum, frame):
        if _open:
            self.handler(signum, frame)
            return
        try:
            try:
                self.handler(signum, frame)
            finally:
                _guard()  # the handler may have set another handler
        except BaseException as error:
            _note(error)


def _guard():
    """Replace each Python handler that is not guarded yet; the user's code may set new ones."""
    for number in SIGNALS:
        handler = _signal.getsignal(number)
        if callable(handler) and handler is not _guards.get(number):
            if isinstance(handler, _Guard):  # user code got it from signal.signal and set it again
                handler = handler.handler
            _guards[number] = _Guard(handler)
            _signal.signal(number, _guards[number])


def _restore():
    """Restore the handlers. If a restored one raises meanwhile, its exception is stored, too."""
    while _guards:
        try:
            for number in list(_guards)[::-1]:
                handler = _signal.getsignal(number)
                if isinstance(handler, _Guard):  # else user code has set another handler; keep it
                    _signal.signal(number, handler.handler)
                del _guards[number]
        except BaseException as error:
            _note(error)


def check():
    """Raise the stored exception, if there is one."""
    global _waiting
    if _waiting is not None and _in_main_thread():
        error, _waiting = _waiting, None
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame; breaking the cycle frees it at once


class held:  # noqa: N801 - used as a function
    """Context manager that delays exceptions of signal handlers until the block ends.

    Parameters
    ----------
    stop : int64 array of shape (1,), optional
        Set to 1 when an exception is stored, so that the code in the block can end early.
    """

    def __init__(self, stop=None):
        self._stop = stop

    def __enter__(self):
        global _depth, _open, _owner, _stops
        self._active = _in_main_thread()
        if not self._active:
            return
        _owner = threading.main_thread()
        # No function call in the next lines: Python runs handlers at calls, and a handler must
        # not run before the state is complete.
        self._stops = _stops
        self._outer, _open = _open, False
        _depth += 1
        try:
            if self._outer:
                _guard()
        except BaseException:  # from a handler that was not guarded yet
            self._leave()
            raise
        if self._stop is not None:
            _stops = *_stops, self._stop
            if _waiting is not None:
                self._stop[0] = 1

    def __exit__(self, kind, error, traceback):
        if not self._active:
            return
        waiting = self._leave()
        if waiting is not None and not (
            # The block has failed already; that error takes precedence over Ctrl-C.
            isinstance(error, Exception) and isinstance(waiting, KeyboardInterrupt)
        ):
            try:
                raise waiting
            finally:
                del waiting

    def _leave(self):
        """Restore the outer state; return the stored exception if it may be raised now."""
        global _depth, _open, _stops, _waiting
        waiting = None
        _stops = self._stops
        try:
            _depth -= 1
            if _depth == 0:
                _restore()
        finally:  # from here on, handlers may raise at any line
            _open = self._outer
            if _open:
                waiting, _waiting = _waiting, None
        return waiting


class released:  # noqa: N801 - used as a function
    """Context manager for the user's code inside `held`: signal handlers may raise at any line.

    The user's code may catch the exception, so the `stop` flags of outer blocks are not set.
    """

    def __enter__(self):
        global _open, _stops
        self._active = _in_main_thread()
        if self._active:
            self._stops, _stops = _stops, ()
            self._outer, _open = _open, True

    def __exit__(self, kind, error, traceback):
        global _open, _stops
        if not self._active:
            return
        _open, _stops = self._outer, self._stops
        while not _open:
            try:
                _guard()
                return
            except BaseException as error:  # from a handler that was not guarded yet
                _note(error)


def _after_fork():
    """Reset the state in a child forked by another thread: the main thread's calls ended there."""
    global _depth, _open, _stops, _waiting
    if _depth and threading.current_thread() is not _owner:
        _restore()
        _depth, _open, _stops, _waiting = 0, True, (), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def in_thread(call):
    """Run `call` in a new thread while this one handles signals; return its result.

    For compiled code, during which Python runs no handlers, and for code that must not be
    interrupted. It must be used inside `held`. In other threads than the main one, `call` is
    simply called.
    """
    if not _in_main_thread():
        return call()
    outcome = {}

    def work():
        try:
            outcome["result"] = call()
        except BaseException as error:
            outcome["error"] = error

    context = contextvars.copy_context()  # keeps numpy.errstate, among others
    thread = threading.Thread(target=context.run, args=(work,), name="fastbp-train")
    thread.start()
    # An exception in `join` makes Python 3.11 take a running thread for one that has ended.
    while thread.is_alive() or not outcome:
        try:
            thread.join(LOOK_UP)
        except BaseException as error:  # from a handler that was set after the guards
            _note(error)
    if "error" in outcome:
        raise outcome.pop("error")
    return outcome["result"]
