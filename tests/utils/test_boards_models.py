"""The board models against plain torch and against the bridge, their files, and the conversion of published models."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from utils.boards import chess, load, othello
from utils.boards.load import bridge_config, load_board_model
from utils.boards.model import BoardConfig, BoardGPT, read_model, read_weights, save_weights
from utils.boards.published import PUBLISHED, convert_nanogpt, convert_othello_gpt

SMALL = BoardConfig(d_model=24, n_layers=2, n_heads=3, n_ctx=10, d_vocab=11)


def random_weights(model: BoardGPT, seed: int) -> BoardGPT:
    """Every bias and LayerNorm weight counts: at initialisation they are 0 and 1 and would hide a mix-up."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return model


def draw(seed: int):
    """A function that draws weights of a shape."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.empty(shape).normal_(0, 0.3, generator=generator)


def some_tokens(d_vocab: int, n_pos: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(d_vocab, (4, n_pos), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def small():
    return random_weights(BoardGPT(SMALL), seed=1)


# Plain forwards, written from the formats' definitions: one head at a time, no module of torch.


def norm(x, weight=1.0, bias=0.0):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def attend(q, k, v):
    """One head: batch pos d_head each."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    later = torch.ones(q.shape[1], q.shape[1]).triu(1).bool()
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ v


def hooked_transformer_forward(w, tokens):
    """A HookedTransformer with folded LayerNorms ("LNPre"): weights act from the right, heads stand first."""
    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][: tokens.shape[1]]
    streams = []
    for layer in range(sum(name.endswith("W_Q") for name in w)):
        b = {name.removeprefix(f"blocks.{layer}."): value for name, value in w.items()}
        normed = norm(x)
        for head in range(len(b["attn.W_Q"])):
            q, k, v = (normed @ b[f"attn.W_{n}"][head] + b[f"attn.b_{n}"][head] for n in "QKV")
            x = x + attend(q, k, v) @ b["attn.W_O"][head]
        x = x + b["attn.b_O"]
        x = x + gelu(norm(x) @ b["mlp.W_in"] + b["mlp.b_in"]) @ b["mlp.W_out"] + b["mlp.b_out"]
        streams.append(x)
    return norm(x) @ w["unembed.W_U"] + w["unembed.b_U"], streams


def nanogpt_forward(w, n_layers, n_heads, tokens):
    """nanoGPT's model.py: weights act from the left, q, k and v lie in one matrix, heads are slices of each."""

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    def layer_norm(x, name):
        return norm(x, w[f"{name}.weight"], w.get(f"{name}.bias", 0.0))

    x = w["transformer.wte.weight"][tokens] + w["transformer.wpe.weight"][: tokens.shape[1]]
    streams = []
    for h in (f"transformer.h.{layer}" for layer in range(n_layers)):
        q, k, v = linear(layer_norm(x, f"{h}.ln_1"), f"{h}.attn.c_attn").split(x.shape[-1], dim=-1)
        d_head = x.shape[-1] // n_heads
        heads = [slice(i * d_head, (i + 1) * d_head) for i in range(n_heads)]
        mixed = torch.cat([attend(q[..., s], k[..., s], v[..., s]) for s in heads], dim=-1)
        x = x + linear(mixed, f"{h}.attn.c_proj")
        x = x + linear(gelu(linear(layer_norm(x, f"{h}.ln_2"), f"{h}.mlp.c_fc")), f"{h}.mlp.c_proj")
        streams.append(x)
    return layer_norm(x, "transformer.ln_f") @ w["lm_head.weight"].T, streams


def othello_checkpoint(d_model=24, n_heads=3, n_layers=2, n_ctx=59, d_vocab=61):
    """What HookedTransformer.state_dict() holds after folding: no LayerNorm weights, but each block's two buffers."""
    new, d_head = draw(2), d_model // n_heads
    state = {"embed.W_E": new(d_vocab, d_model), "pos_embed.W_pos": new(n_ctx, d_model)}
    for block in (f"blocks.{layer}" for layer in range(n_layers)):
        for n in "QKV":
            state[f"{block}.attn.W_{n}"] = new(n_heads, d_model, d_head)
            state[f"{block}.attn.b_{n}"] = new(n_heads, d_head)
        state[f"{block}.attn.W_O"], state[f"{block}.attn.b_O"] = new(n_heads, d_head, d_model), new(d_model)
        state[f"{block}.attn.mask"] = torch.ones(n_ctx, n_ctx).tril().bool()
        state[f"{block}.attn.IGNORE"] = torch.tensor(-1e5)
        state[f"{block}.mlp.W_in"], state[f"{block}.mlp.b_in"] = new(d_model, 4 * d_model), new(4 * d_model)
        state[f"{block}.mlp.W_out"], state[f"{block}.mlp.b_out"] = new(4 * d_model, d_model), new(d_model)
    return {**state, "unembed.W_U": new(d_model, d_vocab), "unembed.b_U": new(d_vocab)}


