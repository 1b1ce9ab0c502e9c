import pathlib
import subprocess

import pytest

import ikelos
from ikelos.serving.deploy import Platform, Target, Tls, target


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Returns a folder with two certificates `a.crt` and `b.crt`, and a key with a password."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, options in {"a": ["-nodes"], "b": ["-nodes"], "secret": ["-passout", "pass:word"]}.items():
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "1", "-subj", f"/CN={name}", *options]
        command += ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def test_a_certificate_with_its_key_is_read(certificates):
    tls = Tls.read(certificates / "a.crt", certificates / "a.key", certificates / "b.crt")
    assert tls.certificate == (certificates / "a.crt").read_text()
    assert tls.key == (certificates / "a.key").read_text()
    assert tls.client_ca == (certificates / "b.crt").read_text()
    assert Tls.read(certificates / "a.crt", certificates / "a.key", None).client_ca is None


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca", "message"),
    [
        ("a.crt", "b.key", None, "must be a certificate and its key in PEM, without a password. .*KEY_VALUES_MISMATCH"),
        ("a.key", "a.key", None, "must be a certificate and its key in PEM"),
        ("a.crt", "a.crt", None, "must be a certificate and its key in PEM"),
        ("secret.crt", "secret.key", None, "the private key must have no password"),
        ("a.crt", "a.key", "a.key", "must be a certificate and its key in PEM"),
    ],
)
def test_what_the_server_would_refuse_is_an_error(certificates, certificate, key, client_ca, message):
    with pytest.raises(ValueError, match=message):
        Tls.read(certificates / certificate, certificates / key, client_ca and certificates / client_ca)


def test_a_missing_file_is_an_error(certificates):
    with pytest.raises(FileNotFoundError):
        Tls.read(pathlib.Path("missing.crt"), certificates / "a.key", None)


@pytest.mark.parametrize(
    ("platform", "attributes", "message"),
    [
        ("compose", {"name": "My Server"}, "`name` must match .* Received: name='My Server'"),
        ("compose", {"name": "a\n"}, "`name` must match"),
        ("kubernetes", {"claim": "models", "host": "a b"}, "`host` must match"),
        ("kubernetes", {}, "`claim` must come with the platform kubernetes, and only there"),
        ("compose", {"claim": "models"}, "`claim` must come with the platform kubernetes, and only there"),
        ("kserve", {}, "`storage` must come with the platform kserve, and only there"),
        ("kserve", {"storage": "bucket"}, "`storage` must match"),
        ("compose", {"host": "example.org"}, "`host` must come with the platform kubernetes. Received: compose"),
        ("kserve", {"storage": "gs://b", "tls": Tls("", "", None)}, "`tls` must be None for kserve"),
    ],
)
def test_what_does_not_fit_the_platform_is_an_error(platform, attributes, message):
    with pytest.raises(ValueError, match=message):
        Target(Platform(platform), **attributes)


def test_the_image_is_that_of_the_tensorflow_that_exports():
    assert f"tensorflow/serving:{ikelos.__version__.rpartition('.')[0]}.0" == target.IMAGE
