"""`fit_many` on the workers of a Dask cluster: chunks of networks, and the data sent once."""

from distributed import Client, as_completed
from tqdm.auto import tqdm

from ..basis import interrupts

# A task is at least so much work (some 0.3 s), beside which sending and starting it is little ...
FLOPS_PER_TASK = 1e10
# ... unless there would be fewer tasks than this for each thread of the workers.
TASKS_PER_THREAD = 4


def run(client, fit_chunk, shared, networks, own, works, progress):
    """Call `fit_chunk` with chunks of the networks, which are changed as it changes its copies.

    Parameters
    ----------
    client : distributed.Client
    fit_chunk : callable
        Takes networks, `shared` and the chunk's part of `own`; returns histories, and what went
        wrong by number.
    shared : object
        What all chunks need. It is sent to each worker once.
    networks : list of Network
    own : dict of str to list
        With one value for each network.
    works : list of float
        Operations of each network's training.
    progress : bool

    Returns
    -------
    histories : dict of int to History
        Those of chunks that were finished when Ctrl-C was pressed, if it was.
    failures : dict of int to Exception
    """
    if not isinstance(client, Client) or client.asynchronous:
        raise TypeError(f"client must be a distributed.Client, not asynchronous, got {client!r}")
    threads = sum(client.nthreads().values())
    if not threads:
        raise ValueError("the cluster of client has no workers yet; client.wait_for_workers waits")
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
    bar = tqdm(total=len(networks), unit="network", disable=not progress)
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
    """Lists of the networks' numbers, the most work first."""
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
    """Train the networks, which are this task's own; returns what `run` wants to know of them."""
    histories, failures = fit_chunk(networks, shared, own)
    trained = [(net._engine.parameters, net._engine.random.bit_generator.state) for net in networks]
    return trained, histories, failures
