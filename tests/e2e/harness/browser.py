"""Chromium through WebDriver, and the page that writes down what its `EventSource` does."""

import shutil
import tempfile
from urllib.parse import urlencode

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from harness.wait import GENEROUS, until

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--window-size=1280,1000",
]


class Browser:
    def __enter__(self):
        self._profile = tempfile.mkdtemp(prefix="sse-gateway-chromium-")
        options = Options()
        options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
        for flag in [*FLAGS, f"--user-data-dir={self._profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, Service(shutil.which("chromedriver") or "/usr/bin/chromedriver"))
        self.driver.set_page_load_timeout(60)
        return self

    def __exit__(self, *_):
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def leave(self):
        self.driver.get("about:blank")

    def open(self, base, url, **query):
        """The page at `base`, with an `EventSource` of `url`."""
        self.driver.get(f"{base}/page?{urlencode({'url': url, **query})}")

    def js(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def entries(self, kind=None):
        entries = self.js("return entries")
        return [entry for entry in entries if kind in (None, entry["kind"])]

    def until_entries(self, kind, count, limit=GENEROUS):
        """The entries of that kind, once there are `count`."""

        def enough():
            return len(self.entries(kind)) >= count

        try:
            until(enough, f"{count} entries of kind {kind!r}", limit)
        except AssertionError as error:
            raise AssertionError(f"{error}; the page's entries: {self.entries()}") from None
        return self.entries(kind)
