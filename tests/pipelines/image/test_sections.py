import numpy as np
import tensorflow as tf

from ikelos.pipelines.image import sections


def test_a_film_has_at_most_its_frames_and_the_last_one(tmp_path):
    history = [{"event": "step", "step": 1}]
    for step in range(1, 51):
        picture = tf.io.encode_png(np.full([2, 3, 1], step, np.uint8)).numpy()
        (tmp_path / f"{step}.png").write_bytes(picture)
        history.append({"event": "epoch", "step": step, "picture": f"{step}.png"})
    [film] = sections.film(tmp_path, history)
    shown = film.frames[:, 0, 0, 0].tolist()
    assert shown == [*range(1, 50, 3), 50]
    assert film.prose[0].startswith("The same samples after 1, 4, 7, ")
    assert film.frames.shape == (18, 2, 3, 1)
    [short] = sections.film(tmp_path, history[:3])
    assert short.frames[:, 0, 0, 0].tolist() == [1, 2]


def test_a_film_leaves_out_deleted_pictures(tmp_path):
    history = [{"event": "epoch", "step": step, "picture": f"{step}.png"} for step in (1, 2)]
    assert sections.film(tmp_path, history) == []
    (tmp_path / "2.png").write_bytes(tf.io.encode_png(np.full([2, 3, 1], 2, np.uint8)).numpy())
    [film] = sections.film(tmp_path, history)
    assert film.frames[:, 0, 0, 0].tolist() == [2]


def test_a_contest_is_drawn_over_the_epochs():
    record = {"event": "epoch", "step": 5, "validation_real_accuracy": 0.7, "validation_fake_accuracy": 0.6}
    picture = sections.adversaries([{"event": "step", "step": 1}, record | {"validation_diversity": 0.9}])
    titles = [axes.get_title(loc="left") for axes in picture.figure.axes]
    assert titles[2] == "Diversity of the samples (1: as diverse as the images)"
