"""Runs teams of threads, and chooses their size.

The compiled kernels run without the GIL. A team is a set of Python threads that call the same
backend function, each with its own rank; the kernels contain the barrier between them. In
contrast, `share` runs independent jobs in threads.
"""

import contextlib
import functools
import multiprocessing
import os
import threading
import weakref

from . import interrupts

# Each additional thread needs at least this many operations per step (about 100 µs of work);
# otherwise the barriers cost more than the thread saves.
FLOPS_PER_THREAD = 1e7
# Starting a thread takes some 100 µs, and as long until another core is awake. So each additional
# thread needs at least this many operations in the whole call.
CALL_FLOPS_PER_THREAD = 1.5e8
# Each thread also needs at least this many weights of the largest layer: with few, one thread
# would update them while the others wait.
WEIGHTS_PER_THREAD = 4096

_lock = threading.Lock()
_busy = 0  # number of this process's threads that are training now


def available():
    """Return the maximum size of a new team: the cores that no other team of the process uses."""
    process = multiprocessing.current_process()
    if process.daemon:
        return 1  # a worker of a process pool; the pool already has a process for each core
    from joblib import cpu_count  # respects affinity, container limits and LOKY_MAX_CPU_COUNT
    from joblib.parallel import get_active_backend

    # Inside joblib, a loky process may use its share of the cores. A joblib thread or a Dask
    # worker may use one core only.
    if get_active_backend()[0].nesting_level and not process.name.startswith("LokyProcess"):
        return 1
    limit = os.environ.get("OMP_NUM_THREADS", "")  # set by joblib in its worker processes
    cores = min(cpu_count(), int(limit)) if limit.isdigit() else cpu_count()
    return max(1, cores - _busy)


def automatic(flops, weights, groups, steps=1):
    """Return the number of threads for a call that takes `steps` steps of `flops` operations.

    Threads take whole groups of the batch's blocks; with less than two groups, they share the
    weights; the largest layer has `weights` of them. Fewer than two threads' worth of work means
    one.
    """
    worth = min(
        int(flops // FLOPS_PER_THREAD),
        int(steps * flops // CALL_FLOPS_PER_THREAD),
        groups if groups > 1 else weights // WEIGHTS_PER_THREAD,
    )
    return 1 if worth < 2 else min(worth, available())


class _occupying:  # noqa: N801 - used as a function
    """Context manager that counts cores as used by this process while the block runs."""

    def __init__(self, threads):
        self._threads = threads

    def __enter__(self):
        global _busy
        with _lock:
            _busy += self._threads

    def __exit__(self, *error):
        global _busy
        with _lock:
            _busy -= self._threads


def run(member, threads):
    """Call member(0), member(1), ... in `threads` threads; return the result of member(0).

    If the system cannot start all threads, raise RuntimeError without calling any member.
    """
    if threads == 1:
        with _occupying(1):
            return member(0)
    errors: list = []
    # Ctrl-C waits: if it ended this thread's part alone, the others would wait for it forever.
    with interrupts.held():
        others = _start(member, threads, errors)
        with _occupying(threads):
            result = member(0)
            for thread in others:
                thread.join()
    if errors:
        raise errors[0]
    return result


def _start(member, threads, errors):
    """Start the threads of a team but the first, which add their exceptions to `errors`."""
    gate, go = threading.Event(), [False]
    cores: set[int] = set()  # which the team uses

    def work(rank):
        gate.wait()
        if go[0]:
            try:
                _spread(cores)
                member(rank)
            except BaseException as error:
                errors.append(error)

    others = [threading.Thread(target=work, args=(rank,)) for rank in range(1, threads)]
    started = []
    try:
        for thread in others:
            thread.start()
            started.append(thread)
        go[0] = True
        _spread(cores)
    finally:  # in an incomplete team, members would wait forever for the missing ones
        gate.set()
        if not go[0]:
            for thread in started:
                thread.join()
    return others


def _spread(cores):
    """Move this thread to a core that is not in `cores`, if it is on one of them; add its core.

    Linux often starts a thread on its parent's core, above all in a virtual machine, and leaves
    both there for tens of milliseconds. A team would then be slower than one thread.
    """
    current = _current_core()
    if current is None:
        return
    core = current()
    if core in cores:
        allowed = os.sched_getaffinity(0)  # of this thread
        if allowed - cores:
            with contextlib.suppress(OSError):  # a sandbox may forbid it
                os.sched_setaffinity(0, allowed - cores)
                core = current()
                os.sched_setaffinity(0, allowed)
    cores.add(core)


@functools.cache
def _current_core():
    """The function that returns the number of the calling thread's core; None if there is none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    import ctypes

    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


# Threads whose results are no longer needed.
_abandoned: weakref.WeakSet = weakref.WeakSet()


@contextlib.contextmanager
def abandoning():
    """If an exception leaves the block, abandon the threads started inside it.

    joblib lets its threads run on when one of them fails or when Ctrl-C is pressed.
    """
    before = set(threading.enumerate())
    try:
        yield
    except BaseException:
        _abandoned.update(set(threading.enumerate()) - before)
        raise


def abandoned():
    """Return whether this thread should stop working."""
    return threading.current_thread() in _abandoned


def share(jobs, threads, done):
    """Call each job once, in `threads` threads; a thread takes the next job when it is free.

    Parameters
    ----------
    jobs : iterable of callable
    threads : int
        Number of threads. If the system cannot start that many, fewer are used.
    done : callable
        Called after each job, by one thread at a time.
    """
    jobs, lock = iter(jobs), threading.Lock()
    errors: list = []

    def work():
        try:
            while not errors:
                with lock:
                    job = next(jobs, None)
                if job is None:
                    return
                job()
                with lock:
                    done()
        except BaseException as error:  # keep it, since Python would lose it with the thread
            errors.append(error)

    others = []
    for _ in range(threads - 1):
        thread = threading.Thread(target=work, name="fastbp-share")
        try:
            thread.start()
        except RuntimeError:
            break
        others.append(thread)
    with _occupying(len(others)):  # so that jobs start no teams of their own
        work()
        for thread in others:
            thread.join()
    if errors:
        raise errors[0]
