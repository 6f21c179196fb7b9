"""Small trainings that test_processes.py runs in one process and in several; not a test itself."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.learning.checkpoints import CheckpointFolder
from headstart.learning.configuration import (
    AdaptationParameters,
    AugmentationParameters,
    ComputeParameters,
    TrainingParameters,
)
from headstart.learning.encoders import random_network
from headstart.learning.fine_tune import fit_network
from headstart.learning.fit_jobs import FitJob
from headstart.learning.meta_learning.episodes import ClassEpisodes, ClassPool
from headstart.learning.meta_learning.meta_training import meta_train
from headstart.learning.meta_learning.parameters import Conv4Parameters, MamlParameters
from headstart.learning.meta_learning.registry import build_method
from headstart.learning.pretext import parameters as pretext_parameters
from headstart.learning.pretext.pretrain import pretrain
from headstart.learning.pretext.task import Source
from headstart.learning.text.adaptation import TextFitPlan, fit_text
from headstart.learning.text.language_model import LanguageModel
from headstart.learning.text.parameters import LoraParameters, TextAdaptationParameters
from headstart.learning.text.pretrain import pretrain_text
from headstart.learning.text.pretraining_parameters import TextPretrainingParameters
from headstart.learning.training import TrainingData, train

Outcome = tuple[pd.DataFrame, dict[str, np.ndarray]]
"""History and weights."""

WORDS = ["red", "blue", "green", "car", "boat", "train", "is", "was", "old", "new", "the", "a"]
TEXTS = 2 * [
    f"{article} {color} {vehicle}" + " is new" * len(color[3:])  # of different lengths
    for article in ("the", "a")
    for color in ("red", "blue", "green")
    for vehicle in ("car", "boat")
]


def training(**changed: Any) -> TrainingParameters:
    # Epochs of odd sizes, so that shares differ by one.
    return TrainingParameters(
        **{
            **{"steps": 4, "epochs": 9, "batch_size": 7, "learning_rate": 1e-3},
            **{"evaluations": 2, "warmup_share": 0.0, **changed},
        }
    )


def pictures(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = rng.integers(0, 156, (n, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, :, :, 0] += 60
    return images, labels


def pretext(task: str, compute: ComputeParameters) -> Outcome:
    """With random views, and batch norm in the network."""
    views = pretext_parameters.ViewParameters()
    block = {
        "rotation": lambda: pretext_parameters.RotationParameters(training=training(), views=views),
        "contrastive": lambda: pretext_parameters.ContrastiveParameters(
            training=training(), views=views, temperature=0.2, hidden=16, projection=8
        ),
    }[task]()
    result = pretrain(
        task,
        Source(pictures()[0], np.arange(30)),
        source_name="noise",
        network=pretext_parameters.NetworkParameters(
            architecture="small_resnet", image_size=16, seed=0
        ),
        parameters=block,
        held_out=pretext_parameters.HeldOutParameters(
            share=0.2, most=6, batch_size=6, examples=1, seed=0
        ),
        batch_norm_rows=16,
        compute=compute,
    )
    return result.history, result.encoder.tensors


def fine_tuned(compute: ComputeParameters, unfreeze_every: int | None = None) -> Outcome:
    """Images, with augmentation and batch norm in training mode."""
    images, labels = pictures()
    identity = {"track": "images", "target": "noise", "representation": "random", "shots": None}
    fit, encoder, head = fit_network(
        random_network("small_resnet", 16, seed=1),
        *(images, labels),
        train_rows=np.arange(20),
        validation_rows=np.arange(20, 25),
        test_rows=np.arange(25, 30),
        classes=2,
        parameters=AdaptationParameters(
            training=training(),
            augmentation=AugmentationParameters(shift=0.2),
            unfreeze_every=unfreeze_every,
        ),
        compute=compute,
        identity={**identity, "method": "fine_tune", "seed": 0, "episode": None},
    )
    assert fit.history is not None
    return fit.history, {**encoder.tensors, **head}


def language_model() -> LanguageModel:
    """Two layers of width 16, without dropout, whose masks differ from process to process."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, special, strict=True))
    )
    torch.manual_seed(0)
    config = BertConfig(
        **{"vocab_size": len(vocabulary), "hidden_size": 16, "num_hidden_layers": 2},
        **{"num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 16},
        **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    )
    return LanguageModel(BertModel(config).eval(), fast)


def adapted(
    method: str,
    compute: ComputeParameters,
    checkpoint: CheckpointFolder | None = None,
    last_step: int | None = None,
) -> Outcome:
    """Texts, by LoRA or as a whole."""
    plan = TextFitPlan(
        model=language_model(),
        name="tiny",
        texts=TEXTS,
        labels=np.array(["car" in text for text in TEXTS]).astype(np.int64),
        classes=2,
        features=None,
        parameters=TextAdaptationParameters(training=training(learning_rate=0.01), most_tokens=12),
        lora=LoraParameters(rank=2, alpha=4, targets=["query", "value"]),
        compute=compute,
    )
    identity = {"track": "text", "target": "toy", "representation": "tiny", "shots": None}
    job = FitJob(
        {**identity, "method": method, "seed": 0, "episode": None},
        *(np.arange(15), np.arange(15, 20), np.arange(20, 24)),
    )
    chosen = None if last_step is None else {"steps": last_step}
    fit, model = fit_text(plan, job, checkpoint=checkpoint, signature="s", chosen=chosen)
    assert fit.history is not None
    return fit.history, arrays(model) | {"predicted": fit.test}


def masked(compute: ComputeParameters) -> Outcome:
    model = language_model()
    result = pretrain_text(
        "masked_language",
        *(model.network, model.tokenizer, TEXTS),
        parameters=TextPretrainingParameters(
            block=8, held_out_share=0.2, seed=0, training=training(learning_rate=0.01)
        ),
        compute=compute,
    )
    return result.history, arrays(result.network)


def meta_learned(compute: ComputeParameters) -> Outcome:
    """MAML of the second order, with batch norm."""
    rng = np.random.default_rng(0)
    pool = ClassPool("noise", rng.normal(size=(30, 1, 8, 8)).astype(np.float32), np.arange(30) % 6)
    family = ClassEpisodes(pool, np.arange(6), ways=3, shots=1, queries=2)
    loop = training(batch_size=5)
    chosen = MamlParameters(
        steps=2, step_size=0.1, test_steps=2, training=loop, learn_step_sizes=True
    )
    network = Conv4Parameters(filters=4, downsampling="stride")
    method = build_method("maml", chosen, network, family, seed=0)
    data = method.training_data(family, loop, seed=5)
    result = meta_train(method, data, training=loop, compute=compute, seed=0)
    return result.history, arrays(method)


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    assert not any(type(p).__name__ == "DTensor" for p in model.parameters())
    return {name: t.detach().cpu().numpy().copy() for name, t in model.state_dict().items()}


def all_of_them(compute: ComputeParameters) -> dict[str, Outcome]:
    """By name."""
    return {
        "rotation": pretext("rotation", compute),
        "contrastive": pretext("contrastive", compute),
        "fine_tune": fine_tuned(compute),
        "text fine_tune": adapted("fine_tune", compute),
        "lora": adapted("lora", compute),
        "masked_language": masked(compute),
        "maml": meta_learned(compute),
    }


def divided_and_resumed(compute: ComputeParameters, folder: Path) -> dict[str, Outcome]:
    """Trainings of a divided network: three whole, and two that go on where a first part ended."""
    saving = compute.model_copy(update={"checkpoint_seconds": 0.0})
    outcomes = {"fine_tune": fine_tuned(compute)}
    for method in ("fine_tune", "lora"):
        outcomes[f"text {method}"] = adapted(method, compute)
        checkpoint = CheckpointFolder(folder / method)
        adapted(method, saving, checkpoint, last_step=3)
        outcomes[f"text {method}, resumed"] = adapted(method, saving, checkpoint)
    return outcomes


def everything(compute: ComputeParameters, folder: Path) -> dict[str, Outcome]:
    """All trainings, and those of a divided network where there are several processes."""
    whole, divided = (compute.model_copy(update={"sharding": s}) for s in ("none", "full"))
    again = divided_and_resumed(divided, folder)
    return all_of_them(whole) | {f"divided {name}": outcome for name, outcome in again.items()}


def interrupted(folder: Path, compute: ComputeParameters) -> tuple[np.ndarray, int]:
    """A training of 40 steps; worker 1 is killed in its tenth where the file "kill" says so.

    Returns:
        Weights, and how many steps this process has done.
    """
    torch.manual_seed(0)
    model, loaded = nn.Linear(3, 2), []
    x = torch.randn(20, 3)

    def load(indices: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        loaded.append(indices)
        (folder / f"step_{len(loaded)}_of_{os.getpid()}").touch()
        if len(loaded) == 10 and os.environ.get("RANK") == "1" and (folder / "kill").exists():
            (folder / "kill").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(os.environ.get("STEP_SECONDS", "0")))
        return x[indices] + torch.randn(len(indices), 3, generator=generator)

    train(
        model,
        lambda m, batch: m(batch).square().mean(),
        TrainingData(20, load),
        parameters=training(steps=40, epochs=100),
        compute=compute,
        seed=0,
        checkpoint=CheckpointFolder(folder / "checkpoints"),
        signature="s",
        description="interrupted",
    )
    return model.weight.detach().numpy(), len(loaded)


def failing(how: str) -> None:
    """One of two workers fails, while the other waits for it."""
    from torch import distributed

    if os.environ["RANK"] == "1":
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "wrong input":
            raise HeadstartError("stage.parameter: too high; lower it.")
        raise RuntimeError("something else\nwith details")
    distributed.barrier()


def sum_of_ranks() -> tuple[int, int]:
    """The sum over all workers of their numbers from 1, and how many machines there are."""
    from torch import distributed

    total = torch.tensor([int(os.environ["RANK"]) + 1])
    distributed.all_reduce(total)
    return int(total), int(os.environ["GROUP_WORLD_SIZE"])
