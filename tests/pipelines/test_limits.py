"""What a client can send to the signatures that tasks share: the graph refuses it, in the loader of a server."""

import dataclasses
import resource
import struct
import time
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import TransformerLanguageModel
from ikelos.pipelines.audio import signatures as audio
from ikelos.pipelines.audio.pcm import wav_file
from ikelos.pipelines.image.signatures import ImageSignatures
from ikelos.pipelines.text import signatures, stepwise, vocabulary
from ikelos.serving import Bound, Signature, StockError, StockModel

CONTEXT, LONGEST, ROWS = 8, 12, 8
HUGE = 100_000_000
SHAPE = (4, 4, 1)


def png(width, height, chunks=b""):
    """Returns a PNG that states a size, and holds no pixels."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunks + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def bmp(width, height):
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def jpeg(width, height):
    file = tf.io.encode_jpeg(np.zeros([8, 8, 3], np.uint8)).numpy()
    place = file.index(b"\xff\xc0") + 5
    return file[:place] + struct.pack(">HH", height, width) + file[place + 4 :]


def webp(width, height):
    """Returns the head of a lossless WebP."""
    return (
        b"RIFF"
        + struct.pack("<I", 40)
        + b"WEBPVP8L\x19\0\0\0/"
        + struct.pack("<I", (width - 1) | (height - 1) << 14)
        + bytes(24)
    )


GIF = (
    b"GIF89a"
    + struct.pack("<HH", 60_000, 60_000)
    + b"\0\0\0,"
    + struct.pack("<HHHH", 0, 0, 60_000, 60_000)
    + b"\0\x02;"
)
WAV = wav_file(np.zeros(800, np.int16), 8000)
MANY_CHUNKS = b"".join(struct.pack(">I", 0) + b"tRNS" + bytes(4) for _ in range(4_000))


@pytest.fixture(scope="module")
def model(tmp_path_factory, export_unchecked):
    """Yields a loaded export with signatures of text, images and audio."""
    keras.utils.set_random_seed(1)
    words = vocabulary.fit("character", ["abcdefghij "], None)
    network = TransformerLanguageModel(
        words.size,
        CONTEXT,
        num_layers=1,
        size=8,
        num_heads=2,
        hidden_size=8,
        ngram_order=2,
        max_ngrams=100,
        longest_match=3,
    )
    network.build((None, CONTEXT))
    network.adapt([words.tokens("abc def abc fed abd")])
    images = ImageSignatures(SHAPE, 2, ("cat", "dog"), np.full(SHAPE, 51, np.uint8), True, 100_000, 1_000_000)
    spec = tf.TensorSpec([None], tf.string)

    def lengths(audio_bytes):
        return {"samples": audio.decoded(audio_bytes, 16_000, 1.0)[1]}

    hear = {"audio_bytes": Bound(max_bytes=10_000)}
    made = [
        signatures.score("score", words, network, 4, 1000, "abc"),
        signatures.generate("generate", words, network, LONGEST, 1000, 2, 8, "abc"),
        *stepwise.signatures(words, network, LONGEST, 1000, "abc"),
        images.of_files("files", lambda image, label: {"mean": tf.reduce_mean(image, [1, 2, 3])}, ("image",), "Means."),
        images.make("draw", lambda latents, label: {"sum": tf.reduce_sum(latents, 1)}, ("latents",), "Sums."),
        Signature("hear", lengths, {"audio_bytes": spec}, {"audio_bytes": [WAV]}, "Samples.", hear),
    ]
    bounded = [dataclasses.replace(signature, max_rows=ROWS) for signature in made]
    version = export_unchecked(tmp_path_factory.mktemp("limits"), [words, network], bounded)
    with StockModel(version) as loaded:
        yield loaded


ROW = {"prompt": "abc", "length": 5, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 1, "stop": [""]}
BAD = {
    "no rows": ("score", {"text": []}, "The rows of `text` must be between 1 and 8. Received: 0"),
    "too many rows": ("score", {"text": ["a"] * 10_000}, "The rows of `text` must be between 1 and 8. Received: 10000"),
    "a long text": (
        "score",
        {"text": ["a" * HUGE]},
        f"The bytes of `text` must be between 0 and 1000. Received: {HUGE}",
    ),
    "a long prompt": ("generate", ROW | {"prompt": "a" * HUGE}, "The bytes of `prompt` must be between 0 and 1000"),
    "length 0": ("generate", ROW | {"length": 0}, "`length` must be between 1 and 12. Received: 0"),
    "a negative length": ("generate", ROW | {"length": -5}, "`length` must be between 1 and 12. Received: -5"),
    "a length of 2^31": ("generate", ROW | {"length": 2**31 - 1}, "`length` must be between 1 and 12"),
    "top-k beyond the vocabulary": ("generate", ROW | {"top_k": 16}, "`top_k` must be between 0 and 15. Received: 16"),
    "a negative top-k": ("generate", ROW | {"top_k": -1}, "`top_k` must be between 0 and 15"),
    "a temperature that is no number": ("generate", ROW | {"temperature": np.nan}, "`temperature` must be between 0"),
    "an infinite temperature": ("generate", ROW | {"temperature": np.inf}, "`temperature` must be between 0"),
    "a negative temperature": ("generate", ROW | {"temperature": -1.0}, "`temperature` must be between 0"),
    "top-p 0": ("generate", ROW | {"top_p": 0.0}, "`top_p` must be between 1e-06 and 1. Received: 0"),
    "top-p that is no number": ("generate", ROW | {"top_p": np.nan}, "`top_p` must be between 1e-06 and 1"),
    "many stop strings": ("generate", ROW | {"stop": ["a"] * 3}, "The positions of `stop` must be between 0 and 2"),
    "a long stop string": ("generate", ROW | {"stop": ["a" * 9]}, "The bytes of `stop` must be between 0 and 8"),
    "an unknown token": ("detokenize", {"tokens": [[15]]}, "`tokens` must be between 0 and 14. Received: 15"),
    "a negative token": ("detokenize", {"tokens": [[-1]]}, "`tokens` must be between 0 and 14. Received: -1"),
    "many tokens": ("detokenize", {"tokens": [[4] * 13]}, "The positions of `tokens` must be between 0 and 12"),
    "a PNG of 100 megapixels": ("files", png(10_000, 10_000), "an image of 100000000 pixels, more than 1000000"),
    "a PNG of 2^62 pixels": ("files", png(2**31 - 1, 2**31 - 1), "pixels, more than 1000000"),
    "a JPEG of 4 gigapixels": ("files", jpeg(65_500, 65_500), "an image of 4290250000 pixels"),
    "a GIF of 4 gigapixels": ("files", GIF, "an image of 3600000000 pixels"),
    "a BMP of 100 megapixels": ("files", bmp(10_000, -10_000), "an image of 100000000 pixels"),
    "a WebP of 268 megapixels": ("files", webp(16_383, 16_383), "an image of 268402689 pixels"),
    "a PNG of many chunks": ("files", png(4, 4, MANY_CHUNKS), "an image file of too many parts"),
    "a large file": ("files", png(4, 4) + bytes(100_000), "The bytes of `image_bytes` must be between 0 and 100000"),
    "a broken PNG": ("files", png(4, 4), ""),
    "no image": ("files", b"", "`image_bytes` must be PNG, JPEG, GIF, BMP or WebP files. Received: empty"),
    "an unknown class": (
        "draw",
        {"latents": [[0.0, 1.0]], "label": [2]},
        "`label` must be between 0 and 1",
    ),
    "infinite latents": ("draw", {"latents": [[np.inf, 1.0]], "label": [0]}, "`latents` must be between -3.40282e+38"),
    "a WAV file of 1 GB, by its header": (
        "hear",
        {"audio_bytes": [WAV[:40] + struct.pack("<I", 2**30) + WAV[44:]]},
        "`audio_bytes` must be WAV files. Received in row 0 : a truncated WAV file",
    ),
    "a WAV file of 65,535 channels": (
        "hear",
        {"audio_bytes": [WAV[:22] + b"\xff\xff" + WAV[24:]]},
        "`audio_bytes` must be WAV files. Received in row 0 : a WAV file with a damaged header",
    ),
    "a WAV file of another rate": (
        "hear",
        {"audio_bytes": [WAV[:24] + struct.pack("<I", 2**32 - 1) + WAV[28:]]},
        "samples per second, not 4000 to 192000",
    ),
    "a long recording": (
        "hear",
        {"audio_bytes": [wav_file(np.zeros(4_500, np.int16), 4000)]},
        "seconds long, more than 1",
    ),
}


def inputs_of(signature, values):
    if signature == "files":
        return {"image_bytes": [values], "label": [0]}
    return {name: [value] for name, value in values.items()} if signature == "generate" else values


def said(error):
    """Returns TensorFlow's message without the brackets of an assertion."""
    return " ".join(str(error).replace("] [", " ").replace("][", " ").replace("[", " ").replace("]", " ").split())


