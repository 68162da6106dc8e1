#!/usr/bin/env bash
# Story: Python's ssl module with keys in the device: server with a thread per connection, client certificates, 8 threads, 4 forked
# children that inherit the loaded key; what the cryptography package can do with such a key (nothing: it reads keys itself).
# Covers C-01, C-28, apps.md scenarios 4 and 7.
. "$(dirname "$0")/lib.sh"
python=/usr/bin/python3 # the release's own, which uses the system's libcrypto
need $python curl
$python -c 'import ssl, sys; sys.exit(not ssl.OPENSSL_VERSION.startswith("OpenSSL 3"))' || skip_story "this Python has no OpenSSL 3"
start_azihsmd || exit 1
make_tls || exit 1
tls=/etc/azihsm/tls

$python $examples/python/server.py 8743 $tls/ec.crt $tls/ec.key >$T/ec.log 2>&1 &
$python $examples/python/server.py 8744 $tls/rsa.crt $tls/rsa.key $tls/ca.crt >$T/rsa.log 2>&1 &
wait_for 20 port_open 8743
wait_for 20 port_open 8744
before=$(signatures)
check "server, ECDSA, TLS 1.3: 100 handshakes" load 8743 -n 100 -c 8 -v 1.3 -r
check "server, ECDSA, TLS 1.2: 50 handshakes" load 8743 -n 50 -c 8 -v 1.2 -r
check "one signature of the device for every handshake" test $(($(signatures) - before)) -eq 150
check "server, RSA, client certificate with a key in the device" grep -q "signed in the device" \
    <(curl -s --max-time 20 --cacert $tls/ca.crt --cert $tls/client.crt --key $tls/client.key https://localhost:8744/)

cat >$T/client.py <<'PY'
# client.py threads|fork: loads the client key once; every thread or forked child makes ten handshakes with it.
import os, socket, ssl, sys, threading, warnings
warnings.simplefilter("ignore")
tls = "/etc/azihsm/tls/"
made, contexts = [], []
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    contexts.append(ssl.create_default_context(cafile=tls + "ca.crt"))
    contexts[-1].load_cert_chain(tls + "client.crt", tls + "client.key")
    contexts[-1].maximum_version = version

def handshakes():
    for context in contexts * 5:
        with socket.create_connection(("127.0.0.1", 8744), 20) as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while b"device" not in answer:
                piece = connection.recv(4096)
                assert piece, "the server ended the connection"
                answer += piece
            made.append(1)

if sys.argv[1] == "threads":
    handshakes()  # the parent's own first, then eight at once
    threads = [threading.Thread(target=handshakes) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    sys.exit(0 if len(made) == 90 else 1)
if sys.argv[2] == "after":
    handshakes()  # the parent has a connection to the device before it forks
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        handshakes()
        contexts.clear()  # frees the key object that the parent still uses
        os._exit(0 if len(made) >= 10 else 1)
    children.append(pid)
good = all(os.waitpid(pid, 0)[1] == 0 for pid in children)
made.clear()
handshakes()
sys.exit(0 if good and len(made) == 10 else 1)
PY
before=$(signatures)
check "client: 8 threads with one loaded key" timeout 60 $python $T/client.py threads
check "each handshake signed twice in the device" test $(($(signatures) - before)) -eq 180
check "client: 4 forked children inherit a key that was never used" timeout 60 $python $T/client.py fork before
check "client: 4 forked children inherit a key and its connection" timeout 60 $python $T/client.py fork after

if $python -c 'import cryptography' 2>/dev/null; then
    cat >$T/package.py <<'PY'
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = open("/etc/azihsm/tls/ec.key", "rb").read()
try:
    serialization.load_pem_private_key(key, None)
except BaseException as refused:  # newer ones panic in their own Rust, at the export that is refused
    print("refused:", type(refused).__name__)
else:
    raise SystemExit("the package read a key it cannot use")
certificate = x509.load_pem_x509_certificate(open("/etc/azihsm/tls/ec.crt", "rb").read())
public = serialization.load_pem_public_key(open("/run/story/ec.pub", "rb").read())
assert certificate.public_key().public_numbers() == public.public_numbers()
from cryptography.hazmat.primitives import hashes
public.verify(open("/run/story/sig", "rb").read(), b"a message\n", ec.ECDSA(hashes.SHA256()))
own = ec.generate_private_key(ec.SECP256R1())
own.public_key().verify(own.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x", ec.ECDSA(hashes.SHA256()))
PY
    openssl pkey -in $tls/ec.key -pubout -out $T/ec.pub
    echo "a message" >$T/message
    openssl dgst -sha256 -sign $tls/ec.key -out $T/sig $T/message
    check "cryptography: refuses the key cleanly, reads the certificate, verifies what the device signed, has its own keys" $python $T/package.py
else
    echo "SKIP: no python3-cryptography"
fi
finish
