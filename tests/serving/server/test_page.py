"""The page in a real browser, Debian's Chromium."""

import base64
import io
import json
import re
import shutil
import subprocess
import wave

import numpy as np
import pytest
import tensorflow as tf

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

PNG = tf.io.encode_png(tf.zeros([8, 8, 3], tf.uint8)).numpy()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's sandbox does not run as root, as in a container.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    """Returns a page of the server, which must neither load anything from elsewhere nor write an error."""
    context = browser.new_context(base_url=str(server.http.base_url), viewport={"width": 1000, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors, urls = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: urls.append(request.url))
    yield page
    context.close()
    # A browser notes each answer of 400 as an error, and each lost one; those are the tests of what goes wrong.
    assert [error for error in errors if "status of 400" not in error and "net::ERR_FAILED" not in error] == []
    assert all(url.startswith((str(server.http.base_url), "data:")) for url in urls)


def open_form(page, place):
    """Opens the form of `MODEL/SIGNATURE`, and waits until it stands in the place of one that the page showed before.

    A browser does not wait for that: only the end of the address changes.
    """
    page.goto(f"/#{place}")
    name, _, signature = place.partition("/")
    page.wait_for_function(
        "([name, signature]) => state.model?.name === name && (!signature || state.signature.name === signature)",
        arg=[name, signature],
    )


def run(page):
    page.get_by_role("button", name="Run").click()
    page.locator("#status").filter(has_text=re.compile(r"\d s$")).wait_for()


def wait_for_alert(page, text):
    page.get_by_role("alert").filter(has_text=text).wait_for()


def outputs(page):
    return [" ".join(text.split()) for text in page.locator(".output").all_inner_texts()]


def test_a_form_and_its_answer(page):
    page.goto("/#plain/checked")
    page.get_by_label("text string").fill("<b>é</b>\"'\\ ")
    page.get_by_label("n int32").fill("7")
    run(page)
    assert outputs(page) == ["rows 1", "text <b>é</b>\"'\\ 7"]
    assert page.locator(".output b").count() == 0


def test_examples_fill_the_form(page):
    page.goto("/#words/shout")
    assert page.get_by_label("text string").input_value() == "héllo"
    page.get_by_role("button", name="example 2").click()
    assert (page.get_by_label("text string").input_value(), page.get_by_label("times int32").input_value()) == (
        "world",
        "-2",
    )
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".output")
    assert outputs(page) == ["length 8", "text WORLD!-2"]


def test_wrong_inputs_are_told(page):
    page.goto("/#plain/checked")
    page.get_by_label("n int32").fill("1.5")
    page.get_by_role("button", name="Run").click()
    wait_for_alert(page, "n must be a whole number.")
    page.get_by_label("n int32").fill("-1")
    page.get_by_role("button", name="Run").click()
    wait_for_alert(page, "Signature 'checked': n must be in [0, 9] -1")
    page.get_by_label("n int32").fill("99999999999999999999")
    page.get_by_role("button", name="Run").click()
    wait_for_alert(page, "input 'n' must")


def test_fields_have_the_bounds_of_the_card(page):
    page.goto("/#words/shout")
    page.get_by_text("int32, -1000 to 1000").wait_for()
    slider = page.get_by_label("times, slider")
    assert [slider.get_attribute(name) for name in ("min", "max", "step")] == ["-1000", "1000", "1"]
    slider.fill("999")
    run(page)
    assert outputs(page) == ["length 10", "text HéLLO!999"]
    page.get_by_label("times int32").fill("1001")
    page.get_by_role("button", name="Run").click()
    wait_for_alert(page, "times must be -1000 to 1000.")
    page.get_by_label("times int32").fill("1")
    page.get_by_label("text string").fill("é" * 1001)
    page.get_by_role("button", name="Run").click()
    wait_for_alert(page, "text must have at most 2000 bytes, but has 2002.")


def test_numbers_that_json_does_not_have(page):
    page.goto("/#plain/serving_default")
    page.get_by_label("x float32").fill("1e38")
    run(page)
    assert outputs(page) == ["y 5e+37"]
    assert page.evaluate("""parseJson('{"a": [NaN, -Infinity, 12345678901234567890, 0.12345678901234567]}')""") == {
        "a": ["NaN", "-Infinity", "12345678901234567890", 0.12345678901234567]
    }


