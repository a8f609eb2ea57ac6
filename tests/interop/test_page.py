"""
The live page in a real browser, over a real proxy under the load of real Dubbo, Thrift and Redis clients.

Each test says what somebody who looks at the page can see or do; none looks at how it is made.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catalogue
import pytest
from chromium import Browser, Page
from proxied import Proxy, cluster, listener
from running import Jobs, answers, eventually, free_port

pytestmark = pytest.mark.peer("chromium", "dubbo-py", "py", "redis-server", "redis-py")

HELLO = "org.example.HelloService"
SCRIPT = "<script>alert(1)</script>"
ROUND = 60  # calls of a client before it draws breath: the machine is to have some left for the browser


class Load:
    """Clients that call until they are stopped."""

    def __init__(self, directory: Path, dubbo: int, thrift: int, redis: int) -> None:
        self._directory, self._over = directory, threading.Event()
        calls = [self._dubbo(dubbo, "web"), self._dubbo(dubbo, "cart"), self._thrift(thrift), self._redis(redis)]
        self._threads = [threading.Thread(target=self._go_on, args=[call], daemon=True) for call in calls]
        for thread in self._threads:
            thread.start()

    def _go_on(self, call: Callable[[], None]) -> None:
        while not self._over.is_set():
            call()
            self._over.wait(0.05)

    def _jobs(self, command: catalogue.Command, name: str) -> Jobs:
        return Jobs(command.argv, self._directory / f"{name}.log", command.env, command.encode)

    def _dubbo(self, port: int, application: str) -> Callable[[], None]:
        jobs = self._jobs(catalogue.dubbo_client("dubbo-py"), application)
        attachments = {"remote.application": application}
        calls = [{"method": "sayHello", "args": [application], "attachments": attachments}] * ROUND
        return lambda: _ended(jobs.run(port=port, calls=calls))

    def _thrift(self, port: int) -> Callable[[], None]:
        jobs = self._jobs(catalogue.thrift_client("py"), "thrift")
        calls = [{"method": "sayHello", "args": ["x"]}] * ROUND
        return lambda: _ended(jobs.run(port=port, transport="framed", protocol="binary", calls=calls))

    def _redis(self, port: int) -> Callable[[], None]:
        import redis

        client = redis.Redis(port=port)

        def call() -> None:
            for number in range(ROUND):
                client.set(f"key{number}", "value")
            with contextlib.suppress(redis.ResponseError):
                client.execute_command(SCRIPT)

        return call

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)


def _ended(results: list[dict[str, Any]]) -> None:
    assert len(results) == ROUND


class Shop:
    """The proxy between clients and servers; config: what it runs on."""

    def __init__(self, proxy: Proxy, config: dict[str, Any]) -> None:
        self.proxy, self.config = proxy, config


@pytest.fixture(scope="module")
def shop(start: Any, shared_proxy: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("load")
    v1, also_v1, v2, orders, sessions = (free_port() for _ in range(5))
    for port in (v1, also_v1):
        start(catalogue.dubbo_server("dubbo-py", "v1", port))
    start(catalogue.dubbo_server("dubbo-py", "v2", v2))
    start(catalogue.thrift_server("py", "orders", f"{orders}:framed:binary"))
    start(catalogue.redis_server(sessions, directory), lambda: answers(sessions))
    hello = {"match": {"interface": HELLO}}
    shadow = {"cluster": "hello-v2", "percent": {"runtime": "shadow"}, "compare": True}
    front = {name: free_port() for name in ("dubbo", "thrift", "redis")}
    config = {
        "node": {"id": "sidecar-1", "cluster": "shop"},
        "runtime": {"canary": 1, "maintenance": False, "shadow": 0},
        "listeners": [
            listener(
                "dubbo-in", front["dubbo"], "dubbo",
                [
                    {"name": "canary", **hello, "percent": {"runtime": "canary"}, "cluster": "hello-v2"},
                    {"name": "stable", **hello, "cluster": "hello-v1", "mirror": shadow},
                ],
            ),
            listener("thrift-in", front["thrift"], "thrift", [{"name": "orders", "cluster": "orders"}]),
            listener("redis-in", front["redis"], "redis", [{"name": "sessions", "cluster": "sessions"}]),
        ],
        "clusters": [
            cluster("hello-v1", v1, also_v1), cluster("hello-v2", v2), cluster("orders", orders),
            cluster("sessions", sessions),
        ],
    }  # fmt: skip
    proxy = shared_proxy(config)
    load = Load(directory, front["dubbo"], front["thrift"], front["redis"])
    yield Shop(proxy, config)
    load.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.stop()


Look = Callable[..., Page]


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    """look(proxy, **options of Browser.open): the page. What it complained of, or asked elsewhere, fails the test."""
    opened: list[tuple[Page, Proxy]] = []

    def look(proxy: Proxy, **options: Any) -> Page:
        page = browser.open(f"{proxy.url}/", **options)
        opened.append((page, proxy))
        return page

    yield look
    for page, proxy in opened:
        page.run("1")  # what has been said until now has arrived
        assert page.complaints == []
        assert [url for url in page.asked if not url.startswith(f"{proxy.url}/")] == []
        page.close()


def rows(page: Page, table: str) -> list[str]:
    found: list[str] = page.run(f"[...document.querySelectorAll('{table} tbody tr')].map(one => one.textContent)")
    return found


def test_it_shows_who_calls_what_through_which_cluster(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    assert page.shows("ready", "header")
    assert page.shows("sidecar-1", "header")
    wanted = (("web", "hello-v1", "sayHello"), ("cart", "hello-v1", "sayHello"), ("127.0.0.1", "orders", "sayHello"))
    for words in (*wanted, ("127.0.0.1", "sessions", "SET")):

        def listed(words: tuple[str, ...] = words) -> bool:
            return any(all(word in row for word in words) for row in rows(page, ".flows"))

        assert eventually(listed, 15), words
    shown = next(row for row in rows(page, ".flows") if "orders" in row)
    assert re.search(r"[1-9][\d.]*k?0 %[\d.]+ ms[\d.]+ ms$", shown), shown


def test_callers_are_told_apart_by_another_key(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    page.write("#traffic .key", "user")
    page.press("Enter", 13, "\r")
    assert eventually(lambda: any(row.startswith("default") and "sessions" in row for row in rows(page, ".flows")), 15)
    assert not any(row.startswith("cart") for row in rows(page, ".flows"))


def test_what_a_client_calls_a_script_is_a_text(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    assert page.shows(SCRIPT.upper(), ".flows")
    assert page.run("document.querySelectorAll('#page script').length") == 0


def test_what_fails_is_told_first(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    assert page.shows("of requests to sessions failed", ".problems .problem:first-child")
    assert page.shows(SCRIPT.upper(), ".problems")


def split(page: Page) -> dict[str, float]:
    """What the page says of the canary's route: cluster -> share that it has, in percent."""
    found = re.findall(r"(hello-v\d) <?([\d.]+|–) %", page.text(".routes > li:first-child .targets"))
    return {name: float(share) for name, share in found}


