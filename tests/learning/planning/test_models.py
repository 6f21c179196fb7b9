from __future__ import annotations

import pytest
import torchvision
from transformers import BertConfig, BertModel, OPTConfig, OPTForCausalLM

from headstart.errors import HeadstartError
from headstart.learning.networks import NETWORKS
from headstart.learning.planning.models import parameter_count, sharded_units
from headstart.learning.planning.parameters import PlannedModel

from .planned import BERT, BIG, OPT, TEXTS, WORDS


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", ["small_resnet", "efficientnet_lite0", "vit_small"])
def test_counts_of_the_projects_networks_are_exact(name):
    assert parameter_count(PlannedModel(network=name)) == count(NETWORKS[name]())


def test_counts_of_torchvisions_models_are_exact():
    published = {"resnet18": 11_689_512, "mobilenet_v2": 3_504_872}  # with 1,000 classes
    for name, parameters in published.items():
        model = PlannedModel(torchvision=name, classes=1000)
        assert parameter_count(model) == parameters
    five = count(torchvision.models.resnet18(num_classes=5))
    assert parameter_count(PlannedModel(torchvision="resnet18", classes=5)) == five


def test_counts_of_transformers_are_exact_and_tied_weights_count_once():
    assert parameter_count(TEXTS) == count(BertModel(BertConfig(**BERT)))
    real = OPTForCausalLM(OPTConfig(**OPT))
    assert real.lm_head.weight is real.model.decoder.embed_tokens.weight
    assert parameter_count(WORDS) == count(real)


def test_gpt3_has_175_billion_parameters():
    assert parameter_count(BIG) == pytest.approx(175e9, rel=0.01)


def test_a_configuration_by_name():
    named = PlannedModel(transformers="mine")
    assert parameter_count(named, {"mine": BERT}) == parameter_count(TEXTS)
    with pytest.raises(HeadstartError, match=r"no transformers 'mine'.*Known: yours"):
        parameter_count(named, {"yours": BERT})


def test_units_of_sharding_add_up():
    real = OPTForCausalLM(OPTConfig(**OPT))
    outside, layer = sharded_units(real)
    assert layer == count(real.model.decoder.layers[0])
    assert outside + OPT["num_hidden_layers"] * layer == count(real)
    network = NETWORKS["small_resnet"]()
    assert sharded_units(network) == (count(network), 0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"network": "resnet81"}, r"no network 'resnet81'.*resnet18"),
        ({"torchvision": "resnet_18"}, r"no torchvision 'resnet_18'.*resnet18"),
        ({"transformers": {"model_type": "no_such"}}, r"cannot read the configuration.*no_such"),
        ({"transformers": {"model_type": "vit"}, "causal": True}, "'vit' that predicts the next"),
    ],
)
def test_an_unknown_model_is_refused(model, message):
    with pytest.raises(HeadstartError, match=message):
        parameter_count(PlannedModel(**model))


@pytest.mark.parametrize(
    "model", [{}, {"network": "resnet18", "torchvision": "resnet18"}, {"transformers": {}}]
)
def test_a_model_is_given_by_exactly_one_architecture(model):
    with pytest.raises(ValueError, match=r"exactly one|model_type"):
        PlannedModel(**model)
