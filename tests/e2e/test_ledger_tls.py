"""A ledger on a server with a certificate: whom it trusts, and what it says if it does not."""

import subprocess

import pytest

import ragmeter
from ragmeter import Ledger, LedgerError

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


def openssl(*arguments):
    subprocess.run(["openssl", "req", "-x509", *KEY, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder: two authorities, and `server.pem` for `localhost` by the first of them."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("trusted", "other"):
        openssl("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-subj", f"/CN={name}")
    openssl(
        "-keyout", folder / "server.key", "-out", folder / "server.pem", "-subj", "/CN=server",
        "-CA", folder / "trusted.pem", "-CAkey", folder / "trusted.key",
        "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    (folder / "empty.pem").write_text("")
    return folder


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def place(request, private_server, certificates):
    """URL of a server that takes TLS only, by the name that its certificate is for."""
    server = private_server(request.param, [certificates / "server.pem", certificates / "server.key"])
    return server.url.replace("@127.0.0.1:", ":s3cret-word@localhost:")


@pytest.mark.parametrize(
    "options", ["sslmode=verify-full&sslrootcert={folder}/trusted.pem", "sslmode=require", "sslmode=prefer", ""]
)
def test_calls_reach_a_server_with_a_certificate(place, certificates, tmp_path, options):
    if place.startswith("mysql"):
        place = place.replace(":s3cret-word", "")
    url = f"{place}?{options.format(folder=certificates)}"
    with Ledger.open(url, journal=tmp_path) as ledger:
        ragmeter.record_tokens(3, 4, options or "nothing said")
        assert ledger.flush(20)
        assert [row["calls"] for row in ledger.usage(where={"model": options or "nothing said"})] == [1]


@pytest.mark.parametrize(
    ("name", "trusted", "said"),
    [
        ("localhost", "", "UnknownIssuer"),
        ("localhost", "&sslrootcert={folder}/other.pem", "UnknownIssuer"),
        ("127.0.0.1", "&sslrootcert={folder}/trusted.pem", "not valid for name"),
    ],
)
def test_a_certificate_that_proves_nothing_is_a_clear_error(place, certificates, name, trusted, said):
    url = f"{place.replace('localhost', name)}?sslmode=verify-full{trusted.format(folder=certificates)}"
    with pytest.raises(LedgerError, match="the server's certificate is not to be trusted") as raised:
        Ledger.open(url)
    assert raised.value.kind == "refused"
    assert said in str(raised.value)
    assert "sslrootcert names whom to trust" in str(raised.value)
    assert "s3cret-word" not in str(raised.value)


def test_plain_text_is_not_what_such_a_server_takes(place, tmp_path):
    with pytest.raises(LedgerError) as raised:
        Ledger.open(f"{place}?sslmode=disable", journal=tmp_path)
    assert raised.value.kind == "refused"


@pytest.mark.parametrize("name", ["missing.pem", "empty.pem"])
def test_a_file_that_names_nobody_to_trust_is_a_clear_error(place, certificates, tmp_path, name):
    url = f"{place}?sslmode=verify-full&sslrootcert={certificates}/{name}"
    with pytest.raises(ValueError, match=f"sslrootcert .*{name} cannot be read"):
        Ledger.open(url, journal=tmp_path)
