"""A server that others can reach demands its token."""

import pytest
from playwright.sync_api import expect

TOKEN = "a-token-of-this-test"


@pytest.fixture
def guarded(serve_batch, batch):
    """The address of a server with a token."""
    with serve_batch(batch, token=TOKEN) as (address, _):
        yield address


def test_without_the_token_there_is_a_page_that_says_what_to_do(open_tab, guarded):
    tab = open_tab(tolerates={401})
    tab.goto(guarded)
    expect(tab.locator("body")).to_contain_text("token")
    assert tab.request.get(f"{guarded}/api/photos").status == 401
    assert tab.request.get(f"{guarded}/media/1/photo.jpg").status == 401


def test_the_link_opens_everything_and_the_token_leaves_the_address(open_tab, guarded):
    tab = open_tab()
    tab.goto(f"{guarded}/?token={TOKEN}")
    expect(tab.locator(".card")).to_have_count(4)
    assert TOKEN not in tab.url
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("a")
    expect(tab.locator(".card.accepted")).to_have_count(1)
