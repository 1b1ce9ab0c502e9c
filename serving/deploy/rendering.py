"""Renders a folder with everything that a deployment needs, from its settings."""

import math
import os
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ikelos.serving import files
from ikelos.serving.deploy import model_config, proxy, releases, templates
from ikelos.serving.deploy.releases import CONFIG, FILE
from ikelos.serving.deploy.served import Served
from ikelos.serving.deploy.settings import Settings
from ikelos.serving.deploy.target import Platform, Target, Tls
from ikelos.serving.graph import NATIVE

GRPC_PORT, REST_PORT = 8500, 8501
_PROXY_PORT, _TLS_PROXY_PORT, _METRICS_PORT = 8080, 8443, 9090
_NOBODY = 65534
_MOST_REQUESTS = 64
"""Requests that the proxy takes at once; each may have a body of `request_mib`, which it keeps until it is complete."""
_KSERVE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?")
_KUBERNETES = ("deployment", "service", "autoscaler", "disruption_budget", "network_policy", "kustomization")


def render(models: Sequence[Served], settings: Settings, target: Target, folder: str | os.PathLike) -> pathlib.Path:
    """Writes a folder with the configuration of a server and what starts it; its README.md says how.

    Args:
        models: The models of the server.
        settings: Its numbers.
        target: Where it runs.
        folder: Folder to write, which must not exist or be empty.

    Returns:
        The folder.

    Raises:
        ValueError: If two models have the same name, the folder has files, requests of a model cannot be merged into
            batches, or a model of the flavour `native` is to run in the stock image.
        OSError: If a file cannot be written. The folder is not there then.
    """
    path = pathlib.Path(folder).absolute()
    names = [model.name for model in models]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`models` must be at least one, with different names. Received: {', '.join(names)}")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"`folder` must not exist or be empty, as labels may have moved. Received: folder={folder}")
    _check_batching(models, settings)
    _check_flavours(models, target)
    if target.platform is Platform.KSERVE:
        _check_kserve_names(names)
        if settings.cpu_percent > 100:
            percent = settings.cpu_percent
            raise ValueError(f"`cpu_percent` must be at most 100 for KServe. Received: cpu_percent={percent}")
    texts = _texts(models, settings, target)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + files.UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for name, text in texts.items():
            _write(unfinished / name, text)
        files.finish(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return path


def _check_batching(models: Sequence[Served], settings: Settings) -> None:
    """Checks that requests of all signatures can be merged, into batches of sizes that are known.

    TensorFlow Serving fails all requests of a batch if their inputs have different sizes, unless it pads them.
    """
    if settings.batching is None:
        return
    sizes = {model.name: ", ".join(map(str, model.batch_sizes)) or "none" for model in models}
    if len(set(sizes.values())) > 1 or "none" in sizes.values():
        raise ValueError(
            "`batching` must be null unless all models have the same `warmup_batch_sizes` in their cards, the sizes of "
            f"batches. Received: {'; '.join(f'{name}: {text}' for name, text in sizes.items())}"
        )
    if settings.batching.pad_variable_length_inputs:
        return
    for model in models:
        for signature, inputs in model.variable.items():
            raise ValueError(
                f"`batching` must be null for {model.name}, or have `pad_variable_length_inputs` if its signatures "
                f"ignore padding. Received: signature {signature!r}, whose inputs vary in size: {', '.join(inputs)}"
            )


def _check_flavours(models: Sequence[Served], target: Target) -> None:
    native = [model.name for model in models if model.flavour == NATIVE]
    if native and not target.has_native_ops:
        raise ValueError(
            "`image` must be of a server that links Ikelos's native ops, for models of the flavour native. "
            f"Received: image={target.image!r}, models {', '.join(native)}"
        )


def _check_kserve_names(names: Sequence[str]) -> None:
    """Checks that KServe accepts the names, as it gives a model the name of its InferenceService."""
    for name in names:
        if not _KSERVE_NAME.fullmatch(name):
            raise ValueError(f"`name` must match {_KSERVE_NAME.pattern} for KServe. Received: name={name!r}")


def _texts(models: Sequence[Served], settings: Settings, target: Target) -> dict[str, str]:
    """Returns the text of each file by its path in the folder."""
    texts = {"config/monitoring.config": templates.text("config/monitoring.config")}
    if settings.batching is not None:
        texts["config/batching.config"] = templates.fill(
            "config/batching.config", batching=settings.batching, sizes=models[0].batch_sizes
        )
    if target.platform is not Platform.KSERVE:
        texts |= _server_texts(models, settings, target)
    values = _values(models, settings, target)
    config_files = sorted(name for name in texts if name.startswith("config/"))
    templated = {
        Platform.COMPOSE: ["docker-compose.yml"],
        Platform.KUBERNETES: [f"{name}.yaml" for name in _KUBERNETES] + (["ingress.yaml"] if target.host else []),
        Platform.KSERVE: ["inference_service.yaml", "kustomization.yaml"],
    }[target.platform]
    for name in [*templated, "README.md"]:
        texts[name] = templates.fill(f"{target.platform}/{name}", config_files=config_files, **values)
    return texts


def _server_texts(models: Sequence[Served], settings: Settings, target: Target) -> dict[str, str]:
    compose = target.platform is Platform.COMPOSE
    tls = target.tls if compose else None
    texts = {
        CONFIG: model_config.following(models, settings.versions),
        "config/ready.sh": templates.fill("config/ready.sh", models=models, rest_port=REST_PORT),
        proxy.LABELS: proxy.labels({}),
        "proxy/nginx.conf": templates.fill(
            "proxy/nginx.conf",
            settings=settings,
            tls=tls,
            tls_folder="/tls",
            folder="/proxy",
            upstream="serving" if compose else "127.0.0.1",
            port=_TLS_PROXY_PORT if tls else _PROXY_PORT,
            rest_port=REST_PORT,
            metrics_port=_METRICS_PORT,
            most_requests=_MOST_REQUESTS,
        ),
        FILE: releases.initial_text(target, models),
    }
    if target.tls is not None:
        texts["tls/ssl.config"] = _ssl_config(target.tls)
    if tls is not None:
        texts |= {"tls/tls.crt": tls.certificate, "tls/tls.key": tls.key}
        if tls.client_ca is not None:
            texts["tls/client_ca.crt"] = tls.client_ca
    return texts


def _ssl_config(tls: Tls) -> str:
    return templates.fill("config/ssl.config", key=tls.key, certificate=tls.certificate, client_ca=tls.client_ca)


def _values(models: Sequence[Served], settings: Settings, target: Target) -> Mapping[str, Any]:
    user = os.getuid() or _NOBODY, os.getgid() or _NOBODY
    return {
        "name": target.name,
        "models": models,
        "settings": settings,
        "images": {"serving": target.image, "proxy": target.proxy_image},
        "flags": _flags(settings, target),
        "tls": target.tls,
        "host": target.host,
        "claim": target.claim,
        "storage": (target.storage or "").rstrip("/"),
        "user": f"{user[0]}:{user[1]}",
        "grpc_port": GRPC_PORT,
        "rest_port": REST_PORT,
        "proxy_port": _TLS_PROXY_PORT if target.tls and target.platform is Platform.COMPOSE else _PROXY_PORT,
        "metrics_port": _METRICS_PORT,
        "bodies_mib": _MOST_REQUESTS * settings.request_mib,
    }


def _flags(settings: Settings, target: Target) -> list[str]:
    flags = {
        "monitoring_config_file": "/config/monitoring.config",
        "file_system_poll_wait_seconds": settings.poll_seconds,
        # TensorFlow would take a thread for each processor of the host, and be throttled.
        "tensorflow_session_parallelism": math.ceil(settings.cpus),
        "rest_api_timeout_in_ms": settings.timeout_seconds * 1000,
    }
    if settings.batching is not None:
        flags |= {"enable_batching": "true", "batching_parameters_file": "/config/batching.config"}
    if target.platform is not Platform.KSERVE:
        flags |= {
            "port": GRPC_PORT,
            "rest_api_port": REST_PORT,
            "model_config_file": f"/{CONFIG}",
            # Without this, a server with labels would not start: no version is available yet.
            "allow_version_labels_for_unavailable_models": "true",
        }
    if target.platform is Platform.COMPOSE:
        flags["model_config_file_poll_wait_seconds"] = settings.poll_seconds
    if target.tls is not None:
        flags["ssl_config_file"] = "/tls/ssl.config"
    return [f"--{name}={value}" for name, value in sorted(flags.items())]


def _write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    secret = path.parent.name == "tls"
    path.touch(mode=0o600 if secret else 0o644)
    path.write_text(text, encoding="utf-8")
    if secret and os.getuid() == 0:
        # The containers do not run as root, and must read it.
        for owned in (path.parent, path):
            os.chown(owned, _NOBODY, _NOBODY)
