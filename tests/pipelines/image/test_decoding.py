"""Tests of files as cameras and drawing programs write them, compared with Pillow on a white background."""

import io
import random
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from ikelos.pipelines.image.reading import FaultError, pixels
from ikelos.pipelines.image.signatures import decoded

SIDE = 8
COLOURS = np.random.default_rng(0).integers(0, 256, [SIDE, SIDE, 4]).astype(np.uint8)
RGBA = Image.fromarray(COLOURS)
# Smooth, because of lossy compression.
SLOPE = Image.fromarray(np.uint8(np.indices([SIDE, SIDE, 3])[:2].sum(0) * [16, 11, 5] + [10, 60, 120]))


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_chunk(name, content, image=None):
    """Returns a PNG with one more chunk."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add(name, content)
    return saved(image or RGBA.convert("RGB"), "PNG", pnginfo=chunks)


def held(orientation):
    """Returns the option for Pillow that writes an Exif orientation."""
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    return {"exif": exif.tobytes()}


def big_endian(orientation):
    """Returns the same Exif data in big-endian order."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return {"exif": b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)}


def bmp_of_32_bits(fourth):
    """Returns a BMP whose pixels have four bytes, of which the last is unused."""
    rows = np.concatenate([COLOURS[::-1, :, 2::-1], np.full([SIDE, SIDE, 1], fourth, np.uint8)], -1)
    info = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 32, 0, rows.size, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + rows.size, 0, 0, 54) + info + rows.tobytes()


def with_own_palette(gif):
    """Returns a GIF with a palette of the image instead of the file."""
    size = 2 << (gif[10] & 7)
    palette, rest = gif[13 : 13 + 3 * size], gif[13 + 3 * size :]
    image = rest.index(b",\0\0\0\0")
    head = rest[: image + 9] + bytes([rest[image + 9] | 0x80 | (gif[10] & 7)])
    return gif[:10] + b"\0" + gif[11:13] + head + palette + rest[image + 10 :]


def with_segments(jpeg):
    """Returns a JPEG with other application data and a fill byte before its Exif data."""
    return jpeg[:2] + b"\xff\xe1\0\x0ahttp://x" + b"\xff\xed\0\x04\xff\xe1" + b"\xff" + jpeg[2:]


def with_exif_at_the_end(png):
    """Returns a PNG whose Exif data follows the pixels."""
    start = png.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", png[start : start + 4])[0]
    return png[:start] + png[end:-12] + png[start:end] + png[-12:]