@pytest.mark.parametrize("name", BAD)
def test_is_refused_at_once_and_named(model, name):
    signature, values, message = BAD[name]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(StockError) as caught:
        model.run(signature, inputs_of(signature, values))
    assert " ".join(message.split()) in said(caught.value)
    # Generous: a decoder that trusts the file would take gigabytes, and a text that is tokenized minutes.
    assert time.process_time() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": [99, 1]}, "`length` must be between 1 and 20. Received: 99"),
        ({"length": [0, 1]}, "`length` must be between 1 and 20. Received: 0"),
        ({"length": [19, 1]}, "`length` must be from 1 to the positions of `keys`"),
        ({"token": [15, 1]}, "`token` must be between 0 and 14. Received: 15"),
        ({"tokens": [[99] * 4] * 2}, "`tokens` must be between 0 and 14"),
        ({"matches": [[25] * 4] * 2}, "`matches` must be between 0 and 3"),
        ({"contexts": [[101] * 2] * 2}, "`contexts` must be between 0 and 100"),
        (
            {"keys": np.zeros([2, 21, 1, 2, 4], np.float32)},
            "The positions of `keys` must be between 0 and 20",
        ),
        ({"token": [1]}, "`token` must have as many rows as `contexts`"),
    ],
)
def test_a_malformed_state_is_refused(model, change, message):
    state = model.run("prefill", {"prompt": ["abc", "a"]})
    del state["logits"]
    with pytest.raises(StockError) as caught:
        model.run("decode_step", {"token": [4, 5], **state} | change)
    assert message in said(caught.value)


def test_the_model_still_runs_after_bad_requests(model):
    assert model.run("generate", inputs_of("generate", ROW))["text"].shape == (1,)
    assert model.run("hear", {"audio_bytes": [WAV]})["samples"].tolist() == [1600]
