import pytest
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from hypothesis import given, strategies
from tensorflow.core.protobuf import config_pb2, saved_model_pb2
from tensorflow_serving.apis import model_service_pb2, predict_pb2, prediction_log_pb2, prediction_service_pb2

from ikelos.serving.protocol import messages, schema

# Whatever these files import is in the pool as well.
OFFICIAL = prediction_log_pb2.DESCRIPTOR.pool
_SERVICE_FILES = (prediction_service_pb2, model_service_pb2, health_pb2)
MESSAGES = [f"{package}.{name}" for package, messages in schema.MESSAGES.items() for name in messages]
ENUMS = [f"{package}.{name}" for package, enums in schema.ENUMS.items() for name in enums]

# Fields of the official messages that the table leaves out, for the reasons that it states.
LEFT_OUT = {
    "tensorflow.ConfigProto": {field.name for field in config_pb2.ConfigProto.DESCRIPTOR.fields} - {"device_count"},
    "tensorflow.MetaGraphDef": {"graph_def", "saver_def", "collection_def", "object_graph_def"},
    "tensorflow.MetaGraphDef.MetaInfoDef": {"stripped_op_list", "any_info"},
    "tensorflow.RunOptions": {field.name for field in config_pb2.RunOptions.DESCRIPTOR.fields} - {"timeout_in_ms"},
    "tensorflow.TensorInfo.CompositeTensor": {"type_spec"},
    "tensorflow.TensorProto": {"resource_handle_val", "variant_val"},
    "tensorflow.serving.FileSystemStoragePathSourceConfig": {
        "servables",
        "file_system_poll_wait_seconds",
        "fail_if_zero_versions_at_startup",
        "servable_versions_always_present",
    },
    "tensorflow.serving.PredictRequest": {"predict_streamed_options", "client_id", "request_options"},
    "tensorflow.serving.PredictionLog": {"predict_streamed_log", "session_run_log"},
    "tensorflow.serving.SamplingConfig": {"per_task_sampling_configs"},
}


def _facts(field):
    """Returns what decides how a field is written, and its names."""
    message, enum, oneof = field.message_type, field.enum_type, field.containing_oneof
    return {
        "number": field.number,
        "type": field.type,
        "repeated": field.is_repeated,
        "packed": field.is_packed,
        "message": message and message.full_name,
        "enum": enum and enum.full_name,
        "oneof": oneof and oneof.name,
    }


@pytest.mark.parametrize("name", MESSAGES)
def test_fields_agree_with_the_official_ones(name):
    official, ours = OFFICIAL.FindMessageTypeByName(name), messages.POOL.FindMessageTypeByName(name)
    theirs = {field.name: _facts(field) for field in official.fields}
    kept = {key: facts for key, facts in theirs.items() if key not in LEFT_OUT.get(name, ())}
    assert {field.name: _facts(field) for field in ours.fields} == kept
    assert LEFT_OUT.get(name, set()) <= theirs.keys()
    assert ours.GetOptions().map_entry == official.GetOptions().map_entry


@pytest.mark.parametrize("name", ENUMS)
def test_values_agree_with_the_official_ones(name):
    official, ours = OFFICIAL.FindEnumTypeByName(name), messages.POOL.FindEnumTypeByName(name)
    values = {value.name: value.number for value in official.values}
    left_out = {key for key in values if key.endswith("_REF") or key.startswith("DO_NOT_USE")}
    assert {value.name: value.number for value in ours.values} == {
        key: number for key, number in values.items() if key not in left_out
    }


@pytest.mark.parametrize("name", messages.METHODS)
def test_methods_agree_with_the_official_ones(name):
    (service,) = [
        service
        for file in _SERVICE_FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        if service.full_name == name
    ]
    official = {method.name: (method.input_type.full_name, method.output_type.full_name) for method in service.methods}
    ours = {
        method: (request.DESCRIPTOR.full_name, response.DESCRIPTOR.full_name)
        for method, (request, response) in messages.METHODS[name].items()
    }
    assert ours.items() <= official.items()
    # gRPC's health service can also list and watch, for which we have no use.
    assert official.keys() - ours.keys() <= {"List", "Watch"}


def _filled(descriptor, depth=4):
    """Returns a message of the class of a descriptor with a value in every field."""
    message = message_factory.GetMessageClass(descriptor)()
    if depth == 0:
        return message
    for field in descriptor.fields:
        if field.message_type and field.message_type.GetOptions().map_entry:
            key_field, value_field = (field.message_type.fields_by_name[name] for name in ("key", "value"))
            if value_field.message_type:
                value = _filled(value_field.message_type, depth - 1)
                getattr(message, field.name)[_scalar(key_field)].CopyFrom(value)
            else:
                getattr(message, field.name)[_scalar(key_field)] = _scalar(value_field)
        elif field.message_type:
            value = _filled(field.message_type, depth - 1)
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                getattr(message, field.name).CopyFrom(value)
        elif field.is_repeated:
            getattr(message, field.name).extend([_scalar(field)] * 2)
        else:
            setattr(message, field.name, _scalar(field))
    return message


def _scalar(field):
    if field.enum_type:
        return field.enum_type.values[-1].number
    return {"string": "é", "bytes": b"\xff\x00"}.get(_TYPES[field.type], 1)


_TYPES = {
    number: name.removeprefix("TYPE_").lower() for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_read_by_the_official_classes_and_back(name):
    ours = _filled(messages.POOL.FindMessageTypeByName(name))
    official = message_factory.GetMessageClass(OFFICIAL.FindMessageTypeByName(name)).FromString(
        ours.SerializeToString()
    )
    assert str(official) == str(ours)
    assert messages.message_class(name).FromString(official.SerializeToString()) == ours


@pytest.mark.parametrize("name", MESSAGES)
def test_fields_that_are_not_in_the_table_survive(name):
    official = OFFICIAL.FindMessageTypeByName(name)
    full = _filled(official)
    through = messages.message_class(name).FromString(full.SerializeToString())
    assert message_factory.GetMessageClass(official).FromString(through.SerializeToString()) == full


@given(strategies.binary(max_size=60))
def test_any_bytes_are_read_as_the_official_class_reads_them(data):
    results = []
    for kind in (messages.PredictRequest, predict_pb2.PredictRequest):
        try:
            results.append(str(kind.FromString(data).model_spec))
        except DecodeError:
            results.append(None)
    assert results[0] == results[1]


def test_an_any_holds_the_official_message():
    definitions = messages.SignatureDefMap()
    definitions.signature_def["serving_default"].method_name = "tensorflow/serving/predict"
    response = messages.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(definitions)
    assert response.metadata["signature_def"].type_url == ("type.googleapis.com/tensorflow.serving.SignatureDefMap")
    unpacked = messages.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(unpacked)
    assert unpacked == definitions


def test_saved_models_are_read(version):
    data = (version / "saved_model.pb").read_bytes()
    ours, official = messages.SavedModel.FromString(data), saved_model_pb2.SavedModel.FromString(data)
    (meta_graph,), (theirs,) = ours.meta_graphs, official.meta_graphs
    assert list(meta_graph.meta_info_def.tags) == ["serve"]
    assert {key: str(value) for key, value in meta_graph.signature_def.items()} == {
        key: str(value) for key, value in theirs.signature_def.items()
    }
    assert saved_model_pb2.SavedModel.FromString(ours.SerializeToString()) == official
