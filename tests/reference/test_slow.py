"""The reference against Hugging Face's own forward, against hooks on it, and against identities."""

from __future__ import annotations

import ast
import functools
import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from . import by_hooks, tiny
from .architectures import SlowModel, from_directory, from_hf, from_state
from .slow import (
    INPUT,
    LOGITS,
    ByNodes,
    Replace,
    ablate_by_edges,
    ablate_by_nodes,
    activation_patch,
    all_edges,
    constant,
    cut_edges,
    cut_nodes,
    embedding_sd,
    everywhere,
    head,
    mean_values,
    mlp,
    noised,
    path_patch,
    receivers,
    run,
    run_values,
    senders,
    spread,
    upstream,
    zero_values,
)

EXACT = {"rtol": 0, "atol": 1e-10}
BATCH, LENGTH = 3, 7
SHARED = Path(__file__).parents[3] / "shared" / "models"


def same(a: Tensor, b: Tensor, atol: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def differ(a: Tensor, b: Tensor, by: float = 1e-3) -> None:
    assert (a - b).abs().max() > by


@functools.cache
def make(name: str) -> SlowModel:
    """Any tiny model in float64, by name."""
    if name in tiny.TOYS:
        cfg, state = tiny.toy_state(name)
        return from_state(cfg, {k: v.double() for k, v in state.items()})
    return from_hf(tiny.build(name, dtype=torch.float64))


@pytest.fixture(params=[*tiny.MODELS, *tiny.TOYS])
def model(request: pytest.FixtureRequest) -> SlowModel:
    return make(request.param)


@pytest.fixture(params=[*tiny.ARCHITECTURES, "toy_mlp_layer_norm", "toy_plain"])
def plain(request: pytest.FixtureRequest) -> SlowModel:
    """One model of each kind, where a test needs no more."""
    return make(request.param)


@pytest.fixture
def x() -> Tensor:
    return tiny.tokens(BATCH, LENGTH, seed=1)


@pytest.fixture
def x_prime() -> Tensor:
    return tiny.tokens(BATCH, LENGTH, seed=2)


def random_masks(model: SlowModel, seed: int, share: float = 0.5) -> dict:
    """A random mask for every head and MLP."""
    return {
        node: tiny.mask(BATCH, LENGTH, seed=100 * seed + i, share=share)
        for i, node in enumerate(senders(model))
        if node != INPUT
    }


# ------------------------------------------------------------------ the plain forward


@pytest.mark.parametrize("name", tiny.MODELS)
def test_no_intervention_is_hugging_face(name: str, x: Tensor) -> None:
    hf = tiny.build(name)
    with torch.no_grad():
        expected = hf(x).logits
    assert expected.std() > 0.5
    same(run(from_hf(hf), x).logits, expected, atol=1e-5)


@pytest.mark.parametrize("name", tiny.MODELS)
def test_no_intervention_is_hugging_face_in_float64(name: str, x: Tensor) -> None:
    hf = tiny.build(name, dtype=torch.float64)
    with torch.no_grad(), by_hooks.without_casts():
        expected = hf(x).logits
    same(run(from_hf(hf), x).logits, expected)


def test_a_loaded_checkpoint_is_the_saved_model(tmp_path: Path, x: Tensor) -> None:
    import transformers

    hf = tiny.build("qwen3", seed=5)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tiny.save(hf, tmp_path)).eval()
    with torch.no_grad():
        assert torch.equal(loaded(x).logits, hf(x).logits)
    assert not torch.equal(run(from_hf(tiny.build("qwen3")), x).logits, hf(x).logits)


