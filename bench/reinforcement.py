"""Soft actor-critic on a pendulum: returns and time of an update, beside stable-baselines3's.

    python bench/reinforcement.py                        # minutes, most of them the peer's
    python bench/reinforcement.py --hidden 256,256       # networks of stable-baselines3's size
    python bench/reinforcement.py --only updates         # times alone; seconds

bench/README.md says more.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time

import numpy as np
from measure import HERE, cores_for
from report import aligned, microseconds
from threadpoolctl import threadpool_limits

from fastbp.basis import writing

sys.path.insert(0, str(HERE.parent / "examples"))
import reinforcement_learning as example  # noqa: E402

ENVIRONMENT = "Pendulum-v1"
BATCH, CAPACITY = 256, 5000
N_STATES, N_ACTIONS = 3, 1
LEARNING_RATE = 1e-3  # of stable-baselines3's zoo for this environment
EVALUATIONS = 20
SECONDS = 0.2  # of a round


def installed(*modules):
    return all(importlib.util.find_spec(name) for name in modules)


# Whole trainings.


def of_fastbp(steps, hidden, seed):
    """The episodes of a training, and a function that acts as it has learned."""
    import gymnasium

    agent, episodes = example.train(gymnasium.make(ENVIRONMENT), steps, seed, hidden=hidden)
    return episodes, agent.act


def of_stable_baselines3(steps, hidden, seed):
    import gymnasium
    from stable_baselines3.common.monitor import Monitor

    environment = Monitor(gymnasium.make(ENVIRONMENT))
    model = stable_baselines3(environment, hidden, seed)
    model.learn(steps)
    ends = np.cumsum(environment.get_episode_lengths()).tolist()
    high = environment.action_space.high  # the lowest is -high, here
    return (
        [*zip(ends, environment.get_episode_rewards(), strict=True)],
        lambda x: model.predict(x, deterministic=True)[0] / high,
    )


def stable_baselines3(environment, hidden, seed, **settings):
    """Its settings are the example's; besides those given here, they are its defaults."""
    from stable_baselines3 import SAC

    return SAC(
        "MlpPolicy",
        environment,
        learning_rate=LEARNING_RATE,
        policy_kwargs={"net_arch": [*hidden]},
        seed=seed,
        device="cpu",
        **settings,
    )


def evaluated(act):
    """Mean return of episodes from the same starts for all, without noise."""
    import gymnasium

    environment = gymnasium.make(ENVIRONMENT)
    space, totals = environment.action_space, []
    for start in range(EVALUATIONS):
        x, _ = environment.reset(seed=10_000 + start)
        total, ended = 0.0, False
        while not ended:
            x, reward, over, cut_off, _ = environment.step(space.high * act(x))
            total, ended = total + float(reward), over or cut_off
        totals.append(total)
    return statistics.mean(totals)


def trained(steps, hidden, seeds):
    """Contender -> a list with the figures of each seed."""
    if not installed("gymnasium"):
        print("without trainings: pip install gymnasium", file=sys.stderr)
        return {}
    contenders = {"fastbp": of_fastbp}
    if installed("stable_baselines3"):
        contenders["stable-baselines3"] = of_stable_baselines3
    results = {name: [] for name in contenders}
    for seed in range(seeds):
        for name, train in contenders.items():
            print(f"{name}, seed {seed}", file=sys.stderr)
            started = time.process_time()
            episodes, act = train(steps, hidden, seed)
            seconds = time.process_time() - started
            figures = {"seconds": seconds, "episodes": episodes, "evaluation": evaluated(act)}
            results[name].append(figures)
    return results


# Single updates.


def replay():
    """A memory of transitions drawn at random."""
    random = np.random.default_rng(0)
    memory = example.Replay(CAPACITY, N_STATES, N_ACTIONS)
    for column in memory.columns[:-1]:
        column[...] = random.standard_normal(column.shape)
    memory.added = CAPACITY
    return memory


def update_of_fastbp(hidden):
    agent, memory = example.SAC(N_STATES, N_ACTIONS, hidden=hidden), replay()
    random = np.random.default_rng(0)

    def update():
        noises = random.standard_normal((2, BATCH, N_ACTIONS), np.float32)
        agent.update(*memory.sample(BATCH, random), *noises)

    return update


def update_of_torch(hidden):
    import torch
    from sac_torch import TorchSAC

    torch.set_num_threads(1)
    peer = TorchSAC(example.SAC(N_STATES, N_ACTIONS, hidden=hidden), LEARNING_RATE)
    memory, random = replay(), np.random.default_rng(0)

    def update():
        arrays = map(torch.from_numpy, memory.sample(BATCH, random))
        peer.update(*arrays, *torch.randn(2, BATCH, N_ACTIONS))

    return update


