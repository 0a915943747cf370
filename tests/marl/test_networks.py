"""Stacked networks are separate networks."""

from __future__ import annotations

import pytest
import torch

from nofx_pipelines.marl.networks import Scale, StackedMLP, gumbel, masked_logits


def _net(agents: int = 3) -> StackedMLP:
    return StackedMLP(agents, 4, (8, 6), 2, torch.Generator().manual_seed(1), last_gain=1.0)


def test_each_agent_is_run_by_its_own_weights() -> None:
    net, x = _net(), torch.randn(5, 3, 4)
    stacked = net(x)
    for a in range(3):
        h = x[:, a]
        for layer in [*net.hidden]:
            h = torch.tanh(h @ layer.weight[a] + layer.bias[a])
        torch.testing.assert_close(stacked[:, a], h @ net.last.weight[a] + net.last.bias[a])


def test_no_agent_s_loss_moves_another_s_weights() -> None:
    net = _net()
    net(torch.randn(5, 3, 4))[:, 1].sum().backward()
    for layer in [*net.hidden, net.last]:
        assert layer.weight.grad[1].abs().sum() > 0
        assert layer.weight.grad[[0, 2]].abs().sum() == 0


def test_the_generator_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    a = _net()
    torch.rand(100)
    torch.testing.assert_close(a.last.weight, _net().last.weight, rtol=0, atol=0)


def test_a_scale_is_mean_and_variance_of_all_that_came() -> None:
    x = torch.randn(40, 7, 2, 3) * 3 + 5
    scale = Scale(2, 3)
    for part in x.split(9):
        scale.update(part)
    flat = x.reshape(-1, 2, 3).double()
    torch.testing.assert_close(scale.mean, flat.mean(dim=0))
    torch.testing.assert_close(scale.square - scale.mean**2, flat.var(dim=0, unbiased=False))
    assert scale(x).reshape(-1, 2, 3).std(dim=0) == pytest.approx(torch.ones(2, 3).numpy(), abs=0.05)


def test_gumbel_noise_draws_by_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0])
    generator = torch.Generator().manual_seed(3)
    drawn = (logits + gumbel((60_000, 3), generator)).argmax(dim=-1)
    share = torch.bincount(drawn, minlength=3) / 60_000
    torch.testing.assert_close(share, logits.softmax(dim=-1), atol=0.01, rtol=0)


def test_forbidden_actions_are_never_chosen_and_nobody_is_stuck() -> None:
    logits, mask = torch.tensor([[5.0, 1.0], [5.0, 1.0]]), torch.tensor([[False, True], [False, False]])
    assert masked_logits(logits, mask).argmax(dim=-1).tolist() == [1, 0]
