#!/usr/bin/env bash
# Story: BIND, DNS over TLS; named reads the key as the user bind. Covers C-28, apps.md scenario 12; DNSSEC signing needs an engine
# (scenario 14).
. "$(dirname "$0")/lib.sh"
need named dig
start_azihsmd || exit 1
make_tls || exit 1
groupadd -f azihsm; usermod -aG azihsm bind
kill_azihsmd; start_azihsmd # it reads groups at start
place() { # KIND OWNER MODE
    install -o "${2%:*}" -g "${2#*:}" -m "$3" /etc/azihsm/tls/"$1".key /etc/azihsm/tls/bind.key && cp /etc/azihsm/tls/"$1".crt /etc/azihsm/tls/bind.crt
}
mkdir -p /run/named /var/cache/bind; chown bind:bind /run/named /var/cache/bind
check "named accepts the configuration" named-checkconf $examples/bind/named.conf
ask() { # a TXT record over TLS, with the certificate checked by a client that has no provider of ours
    software dig +tls +tls-ca=/etc/azihsm/tls/ca.crt +tls-hostname=localhost +short +time=10 +tries=1 @127.0.0.1 -p 8530 www.example. TXT | grep -q "signed in the device"
}
port=8530
for kind in ec rsa; do
    place $kind root:bind 640
    named -u bind -g -c $examples/bind/named.conf >$T/named.log 2>&1 &
    named=$!
    check "$kind: named starts" wait_for 10 port_open $port
    check "$kind: as bind" test "$(stat -c %U /proc/$named)" = bind
    check "$kind: 60 handshakes" load $port -n 60 -c 8
    check "$kind: 20 handshakes with TLS 1.2" load $port -n 20 -c 4 -v 1.2
    before=$(signatures)
    check "$kind: dig +tls gets its answer" ask
    check "$kind: signed in the device" test $(($(signatures) - before)) -eq 1
    if [ $kind = ec ]; then
        kill_azihsmd; start_azihsmd
        check "$kind: after a restart of azihsmd it signs again" load $port -n 20 -c 4
    fi
    kill $named
    check "$kind: named ends" wait_for 20 test ! -d /proc/$named
done
place ec root:root 600
refuse "a key that bind may not read is refused, with the cause" '[Pp]ermission' timeout 20 named -u bind -g -c $examples/bind/named.conf
finish
