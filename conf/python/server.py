#!/usr/bin/env python3
"""An HTTPS server whose key is in the device: server.py PORT CERTIFICATE KEY [CA for client certificates].

Nothing in it is special: run it with OPENSSL_CONF=/etc/azihsm/openssl.cnf in the environment."""
import http.server
import ssl
import sys


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"signed in the device\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """The handshake is done by each connection's own thread."""

    request_queue_size = 64

    def __init__(self, address, tls):
        super().__init__(address, Page)
        self.tls = tls

    def finish_request(self, request, client_address):
        with self.tls.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def handle_error(self, *_):
        pass


def main(port, certificate, key, ca=None):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    tls.load_cert_chain(certificate, key)
    if ca:
        tls.verify_mode = ssl.CERT_REQUIRED
    Server(("127.0.0.1", int(port)), tls).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