def taken():
    """Returns files that can be decoded, by name."""
    palette = RGBA.convert("RGB").quantize(7, dither=Image.Dither.NONE)
    grey, transparency = RGBA.convert("L"), {"transparency": 3}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    files = {f"PNG {mode}": saved(RGBA.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")}
    files |= {
        f"PNG of {bits} bits": saved(RGBA.convert("L").quantize(2**bits), "PNG", bits=bits) for bits in (1, 2, 4, 8)
    }
    files |= {
        "PNG with a transparent grey": saved(grey, "PNG", transparency=grey.getpixel((2, 3))),
        "PNG with a transparent colour": saved(RGBA.convert("RGB"), "PNG", transparency=RGBA.getpixel((5, 1))[:3]),
        "PNG with a palette, transparent": saved(palette, "PNG", **transparency),
        "PNG with a palette of opacities": saved(palette, "PNG", transparency=bytes([0, 50, 100, 150, 200, 250, 255])),
        "PNG of 1 bit, transparent": saved(RGBA.convert("1"), "PNG", transparency=0),
        "PNG sRGB": with_chunk(b"sRGB", b"\0"),
        "PNG gAMA": with_chunk(b"gAMA", struct.pack(">I", 100_000)),
        "PNG cHRM": with_chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
        "PNG with a profile": saved(RGBA.convert("RGB"), "PNG", icc_profile=profile),
        "PNG with Exif": saved(RGBA, "PNG", **held(6)),
        "PNG with Exif at the end": with_exif_at_the_end(saved(RGBA, "PNG", **held(8))),
        "JPEG L": saved(SLOPE.convert("L"), "JPEG"),
        "JPEG RGB": saved(SLOPE, "JPEG", quality=95),
        "JPEG RGB 4:4:4": saved(SLOPE, "JPEG", subsampling=0),
        "JPEG progressive": saved(SLOPE, "JPEG", progressive=True),
        "JPEG CMYK": saved(SLOPE.convert("CMYK"), "JPEG", quality=95),
        "JPEG with a profile": saved(SLOPE, "JPEG", icc_profile=profile),
        "JPEG with more segments": with_segments(saved(SLOPE, "JPEG", **held(6))),
        "JPEG with something behind it": saved(SLOPE, "JPEG") + b"of a camera",
        "GIF L": saved(RGBA.convert("L"), "GIF"),
        "GIF RGB": saved(RGBA.convert("RGB"), "GIF"),
        "GIF interlaced": saved(RGBA.convert("L"), "GIF", interlace=1),
        "GIF transparent": saved(palette, "GIF", **transparency),
        "GIF transparent, the image's palette": with_own_palette(saved(palette, "GIF", **transparency)),
        "GIF with a comment": saved(palette, "GIF", comment=b"drawn by hand " * 50, **transparency),
        "BMP 8 bits, a palette": saved(palette, "BMP"),
        "BMP L": saved(RGBA.convert("L"), "BMP"),
        "BMP RGB": saved(RGBA.convert("RGB"), "BMP"),
        "BMP 32 bits": bmp_of_32_bits(0),
        "BMP 32 bits, the last of them used": bmp_of_32_bits(77),
        "WebP RGB": saved(RGBA.convert("RGB"), "WEBP", lossless=True),
        "WebP RGBA": saved(RGBA, "WEBP", lossless=True, exact=True),
        "WebP with losses": saved(SLOPE, "WEBP"),
        "WebP with losses, transparent": saved(Image.merge("RGBA", (*SLOPE.split(), RGBA.getchannel("A"))), "WEBP"),
    }
    for orientation in range(1, 9):
        files[f"JPEG held {orientation}"] = saved(SLOPE, "JPEG", **held(orientation))
        files[f"JPEG held {orientation}, big-endian"] = saved(SLOPE, "JPEG", **big_endian(orientation))
        files[f"WebP held {orientation}"] = saved(RGBA, "WEBP", lossless=True, exact=True, **held(orientation))
    for orientation in (0, 9, 300):
        files[f"JPEG held {orientation}"] = saved(SLOPE, "JPEG", **held(orientation))
    return files


def refused():
    """Returns files that are rejected, by the description of their problem."""
    more = {"save_all": True, "append_images": [ImageOps.invert(RGBA.convert("L")).convert("RGB")]}
    small = bytearray(saved(RGBA.convert("L"), "GIF"))
    small[6] += 1
    other = "not a PNG, JPEG, GIF, BMP or WebP image"
    return {
        "an animated PNG, which is not one image": saved(RGBA.convert("RGB"), "PNG", **more),
        "an animated GIF, which is not one image": saved(RGBA.convert("RGB"), "GIF", **more),
        "an animated WebP, which is not one image": saved(RGBA.convert("RGB"), "WEBP", **more),
        "a GIF whose image does not fill it": bytes(small),
        "a BMP with 1 bits a pixel and compression 0, not an uncompressed one with 8, 24 or 32": saved(
            RGBA.convert("1"), "BMP"
        ),
        f"a TIFF image, {other}": saved(RGBA, "TIFF"),
        f"a HEIC, AVIF or video file, {other}": b"\0\0\0\x20ftypheic",
        f"a pointer of Git LFS, whose file has not been fetched, {other}": b"version https://git-lfs.github.com/spec/v1\n",
        f"empty, {other}": b"",
        f"text, {other}": b"<!DOCTYPE html>\n<title>404</title>",
        f"a file of another kind, {other}": b"\x80\xff\x00",
    }


TAKEN, REFUSED = taken(), refused()
SHAPES = {channels: (SIDE, SIDE, channels) for channels in (1, 3)}


@pytest.fixture(scope="module")
def served():
    """Returns a function that decodes files as a server does, to shades from 0 to 255."""
    files = tf.TensorSpec([None], tf.string)
    graphs = {
        channels: tf.function(decoded).get_concrete_function(files, shape, resize=True, max_pixels=10_000)
        for channels, shape in SHAPES.items()
    }
    return lambda files, channels: 255 * graphs[channels](files=tf.constant(files)).numpy()


def on_white(file):
    """Decodes a file with Pillow, on a white background."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image.convert("RGBA"))
    return page.convert("RGB")


@pytest.mark.parametrize("channels", SHAPES)
def test_files_are_trained_as_they_are_served(served, channels):
    trained = np.stack([pixels(file, SHAPES[channels], resize=True) for file in TAKEN.values()])
    for name, one, other in zip(TAKEN, trained, served(list(TAKEN.values()), channels), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("name", TAKEN)
def test_files_are_what_a_viewer_shows(name):
    expected = on_white(TAKEN[name])
    for channels, mode in ((1, "L"), (3, "RGB")):
        found = pixels(TAKEN[name], SHAPES[channels], resize=False)
        by_pillow = np.asarray(expected.convert(mode)).reshape(found.shape).astype(int)
        # Tolerances: a transparent pixel is rounded once, and releases of libjpeg and libwebp differ.
        np.testing.assert_allclose(found, by_pillow, atol=3 if "JPEG" in name or "losses" in name else 1)


def test_sixteen_bits_are_the_upper_eight(served):
    deep = np.random.default_rng(1).integers(0, 1 << 16, [SIDE, SIDE]).astype(np.uint16)
    file = saved(Image.fromarray(deep), "PNG")
    expected = (deep >> 8)[..., None]
    np.testing.assert_array_equal(pixels(file, SHAPES[1], resize=False), expected)
    np.testing.assert_allclose(served([file], 1)[0], expected, atol=1e-3)


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_not_an_image_is_refused_alike(served, why):
    with pytest.raises(FaultError) as caught:
        pixels(REFUSED[why], SHAPES[3], resize=True)
    assert (caught.value.kind, caught.value.why) == ("not an image", f"is {why}")
    with pytest.raises(tf.errors.InvalidArgumentError) as told:
        served([TAKEN["PNG L"], REFUSED[why]], 3)
    assert "`image_bytes` must be PNG, JPEG, GIF, BMP or WebP files. Received:" in str(told.value)
    assert why in str(told.value)


@pytest.mark.parametrize("name", ["PNG RGB", "JPEG RGB", "GIF RGB", "BMP RGB", "WebP RGB", "WebP with losses"])
def test_a_truncated_image_is_refused_alike(served, name):
    file = TAKEN[name]
    for length in (len(file) // 2, len(file) - 5):
        with pytest.raises(FaultError) as caught:
            pixels(file[:length], SHAPES[3], resize=True)
        kind = name.split()[0]
        assert (caught.value.kind, caught.value.why) == ("damaged", f"is a {kind} that is truncated or damaged")
        with pytest.raises(tf.errors.InvalidArgumentError):
            served([file[:length]], 3)


def test_damaged_bytes_are_pixels_or_a_fault():
    files, draw = [*TAKEN.values(), *REFUSED.values()], random.Random(0)
    outcomes = set()
    for _ in range(150):
        file = bytearray(draw.choice(files)) or bytearray(1)
        for _ in range(draw.choice([1, 3, 20])):
            file[draw.randrange(min(len(file), draw.choice([40, 10_000])))] = draw.randrange(256)
        try:
            outcomes.add(pixels(bytes(file), SHAPES[3], resize=True).shape)
        except FaultError as fault:
            outcomes.add(fault.kind)
    assert outcomes == {SHAPES[3], "damaged", "not an image"}


def test_a_server_refuses_another_size_where_training_does():
    file = TAKEN["PNG RGB"]
    message = rf"`image_bytes` must be images of 4 x {SIDE}. Received:'\s+{SIDE}, {SIDE}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decoded(tf.constant([file]), (4, SIDE, 1), resize=False, max_pixels=10_000)
    assert decoded(tf.constant([file]), (4, SIDE, 1), resize=True, max_pixels=10_000).shape == (1, 4, SIDE, 1)
    np.testing.assert_array_equal(
        decoded(tf.constant([file]), SHAPES[3], resize=False, max_pixels=10_000),
        decoded(tf.constant([file]), SHAPES[3], resize=True, max_pixels=10_000),
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_of_a_data_set_are_treated_as_files_are(channels):
    image = RGBA.convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels])
    array = np.asarray(image).reshape(SIDE, SIDE, channels)
    for shape in SHAPES.values():
        found = pixels(array, shape, resize=False)
        np.testing.assert_array_equal(found, pixels(saved(image, "PNG"), shape, resize=False))
