"""Text encoders from a folder: words and tokens, what is refused, and a checkpoint trained on one of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import run
from live_parts import Words
from media_makers import write_wav
from random_checkpoint import random_checkpoint
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from miar_rt.checkpoint import load_checkpoint, save_checkpoint
from miar_rt.features.text import EXTRACTOR, MAX_TOKENS, TextEncoderUnavailable, adapted_name
from miar_rt.features.text_onnx import OnnxTextEncoder, open_encoder
from miar_rt.input_spec import TOKEN_WIDTH
from miar_rt.signals import Word, WordsUpdate
from miar_rt.training.evaluate import evaluate
from miar_rt.training.fit import train
from stream import Result, Session

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZäöüßé日本.,!?'-"
SAID = ["ich", "freue", "mich", "", "über", "日本", " ", "😀"]


def _wrapped(tokenizer: Tokenizer, begin: str, end: str) -> Tokenizer:
    special = [(token, tokenizer.token_to_id(token)) for token in (begin, end)]
    tokenizer.post_processor = processors.TemplateProcessing(f"{begin} $A {end}", special_tokens=special)
    return tokenizer


def pieces() -> Tokenizer:
    """As XLM-R's: pieces of words that start with a visible space."""
    scored = {
        "<s>": 0.0,
        "<pad>": 0.0,
        "</s>": 0.0,
        "<unk>": -9.0,
        "▁": -3.0,
        "▁ich": -1.0,
        "▁mich": -1.0,
        "fr": -1.0,
    }
    scored |= {"▁über": -1.0, "eue": -1.0} | dict.fromkeys(LETTERS, -2.0)
    tokenizer = Tokenizer(models.Unigram(list(scored.items()), unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _wrapped(tokenizer, "<s>", "</s>")


def octets() -> Tokenizer:
    """As RoBERTa's: bytes, and a word starts with a space unless it is the first."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("i", "c"), ("ic", "h"), ("m", "ich"), ("Ġ", "mich")]
    known = ["<s>", "</s>", *alphabet, *(a + b for a, b in merges)]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(known)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return _wrapped(tokenizer, "<s>", "</s>")


def whole_words() -> Tokenizer:
    """As BERT's, with nothing but whole words."""
    known = ["[UNK]", "[CLS]", "[SEP]", "ich", "freue", "mich", "über"]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(known)}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _wrapped(tokenizer, "[CLS]", "[SEP]")


def table(size: int, width: int = TOKEN_WIDTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, width)).astype(np.float32)


def embedded(ids: list[int], rows: np.ndarray) -> np.ndarray:
    """What the graph of ``make_encoder`` computes: each token's row, and a tenth of the mean of all rows."""
    return rows[ids] + 0.1 * rows[ids].mean(axis=0)