def toy_forward(cfg: dict, state: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """A toy model at once, all heads together: written apart from the reference's own pass."""
    x = state["embed.W_E"][tokens] + state["pos_embed.W_pos"][: tokens.shape[1]]

    def norm(name: str, x: Tensor) -> Tensor:
        if cfg["normalization_type"] is None:
            return x
        w, b = state[f"{name}.w"], state[f"{name}.b"]
        return torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, cfg["eps"])

    for i in range(cfg["n_layers"]):
        at, y = f"blocks.{i}.attn", norm(f"blocks.{i}.ln1", x)
        q, k, v = (
            torch.einsum("bpd,hde->bhpe", y, state[f"{at}.W_{c}"]) + state[f"{at}.b_{c}"][:, None]
            for c in "QKV"
        )
        z = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=cfg["attention_dir"] == "causal"
        )
        x = x + torch.einsum("bhpe,hed->bpd", z, state[f"{at}.W_O"]) + state[f"{at}.b_O"]
        if not cfg["attn_only"]:
            at, y = f"blocks.{i}.mlp", norm(f"blocks.{i}.ln2", x)
            act = {"relu": torch.relu, "gelu": torch.nn.functional.gelu}[cfg["act_fn"]]
            hidden = act(y @ state[f"{at}.W_in"] + state[f"{at}.b_in"])
            x = x + hidden @ state[f"{at}.W_out"] + state[f"{at}.b_out"]
    return norm("ln_final", x) @ state["unembed.W_U"] + state["unembed.b_U"]


@pytest.mark.parametrize("name", tiny.TOYS)
def test_toy_is_the_plain_module(name: str, tmp_path: Path, x: Tensor) -> None:
    cfg, state = tiny.toy_state(name, seed=3)
    tiny.save_toy(tmp_path, cfg, state)
    doubles = {k: v.double() for k, v in state.items()}
    expected = toy_forward(cfg, doubles, x)
    assert expected.shape == (BATCH, LENGTH, cfg["d_vocab_out"])
    same(run(from_directory(tmp_path, torch.float64), x).logits, expected)
    same(run(from_directory(tmp_path), x).logits, expected.float(), atol=1e-4)


def test_toy_settings_that_are_not_known_are_refused() -> None:
    cfg, state = tiny.toy_state("toy_plain")
    for key, value in (("use_parallel", True), ("positional_embedding_type", "rotary")):
        with pytest.raises(ValueError, match=r"not know|knows no"):
            from_state({**cfg, key: value}, state)
    with pytest.raises(ValueError, match="no use for"):
        from_state(cfg, {**state, "blocks.0.ln1.w": torch.ones(16)})
    with pytest.raises(ValueError, match="eval"):
        from_hf(tiny.build("gpt2").train())


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/models is not here")
class TestTrainedModels:
    """What is known of the trained models, from their own notes."""

    def test_max_of_two(self) -> None:
        tokens = torch.cartesian_prod(torch.arange(64), torch.arange(64))
        for name, low, high in (("max-of-two", 1, 1), ("max-of-two-undertrained", 0.987, 0.989)):
            logits = run(from_directory(SHARED / name), tokens).logits[:, -1]
            share = (logits.argmax(-1) == tokens.max(-1).values).double().mean()
            assert low <= share <= high

    def test_modular_addition(self) -> None:
        pairs = torch.cartesian_prod(torch.arange(113), torch.arange(113))[::7]
        tokens = torch.cat([pairs, torch.full((len(pairs), 1), 113)], 1)
        logits = run(from_directory(SHARED / "modular-addition"), tokens).logits[:, -1]
        assert (logits.argmax(-1) == pairs.sum(-1) % 113).double().mean() > 0.999

    def test_sort_five(self) -> None:
        generator = torch.Generator().manual_seed(0)
        lists = torch.stack([torch.randperm(64, generator=generator)[:5] for _ in range(300)])
        answers = lists.sort(-1).values
        full = lambda t: torch.full((300, 1), t)  # noqa: E731 - two uses, on the next line
        tokens = torch.cat([full(64), lists, full(65), answers], 1)
        logits = run(from_directory(SHARED / "sort-five"), tokens).logits[:, 6:11]
        assert (logits.argmax(-1) == answers).all(-1).double().mean() > 0.99

    def test_induction(self) -> None:
        generator = torch.Generator().manual_seed(0)
        tokens = torch.stack([torch.randperm(26, generator=generator)[:8] for _ in range(500)])
        earlier = torch.randint(1, 6, (500,), generator=generator)
        rows = torch.arange(500)
        tokens[:, 7] = tokens[rows, earlier]
        result = run(from_directory(SHARED / "induction"), tokens)
        right = result.logits[:, -1].argmax(-1) == tokens[rows, earlier + 1]
        assert right.double().mean() > 0.95
        assert result.patterns[head(1, 0)][rows, 7, earlier + 1].mean() > 0.8
        destroyed = run(from_directory(SHARED / "induction-destroyed"), tokens).logits[:, -1]
        assert (destroyed.argmax(-1) == tokens[rows, earlier + 1]).double().mean() < 0.5


