"""What TLS is spoken with the gateway, asked by OpenSSL: versions, ciphers, ALPN, and what has to be off."""

import socket
import ssl
import subprocess
import warnings

import pytest
from harness import certificate

# With the curve of the tests' certificate.
STRONG = {
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
}


@pytest.fixture(scope="module")
def secure(starlette, tmp_path_factory):
    """The address of a gateway over TLS, and the certificate to trust."""
    from harness import processes

    chain, key = certificate.make(tmp_path_factory.mktemp("tls"))
    flags = ["--upstream", starlette.url, "--tls-cert", chain, "--tls-key", key]
    with processes.Gateway(*flags) as own:
        yield own.address, chain


def client(chain, version=None, ciphers=None, alpn=()):
    context = ssl.create_default_context(cafile=chain)
    # All that OpenSSL has, also what it would not speak by itself.
    context.set_ciphers(ciphers or "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    context.options &= ~ssl.OP_NO_COMPRESSION
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version or ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version or ssl.TLSVersion.MAXIMUM_SUPPORTED
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def shaken(address, context):
    """The connection after a handshake, or None where it is refused."""
    plain = socket.create_connection(address, timeout=30)
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except (ssl.SSLError, ConnectionError):
        plain.close()
        return None


def test_only_versions_from_1_2_on_are_spoken(secure):
    address, chain = secure
    spoken = []
    for version in ["SSLv3", "TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"]:
        if connection := shaken(address, client(chain, getattr(ssl.TLSVersion, version))):
            spoken.append(connection.version())
            connection.close()
    assert spoken == ["TLSv1.2", "TLSv1.3"]


def test_only_ciphers_with_forward_secrecy_and_authentication_are_spoken(secure):
    address, chain = secure
    every = {cipher["name"] for cipher in client(chain).get_ciphers() if cipher["protocol"] != "TLSv1.3"}
    assert len(every) > 50 and every > STRONG
    spoken = set()
    for name in every:
        context = client(chain, ssl.TLSVersion.TLSv1_2, f"{name}:@SECLEVEL=0")
        if connection := shaken(address, context):
            spoken.add(connection.cipher()[0])
            connection.close()
    assert spoken == STRONG


def test_of_1_3_there_are_the_suites_of_the_standard(secure):
    address, _ = secure
    for suite in ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"]:
        said = openssl(address, "-tls1_3", "-ciphersuites", suite)
        assert f"Cipher is {suite}" in said
    assert "Cipher is (NONE)" in openssl(address, "-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256")


def test_h2_is_preferred_and_what_is_not_spoken_is_refused(secure):
    address, chain = secure
    for offered, expected in [
        (["h2", "http/1.1"], "h2"),
        (["http/1.1", "h2"], "h2"),
        (["http/1.1"], "http/1.1"),
        (["spdy/3", "http/1.1"], "http/1.1"),
        ([], None),
    ]:
        connection = shaken(address, client(chain, alpn=offered))
        assert connection.selected_alpn_protocol() == expected
        connection.close()
    assert shaken(address, client(chain, alpn=["http/1.0"])) is None


def openssl(address, *arguments, said=b"", limit=60):
    """What `s_client` tells. At the limit it is ended."""
    command = ["openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", "-servername", "localhost", *arguments]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        return started.communicate(said, limit)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        started.kill()
        return started.communicate()[0].decode(errors="replace")


def test_nothing_is_negotiated_again_nor_compressed_nor_sent_early(secure):
    address, chain = secure
    said = openssl(address, "-tls1_2", "-comp", said=b"R\n", limit=2)
    assert "Compression: NONE" in said
    # No one can begin a handshake behind which others' bytes count as the client's (RFC 5746).
    assert "Secure Renegotiation IS supported" in said
    again = said.partition("RENEGOTIATING")
    assert again[1] and "verify return" in again[0] and "verify return" not in again[2]
    said = openssl(address, "-tls1_3", said=b"Q\n")
    assert "New, TLSv1.3" in said and "Early data was not sent" in said
    for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
        connection = shaken(address, client(chain, version))
        assert connection.compression() is None
        connection.close()
