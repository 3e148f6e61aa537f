"""The page in a real browser: what it shows, what a click does, that it stays alone."""

import base64
import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.heatmap_drawing import heatmap_layer, scale_maximum
from src.reporting.page import write_report
from src.reporting.results import read_results
from tests.browser import Watched, list_violations, open_browser
from tests.reporting.made import make_audit, make_data, make_model

pytestmark = pytest.mark.browser
HOSTILE = ("<b onmouseover=alert(1)>", '=1+1"&', "owl")  # as folders may be called
WRONG = {0: 1, 1: 1, 7: 2, 17: 0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The written page, and the raw maps of its model "first"; a second model has neither maps nor wrong answers."""
    root = tmp_path_factory.mktemp("page")
    data = make_data(root / "data", HOSTILE)
    heatmaps = make_model(root / "out", root / "models", "first", data, WRONG, trusted=True)
    make_model(root / "out", root / "models", "second", data, {}, maps=False)
    make_audit(root / "out", data, [("train/owl/owl_0.png", "dark", "0.9", "dark <i>all over</i>", "", "")])
    results = read_results(data, root / "models", root / "out")
    write_report(results, root / "out" / "report.html", "python -m src.report")
    return root / "out" / "report.html", heatmaps


@pytest.fixture(scope="module")
def browser():
    with open_browser() as found:
        yield found


@pytest.fixture
def page(made, browser):
    """The page, opened by its file's address; fails where it complained or asked for anything."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    watched = Watched(opened, ("file:", "data:", "blob:"))
    opened.goto(Path(made[0]).as_uri())
    yield opened
    watched.assert_quiet()
    context.close()


def _cards(page) -> list[str]:
    return page.locator("#gallery li .facts").all_inner_texts()


def _field(page, label: str):
    return page.locator("#filters").get_by_label(label)


def test_wrong_answers_come_first_the_surest_at_the_top(page):
    cards = _cards(page)
    assert len(cards) == 4 and "4 pictures of first" in page.inner_text("#count")
    sure = [float(card.split("%")[0].rsplit(" ", 1)[1]) for card in cards]
    assert sure == sorted(sure, reverse=True) and cards[0].startswith("wrong: ")
    assert page.locator("#gallery img").evaluate_all("all => all.every(i => i.complete && i.naturalWidth === 30)")


def test_names_are_text(page):
    assert page.locator("b[onmouseover]").count() == 0 and page.locator("summary i, li i").count() == 0
    assert page.get_by_role("rowheader", name=HOSTILE[0]).first.is_visible()
    assert page.get_by_text("dark <i>all over</i>").is_visible()


def test_a_cell_of_the_matrix_shows_its_pictures(page):
    # classes in their order: "<b ..." , '=1+1"&', "owl"
    page.locator("[data-model='0'] .matrix .cell[data-true='0'][data-predicted='1']").click()
    cards = _cards(page)
    assert len(cards) == 2 and all("wrong" in card and HOSTILE[0] in card for card in cards)
    assert page.locator("#pictures-title").evaluate("e => e === document.activeElement")
    page.locator("[data-model='0'] .matrix .cell[data-true='2'][data-predicted='2']").press("Enter")
    assert len(_cards(page)) == 5 and all(card.startswith("right: owl") for card in _cards(page))


def test_filters(page):
    _field(page, "Answers").select_option("all")
    assert len(_cards(page)) == 18
    _field(page, "Confidence from").fill("90")
    assert 0 < len(_cards(page)) < 18
    assert all(float(card.split("%")[0].rsplit(" ", 1)[1]) >= 90 for card in _cards(page))
    _field(page, "True class").select_option("owl")
    _field(page, "Predicted class").select_option(HOSTILE[0])
    assert len(_cards(page)) == 1
    _field(page, "Sorted by").select_option("path")
    page.get_by_role("button", name="Reset").click()
    assert len(_cards(page)) == 4


def test_another_model(page):
    page.locator("#model-choice").select_option("second")
    assert len(_cards(page)) == 18 and _field(page, "Answers").input_value() == "right"
    assert page.locator("#gallery canvas").count() == 0
    assert page.locator("[data-model='0']").first.is_hidden() and page.locator("[data-model='1']").first.is_visible()
    page.get_by_role("button", name="first", exact=True).click()
    assert len(_cards(page)) == 4 and page.locator("#gallery canvas").count() == 8


def test_maps_are_drawn_as_the_overlays_are(made, page):
    _, heatmaps = made
    _field(page, "Sorted by").select_option("path")
    names = [Path(text.splitlines()[-1]).name for text in _cards(page)]
    place = [index for index, name in enumerate(names) if name == f"{HOSTILE[0]}_0.png"][0]
    urls = page.locator("#gallery li").nth(place).locator("canvas").evaluate_all("all => all.map(c => c.toDataURL())")
    maps = heatmaps[0], heatmaps[0][:, ::-1]
    for url, heatmap in zip(urls, maps, strict=True):
        drawn = cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_UNCHANGED)
        wanted = heatmap_layer(heatmap, drawn.shape[:2], scale_maximum(*maps))
        # what is laid over a picture: colour times cover; within the steps of bytes (negative values are cut before)
        clipped = heatmap_layer(np.maximum(heatmap, 0), drawn.shape[:2], scale_maximum(*maps))
        shown, expected = (
            layer[..., :3].astype(float) * layer[..., 3:] / 255 for layer in (drawn[..., [2, 1, 0, 3]], clipped)
        )
        assert np.abs(shown - expected).max() < 6 and np.abs(shown - expected).mean() < 1
        assert np.corrcoef(drawn[..., 3].ravel(), wanted[..., 3].ravel())[0, 1] > 0.95