def test_the_reference_imports_nothing_of_the_package() -> None:
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(name.partition(".")[0] == "circuitspec" for name in names), path


# ------------------------------------------------------------------ the graph


def test_gpt2_small_has_32491_edges() -> None:
    shape = {"n_layer": 12, "n_head": 12, "n_embd": 12}
    model = from_hf(tiny.build("gpt2", **shape))
    assert len(all_edges(model, tiny.tokens(1, 1))) == 32491


def test_same_layer_heads_reach_the_mlp_only_in_sequential_blocks() -> None:
    sequential, parallel = make("gpt_neox_sequential"), make("gpt_neox")
    assert head(1, 0) in upstream(sequential, mlp(1))
    assert head(1, 0) not in upstream(parallel, mlp(1))
    assert head(0, 0) in upstream(parallel, mlp(1))
    for model in (sequential, parallel):
        assert mlp(0) in upstream(model, head(1, 0))
        assert mlp(1) not in upstream(model, head(1, 0))
        assert head(1, 1) not in upstream(model, head(1, 0))
    b = [layer.b_O for layer in parallel.layers]
    same(constant(parallel, mlp(1)), b[0])
    same(constant(parallel, LOGITS), b[0] + b[1] + b[2])
    b = [layer.b_O for layer in sequential.layers]
    same(constant(sequential, mlp(1)), b[0] + b[1])


# ------------------------------------------------------------------ ablation by nodes


