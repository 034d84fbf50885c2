"""The gateway as the edge: HTTPS to a browser, tokens that an `EventSource` can send, and tokens that it checks itself."""

import itertools
import json
import ssl
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from harness import certificate
from harness.rawhttp import RawResponse
from harness.wait import until

OPEN_MANY = """
    window.counts = Array(arguments[1]).fill(0)
    window.sources = counts.map((_, number) => {
        const source = new EventSource(`${arguments[0]}&number=${number}`)
        source.addEventListener('add', () => counts[number]++)
        return source
    })
"""


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Flags that name a certificate for 127.0.0.1 and its key, and the path of the certificate."""
    cert, key = certificate.make(tmp_path_factory.mktemp("tls"))
    return ["--tls-cert", cert, "--tls-key", key], cert


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


# ---- HTTPS


def test_a_page_has_twelve_streams_over_https(browser, flask, gateway, pair, key):
    """Over HTTP/1.1 a browser has six connections to a host, and no stream more."""
    base = gateway(flask, *pair[0]).url.replace("http://", "https://")
    browser.driver.execute_cdp_cmd("Security.setIgnoreCertificateErrors", {"ignore": True})
    try:
        browser.driver.get(f"{base}/page")
        browser.js(OPEN_MANY, f"/stream?user_id={key}&every=0.3", 12)
        until(lambda: min(browser.js("return counts")) >= 3, "three events on each of twelve streams")
        protocols = browser.js(
            "return performance.getEntriesByType('navigation').map((entry) => entry.nextHopProtocol)"
        )
        assert protocols == ["h2"]
        assert {seen["headers"]["x-forwarded-proto"] for seen in flask.seen(key)} == {"https"}
    finally:
        browser.js("window.sources?.forEach((source) => source.close())")
        browser.driver.execute_cdp_cmd("Security.setIgnoreCertificateErrors", {"ignore": False})


@pytest.mark.parametrize("http2", [False, True])
def test_a_client_that_checks_the_certificate_reads_a_stream(flask, gateway, pair, key, http2):
    base = gateway(flask, *pair[0]).url.replace("http://", "https://")
    context = ssl.create_default_context(cafile=pair[1])
    with httpx.Client(verify=context, http2=http2) as client:
        with client.stream("GET", f"{base}/stream?user_id={key}&every=0.05") as response:
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            lines = response.iter_lines()
            assert len([line for line in itertools.islice(lines, 40) if line == "event: add"]) >= 5


# ---- tokens


def test_a_token_of_the_query_becomes_a_field_of_the_rest_framework(browser, drf, gateway, key):
    own = gateway(drf, "--token-param", "token", "--log-format", "json")
    browser.open(own.url, f"/notices/?token=good-{key}-hush&user_id={key}&every=0.1", types="notice")
    browser.until_entries("event", 3)
    seen = drf.seen(key)
    assert seen[0]["headers"]["authorization"] == f"Bearer good-{key}-hush"
    assert "hush" not in own.log
    assert "hush" not in own.metrics_text()
    assert f"{key}-hush" not in drf.log
    with RawResponse(own.url + f"/notices/?token=bad&user_id={key}") as refused:
        assert refused.to_end().status == 401


KEYS = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS384": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("form", ["pem", "set"])
@pytest.mark.parametrize("algorithm", KEYS)
def test_tokens_of_pyjwt_are_checked(flask, gateway, tmp_path, key, algorithm, form):
    own_key, other_key = KEYS[algorithm](), KEYS[algorithm]()
    file = tmp_path / "keys"
    if form == "pem":
        file.write_bytes(public_pem(other_key) + public_pem(own_key))
    else:
        kind = jwt.get_algorithm_by_name(algorithm)
        keys = [json.loads(kind.to_jwk(one.public_key())) for one in (other_key, own_key)]
        file.write_text(json.dumps({"keys": [{**one, "kid": str(number)} for number, one in enumerate(keys)]}))
    gate = gateway(
        flask, "--jwt-keys", file, "--jwt-audience", "events", "--token-param", "token", "--jwt-fields", "x-user=sub"
    )
    claims = {"sub": "alice", "aud": "events", "exp": int(time.time()) + 600}

    def answer(signed_by, **changed):
        token = jwt.encode({**claims, **changed}, signed_by, algorithm, headers={"kid": "1"})
        return RawResponse(f"{gate.url}/stream?user_id={key}&every=0.1&token={token}")

    with answer(own_key) as let_in:
        let_in.until(lambda response: len(response.reading.events) >= 2, "two events")
        assert let_in.status == 200
    assert flask.seen(key)[0]["headers"]["x-user"] == "alice"
    for refused in [answer(KEYS[algorithm]()), answer(own_key, exp=1), answer(own_key, aud="other")]:
        with refused:
            assert refused.to_end().status == 401
    assert len(flask.seen(key)) == 1
