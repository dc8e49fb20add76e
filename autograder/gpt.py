"""The small GPT that runs through the course: its network, its tokenizer, its training, its files.

Chapter 1 has the learner build this model out of their own parts (source/ch01_concepts,
05_milestone.py). The same model stands here, made of the libraries' parts, for the chapters that
take it up again: tensors have the same names and shapes in both, so weights trained there run
here. `autograder.lesson.gpt` chooses the weights. Runs in notebooks; the grader does not use it.

A file of weights is data alone: safetensors, with the tokenizer's merges in its header as JSON.
Nothing is unpickled.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own habit)
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import nn

PACKAGED = Path(__file__).parent / "data" / "gpt.safetensors"
CONTEXT = 64  # tokens
# The pieces of a text that merges stay inside, as `split_text` of section 1.1 cuts it.
PIECES = r" ?\w+| ?[^\w\s]+|\s+(?!\S)|\s+"

Merges = list[tuple[int, int]]


class MultiHeadAttention(nn.Module):
    """Causal self-attention in several heads, with the projections of exercise 1.2."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, width) to (B, T, width)."""
        query, key, value = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then a small network at each position, both added to their input."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, width) to (B, T, width)."""
        x = x + self.dropout(self.attention(self.before_attention(x)))
        return x + self.dropout(self.network(self.before_network(x)))


