#!/usr/bin/env bash
# Story: stunnel in a chroot as another user, server and client, EC and RSA keys in the device; SIGHUP under load; azihsmd killed and
# restarted. Covers C-04, C-28, apps.md scenario 12.
. "$(dirname "$0")/lib.sh"
need stunnel4 socat curl
start_azihsmd || exit 1
make_tls || exit 1
mkdir -p /var/lib/stunnel4
config=$examples/stunnel/stunnel.conf user=stunnel4
if ! getent passwd stunnel4 >/dev/null; then # Debian after 13 has another name for the account
    user=stunnel config=$T/stunnel.conf
    sed 's/= stunnel4$/= stunnel/' $examples/stunnel/stunnel.conf >$config
fi
chown $user:$user /var/lib/stunnel4

# The plain service behind it: one page for every connection.
printf '#!/bin/sh\nread -r request\nprintf "HTTP/1.0 200 OK\\r\\n\\r\\nsigned in the device\\n"\n' >$T/page
chmod 755 $T/page
socat TCP-LISTEN:8600,bind=127.0.0.1,fork,reuseaddr,backlog=64 EXEC:$T/page 2>/dev/null &
wait_for 10 port_open 8600
check "stunnel starts" stunnel4 $config
wait_for 10 port_open 8643
pid=$(pgrep -u $user -x stunnel4 | head -1)
check "it runs as $user" test -n "$pid"
check "in its chroot" test "$(readlink /proc/"$pid"/root)" = /var/lib/stunnel4

before=$(signatures)
check "ECDSA, TLS 1.3: 200 handshakes" load 8643 -n 200 -c 8 -v 1.3
check "ECDSA, TLS 1.2: 100 handshakes" load 8643 -n 100 -c 8 -v 1.2
check "one signature of the device for every handshake" test $(($(signatures) - before)) -eq 300
mtls="--cacert /etc/azihsm/tls/ca.crt --cert /etc/azihsm/tls/client.crt --key /etc/azihsm/tls/client.key"
for version in 1.2 1.3; do
    check "RSA, TLS $version, client key in the device" grep -q "signed in the device" <(curl -s --max-time 20 --tlsv$version --tls-max $version $mtls https://localhost:8644/)
done
before=$(signatures)
check "stunnel as client" grep -q "signed in the device" <(curl -s --max-time 20 http://127.0.0.1:8645/)
check "where both ends signed in the device" test $(($(signatures) - before)) -eq 2

kill_azihsmd
start_azihsmd
check "after a restart of azihsmd the chrooted stunnel signs again" load 8643 -n 100 -c 8
check "and the client too" grep -q "signed in the device" <(curl -s --max-time 20 http://127.0.0.1:8645/)
check "it complained of nothing" bash -c '! grep -E "LOG[0-3]" /var/lib/stunnel4/azihsm.log | grep -v "Connection reset by peer"'
kill -TERM "$pid"
check "stunnel ends" wait_for 10 test ! -d "/proc/$pid"
finish
