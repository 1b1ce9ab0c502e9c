"""Where a deployment runs, and how its traffic is encrypted."""

import dataclasses
import pathlib
import re
import ssl
from enum import StrEnum

IMAGE, PROXY_IMAGE = "tensorflow/serving:2.21.0", "nginx:1.28-alpine"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_STORAGE = re.compile(r"[a-z][a-z0-9]*://[^\s\"'{}]+")


class Platform(StrEnum):
    """What runs the containers."""

    COMPOSE = "compose"
    KUBERNETES = "kubernetes"
    KSERVE = "kserve"


@dataclasses.dataclass(frozen=True)
class Tls:
    """Certificate and key of a server, in PEM.

    Attributes:
        certificate: The certificate, followed by those of its issuers.
        key: The private key, without a password.
        client_ca: Certificates of the issuers whose clients are let in; None lets every client in.
    """

    certificate: str
    key: str
    client_ca: str | None

    @classmethod
    def read(cls, certificate: pathlib.Path, key: pathlib.Path, client_ca: pathlib.Path | None) -> "Tls":
        """Reads the files.

        Raises:
            ValueError: If a file is not PEM, or the key belongs to another certificate or has a password.
            OSError: If a file cannot be read.
        """
        texts = [None if path is None else path.read_text(encoding="ascii") for path in (certificate, key, client_ca)]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
            if client_ca is not None:
                context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise ValueError(
                f"{certificate}, {key} must be a certificate and its key in PEM, without a password. "
                f"Received: {error.reason or error}"
            ) from None
        return cls(str(texts[0]), str(texts[1]), texts[2])


def _no_password() -> str:
    raise ValueError("the private key must have no password, as TensorFlow Serving asks for none")


@dataclasses.dataclass(frozen=True)
class Target:
    """What a deployment is rendered for.

    Attributes:
        platform: What runs the containers.
        name: Name of the deployment and its parts: lower-case letters, digits and `-`.
        image: Image of TensorFlow Serving. One other than `IMAGE` is taken to link Ikelos's native ops too.
        proxy_image: Image of nginx.
        tls: Certificate and key for gRPC, and with Compose for REST too. With None, Compose opens the ports to this
            machine alone.
        host: Name of the host in the Ingress of Kubernetes, None for no Ingress.
        claim: Name of Kubernetes' PersistentVolumeClaim that has the base path of each model, by its name.
        storage: URI below which KServe finds the base path of each model, by its name, such as `gs://bucket/models`.

    Raises:
        ValueError: If a name is invalid, or an attribute is missing or not for this platform.
    """

    platform: Platform
    name: str = "ikelos-serving"
    image: str = IMAGE
    proxy_image: str = PROXY_IMAGE
    tls: Tls | None = None
    host: str | None = None
    claim: str | None = None
    storage: str | None = None

    def __post_init__(self):
        for attribute, pattern in (("name", _NAME), ("host", _HOST), ("claim", _CLAIM), ("storage", _STORAGE)):
            value = getattr(self, attribute)
            if value is not None and not pattern.fullmatch(value):
                raise ValueError(f"`{attribute}` must match {pattern.pattern}. Received: {attribute}={value!r}")
        self._check_needed("claim", Platform.KUBERNETES)
        self._check_needed("storage", Platform.KSERVE)
        if self.host is not None and self.platform is not Platform.KUBERNETES:
            raise ValueError(f"`host` must come with the platform kubernetes. Received: {self.platform}")
        if self.tls is not None and self.platform is Platform.KSERVE:
            raise ValueError("`tls` must be None for kserve, whose gateway encrypts. Received: a certificate")

    @property
    def has_native_ops(self) -> bool:
        """Whether the server may have ops that a stock one does not have."""
        return self.image != IMAGE

    def _check_needed(self, attribute: str, platform: Platform) -> None:
        if (getattr(self, attribute) is not None) != (self.platform is platform):
            raise ValueError(f"`{attribute}` must come with the platform {platform}, and only there")