def test_a_picture_is_enlarged_and_the_keyboard_goes_on(page):
    page.locator("#gallery li button").first.press("Enter")
    title = page.locator("#enlarged-title")
    first = title.inner_text()
    assert page.locator("#enlarged canvas").count() == 2 and "largest raw value" in page.inner_text("#enlarged .facts")
    page.keyboard.press("ArrowRight")
    assert title.inner_text() != first
    page.keyboard.press("ArrowLeft")
    assert title.inner_text() == first
    page.keyboard.press("Escape")
    assert not page.locator("#enlarged").is_visible()


def test_at_either_end_the_keyboard_still_goes_on(page):
    page.locator("#gallery li button").first.click()
    titles = []
    for _ in range(5):  # of 4 pictures
        page.locator("#next").press("Enter")
        titles.append(page.inner_text("#enlarged-title"))
    assert len(set(titles)) == 3 and page.locator("#next").get_attribute("aria-disabled") == "true"
    assert page.locator("#next").evaluate("e => e === document.activeElement")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#enlarged-title") == titles[1]


def test_what_is_not_here_is_counted(page):
    _field(page, "Answers").select_option("right")
    assert page.inner_text("#count") == "14 pictures of first"  # all of them: 12 of a class at most, here 4 to 5
    _field(page, "Confidence from").fill("90")
    assert " of first" in page.inner_text("#count") and "14" not in page.inner_text("#count")


def test_the_tile_shows_the_wrong_pictures_of_its_own_model(page):
    page.locator("#model-choice").select_option("second")
    page.get_by_role("button", name="look at them").click()
    assert page.locator("#model-choice").input_value() == "0" and len(_cards(page)) == 4


def test_the_saved_list_is_harmless(page):
    _field(page, "Answers").select_option("all")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save list").click()
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text())))
    assert len(rows) == 19 and rows[0][:3] == ["path", "true", "predicted"]
    cells = {cell for row in rows[1:] for cell in row}
    assert f"'{HOSTILE[1]}" in cells and HOSTILE[0] in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_themes_and_opacity(page):
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(ground) != light
    page.get_by_label("Opacity of the maps").fill("30")
    opacity = "canvas => getComputedStyle(canvas).opacity"
    assert page.locator("#gallery canvas").first.evaluate(opacity) == "0.3"
    page.locator("#gallery li button").first.click()
    assert page.locator("#enlarged canvas").first.evaluate(opacity) == "0.3"
    page.keyboard.press("Escape")
    page.locator("[data-model='0'] .matrix .cell[data-true='0'][data-predicted='1']").click()
    assert page.get_by_label("Opacity of the maps").input_value() == "100"
    assert page.locator("#gallery canvas").first.evaluate(opacity) == "1"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_is_accessible_and_fits(made, browser, scheme, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(made[0].as_uri())
    assert list_violations(opened) == []
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    context.close()


def test_it_prints(made, browser, tmp_path):
    opened = browser.new_page()
    opened.goto(made[0].as_uri())
    opened.locator("#filters [name=kind]").select_option("all")
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.locator("details:not([open])").count() == 0 and opened.locator("#gallery li").count() == 18
    opened.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
