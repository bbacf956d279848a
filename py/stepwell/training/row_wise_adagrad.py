"""Adagrad with one moment a row: the optimizer of embedding tables."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.row_wise_adagrad import row_wise_adagrad_

_MOMENTS = "moments"
# Far below, lr / eps is no float32: a gradient of zero would make a row NaN.
_MIN_EPS = 1e-30


class RowWiseAdagrad(torch.optim.Optimizer):
    """Steps the rows that got gradients, each by its own history.

    With g the gradient of a row plus weight_decay times the row:

        moment += mean(g * g)
        row    -= lr / (sqrt(moment) + eps) * g

    A parameter of one dimension has rows of one number, for which this is Adagrad.
    The state of a parameter is `moments`, float32 [N]: 1 / D of a full Adagrad's.

    A dense and a sparse gradient of the same rows give the same step, but for
    weight_decay: a sparse gradient decays only the rows that it names.

    Args:
        params: float32 parameters of >= 1 dimension, rows first; or groups of them.
        lr: step size, >= 0.
        eps: >= 1e-30; added to the root of the moment.
        weight_decay: >= 0, of the L2 penalty.
    Raises:
        InvalidArgumentError: an option or parameter out of range; names it.

    Concurrency: one thread. Determinism: the same gradients, the same bits.
    Cost: a step with sparse gradients costs the rows they name, not the table; one with
        dense gradients, or with weight_decay, a few passes over the gradient.
    Source: Duchi, Hazan & Singer, JMLR 12 (2011), with one moment a row as in FBGEMM's
        EXACT_ROWWISE_ADAGRAD and its L2 weight decay.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters with options of their own; as the constructor checks them."""
        super().add_param_group(param_group)
        try:
            _check_group(self.param_groups[-1])
        except InvalidArgumentError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Makes one step; returns what `closure` did, which computes gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if _MOMENTS not in state:
                    state[_MOMENTS] = parameter.new_zeros(len(parameter))
                _step_rows(parameter, parameter.grad, state[_MOMENTS], group)
        return loss


def _check_group(group: dict[str, Any]) -> None:
    for name, least in (("lr", 0.0), ("eps", _MIN_EPS), ("weight_decay", 0.0)):
        value = float(group[name])
        if not least <= value < float("inf"):
            raise InvalidArgumentError(
                f"{name} is {value}, must be in [{least:g}, inf)", name
            )
    for number, parameter in enumerate(group["params"]):
        if parameter.dtype != torch.float32 or parameter.dim() < 1:
            raise InvalidArgumentError(
                f"params[{number}] is {parameter.dtype} with {parameter.dim()} "
                "dimensions, must be float32 with at least 1",
                "params",
            )


def _step_rows(
    parameter: Tensor, grad: Tensor, moments: Tensor, group: dict[str, Any]
) -> None:
    lr, eps = float(group["lr"]), float(group["eps"])
    decay = float(group["weight_decay"])
    if not grad.is_sparse:
        _step_dense(parameter, grad.add(parameter, alpha=decay), moments, lr, eps)
        return
    if decay:
        # Decay is of the row, not of each of its entries.
        grad = grad.coalesce()
    rows, values = grad._indices()[0], grad._values()
    if decay:
        values = values.add(parameter[rows], alpha=decay)
    width = math.prod(parameter.shape[1:])
    row_wise_adagrad_(
        parameter.view(len(parameter), width),
        moments,
        rows.contiguous(),
        values.reshape(len(rows), width).contiguous(),
        lr,
        eps,
    )


def _step_dense(
    parameter: Tensor, grad: Tensor, moments: Tensor, lr: float, eps: float
) -> None:
    rows = grad.reshape(len(grad), math.prod(grad.shape[1:]))
    moments.add_(rows.square().mean(1))
    steps = (moments.sqrt() + eps).reciprocal().mul_(-lr)
    parameter.add_((rows * steps[:, None]).view_as(parameter))
