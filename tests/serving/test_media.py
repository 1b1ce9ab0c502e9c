import numpy as np
import pytest

from ikelos.serving.media import save, with_contents


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_paths_become_contents_for_inputs_of_bytes(folder):
    path = folder / "a.png"
    assert with_contents("image_bytes", [path, str(path), b"raw"]) == [b"\x89PNG", b"\x89PNG", b"raw"]
    assert with_contents("image_bytes", [[path], (b"a", path)]) == [[b"\x89PNG"], [b"a", b"\x89PNG"]]
    assert with_contents("image_bytes", path) == b"\x89PNG"
    assert with_contents("image", [str(path)]) == [str(path)]
    array = np.array([b"a.png"], object)
    assert with_contents("image_bytes", array) is array


def test_a_file_that_is_missing(folder):
    with pytest.raises(FileNotFoundError):
        with_contents("image_bytes", [folder / "b.png"])


def test_outputs_of_bytes_become_files(folder):
    contents = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF....", b""]
    outputs = {
        "picture_bytes": np.array(contents, object),
        "text": np.array([b"RIFF"] * 4, object),
        "scores": np.zeros(4),
    }
    paths = save(folder / "new" / "out", outputs)
    assert [path.name for path in paths.values()] == [
        "picture-1.png",
        "picture-2.jpg",
        "picture-3.wav",
        "picture-4.bin",
    ]
    assert list(paths) == [("picture_bytes", row) for row in range(4)]
    assert [path.read_bytes() for path in paths.values()] == contents
    assert len(list((folder / "new" / "out").iterdir())) == 4
    with pytest.raises(FileExistsError):
        save(folder / "a.png", outputs)