def nanogpt_checkpoint(biases=False, compiled=False, d_model=24, n_heads=3, n_layers=2, n_ctx=40, d_vocab=32):
    """What nanoGPT's train.py saves, without the optimiser; its embedding and unembedding are one tensor."""
    new = draw(3)
    state = {"transformer.wte.weight": new(d_vocab, d_model), "transformer.wpe.weight": new(n_ctx, d_model)}

    def add(name, *shape):
        state[f"{name}.weight"] = new(*shape)
        if biases:
            state[f"{name}.bias"] = new(shape[0])

    for h in (f"transformer.h.{layer}" for layer in range(n_layers)):
        add(f"{h}.ln_1", d_model)
        # The causal mask, a buffer where torch has no fused attention.
        state[f"{h}.attn.bias"] = torch.ones(1, 1, n_ctx, n_ctx).tril()
        add(f"{h}.attn.c_attn", 3 * d_model, d_model)
        add(f"{h}.attn.c_proj", d_model, d_model)
        add(f"{h}.ln_2", d_model)
        add(f"{h}.mlp.c_fc", 4 * d_model, d_model)
        add(f"{h}.mlp.c_proj", d_model, 4 * d_model)
    add("transformer.ln_f", d_model)
    state["lm_head.weight"] = state["transformer.wte.weight"]
    arguments = {
        "n_layer": n_layers,
        "n_head": n_heads,
        "n_embd": d_model,
        "block_size": n_ctx,
        "bias": biases,
        "vocab_size": d_vocab,
        "dropout": 0.0,
    }
    prefix = "_orig_mod." if compiled else ""
    return {
        "model": {prefix + name: value for name, value in state.items()},
        "model_args": arguments,
        "iter_num": 600_000,
        "best_val_loss": torch.tensor(0.7),
        "config": {"dataset": "lichess_hf_dataset"},
    }


def residual_streams(bridge, tokens):
    logits, cache = bridge.run_with_cache(tokens)
    return logits, [cache[f"blocks.{layer}.hook_out"] for layer in range(bridge.cfg.n_layers)]


def assert_close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


