# SPDX-License-Identifier: Apache-2.0
"""A browser that looks at the dashboard and clicks in it."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as until
from selenium.webdriver.support.ui import Select, WebDriverWait

CHROMIUM = pathlib.Path("/usr/bin/chromium")
DRIVER = pathlib.Path("/usr/bin/chromedriver")

_BOUND = 120
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


class Browser:
    """One session of one user. Whatever is looked for is waited for, a bounded time."""

    def __init__(self, url: str, pictures: pathlib.Path) -> None:
        """Open the dashboard at *url*; screenshots go to the directory *pictures*."""
        options = webdriver.ChromeOptions()
        for argument in _ARGUMENTS:
            options.add_argument(argument)
        options.binary_location = str(CHROMIUM)
        self._url = url
        self._pictures = pictures
        self._driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        self._driver.set_page_load_timeout(_BOUND)
        self._wait = WebDriverWait(self._driver, _BOUND)

    def close(self) -> None:
        self._driver.quit()

    def log_in(self, user: str, password: str) -> None:
        self.go("/auth/login/")
        self._find("#id_username").send_keys(user)
        self._find("#id_password").send_keys(password)
        self._find("#loginBtn").click()
        self._wait.until_not(until.url_contains("/auth/login"))

    def go(self, path: str) -> None:
        self._driver.get(self._url + path)

    def click(self, words: str) -> None:
        """Click on a link or button of the page by its words."""
        found = f"//*[@id='content_body']//*[self::a or self::button][contains(., '{words}')]"
        self._click(By.XPATH, found)

    def click_on(self, selector: str) -> None:
        self._click(By.CSS_SELECTOR, selector)

    def fill(self, values: Mapping[str, str]) -> None:
        """Fill the form in front in, by the names of its fields, and send it."""
        for name, value in values.items():
            field = self._find(f".modal [name={name}]")
            if field.tag_name == "select":
                Select(field).select_by_visible_text(value)
            else:
                field.clear()
                field.send_keys(value)
        form = self._find(".modal form")
        self._click(By.CSS_SELECTOR, ".modal input[type=submit]")
        self._wait.until(until.staleness_of(form))

    def rows(self, table: str = "table") -> list[list[str]]:
        """The cells of a table's rows."""
        self._find(f"#content_body {table} tbody tr")
        return [
            [cell.text.strip() for cell in row.find_elements(By.TAG_NAME, "td")]
            for row in self._driver.find_elements(
                By.CSS_SELECTOR, f"#content_body {table} tbody tr"
            )
        ]

    def text(self) -> str:
        """Everything that can be read on the page."""
        return str(self._find("#content_body").text)

    def wait_for(self, words: str) -> None:
        """Wait until the page says *words*."""
        self._wait.until(
            until.text_to_be_present_in_element((By.CSS_SELECTOR, "body"), words), words
        )

    def complaints(self) -> list[str]:
        """The messages of the page that something went wrong."""
        found = self._driver.find_elements(By.CSS_SELECTOR, ".alert-danger, .alert-warning")
        return [one.text for one in found if one.is_displayed()]

    def picture(self, name: str) -> None:
        """Keep what the window shows, once charts have grown."""
        time.sleep(1)
        self._driver.save_screenshot(str(self._pictures / f"{name}.png"))

    def _find(self, selector: str) -> Any:
        return self._wait.until(
            until.presence_of_element_located((By.CSS_SELECTOR, selector)), selector
        )

    def _click(self, by: str, found: str) -> None:
        self._wait.until(until.element_to_be_clickable((by, found)), found).click()
