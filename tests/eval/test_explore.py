"""The page that explains every pixel, in a real browser without a network, against the layer and dense sums."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.data import read_image
from crfrnn.data.scenes import draw_scene
from crfrnn.lattice import exact_gaussian_filter
from eval.explore import main
from eval.inputs.scored_photo import ScoredPhoto
from eval.inputs.scores_file import read_unary
from eval.pictures.explorer.content import content
from eval.pictures.explorer.page import explorer_page
from tests.dense_meanfield import dense_features, dense_kernel, dense_meanfield, dense_normalized
from tests.eval.browser import browser

CLASSES = ["background", "cat", "a <b> & c"]
HEIGHT, WIDTH, ITERATIONS = 18, 24, 4
THETAS = {"theta_alpha": 8.0, "theta_beta": 40.0, "theta_gamma": 2.0}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        if opened is None:
            pytest.skip(
                "no Chromium is installed here (2026-11-26); `python -m playwright install chromium` fetches it"
            )
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of two colors and noise, scores of three labels for it, and a mask with void."""
    folder = tmp_path_factory.mktemp("explore")
    random = np.random.default_rng(0)
    left = np.arange(WIDTH) < WIDTH // 2
    photo = np.where(left[None, :, None], (60, 90, 120), (180, 150, 70)) + random.integers(-30, 30, (HEIGHT, WIDTH, 3))
    Image.fromarray(photo.astype(np.uint8)).save(folder / "photo.png")
    logits = random.normal(size=(3, HEIGHT, WIDTH)).astype(np.float32)
    logits[1, :, : WIDTH // 2] += 1
    logits[2, :, WIDTH // 2 :] += 1
    np.save(folder / "scores.npy", logits)
    truth = np.where(left[None], 1, 2).repeat(HEIGHT, 0).astype(np.uint8)
    truth[0] = 255
    Image.fromarray(truth).save(folder / "truth.png")
    return folder


@pytest.fixture(scope="module")
def page(chromium: Browser, folder: Path) -> Page:
    flags = " ".join(f"--dense-crf.{name.replace('_', '-')} {value}" for name, value in THETAS.items())
    out = folder / "page.html"
    command = f"{folder / 'photo.png'} --scores {folder / 'scores.npy'} --truth {folder / 'truth.png'} --out {out}"
    assert main([*f"{command} {flags} --iterations {ITERATIONS}".split(), "--classes", *CLASSES]) == 0
    return opened(chromium, out)


def opened(chromium: Browser, path: Path) -> Page:
    """The page, computed, without a network; what went wrong and what it asked for are in `window.trouble`."""
    page = chromium.new_context(offline=True, viewport={"width": 1400, "height": 1000}).new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url))
    page.goto(path.as_uri())
    page.evaluate("explorer.ready.then(() => explorer.labReady)")
    own = ("file:", "data:", "blob:")
    assert [each for each in trouble if not each.startswith(own)] == []
    assert sum(each.startswith("file:") for each in trouble) == 1
    return page


@pytest.fixture(scope="module")
def problem(folder: Path) -> tuple[CRFRNN, torch.Tensor, torch.Tensor]:
    """The layer, unary and photograph that the page is of."""
    kernels = [
        smoothness_kernel(THETAS["theta_gamma"], 3.0),
        appearance_kernel(THETAS["theta_alpha"], THETAS["theta_beta"]),
    ]
    photo = read_image(folder / "photo.png")
    return CRFRNN(3, kernels), read_unary(folder / "scores.npy", (HEIGHT, WIDTH)), photo[None].float()


def everywhere(page: Page, expression: str) -> np.ndarray:
    """An expression of (x, y) at every pixel."""
    pixels = f"Array.from({{length: {HEIGHT * WIDTH}}}, (_, i) => [i % {WIDTH}, Math.floor(i / {WIDTH})])"
    return np.array(page.evaluate(f"{pixels}.map(([x, y]) => {expression})"))


def state(page: Page) -> dict[str, Any]:
    return page.evaluate("explorer.settled().then(explorer.state)")


