import hypothesis
import pytest
from hypothesis import strategies
from tensorflow.core.framework import tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from ikelos.serving.stock import _read_signatures
from ikelos.serving.wire import Message, signed, write_bytes, write_map

INT64 = strategies.integers(-(2**63), 2**63 - 1)


@hypothesis.given(strategies.lists(INT64), strategies.text())
def test_integers_and_text(sizes, name):
    proto = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size, name=name) for size in sizes]
    )
    dims = [Message(dim) for dim in Message(proto.SerializeToString()).payloads(2)]
    assert [signed(dim.integer(1)) for dim in dims] == sizes
    assert [dim.payload(2).decode() for dim in dims] == [name] * len(sizes)


def test_fixed_width_fields():
    # field 1 as fixed64, field 2 as fixed32, as the encoding guide describes them
    data = bytes([1 << 3 | 1, 5, 0, 0, 0, 0, 0, 0, 1, 2 << 3 | 5, 7, 0, 0, 0])
    assert (Message(data).integer(1), Message(data).integer(2)) == (5 + 2**56, 7)


def test_the_last_value_counts():
    data = write_bytes(1, "a") + write_bytes(1, "b") + bytes([2 << 3, 3, 2 << 3, 4])
    assert Message(data).payload(1) == b"b"
    assert Message(data).payloads(1) == [b"a", b"b"]
    assert Message(data).integer(2) == 4
    assert (Message(data).payload(3), Message(data).payloads(3), Message(data).integer(3)) == (b"", [], 0)


@hypothesis.given(strategies.dictionaries(strategies.text(), strategies.text(max_size=300)))
def test_maps(names):
    infos = {key: meta_graph_pb2.TensorInfo(name=name).SerializeToString() for key, name in names.items()}
    written = write_map(1, infos) + write_bytes(3, "method")
    proto = meta_graph_pb2.SignatureDef.FromString(written)
    assert {key: info.name for key, info in proto.inputs.items()} == names
    assert proto.method_name == "method"
    read = Message(proto.SerializeToString()).map(1)
    assert {key: meta_graph_pb2.TensorInfo.FromString(info).name for key, info in read.items()} == names


@hypothesis.given(strategies.binary(max_size=30))
def test_any_bytes_are_read_or_refused(data):
    try:
        message = Message(data)
    except ValueError:
        return
    assert sum(len(payload) + 2 for number in range(2**5) for payload in message.payloads(number)) <= len(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a\x05abc", "ends within a field of 5 bytes"),
        (b"\x08\xff", "ends within a varint"),
        (b"\x08" + b"\xff" * 11, "more than 10 bytes"),
        (b"\x0b", "wire type 0, 1, 2 or 5. Received: 3"),
    ],
)
def test_refuses(data, message):
    with pytest.raises(ValueError, match=message):
        Message(data)


def test_signatures_agree_with_tensorflows_parser(version):
    saved = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    (meta_graph,) = saved.meta_graphs
    ours = _read_signatures(meta_graph.SerializeToString())
    assert set(ours) == {name for name in meta_graph.signature_def if not name.startswith("__")}
    for name, sides in ours.items():
        theirs = meta_graph.signature_def[name]
        for side, tensors in (("inputs", theirs.inputs), ("outputs", theirs.outputs)):
            assert {key: tensor[0] for key, tensor in sides[side].items()} == {
                key: info.name for key, info in tensors.items()
            }
            for key, info in tensors.items():
                shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
                assert sides[side][key][2] == (None if info.tensor_shape.unknown_rank else shape)
