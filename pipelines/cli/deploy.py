"""`ikelos deploy render`, `canary`, `promote` and `rollback`."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ikelos.pipelines.cli.arguments import Overrides, path
from ikelos.pipelines.console import columns, console, shown
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder

if TYPE_CHECKING:
    from ikelos.serving import deploy

EXAMPLE = (
    "Example: [bold]ikelos deploy render runs/language_modeling --to deployment[/bold]"
    "\n\nThe numbers are those of the recipe's section `serving`, or else of tfx_configs/serving/settings.yaml; --set "
    "changes one. README.md in the folder says how to start the server."
)
CANARY_EXAMPLE = (
    "Example: [bold]ikelos deploy canary deployment --model language_modeling --version 4 --share 10[/bold]"
)
PROMOTE_EXAMPLE = "Example: [bold]ikelos deploy promote deployment --model language_modeling --version 4[/bold]"
ROLLBACK_EXAMPLE = "Example: [bold]ikelos deploy rollback deployment --model language_modeling[/bold]"

_COMPOSE = "docker-compose.yml"
_REST = "127.0.0.1:8501"
"""Address of a server's own REST port that `docker-compose.yml` publishes."""

FolderArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", help="A folder that `ikelos deploy render` wrote.", show_default=False, parser=path
    ),
]
Model = Annotated[str, typer.Option(metavar="NAME", help="Name of the model.", show_default=False)]
Version = Annotated[int, typer.Option(min=1, help="A version, which must pass the stock check.", show_default=False)]
Server = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="With Compose: the server's own REST port, to see when it has taken over the change.",
        show_default=_REST,
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="With Compose: the server is not running, so do not ask it.")]
Patience = Annotated[
    float, typer.Option(metavar="SECONDS", min=1, help="How long to wait for the server to load and to follow.")
]


def render(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]PATH...",
            help="The folder of a run, or a base path with versions; NAME is the model's name in requests.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder to write; new or empty.", show_default=False, parser=path)
    ],
    on: Annotated[str, typer.Option("--on", metavar="PLATFORM", help="compose, kubernetes or kserve.")] = "compose",
    overrides: Overrides = None,
    name: Annotated[str, typer.Option(help="Name of the deployment and its parts.")] = "ikelos-serving",
    image: Annotated[
        str | None, typer.Option(help="Image of TensorFlow Serving.", show_default="the release of Ikelos's TensorFlow")
    ] = None,
    proxy_image: Annotated[
        str | None, typer.Option(help="Image of nginx.", show_default="a stable release of nginx")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The server's certificate and its issuers, PEM.", parser=path)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key, PEM, without a password.", parser=path)
    ] = None,
    client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Let in only clients with a certificate of these.", parser=path)
    ] = None,
    host: Annotated[str | None, typer.Option(help="With Kubernetes: the host of an Ingress.")] = None,
    claim: Annotated[
        str | None, typer.Option(metavar="NAME", help="With Kubernetes: the claim with NAME/VERSION of each model.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URI", help="With KServe: where NAME/VERSION of each model is.")
    ] = None,
) -> None:
    """Write what runs models on TensorFlow Serving: its configuration, a proxy with TLS, manifests."""
    from ikelos.serving import deploy

    if on not in list(deploy.Platform):
        raise UserError(f"`--on` must be one of {', '.join(deploy.Platform)}. Received: --on {on}")
    named = [_named(text) for text in paths]
    settings = _settings([folder for _, folder in named], overrides or [])
    with _explained():
        images = {"image": image, "proxy_image": proxy_image}
        target = deploy.Target(
            deploy.Platform(on),
            name=name,
            tls=_tls(tls_certificate, tls_key, client_ca),
            host=host,
            claim=claim,
            storage=storage,
            **{key: value for key, value in images.items() if value is not None},
        )
        models = [deploy.find(name, _base_path(folder)) for name, folder in named]
        written = deploy.render(models, settings, target, to)
    out = console()
    out.print(columns({model.name: model.base_path for model in models}))
    out.print(
        f"\n[bold]Written[/bold]  {shown(written)}\n[bold]Next[/bold]  {shown(written / 'README.md')}", soft_wrap=True
    )


