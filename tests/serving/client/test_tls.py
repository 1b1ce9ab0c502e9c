import ssl

import grpc
import pytest
import trustme

from ikelos.serving.client import TLS, Unavailable


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """Returns the paths of the authority's certificate and of a client's certificate and key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("client@example.org")
    contents = {
        "roots": authority.cert_pem.bytes(),
        "certificate": b"".join(blob.bytes() for blob in certificate.cert_chain_pems),
        "key": certificate.private_key_pem.bytes(),
        "other": trustme.CA().cert_pem.bytes(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


@pytest.fixture
def secured(model, authority, kind, fake):
    """Returns the address of a server that asks for the client's certificate."""
    issued = authority.issue_cert("127.0.0.1")
    if kind["rest"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        server, port = fake.serve_http(model, context)
        yield f"127.0.0.1:{port}"
        server.shutdown()
        server.server_close()
        return
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    credentials = grpc.ssl_server_credentials(
        [(issued.private_key_pem.bytes(), chain)], authority.cert_pem.bytes(), require_client_auth=True
    )
    server, port = fake.serve_grpc(model, credentials)
    yield f"127.0.0.1:{port}"
    server.stop(0)


def test_a_client_with_a_certificate(secured, make, files):
    client = make(secured, tls=TLS(files["roots"], files["certificate"], files["key"]))
    assert client.predict({"x": [1]})["y"].tolist() == [2.5]


@pytest.mark.parametrize("wrong", ["no certificate", "other authority", "no encryption"])
def test_a_client_that_is_not_trusted_or_does_not_trust(secured, make, files, wrong):
    tls = {
        "no certificate": TLS(files["roots"]),
        "other authority": TLS(files["other"], files["certificate"], files["key"]),
        "no encryption": None,
    }[wrong]
    with pytest.raises(Unavailable):
        make(secured, tls=tls).status()


def test_a_file_that_is_missing(make, files):
    with pytest.raises(FileNotFoundError):
        make("127.0.0.1:1", tls=TLS(files["roots"].with_name("absent"))).status()
