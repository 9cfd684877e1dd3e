"""Teams of threads: how many a piece of work gets, and running it.

The compiled kernels run without the GIL, so a team is so many Python threads that call the same
backend function with a rank each; the barrier between them is in the kernels. `share` is for
independent pieces of work instead.
"""

import contextlib
import multiprocessing
import os
import threading
import weakref

# A thread more must bring at least this many operations of a step (some 100 µs of work), or
# waiting for each other would eat up what is gained.
FLOPS_PER_THREAD = 1e7
# ... and have this many units of the widest layer's input to itself: weight rows are shared out,
# and where they are few, one thread would update them while the others wait.
UNITS_PER_THREAD = 64

_lock = threading.Lock()
_busy = 0  # threads of this process that train at the moment


def available():
    """How many threads a new team may have, those at work elsewhere in the process left out."""
    process = multiprocessing.current_process()
    if process.daemon:
        return 1  # one of a pool, whose size was chosen to fill the machine
    from joblib import cpu_count  # counts affinity, container limits and LOKY_MAX_CPU_COUNT
    from joblib.parallel import get_active_backend

    # A process of joblib's may have its share of the cores, but not a thread, or a Dask worker's.
    if get_active_backend()[0].nesting_level and not process.name.startswith("LokyProcess"):
        return 1
    limit = os.environ.get("OMP_NUM_THREADS", "")  # set by joblib in its worker processes
    cores = min(cpu_count(), int(limit)) if limit.isdigit() else cpu_count()
    return max(1, cores - _busy)


def automatic(flops, widest):
    """The number of threads for steps of so many operations, by the widest layer's input."""
    worth = min(int(flops // FLOPS_PER_THREAD), widest // UNITS_PER_THREAD)
    return 1 if worth < 2 else min(worth, available())


def run(member, threads):
    """Call member(0), member(1), ... in as many threads; returns what member(0) returns.

    If the system cannot start that many, RuntimeError is raised and nothing was run.
    """
    global _busy
    gate, go, errors = threading.Event(), [False], []

    def work(rank):
        gate.wait()
        if go[0]:
            try:
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
    finally:  # a member of an incomplete team would wait for the missing ones forever
        gate.set()
        if not go[0]:
            for thread in started:
                thread.join()
    with _lock:
        _busy += threads
    try:
        result = member(0)
        for thread in others:
            thread.join()
    finally:
        with _lock:
            _busy -= threads
    if errors:
        raise errors[0]
    return result


# Threads that nobody waits for any more.
_abandoned: weakref.WeakSet = weakref.WeakSet()


@contextlib.contextmanager
def abandoning():
    """If an exception leaves, threads that were started meanwhile are abandoned.

    For joblib's, which it leaves to their work when another one fails or Ctrl-C is pressed.
    """
    before = set(threading.enumerate())
    try:
        yield
    except BaseException:
        _abandoned.update(set(threading.enumerate()) - before)
        raise


def abandoned():
    """Whether this thread should do no more."""
    return threading.current_thread() in _abandoned


def share(jobs, threads, done):
    """Call each of the jobs once, in so many threads; the next free one takes the next job.

    Parameters
    ----------
    jobs : iterable of callable
    threads : int
        If the system cannot start that many, there are fewer.
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
        except BaseException as error:  # would be lost with its thread
            errors.append(error)

    others = []
    for _ in range(threads - 1):
        thread = threading.Thread(target=work, name="fastbp-share")
        try:
            thread.start()
        except RuntimeError:
            break
        others.append(thread)
    work()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
