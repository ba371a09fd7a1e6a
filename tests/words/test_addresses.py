"""What a URL that a user gave may say (S18, S19; F29), against a corpus of what it may not."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from proxy.words.addresses import AddressError, is_public, read_url

CORPUS = Path(__file__).parents[1] / "upstream" / "ssrf.txt"
CASES = [
    line.removesuffix("\n")
    for line in CORPUS.read_text("utf-8").splitlines(keepends=True)
    if line.strip() and not line.startswith("# ")
]


def test_s18_the_corpus_is_large_and_of_one_of_each() -> None:
    assert len(CASES) >= 120
    assert len(set(CASES)) == len(CASES)


@pytest.mark.fault("F29")
@pytest.mark.parametrize("url", [case.encode().decode("unicode_escape") for case in CASES])
def test_s18_nothing_of_the_corpus_is_taken(url: str) -> None:
    for http in (False, True):
        with pytest.raises(AddressError) as caught:
            read_url(url, http=http)
        assert "169.254" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://api.openai.com/v1", "api.openai.com", 443),
        ("HTTPS://API.OpenAI.com", "api.openai.com", 443),
        ("https://my-company.openai.azure.com:8443/openai/v1?x=y#z", "my-company.openai.azure.com", 8443),
        ("https://xn--bcher-kva.de/", "xn--bcher-kva.de", 443),
        ("https://1.1.1.1/", "1.1.1.1", 443),
        ("https://[2606:4700:4700::1111]:444/v1", "2606:4700:4700::1111", 444),
        ("https://[64:ff9b::101:101]/", "64:ff9b::101:101", 443),
        ("https://example.com/http://127.0.0.1/", "example.com", 443),
        ("https://0x.example.com/", "0x.example.com", 443),
    ],
)
def test_a_public_address_is_read(url: str, host: str, port: int) -> None:
    read = read_url(url)
    assert (read.scheme, read.host, read.port) == ("https", host, port)


def test_http_is_taken_where_the_operator_says_so() -> None:
    with pytest.raises(AddressError, match="https"):
        read_url("http://api.openai.com/")
    assert read_url("http://api.openai.com/", http=True).port == 80


def test_networks_of_the_operators_are_taken_and_no_others() -> None:
    mine = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/32"))
    assert read_url("https://10.1.2.3/v1", allowed=mine).literal == ip_address("10.1.2.3")
    assert read_url("https://llm.corp/v1", allowed=mine).literal is None
    assert is_public(ip_address("::ffff:10.1.2.3"), mine)
    for other in ("10.2.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00:2::1", "::ffff:10.2.0.1"):
        assert not is_public(ip_address(other), mine)
        literal = f"[{other}]" if ":" in other else other
        with pytest.raises(AddressError):
            read_url(f"https://{literal}/", allowed=mine)


@pytest.mark.parametrize(
    "block",
    [
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "fc00::/7", "fe80::/10"),
        *("fec0::/10", "ff00::/8", "64:ff9b:1::/48", "100::/64", "2002::/16", "2001::/32", "5f00::/16"),
    ],
)
def test_s18_of_a_closed_block_the_first_and_the_last_address_are_closed(block: str) -> None:
    network = ip_network(block)
    for address in (network[0], network[-1]):
        assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["9.255.255.255", "11.0.0.0", "128.0.0.1", "172.15.255.255", "172.32.0.0", "223.255.255.255"]
)
def test_what_is_beside_a_closed_block_is_open(address: str) -> None:
    assert is_public(ip_address(address))
