import io
import struct

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from ikelos.pipelines.audio import reading, wav

SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]


def written(samples, rate=8000, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": "WAV", **options})
    return file.getvalue()


def noise(shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def chunk(kind, content):
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def form(code=1, channels=1, rate=8000, bits=16, frame_size=None):
    frame_size = channels * bits // 8 if frame_size is None else frame_size
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * frame_size % 2**32, frame_size, bits))


def riff(*chunks):
    content = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


SAMPLES = np.array([0, 16384, -32768, 32767], "<i2").tobytes()
EXPECTED = np.array([0, 0.5, -1, 32767 / 32768], "float32")


def read(file, max_seconds=10.0):
    problem, samples, rate = wav.read(tf.constant(file), max_seconds)
    return problem.numpy().decode(), samples.numpy(), int(rate)


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize(("format", "channels"), [("WAV", 1), ("WAV", 3), ("WAVEX", 2)])
def test_every_encoding_is_read_as_by_libsndfile(subtype, format, channels):
    file = written(noise([301, channels]), 44100, subtype=subtype, format=format)
    expected, _ = soundfile.read(io.BytesIO(file), dtype="float32", always_2d=True)
    problem, samples, rate = read(file)
    assert (problem, rate) == ("", 44100)
    np.testing.assert_allclose(samples, expected.astype("float64").mean(1), rtol=0, atol=1e-7)
    if channels == 1:
        np.testing.assert_array_equal(samples, expected[:, 0])


@pytest.mark.parametrize(
    "file",
    [
        riff(chunk(b"LIST", b"INFO" + b"x" * 31), form(), chunk(b"odd ", b"abc"), chunk(b"data", SAMPLES)),
        riff(form(), chunk(b"data", SAMPLES), chunk(b"LIST", b"late")),
        riff(form(), chunk(b"data", SAMPLES + b"\x07")),  # half a sample
        # As written to a pipe, without the sizes.
        (b"RIFF" + b"\xff" * 4 + b"WAVE" + form() + b"data" + b"\xff" * 4 + SAMPLES),
        (b"RIFF" + b"\0" * 4 + b"WAVE" + form() + b"data" + b"\xff\xff\xff\x7f" + SAMPLES),
        # As left by a recorder that was killed.
        (b"RIFF" + b"\0" * 4 + b"WAVE" + form() + b"data" + b"\0" * 4 + SAMPLES),
    ],
    ids=lambda _: "file",
)
def test_unusual_files_are_read(file):
    problem, samples, _ = read(file)
    assert problem == ""
    np.testing.assert_array_equal(samples, EXPECTED)


@pytest.mark.parametrize("channels", [1, 2])
def test_no_samples_are_an_empty_waveform(channels):
    problem, samples, rate = read(riff(form(channels=channels), chunk(b"data", b"")))
    assert (problem, samples.shape, rate) == ("", (0,), 8000)
    problem, samples, _ = read(riff(form(channels=channels), chunk(b"data", b""), chunk(b"LIST", b"late")))
    assert (problem, samples.shape) == ("", (0,))


MANY = riff(*[chunk(b"junk", b"")] * 20_000, form(), chunk(b"data", SAMPLES))


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (b"", "empty"),
        (b"RIFF", "a file of another kind"),
        (b"fLaC" + b"\0" * 40, "a FLAC file"),
        (b"\xff\xfb\x90" + b"\0" * 40, "an MP3 file"),
        (riff(), "a WAV file without a header"),
        (riff(form()), "a WAV file without samples"),
        (riff(form())[:30], "a WAV file without samples"),
        (riff(chunk(b"data", SAMPLES)), "a WAV file without a header"),
        (riff(form(), chunk(b"data", SAMPLES))[:-1], "a truncated WAV file"),
        (riff(form(channels=0), chunk(b"data", SAMPLES)), "a WAV file without channels"),
        (riff(form(rate=3999), chunk(b"data", SAMPLES)), "a WAV file with 3999 samples per second, not 4000 to 192000"),
        (riff(form(rate=2**32 - 1), chunk(b"data", SAMPLES)), "a WAV file with 4294967295 samples per second"),
        (riff(form(frame_size=3), chunk(b"data", SAMPLES)), "a WAV file with a damaged header"),
        (
            riff(form(code=7, bits=8), chunk(b"data", SAMPLES)),
            "a WAV file with encoding 7 of 8 bits, not PCM (1) of",
        ),
        (riff(form(bits=12, frame_size=2), chunk(b"data", SAMPLES)), "a WAV file with encoding 1 of 12 bits"),
        (MANY, "a WAV file with 1000 chunks before its samples"),
        (written(np.array([0.0, np.nan]), subtype="FLOAT"), "a WAV file with samples that are not finite"),
    ],
    # Not the files' bytes: libsndfile writes the time into some of them.
    ids=lambda value: "file" if isinstance(value, bytes) else value,
)
def test_broken_files_are_described(file, problem):
    found, samples, _ = read(file)
    assert found.startswith(problem)
    assert samples.shape == (0,)
    with pytest.raises(reading.AudioFault) as error:
        reading.waveform(file, 8000, 10.0)
    assert problem in error.value.why or problem.startswith("a FLAC")


def test_long_files_are_refused_before_they_are_decoded():
    hour = riff(form(rate=4000, bits=8), chunk(b"data", b"\x80" * (4000 * 3600)))
    assert read(hour, 60.0)[0] == "3600 seconds long, more than 60"
    assert read(hour[: 44 + 8000], 1.0)[0] == "a truncated WAV file"
    assert read(riff(form(rate=4000, bits=8), chunk(b"data", b"\x80" * 4000)), 1.0)[0] == ""
