import pytest

from ikelos.serving.rest import from_json, holds_bytes, to_request, to_response

VALUES = [["a", "é".encode()], [b"\xff\x00", 1.5], b"", None]


def test_a_request_takes_text_as_it_is_and_other_bytes_as_base64():
    assert to_request(VALUES) == [["a", "é"], [{"b64": "/wA="}, 1.5], "", None]


def test_a_response_gives_bytes_by_the_name_of_the_output():
    assert not holds_bytes("image")
    assert to_response("image", VALUES) == [["a", "é"], ["\ufffd\x00", 1.5], "", None]
    assert holds_bytes("image_bytes")
    assert to_response("image_bytes", VALUES) == [
        ["a", {"b64": "w6k="}],
        [{"b64": "/wA="}, 1.5],
        {"b64": ""},
        None,
    ]
    assert from_json(to_response("image_bytes", VALUES)) == VALUES


def test_objects_are_bytes():
    assert from_json([["a", {"b64": "/wA="}], [1, None]]) == [["a", b"\xff\x00"], [1, None]]


@pytest.mark.parametrize("wrong", [{}, {"base64": "/wA="}, {"b64": "?"}, {"b64": "/wA"}, {"b64": 3}, {"b64": None}])
def test_other_objects_are_refused(wrong):
    with pytest.raises(ValueError, match=r'an object must be \{"b64": "..."\} in base64'):
        from_json([["a", wrong]])