class TestBoardGPT:
    def test_agrees_with_plain_torch(self, small):
        """Its weights under nanoGPT's names, through the forward written out above."""
        state = {
            "transformer.wte.weight": small.embed.weight,
            "transformer.wpe.weight": small.pos_embed.weight,
            "transformer.ln_f.weight": small.ln_final.weight,
            "transformer.ln_f.bias": small.ln_final.bias,
            "lm_head.weight": small.unembed.weight,
        }
        for layer, block in enumerate(small.blocks):
            h, attn = f"transformer.h.{layer}", block.attn
            for kind in ("weight", "bias"):
                state[f"{h}.attn.c_attn.{kind}"] = torch.cat(
                    [getattr(attn.get_submodule(n), kind) for n in "qkv"]
                )
                state[f"{h}.attn.c_proj.{kind}"] = getattr(attn.o, kind)
                state[f"{h}.ln_1.{kind}"], state[f"{h}.ln_2.{kind}"] = (
                    getattr(block.ln1, kind),
                    getattr(block.ln2, kind),
                )
                state[f"{h}.mlp.c_fc.{kind}"] = getattr(block.mlp.up, kind)
                state[f"{h}.mlp.c_proj.{kind}"] = getattr(block.mlp.out, kind)
        tokens = some_tokens(SMALL.d_vocab, SMALL.n_ctx)
        logits, streams = nanogpt_forward(state, SMALL.n_layers, SMALL.n_heads, tokens)
        assert_close(small(tokens), logits + small.unembed.bias)
        assert_close(small.streams(tokens)[1:], streams)
        assert_close(small.streams(tokens)[0], small.embed(tokens) + small.pos_embed.weight)

    def test_later_tokens_do_not_change_earlier_logits(self, small):
        tokens = some_tokens(SMALL.d_vocab, SMALL.n_ctx)
        before = small(tokens)
        for pos in range(1, SMALL.n_ctx):
            changed = tokens.clone()
            changed[:, pos] = (changed[:, pos] + 1) % SMALL.d_vocab
            after = small(changed)
            torch.testing.assert_close(after[:, :pos], before[:, :pos], rtol=0, atol=1e-6)
            assert ((after[:, pos:] - before[:, pos:]).abs().amax((0, 2)) > 1e-4).all()

    def test_shorter_games_fit(self, small):
        tokens = some_tokens(SMALL.d_vocab, SMALL.n_ctx)
        torch.testing.assert_close(small(tokens[:, :3]), small(tokens)[:, :3], rtol=0, atol=1e-6)

    def test_initial_weights_repeat_with_the_seed_only(self):
        first, again, other = (BoardGPT(SMALL, seed=s).state_dict() for s in (3, 3, 4))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not torch.equal(first["embed.weight"], other["embed.weight"])

    def test_initial_weights_are_gpt2s(self):
        """Spread 0.02, what is added to the stream 1/sqrt(2 layers) of that, biases 0, LayerNorms 1."""
        model = BoardGPT(BoardConfig(d_model=64, n_layers=8, n_heads=2, n_ctx=59, d_vocab=61))
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                assert not parameter.any()
            elif "ln" in name:
                assert (parameter == 1).all()
            else:
                adds = name.endswith(("attn.o.weight", "mlp.out.weight"))
                assert parameter.std().item() == pytest.approx(0.02 / 4 if adds else 0.02, rel=0.1), name

    def test_callers_random_draws_are_untouched(self):
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        BoardGPT(SMALL)
        assert torch.equal(torch.rand(3), expected)

    def test_heads_must_divide_the_width(self):
        with pytest.raises(ValueError, match="d_model 24 is no multiple of n_heads 5"):
            replace(SMALL, n_heads=5)


class TestFiles:
    def test_round_trip_in_float16(self, small, tmp_path):
        path = tmp_path / "weights" / "small.safetensors"
        save_weights(small, path)
        config, state = read_weights(path)
        assert config == SMALL
        expected = small.bridge_state()
        assert state.keys() == expected.keys()
        for name, value in state.items():
            assert value.dtype == torch.float32
            assert torch.equal(value, expected[name].half().float())
        n_parameters = sum(p.numel() for p in small.parameters())
        assert 2 * n_parameters < path.stat().st_size < 2 * n_parameters + 8000

    def test_read_model_is_the_model_that_was_saved(self, small, tmp_path):
        path = tmp_path / "small.safetensors"
        save_weights(small, path)
        stored = read_model(path)
        assert stored.config == SMALL
        assert not stored.training
        rounded = BoardGPT(SMALL)
        rounded.load_state_dict({name: value.half().float() for name, value in small.state_dict().items()})
        tokens = some_tokens(SMALL.d_vocab, SMALL.n_ctx)
        assert_close(stored(tokens), rounded(tokens))
        assert not torch.equal(stored(tokens), small(tokens))

    @pytest.mark.parametrize("value", [1e5, float("nan")])
    def test_what_does_not_fit_float16_is_refused(self, tmp_path, value):
        model = BoardGPT(SMALL)
        with torch.no_grad():
            model.get_parameter("blocks.1.mlp.up.weight")[0, 0] = value
        with pytest.raises(ValueError, match=r"blocks.1.mlp.in.weight does not fit float16"):
            save_weights(model, tmp_path / "small.safetensors")
        assert list(tmp_path.iterdir()) == []

    def test_another_shape_does_not_load(self, small):
        with pytest.raises(RuntimeError, match="blocks.2"):
            BoardGPT(replace(SMALL, n_layers=3)).load_bridge_state(small.bridge_state())


