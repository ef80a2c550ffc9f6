"""One batch over all processes of `accelerate launch`: their rows, and the statistics of BatchNorm."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def process_rank() -> int:
    """Rank of this process; 0 if it trains alone."""
    return torch.distributed.get_rank() if is_distributed() else 0


def joined_index(index: int) -> int:
    """The number of this process's micro-batch `index` when those of all processes are counted in turn."""
    count = torch.distributed.get_world_size() if is_distributed() else 1
    return index * count + process_rank()


def is_distributed() -> bool:
    """Whether this process is one of several."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, tensor: Tensor) -> Tensor:
        pieces = [torch.empty_like(tensor) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(pieces, tensor.contiguous())
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        torch.distributed.all_reduce(gradient)
        return gradient.chunk(torch.distributed.get_world_size())[torch.distributed.get_rank()]


def gather_rows(tensor: Tensor) -> Tensor:
    """Concatenate (batch, …) over processes in rank order; gradients flow back to the process they came from."""
    gathered: Tensor = _GatherRows.apply(tensor) if is_distributed() else tensor
    return gathered


def joined_mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of `values` where `counted`; averaged over processes it is the mean over the values of all of them.

    Zero if nothing counts in any process. `counted` is boolean and may be of a shape that broadcasts to that of
    `values`. All processes must call it.
    """
    counted = counted.expand_as(values)
    processes = torch.distributed.get_world_size() if is_distributed() else 1
    total = gather_rows(counted.sum().to(values.dtype)[None]).sum()
    return values.masked_fill(~counted, 0.0).sum() * processes / total.clamp(min=1)


class SynchronisedBatchNorm(_BatchNorm):
    """Batch normalisation with the statistics of the joined batch of all processes, on any device.

    torch's own SyncBatchNorm trains on CUDA only, where it is used.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        return None

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        variance, mean = torch.var_mean(input.float(), axes, correction=0)  # of this process, (channels,)
        count = mean.new_full((1,), input.numel() // input.shape[1])
        gathered = gather_rows(torch.cat([mean, variance, count])[None])  # (processes, 2 * channels + 1)
        means, variances, counts = gathered.split([len(mean), len(mean), 1], 1)
        share = counts / counts.sum()
        mean = (share * means).sum(0)
        variance = (share * (variances + (means - mean).square())).sum(0)
        with torch.no_grad():
            total = counts.sum()
            assert self.momentum is not None and self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * total / (total - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        shape = [1, -1, *[1] * (input.ndim - 2)]
        return (input.float() * scale.view(shape) + (self.bias - mean * scale).view(shape)).to(input.dtype)


def synchronise_batch_norms(network: nn.Module) -> None:
    """Let every BatchNorm inside `network` see the joined batch of all processes; its tensors stay the same objects."""
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm) and child.affine and child.momentum is not None:
            setattr(network, name, _synchronised(child))
        else:
            synchronise_batch_norms(child)


def _synchronised(norm: _BatchNorm) -> nn.Module:
    if norm.weight.is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(norm)
    copy = SynchronisedBatchNorm(norm.num_features, norm.eps, norm.momentum)
    copy.weight, copy.bias = norm.weight, norm.bias
    copy.running_mean, copy.running_var = norm.running_mean, norm.running_var
    copy.num_batches_tracked = norm.num_batches_tracked
    return copy.train(norm.training)