def point(page: Page, x: int, y: int) -> tuple[float, float]:
    """Where pixel (x, y) of the photograph is on the screen."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    return box["x"] + (x + 0.5) * box["width"] / WIDTH, box["y"] + (y + 0.5) * box["height"] / HEIGHT


def test_beliefs_labels_and_logits_are_those_of_the_layer(page: Page, problem: tuple) -> None:
    crf, unary, photo = problem
    for after in crf.iterate(unary, photo, ITERATIONS):
        t = after.iteration
        labels = everywhere(page, f"explorer.label({t}, x, y)").reshape(HEIGHT, WIDTH)
        assert labels.tolist() == [[CLASSES[i] for i in row] for row in after.logits[0].argmax(0).tolist()]
        for label, name in enumerate(CLASSES):
            beliefs = everywhere(page, f"explorer.belief({name!r}, {t}, x, y)")
            np.testing.assert_allclose(beliefs, after.beliefs[0, label].detach().flatten(), atol=0.5 / 255 + 1e-6)
            logits = everywhere(page, f"explorer.split({name!r}, {t}, x, y).logit")
            # half a step of two penalties up to 3 and 5, in 7 bits, and of a unary between -5 and 5, in 12
            atol = 0.5 * (8 / 127 + 10 / 4095) + 1e-5
            np.testing.assert_allclose(logits, after.logits[0, label].detach().flatten(), atol=atol)


def test_a_kernel_of_a_pixel_is_exact(page: Page, problem: tuple) -> None:
    _, _, photo = problem
    x, y = 7, 11
    one = torch.zeros(1, HEIGHT * WIDTH, 1)
    one[0, y * WIDTH + x] = 1
    for m, thetas in enumerate([(THETAS["theta_gamma"],), (THETAS["theta_alpha"], THETAS["theta_beta"])]):
        expected = exact_gaussian_filter(one, dense_features(photo[0], *thetas)[None])[0, :, 0]
        np.testing.assert_allclose(page.evaluate(f"Array.from(explorer.kernel({m}, {x}, {y}))"), expected, atol=1e-6)


def test_controls(page: Page) -> None:
    assert state(page)["iteration"] == ITERATIONS
    page.locator("#iteration").fill("1")
    assert state(page)["iteration"] == 1
    assert "iteration 1 of 4" in page.locator("#status").inner_text()
    page.get_by_role("button", name="cat").click()
    assert state(page)["label"] == "cat"

    page.mouse.move(*point(page, 5, 6))
    assert (state(page)["x"], state(page)["y"], state(page)["frozen"]) == (5, 6, False)
    assert "x 5, y 6" in page.locator("#pixel-name").inner_text()
    split = page.evaluate("explorer.split('cat', 1, 5, 6)")
    assert f"= {split['logit']:.2f}".replace("-", "\N{MINUS SIGN}") in page.locator("#split").inner_text()
    curve = page.locator("#curves").inner_html()
    page.mouse.click(*point(page, 20, 15))
    assert state(page)["frozen"]
    frozen = page.locator("#senders").inner_html()
    page.mouse.move(*point(page, 2, 2))
    assert (state(page)["x"], state(page)["y"], state(page)["frozen"]) == (20, 15, True)
    assert page.locator("#curves").inner_html() != curve
    assert page.locator("#senders").inner_html() == frozen

    for key, expected in {"ArrowRight": {"iteration": 2}, "d": {"layer": "difference"}, "m": {"layer": "mistakes"},
                          "3": {"label": CLASSES[2]}, "Shift+ArrowUp": {"y": 14}, "Escape": {"frozen": False},
                          "Home": {"iteration": 0}}.items():  # fmt: skip
        page.keyboard.press(key)
        assert expected.items() <= state(page).items()
    page.get_by_role("button", name="play").click()
    page.wait_for_function(f"explorer.state().iteration === {ITERATIONS} && !explorer.state().playing")


def test_what_was_charged_adds_up_to_the_exact_penalty(page: Page, problem: tuple) -> None:
    crf, unary, photo = problem
    exact = CRFRNN(3, crf.kernels, filter="exact")
    first, second = (each for each in exact.iterate(unary, photo, 1))
    x, y = 12, 4
    penalty = (first.logits - second.logits)[0, 1, y, x].item()
    sent = page.evaluate(f"explorer.senders('cat', 1, {x}, {y})")
    assert sum(sum(each["kernels"]) for each in sent) == pytest.approx(penalty, abs=8 * 0.5 / 255 * 3)
    assert [each["label"] for each in sent] == CLASSES
    assert sent[1]["kernels"] == [0, 0]


def test_a_bandwidth_changes_the_thumbnail_as_the_dense_formula_says(page: Page, problem: tuple) -> None:
    _, unary, photo = problem
    page.locator("[data-setting='appearance θ color']").fill("15")
    page.locator("[data-setting='appearance θ color']").press("Enter")
    page.wait_for_function("document.getElementById('lab-status').textContent.includes('have another label')")
    settings = page.evaluate("explorer.settings()")
    assert settings["kernels"][1] == {"weight": 5, "position": 8, "color": 15}
    features = [dense_features(photo[0].double(), 2.0), dense_features(photo[0].double(), 8.0, 15.0)]
    kernels = [dense_normalized(dense_kernel(each), "after", False) for each in features]
    scores = unary[0].flatten(1).T.double()
    weights = [3 * torch.eye(3).double(), 5 * torch.eye(3).double()]
    logits = dense_meanfield(scores, kernels, weights, 1 - torch.eye(3).double(), ITERATIONS)
    beliefs = np.array(page.evaluate("explorer.settings && explorer.meanField(explorer.settings())"))
    np.testing.assert_allclose(beliefs, logits.softmax(1).T, atol=2e-3)  # scores of 12 bits
    assert np.abs(beliefs - everywhere(page, "explorer.belief('cat', 4, x, y)")).max() > 0.05


@pytest.mark.parametrize(("normalization", "exclude_self"), [("symmetric", True), ("before", False), ("none", True)])
def test_learned_matrices_and_every_normalization(
    chromium: Browser, tmp_path: Path, problem: tuple, normalization: Any, exclude_self: bool
) -> None:
    crf, unary, photo = problem
    mu = torch.tensor([[0.0, 1.0, 0.5], [0.8, 0.1, 1.0], [0.4, 1.2, -0.2]])
    layer = CRFRNN(
        3, crf.kernels, normalization=normalization, kernel_weights="matrix", compatibility=mu,
        exclude_self=exclude_self, filter="exact",
    )  # fmt: skip
    with torch.no_grad():
        layer.cell.kernel_weights += 0.3 * torch.randn(2, 3, 3)
        layer.cell.kernel_weights *= 0.01 if normalization == "none" else 1
    data = content(ScoredPhoto(photo[0].byte(), unary, layer, CLASSES, None), 2)
    path = tmp_path / "page.html"
    path.write_text(explorer_page(data, name="photo", source="scores", crf="crf"))
    page = opened(chromium, path)
    features = [dense_features(photo[0].double(), 2.0), dense_features(photo[0].double(), 8.0, 40.0)]
    kernels = [dense_normalized(dense_kernel(each), normalization, exclude_self) for each in features]
    weights = list(layer.cell.kernel_weights.detach().double())
    logits = dense_meanfield(unary[0].flatten(1).T.double(), kernels, weights, mu.double(), 2)
    beliefs = np.array(page.evaluate("explorer.meanField(explorer.settings())"))
    np.testing.assert_allclose(beliefs, logits.softmax(1).T, atol=2e-3)
    charged = page.evaluate("explorer.senders('cat', 1, 9, 9)")
    penalty = unary[0].flatten(1).T - dense_meanfield(unary[0].flatten(1).T.double(), kernels, weights, mu.double(), 1)
    assert sum(sum(each["kernels"]) for each in charged) == pytest.approx(
        penalty[9 * WIDTH + 9, 1].item(), rel=0.02, abs=0.02
    )


def test_a_page_is_small() -> None:
    """3 MB for 500 x 375 pixels, three labels and ten iterations; a smaller picture in proportion."""
    height, width = 120, 160
    scene, labels = draw_scene(np.random.default_rng(0), (height, width), first_label=1)
    masks = torch.from_numpy(np.stack([labels == label for label in range(3)])).float()[None]
    coarse = torch.nn.functional.avg_pool2d(masks, 8)  # a network at stride 8
    scores = 8 * torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    layer = CRFRNN(3, [smoothness_kernel(3.0, 3.0), appearance_kernel(50.0, 10.0, 5.0)]).requires_grad_(False)
    photo = torch.from_numpy(np.moveaxis(scene, 2, 0).copy())
    data = content(ScoredPhoto(photo, scores, layer, CLASSES, None), 10)
    del data["thumbnail"]  # of the same size whatever the photograph
    page = explorer_page(data, name="photo", source="scores", crf="crf")
    code = len(explorer_page({}, name="photo", source="scores", crf="crf"))
    assert code < 80_000
    assert len(page) - code < 2_700_000 * height * width / (500 * 375)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", "wanted either --checkpoint or --scores"),
        ("--scores scores.npy --classes background cat dog --out page.txt", "wanted a file whose name ends in .html"),
        ("--scores scores.npy --classes background cat dog --label cow", "there is no class 'cow'"),
        ("--scores scores.npy --classes background cat dog --iterations 51", "wanted at most 50"),
    ],
)
def test_what_cannot_be_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, more: str, message: str
) -> None:
    monkeypatch.chdir(folder)
    assert main(["photo.png", "--out", "other.html", *more.split()]) == 2
    assert message in capsys.readouterr().err
    assert not Path("other.html").exists()


@pytest.mark.parametrize(
    ("crf", "message"),
    [
        (CRFRNN(3, [smoothness_kernel((2.0, 3.0))]), "a bandwidth for each axis or channel; wanted one for all"),
        (CRFRNN(3, solver="frank_wolfe"), "has solver='frank_wolfe' .* the page explains undamped mean field only"),
        (CRFRNN(3, learn_filter=True), "the CRF has a learned blur, and the page draws Gaussians"),
        (CRFRNN(3, damping="auto"), "damping='auto', and the page explains undamped mean field only"),
    ],
)
def test_what_a_page_cannot_show_is_refused(crf: CRFRNN, message: str) -> None:
    photo, unary = torch.zeros(3, 4, 5, dtype=torch.uint8), torch.zeros(1, 3, 4, 5)
    with pytest.raises(ValueError, match=message):
        content(ScoredPhoto(photo, unary, crf, CLASSES, None), 2)