def update_of_jax(hidden):
    import jax
    from sac_jax import JaxSAC

    peer = JaxSAC(example.SAC(N_STATES, N_ACTIONS, hidden=hidden), LEARNING_RATE)
    memory, random = replay(), np.random.default_rng(0)

    def update():
        noises = random.standard_normal((2, BATCH, N_ACTIONS), np.float32)
        peer.update(*memory.sample(BATCH, random), *noises)
        jax.block_until_ready(peer.state)

    return update


def update_of_stable_baselines3(hidden):
    import gymnasium
    import torch
    from stable_baselines3.common.logger import configure

    torch.set_num_threads(1)
    model = stable_baselines3(gymnasium.make(ENVIRONMENT), hidden, 0, buffer_size=CAPACITY)
    model.set_logger(configure(format_strings=[]))
    x, a, r, x_next, _ = replay().columns
    for i in range(CAPACITY):
        model.replay_buffer.add(x[i], x_next[i], a[i], r[i], np.zeros(1), [{}])
    return lambda: model.train(1, BATCH)


def timed(hidden, rounds):
    """Contender -> seconds an update in each round; the contenders take turns."""
    contenders = {"fastbp": update_of_fastbp(hidden)}
    if installed("torch"):
        contenders["PyTorch"] = update_of_torch(hidden)
    if installed("jax"):
        contenders["JAX"] = update_of_jax(hidden)
    if installed("gymnasium", "stable_baselines3"):
        contenders["stable-baselines3"] = update_of_stable_baselines3(hidden)
    results = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, update in contenders.items():
            repeats, started = 0, time.process_time()
            while time.process_time() - started < SECONDS:
                update()
                repeats += 1
            if number:  # the first round warms up
                results[name].append((time.process_time() - started) / repeats)
    return results


# What is shown.


def table_of_trainings(trainings):
    lines = [["returns", "last 10 episodes", "worst seed", "evaluation", "worst seed", "CPU s"]]
    for name, runs in trainings.items():
        cells = []
        at_the_end = [statistics.mean(total for _, total in run["episodes"][-10:]) for run in runs]
        for figures in (at_the_end, [run["evaluation"] for run in runs]):
            cells += [f"{statistics.mean(figures):.0f}", f"{min(figures):.0f}"]
        seconds = statistics.mean(run["seconds"] for run in runs)
        lines.append([name, *cells, f"{seconds:.1f}"])
    return aligned(lines)


def table_of_updates(updates):
    lines = [["µs an update", "median", "best", "to fastbp's best"]]
    for name, rounds in updates.items():
        ratio = min(rounds) / min(updates["fastbp"])
        cells = [microseconds(f(rounds)) for f in (statistics.median, min)]
        lines.append([name, *cells, f"{ratio:.1f}"])
    return aligned(lines)


def draw(results, path):
    """Learning curves: mean of the seeds' returns by episode, and their range."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, runs in results["trainings"].items():
        steps = [step for step, _ in runs[0]["episodes"]]
        totals = np.array([[total for _, total in run["episodes"]] for run in runs])
        (line,) = axes.plot(steps, totals.mean(axis=0), label=name)
        axes.fill_between(
            steps, totals.min(axis=0), totals.max(axis=0), color=line.get_color(), alpha=0.2
        )
    seeds = len(next(iter(results["trainings"].values())))
    layers = "-".join(map(str, results["hidden"]))
    axes.set_title(f"{ENVIRONMENT}, soft actor-critic, hidden layers {layers}: {seeds} seeds")
    axes.set_xlabel("steps in the environment")
    axes.set_ylabel("return of an episode (mean, range)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--hidden", default="64,64", help="hidden layers; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="of updates; default: %(default)s")
    parser.add_argument("--only", choices=["trainings", "updates"], help="default: both")
    parser.add_argument("--output", metavar="FILE", help="write all figures there, as JSON")
    parser.add_argument("--picture", metavar="FILE", help="draw the learning curves")
    options = parser.parse_args(arguments)
    hidden = tuple(int(width) for width in options.hidden.split(","))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores_for(1))
    threadpool_limits(1)
    results = {"hidden": hidden, "updates": {}, "trainings": {}}
    if options.only != "trainings":
        results["updates"] = timed(hidden, options.rounds)
        print(table_of_updates(results["updates"]))
    if options.only != "updates":
        results["trainings"] = trained(options.steps, hidden, options.seeds)
        if results["trainings"]:
            print(table_of_trainings(results["trainings"]))
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    if options.picture and results["trainings"]:
        draw(results, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
