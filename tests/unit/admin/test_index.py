from browser import Desk

from metaproxy.admin.index import Index
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint


def test_the_index_has_every_endpoint_and_links_what_can_be_looked_at() -> None:
    desk = Desk()
    response = desk.get("/help")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    for endpoint in desk.admin.root.endpoints:
        assert endpoint.path in response.text
    assert '<a href="clusters">/clusters</a>' in response.text
    assert '<a href="./">/</a>' in response.text
    assert "<code>/quit</code>" in response.text
    assert "<code>/static/{name}</code>" in response.text


def test_nothing_is_markup_that_was_not_meant_so() -> None:
    class Odd(Endpoint):
        path = "/<b>"
        about = "1 < 2"

        def get(self, ask: AdminRequest) -> AdminResponse:
            return AdminResponse(b"")

    desk = Desk()
    desk.serve(Index([Odd()]))
    page = desk.get("/help").text
    assert "/&lt;b&gt;" in page
    assert "1 &lt; 2" in page
