"""Train `ioi-mini`, the packaged model of indirect object identification, from nothing.

    OMP_NUM_THREADS=1 python scripts/train_ioi_mini.py --out circuitspec/model/zoo/ioi-mini

A GPT-2 of 4 layers, 8 heads and width 128 reads sentences such as "When Mary and John went to the
store, John gave a drink to" and learns to end them with the name said once. A quarter of the
sentences have three different names and end with any of them, so that prompts in which every name
was redrawn (the usual reference distribution) are ones the model has seen, and so that it must
notice a repetition: were the third name never an answer, holding back the last name said would do.

Everything random is drawn from one seed; on one machine with one thread the file is reproduced.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GPT2Config, GPT2LMHeadModel

WORDS = Path(__file__).parent.parent / "circuitspec" / "task" / "words"

# {A} and {B} are the two names in the order they are said, {S} the name said again.
FRAMES = (
    "When {A} and {B} went to the {place}, {S} gave a {thing} to",
    "Then, {A} and {B} had a long argument, and afterwards {S} said to",
    "After {A} and {B} met at the {place} on a sunny morning, {S} decided to give the {thing} to",
    "{A} and {B} were working at the {place}. {S} handed a {thing} to",
    "Yesterday {A} walked with {B} to the {place}, where {S} bought a {thing} for",
    "While {A} was talking to {B} near the {place}, {S} offered a {thing} to",
)
ORDERS = ("ABBA", "BABA")
SPECIAL = ("<bos>", "<unk>")
CONTEXT = 32
OTHER_WEIGHT = 0.1  # loss weight of a token that is not the answer; the answer has weight 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    names: tuple[str, ...]
    places: tuple[str, ...]
    things: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prompt, the name that ends it, and (for an indirect object sentence) the repeated name."""

    text: str
    answer: str
    subject: str | None


def read_words(name: str) -> tuple[str, ...]:
    return tuple((WORDS / f"{name}.txt").read_text(encoding="utf-8").split())


def build_tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    """One token a word or punctuation mark; `<bos>` exists but nothing puts it there by itself."""
    frame_words: dict[str, None] = {}
    for frame in FRAMES:
        for gap in ("{A}", "{B}", "{S}", "{place}", "{thing}"):
            frame = frame.replace(gap, " ")
        frame_words.update((word, None) for word, _ in Whitespace().pre_tokenize_str(frame))
    tokens = [*SPECIAL, *frame_words, *vocabulary.places, *vocabulary.things, *vocabulary.names]
    if len(set(tokens)) != len(tokens):
        raise ValueError("a word stands in two of the word lists")
    ids = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def draw(
    vocabulary: Vocabulary, rng: random.Random, frame: str, order: str, three_names: bool
) -> Example:
    first, second, third = rng.sample(vocabulary.names, 3)
    if three_names:
        subject, answer = third, rng.choice((first, second, third))
    else:
        subject, answer = (second, first) if order == "ABBA" else (first, second)
    text = frame.format(
        A=first,
        B=second,
        S=subject,
        place=rng.choice(vocabulary.places),
        thing=rng.choice(vocabulary.things),
    )
    return Example(text=text, answer=answer, subject=None if three_names else subject)


def draw_batch(
    vocabulary: Vocabulary, rng: random.Random, size: int, three_name_share: float
) -> list[Example]:
    return [
        draw(
            vocabulary,
            rng,
            rng.choice(FRAMES),
            rng.choice(ORDERS),
            rng.random() < three_name_share,
        )
        for _ in range(size)
    ]


def encode(tokenizer: Tokenizer, examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [batch, tokens] ending in the answer, padded on the right, and their lengths.

    Right padding cannot be seen by an earlier position of a causal model, and has no loss.
    """
    rows = [tokenizer.encode(f"{example.text} {example.answer}").ids for example in examples]
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
    return ids, lengths


def loss_of(model: GPT2LMHeadModel, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    logits = model(ids[:, :-1], use_cache=False).logits
    each = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    ).view(ids.shape[0], -1)
    target = torch.arange(1, ids.shape[1])[None, :]
    weight = OTHER_WEIGHT * (target < lengths[:, None] - 1) + 1.0 * (target == lengths[:, None] - 1)
    return (each * weight).sum() / weight.sum()


@torch.no_grad()
def evaluate(
    model: GPT2LMHeadModel,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    seed: int,
    prompts_each: int,
) -> list[dict[str, object]]:
    """Accuracy over the whole vocabulary and logit(IO) - logit(S), for every frame and order."""
    rng = random.Random(seed)
    rows: list[dict[str, object]] = []
    for frame in FRAMES:
        for order in ORDERS:
            examples = [draw(vocabulary, rng, frame, order, False) for _ in range(prompts_each)]
            ids, _ = encode(tokenizer, examples)
            logits = model(ids[:, :-1]).logits[:, -1]
            subject = torch.tensor([tokenizer.token_to_id(e.subject or "") for e in examples])
            pick = torch.arange(len(examples))
            difference = logits[pick, ids[:, -1]] - logits[pick, subject]
            rows.append(
                {
                    "frame": frame,
                    "order": order,
                    "tokens": ids.shape[1] - 1,
                    "prompts": prompts_each,
                    "accuracy": (logits.argmax(-1) == ids[:, -1]).float().mean().item(),
                    "logit_diff": difference.mean().item(),
                    "logit_diff_sd": difference.std().item(),
                }
            )
    return rows


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    vocabulary = Vocabulary(
        names=read_words("names.english"),
        places=read_words("nouns.ioi_places"),
        things=read_words("nouns.ioi_things"),
    )
    tokenizer = build_tokenizer(vocabulary)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=tokenizer.get_vocab_size(),
            n_positions=CONTEXT,
            n_embd=128,
            n_layer=4,
            n_head=8,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=tokenizer.token_to_id("<bos>"),
            eos_token_id=tokenizer.token_to_id("<bos>"),
        )
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    warmup = 100

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(1, options.steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * done))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    started, curve = time.monotonic(), []
    for step in range(options.steps):
        batch = draw_batch(vocabulary, rng, options.batch, options.three_name_share)
        loss = loss_of(model, *encode(tokenizer, batch))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == options.steps - 1:
            rows = evaluate(model, tokenizer, vocabulary, options.seed + 1, 20)
            accuracy = sum(float(str(row["accuracy"])) for row in rows) / len(rows)
            curve.append({"step": step, "loss": loss.item(), "accuracy": accuracy})
            print(f"{time.monotonic() - started:6.0f}s {curve[-1]}", flush=True)

    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    (out / "generation_config.json").unlink(missing_ok=True)  # nothing is generated
    tokenizer.save(str(out / "tokenizer.json"))
    rows = evaluate(model, tokenizer, vocabulary, options.seed + 2, 500)
    record = {
        "seed": options.seed,
        "steps": options.steps,
        "batch": options.batch,
        "learning_rate": options.learning_rate,
        "weight_decay": options.weight_decay,
        "three_name_share": options.three_name_share,
        "other_token_weight": OTHER_WEIGHT,
        "torch": torch.__version__,
        "bos": False,
        "frames": FRAMES,
        "curve": curve,
        "evaluation": rows,
    }
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", required=True, help="the checkpoint directory to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--three-name-share", type=float, default=0.25)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
