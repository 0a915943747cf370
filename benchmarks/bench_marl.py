"""Steps a second of the trading floor on one thread beside mpe2's simple_spread.

``python -m benchmarks.bench_marl [--device cuda]``. mpe2's game is far smaller than a market with a ledger:
the ratio says what stepping copies together brings, not that one is written better than the other.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import torch
from torch import Tensor

from benchmarks.timing import machine_table
from nofx_pipelines.config import MarlConfig
from nofx_pipelines.market.rules import LotRule, costs
from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.panel import MarketPanel, Terms, build_panel
from nofx_pipelines.marl.scenario import open_scenario
from nofx_pipelines.marl.tasks.protocol import Floor

STEPS, INSTRUMENTS, SESSIONS, SEED = 50, 30, 400, 7


def market() -> MarketPanel:
    """Random daily bars under the terms of the Shanghai main board."""
    rng = np.random.default_rng(SEED)
    days = [date(2024, 1, 1) + timedelta(days=d) for d in range(SESSIONS)]
    opens = [datetime(d.year, d.month, d.day, 1, 30, tzinfo=UTC) for d in days]
    frames = []
    for i in range(INSTRUMENTS):
        close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, SESSIONS)))
        opened = close * np.exp(rng.normal(0, 0.005, SESSIONS))
        frames.append(
            pl.DataFrame(
                {
                    "instrument_id": [f"CN.SSE.{600000 + i}"] * SESSIONS,
                    "ts_open": opens,
                    "ts_close": [at + timedelta(hours=5, minutes=30) for at in opens],
                    "session_date": days,
                    "open": opened,
                    "high": np.maximum(opened, close) * 1.01,
                    "low": np.minimum(opened, close) * 0.99,
                    "close": close,
                    "volume": rng.uniform(1e6, 5e6, SESSIONS),
                    "status": ["traded"] * SESSIONS,
                }
            ).with_columns(
                pl.lit(None, pl.Float64).alias("limit_up"), pl.lit(None, pl.Float64).alias("limit_down")
            )
        )
    bars = pl.concat(frames)
    names = bars["instrument_id"].unique().sort().to_list()
    terms = Terms(
        costs=lambda day: costs("cn", "main", day),
        lots=dict.fromkeys(names, LotRule(100, 100)),
        ticks=lambda name, day, prices: np.full_like(prices, 0.01),
        t_plus_one=True,
        shortable=False,
    )
    return build_panel(bars, pl.Series([1.0] * bars.height), names, terms)


def floor_rate(panel: MarketPanel, copies: int, device: str) -> float:
    """Steps of all copies a second, with legal random actions drawn outside the clock."""
    scenario = open_scenario(MarlConfig())
    floor = scenario.training_floor(panel.to(device), n_envs=copies, length=STEPS, span=(0, SESSIONS))
    generator = torch.Generator(device=device).manual_seed(SEED)
    best = 0.0
    for _ in range(3):
        step, spent = floor.reset(generator), 0.0
        for _ in range(STEPS):
            mask = step.action_mask.float().flatten(0, 1)
            action = torch.multinomial(mask, 1, generator=generator).reshape(copies, -1)
            taken, step = _timed(floor, action, device)
            spent += taken
        best = max(best, copies * STEPS / spent)
    return best


def _timed(floor: Floor, action: Tensor, device: str) -> tuple[float, Step]:
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    step = floor.step(action)
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began, step


def mpe2_rate() -> float:
    """Steps a second of one simple_spread, random actions drawn outside the clock."""
    from mpe2 import simple_spread_v3

    world = simple_spread_v3.parallel_env(max_cycles=25)
    rng, best = np.random.default_rng(SEED), 0.0
    for _ in range(3):
        spent, steps = 0.0, 0
        for episode in range(40):
            world.reset(seed=episode)
            while world.agents:
                chosen = {agent: int(rng.integers(5)) for agent in world.agents}
                began = time.perf_counter()
                world.step(chosen)
                spent += time.perf_counter() - began
                steps += 1
        best = max(best, steps / spent)
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = parser.parse_args().device
    torch.set_num_threads(1)
    panel, peer = market(), mpe2_rate()
    rows: list[tuple[object, ...]] = [
        ("mpe2 simple_spread, 3 agents", 1, f"{peer:,.0f}", f"{3 * peer:,.0f}", "1")
    ]
    sizes = (1, 64, 256, 1024) if device == "cpu" else (64, 1024, 8192)
    for copies in sizes:
        rate = floor_rate(panel, copies, device)
        name = f"trading floor, 8 agents, 6 of 30 instruments, {device}"
        rows.append((name, copies, f"{rate:,.0f}", f"{8 * rate:,.0f}", f"{8 * rate / (3 * peer):.1f}"))
    header = ("environment", "copies", "steps/s", "agent steps/s", "agent steps to mpe2's")
    print(machine_table("Environment steps, one thread", header, rows))


if __name__ == "__main__":
    main()
