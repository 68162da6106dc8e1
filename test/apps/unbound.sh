#!/usr/bin/env bash
# Story: unbound, DNS over TLS, two threads, chroot and user unbound; the key is read before. Covers C-28, apps.md scenario 12.
. "$(dirname "$0")/lib.sh"
need unbound
start_azihsmd || exit 1
make_tls || exit 1
mkdir -p /var/lib/unbound/etc/unbound; chown unbound /var/lib/unbound
unbound -d -c $examples/unbound/unbound.conf >$T/unbound.log 2>&1 &
unbound=$!
check "unbound starts" wait_for 10 port_open 8531
check "as unbound" test "$(stat -c %U /proc/$unbound)" = unbound
check "in its chroot" test "$(readlink /proc/$unbound/root)" = /var/lib/unbound
before=$(signatures)
check "TLS 1.3: 100 handshakes" load 8531 -n 100 -c 8 -v 1.3
check "TLS 1.2: 50 handshakes" load 8531 -n 50 -c 8 -v 1.2
check "one signature of the device for every handshake" test $(($(signatures) - before)) -eq 150
if command -v dig >/dev/null; then
    check "dig +tls gets its answer" bash -c "OPENSSL_CONF=/etc/ssl/openssl.cnf dig +tls +tls-ca=/etc/azihsm/tls/ca.crt +tls-hostname=localhost \
        +short +time=10 +tries=1 @127.0.0.1 -p 8531 www.example. TXT | grep -q 'signed in the device'"
fi
kill_azihsmd; start_azihsmd
check "after a restart of azihsmd the chrooted unbound signs again" load 8531 -n 50 -c 8
kill $unbound
check "unbound ends" wait_for 10 test ! -d /proc/$unbound
finish
