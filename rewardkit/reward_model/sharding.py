"""A frozen base in parts, one on each process of a launch: a layer is put together while it computes.

What learns (adapters, heads) is small: every process has all of it, and gradients are added up as without parts. So
what is saved, resumed and clipped is the same with parts as without. All processes must put together the same layers in
the same order, so they agree on how often they run the model: one that has less to run runs a token that counts for
nothing. Each process reads the whole base into its own memory first, and gives away what is not its part.

References:
    Zhao et al. 2023, PyTorch FSDP (arXiv:2304.11277).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

from torch import distributed, nn

from rewardkit.config import TrainConfig
from rewardkit.errors import ConfigError
from rewardkit.hardware import NF4, device
from rewardkit.launching import launched
from rewardkit.progress import log
from rewardkit.reward_model.backbone import RewardNetwork


def check_shardable(network: RewardNetwork, config: TrainConfig) -> None:
    """Check that a network can be in parts.

    Raises:
        ConfigError: It cannot, or not with these settings.
    """
    why = ""
    if config.train_layers is not None:
        why = "what frozen layers make of a text is kept by one process, and others would wait for it"
    elif config.dtype == NF4:
        why = "four bits are no numbers that could be in parts"
    elif not isinstance(getattr(network.classifier.base_model, "layers", None), nn.ModuleList):
        why = f"{type(network.classifier).__name__} has its layers elsewhere than they are looked for"
    if why:
        raise ConfigError(f"the base cannot be in parts: {why}", where="train.sharded", fix="leave one of the two out")


def shard(network: RewardNetwork) -> None:
    """Leave each process its part of the base, and bring all else to its device; in every process at once.

    Args:
        network: The same in every process.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    log(f"train: the base is in parts, one in each of {launched().count} processes")
    learned = set(chain.from_iterable(network.learned()))
    mesh = init_device_mesh(device().type, (launched().count,))
    body = network.classifier.base_model
    for module in (*body.layers, body):
        fully_shard(module, mesh=mesh, ignored_params=learned)
    network.to(device())
    # What is in parts is in step without further ado; gradients are added up of what learns alone.
    network._ddp_params_and_buffers_to_ignore = [  # type: ignore[assignment]
        name for name, parameter in network.named_parameters() if parameter not in learned
    ]


def in_step(counts: Sequence[int]) -> list[int]:
    """Return how often all processes run the model, group by group: as often as the one that runs it most.

    Args:
        counts: How often this one would, (groups,); other processes may have more groups or fewer.
    """
    told: list[list[int]] = [[] for _ in range(launched().count)]
    distributed.all_gather_object(told, list(counts))
    return [max(each) for each in zip_longest(*told, fillvalue=0)]
