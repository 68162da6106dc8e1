#!/usr/bin/env bash
# Story: lighttpd, three workers as www-data, EC and RSA keys in the device. Covers C-28, apps.md scenario 12.
. "$(dirname "$0")/lib.sh"
need lighttpd
[ -e /usr/lib/lighttpd/mod_openssl.so ] || skip_story "lighttpd's mod_openssl is not installed"
start_azihsmd || exit 1
make_tls || exit 1
mkdir -p /var/www/html /var/log/lighttpd; chown www-data /var/log/lighttpd
echo "signed in the device" >/var/www/html/index.html
check "lighttpd accepts the configuration" lighttpd -tt -f $examples/lighttpd/lighttpd.conf
lighttpd -D -f $examples/lighttpd/lighttpd.conf >$T/lighttpd.log 2>&1 &
lighttpd=$!
wait_for 10 port_open 8844
check "three workers as www-data" wait_for 10 bash -c 'test $(pgrep -u www-data -x lighttpd | wc -l) -ge 3'
before=$(signatures)
check "ECDSA, TLS 1.3: 120 handshakes" load 8843 -n 120 -c 8 -v 1.3 -r
check "ECDSA, TLS 1.2: 60 handshakes" load 8843 -n 60 -c 8 -v 1.2 -r
check "RSA, TLS 1.3: 60 handshakes" load 8844 -n 60 -c 8 -v 1.3 -r
check "RSA, TLS 1.2: 30 handshakes" load 8844 -n 30 -c 8 -v 1.2 -r
check "one signature of the device for every handshake" test $(($(signatures) - before)) -eq 270
kill_azihsmd; start_azihsmd
check "after a restart of azihsmd every worker signs again" load 8843 -n 60 -c 8
kill $lighttpd
check "lighttpd ends" wait_for 10 bash -c '! pgrep -x lighttpd'
finish