def graph(rows: np.ndarray, typed: bool, strange: bool = False) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    names = ["input_ids", "attention_mask", *["token_type_ids"] * typed, *["pixel_values"] * strange]
    # exporters call it one or the other, and may give an embedding of the whole before it
    outputs = ["context", "token_embeddings"] if typed else ["last_hidden_state"]
    nodes = [
        helper.make_node("Gather", ["rows", "input_ids"], ["token"]),
        helper.make_node("Cast", ["attention_mask"], ["there"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["there", "last"], ["mask"]),
        helper.make_node("Mul", ["token", "mask"], ["masked"]),
        helper.make_node("ReduceMean", ["masked", "tokens"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "tenth"], ["context"]),
        helper.make_node("Add", ["token", "context"], ["read"]),
        helper.make_node("Gather", ["types", "token_type_ids"], ["type"]) if typed else None,
        helper.make_node("Add", ["read", "type"] if typed else ["read", "nothing"], outputs[-1:]),
    ]
    constants = {
        "rows": rows, "types": np.zeros((2, 1), np.float32), "last": np.array([-1]), "tokens": np.array([1]),
        "tenth": np.float32(0.1), "nothing": np.float32(0.0),
    }  # fmt: skip
    made = helper.make_graph(
        [node for node in nodes if node],
        "encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "n"]) for name in names],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def make_encoder(folder: Path, tokenizer: Tokenizer, content: bytes, name: str = "model.onnx") -> Path:
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(content)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as sentence-transformers lays it out, with the graph in ``onnx``."""
    tokenizer = pieces()
    content = graph(table(tokenizer.get_vocab_size()), typed=False)
    return make_encoder(tmp_path_factory.mktemp("encoders") / "small", tokenizer, content, "onnx/model.onnx")


@pytest.mark.parametrize(
    ("kind", "typed", "word_index"),
    [
        (pieces, False, [0, 1, 1, 1, 2, 4, 5, 5, 5, 7, 7]),
        (octets, True, [0, *[1] * 6, 2, *[4] * 6, *[5] * 7, *[7] * 5]),
        (whole_words, True, [0, 1, 2, 4, 5, 7]),
    ],
)
def test_every_token_knows_its_word_and_special_ones_are_dropped(
    tmp_path: Path, kind: Callable[[], Tokenizer], typed: bool, word_index: list[int]
) -> None:
    tokenizer = kind()
    rows = table(tokenizer.get_vocab_size())
    encoded = OnnxTextEncoder(make_encoder(tmp_path / "e", tokenizer, graph(rows, typed))).encode(SAID)
    assert encoded.word_index.tolist() == word_index
    assert (encoded.tokens.dtype, encoded.word_index.dtype) == (np.float32, np.int64)
    expected = embedded(tokenizer.encode(" ".join(filter(str.strip, SAID))).ids, rows)[1:-1]
    np.testing.assert_allclose(encoded.tokens, expected, atol=1e-5)


def test_the_last_tokens_of_a_long_text_count(multilingual: Path) -> None:
    encoder = OnnxTextEncoder(multilingual)
    words = ["mich", "freue"] * 40
    encoded = encoder.encode(words)
    assert encoded.word_index.tolist() == [i for i in range(50, 80) for _ in range(1 + 2 * (i % 2))][-MAX_TOKENS:]
    np.testing.assert_array_equal(encoded.tokens, encoder.encode(words[50:]).tokens)


@pytest.mark.parametrize("words", [[], [""], [" ", "\t"]])
def test_nothing_said_gives_no_rows(multilingual: Path, words: list[str]) -> None:
    encoded = OnnxTextEncoder(multilingual).encode(words)
    assert (encoded.tokens.shape, encoded.word_index.shape) == ((0, TOKEN_WIDTH), (0,))


def test_equal_words_are_encoded_once_and_cannot_be_spoilt(multilingual: Path) -> None:
    encoder = OnnxTextEncoder(multilingual)
    first = encoder.encode(["ich"])
    assert encoder.encode(("ich",)) is first
    with pytest.raises(ValueError, match="read-only"):
        first.tokens[0, 0] = 1.0


def test_the_name_tells_the_files_whatever_the_folder_is_called(multilingual: Path, tmp_path: Path) -> None:
    name = OnnxTextEncoder(multilingual).name
    renamed = Path(shutil.copytree(multilingual, tmp_path / "renamed"))
    assert name.split()[0] == "small"
    assert OnnxTextEncoder(renamed).name == f"renamed {name.split()[1]}"
    assert open_encoder(renamed, {"text": name}).encode(["ich"]).word_index.tolist() == [0]
    (renamed / "onnx/model.onnx_data").write_bytes(b"weights beside the graph")
    assert OnnxTextEncoder(renamed).name.split()[1] != name.split()[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (graph(table(99, 768), typed=False), r"answers 2 tokens with shape \(2, 768\), not \(2, 384\): use an"),
        (graph(table(3), typed=False), "does not read tokenizer.json's tokens: "),
        (graph(table(99), typed=False, strange=True), "asks for pixel_values: give one that takes token ids"),
        (b"no graph", "cannot read the text encoder's graph .*model.onnx: "),
    ],
)
def test_a_graph_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    folder = make_encoder(tmp_path / "e", pieces(), content)
    with pytest.raises(TextEncoderUnavailable, match=message) as caught:
        OnnxTextEncoder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["tokenizer.json", "onnx/model.onnx"])
def test_a_missing_file_is_named(multilingual: Path, tmp_path: Path, missing: str) -> None:
    folder = Path(shutil.copytree(multilingual, tmp_path / "e"))
    (folder / missing).unlink()
    with pytest.raises(
        TextEncoderUnavailable, match=r"a folder with tokenizer.json and model.onnx or onnx/model.onnx"
    ):
        OnnxTextEncoder(folder)


# ---- with a checkpoint


@pytest.mark.parametrize(
    ("wanted", "given", "message"),
    [
        (
            "small 0123456789ab",
            "nothing",
            f"small 0123456789ab, not on {EXTRACTOR}: give that one's folder by --text",
        ),
        ("small 0123456789ab", "encoder", "the text encoder small 0123456789ab, not on small "),
        (
            EXTRACTOR,
            "encoder",
            f"was trained on the text encoder {EXTRACTOR}, not on small .*: leave --text-encoder out",
        ),
        (EXTRACTOR, "folder", "is no text encoder: that is a folder with tokenizer.json"),
    ],
)
def test_a_foreign_combination_ends_in_one_line(
    multilingual: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    given: str,
    message: str,
) -> None:
    monkeypatch.setattr("stream.app.choose_recogniser", lambda *_: (Words(), "words by nobody"))
    save_checkpoint(tmp_path / "checkpoint", replace(random_checkpoint(), extractors={"text": wanted}))
    sound = write_wav(tmp_path / "sound.wav", np.zeros((1600, 1), np.int16), 16_000)
    named = {"nothing": [], "encoder": ["--text-encoder", multilingual], "folder": ["--text-encoder", tmp_path]}
    options = ["--checkpoint", tmp_path / "checkpoint", *named[given]]
    calls = ["miar", "analyze", sound, "--out", tmp_path / "report"], ["miar-live", "--input", sound, "--no-server"]
    for program, *call in calls:
        said = run(capfd, program, *call, *options)
        (line,) = said.err.splitlines()
        assert said.code == 2
        assert re.search(message, line)


@pytest.fixture(scope="module")
def german(tiny_checkpoint: Path, multilingual: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network, trained on words as the encoder here reads them."""
    data, out = tiny_checkpoint.parent / "data", tmp_path_factory.mktemp("german") / "checkpoint"
    train(data, out, config=data / "tiny.toml", text_encoder=multilingual, languages="en, de")
    return out


def test_a_checkpoint_says_what_reads_its_words(german: Path, tiny_checkpoint: Path, multilingual: Path) -> None:
    checkpoint, english = load_checkpoint(german), load_checkpoint(tiny_checkpoint)
    assert checkpoint.extractors["text"] == OnnxTextEncoder(multilingual).name
    assert checkpoint.extractors["languages"] == "de,en"
    assert checkpoint.languages == {"de", "en"}
    assert english.extractors["text"] == adapted_name(english.text_adapter)
    assert checkpoint.text_adapter == {}
    assert "languages" not in english.extractors
    assert np.abs(checkpoint.statistics["text"].location - english.statistics["text"].location).max() > 0.01


def test_evaluation_takes_the_encoder_of_training(
    german: Path, tiny_checkpoint: Path, multilingual: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tiny_checkpoint.parent / "data"
    call = ["evaluate", "mosei", data / "mosei/valid.csv", "--checkpoint", german, "--text-encoder", multilingual]
    found = json.loads(run(capfd, "miar", *call, "--json").out)
    assert found["mae"] == pytest.approx(load_checkpoint(german).scores["mosei"]["mae"], abs=1e-4)
    with pytest.raises(ValueError, match="give that one's folder by --text-encoder FOLDER"):
        evaluate("mosei", data / "mosei/valid.csv", checkpoint=german)
    with pytest.raises(ValueError, match="leave --text-encoder out"):
        evaluate("ravdess", data / "ravdess", checkpoint=tiny_checkpoint, text_encoder=multilingual)
    assert evaluate("fer2013", data / "fer2013_valid.npz", checkpoint=german)["n"] == 8


def test_words_of_its_languages_are_scored(german: Path, multilingual: Path) -> None:
    session = Session.open(checkpoint=german, text_encoder=multilingual)
    reasons = []
    for t, language in ((1.0, "de"), (20.0, "fr"), (40.0, "en")):
        words = (Word(t - 0.5, t - 0.3, "ich"), Word(t - 0.3, t, "freue"))
        session.push_words(WordsUpdate(t, "whisper", words, language=language))
        (result,) = [event for event in session.advance(t) if isinstance(event, Result)]
        state = result.modalities["text"]
        reasons.append((state.present, state.reason))
    session.close()
    assert reasons == [(True, None), (False, "unsupported_language"), (True, None)]


def test_a_run_with_another_encoder_does_not_go_on(german: Path, tiny_checkpoint: Path) -> None:
    data = tiny_checkpoint.parent / "data"
    with pytest.raises(ValueError, match="another recipe, seed, data or text encoder"):
        train(data, german, config=data / "tiny.toml")


def test_the_command_passes_languages_and_encoder_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for options, message in (
        (["--languages", "german"], "miar: --languages must be ISO 639 codes of two or three lower-case letters"),
        (["--text-encoder", tmp_path], f"miar: {tmp_path} is no text encoder"),
    ):
        said = run(capfd, "miar", "train", "--data", tmp_path, "--out", tmp_path / "out", *options)
        assert (said.code, said.err.count("\n"), said.err.startswith(message)) == (2, 1, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": "german"}, "codes of two or three lower-case letters, not 'german'"),
        ({"languages": "en,DE"}, "not 'en,DE'"),
        ({"languages": "en,"}, "not 'en,'"),
        ({"languages": "en,de"}, "MiniLM reads English only, not 'en,de': name another by --text-encoder FOLDER"),
        ({"text_encoder": Path("nowhere")}, "nowhere is no text encoder"),
    ],
)
def test_training_refuses_what_it_cannot_read(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TextEncoderUnavailable), match=message):
        train(tmp_path, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
