"""What the server tells about the models themselves: their state, signatures and examples."""

from typing import Any

from grpc import StatusCode

from ikelos.serving.protocol import messages
from ikelos.serving.protocol.metadata import SIGNATURES_FIELD
from ikelos.serving.server.errors import RequestError
from ikelos.serving.server.manager import Manager
from ikelos.serving.server.versions import Version


def choice(spec: Any) -> tuple[str, int | None, str | None]:
    """Returns the name, the version's number and the label in a ModelSpec; None where there is none."""
    number = spec.version.value if spec.HasField("version") else None
    return spec.name, number, spec.version_label or None


def spec_of(version: Version, signature: str = "") -> Any:
    """Returns the ModelSpec of a version."""
    return messages.ModelSpec(name=version.name, version={"value": version.number}, signature_name=signature)


def status_of(manager: Manager, name: str, number: int | None) -> Any:
    """Returns the GetModelStatusResponse for one version of a model, or for all.

    Raises:
        RequestError: If there is no such version.
    """
    known = manager.models.get(name, {})
    if number is not None and number not in known:
        raise RequestError(StatusCode.NOT_FOUND, f"Could not find version {number} of model {name}")
    if not known:
        raise RequestError(StatusCode.NOT_FOUND, f"Could not find any versions of model {name}")
    response = messages.GetModelStatusResponse()
    for version in [known[number]] if number is not None else (known[n] for n in sorted(known, reverse=True)):
        status = {"error_code": version.code.value[0], "error_message": version.message}
        response.model_version_status.add(version=version.number, state=int(version.state), status=status)
    return response


def metadata_of(version: Version) -> Any:
    """Returns the GetModelMetadataResponse of an available version."""
    response = messages.GetModelMetadataResponse(model_spec=spec_of(version))
    with version.lease() as model:
        response.metadata[SIGNATURES_FIELD].Pack(messages.SignatureDefMap(signature_def=model.definitions))
    return response


def example_of(version: Version, signature: str, longest: int) -> dict[str, Any]:
    """Returns the inputs of a signature's example as JSON data.

    They are empty if there is no example, or `Version.shown_examples` has none of at most `longest` characters.
    """
    inputs, length = version.shown_examples.get(signature, ({}, 0))
    return inputs if length <= longest else {}
