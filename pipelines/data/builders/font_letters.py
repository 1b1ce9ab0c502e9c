"""Letters in the fonts that matplotlib ships, as a TensorFlow Datasets builder."""

import io
import itertools
import pathlib
import string

import numpy as np
import tensorflow_datasets as tfds

from ikelos.pipelines.data.builders import installed

# Checksums of the fonts that have all letters, in the format of sha256sum, with paths relative to `_FONTS`.
_CHECKSUMS = pathlib.Path(__file__).with_suffix(".sha256")
_FONTS = "matplotlib/mpl-data/fonts/ttf"

VALIDATION = ("DejaVuSerif-Italic", "STIXGeneralBol")
TEST = ("DejaVuSans-Bold", "STIXGeneralItalic", "cmss10")
LETTERS = string.ascii_uppercase + string.ascii_lowercase

_PIXELS = 28
_SIZES = (17, 20, 23)  # pixels of an em: the largest still leaves a border around a rotated W
_ANGLES = (-8, 0, 8)  # degrees, counterclockwise
_SAMPLES = 4  # a pixel is the mean of 4 x 4 samples, for smooth edges at any angle
_BASELINE = 20  # pixels from the top, before the rotation

_DESCRIPTION = """\
The 26 letters of English, upper and lower case, in 21 of the fonts that the Python package matplotlib ships (DejaVu,
STIX and Computer Modern, those that have all letters), each in three sizes and turned by -8, 0 and 8 degrees: 9,828
images 28 x 28 in shades of grey, white on black. Letters of a size stand on one line, so that a lower-case o differs
from an upper-case O as in print.

Whole fonts are held out: two for validation (936 images), three for the test (1,404); 7,488 images in 16 fonts are for
training. The fonts are read from the installed package and checked against pinned SHA-256 checksums; they are the same
in matplotlib 3.9 to 3.11. Nothing is downloaded. The images are drawn when the data set is prepared: another release of
FreeType may draw single pixels in another shade.
"""

LICENCE = """\
The fonts: DejaVu under the Bitstream Vera licence and STIX under the STI Pub companies' (matplotlib ships both texts);
Computer Modern by Donald E. Knuth in the conversion by BlueSky Research and Y&Y, carried by matplotlib. The data set
holds drawings of letters, not the fonts.
"""

_CITATION = """\
@article{hunter2007matplotlib,
  author = {Hunter, J. D.},
  title = {Matplotlib: A 2D graphics environment},
  journal = {Computing in Science \\& Engineering},
  volume = {9},
  number = {3},
  pages = {90--95},
  year = {2007},
}
"""


class FontLetters(tfds.core.GeneratorBasedBuilder):
    """Images of letters in the fonts of matplotlib; whole fonts are held out.

    Features: `id` (`DejaVuSans/A/20/-8`: font, letter, size, angle), `image` and `label`.
    """

    name = "font_letters"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "21 fonts."}

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(_PIXELS, _PIXELS, 1)),
                    "label": tfds.features.ClassLabel(names=list(LETTERS)),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://matplotlib.org",
            citation=_CITATION,
            license=LICENCE,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        found = fonts()
        held_out = {*VALIDATION, *TEST}
        return {
            "train": self._generate_examples({k: v for k, v in found.items() if k not in held_out}),
            "validation": self._generate_examples({k: found[k] for k in VALIDATION}),
            "test": self._generate_examples({k: found[k] for k in TEST}),
        }

    def _generate_examples(self, found):
        variants = itertools.product(_SIZES, _ANGLES, found, LETTERS)
        for index, (size, angle, font, letter) in enumerate(variants):
            image = draw(found[font], letter, size, angle)
            yield index, {"id": f"{font}/{letter}/{size}/{angle}", "image": image, "label": LETTERS.index(letter)}


def fonts() -> dict[str, bytes]:
    """Returns the font files by name, sorted.

    Raises:
        UserError: If matplotlib is not installed, or a font is missing or has another checksum.
    """
    return installed.read("font_letters", "matplotlib", "3.9 to 3.11", _CHECKSUMS, _FONTS)


def draw(font: bytes, letter: str, size: int, angle: float) -> np.ndarray:
    """Draws a letter, centred on a fixed baseline and then rotated about the image's centre: uint8 `[28,28,1]`.

    Args:
        font: Content of the font's file.
        letter: Letter to draw.
        size: Size of an em in pixels.
        angle: Rotation in degrees, counterclockwise.
    """
    from PIL import Image, ImageDraw, ImageFont

    large = _PIXELS * _SAMPLES
    picture = Image.new("L", (large, large))
    drawn = ImageFont.truetype(io.BytesIO(font), size * _SAMPLES)
    ImageDraw.Draw(picture).text((large / 2, _BASELINE * _SAMPLES), letter, 255, drawn, anchor="ms")
    turned = picture.rotate(angle, Image.Resampling.BICUBIC)
    return np.asarray(turned.resize((_PIXELS, _PIXELS), Image.Resampling.BOX))[..., None]
