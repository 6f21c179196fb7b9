"""In-context classification with a frozen causal language model (Brown et al. 2020, section 2).

The prompt is an instruction, labeled demonstrations and the query x, all written by one template.
What follows is scored for each class c, whose label w_c has the tokens w_c1 ... w_cT:

    s_c(x) = sum over t of log p(w_ct | prompt, w_c1 ... w_c(t-1))     (optionally divided by T)
    p(c | x) = exp s_c(x) / sum over classes k of exp s_k(x)

Contextual calibration (Zhao et al. 2021, equation 1, with W = diag(q)^-1 and b = 0) takes out what
the prompt prefers before it has seen a text, with content-free texts z ("N/A"):

    q_c = mean over z of p(c | z),    calibrated p(c | x) = (p(c | x) / q_c) / Z

Instruction and demonstrations are the same for all queries: they are read once, into a cache of
keys and values that every batch of queries continues. No weight changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp, softmax
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer

from headstart.learning import metrics
from headstart.learning.fits import Fit
from headstart.learning.peak_memory import PeakMemory
from headstart.learning.text.in_context_parameters import InContextParameters
from headstart.learning.text.language_model import token_batches
from headstart.learning.text.prompt import Tokens, context_of, write_prompt


def fit_in_context(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    labels: np.ndarray,
    *,
    demonstrations: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    class_names: Sequence[str],
    parameters: InContextParameters,
    batch_tokens: int,
    identity: dict[str, Any],
) -> Fit:
    """Show the demonstrations to the network, and ask it about validation and test rows.

    Args:
        network: a causal language model of `transformers`, on the device to compute on; it is put
            into evaluation mode.
        tokenizer: the network's own, a fast one.
        texts: all N of them.
        labels: class of each row, integers, shape (N,); only those of demonstrations and
            validation rows are read.
        demonstrations: rows to show, shape (n,); none: zero-shot. Where they do not all fit into
            the network's context, those that come first in `balanced_order` are shown.
        validation: rows that calibration is chosen on; may be empty where nothing is chosen.
        test: rows to predict.
        class_names: of the K classes, in the order of the labels.
        parameters: the prompt, calibration, and the number of orders.
        batch_tokens: as in `label_log_likelihoods`.
        identity: the columns of `headstart.learning.fits.IDENTITY`; its seed draws the orders.

    Returns:
        The fit, with probabilities averaged over the orders. In `chosen`: "demonstrations" and
        "most_tokens" (of a text), which the context may have made fewer, "calibrated", and
        "validation_accuracies", one an order (none without validation rows), which show how far
        the order of the demonstrations matters.

    Raises:
        HeadstartError: a class has no label to score, or the prompt is too long for the network.
        ValueError: calibration is to be chosen, and there is no validation row to choose it on.
    """
    if parameters.calibrate == "validation" and len(validation) == 0:
        raise ValueError("To choose calibration needs validation rows.")
    asked = [texts[i] for i in np.concatenate([validation, test]).astype(int)]
    shown = np.asarray(demonstrations, dtype=int)
    shown = shown[balanced_order(labels[shown])]
    with PeakMemory() as memory:
        started = perf_counter()
        prompt = write_prompt(
            tokenizer,
            [(texts[i], int(labels[i])) for i in shown],
            [*asked, *parameters.content_free],
            class_names,
            parameters,
            context=context_of(network),
        )
        network.eval()
        raw, calibrated = [], []
        used = len(prompt.demonstrations)
        for order in range(parameters.orders if used else 1):  # nothing to order in zero-shot
            rng = np.random.default_rng([identity["seed"], order])
            scores = label_log_likelihoods(
                network,
                prompt.prefix(rng.permutation(used)),
                prompt.queries,
                prompt.labels,
                batch_tokens=batch_tokens,
            )
            if parameters.normalize_length:
                scores /= [len(label) for label in prompt.labels]
            raw.append(softmax(scores[: len(asked)], axis=1))
            calibrated.append(calibrate(scores[: len(asked)], scores[len(asked) :]))
    of_validation, n = labels[validation], len(validation)
    use = parameters.calibrate
    if use == "validation":
        losses = [metrics.nll(np.mean(p, axis=0)[:n], of_validation) for p in (calibrated, raw)]
        use = bool(losses[0] < losses[1])
    each = calibrated if use else raw
    probabilities = np.mean(each, axis=0)
    accuracies = [metrics.accuracy(p[:n], of_validation) for p in each] if n else []
    return Fit(
        identity=identity,
        validation=probabilities[:n],
        test=probabilities[n:],
        n_train=used,
        trainable_parameters=0,
        total_parameters=sum(p.numel() for p in network.parameters()),
        train_seconds=perf_counter() - started,
        peak_memory_bytes=memory.bytes,
        chosen={
            "demonstrations": used,
            "most_tokens": prompt.most_tokens,
            "calibrated": use,
            "validation_accuracies": accuracies,
        },
    )


def balanced_order(classes: np.ndarray) -> np.ndarray:
    """Positions of the first example of every class, then of the second of every class, ...

    So that the first n are as evenly spread over the classes as can be, whatever n.

    Args:
        classes: integers, shape (n,).

    Returns:
        Integers, shape (n,); within a round in the order of `classes`.
    """
    earlier = [int(np.sum(classes[:i] == c)) for i, c in enumerate(classes)]
    return np.argsort(np.array(earlier, dtype=int), kind="stable")


@torch.no_grad()  # not inference mode: buffers that the network renews must still serve a training
def label_log_likelihoods(
    network: PreTrainedModel,
    prefix: Tokens,
    queries: Sequence[Tokens],
    labels: Sequence[Tokens],
    *,
    batch_tokens: int,
    use_cache: bool = True,
) -> np.ndarray:
    """Log-likelihood of each label after the prefix and each query, in nats.

    Args:
        network: in evaluation mode.
        prefix: tokens before every query; may be empty.
        queries: tokens of n queries, each at least one.
        labels: tokens of K labels, each at least one.
        batch_tokens: that the keys and values of a batch are kept for, which bounds the memory:
            rows x tokens of prefix, longest query and longest label. Changes the result by
            rounding only.
        use_cache: read prefix and queries once; False: anew with every label, which is what
            networks get whose layers do not all attend to everything before (sliding windows,
            recurrent states).

    Returns:
        float64, shape (n, K).
    """
    cache = None
    if use_cache and _remembers_everything(network):
        cache = DynamicCache()
        if prefix:
            _read(network, [prefix], _nothing(network, 1), cache)
    scores = np.empty((len(queries), len(labels)))
    most = len(prefix) + max(map(len, labels)) - 1
    for rows in token_batches([most + len(query) for query in queries], batch_tokens):
        read = None if cache is None else _repeated(cache, len(rows))
        asked, before = [queries[i] for i in rows], _nothing(network, len(rows))
        if read is None:
            asked = [prefix + query for query in asked]
        else:
            before = before.new_ones(len(rows), len(prefix))
        first, real = _read(network, asked, before, read)
        for c, label in enumerate(labels):
            score = first[:, 0, label[0]].double()
            if more := label[:-1]:
                if read is None:
                    rest, _ = _read(network, [a + more for a in asked], before, None, len(more))
                else:
                    rest, _ = _read(network, [more] * len(rows), real, read, len(more))
                    read.crop(-len(more))
                which = torch.tensor(label[1:], device=rest.device).expand(len(rows), -1)
                score += rest.gather(2, which.unsqueeze(2)).double().sum(dim=(1, 2))
            scores[rows, c] = score.cpu().numpy()
    return scores


def calibrate(scores: np.ndarray, content_free: np.ndarray) -> np.ndarray:
    """Class probabilities after contextual calibration.

    Args:
        scores: s_c(x) of n texts, shape (n, K).
        content_free: the same of m content-free texts, shape (m, K).

    Returns:
        float64, shape (n, K).
    """
    # In logarithms, since q_c of a class that the prompt all but rules out is rounded to zero. Sum
    # or mean over the content-free texts is the same once Z has made the sum over classes one.
    log_q = logsumexp(log_softmax(content_free, axis=1), axis=0)
    return np.asarray(softmax(log_softmax(scores, axis=1) - log_q, axis=1))


def _read(
    network: PreTrainedModel,
    rows: Sequence[Tokens],
    before: torch.Tensor,
    cache: DynamicCache | None,
    last: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read one more stretch of tokens in each of n rows.

    Args:
        network: the network.
        rows: tokens, padded here on the right to L.
        before: which of the S tokens in the cache are real, integers, shape (n, S).
        cache: keys and values of what was read before, to which those of `rows` are added; None:
            nothing was, and nothing is kept.
        last: tokens of each row whose predictions are wanted.

    Returns:
        Log-probabilities of the tokens that follow on the last ones, shape (n, last, V), and which
        of the tokens so far are real, shape (n, S + L).
    """
    device = before.device
    lengths = torch.tensor([len(row) for row in rows], device=device).unsqueeze(1)
    padded = [row + [0] * (int(lengths.max()) - len(row)) for row in rows]  # masked: any token does
    place = torch.arange(len(padded[0]), device=device).unsqueeze(0)
    real = torch.cat([before, (place < lengths).long()], dim=1)
    wanted = lengths - last + torch.arange(last, device=device)
    # Logits of all places would take more memory than everything else.
    kept = wanted.unique()
    logits = network(
        input_ids=torch.tensor(padded, device=device),
        attention_mask=real,
        position_ids=before.sum(dim=1, keepdim=True) + place,  # padding does not count
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=kept,
    ).logits
    where = torch.searchsorted(kept, wanted)
    row = torch.arange(len(rows), device=device).unsqueeze(1)
    return logits[row, where].float().log_softmax(dim=-1), real


def _nothing(network: PreTrainedModel, rows: int) -> torch.Tensor:
    """The mask of n rows before anything was read, shape (n, 0)."""
    return torch.ones(rows, 0, dtype=torch.long, device=network.device)


def _remembers_everything(network: PreTrainedModel) -> bool:
    """Whether keys and values of all tokens are all that a later token needs.

    With a sliding window it is not so: padding between a query and its label would count as
    distance. A recurrent state cannot go back to where the query ended.
    """
    layers = DynamicCache(config=network.config).layers
    return all(type(layer) is DynamicLayer for layer in layers)


def _repeated(cache: DynamicCache, rows: int) -> DynamicCache:
    """A cache of n rows that are all the one row of `cache`, which stays as it is."""
    repeated = DynamicCache()
    for number, (keys, values, _) in enumerate(cache):
        shape = (rows, -1, -1, -1)
        repeated.update(keys.expand(shape), values.expand(shape), number)
    return repeated