class GPT(nn.Module):
    """A causal transformer from (B, T) tokens to (B, T, V) logits for the token after each.

    Normalisation comes before attention and network, and the embedding of the tokens is the output
    layer, too (Radford et al., Language Models are Unsupervised Multitask Learners, 2019, section
    2.3; Press and Wolf, arXiv:1608.05859).

    Args:
        vocabulary: number of different tokens, V.
        context: the largest T.
        dropout: share of each branch's output that training drops.
    """

    def __init__(  # noqa: PLR0913 (the sizes of a model)
        self,
        vocabulary: int = 512,
        context: int = CONTEXT,
        width: int = 64,
        layers: int = 3,
        heads: int = 4,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)
        with torch.no_grad():  # the sum of all branches starts as large as one of them would be
            for block in self.blocks:
                for last in (block.attention.out_proj, block.network[2]):
                    last.weight /= math.sqrt(2 * layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens to (B, T, V) logits."""
        hidden = self.tokens(x) + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden) @ self.tokens.weight.T


def make_optimizer(
    model: nn.Module, steps: int, rate: float = 7e-3, decay: float = 0.1
) -> torch.optim.Optimizer:
    """AdamW that lowers its own learning rate: 50 steps up, then along a cosine to 5 % of it.

    Args:
        steps: at which the cosine ends.
        rate: the largest learning rate.
        decay: weight decay, of matrices only.
    """
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))

    def share(step: int) -> float:
        progress = min(1.0, step / steps)
        return min((step + 1) / 50, 0.05 + 0.95 * (1 + math.cos(math.pi * progress)) / 2)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    return optimizer


def evaluate(model: nn.Module, stream: torch.Tensor, context: int = CONTEXT) -> float:
    """Mean cross-entropy on a stream of tokens, cut into windows, in nats per token.

    The model is in evaluation mode meanwhile and in its own mode afterwards.

    Args:
        stream: (n,) tokens, int64; n is larger than `context`.
    """
    was_training = model.training
    model.eval()
    whole = (len(stream) - 1) // context * context  # what fills windows; the rest is a shorter one
    total = 0.0
    with torch.no_grad():
        for begin, end in [(0, whole), (whole, len(stream) - 1)]:
            if begin < end:
                x, y = stream[begin:end], stream[begin + 1 : end + 1]
                logits = model(x.view(-1, min(context, end - begin)))
                total += float(F.cross_entropy(logits.flatten(0, 1), y, reduction="sum"))
    model.train(was_training)
    return total / (len(stream) - 1)


def train(  # noqa: PLR0913
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    training: torch.Tensor,
    validation: torch.Tensor,
    steps: int,
    every: int = 200,
    batch: int = 16,
    context: int = CONTEXT,
    seed: int = 0,
) -> list[float]:
    """Trains on random windows of a stream of tokens; gradients are clipped at norm 1.

    Args:
        model: from (B, T) tokens to (B, T, V) logits.
        optimizer: such as `make_optimizer` makes it.
        training, validation: (n,) tokens, int64.
        seed: of the choice of windows.

    Returns:
        The loss on the validation stream in nats per token, by `evaluate`: before training and
        after each `every` steps.
    """
    generator = torch.Generator().manual_seed(seed)
    losses = [evaluate(model, validation, context)]
    for step in range(1, steps + 1):
        model.train()
        starts = torch.randint(len(training) - context, (batch, 1), generator=generator)
        windows = training[starts + torch.arange(context + 1)]
        loss = F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % every == 0:
            losses.append(evaluate(model, validation, context))
    return losses


def draw(
    model: nn.Module, ids: list[int], n_tokens: int, temperature: float, generator: torch.Generator
) -> list[int]:
    """The ids and `n_tokens` more, drawn one by one from what the model predicts.

    Args:
        ids: at least one; the model reads the last 64.
        temperature: above 0; divides the logits.
    """
    ids = list(ids)
    with torch.no_grad():
        for _ in range(n_tokens):
            logits = model(torch.tensor([ids[-CONTEXT:]]))[0, -1]
            shares = F.softmax(logits / temperature, dim=-1)
            ids.append(int(torch.multinomial(shares, 1, generator=generator)))
    return ids


class BytePairs:
    """Byte-level BPE with given merges, by the `tokenizers` library.

    Ids 0 to 255 are the bytes and 256 + i is the token of merge i, as in exercise 1.1.

    Args:
        merges: pairs of ids, in the order in which they were learnt.

    Raises:
        ValueError: a merge uses a token that does not exist yet, or makes one of over 1,000 bytes:
            each merge may double the length, and that of a damaged file would not fit into memory.
    """

    def __init__(self, merges: Merges):
        self.merges = [(int(a), int(b)) for a, b in merges]
        names = [_letter(byte) for byte in range(256)]
        for a, b in self.merges:
            if not (0 <= a < len(names) and 0 <= b < len(names)):
                raise ValueError(f"a merge of {a} and {b} comes before them")
            names.append(names[a] + names[b])
            if len(names[-1]) > 1000:
                raise ValueError("the merges make a token of more than 1,000 bytes")
        pairs = [(names[a], names[b]) for a, b in self.merges]
        self._tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, pairs))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PIECES), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        self._tokenizer.decoder = decoders.ByteLevel()

    def __len__(self) -> int:
        """The number of different tokens."""
        return 256 + len(self.merges)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD."""
        text: str = self._tokenizer.decode(ids)
        return text


def _letter(byte: int) -> str:
    """The letter by which the library knows a byte: itself, or one from 256 on if not printable.

    Source: `bytes_to_unicode` in the code of GPT-2 (Radford et al., 2019).
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in printable:
        return chr(byte)
    return chr(256 + [b for b in range(256) if b not in printable].index(byte))


@dataclass(frozen=True)
class LanguageModel:
    """A trained GPT and its tokenizer.

    Attributes:
        model: in evaluation mode, in 32 bits.
        tokenizer: `encode` and `decode`; its `merges` are those of exercise 1.1.
        path: the file that it comes from.
    """

    model: GPT
    tokenizer: BytePairs
    path: Path

    def write(
        self, prompt: str, n_tokens: int = 100, temperature: float = 0.7, seed: int = 0
    ) -> str:
        """The prompt and `n_tokens` more tokens, drawn one by one.

        Args:
            prompt: at least one character.
            temperature: above 0; divides the logits.
            seed: the same seed writes the same text.
        """
        generator = torch.Generator().manual_seed(seed)
        ids = self.tokenizer.encode(prompt)
        return self.tokenizer.decode(draw(self.model, ids, n_tokens, temperature, generator))

    def bits_per_byte(self, text: str) -> float:
        """Its loss on a text, by `evaluate`, divided by the text's length in UTF-8."""
        ids = torch.tensor(self.tokenizer.encode(text))
        nats = evaluate(self.model, ids) * (len(ids) - 1)
        return nats / math.log(2) / len(text.encode())


def save(path: Path, model: nn.Module, merges: Merges, **notes: str) -> None:
    """Writes a model to a file, in half precision; the file appears whole or not at all.

    Args:
        model: with the tensors of `GPT`, which computes the same with them.
        merges: of its tokenizer.
        notes: further entries for the file's header.

    Raises:
        ValueError: `GPT` computes something else, or has no such tensors.
    """
    twin = GPT(vocabulary=256 + len(merges)).eval()
    probe = torch.arange(CONTEXT)[None]
    try:
        twin.load_state_dict(model.state_dict())
        with torch.no_grad():
            same = torch.allclose(twin(probe), model.eval()(probe), rtol=1e-3, atol=1e-3)
    except RuntimeError as error:
        raise ValueError("the tensors of this model are not those of chapter 1's") from error
    if not same:
        raise ValueError("torch's attention gives other logits with these weights: see section 1.2")
    tensors = {name: tensor.half() for name, tensor in twin.state_dict().items()}
    unfinished = path.with_suffix(".part")
    save_file(tensors, unfinished, metadata={"merges": json.dumps(merges), **notes})
    unfinished.replace(path)


def load(path: Path) -> LanguageModel:
    """The model in a file that `save` wrote.

    Raises:
        ValueError: the file holds no such model.
        OSError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            merges = json.loads(file.metadata()["merges"])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        tokenizer = BytePairs(merges)
        model = GPT(vocabulary=len(tokenizer))
        model.load_state_dict(tensors)
    except OSError:
        raise
    except Exception as error:  # the library has no common class for what can be wrong
        raise ValueError(f"{path} holds no model like chapter 1's") from error
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ValueError(f"{path} holds weights that are no finite numbers")
    return LanguageModel(model.eval(), tokenizer, path)