def canary(
    folder: FolderArgument,
    model: Model,
    version: Version,
    share: Annotated[int, typer.Option(min=0, max=99, help="Percent of the REST requests that name no version.")],
    server: Server = None,
    offline: Offline = False,
    patience: Patience = 120,
) -> None:
    """Label a version `canary`, and give it a share of the requests."""
    with _releases(folder, server, offline, patience) as releases:
        _print(folder, model, releases.canary(model, version, share))


def promote(
    folder: FolderArgument,
    model: Model,
    version: Version,
    server: Server = None,
    offline: Offline = False,
    patience: Patience = 120,
) -> None:
    """Label a version `stable`; the one before stays loaded, for a rollback."""
    with _releases(folder, server, offline, patience) as releases:
        _print(folder, model, releases.promote(model, version))


def rollback(
    folder: FolderArgument,
    model: Model,
    server: Server = None,
    offline: Offline = False,
    patience: Patience = 120,
) -> None:
    """Return to the labels that stood before the last change."""
    with _releases(folder, server, offline, patience) as releases:
        _print(folder, model, releases.rollback(model))


def _named(text: str) -> tuple[str, Path]:
    from ikelos.serving.incoming import model_name

    name, equals, rest = text.partition("=")
    folder = path(rest if equals else text)
    return (name if equals else model_name(_base_path(folder.absolute()))), folder


def _base_path(folder: Path) -> Path:
    return Folder(folder).export if Folder(folder).recipe.is_file() else folder


def _settings(folders: Sequence[Path], overrides: Sequence[str]) -> "deploy.Settings":
    """Returns the settings of the recipes, which must agree, as one server has one set of them."""
    from ikelos.pipelines.recipe import serving

    recipes = [Folder(folder).recipe for folder in folders]
    sections = [serving.load(recipe if recipe.is_file() else None, overrides) for recipe in recipes]
    for folder, section in zip(folders, sections, strict=True):
        for key, value in sections[0]:
            if getattr(section, key) != value:
                raise UserError(
                    f"`serving.{key}` must be the same for all models of a server: set it by --set. "
                    f"Received: other values for {folders[0]} and {folder}"
                )
    return sections[0].settings()


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> "deploy.Tls | None":
    from ikelos.serving import deploy

    if (certificate is None) != (key is None):
        raise UserError("`--tls-certificate` and `--tls-key` must come together. Received: one of them")
    if certificate is None or key is None:
        if client_ca is not None:
            raise UserError("`--client-ca` must come with --tls-certificate. Received: no certificate")
        return None
    return deploy.Tls.read(certificate, key, client_ca)


@contextmanager
def _releases(folder: Path, server: str | None, offline: bool, patience: float) -> "Iterator[deploy.Releases]":
    from ikelos.serving import deploy

    on_compose = _on_compose(folder)
    if server is not None and (offline or not on_compose):
        raise UserError(f"`--server` must come with Compose, and without --offline. Received: --server {server}")
    running = deploy.RunningServer(server or _REST) if on_compose and not offline else None
    with _explained(), deploy.Releases(folder, running, patience) as releases:
        yield releases


@contextmanager
def _explained() -> Iterator[None]:
    """Context manager that turns the errors of `ikelos.serving.deploy` into those of the command line."""
    from ikelos.serving import CheckFailed, StockError, deploy

    try:
        yield
    except (deploy.ReleaseError, ValueError, CheckFailed, StockError) as error:
        raise UserError(str(error)) from error
    except ConnectionError as error:
        raise UserError(
            f"{error}. Start the server, give its --server, or use --offline if it is not running"
        ) from error


def _print(folder: Path, model: str, release: "deploy.Release") -> None:
    out = console()
    labels = ", ".join(f"{label} {version}" for label, version in sorted(release.labels.items()))
    out.print(columns({"Model": model, "Labels": labels, "Loaded": ", ".join(map(str, release.versions))}))
    command = f"kubectl apply -k {shlex.quote(str(folder))}"
    if _on_compose(folder):
        file = shlex.quote(str(folder / _COMPOSE))
        command = f"docker compose -f {file} exec proxy nginx -c /proxy/nginx.conf -s reload"
    out.print(f"\n[bold]Next[/bold]\n{shown(command)}", soft_wrap=True)


def _on_compose(folder: Path) -> bool:
    return (folder / _COMPOSE).is_file()
