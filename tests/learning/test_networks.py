from __future__ import annotations

import pytest
import torch

from headstart.learning.networks import NETWORKS, feature_map


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [("small_resnet", 64, (256, 4, 4)), ("resnet18", 64, (512, 2, 2))],
)
def test_the_representation_is_the_mean_of_the_feature_map(
    name: str, size: int, shape: tuple[int, ...]
) -> None:
    network = NETWORKS[name]().eval()
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = feature_map(network, images)
        assert features.shape == (2, *shape)
        torch.testing.assert_close(network(images), features.mean((2, 3)))


def test_a_vision_transformers_map_has_one_position_a_patch() -> None:
    with torch.device("meta"):
        network = NETWORKS["vit_small"]().eval()
        features = feature_map(network, torch.empty(2, 3, 96, 64))
    assert features.shape == (2, 384, 6, 4)


def test_the_small_network_is_as_small_as_it_says() -> None:
    with torch.device("meta"):
        network = NETWORKS["small_resnet"]()
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(1.24, abs=0.02)
