"""The page in a real browser without a window, whose microphone hears a file of speech."""

import shutil
import time

import numpy as np
import pytest
from playwright.sync_api import sync_playwright
from serving import WATCHDOG, in_thread

import mimi_codec
import signals
from mimi_codec import MimiConfig
from mimi_codec.serve import pack_codes
from mimi_codec.synthetic import write_synthetic

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

# how many different colours a canvas has
COLOURS = """id => {
    const canvas = document.getElementById(id);
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(data.buffer)).size;
}"""
PACKED = """async ([frames, bits]) => {
    const wire = await import("/wire.js");
    return [...new Uint8Array(wire.packCodes(frames, bits))];
}"""
UNPACKED = """async ([message, bits]) => {
    const wire = await import("/wire.js");
    return wire.unpackCodes(Uint8Array.from(message).buffer, bits);
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    speech = tmp_path_factory.mktemp("microphone") / "speech.wav"
    signals.write_wav(speech, signals.speech())
    words = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={speech}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=words)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A tab; what goes wrong in it is in `page.faults`."""
    tab = browser.new_page()
    tab.faults = []
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.on("console", lambda message: tab.faults.append(message.text) if message.type == "error" else None)
    yield tab
    tab.close()


def wait_for(page, condition: str) -> None:
    """Ask again and again: the page's own policy lets nothing be evaluated in it while it runs."""
    end = time.monotonic() + WATCHDOG
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition}: {page.inner_text('body')}; {page.faults}"
        page.wait_for_timeout(50)


def number(page, name: str) -> int:
    return int(page.inner_text(f"#{name}"))


def test_one_speaks_and_hears_oneself_at_any_number_of_codebooks(demo, page, tmp_path):
    with in_thread(demo) as url:
        page.goto(url)
        empty = [page.evaluate(COLOURS, name) for name in ("before", "codes", "after")]
        page.click("#speak")
        wait_for(page, "Number(document.getElementById('frames').textContent) >= 10")
        assert "you hear yourself" in page.inner_text("#status")
        assert page.get_attribute("#codebooks", "max") == "16"
        for books in ("1", "16", "3"):
            page.fill("#codebooks", books)
            before = number(page, "samples")
            wait_for(page, f"Number(document.getElementById('samples').textContent) >= {before + 5 * 1920}")
            assert page.inner_text("#used") == f"{books} of 16"
            assert page.inner_text("#rate") == f"{int(books) * 125} bits per second"
        assert number(page, "samples") % 1920 == 0
        assert page.inner_text("#delay").endswith(" ms")
        colours = [page.evaluate(COLOURS, name) for name in ("before", "codes", "after")]
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        page.click("#speak")
        assert page.inner_text("#status") == "Stopped."
    assert all(count < 5 for count in empty), empty
    assert all(count > 20 for count in colours), colours
    assert not page.faults


def test_32_codebooks(page, tmp_path):
    """As many as `kyutai/mimi` has, of a narrow model with its rates."""
    widths = {"num_filters": 4, "hidden_size": 32, "intermediate_size": 48, "head_dim": 16, "upsample_groups": 32}
    heads = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    quantizer = {"codebook_dim": 16, "vector_quantization_hidden_dimension": 16}
    config = MimiConfig(**widths, **heads, **quantizer)
    model = mimi_codec.Mimi.from_pretrained(write_synthetic(tmp_path, config))
    with in_thread(model) as url:
        page.goto(url)
        page.click("#speak")
        for books in ("32", "1"):
            wait_for(page, "document.getElementById('codebooks').max === '32'")
            page.fill("#codebooks", books)
            before = number(page, "samples")
            wait_for(page, f"Number(document.getElementById('samples').textContent) >= {before + 3 * 1920}")
            assert page.inner_text("#used") == f"{books} of 32"
        page.click("#speak")
    assert not page.faults


def test_it_can_begin_again(demo, page):
    with in_thread(demo) as url:
        page.goto(url)
        for _ in range(2):
            page.click("#speak")
            wait_for(page, "Number(document.getElementById('samples').textContent) >= 3 * 1920")
            page.click("#speak")
            assert page.inner_text("#status") == "Stopped."
    assert not page.faults


def test_the_token_of_the_address_is_handed_on(demo, page):
    with in_thread(demo, token="a&b") as url:
        page.goto(f"{url}?token=a%26b")
        page.click("#speak")
        wait_for(page, "Number(document.getElementById('frames').textContent) >= 1")
        page.click("#speak")
    assert not page.faults


def test_a_refused_session_says_why(demo, page):
    with in_thread(demo, token="secret") as url:
        page.goto(url)
        page.click("#speak")
        wait_for(page, "document.getElementById('status').classList.contains('error')")
        assert page.inner_text("#status") == "The server refused the connection, or is not there."
        assert page.inner_text("#speak") == "Speak"


def test_a_server_that_ends_says_so(demo, page):
    with in_thread(demo) as url:
        page.goto(url)
        page.click("#speak")
        wait_for(page, "Number(document.getElementById('frames').textContent) >= 1")
    wait_for(page, "document.getElementById('status').classList.contains('error')")
    assert page.inner_text("#status") == "The server is closing."


@pytest.mark.parametrize(("books", "size", "bits"), [(1, 2048, 11), (8, 2048, 11), (16, 1024, 10), (32, 2048, 11)])
def test_its_messages_are_those_of_the_package(books, size, bits, demo, page):
    codes = np.random.default_rng(books).integers(0, size, (books, 6))
    message = list(pack_codes(codes, size))
    with in_thread(demo) as url:
        page.goto(url)
        assert page.evaluate(PACKED, [codes.T.tolist(), bits]) == message
        assert page.evaluate(UNPACKED, [message, bits]) == codes.T.tolist()
