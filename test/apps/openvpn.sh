#!/usr/bin/env bash
# Story: OpenVPN, server and client with keys in the device, the provider named by `providers` alone (no OPENSSL_CONF), server as nobody.
# Covers C-28, apps.md scenario 7.
. "$(dirname "$0")/lib.sh"
need openvpn ss
start_azihsmd || exit 1
make_tls || exit 1
port_listens() { ss -tln | grep -q ":$1 "; } # without a connection: this server takes one client at a time
OPENSSL_CONF=/etc/ssl/openssl.cnf openvpn --config $examples/openvpn/server.conf >$T/server.log 2>&1 &
server=$!
wait_for 10 port_listens 1194
connect() { # ARGUMENTS...: a client that ends when the tunnel stands
    : >$T/client.log
    OPENSSL_CONF=/etc/ssl/openssl.cnf openvpn --config $examples/openvpn/client.conf "$@" >$T/client.log 2>&1 &
    local client=$!
    wait_for 10 grep -q 'Initialization Sequence Completed' $T/client.log
    local status=$?
    kill $client; wait $client 2>/dev/null
    [ $status -eq 0 ] || tail -n 15 $T/client.log $T/server.log
    return $status
}
for version in 1.2 1.3; do
    before=$(signatures)
    check "a client connects with TLS $version" connect --tls-version-min $version --tls-version-max $version
    check "with TLS $version" grep -qE "Control Channel: TLSv$version" $T/client.log
    check "both ends signed in the device" test $(($(signatures) - before)) -eq 2
done
check "the server runs as nobody" test "$(stat -c %U /proc/$server)" = nobody
kill_azihsmd; start_azihsmd
check "after a restart of azihsmd the server, now nobody, signs again" connect
kill $server
check "the server ends" wait_for 10 test ! -d "/proc/$server"
finish
