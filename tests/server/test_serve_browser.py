"""The page in a real browser (Chromium, without a window): make a sound, play it, stop, send what is no sound."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from clapgen.cli import run

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]


FILL = """
const field = document.querySelector(arguments[0]);
field.value = arguments[1];
field.dispatchEvent(new Event('change'));
"""
PLAY = """
const [sound, done] = [document.querySelector('#generated audio'), arguments[0]];
sound.onended = () => done(sound.duration);
sound.play();
"""
UNNAMED = """
const controls = [...document.querySelectorAll('input, select, textarea, button, audio, canvas, progress')];
const named = (e) => e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label');
return controls.filter((e) => !named(e)).map((e) => e.outerHTML);
"""


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    """A server in its own process."""
    command = [sys.executable, "-m", "clapgen.cli", "serve", "--port", "0", "--model", "tiny", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=model.parent, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().split()[0]
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for each in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=390,844"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def fill(browser: Any, panel: str, **values: object) -> None:
    for name, value in values.items():
        browser.execute_script(FILL, f"#{panel}-form [name={name}]", str(value))


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    browser.get(address)
    until(lambda: browser.find_elements(By.CSS_SELECTOR, "select.models option"))
    return browser


def test_generate_play_download_and_make_it_again(
    page: Any, downloads: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(page, "generate", prompt="<b>rain</b>", seconds=0.5, num_steps=3, count=2, seed=7)
    page.find_element(By.CSS_SELECTOR, "#generate-form .main").click()
    sounds = until(lambda: page.find_elements(By.CSS_SELECTOR, "#generated .sound"))
    assert len(sounds) == 2 and sounds[0].find_element(By.TAG_NAME, "h3").text == "<b>rain</b>"
    assert page.execute_async_script(PLAY) == pytest.approx(0.5, abs=0.05)
    for link in sounds[1].find_elements(By.TAG_NAME, "a"):
        link.click()
    until(lambda: (downloads / "b-rain-b_seed8.wav").exists() and (downloads / "b-rain-b_seed8.json").exists())
    monkeypatch.chdir(model.parent)
    assert run(["generate", "--from", str(downloads / "b-rain-b_seed8.json"), "-o", str(downloads / "again.wav")]) == 0
    assert "identical to the original, bit for bit" in capsys.readouterr().err
    assert (downloads / "again.wav").read_bytes() == (downloads / "b-rain-b_seed8.wav").read_bytes()


def test_stop_in_the_middle(page: Any) -> None:
    fill(page, "generate", seconds=30, num_steps=200, candidates=64)
    page.find_element(By.CSS_SELECTOR, "#generate-form .main").click()
    stop = page.find_element(By.CSS_SELECTOR, "#generate-form .stop")
    until(lambda: "step" in page.find_element(By.CSS_SELECTOR, "#generate [role=status]").text)
    stop.click()
    assert until(lambda: page.find_element(By.ID, "message").text) == "stopped."


def test_edit_and_an_upload_that_is_no_sound(page: Any, downloads: Path) -> None:
    page.find_element(By.ID, "tab-generate").send_keys(Keys.ARROW_RIGHT)  # by keyboard
    assert page.find_element(By.ID, "edit").is_displayed()
    wrong = downloads / "notes.wav"
    wrong.write_text("not a sound at all")
    page.find_element(By.ID, "edit-file").send_keys(str(wrong))
    fill(page, "edit", prompt="rain", num_steps=2)
    page.find_element(By.CSS_SELECTOR, "#edit-form .main").click()
    assert "notes.wav" in until(lambda: page.find_element(By.ID, "message").text)
    sound = Path(__file__).parent.parent / "sounds" / "door.opus"
    page.find_element(By.ID, "edit-file").send_keys(str(sound))
    until(lambda: page.find_element(By.ID, "wave").is_displayed())
    fill(page, "edit", prompt="rain", num_steps=2)
    page.find_element(By.CSS_SELECTOR, "#edit-form .main").click()
    shown = until(lambda: page.find_elements(By.CSS_SELECTOR, "#edited .sound"))
    assert [each.find_element(By.TAG_NAME, "h3").text for each in shown] == ["Before: door.opus", "rain"]


def test_listen(page: Any) -> None:
    page.find_element(By.ID, "tab-listen").click()
    sound = Path(__file__).parent.parent / "sounds" / "rooster.opus"
    page.find_element(By.ID, "listen-file").send_keys(str(sound))
    fill(page, "listen", labels="rooster,rain", query="a rooster crows")
    page.find_element(By.CSS_SELECTOR, "#listen-form .main").click()
    until(lambda: len(page.find_elements(By.CSS_SELECTOR, "#heard .sound")) == 3)  # player, labels, curve
    assert "no captioner" in until(lambda: page.find_element(By.ID, "message").text)


def test_every_control_has_a_name_and_nothing_is_wider_than_a_phone(page: Any) -> None:
    assert page.execute_script(UNNAMED) == []
    for tab in page.find_elements(By.CSS_SELECTOR, "[role=tab]"):
        tab.click()
        assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_the_pages_ask_for_nothing_from_elsewhere(page: Any, address: str) -> None:
    page.get(address.rstrip("/") + "/docs")
    until(lambda: len(page.find_elements(By.CSS_SELECTOR, "article")) > 10)
    asked = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in asked if e["method"] == "Network.requestWillBeSent"]
    assert urls and all(url.startswith((address, "data:", "blob:")) for url in urls), urls
    problems = [e["message"] for e in page.get_log("browser") if "Content Security Policy" in e["message"]]
    assert problems == []
