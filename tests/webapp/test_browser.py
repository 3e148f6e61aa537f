"""The app in a real browser: a photo in, class and map out; other classes, methods, models; what is no photo."""

import base64
import contextlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.imaging import write_image
from tests.browser import Watched, list_violations, open_browser
from tests.reporting.made import make_data, make_model
from tests.webapp.served import CLASSES, encode, halves, make_evidence, make_service, save_color_model, serve

pytestmark = pytest.mark.browser
HOSTILE = ("<img src=x onerror=alert(1)>", "b", "c")
RED, GREEN = (230, 10, 10), (10, 230, 10)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """Served: "colors", whose test errors are known, and "hostile", whose classes have names that want to be markup."""
    root = tmp_path_factory.mktemp("app")
    data = make_data(root / "data", CLASSES)
    make_model(root / "out", root / "elsewhere", "colors", data, {0: 2, 7: 0})
    save_color_model(root / "models", evidence=make_evidence())
    save_color_model(root / "models", "hostile", HOSTILE)
    with serve(make_service(root / "models", "colors", "hostile", root=root)) as served:
        yield served


@pytest.fixture(scope="module")
def browser():
    with open_browser("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as found:
        yield found


@pytest.fixture
def page(app, browser):
    """The page; fails where it complained or wanted to go elsewhere."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    context.grant_permissions(["camera"], origin=app.address)
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    watched = Watched(opened, (app.address, "data:", "blob:"))
    opened.goto(app.address)
    opened.get_by_text("No picture yet.").wait_for()
    yield opened
    # what the server refuses the browser notes by itself; the page has put it into a sentence
    watched.complaints = [text for text in watched.complaints if "status of 400" not in text]
    watched.assert_quiet()
    context.close()


def _send(page, encoded: bytes, name: str = "photo.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": encoded})


def _explained(page, text: str) -> None:
    page.locator(".panel.explained figcaption", has_text=text).first.wait_for()


def test_a_photo_is_named_and_explained(page):
    _send(page, encode(halves(RED, RED)))
    _explained(page, "Grad-CAM: why red, layer cells")
    assert page.inner_text("#verdict") == "red (100.0%)"
    shares = page.locator(".confidences button").all_inner_texts()
    assert len(shares) == 3 and shares[0].startswith("red")
    layer = page.locator(".panel .layer").first
    assert layer.evaluate("image => image.complete && image.naturalWidth === 64")
    assert page.locator(".panel").count() == 2 and page.locator("#problem").is_hidden()


def test_a_badge_says_what_is_unlike(page):
    badge = page.locator("#judged", has_text="Unlike the pictures that this model was trained on")
    for other in (
        lambda: _send(page, encode(halves(RED, RED))),
        lambda: page.locator("#model").select_option("hostile"),
    ):
        _send(page, encode(halves(RED, GREEN)))
        badge.wait_for()
        other()  # a picture like those of the training; a model of which nothing is known
        badge.wait_for(state="hidden")
        _explained(page, "Grad-CAM")
        assert page.locator("#verdict").is_visible()


def test_another_class_another_method_two_side_by_side(page):
    _send(page, encode(halves(RED, GREEN)))
    _explained(page, "Grad-CAM")
    page.locator("#class").select_option("green")
    _explained(page, "Grad-CAM: why green")
    page.locator("#versus").select_option("red")
    _explained(page, "Grad-CAM: green rather than red")
    page.locator("#method").select_option("hirescam")
    _explained(page, "HiResCAM: green rather than red")
    page.locator("#second").select_option("saliency")
    _explained(page, "Saliency: green rather than red")
    assert page.locator(".panel.explained").count() == 2
    page.locator("#versus").select_option("")
    page.locator(".confidences button", has_text="red").click()  # why not red?
    _explained(page, "HiResCAM: why red")
    assert page.locator(".confidences button[aria-pressed=true]").inner_text().startswith("red")


def test_a_text_file_named_jpg_gets_a_sentence_and_the_next_picture_its_answer(page):
    _send(page, b"only words\n" * 20, "words.jpg")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "not a picture" in alert.inner_text() and page.locator("#result").is_hidden()
    _send(page, encode(halves(GREEN, GREEN)))
    _explained(page, "why green")
    assert alert.is_hidden()


def test_after_a_broken_file_the_answer_is_still_about_the_picture_before(page):
    _send(page, encode(halves(GREEN, GREEN)))
    _explained(page, "why green")
    _send(page, b"only words", "words.jpg")
    page.get_by_role("alert").wait_for()
    assert page.inner_text("#status") == "The answer below is the one before."
    page.locator("#method").select_option("hirescam")
    _explained(page, "HiResCAM: why green")
    assert page.get_by_role("alert").is_hidden()


def test_a_method_for_all_classes_is_not_asked_for_one(page):
    _send(page, encode(halves(RED, GREEN)))
    _explained(page, "Grad-CAM")
    page.locator("#class").select_option("green")
    page.locator("#second").select_option("eigencam")
    _explained(page, "Eigen-CAM: one map for all classes")
    assert page.locator(".panel.explained").count() == 2 and page.get_by_role("alert").is_hidden()


def test_what_is_asked_while_another_is_answered_comes_last(page):
    """Answers that arrive late, of another model or picture, do not take the place of the newer one."""
    held = []

    def hold(route):
        held.append(route)
        if len(held) > 1:
            route.continue_()

    _send(page, encode(halves(RED, RED)))
    _explained(page, "why red")
    page.route("**/explain?*", hold)
    page.locator("#method").select_option("hirescam")  # is held
    page.locator("#model").select_option("hostile")
    _explained(page, "HiResCAM: why c")
    with contextlib.suppress(Exception):
        held[0].continue_()  # its visitor has left
    page.wait_for_timeout(300)
    assert page.locator(".panel.explained").count() == 1
    assert "why c" in page.inner_text(".panel.explained figcaption") and page.get_by_role("alert").is_hidden()


def test_a_slow_test_picture_does_not_replace_the_next_photo(page):
    held = []
    page.route("**/errors/picture?*number=0*", lambda route: held.append(route))
    page.locator(".errors button").first.click()
    _send(page, encode(halves(RED, RED)))
    _explained(page, "why red")
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
    assert page.inner_text("#verdict").startswith("red")


def test_what_is_no_file_and_a_camera_that_is_refused(app, browser):
    context = browser.new_context()
    opened = context.new_page()
    opened.add_init_script("navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('denied'))")
    opened.goto(app.address)
    opened.get_by_text("No picture yet.").wait_for()
    opened.evaluate(
        "document.dispatchEvent(new DragEvent('drop', {dataTransfer: new DataTransfer(), cancelable: true}))"
    )
    opened.get_by_role("alert").get_by_text("That was no file").wait_for()
    opened.get_by_role("button", name="Take a photo").click()
    opened.get_by_role("alert").get_by_text("The camera cannot be used").wait_for()
    assert opened.locator("#viewfinder").is_hidden() and opened.inner_text("#status") == "No picture yet."
    context.close()


def test_drop_and_paste(page):
    image = base64.b64encode(encode(halves(GREEN, GREEN))).decode()
    make = (
        "const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0)), data = new DataTransfer();"
        "data.items.add(new File([bytes], 'x.png', {type: 'image/png'}));"
    )
    page.evaluate(
        f"text => {{ {make} document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: data}})); }}", image
    )
    _explained(page, "why green")
    red = base64.b64encode(encode(halves(RED, RED))).decode()
    page.evaluate(
        f"text => {{ {make} document.getElementById('drop').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})); }",
        red,
    )
    _explained(page, "why red")
    assert page.inner_text("#verdict") == "red (100.0%)" and page.get_by_role("alert").is_hidden()


def test_a_photo_is_taken(page):
    page.get_by_role("button", name="Take a photo").click()
    page.locator("#viewfinder video").evaluate(
        "video => new Promise(done => video.videoWidth ? done() : video.addEventListener('loadeddata', done))"
    )
    page.get_by_role("button", name="Take", exact=True).click()
    _explained(page, "Grad-CAM: why")  # Chromium's false camera is green, with something that moves
    assert page.inner_text("#verdict").startswith("green") and page.locator("#viewfinder").is_hidden()


def test_opacity_and_the_saved_picture(page, tmp_path):
    _send(page, encode(halves(RED, (0, 0, 0))))
    _explained(page, "why red")
    page.get_by_label("Opacity of the map").fill("0")
    assert page.locator(".panel .layer").first.evaluate("e => getComputedStyle(e).opacity") == "0"
    pictures = []
    for opacity in ("0", "100"):
        page.get_by_label("Opacity of the map").fill(opacity)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save picture").click()
        assert download.value.suggested_filename == "red_gradcam.png"
        content = np.frombuffer(Path(download.value.path()).read_bytes(), np.uint8)
        pictures.append(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB).astype(int))
    plain, covered = pictures
    assert plain.shape == (64, 64, 3) and np.abs(plain - halves(RED, (0, 0, 0))).mean() < 3  # JPEG on the way
    change = np.abs(covered - plain).mean(axis=2)
    assert change[:, :28].mean() > 30 and change[:, 40:].mean() < 2


def test_the_gallery_of_errors(page):
    assert page.locator(".errors button").count() == 2
    page.locator(".errors button").first.click()
    _explained(page, "Grad-CAM: why")
    assert page.locator(".errors img").first.evaluate("image => image.naturalWidth === 30")


def test_another_model_whose_classes_are_text(page):
    _send(page, encode(halves((10, 10, 230), (10, 10, 230))))
    _explained(page, "why blue")
    page.locator("#model").select_option("hostile")
    _explained(page, f"why {HOSTILE[0]}")
    assert page.locator("img[src=x]").count() == 0 and page.locator("#errors").is_hidden()
    page.locator("#versus").select_option("b")
    _explained(page, f"{HOSTILE[0]} rather than b")


def test_the_keyboard_is_enough(page):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a picture").press("Enter")
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": encode(halves(RED, RED))})
    _explained(page, "why red")
    second = page.locator(".confidences .name").nth(1).inner_text()
    page.locator(".confidences button").nth(1).press("Space")
    _explained(page, f"why {second}")
    assert page.evaluate("document.activeElement.innerText").startswith(second)  # the focus stays


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_is_accessible_and_fits(app, browser, scheme, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(app.address)
    _send(opened, encode(halves(RED, GREEN)))
    _explained(opened, "Grad-CAM")
    assert list_violations(opened) == []
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    context.close()


@pytest.mark.large
def test_a_real_photo(browser, tmp_path):
    """The cat of scikit-image, by the model of 1,000 classes."""
    from skimage import data

    write_image(tmp_path / "cat.jpg", data.chelsea())
    with serve(make_service(tmp_path / "models", "imagenet")) as served:
        opened = browser.new_page()
        opened.goto(served.address)
        opened.get_by_text("No picture yet.").wait_for(timeout=60_000)
        opened.set_input_files("#file", tmp_path / "cat.jpg")
        opened.locator(".panel.explained").wait_for(timeout=60_000)
        assert opened.inner_text("#verdict").startswith(("Egyptian cat", "tabby", "tiger cat"))
        seconds = float(opened.inner_text("#status").split(":")[1].split("s")[0])
        assert seconds > 0 and opened.locator(".confidences button").count() == 8
        opened.close()