def test_all_nodes_live_is_the_model(model: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    live = {node: everywhere(x) for node in senders(model)}
    same(ablate_by_nodes(model, x, live, run_values(model, x_prime)), run(model, x).logits)


def test_no_node_live_keeps_the_input(model: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    values = run_values(model, x_prime)
    residual = model.embed(x) + sum(values[n] for n in senders(model) if n != INPUT)
    residual = residual + sum(layer.b_O for layer in model.layers)
    same(ablate_by_nodes(model, x, {}, values), model.unembed(residual))
    residual = model.embed(x) + sum(layer.b_O for layer in model.layers)
    same(ablate_by_nodes(model, x, {}, zero_values(model, x)), model.unembed(residual))


def test_live_nodes_are_recomputed_and_dead_ones_are_not(
    plain: SlowModel, x: Tensor, x_prime: Tensor
) -> None:
    live, values = random_masks(plain, seed=1), run_values(plain, x_prime)
    out = run(plain, x, ByNodes(live, values))
    clean = run(plain, x)
    for node, mask in live.items():
        same(out.senders[node][~mask], values[node][~mask])
    node = head(plain.n_layers - 1, 0)
    differ(out.senders[node][live[node]], clean.senders[node][live[node]])


def test_cutting_is_keeping_the_rest(plain: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    cut, values = random_masks(plain, seed=2), run_values(plain, x_prime)
    live = {node: ~mask for node, mask in cut.items()}
    same(cut_nodes(plain, x, cut, values), ablate_by_nodes(plain, x, live, values))
    one = {head(1, 0): cut[head(1, 0)]}
    differ(cut_nodes(plain, x, one, values), run(plain, x).logits)


def test_positions_before_a_cut_do_not_change(x: Tensor, x_prime: Tensor) -> None:
    for name in ("llama", "toy_plain", "toy_bidirectional"):
        model = make(name)
        mask = everywhere(x)
        mask[:, :4] = False
        logits = cut_nodes(model, x, {head(0, 1): mask}, run_values(model, x_prime))
        clean = run(model, x).logits
        differ(logits[:, 4:], clean[:, 4:])
        if model.causal:
            same(logits[:, :4], clean[:, :4])
        else:
            differ(logits[:, :4], clean[:, :4])


# ------------------------------------------------------------------ ablation by edges


def test_all_edges_live_is_the_model(model: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    values = run_values(model, x_prime)
    same(ablate_by_edges(model, x, all_edges(model, x), values), run(model, x).logits)


def test_no_edge_live_is_the_ablation(model: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    values = run_values(model, x_prime)
    same(ablate_by_edges(model, x, [], values), run(model, x_prime).logits)


def test_nodes_are_all_their_outgoing_edges(model: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    live, values = random_masks(model, seed=3), run_values(model, x_prime)
    live[INPUT] = everywhere(x)
    edges = [(s, r, c, live[s]) for s, r, c, _ in all_edges(model, x)]
    by_edges = ablate_by_edges(model, x, edges, values)
    same(by_edges, ablate_by_nodes(model, x, live, values))


def test_cutting_edges_is_keeping_the_rest(plain: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    values = run_values(plain, x_prime)
    masks = {e[:3]: tiny.mask(BATCH, LENGTH, seed=i) for i, e in enumerate(all_edges(plain, x))}
    cut = [(*edge, mask) for edge, mask in masks.items()]
    live = [(*edge, ~mask) for edge, mask in masks.items()]
    by_cut = cut_edges(plain, x, cut, values)
    same(by_cut, ablate_by_edges(plain, x, live, values))
    differ(by_cut, run(plain, x).logits)


def test_an_edge_named_twice_is_live_where_either_says(
    plain: SlowModel, x: Tensor, x_prime: Tensor
) -> None:
    values = run_values(plain, x_prime)
    mask = tiny.mask(BATCH, LENGTH, seed=4)
    twice = [(s, r, c, m) for s, r, c, _ in all_edges(plain, x) for m in (mask, ~mask)]
    same(ablate_by_edges(plain, x, twice, values), run(plain, x).logits)


def test_one_edge_by_hand(plain: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    """Last layer's head 0 to the logits at one position, the input to its q elsewhere."""
    clean, other = run(plain, x), run(plain, x_prime)
    node = head(plain.n_layers - 1, 0)
    mask = torch.zeros_like(x, dtype=torch.bool)
    mask[1, 3] = True
    logits = ablate_by_edges(plain, x, [(node, LOGITS, "in", mask)], other.senders)
    # nothing live feeds the head, so its live output is that of x'
    same(logits, other.logits)
    edges = [(node, LOGITS, "in", mask)]
    edges += [(s, node, c, everywhere(x)) for s in upstream(plain, node) for c in "qkv"]
    edges += [
        (s, r, c, everywhere(x)) for s, r, c, _ in all_edges(plain, x) if r in upstream(plain, node)
    ]
    expected = other.final_residual.clone()
    expected[1, 3] += clean.senders[node][1, 3] - other.senders[node][1, 3]
    same(ablate_by_edges(plain, x, edges, other.senders), plain.unembed(expected))


@pytest.mark.parametrize("name", ["llama", "llama_biased", "qwen2", "qwen3"])
def test_grouped_queries_have_their_own_copies(name: str, x: Tensor, x_prime: Tensor) -> None:
    """Cutting an edge into one query head's k changes that head, and not its group's others."""
    from .slow import ByEdges

    model = make(name)
    clean, values = run(model, x), run_values(model, x_prime)
    cut = ByEdges([(INPUT, head(1, 0), "k", everywhere(x))], values, cut=True)
    out = run(model, x, cut)
    differ(out.patterns[head(1, 0)], clean.patterns[head(1, 0)])
    for other in (1, 2, 3):
        same(out.patterns[head(1, other)], clean.patterns[head(1, other)])
        same(model.layers[1].W["k"][1], model.layers[1].W["k"][0])


# ------------------------------------------------------------------ ablation values


def test_means(plain: SlowModel) -> None:
    a, b = tiny.tokens(4, 6, seed=1), tiny.tokens(2, 6, seed=2)
    c = tiny.tokens(3, 5, seed=3)
    va, vb, vc = (run_values(plain, t) for t in (a, b, c))
    for node in (INPUT, head(0, 1), head(plain.n_layers - 1, 0)):
        template = mean_values(plain, {"a": a, "c": c}, "template")
        same(template["a"][node], va[node].sum(0) / 4)
        same(template["c"][node], vc[node].sum(0) / 3)
        position = mean_values(plain, {"a": a, "b": b}, "position")
        same(position["b"][node], (va[node].sum(0) + vb[node].sum(0)) / 6)
        batch = mean_values(plain, {"a": a, "c": c}, "batch")
        one = (va[node].sum((0, 1)) + vc[node].sum((0, 1))) / (4 * 6 + 3 * 5)
        same(batch["a"][node], one.expand(6, -1))
        same(batch["c"][node], one.expand(5, -1))
    values = spread(mean_values(plain, {"a": a, "b": b}, "template"), ["b", "a", "b"])
    same(values[INPUT][1], va[INPUT].mean(0))
    same(values[INPUT][2], vb[INPUT].mean(0))
    with pytest.raises(ValueError, match="equal length"):
        mean_values(plain, {"a": a, "c": c}, "position")


# ------------------------------------------------------------------ activation patching


def test_patching_everything_is_the_other_run(model: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    every = {node: everywhere(x) for node in senders(model)}
    clean, other = run(model, x).logits, run(model, x_prime).logits
    same(activation_patch(model, x, x_prime, every), other)
    same(activation_patch(model, x, x_prime, {INPUT: everywhere(x)}), other)
    same(activation_patch(model, x, x, every), clean)
    same(activation_patch(model, x, x_prime, {}), clean)


def test_patching_is_cutting_with_counterfactual_values(
    plain: SlowModel, x: Tensor, x_prime: Tensor
) -> None:
    nodes = random_masks(plain, seed=5, share=0.2)
    patched = activation_patch(plain, x, x_prime, nodes)
    same(patched, cut_nodes(plain, x, nodes, run_values(plain, x_prime)))


def test_patching_given_a_knockout(plain: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    mask = tiny.mask(BATCH, LENGTH, seed=6)
    zeros = zero_values(plain, x)
    given = {head(0, 0): (mask, zeros[head(0, 0)])}
    without = cut_nodes(plain, x, {head(0, 0): mask}, zeros)
    every = {node: everywhere(x) for node in senders(plain)}
    same(activation_patch(plain, x, x, every, given), without)
    same(activation_patch(plain, x, x_prime, {}, given), without)
    other = cut_nodes(plain, x_prime, {head(0, 0): mask}, zeros)
    same(activation_patch(plain, x, x_prime, {INPUT: everywhere(x)}, given), other)
    differ(activation_patch(plain, x, x_prime, {head(1, 0): mask}, given), without)


# ------------------------------------------------------------------ against hooks on the module


@pytest.mark.parametrize("name", tiny.MODELS)
def test_hooks_agree_on_nodes(name: str, x: Tensor, x_prime: Tensor) -> None:
    """Heads and MLPs at random positions from x', by hooks on the untouched module."""
    hf = tiny.build(name, dtype=torch.float64)
    model = from_hf(hf)
    nodes = random_masks(model, seed=7, share=0.3)
    with by_hooks.without_casts():
        _, seen = by_hooks.forward(hf, x_prime)
        write = {node: (mask, seen[node]) for node, mask in nodes.items()}
        expected, _ = by_hooks.forward(hf, x, write)
    same(activation_patch(model, x, x_prime, nodes), expected)


def hooked_path_patch(hf, x, x_prime, senders, receivers, through):
    """Path patching as two hooked passes over the module, in the style of the IOI code."""
    every = everywhere(x)
    _, clean = by_hooks.forward(hf, x)
    _, source = by_hooks.forward(hf, x_prime)
    write = {}
    for key, value in clean.items():
        if (key[0] == "head" and len(key) == 3) or (
            key[0] == "mlp" and len(key) == 2 and through == "direct"
        ):
            write[key] = (every, value)
    for node, mask in senders.items():
        _, base = write.get(node, (None, None))
        if base is None:
            write[node] = (mask, source[node])
        else:
            write[node] = (every, torch.where(mask[..., None], source[node], base))
    _, read = by_hooks.forward(hf, x, write)
    held = {key: (mask, read[key]) for key, mask in receivers.items()}
    return by_hooks.forward(hf, x, held)[0]


@pytest.mark.parametrize("through", ["direct", "mlps"])
@pytest.mark.parametrize("name", tiny.MODELS)
def test_hooks_agree_on_path_patching(name: str, through: str, x: Tensor, x_prime: Tensor) -> None:
    """Senders of every layer, MLPs among them, to receivers of which one is above another."""
    hf = tiny.build(name, dtype=torch.float64)
    model = from_hf(hf)
    masks = [tiny.mask(BATCH, LENGTH, seed=s) for s in range(10)]
    senders = {head(0, 1): masks[0], head(1, 2): masks[1], mlp(0): masks[2], mlp(1): masks[3]}
    group = [
        h for h in range(4) if torch.equal(model.layers[1].W["k"][h], model.layers[1].W["k"][0])
    ]
    receivers = [(head(1, h), "k", masks[4]) for h in group]  # a group's k is one in the module
    receivers += [(head(1, 1), "q", masks[5]), (head(2, 3), "q", masks[6])]
    receivers += [(mlp(1), "in", masks[7]), (LOGITS, "in", masks[8] & masks[9])]
    keys = {(*node, c) if node != LOGITS else node: mask for node, c, mask in receivers}
    with by_hooks.without_casts():
        expected = hooked_path_patch(hf, x, x_prime, senders, keys, through)
    logits = path_patch(model, x, x_prime, senders, receivers, through)
    same(logits, expected)
    differ(logits, run(model, x).logits)


# ------------------------------------------------------------------ path patching: identities


@pytest.mark.parametrize("through", ["direct", "mlps"])
def test_nothing_to_patch_is_the_model(
    model: SlowModel, through: str, x: Tensor, x_prime: Tensor
) -> None:
    clean = run(model, x).logits
    every = {node: everywhere(x) for node in senders(model)}
    into_all = [(node, c, everywhere(x)) for node, c in receivers(model)]
    same(path_patch(model, x, x, every, into_all, through), clean)
    same(path_patch(model, x, x_prime, every, [], through), clean)
    same(path_patch(model, x, x_prime, {}, into_all, through), clean)


@pytest.mark.parametrize("through", ["direct", "mlps"])
def test_every_path_to_the_logits_is_the_other_run(
    model: SlowModel, through: str, x: Tensor, x_prime: Tensor
) -> None:
    every = {node: everywhere(x) for node in senders(model)}
    to_logits = [(LOGITS, "in", everywhere(x))]
    expected = run(model, x_prime).logits
    same(path_patch(model, x, x_prime, every, to_logits, through), expected)


def test_direct_to_the_logits_by_hand(plain: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    clean, other = run(plain, x), run(plain, x_prime)
    mask = tiny.mask(BATCH, LENGTH, seed=8)
    change = torch.where(
        mask[..., None], other.senders[head(0, 1)] - clean.senders[head(0, 1)], 0.0
    )
    expected = plain.unembed(clean.final_residual + change)
    to_logits = [(LOGITS, "in", everywhere(x))]
    logits = path_patch(plain, x, x_prime, {head(0, 1): mask}, to_logits, "direct")
    same(logits, expected)
    elsewhere = path_patch(plain, x, x_prime, {head(0, 1): mask}, [(LOGITS, "in", ~mask)], "direct")
    same(elsewhere, clean.logits)


def test_direct_to_one_receiver_is_cutting_one_edge(
    plain: SlowModel, x: Tensor, x_prime: Tensor
) -> None:
    values = run_values(plain, x_prime)
    mask = tiny.mask(BATCH, LENGTH, seed=9)
    top = plain.n_layers - 1
    pairs = [(head(0, 0), head(1, 1), c) for c in "qkv"] + [(INPUT, head(top, 0), "q")]
    if plain.layers[0].mlp is not None:
        pairs += [(mlp(0), head(top, 1), "k"), (head(0, 0), mlp(1), "in")]
    for sender, receiver, channel in pairs:
        patched = path_patch(
            plain, x, x_prime, {sender: everywhere(x)}, [(receiver, channel, mask)], "direct"
        )
        same(patched, cut_edges(plain, x, [(sender, receiver, channel, mask)], values))
        differ(patched, run(plain, x).logits, by=1e-6)


def test_a_sender_that_is_not_upstream_does_nothing(
    plain: SlowModel, x: Tensor, x_prime: Tensor
) -> None:
    every = everywhere(x)
    senders = {head(1, 0): every, head(1, 1): every}
    receivers = [(head(1, 0), c, every) for c in "qkv"] + [(head(0, 1), "q", every)]
    for through in ("direct", "mlps"):
        logits = path_patch(plain, x, x_prime, senders, receivers, through)
        same(logits, run(plain, x).logits)


def test_mlps_carry_the_path_only_when_asked(x: Tensor, x_prime: Tensor) -> None:
    every = everywhere(x)
    for name in ("gpt2", "gpt_neox"):
        model = make(name)
        args = (model, x, x_prime, {head(0, 0): every}, [(head(2, 0), "q", every)])
        differ(path_patch(*args, "direct"), path_patch(*args, "mlps"))
    # in a parallel block the next layer's heads are reached by no MLP: the first that sees
    # head 0.0 is m1, which head 1.0 does not read
    parallel, sequential = make("gpt_neox"), make("gpt_neox_sequential")
    for model in (parallel, sequential):
        args = (model, x, x_prime, {head(0, 0): every}, [(head(1, 0), "q", every)])
        gap = (path_patch(*args, "direct") - path_patch(*args, "mlps")).abs().max()
        assert (gap < 1e-10) == (model is parallel)


def test_a_receiver_above_another_is_held(plain: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    """Both receivers written: the upper one is held at what pass 1 read, where the lower one's
    head was frozen, so the lower one's effect does not reach it."""
    every, top = everywhere(x), plain.n_layers - 1
    lower, upper = (head(1, 1), "v", every), (head(top, 0), "q", every)
    if top == 1:  # two layers: the upper receiver is the logits
        upper = (LOGITS, "in", every)
    source = {head(0, 0): every}
    both = path_patch(plain, x, x_prime, source, [lower, upper], "direct")
    clean = run(plain, x)
    change = run(plain, x_prime).senders[head(0, 0)] - clean.senders[head(0, 0)]
    if top == 1:
        same(both, plain.unembed(clean.final_residual + change))
        return
    block = plain.layers[top]
    q = block.attention_norm(clean.residuals[head(top, 0), "q"] + change) @ block.W["q"][0]
    v = plain.layers[1].attention_norm(clean.residuals[head(1, 1), "v"] + change)
    v = v @ plain.layers[1].W["v"][1] + plain.layers[1].b["v"][1]
    held = Replace(
        channels={
            (head(top, 0), "q"): (every, q + block.b["q"][0]),
            (head(1, 1), "v"): (every, v),
        }
    )
    same(both, run(plain, x, held).logits)
    # were the upper receiver recomputed with the lower one's effect, the result would differ
    values = run_values(plain, x_prime)
    edges = [(head(0, 0), node, c, m) for node, c, m in (lower, upper)]
    differ(both, cut_edges(plain, x, edges, values), by=1e-6)


def test_the_order_of_receivers_and_of_positions_does_not_matter(
    plain: SlowModel, x: Tensor, x_prime: Tensor
) -> None:
    masks = [tiny.mask(BATCH, LENGTH, seed=s) for s in (11, 12)]
    source = {head(0, 0): everywhere(x), INPUT: masks[0]}
    places = [(head(1, 0), "k", masks[0]), (head(1, 0), "k", masks[1]), (LOGITS, "in", masks[1])]
    results = [
        path_patch(plain, x, x_prime, source, list(order), "mlps")
        for order in itertools.permutations(places)
    ]
    merged = [(head(1, 0), "k", masks[0] | masks[1]), places[2]]
    results.append(path_patch(plain, x, x_prime, source, merged, "mlps"))
    for other in results[1:]:
        same(results[0], other)


def test_path_patching_given_a_knockout(plain: SlowModel, x: Tensor, x_prime: Tensor) -> None:
    every, mask = everywhere(x), tiny.mask(BATCH, LENGTH, seed=13)
    zeros = zero_values(plain, x)
    given = {head(0, 1): (mask, zeros[head(0, 1)])}
    without = cut_nodes(plain, x, {head(0, 1): mask}, zeros)
    into = [(head(1, 0), "q", every), (LOGITS, "in", mask)]
    for through in ("direct", "mlps"):
        alone = path_patch(plain, x, x, {head(0, 0): every}, into, through, given)
        same(alone, without)
        patched = path_patch(plain, x, x_prime, {head(0, 0): every}, into, through, given)
        differ(patched, without)
        differ(patched, path_patch(plain, x, x_prime, {head(0, 0): every}, into, through))


def test_a_given_knockout_is_in_force_wherever_values_come_from(
    plain: SlowModel, x: Tensor, x_prime: Tensor
) -> None:
    """A sender above the knockout: its clean and x' values are those of the knocked-out model."""
    every = everywhere(x)
    knocked, sender = head(0, 1), head(1, 0)
    given = {knocked: (every, zero_values(plain, x)[knocked])}
    clean, other = run(plain, x, Replace(given)), run(plain, x_prime, Replace(given))
    residual = clean.final_residual + other.senders[sender] - clean.senders[sender]
    to_logits = [(LOGITS, "in", every)]
    logits = path_patch(plain, x, x_prime, {sender: every}, to_logits, "direct", given)
    same(logits, plain.unembed(residual))
    last = head(plain.n_layers - 1, 0)
    if plain.layers[-1].mlp is None or not plain.sequential:
        residual = clean.final_residual + other.senders[last] - clean.senders[last]
        patched = activation_patch(plain, x, x_prime, {last: every}, given)
        same(patched, plain.unembed(residual))


# ------------------------------------------------------------------ causal tracing


def test_noise_and_restoring(model: SlowModel, x: Tensor) -> None:
    clean = run(model, x)
    noise = torch.randn(
        *x.shape, model.d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    noise[:, :2] = 0
    rest = {node: everywhere(x) for node in senders(model) if node != INPUT}
    same(noised(model, x, 0 * noise), clean.logits)
    same(noised(model, x, noise, {INPUT: everywhere(x)}), clean.logits)
    same(noised(model, x, noise, rest), model.unembed(clean.final_residual + noise))
    differ(noised(model, x, noise), clean.logits)
    if model.causal:
        same(noised(model, x, noise)[:, :2], clean.logits[:, :2])


def test_embedding_sd_by_hand() -> None:
    model = make("toy_plain")
    entries = torch.cat([model.W_E[3], model.W_E[5]])
    expected = ((entries - entries.mean()).pow(2).sum() / (len(entries) - 1)).sqrt()
    assert embedding_sd(model, torch.tensor([3, 5])) == pytest.approx(float(expected), abs=1e-12)
