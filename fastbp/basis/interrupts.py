"""When an exception from a signal handler may come, and calls that none can break into.

Python runs signal handlers in the main thread, between any two of its bytecodes. So the exception
of one (Ctrl-C's KeyboardInterrupt, an alarm's TimeoutError, a SystemExit on SIGTERM) could come
between a weight and its bias, between a loss and its validation loss, or within a C callback,
where it would be lost. `held` lets it wait for a better moment, and `released` is for the user's
own code in between. In other threads no handler runs, and both do nothing.
"""

import _signal  # what the module signal wraps: each fit asks for all handlers, here 20 times faster
import contextvars
import os
import signal
import threading

# How often the waiting main thread looks up, in seconds: a signal that another thread has got
# does not wake it, and on Windows none does.
LOOK_UP = 0.01
# Those that programs handle in Python; real-time signals, from 32 on, are left alone.
SIGNALS = sorted(number for number in signal.valid_signals() if number < 32)

# The state of the main thread, the only one that changes it.
_depth = 0  # how many `held` are around
_open = True  # whether an exception of a handler may pass
_waiting: BaseException | None = None  # one that may not yet
_stops: tuple = ()  # what ends the calls that an exception would come to
_guards: dict = {}  # by signal, what takes the handler's place
_owner: threading.Thread | None = None  # the thread whose state this is


def _in_main_thread():
    return threading.current_thread() is threading.main_thread()


def _note(error):
    """Let an exception wait; what ends a program goes before Ctrl-C."""
    global _waiting
    if _waiting is None or isinstance(_waiting, KeyboardInterrupt):
        _waiting = error
    for stop in _stops:
        stop[0] = 1


class _Guard:
    """What takes a handler's place."""

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
                _guard()  # it may have set another handler
        except BaseException as error:
            _note(error)


def _guard():
    """Put a guard in the place of each handler that has none; the user's code may set others."""
    for number in SIGNALS:
        handler = _signal.getsignal(number)
        if callable(handler) and handler is not _guards.get(number):
            if isinstance(handler, _Guard):  # signal.signal gave it to the user's code
                handler = handler.handler
            _guards[number] = _Guard(handler)
            _signal.signal(number, _guards[number])


def _restore():
    """Put the handlers back; the exception of one that is back already waits, too."""
    while _guards:
        try:
            for number in list(_guards)[::-1]:
                handler = _signal.getsignal(number)
                if isinstance(handler, _Guard):  # a callback may have set another one
                    _signal.signal(number, handler.handler)
                del _guards[number]
        except BaseException as error:
            _note(error)


def check():
    """Raise the exception that waits, if there is one."""
    global _waiting
    if _waiting is not None and _in_main_thread():
        error, _waiting = _waiting, None
        try:
            raise error
        finally:
            del error  # whose traceback has this frame: without a cycle it is freed at once


class held:  # noqa: N801 - used as a function
    """With this, exceptions of signal handlers wait for the end of the block.

    Parameters
    ----------
    stop : int64 array of shape (1,), optional
        Set to 1 when there is one, to end what goes on in the block.
    """

    def __init__(self, stop=None):
        self._stop = stop

    def __enter__(self):
        global _depth, _open, _owner, _stops
        self._active = _in_main_thread()
        if not self._active:
            return
        _owner = threading.main_thread()
        # Without a call: here no handler runs before the state is whole.
        self._stops = _stops
        self._outer, _open = _open, False
        _depth += 1
        try:
            if self._outer:
                _guard()
        except BaseException:  # of a handler that had no guard yet
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
            # What ended the block already goes before Ctrl-C.
            isinstance(error, Exception) and isinstance(waiting, KeyboardInterrupt)
        ):
            try:
                raise waiting
            finally:
                del waiting

    def _leave(self):
        """Returns the exception that may come now, if there is one."""
        global _depth, _open, _stops, _waiting
        waiting = None
        _stops = self._stops
        try:
            _depth -= 1
            if _depth == 0:
                _restore()
        finally:  # from now on, they may come at any line
            _open = self._outer
            if _open:
                waiting, _waiting = _waiting, None
        return waiting


class released:  # noqa: N801 - used as a function
    """With this, within `held`, signal handlers may raise at any line: for the user's own code.

    That code may catch what comes, so the calls around it are not stopped.
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
            except BaseException as error:  # of a handler that had no guard yet
                _note(error)


def _after_fork():
    """In a child that another thread has forked, the main thread's calls do not go on."""
    global _depth, _open, _stops, _waiting
    if _depth and threading.current_thread() is not _owner:
        _restore()
        _depth, _open, _stops, _waiting = 0, True, (), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def in_thread(call):
    """What `call` returns, called in a thread of its own while this one handles signals.

    For compiled code, during which Python handles none, and for code that is not to be broken
    off. To be called within `held`. Other threads than the main one just call it.
    """
    if not _in_main_thread():
        return call()
    outcome = {}

    def work():
        try:
            outcome["result"] = call()
        except BaseException as error:
            outcome["error"] = error

    context = contextvars.copy_context()  # numpy.errstate, among others
    thread = threading.Thread(target=context.run, args=(work,), name="fastbp-train")
    thread.start()
    while thread.is_alive():
        try:
            thread.join(LOOK_UP)
        except BaseException as error:  # of a handler that was set meanwhile
            _note(error)
    if "error" in outcome:
        raise outcome.pop("error")
    return outcome["result"]