def test_the_slider_moves_the_split_and_the_page_shows_that_it_did(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    assert eventually(lambda: split(page).get("hello-v1", 0) > 0, 15, 0.1)
    assert split(page)["hello-v2"] < 10
    slider = "#value-canary"
    assert page.run(f"document.querySelector('{slider}').value") == "1"
    page.run(f"document.querySelector('{slider}').focus()")
    page.press("End", 35)
    assert eventually(lambda: shop.proxy.admin("/runtime/canary")["value"] == 100, 10)
    assert eventually(lambda: split(page).get("hello-v2", 0) > 99, 20, 0.2), page.text("#routes")
    assert page.shows("canary is 100", ".problems")
    page.write("input[aria-label='canary, exactly']", "50")
    page.press("Enter", 13, "\r")
    assert eventually(lambda: shop.proxy.admin("/runtime/canary")["value"] == 50, 10)
    assert eventually(lambda: all(40 < share < 60 for share in split(page).values()) and split(page), 25, 0.2), split(
        page
    )
    counted = shop.proxy.admin("/routes")["listeners"][0]["routes"][0]["targets"][0]["exchanges"]
    assert counted > 0
    page.click("#runtime button[aria-label^='Reset']")
    assert eventually(lambda: shop.proxy.admin("/runtime/canary")["value"] == 1, 10)
    assert page.shows("as configured", "#runtime")


def test_what_is_being_typed_stays_while_the_page_is_drawn_anew(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    field = "input[aria-label='canary, exactly']"
    page.write(field, "37")
    drawn = len(page.asked)
    assert eventually(lambda: page.run("1") and len(page.asked) > drawn + 6, 15)
    assert page.run(f'document.querySelector("{field}").value') == "37"
    assert shop.proxy.admin("/runtime/canary")["value"] == 1
    page.press("Escape", 27)
    assert eventually(lambda: page.run(f'document.querySelector("{field}").value') == "1", 5)


def test_a_switch_is_a_switch(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    page.click("#value-maintenance")
    assert eventually(lambda: shop.proxy.admin("/runtime/maintenance")["value"] is True, 10)
    page.click("#runtime button[aria-label='Reset maintenance']")
    assert eventually(lambda: shop.proxy.admin("/runtime/maintenance")["value"] is False, 10)


def test_copies_are_shown_with_how_many_answers_differ(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    assert page.shows("0 % copied to hello-v2", "#routes")
    shop.proxy.admin("/runtime/shadow", "PUT", b"50")
    assert page.shows("50 % copied to hello-v2", "#routes")
    assert eventually(lambda: re.search(r"[1-9]\d* of \d+ answers differ", page.text("#routes")), 15)
    page.click(".copies summary")
    assert page.shows(f"{HELLO}/sayHello: byte", ".copies li:first-child")
    shop.proxy.admin("/runtime/shadow", "DELETE")


def button(page: Page, label: str) -> None:
    """Presses one that asks whether one is sure."""
    page.click(f"button[aria-label^='{label}']")
    word, _, rest = label.partition(" ")
    page.click(f"button[aria-label^='{word}: sure? {rest}']")


def requests_of(shop: Shop, address: str) -> int:
    clusters = shop.proxy.admin("/clusters")["clusters"]
    found: int = next(
        each["counts"]["requests"] for one in clusters for each in one["endpoints"] if each["address"] == address
    )
    return found


@pytest.mark.parametrize("what, state", [("Drain", "drained"), ("Eject", "ejected")])
def test_an_endpoint_is_taken_out_and_back_by_its_buttons(shop: Shop, look: Look, what: str, state: str) -> None:
    address = shop.config["clusters"][0]["endpoints"][1]
    page = look(shop.proxy)
    button(page, f"{what} {address}")
    assert page.shows(f"{state} {address}", "#cluster-hello-v1")
    assert page.shows("Cluster hello-v1: 1 of 2 endpoints out", ".problems")
    assert page.shows("1 of 2 usable", "#cluster-hello-v1")
    before = requests_of(shop, address)  # of a client that is answered before it calls again, none is under way
    other = shop.config["clusters"][0]["endpoints"][0]
    served = requests_of(shop, other)
    assert eventually(lambda: requests_of(shop, other) > served + ROUND, 10)
    assert requests_of(shop, address) == before
    page.click(f"button[aria-label='Restore {address}']")
    assert page.shows("2 of 2 usable", "#cluster-hello-v1")
    assert eventually(lambda: requests_of(shop, address) > before, 10)


def test_a_button_that_is_pressed_once_does_nothing(shop: Shop, look: Look) -> None:
    address = shop.config["clusters"][0]["endpoints"][1]
    page = look(shop.proxy)
    page.click(f"button[aria-label='Drain {address}']")
    assert page.shows("Drain: sure?", "#clusters")
    found = next(one for one in shop.proxy.admin("/clusters")["clusters"] if one["name"] == "hello-v1")
    assert [one["drained"] for one in found["endpoints"]] == [False, False]


def test_a_cluster_is_paused_and_goes_on(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    button(page, "Pause orders")
    assert page.shows("paused, 1 wait", "#cluster-orders")  # its only client waits for an answer
    assert page.shows("Cluster orders is paused", ".problems")
    page.click("button[aria-label='Resume orders']")
    assert eventually(lambda: "paused" not in page.text("#cluster-orders"), 10)
    orders = next(one for one in shop.proxy.admin("/clusters")["clusters"] if one["name"] == "orders")
    assert orders["paused"] is None
    assert eventually(
        lambda: requests_of(shop, orders["endpoints"][0]["address"]) > orders["endpoints"][0]["counts"]["requests"]
    )


def test_single_exchanges_are_looked_into_by_pressing_an_operation(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    page.click(f"button[aria-label='Tap {SCRIPT.upper()}']")
    assert page.shows(SCRIPT.upper(), ".exchanges li")
    assert page.text(".exchanges li").startswith("error")
    page.click(".exchanges li summary")
    for told in ("route sessions", "user default", "Request ", "Answer error"):
        assert page.shows(told, ".exchanges li"), page.text(".exchanges li")
    assert page.run("document.querySelectorAll('#page script').length") == 0
    page.click("#tap form button")
    assert page.shows("Listen", "#tap form")


def test_the_tap_shows_what_is_matched_and_says_what_is_wrong_with_a_match(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    page.provoked.append("400 (Bad Request)")  # the browser's own word for it
    page.write("#tap input[type=text]", "nonsense")
    page.press("Enter", 13, "\r")
    assert page.shows("'nonsense' is no condition", "#tap")
    page.write("#tap input[type=text]", "remote.application=cart")
    page.write("#tap input[type=number]", "7")
    page.press("Enter", 13, "\r")
    found = lambda: page.run("document.querySelectorAll('.exchanges > li').length")  # noqa: E731
    assert eventually(lambda: found() == 7, 15), page.text("#tap")
    assert page.shows("Listen", "#tap form")
    assert "cart" in page.run("document.querySelector('.exchanges').textContent")
    assert "orders" not in page.text(".exchanges")


def test_a_refused_configuration_is_told_with_its_error_until_a_good_one_comes(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    assert page.shows("configuration", "header")
    broken = json.loads(json.dumps(shop.config))
    broken["listeners"][1]["routes"][0]["cluster"] = "ordres"
    shop.proxy.write(broken)
    assert page.shows("The configuration was refused", ".problem.bad")
    assert page.shows("no cluster 'ordres'; did you mean 'orders'?", ".problem.bad code")
    assert page.shows("stays in force", ".problem.bad")
    shop.proxy.write(shop.config)
    assert eventually(lambda: "refused" not in page.text(".problems"), 15)


def test_it_says_so_when_the_proxy_does_not_answer_and_when_it_does_again(proxy: Any, browser: Browser) -> None:
    gone = proxy({"listeners": []})
    page = browser.open(f"{gone.url}/")  # complains of connections that fail, and may
    assert page.shows("Nothing is wrong", ".problems")
    page.run("window.asks = fetch, window.fetch = () => Promise.reject(new TypeError('down')), 0")
    assert page.shows("The proxy does not answer", ".problem.bad")
    assert page.shows("no answer", "header")
    page.run("window.fetch = window.asks, 0")
    assert page.shows("Nothing is wrong", ".problems")
    page.close()


def test_a_cluster_without_a_server_is_told_with_what_its_clients_get(proxy: Any, look: Look, free_port: Any) -> None:
    import redis

    port = free_port()
    one = proxy(
        {
            "listeners": [listener("in", port, "redis", [{"cluster": "lost"}])],
            "clusters": [cluster("lost", free_port())],
        }
    )
    page = look(one)
    assert page.shows("Nothing is wrong", ".problems")

    def call() -> bool:
        with contextlib.suppress(redis.RedisError):
            redis.Redis(port=port).get("key")
        return "of requests to lost failed" in page.text(".problem.bad") and "connect" in page.text(".problem.bad")

    assert eventually(call, 20, 0.2)
    assert page.shows("of lost fails", ".problem.warn")


def test_where_tokens_are_asked_for_it_asks_for_one_and_says_what_it_may_not_do(
    proxy: Any, browser: Browser, tmp_path: Path
) -> None:
    for name in ("reader", "writer"):
        (tmp_path / name).write_text(f"{name}-token\n")
    one = proxy(
        {
            "admin": {"tokens": {"read": {"secret": "reader"}, "write": {"secret": "writer"}}},
            "secrets": {name: {"file": str(tmp_path / name)} for name in ("reader", "writer")},
            "runtime": {"canary": 1},
        }
    )
    page = browser.open(f"{one.url}/")  # what it complains of is 401 and 403
    for token, answer in (("wrong", "That token is not valid"), ("reader-token", "canary")):
        assert page.shows("Token")
        page.write("#token", token)
        page.press("Enter", 13, "\r")
        assert page.shows(answer), token
    page.write("input[aria-label='canary, exactly']", "50")
    page.press("Enter", 13, "\r")
    assert page.shows("Not changed: this token only reads", "#runtime")
    assert page.run("Object.values(sessionStorage)") == ["reader-token"]
    assert page.run("Object.keys(localStorage).length + document.cookie.length") == 0
    assert not any("token" in url for url in page.asked)
    page.click("header .tools > button:last-child")
    page.write("#token", "writer-token")
    page.press("Enter", 13, "\r")
    assert page.shows("as configured", "#runtime")
    page.write("input[aria-label='canary, exactly']", "50")
    page.press("Enter", 13, "\r")
    assert page.shows("canary is 50", ".problems")
    page.close()


@pytest.mark.parametrize("width, phone", [(1280, False), (390, True)])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_and_everything_has_a_name(
    shop: Shop, look: Look, tmp_path: Path, width: int, phone: bool, dark: bool
) -> None:
    page = look(shop.proxy, width=width, phone=phone, dark=dark)
    assert page.shows("sayHello", ".flows")
    page.picture(tmp_path / "page.png")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert unreadable(page) == []
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    used = [one for one in tree if one.get("role", {}).get("value") in INTERACTIVE]
    assert len(used) > 15
    assert [one["role"]["value"] for one in used if not one.get("name", {}).get("value")] == []


INTERACTIVE = {"button", "slider", "spinbutton", "switch", "checkbox", "textbox", "searchbox", "combobox", "link"}

CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const spoken = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const shown = (one) => one.checkVisibility() && !one.closest('option, .same .caller, .same .cluster');
  return [...document.querySelectorAll('#page *')].filter((one) => spoken(one) && shown(one)).map((one) => {
    const [a, b] = [light(parse(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), one.className, one.textContent.slice(0, 40)];
  }).filter(([contrast]) => contrast < 4.5);
})()"""


def unreadable(page: Page) -> list[Any]:
    """Texts whose contrast to what is behind them is under that of WCAG 2 AA (a name that is repeated is hidden)."""
    found: list[Any] = page.run(CONTRAST)
    return found


def test_a_keyboard_reaches_what_a_mouse_does(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    assert page.shows("sayHello", ".flows")
    reached = set()
    for _ in range(60):
        page.press("Tab", 9)
        reached.add(page.run("(e => e.id || e.ariaLabel || e.innerText || e.tagName)(document.activeElement)"))
    assert {"value-canary", "Hold", "30 s", "Pause hello-v1"} <= reached


def test_thousands_of_rows_stay_out_of_the_page_until_they_are_asked_for(
    proxy: Any, look: Look, free_port: Any
) -> None:
    import redis

    many = [
        {"name": f"cluster-{number}", "endpoints": [f"127.0.1.{number}:{10000 + each}" for each in range(40)]}
        for number in range(60)
    ]
    routes = [{"name": f"route-{n}", "match": {"key": f"key-{n}"}, "cluster": f"cluster-{n % 60}"} for n in range(1000)]
    port = free_port()
    one = proxy(
        {
            "listeners": [listener("in", port, "redis", [*routes, {"reply": {"error": "denied", "message": "no"}}])],
            "clusters": many,
        }
    )
    page = look(one)
    assert page.shows("cluster-0", "#clusters")
    pipe = redis.Redis(port=port).pipeline(transaction=False)
    for number in range(3000):
        pipe.execute_command(f"MADE-UP-{number}")
    pipe.execute(raise_on_error=False)
    assert page.shows("more of", "#traffic")
    assert page.shows("more of", "#routes")
    assert page.shows("more of", "#clusters")
    assert page.run("document.querySelectorAll('*').length") < 4000
    page.write("#clusters .find", "cluster-59")
    assert page.shows("cluster-59", "#clusters")
    assert eventually(lambda: page.run("document.querySelectorAll('details.cluster').length") == 1)
    page.click("#traffic .more")
    assert eventually(lambda: len(rows(page, ".flows")) > 50)


def test_it_asks_nothing_while_it_is_hidden_or_held(shop: Shop, look: Look) -> None:
    page = look(shop.proxy)
    assert page.shows("sayHello", ".flows")

    def asks() -> bool:
        """Whether it asks for anything within the longest time between two polls."""
        page.run("1")
        before = len(page.asked)
        time.sleep(4.5)
        page.run("1")
        return len(page.asked) > before + 2  # one or two were under way

    assert asks()
    page.click("header .tools > button")
    assert page.shows("Go on", "header")
    assert not asks()
    page.click("header .tools > button")
    assert asks()
    page.run("Object.defineProperty(document, 'hidden', {value: true, configurable: true}), 0")
    assert not asks()
    page.run("delete document.hidden, document.dispatchEvent(new Event('visibilitychange')), 0")
    assert asks()
