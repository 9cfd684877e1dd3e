"""Runs `fit_many` on the workers of a Dask cluster, in chunks of networks; data are sent once."""

from distributed import Client, as_completed

from ..basis import interrupts
from ..basis import progress as progress_

# Minimum work of a task (about 0.3 s), so that sending and starting it costs little in comparison.
FLOPS_PER_TASK = 1e10
# Tasks are smaller if there would be fewer than this for each thread of the workers.
TASKS_PER_THREAD = 4


def run(client, fit_chunk, shared, networks, own, works, progress):
    """Call `fit_chunk` on workers with chunks of the networks, and copy the results back.

    Parameters
    ----------
    client : distributed.Client
    fit_chunk : callable
        Takes networks, `shared` and the chunk's part of `own`; returns histories, and errors by
        the network's index in the chunk.
    shared : object
        Arguments that all chunks need. They are sent to each worker once.
    networks : list of Network
        The networks; they are changed in place.
    own : dict of str to list
        Arguments with one value for each network.
    works : list of float
        Number of operations of each network's training.
    progress : bool

    Returns
    -------
    histories : dict of int to History
        Histories by the network's index; after Ctrl-C only those of finished chunks.
    failures : dict of int to Exception
    """
    if not isinstance(client, Client) or client.asynchronous:
        raise TypeError(f"client must be a distributed.Client, not asynchronous, got {client!r}")
    threads = sum(client.nthreads().values())
    if not threads:
        raise ValueError(
            "the client's cluster has no workers yet; call client.wait_for_workers first"
        )
    sent = client.scatter(shared, broadcast=True, hash=False)
    futures = {}
    for chunk in _chunks(works, threads):
        part = {name: [values[i] for i in chunk] for name, values in own.items()}
        future = client.submit(
            _on_worker, fit_chunk, [networks[i] for i in chunk], sent, part, pure=False
        )
        futures[future] = chunk
    histories: dict = {}
    failures: dict = {}
    bar = progress_.bar(progress, total=len(networks), unit="network")
    try:
        for future in as_completed(futures):
            chunk = futures[future]
            trained, of_chunk, failed = future.result()
            with interrupts.held():
                for i, history, (parameters, random) in zip(chunk, of_chunk, trained, strict=True):
                    networks[i]._engine.parameters[...] = parameters
                    networks[i]._engine.random.bit_generator.state = random
                    histories[i] = history
            failures |= {chunk[i]: error for i, error in failed.items()}
            bar.update(len(chunk))
    except KeyboardInterrupt:
        pass
    finally:
        bar.close()
        client.cancel(list(futures))
    return histories, failures


def _chunks(works, threads):
    """Yield lists of the networks' indices, those with the most work first."""
    order = sorted(range(len(works)), key=lambda i: -works[i])
    least = min(FLOPS_PER_TASK, sum(works) / (TASKS_PER_THREAD * threads))
    chunk, work = [], 0.0
    for i in order:
        chunk.append(i)
        work += works[i]
        if work >= least:
            yield chunk
            chunk, work = [], 0.0
    if chunk:
        yield chunk


def _on_worker(fit_chunk, networks, shared, own):
    """Train copies of the networks on a worker; return parameters, histories and errors."""
    histories, failures = fit_chunk(networks, shared, own)
    trained = [(net._engine.parameters, net._engine.random.bit_generator.state) for net in networks]
    return trained, histories, failures
