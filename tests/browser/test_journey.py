"""What somebody does who has just started a gateway: all of it, in a browser, on a desk and in a hand."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.process.page import PASSWORD
from tests.process.place import ADMIN

from .chromium import DESKTOP, DEVICES, PATIENCE, View
from .conftest import Open
from .gateway import Gateway, gateway
from .screens import settle

SETTINGS = """
[[providers]]
name = "openai"
[outbound]
http = true
networks = ["127.0.0.0/8"]
"""
"""A provider for which customers bring keys, which may be on this machine."""
QUESTION = "Where does the water go?"

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Gateway]:
    with gateway(tmp_path, SETTINGS) as one:
        yield one


class Person:
    """Somebody at a page, who finds things by what they are called."""

    def __init__(self, page: Page, view: View, origin: str) -> None:
        self.page = page
        self.origin = origin
        self._phone = view.phone

    def go(self, name: str) -> None:
        """Take the way to a page that the menu offers."""
        if self._phone:
            self.page.get_by_role("button", name="Menu").click()
        self.page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(name)
        settle(self.page)

    def press(self, name: str, within: Locator | None = None) -> None:
        """Press the button of a name."""
        (within or self.page).get_by_role("button", name=name, exact=True).click()

    def write(self, name: str, text: str, within: Locator | None = None) -> None:
        """Fill the field of a name."""
        self.field(name, within).fill(text)

    def field(self, name: str, within: Locator | None = None) -> Locator:
        """Return what is written into by the name; a list of what can be chosen may have it too."""
        found = (within or self.page).get_by_label(name, exact=True)
        return found.and_(self.page.locator("input, textarea"))

    def choose(self, name: str, model: str, within: Locator | None = None) -> None:
        """Choose a model in the combobox of a name."""
        self.write(name, model, within)
        # An alias that leads to it names it too, behind its own name; the driver minds a slash.
        own = re.compile(f"^{re.escape(model).replace('/', '.')}")
        self.page.get_by_role("option", name=own).first.click()

    def dialog(self, name: str) -> Locator:
        """Return the dialog of a name, once it is open."""
        found = self.page.get_by_role("dialog", name=name, exact=True)
        expect(found).to_be_visible()
        return found

    def settings(self, tab: str) -> Locator:
        """Open the settings at a tab; return its panel."""
        if not self.page.get_by_role("dialog", name="Settings", exact=True).is_visible():
            self.press("Settings")
        dialog = self.dialog("Settings")
        dialog.get_by_role("tab", name=tab, exact=True).click()
        settle(self.page)
        return dialog.get_by_role("tabpanel")

    def shown_once(self, title: str) -> str:
        """Copy the secret that a dialog shows, and close it."""
        dialog = self.dialog(title)
        secret = dialog.get_by_role("code").inner_text()
        self.press("I have copied it", dialog)
        expect(dialog).to_be_hidden()
        return secret

    def sign_in(self, password: str) -> None:
        """Come in by the front door."""
        self.page.goto(self.origin)
        expect(self.page).to_have_url(re.compile(r"/login$"))
        self.write("E-mail", ADMIN)
        self.write("Password", password)
        self.press("Sign in")


@DEVICES
def test_from_the_first_start_to_signing_out(first: Gateway, opened: Open, view: View) -> None:
    watch = opened(view, first.url)
    person = Person(watch.page, view, first.url)
    person.sign_in(first.password)
    _choose_password(person, first.password)
    key = _make_key(person)
    _ask(person)
    _see_the_spend(person)
    new = _rotate(person)
    assert _status(first.url, key) == 401
    assert _status(first.url, new) == 200
    _redeem(person, first.run("codes", "create", "250")["codes"][0])
    _bring_a_key(person, new)
    _prefer(person)
    _sign_out(person)
    watch.check()


def _choose_password(person: Person, old: str) -> None:
    expect(person.page.get_by_role("heading", level=1)).to_have_text("Choose a password")
    person.write("The password you came with", old)
    person.write("New password", PASSWORD)
    person.write("New password, again", PASSWORD)
    person.press("Set the password")
    expect(person.page.get_by_role("heading", level=1)).to_have_text("Overview")
    settle(person.page)


def _make_key(person: Person) -> str:
    person.go("API keys")
    person.press("New key")
    form = person.dialog("New API key")
    person.write("Name", "Laptop", form)
    person.press("Make the key", form)
    key = person.shown_once("Your new key")
    expect(person.page.get_by_role("row", name=re.compile("Laptop"))).to_be_visible()
    return key


def _ask(person: Person) -> None:
    person.go("Playground")
    person.choose("Model", "sim/echo")
    person.write("Message", QUESTION)
    person.press("Send")
    answer = person.page.get_by_role("region", name="Messages").get_by_role("listitem").last
    expect(answer).to_contain_text(QUESTION)
    expect(answer).to_contain_text("credits")
    settle(person.page)


def _see_the_spend(person: Person) -> None:
    person.go("Usage")
    request = person.page.get_by_role("row", name="sim/echo").last
    expect(request).to_be_visible()
    person.go("Credits")
    expect(person.page.get_by_role("row", name="Request")).to_contain_text("\u22120.0")


def _rotate(person: Person) -> str:
    person.go("API keys")
    person.press("Rotate Laptop")
    person.press("Rotate", person.dialog("Rotate Laptop?"))
    return person.shown_once("The new key")


def _redeem(person: Person, code: str) -> None:
    person.go("Credits")
    person.write("Code", code)
    person.press("Redeem the code")
    expect(person.page.get_by_role("status").filter(has_text="redeemed")).to_be_visible()
    expect(person.page.get_by_role("main")).to_contain_text("10,250")


def _bring_a_key(person: Person, key: str) -> None:
    """The provider is the gateway itself, which speaks its language."""
    panel = person.settings("LLM BYOK")
    person.press("Add a key", panel)
    form = person.dialog("Add a key")
    form.get_by_label("Provider").select_option("openai")
    person.write("Key", key, form)
    form.get_by_text("An address of your own").click()
    person.write("Base URL", f"{person.origin}/v1", form)
    person.press("Keep and test the key", form)
    expect(form).to_be_hidden()
    expect(panel.get_by_role("status")).to_have_text("It works")
    expect(panel).not_to_contain_text(key)


def _prefer(person: Person) -> None:
    panel = person.settings("Preferred Models")
    person.choose("Simple", "sim/echo", panel)
    person.press("Save", panel)
    expect(person.page.get_by_role("status").filter(has_text="Saved")).to_be_visible()
    person.page.reload()
    again = person.settings("Preferred Models")
    expect(person.field("Simple", again)).to_have_value("sim/echo")
    person.press("Close", person.dialog("Settings"))


def _sign_out(person: Person) -> None:
    if person.page.get_by_role("button", name="Menu").is_visible():
        person.press("Menu")
    person.press("Sign out")
    expect(person.page).to_have_url(re.compile(r"/login$"))
    person.page.goto(f"{person.origin}/keys")
    expect(person.page).to_have_url(re.compile(r"/login\?next=%2Fkeys$"))


def test_the_command_that_the_playground_shows_answers(first: Gateway, opened: Open) -> None:
    watch = opened(DESKTOP, first.url)
    person = Person(watch.page, DESKTOP, first.url)
    person.sign_in(first.password)
    _choose_password(person, first.password)
    key = _make_key(person)
    person.page.goto(f"{first.url}/playground?model=sim/echo")
    person.write("Message", "It's a 'quoted' question")
    person.press("Code")
    command = person.dialog("The request as code").get_by_role("code").last.inner_text()
    said = _shell(command, key)
    assert said.startswith("data: ")
    assert said.endswith("data: [DONE]\n\n")
    assert "".join(re.findall(r'"content":"(.*?)"}', said)) == "It's a 'quoted' question"


def _shell(command: str, key: str) -> str:
    """Run a command as somebody who pasted it."""
    environ = {"PATH": os.environ["PATH"], "HEADRACE_KEY": key}
    line = f"set -e\n{command.replace('curl ', 'curl -sS --max-time 30 ', 1)}"
    done = subprocess.run(
        ["sh", "-c", line], env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def _status(origin: str, key: str) -> int:
    return httpx.get(f"{origin}/v1/key", headers={"authorization": f"Bearer {key}"}, timeout=30).status_code


@pytest.mark.parametrize(
    ("email", "wanted"),
    [
        ("a@example.com", "/.//evil.example"),
        ("b@example.com", "//evil.example"),
        ("c@example.com", "https://evil.example/"),
        ("d@example.com", "\\\\evil.example"),
    ],
)
def test_signing_in_leads_to_nobody_else(plain: Gateway, opened: Open, email: str, wanted: str) -> None:
    page = opened(DESKTOP, plain.url).page
    page.goto(f"{plain.url}/register?{urlencode({'next': wanted})}")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    expect(page).to_have_url(f"{plain.url}/")
    settle(page)