def test_pictures_and_sound(page, tmp_path):
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 800)
    page.goto("/#plain/copy")
    page.get_by_role("button", name="Run").click()
    wait_for_alert(page, "image_bytes needs a file.")
    for name, content, selector in [("a.png", PNG, "img"), ("a.wav", sound.getvalue(), "audio"), ("a", b"\0\1", "a")]:
        (tmp_path / name).write_bytes(content)
        page.locator("#fields input").set_input_files(tmp_path / name)
        page.get_by_text(f"{name},").wait_for()
        run(page)
        shown = page.locator(f".output {selector}")
        source = shown.get_attribute("href" if selector == "a" else "src")
        assert base64.b64decode(source.partition("base64,")[2]) == content


def test_a_text_is_written_token_by_token(page):
    page.goto("/#writer")
    page.get_by_label("prompt").fill("<u>")
    page.get_by_label("temperature float32", exact=True).fill("0")
    run(page)
    assert outputs(page) == ["<u>3<i>4<i>5<i>6<i>7<i>8"]


def test_a_text_ends_at_a_stop_string(page):
    page.goto("/#writer")
    page.get_by_label("prompt").fill("<u>")
    page.get_by_label("temperature float32", exact=True).fill("0")
    page.get_by_role("button", name="Add").click()
    page.get_by_label("stop 1").fill("6<")
    run(page)
    assert outputs(page) == ["<u>3<i>4<i>5<i>"]


def test_a_list_of_texts(page):
    page.goto("/#plain/join")
    for number, text in enumerate(["é\n", "", "b"], 1):
        page.get_by_role("button", name="Add").click()
        page.get_by_label(f"words {number}").fill(text)
    run(page)
    assert page.locator(".output .text").inner_text() == "é\n||b"
    page.get_by_role("button", name="Remove").nth(1).click()
    assert page.locator("#curl").text_content().count('[["é\\n","b"]]') == 1
    page.get_by_role("button", name="Remove").first.click()
    page.get_by_role("button", name="Remove").click()
    run(page)
    assert outputs(page) == ["joined"]


def test_a_picture_becomes_numbers(page, tmp_path):
    grey = np.arange(72, dtype=np.uint8).reshape(8, 9, 1)
    page.goto("/#plain/invert")
    page.get_by_role("button", name="Run").click()
    wait_for_alert(page, "image needs a picture.")
    chooser = page.get_by_label("image uint8")
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(grey).numpy())
    chooser.set_input_files(tmp_path / "a.png")
    page.locator(".preview canvas").wait_for()
    assert json.loads(page.get_by_label("image, numbers").input_value()) == grey.tolist()
    run(page)
    pixels = "[...document.querySelector('.output canvas').getContext('2d').getImageData(0, 0, 9, 8).data]"
    assert page.evaluate(pixels)[::4] == (255 - grey).ravel().tolist()
    page.get_by_text("Numbers").click()
    page.get_by_label("image, numbers").fill("[]")
    assert page.locator(".preview canvas").count() == 0
    assert chooser.input_value() == ""


MAKE = """(input) => {
  const field = makeField({ name: "x", values: [null, null], max_bytes: null, max_size: null, ...input }, 0);
  document.body.append(field.node);
  window.field = field;
  return field.kind;
}"""
# A file that is read when the test says so, and another one at once.
SLOW = """() => {
  const chooser = field.nodes[0];
  const set = (file) => {
    const files = new DataTransfer();
    files.items.add(file);
    chooser.files = files.files;
    chooser.dispatchEvent(new Event("change"));
  };
  window.createImageBitmap = new Proxy(createImageBitmap, {
    apply: async (target, self, [file, options]) => {
      if (file.name === "slow") await new Promise((resolve) => { window.release = resolve; });
      return target(file, options);
    },
  });
  File.prototype.arrayBuffer = async function () {
    if (this.name === "slow") await new Promise((resolve) => { window.release = resolve; });
    return Blob.prototype.arrayBuffer.call(this);
  };
  window.choose = set;
}"""
MESSAGE = "() => { try { return field.get(); } catch (error) { return error.message; } }"


