"""The messages of TensorFlow Serving's gRPC API as classes that need only the package protobuf.

They are in a descriptor pool of their own, so that a process may import tensorflow and tensorflow-serving-api as well.
Their bytes are the same as those of the classes in these packages, but a message of one class cannot be assigned to a
field of another.

Attributes:
    POOL: The descriptor pool, which `google.protobuf.json_format` needs to convert a message that has an `Any`.
    METHODS: The request and response classes of each method, `{service: {method: (request, response)}}`.
"""

import re
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2
from google.protobuf.internal import enum_type_wrapper

from ikelos.serving.protocol import schema

RETRY_PUSHBACK = "grpc-retry-pushback-ms"
"""Metadata of an error: when a client may try again (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
"""
_FIELD = re.compile(r"(?:oneof (\w+): )?(repeated )?(?:map<string, ([\w.]+)>|([\w.]+)) (\w+) = (\d+)")
_VALUE = re.compile(r"(\w+) = (\d+)")
_FieldProto = descriptor_pb2.FieldDescriptorProto
# In an order in which no package uses a later one.
_PACKAGES = ("tensorflow", "tensorflow.error", "tensorflow.serving", "grpc.health.v1")
_ENUM_NAMES = {f"{package}.{name}" for package, enums in schema.ENUMS.items() for name in enums}


def _pool() -> descriptor_pool.DescriptorPool:
    """Returns a pool with the messages and enumerations of the tables, one file for each package."""
    pool = descriptor_pool.DescriptorPool()
    files = []
    for module in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        files.append(module.DESCRIPTOR.name)
    for package in _PACKAGES:
        file = descriptor_pb2.FileDescriptorProto(
            name=f"ikelos/{package}.proto", package=package, syntax="proto3", dependency=files
        )
        _add_messages(file.message_type, package, "")
        _add_enums(file.enum_type, package, "")
        pool.AddSerializedFile(file.SerializeToString())
        files.append(file.name)
    return pool


def _add_messages(messages: Any, package: str, parent: str) -> None:
    """Adds the messages of a package that are nested in `parent`, or those at the top if `parent` is empty."""
    for name, fields in schema.MESSAGES.get(package, {}).items():
        if name.rpartition(".")[0] == parent:
            message = messages.add(name=name.rpartition(".")[2])
            _add_fields(message, package, name, fields)
            _add_messages(message.nested_type, package, name)
            _add_enums(message.enum_type, package, name)


def _add_enums(enums: Any, package: str, parent: str) -> None:
    for name, values in schema.ENUMS.get(package, {}).items():
        if name.rpartition(".")[0] == parent:
            enum = enums.add(name=name.rpartition(".")[2])
            for value, number in _VALUE.findall(values):
                enum.value.add(name=value, number=int(number))


def _add_fields(message: Any, package: str, message_name: str, fields: str) -> None:
    oneofs: list[str] = []
    for oneof, repeated, map_type, type_name, name, number in _FIELD.findall(fields):
        if map_type:
            # In the wire format a map is a repeated message of a key and a value.
            entry = "".join(part.capitalize() for part in name.split("_")) + "Entry"
            nested = message.nested_type.add(name=entry, options=descriptor_pb2.MessageOptions(map_entry=True))
            nested.field.append(_field(package, "key", 1, "string"))
            nested.field.append(_field(package, "value", 2, map_type))
            repeated, type_name = "repeated", f"{message_name}.{entry}"
        field = _field(package, name, int(number), type_name, repeated=bool(repeated))
        if oneof:
            if oneof not in oneofs:
                oneofs.append(oneof)
                message.oneof_decl.add(name=oneof)
            field.oneof_index = oneofs.index(oneof)
        message.field.append(field)


def _field(package: str, name: str, number: int, type_name: str, repeated: bool = False) -> Any:
    label = _FieldProto.LABEL_REPEATED if repeated else _FieldProto.LABEL_OPTIONAL
    field = _FieldProto(name=name, number=number, label=label)
    if type_name.islower() and "." not in type_name:
        field.type = _FieldProto.Type.Value(f"TYPE_{type_name.upper()}")
    else:
        full_name = f"{package}.{type_name}" if type_name[0].isupper() else type_name
        field.type = _FieldProto.TYPE_ENUM if full_name in _ENUM_NAMES else _FieldProto.TYPE_MESSAGE
        field.type_name = f".{full_name}"
    return field


POOL = _pool()


def message_class(full_name: str) -> Any:
    """Returns the class of a message, such as `tensorflow.serving.PredictRequest`."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))


def _enum(full_name: str) -> Any:
    return enum_type_wrapper.EnumTypeWrapper(POOL.FindEnumTypeByName(full_name))


Any_ = message_class("google.protobuf.Any")
ConfigProto = message_class("tensorflow.ConfigProto")
MetaGraphDef = message_class("tensorflow.MetaGraphDef")
RunOptions = message_class("tensorflow.RunOptions")
SavedModel = message_class("tensorflow.SavedModel")
SignatureDef = message_class("tensorflow.SignatureDef")
TensorInfo = message_class("tensorflow.TensorInfo")
TensorProto = message_class("tensorflow.TensorProto")
TensorShapeProto = message_class("tensorflow.TensorShapeProto")

ClassificationRequest = message_class("tensorflow.serving.ClassificationRequest")
ClassificationResponse = message_class("tensorflow.serving.ClassificationResponse")
GetModelMetadataRequest = message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message_class("tensorflow.serving.GetModelMetadataResponse")
GetModelStatusRequest = message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message_class("tensorflow.serving.GetModelStatusResponse")
ModelServerConfig = message_class("tensorflow.serving.ModelServerConfig")
ModelSpec = message_class("tensorflow.serving.ModelSpec")
ModelVersionStatus = message_class("tensorflow.serving.ModelVersionStatus")
MultiInferenceRequest = message_class("tensorflow.serving.MultiInferenceRequest")
MultiInferenceResponse = message_class("tensorflow.serving.MultiInferenceResponse")
PredictionLog = message_class("tensorflow.serving.PredictionLog")
PredictRequest = message_class("tensorflow.serving.PredictRequest")
PredictResponse = message_class("tensorflow.serving.PredictResponse")
RegressionRequest = message_class("tensorflow.serving.RegressionRequest")
RegressionResponse = message_class("tensorflow.serving.RegressionResponse")
ReloadConfigRequest = message_class("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = message_class("tensorflow.serving.ReloadConfigResponse")
SignatureDefMap = message_class("tensorflow.serving.SignatureDefMap")
StatusProto = message_class("tensorflow.serving.StatusProto")

HealthCheckRequest = message_class("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message_class("grpc.health.v1.HealthCheckResponse")

DataType = _enum("tensorflow.DataType")
Code = _enum("tensorflow.error.Code")

METHODS: dict[str, dict[str, tuple[Any, Any]]] = {
    f"{package}.{service}": {
        method: (message_class(f"{package}.{request}"), message_class(f"{package}.{response}"))
        for method, (request, response) in methods.items()
    }
    for package, services in schema.SERVICES.items()
    for service, methods in services.items()
}
