"""The status page in a real browser: `python page.py ADDRESS FOLDER`.

Looks at the page of a daemon that has a job `words`, which is in step, and a job `bad`, which is halted;
asserts what is seen, and leaves pictures of it in FOLDER. A token is taken from the variable TOKEN.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

# For what a busy machine may take.
PATIENCE_MS = 60_000


def row(page, job):
    return page.locator(f'#jobs tbody[data-job="{job}"]')


def look(page, address, folder):
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith((f"http://{address}/", "data:")) or wrong.append(request.url))
    page.goto(f"http://{address}/")
    if "TOKEN" in os.environ:
        # Nothing is told without it.
        expect(page.locator("#login")).to_be_visible()
        expect(page.locator("#jobs tbody")).to_have_count(0)
        page.fill("#token", "wrong")
        page.click("#login button")
        expect(page.locator("#refused")).to_contain_text("missing or wrong")
        page.fill("#token", os.environ["TOKEN"])
        page.click("#login button")
        # What the browser itself says of an answer 401.
        expect(page.locator("#main")).to_be_visible()
        wrong[:] = [text for text in wrong if "401" not in text]
    expect(page.locator("#pulse")).to_have_text("live")

    # States, and what is wrong with whom.
    expect(row(page, "words").locator(".state")).to_have_text("idle")
    expect(row(page, "words")).to_contain_text("up to date")
    halted = row(page, "bad")
    expect(halted.locator(".state")).to_have_text("halted")
    expect(halted).to_contain_text("duplicate key")
    expect(halted.locator(".hint")).to_contain_text("choose a key that is unique")
    expect(halted).to_contain_text("max_lag exceeded")
    expect(row(page, "words")).not_to_contain_text("max_lag")
    # Who needs somebody stands first.
    expect(page.locator("#jobs tbody").first).to_have_attribute("data-job", "bad")
    expect(page).to_have_title("(1) Lakeferry")
    # A name is text, whatever is in it.
    expect(page.locator("#jobs")).to_contain_text("<b>markup")
    assert page.locator("#jobs b").count() == 0

    # The jobs of a state, and those that are looked for.
    page.click("#states button:has-text('halted')")
    expect(page.locator("#jobs tbody")).to_have_count(1)
    page.click("#states button >> nth=0")
    page.fill("#find", "wor")
    expect(page.locator("#jobs tbody")).to_have_count(1)
    page.fill("#find", "")

    # One job, with its charts and what was done.
    row(page, "words").locator(".name").click()
    detail = page.locator("#detail")
    expect(detail.locator("h2")).to_have_text("words")
    expect(detail.locator("tbody tr").last).to_contain_text("fill")
    expect(detail.locator("svg path.line")).to_have_count(2)
    page.screenshot(path=folder / "status-page.png")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=folder / "status-page-dark.png")
    page.emulate_media(color_scheme="light")

    # Paused, resumed, synced.
    page.fill("#reason", "a <i>migration</i>")
    page.click("#act-pause")
    expect(row(page, "words").locator(".state")).to_have_text("paused")
    expect(detail.locator(".note.paused")).to_contain_text("a <i>migration</i>")
    page.click("#act-resume")
    expect(row(page, "words").locator(".state")).not_to_have_text("paused")
    row(page, "markup").locator(".name").click()
    expect(row(page, "markup")).to_contain_text("up to date")
    page.click("#act-sync")
    expect(detail).to_contain_text("It runs.")
    row(page, "bad").locator(".name").click()
    expect(detail.locator(".note")).to_contain_text("duplicate key")
    page.set_viewport_size({"width": 420, "height": 900})
    page.screenshot(path=folder / "status-page-narrow.png")
    assert re.search("#bad$", page.url), page.url
    assert not wrong, wrong


def main(address, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 820}, color_scheme="light")
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        look(page, address, folder)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
