"""Training frames a second: MAPPO and MADDPG on the speaker-listener world, against stepping mpe2 alone.

    python -m benchmarks.bench_marl_training [--device cuda]

A frame is one step of one copy. mpe2 only steps, with random actions, and learns nothing: the most that any
learner on it could reach. BenchMARL 1.5.2 pins torchrl below 0.12, older than this torch, and is not here.
"""

from __future__ import annotations

import argparse
import importlib.util
import time

import numpy as np

from benchmarks.timing import machine_table
from nofx_pipelines.marl.algorithms import maddpg, mappo
from nofx_pipelines.marl.games.speaker_listener import STEPS, SpeakerListener

SEED = 7


def stepping(seconds: float = 3.0) -> float:
    """Frames a second of mpe2's environment under random actions, both agents' observations taken."""
    from mpe2.simple_speaker_listener.simple_speaker_listener import raw_env

    rng, environment = np.random.default_rng(SEED), raw_env(max_cycles=STEPS)
    frames, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        environment.reset(seed=frames)
        for _ in range(STEPS):
            environment.step(int(rng.integers(3)))
            environment.step(int(rng.integers(5)))
            for agent in environment.possible_agents:
                environment.observe(agent)
            frames += 1
    return frames / (time.perf_counter() - began)


def learning_mappo(copies: int, device: str, iterations: int = 6) -> float:
    """Frames a second of MAPPO with five passes over each rollout."""
    config = mappo.MappoConfig(iterations=iterations, horizon=STEPS)
    learner = mappo.Learner(SpeakerListener(copies, device), config, SEED, device)
    mappo.iterate(learner)
    began, frames = time.perf_counter(), learner.frames
    for _ in range(iterations):
        mappo.iterate(learner)
    return (learner.frames - frames) / (time.perf_counter() - began)


def learning_maddpg(copies: int, device: str, iterations: int = 3) -> float:
    """Frames a second of MADDPG with one mini-batch of 512 for every hundred frames."""
    updates = max(1, copies * STEPS // 100)
    config = maddpg.MaddpgConfig(iterations=iterations, horizon=STEPS, updates=updates, warm_up=512)
    learner = maddpg.Learner(SpeakerListener(copies, device), config, SEED, device)
    maddpg.iterate(learner)
    began, frames = time.perf_counter(), learner.frames
    for _ in range(iterations):
        maddpg.iterate(learner)
    return (learner.frames - frames) / (time.perf_counter() - began)


def base() -> tuple[str, float]:
    """What the ratios are taken to: mpe2, or our own MAPPO on the CPU where mpe2 is not installed."""
    if importlib.util.find_spec("mpe2") is not None:
        return "mpe2, stepping only, CPU", stepping()
    return "NOFX MAPPO, 512 copies, cpu", learning_mappo(512, "cpu")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    device = parser.parse_args().device
    sizes = (
        {"MAPPO": (64, 512), "MADDPG": (64, 512)}
        if device == "cpu"
        else {"MAPPO": (512, 8_192), "MADDPG": (64, 512)}
    )
    ours = [
        (f"NOFX {name}, {count} copies, {device}", learn(count, device))
        for name, learn in (("MAPPO", learning_mappo), ("MADDPG", learning_maddpg))
        for count in sizes[name]
    ]
    name, peer = base()
    rows = [(name, f"{peer:,.0f}", "1.00x")]
    rows += [(name, f"{found:,.0f}", f"{found / peer:.2f}x") for name, found in ours]
    print(
        machine_table(
            "Training on speaker-listener, one thread", ("", "frames a second", "to the first"), rows
        )
    )


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    main()
