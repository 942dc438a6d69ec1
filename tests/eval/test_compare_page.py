"""The page of a comparison in a real browser, opened from a file, with the network off."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from crfrnn.data import open_set, write_labels
from eval.compare import main
from tests.eval.browser import browser


@pytest.fixture
def page(voc: Path, tmp_path: Path) -> Iterator[Page]:
    """The page of four images; dog is in the last of them alone, in its truth."""
    (voc / "classes.txt").write_text("background\ncat\ndog")
    dataset = open_set(voc, "val")
    logits = np.zeros((4, 5, 6, 3), dtype=np.float32)
    logits[..., 1] = 5
    np.savez(tmp_path / "scores.npz", names=list("abcd"), logits=logits)
    for i in range(4):
        labels = dataset[i].labels.clamp(max=1)
        labels[-4:] = 2 if i == 3 else 1
        write_labels(voc / f"SegmentationClass/{dataset.names[i]}.png", labels)
    assert main(["--data", str(voc), "--out", str(tmp_path / "out"), "--scores", str(tmp_path / "scores.npz")]) == 0
    with browser() as chromium:
        if chromium is None:
            pytest.skip(
                "no Chromium is installed here (2026-11-26); `python -m playwright install chromium` fetches it"
            )
        context = chromium.new_context(viewport={"width": 900, "height": 700}, offline=True)
        opened = context.new_page()
        wrong: list[str] = []
        opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on(
            "request", lambda asked: None if asked.url.startswith(("data:", "file:")) else wrong.append(asked.url)
        )
        opened.goto((tmp_path / "out" / "index.html").as_uri())
        yield opened
    assert wrong == []


def test_choose_enlarge_and_uncover(page: Page) -> None:
    articles = page.locator("article:visible")
    assert articles.count() == 4
    assert page.locator("#class option").all_text_contents() == ["any class", "cat (4)", "dog (1)"]
    page.select_option("#class", "dog")
    assert articles.count() == 1
    assert articles.locator("h3").text_content().startswith("d, gain")
    assert page.locator("#shown").text_content() == "1 of 4 images on this page"
    headings = [text.split("mean IoU")[0] for text in articles.locator("figcaption").all_text_contents()]
    assert headings == ["photo", "network alone", "network + dense CRF", "truth"]

    sources = "images => images.map(image => image.src)"
    painted = articles.locator("img.whole").evaluate_all(sources)
    page.uncheck("#overlay")
    bare = articles.locator("img.whole").evaluate_all(sources)
    assert bare == [painted[0]] * 4
    page.locator("h1").click()
    page.keyboard.press("o")
    assert articles.locator("img.whole").evaluate_all(sources) == painted

    articles.locator("button").nth(2).click()
    caption = page.locator("#caption")
    assert caption.text_content() == "d: network alone"
    assert page.locator("#full").get_attribute("src") == painted[1]
    page.wait_for_function("document.getElementById('full').width >= document.getElementById('full').naturalWidth")
    page.keyboard.press("ArrowRight")
    assert caption.text_content() == "d: network + dense CRF"
    page.keyboard.press("o")
    assert page.locator("#full").get_attribute("src") == painted[0]
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()

    for width in (900, 1400):
        check_that_the_legend_covers_nothing(page, width)


def check_that_the_legend_covers_nothing(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    boxes = "found => found.map(each => each.getBoundingClientRect().toJSON())"
    for height in (0, 300, 900):
        page.evaluate(f"scrollTo(0, {height})")
        (legend,) = page.locator("aside > div").evaluate_all(boxes)
        for box in page.locator("main img:visible").evaluate_all(boxes):
            apart = box["left"] >= legend["right"] or box["right"] <= legend["left"]
            assert apart or box["top"] >= legend["bottom"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
