from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ulmfit.nn.batch_norm import batch_norm
from ulmfit.world import ALONE, World


@dataclass(frozen=True)
class Twins(World):
    """Two processes with the same rows: what comes from the other is known without one."""

    size: int = 2

    def sum(self, x: Tensor) -> Tensor:
        return 2 * x

    def total(self, number: Any) -> Any:
        return 2 * number


def test_it_is_the_norm_of_all_rows() -> None:
    rows = torch.randn(3, 4, requires_grad=True)
    twice = rows.detach().repeat(2, 1).requires_grad_()
    here, there = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    for norm in (here, there):
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, 2.0, -1.0, 0.5]))
    weights = torch.randn(3, 4)
    for _ in range(2):
        ours, all_rows = batch_norm(here, rows, Twins()), there(twice)
    torch.testing.assert_close(ours, all_rows[:3])
    for name, buffer in there.named_buffers():
        torch.testing.assert_close(here.get_buffer(name), buffer)
    # The twin's rows have the same gradients, and the parts of a sum add up: half of it here, half there.
    (ours * weights).sum().backward()
    (all_rows * weights.repeat(2, 1)).sum().backward()
    assert rows.grad is not None and twice.grad is not None
    torch.testing.assert_close(rows.grad, twice.grad[:3], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_alone_and_in_evaluation_it_is_pytorchs(training: bool) -> None:
    rows = torch.randn(5, 4)
    here, there = nn.BatchNorm1d(4).train(training), nn.BatchNorm1d(4).train(training)
    assert torch.equal(batch_norm(here, rows, ALONE if training else Twins()), there(rows))


def test_two_documents_are_needed() -> None:
    @dataclass(frozen=True)
    class OneRow(Twins):
        def total(self, number: Any) -> Any:
            return 1

    with pytest.raises(ValueError, match="at least two documents"):
        batch_norm(nn.BatchNorm1d(2), torch.ones(1, 2), OneRow())