@pytest.mark.parametrize("kind", ["file", "picture"])
def test_nothing_is_sent_while_a_file_is_read_and_the_last_file_counts(page, kind):
    page.goto("/#plain/invert")
    page.locator(".field").first.wait_for()
    inputs = {
        "file": {"name": "x_bytes", "dtype": "string", "shape": [None]},
        "picture": {"name": "x", "dtype": "uint8", "shape": [None, None, None, 1]},
    }
    assert page.evaluate(MAKE, inputs[kind]) == kind
    page.evaluate(SLOW)
    dark, light = ([*tf.io.encode_png(tf.fill([1, 1, 1], tf.constant(n, tf.uint8))).numpy()] for n in (0, 255))
    choose = "([bytes, name]) => choose(new File([new Uint8Array(bytes)], name))"
    page.evaluate("([value]) => field.set(value)", [[[[7]]] if kind == "picture" else "old"])
    page.evaluate(choose, [dark, "slow"])
    assert page.evaluate(MESSAGE) == f"{inputs[kind]['name']}: slow is being read."
    page.evaluate(choose, [light, "fast"])
    page.wait_for_function("() => { try { return field.get(); } catch { return false; } }")
    value = page.evaluate(MESSAGE)
    page.evaluate("async () => { release(); await new Promise((resolve) => setTimeout(resolve, 200)); }")
    assert page.evaluate(MESSAGE) == value
    expected = [[[255]]] if kind == "picture" else {"b64": base64.b64encode(bytes(light)).decode()}
    assert json.loads(value) == expected


def test_bytes_that_are_no_text_are_sent_as_they_are(page):
    page.goto("/#plain/join")
    page.locator(".field").first.wait_for()
    assert page.evaluate(MAKE, {"name": "frames_bytes", "dtype": "string", "shape": [None, None]}) == "data"
    for shape, value in [([None], {"b64": "/w=="}), ([None, None], ["a", {"b64": "/w=="}])]:
        page.evaluate(MAKE, {"dtype": "string", "shape": shape})
        page.evaluate("(value) => field.set(value)", value)
        assert json.loads(page.evaluate("() => field.get()")) == value
        area = "[...field.node.querySelectorAll('textarea')].at(-1)"
        page.evaluate(f"() => {{ {area}.value = 'b'; {area}.dispatchEvent(new Event('input')); }}")
        assert json.loads(page.evaluate("() => field.get()")) == ("b" if len(shape) == 1 else ["a", "b"])


@pytest.mark.parametrize(
    ("max_size", "sides", "message"),
    [
        (8, (8, 9), "x must have at most 8 \xd7 at most 8 pixels. a.png has 9 \xd7 8."),
        (None, (1000, 1001), "x must have at most 1,000,000 pixels. a.png has 1001 \xd7 1000."),
    ],
)
def test_a_picture_of_free_size_has_limits(page, max_size, sides, message):
    page.goto("/#plain/join")
    page.locator(".field").first.wait_for()
    page.evaluate(MAKE, {"dtype": "uint8", "shape": [None, None, None, 1], "max_size": max_size})
    page.evaluate(SLOW)
    png = [*tf.io.encode_png(tf.zeros([*sides, 1], tf.uint8)).numpy()]
    page.evaluate("(bytes) => choose(new File([new Uint8Array(bytes)], 'a.png'))", png)
    page.get_by_text(message).wait_for()
    assert page.evaluate(MESSAGE) == message


def test_a_picture_that_does_not_fit_is_refused(page, tmp_path):
    page.goto("/#plain/invert")
    see_through = tf.constant([0, 0, 0, 128], tf.uint8)[None, None] * tf.ones([8, 9, 1], tf.uint8)
    red = tf.constant([255, 0, 0], tf.uint8)[None, None] * tf.ones([8, 9, 1], tf.uint8)
    for content, message in [
        (PNG, "image must have 9 \xd7 8 pixels. a.png has 8 \xd7 8."),
        (tf.io.encode_png(see_through).numpy(), "image must have no transparent pixels. a.png has some."),
        (tf.io.encode_png(red).numpy(), "image must be grey, since it has one channel. a.png has colours."),
        (b"no picture", "image must be a picture. a.png is none that the browser knows."),
    ]:
        (tmp_path / "a.png").write_bytes(content)
        page.get_by_label("image uint8").set_input_files([])
        page.get_by_label("image uint8").set_input_files(tmp_path / "a.png")
        page.get_by_text(message).first.wait_for()
        page.get_by_role("button", name="Run").click()
        wait_for_alert(page, message)