@pytest.mark.slow
class TestBridge:
    def test_same_logits_and_residual_streams(self, small):
        """Loaded strictly: every weight finds its place, none is left over."""
        bridge = load._boot(bridge_config(SMALL), small.bridge_state())
        tokens = some_tokens(SMALL.d_vocab, SMALL.n_ctx)
        logits, cache = bridge.run_with_cache(tokens)
        assert_close(logits, small(tokens))
        first, *after_blocks = small.streams(tokens)
        assert_close(cache["blocks.0.hook_in"], first)
        for layer, stream in enumerate(after_blocks):
            assert_close(cache[f"blocks.{layer}.hook_out"], stream)

    def test_missing_weight_is_refused(self, small):
        state = small.bridge_state()
        del state["blocks.1.ln2.bias"]
        with pytest.raises(RuntimeError, match=r"layers\.1\..*ln2"):
            load._boot(bridge_config(SMALL), state)

    def test_convert_othello_gpt(self):
        checkpoint = othello_checkpoint()
        config, state = convert_othello_gpt(checkpoint)
        assert (config.d_model, config.d_head, config.n_heads, config.d_mlp) == (24, 8, 3, 96)
        assert (config.n_layers, config.n_ctx, config.d_vocab) == (2, 59, 61)
        tokens = some_tokens(61, 59)
        got = residual_streams(load._boot(config, state), tokens)
        assert_close(got, hooked_transformer_forward(checkpoint, tokens))

    @pytest.mark.parametrize("compiled", [False, True])
    @pytest.mark.parametrize("biases", [False, True])
    def test_convert_nanogpt(self, biases, compiled):
        config, state = convert_nanogpt(nanogpt_checkpoint(biases, compiled))
        assert (config.d_model, config.d_head, config.n_heads, config.d_mlp) == (24, 8, 3, 96)
        assert (config.n_layers, config.n_ctx, config.d_vocab) == (2, 40, 32)
        tokens = some_tokens(32, 40)
        got = residual_streams(load._boot(config, state), tokens)
        assert_close(got, nanogpt_forward(nanogpt_checkpoint(biases)["model"], 2, 3, tokens))

    def test_more_than_ten_layers_stay_in_order(self):
        """Layer 10 comes after layer 9, not after layer 1."""
        checkpoint = nanogpt_checkpoint(n_layers=12)
        config, state = convert_nanogpt(checkpoint)
        tokens = some_tokens(32, 5)
        got = residual_streams(load._boot(config, state), tokens)
        assert_close(got, nanogpt_forward(checkpoint["model"], 12, 3, tokens))

    @pytest.mark.parametrize(
        ("convert", "checkpoint", "message"),
        [
            (convert_othello_gpt, {"model": {}, "model_args": {}}, "HookedTransformer.*'model'"),
            (convert_othello_gpt, {**othello_checkpoint(), "blocks.0.ln1.w": torch.ones(24)}, "fold them in"),
            (convert_nanogpt, othello_checkpoint(), "nanoGPT checkpoint.*'blocks.0.attn.IGNORE'"),
            (convert_nanogpt, {"model": {"wte": torch.ones(2)}, "model_args": {}}, "nanoGPT weights.*'wte'"),
        ],
    )
    def test_a_checkpoint_of_another_kind(self, convert, checkpoint, message):
        with pytest.raises(ValueError, match=message):
            convert(checkpoint)


class TestLoadBoardModel:
    def test_unknown_name(self):
        with pytest.raises(ValueError, match=r"'go'.*'othello', 'chess', 'othello-gpt-published'") as caught:
            load_board_model("go")
        assert all(name in str(caught.value) for name in PUBLISHED)

    @pytest.mark.parametrize("game", ["othello", "chess"])
    def test_missing_weights(self, tmp_path, monkeypatch, game):
        monkeypatch.setattr(load, "WEIGHTS", tmp_path)
        with pytest.raises(FileNotFoundError, match=f"utils.boards.export {game}"):
            load_board_model(game)

    @pytest.mark.slow
    @pytest.mark.parametrize("game", ["othello", "chess"])
    def test_trained_here(self, tmp_path, monkeypatch, game):
        n_ctx, d_vocab = {"othello": (59, 61), "chess": (8, 97)}[game]
        config = BoardConfig(d_model=24, n_layers=2, n_heads=3, n_ctx=n_ctx, d_vocab=d_vocab)
        save_weights(random_weights(BoardGPT(config), seed=4), tmp_path / f"{game}.safetensors")
        card = "# The card\n\n## Legal moves\n\n## Linear board probe\n"
        (tmp_path / f"{game}.md").write_text(card)
        monkeypatch.setattr(load, "WEIGHTS", tmp_path)
        loaded = load_board_model(game)
        assert (loaded.name, loaded.card) == (game, card)
        assert loaded.summary == "### The card\n\n#### Legal moves\n"
        assert not loaded.model.training
        if game == "othello":
            tokens = loaded.encode(othello.random_games(3, seed=0))
            expected_positions = np.ones((3, 59), dtype=bool)
        else:
            opening = [12, 28, 52, 36, 6, 21, 57, 42]  # e2e4 e7e5 g1f3 b8c6
            tokens = loaded.encode(np.array([opening, [*opening[:4], -1, -1, -1, -1]]))
            expected_positions = np.array([[True, False] * 4] * 2)
        assert (loaded.probe_positions(tokens) == expected_positions).all()
        with torch.no_grad():
            expected = read_model(tmp_path / f"{game}.safetensors")(torch.from_numpy(tokens))
            assert_close(loaded.model(torch.from_numpy(tokens)), expected)

    @pytest.mark.slow
    def test_untrained_is_where_training_begins(self, tmp_path, monkeypatch):
        save_weights(random_weights(BoardGPT(SMALL), seed=4), tmp_path / "othello.safetensors")
        (tmp_path / "othello.md").write_text("")
        monkeypatch.setattr(load, "WEIGHTS", tmp_path)
        tokens = some_tokens(SMALL.d_vocab, SMALL.n_ctx)
        for seed in (0, 7):
            with torch.no_grad():
                logits = load_board_model("othello", untrained_seed=seed).model(tokens)
                assert_close(logits, BoardGPT(SMALL, seed=seed)(tokens))

    @pytest.mark.slow
    def test_not_fetched(self, tmp_path, monkeypatch):
        """Without a network and with an empty cache."""
        import huggingface_hub

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(OSError):
            load_board_model("othello-gpt-published")


