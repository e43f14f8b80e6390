"""The `hf` engine: rates with a transformers model in this process, on a CPU or one or more GPUs.

It resolves labels and settings, fits texts into the token limit, and forms batches; `packing` reads them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from selectit.data.records import Sample
from selectit.engines.base import Rated
from selectit.engines.chat import render_chat
from selectit.engines.device import DTYPES, default_device, prepared, resolve_dtype
from selectit.engines.hf.fusing import can_compile, fuse
from selectit.engines.hf.halving import read_in_halves
from selectit.engines.hf.losses import LossReader
from selectit.engines.hf.packing import Float32Head, Reader, common_prefix, packed_limit
from selectit.engines.memory import release_cached
from selectit.engines.texts import Texts, TokenCounter, check_vocabulary, load_tokenizer, model_errors, open_ids
from selectit.models.checkpoints import load_checkpoint
from selectit.signals.arrays import FLAG_NO_ROOM, FLAG_SMALLER_BATCH, FLAG_TRUNCATED, FLAG_UNFINISHED, Float32, Int64
from selectit.signals.base import OnBatch
from selectit.signals.judgements import Reply
from selectit.signals.losses import ResponseLosses
from selectit.signals.ratings import RatingBatch
from selectit.signals.requests import JudgeRequest, LossRequest, RatingPrompt

CPU_BATCH, CUDA_BATCH = 2048, 65536
"""Tokens of a batch, on CUDA at the most: more are no quicker, and a unit of 512 rows seldom has more."""


def suitable_batch(model: Any) -> int:
    """Tokens in one batch: on a CPU few, since they stay in its cache; on CUDA as many as fit half of the free memory.

    What a batch needs is guessed from the widths of the layers; where that is too little, batches are halved.
    """
    if model.device.type != "cuda":
        return CPU_BATCH
    config = model.config.get_text_config()
    width, inner = int(config.hidden_size), int(getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    each = (16 * width + 4 * inner) * model.dtype.itemsize
    free, _ = torch.cuda.mem_get_info(model.device)
    return int(min(max(free // 2 // each, CPU_BATCH), CUDA_BATCH))


def load(
    path: str,
    *,
    dtype: str,
    max_tokens: int,
    batch_tokens: int = 0,
    overflow: str = "cut",
    threads: int | None = None,
    fused: bool | None = None,
    device_map: str | None = None,
    trust_remote_code: bool = False,
    states_only: bool = False,
) -> HFEngine:
    """Load the model in the folder `path` (or of that hub id) and check how its texts may be batched.

    Args:
        path: as for from_pretrained.
        dtype: 'auto', 'fp32', 'bf16' or 'fp16'.
        max_tokens: longest rated text.
        batch_tokens: most tokens that the model reads at once; a single longer text is still read whole. 0 = what suits
            the device.
        overflow: 'cut' the response of a longer text, or 'refuse' it.
        threads: threads of the CPU, where a stored run decides them; None = torch's own choice.
        fused: compile the layers, where a stored run decides it; None = in bf16 on a CPU, where that can be done.
            Without it 'auto' is fp32 there, since plain bf16 moves the ratings too far.
        device_map: None for one device, or accelerate's 'auto' to spread the layers.
        trust_remote_code: run Python code that comes with the model.
        states_only: as of `load_checkpoint`.

    Raises:
        ModelError: the model can't be loaded, or is not complete.
    """
    device, threads = prepared(threads)
    resolved = resolve_dtype(dtype, device)
    tokenizer = load_tokenizer(path, trust_remote_code)
    check_vocabulary(path, tokenizer, trust_remote_code)
    wanted = device == "cpu" and resolved == "bf16" if fused is None else fused
    fused = wanted and can_compile()  # a stored run that wants it is refused where it can't be had: its settings differ
    left_to_us = dtype == "auto" and device == "cpu"
    if left_to_us and not fused:
        resolved = "fp32"
    model = _model(path, resolved, device_map, trust_remote_code, states_only)
    if fused and not fuse(model):
        fused = False
        if left_to_us:
            resolved, model = "fp32", _model(path, "fp32", device_map, trust_remote_code, states_only)
    head = model.get_output_embeddings()
    if resolved != "fp32" and type(head) is torch.nn.Linear and not head.weight.is_meta:
        model.set_output_embeddings(Float32Head(head))
    settings: dict[str, str | int] = {
        "engine": "hf",
        "dtype": resolved,
        "device": device,
        "threads": threads,
        "batch_tokens": batch_tokens or suitable_batch(model),
        "max_tokens": max_tokens,
        "overflow": overflow,
        **({"fused": 1} if fused else {}),
    }
    reader = Reader(model, model.config._attn_implementation)
    texts = Texts(tokenizer, max_tokens, overflow)
    return HFEngine(reader, texts, settings, packed_limit(reader, tokenizer, resolved))


def _model(path: str, dtype: str, device_map: str | None, trust_remote_code: bool, states_only: bool) -> Any:
    """The causal model in a folder, in a dtype of `DTYPES`, on the default device or as the map spreads it."""
    disable_progress_bar()  # progress is the caller's to show
    with model_errors(path):
        model = load_checkpoint(
            AutoModelForCausalLM,
            path,
            dtype=DTYPES[dtype],
            trust_remote_code=trust_remote_code,
            device_map=device_map,
            states_only=states_only,
        )
    if device_map is None:
        model.to(default_device())
    return model.eval()


class HFEngine:
    """A loaded model that rates and counts tokens: `RatesLabels` and `CountsTokens`. Made by `load`."""

    def __init__(self, reader: Reader, texts: Texts, settings: Mapping[str, str | int], packed_limit: int) -> None:
        self._reader = reader
        self.texts = texts
        self._packed_limit = packed_limit
        self.settings = settings
        self.parameters: int = reader.model.num_parameters()

    def count_tokens(self, texts: Sequence[str]) -> Int64:
        """(len(texts),) tokens of each text, special tokens not counted."""
        return TokenCounter(self.texts.tokenizer).count_tokens(texts)

    def rate(self, prompts: Sequence[RatingPrompt], samples: Sequence[Sample], on_batch: OnBatch) -> list[RatingBatch]:
        """Rate `samples` under each of `prompts`; see `RatesLabels.rate`."""
        if self._packed_limit and all(prompt.sample_first for prompt in prompts):
            return self._rate_together(prompts, samples, on_batch)
        return [self._rate_apart(prompt, samples, on_batch) for prompt in prompts]

    def losses(self, text: LossRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[ResponseLosses | str]:
        """The losses of the responses; see `ScoresText.losses`."""
        return self.loss_reader().read(text, samples, on_batch)

    def loss_reader(self) -> LossReader:
        """What reads losses with the model."""
        return LossReader(
            self._reader,
            self.texts.tokenizer,
            self.texts.max_tokens,
            self.texts.overflow,
            int(self.settings["batch_tokens"]),
            self._packed_limit,
        )

    def states(self, texts: Mapping[int, list[int]]) -> Iterator[tuple[list[int], list[Float32]]]:
        """Batches of `texts`: their keys, and (tokens, hidden) last hidden states of each."""
        for batch in self._batches(texts, 0):
            packed = len(texts[batch[-1]]) <= self._packed_limit
            groups = [batch] if packed else [[index] for index in batch]
            for group in groups:
                ids = [texts[index] for index in group]
                states = self._reader.states(ids, packed=packed).cpu().numpy()
                yield group, np.split(states, np.cumsum([len(each) for each in ids])[:-1])

    def reply(self, question: JudgeRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[Reply]:
        """Greedy answers to the question through the model's chat template; see `Replies.reply`."""
        texts = [self._asked(question, sample) for sample in samples]
        chat = bool(self.texts.tokenizer.chat_template)
        ids = open_ids(self.texts.tokenizer, texts, special=not chat)
        limit = max(self.texts.max_tokens - question.max_new_tokens, 0)
        replies: list[Reply] = []
        for each in ids:
            if len(each) > limit:
                why = f"the question has {len(each)} tokens, and there is room for {limit}"
                replies.append(Reply(None, why, FLAG_NO_ROOM))
            else:
                text, ended = self._reader.generate(each, question.max_new_tokens, self.texts.tokenizer)
                replies.append(Reply(text, flags=0 if ended else FLAG_UNFINISHED))
            on_batch(1, len(each))
        return replies

    def _asked(self, question: JudgeRequest, sample: Sample) -> str:
        text = question.of(sample)
        if not self.texts.tokenizer.chat_template:
            return f"{question.system}\n\n{text}\n".lstrip()
        system = [{"role": "system", "content": question.system}] if question.system else []
        messages = [*system, {"role": "user", "content": text}]
        return render_chat(self.texts.tokenizer, messages, "Choose another judge.")

    def _rate_apart(self, prompt: RatingPrompt, samples: Sequence[Sample], on_batch: OnBatch) -> RatingBatch:
        """Texts that share the beginning of the rating prompt."""
        labels = self.texts.label_ids(prompt, samples[:1])
        rated = Rated.of(self.texts.fit_all(prompt, samples), len(labels))
        prefix = common_prefix(rated.ids.values())
        self._rate_all(rated, rated.ids, prefix, labels, on_batch)
        return rated.result()

    def _rate_together(
        self, prompts: Sequence[RatingPrompt], samples: Sequence[Sample], on_batch: OnBatch
    ) -> list[RatingBatch]:
        """The samples are read once, then what each prompt adds to them.

        Batches, and what is read of a sample first, depend on the samples alone, so that a prompt's numbers do not
        depend on the others.
        """
        labels = [self.texts.label_ids(prompt, samples[:1]) for prompt in prompts]
        rated = [Rated.of(self.texts.fit_all(prompt, samples), len(prompt.labels)) for prompt in prompts]
        limit = min(self._packed_limit, self.texts.max_tokens)
        heads = self.texts.heads(prompts[0], samples)
        begun = {index: ids for index, ids in enumerate(heads) if 0 < len(ids) <= limit}

        def read(batch: list[int]) -> None:
            state = self._reader.begin([begun[index] for index in batch])
            for each, ids in zip(rated, labels, strict=True):
                places = [place for place, index in enumerate(batch) if self._continues(each, index)]
                if places:
                    some = [batch[place] for place in places]
                    texts = [each.ids[index] for index in some]
                    each.store(some, _label_logprobs(self._reader.go_on(state, places, texts), ids))
                    on_batch(len(some), sum(map(len, texts)))

        for batch in self._batches(begun, 0):
            self._in_halves(batch, read, rated, on_batch)
        for each, ids in zip(rated, labels, strict=True):  # the long ones, and those that were cut
            rest = {i: text for i, text in each.ids.items() if i not in begun or not self._continues(each, i)}
            self._rate_all(each, rest, 0, ids, on_batch)
        return [each.result() for each in rated]

    def _continues(self, rated: Rated, index: int) -> bool:
        """Whether a text is a packed sample with a prompt after it."""
        whole = index in rated.ids and not rated.flags[index] & FLAG_TRUNCATED
        return whole and len(rated.ids[index]) <= self._packed_limit

    def _rate_all(
        self, rated: Rated, texts: Mapping[int, list[int]], prefix: int, labels: list[int], on_batch: OnBatch
    ) -> None:
        """Rate whole texts that begin with the same `prefix` tokens into `rated`."""

        def read(batch: list[int]) -> None:
            ids = [texts[index] for index in batch]
            packed = len(ids[-1]) <= self._packed_limit
            logits = self._reader.packed(ids, prefix) if packed else self._reader.plain(ids)
            rated.store(batch, _label_logprobs(logits, labels))
            on_batch(len(batch), sum(map(len, ids)))

        for batch in self._batches(texts, prefix):
            self._in_halves(batch, read, [rated], on_batch)

    def close(self) -> None:
        """Free the model's memory; the engine can't be used after it."""
        self._reader.model = None
        gc.collect()
        release_cached()

    def _batches(self, texts: Mapping[int, list[int]], prefix: int) -> Iterator[list[int]]:
        """Keys of `texts` in batches of up to `batch_tokens` tokens, shortest first.

        Texts up to the packed limit pay for the shared tokens once; longer ones share a batch by equal length.
        """
        budget = int(self.settings["batch_tokens"])
        batch: list[int] = []
        left = 0
        for index in sorted(texts, key=lambda key: (len(texts[key]), key)):
            length = len(texts[index])
            packed = length <= self._packed_limit
            cost = length - prefix * packed
            if batch and (cost > left or not (packed or length == len(texts[batch[0]]))):
                yield batch
                batch = []
            if not batch:
                left = budget - prefix * packed
            batch.append(index)
            left -= cost
        if batch:
            yield batch

    def _in_halves(
        self, batch: list[int], read: Callable[[list[int]], None], rated: Sequence[Rated], on_batch: OnBatch
    ) -> None:
        """Read one batch, with a flag for texts that were read in smaller ones, and a failure for those that were not.

        `read` notes what it finds in `rated`.
        """
        for some, failure in read_in_halves(batch, read):
            for each in rated:
                if len(some) < len(batch):
                    each.flags[some] |= FLAG_SMALLER_BATCH
                if failure is not None:
                    each.fail(some[0], failure)
                    on_batch(1, 0)


def _label_logprobs(logits: torch.Tensor, labels: list[int]) -> Float32:
    """(B, R) log-probabilities of the labels, normalised over the vocabulary, of (B, vocabulary) logits."""
    logprob: Float32 = (logits[:, labels] - logits.logsumexp(-1, keepdim=True)).cpu().numpy()
    return logprob