def test_pictures_in_floats_and_what_is_no_picture(page):
    page.goto("/#plain/invert")

    def found(dtype, shape, *values):
        return page.evaluate(
            "(input) => pictureFormatOf(input)", {"dtype": dtype, "shape": shape, "values": values, "max_size": 64}
        )

    free = {"height": None, "width": 32, "channels": 3, "white": 1, "max_size": 64}
    assert found("float32", [None, None, 32, 3], 0, 1) == free
    assert found("float16", [None, 28, 28, 1], 0, 255)["white"] == 255
    assert found("uint8", [None, 28, 28, 1], 0, 255)["white"] == 255
    assert found("uint8", [None, 28, 28, 1], 0, 1) is None
    assert found("float32", [None, 28, 28, 1], None, None) is None
    assert found("float32", [None, 28, 28, 2], 0, 1) is None
    assert found("float32", [None, 28, 28], 0, 1) is None
    assert found("int32", [None, 28, 28, 1], 0, 255) is None


def test_the_command_for_a_shell_gives_the_same_answer(page, tmp_path):
    page.goto("/#plain/checked")
    page.get_by_label("text string").fill('it\'s "$HOME" \\n `id` é')
    page.get_by_text("The same request in a shell").click()
    done = subprocess.run(["bash", "-c", page.locator("#curl").inner_text()], capture_output=True, cwd=tmp_path)
    assert 'it\'s \\"$HOME\\" \\\\n `id` é0' in done.stdout.decode()
    open_form(page, "plain/copy")
    name = "a 'b' $c.png"
    (tmp_path / name).write_bytes(PNG)
    page.locator("#fields input").set_input_files(tmp_path / name)
    page.get_by_text(f"{name},").wait_for()
    done = subprocess.run(["bash", "-c", page.locator("#curl").inner_text()], capture_output=True, cwd=tmp_path)
    assert base64.b64encode(PNG) in done.stdout


def test_a_long_command_is_a_here_document(page, tmp_path):
    page.goto("/#plain/checked")
    text = "é$`'\\" * 20_000
    page.get_by_label("text string").fill(text)
    assert len(page.locator("#curl").text_content()) < 11_000
    command = page.evaluate("state.curl").encode()
    done = subprocess.run(["bash"], input=command, capture_output=True, cwd=tmp_path)
    assert json.loads(done.stdout)["outputs"]["text"] == [f"{text}0"]


def test_models_and_signatures_are_chosen(page):
    page.goto("/")
    page.get_by_label("Model").select_option("words")
    page.get_by_role("button", name="tokens").click()
    page.wait_for_url(re.compile("#words/tokens$"))
    page.get_by_text("Words between white space.").wait_for()
    page.go_back()
    page.get_by_text("Scores of single words.").wait_for()
    assert page.title() == "words - Ikelos"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_field_has_a_label_and_a_phone_shows_the_page_whole(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    for place in ("plain/checked", "plain/copy", "plain/invert", "plain/join", "words/tokens", "writer"):
        open_form(page, place)
        for button in page.get_by_role("button", name="Add").all():
            button.click()
        for field in page.locator("input, textarea, select").all():
            assert field.evaluate("node => node.labels.length > 0 || Boolean(node.ariaLabel)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_another_signature_ends_the_run(page):
    page.goto("/#words/shout")
    held = []
    page.route("**/v1/models/**", lambda route: held.append(route))
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.get_by_role("button", name="tokens").click()
    page.get_by_text("Press Run to ask the model.").wait_for()
    assert len(held) == 1
    page.unroute("**/v1/models/**")
    run(page)
    assert "Who" in " ".join(outputs(page))


def test_a_server_that_is_gone_is_told(page):
    for place, path in (("words/shout", "**/v1/models/**"), ("writer", "**/page/stream/**")):
        open_form(page, place)
        page.route(path, lambda route: route.abort())
        page.get_by_role("button", name="Run").click()
        wait_for_alert(page, "The server does not answer. Is it still running?")