@pytest.mark.slow
class TestPublished:
    """From the name to logits, with a small file of the published format in the place of the hub's."""

    @pytest.fixture
    def hub(self, tmp_path, monkeypatch):
        """What was asked for; the file's suffix stands for its format."""
        asked = []

        def hf_hub_download(repo, file):
            asked.append((repo, file))
            path = tmp_path / file
            torch.save(othello_checkpoint() if "Othello" in repo else nanogpt_checkpoint(compiled=True), path)
            return str(path)

        monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
        return asked

    def test_othello_gpt(self, hub):
        loaded = load_board_model("othello-gpt-published")
        assert hub == [("NeelNanda/Othello-GPT-Transformer-Lens", "synthetic_model.pth")]
        assert "arXiv:2210.13382" in loaded.card
        assert not loaded.model.training
        tokens = loaded.encode(othello.random_games(3, seed=0)[:, :59])
        assert loaded.probe_positions(tokens).all()
        with torch.no_grad():
            logits = loaded.model(torch.from_numpy(tokens))
        assert_close(logits, hooked_transformer_forward(othello_checkpoint(), torch.from_numpy(tokens))[0])

    def test_chess_gpt(self, hub):
        loaded = load_board_model("chess-gpt-8layers-lichess")
        assert hub == [("adamkarvonen/chess_llms", "lichess_8layers_ckpt_no_optimizer.pt")]
        assert "arXiv:2403.15498" in loaded.card
        text = ";1.e4 e5 2.Nf3 Nc6 3.Bb5"
        tokens = loaded.encode(text)
        assert "".join(chess.PGN_CHARACTERS[i] for i in tokens) == text
        assert np.flatnonzero(loaded.probe_positions(tokens)).tolist() == [2, 10, 20]
        batch = torch.from_numpy(tokens)[None]
        with torch.no_grad():
            logits = loaded.model(batch)
        assert_close(logits, nanogpt_forward(nanogpt_checkpoint()["model"], 2, 3, batch)[0])

    def test_every_published_name_loads(self, hub):
        for name, published in PUBLISHED.items():
            assert load_board_model(name).name == name
            assert hub[-1] == (published.repo, published.file)
        assert len(set(hub)) == len(PUBLISHED) == 5

    def test_untrained_twin(self, hub):
        """Fresh weights of the same shape, drawn from the seed and not from the caller's random state."""
        tokens = some_tokens(61, 20)

        def logits(**kwargs):
            with torch.no_grad():
                return load_board_model("othello-gpt-published", **kwargs).model(tokens)

        trained, first, again, other = (
            logits(**kwargs) for kwargs in ({}, *({"untrained_seed": seed} for seed in (0, 0, 1)))
        )
        assert torch.equal(first, again)
        assert not torch.allclose(first, other, atol=1e-3)
        assert not torch.allclose(first, trained, atol=1e-3)
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        logits(untrained_seed=1)
        logits()
        assert torch.equal(torch.rand(3), expected)
