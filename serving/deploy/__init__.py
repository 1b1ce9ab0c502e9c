"""Deployments of TensorFlow Serving: their configuration for Compose, Kubernetes and KServe, and releases by labels."""

from ikelos.serving.deploy.model_config import Release
from ikelos.serving.deploy.releases import ReleaseError, Releases
from ikelos.serving.deploy.rendering import render
from ikelos.serving.deploy.running import RunningServer
from ikelos.serving.deploy.served import Served, find
from ikelos.serving.deploy.settings import Batching, Settings
from ikelos.serving.deploy.target import Platform, Target, Tls

__all__ = [
    "Batching",
    "Platform",
    "Release",
    "ReleaseError",
    "Releases",
    "RunningServer",
    "Served",
    "Settings",
    "Target",
    "Tls",
    "find",
    "render",
]
