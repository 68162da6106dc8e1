#!/usr/bin/env bash
# Story: OpenSSL's own async programs: s_server -async and s_client -async with keys in the device, and a signing load that keeps many jobs
# in flight on one thread. Covers rules D5, C-31, apps.md scenarios 2 and 15.
. "$(dirname "$0")/lib.sh"
start_azihsmd || exit 1
make_tls || exit 1
tls=/etc/azihsm/tls
device_key decrypting -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt azihsm.key_usage:keyEncipherment
openssl pkey -in $tls/decrypting.key -pubout -out $T/decrypting.pub
software openssl x509 -req -in $T/rsa.csr -force_pubkey $T/decrypting.pub -CA $tls/ca.crt -CAkey $T/ca.key -CAcreateserial \
    -copy_extensions copy -out $tls/decrypting.crt 2>/dev/null
azihsm conditions --delay-ms 5 >/dev/null
port=8720
mkfifo $T/nothing; exec 7<>$T/nothing # what s_server reads instead of a terminal; with -www it would sleep a second whenever it waits
s_server() { # KIND ARGUMENTS...
    local kind=$1; shift
    port=$((port + 1))
    openssl s_server -async -accept $port -key $tls/"$kind".key -cert $tls/"$kind".crt -CAfile $tls/ca.crt "$@" <&7 >$T/server.log 2>&1 &
    server=$!
    wait_for 10 port_open $port || cat $T/server.log
}
for kind in ec rsa; do
    s_server $kind
    for version in 1.2 1.3; do check "s_server -async, $kind, TLS $version" load $port -n 10 -v $version; done
    kill $server; wait $server 2>/dev/null
done
s_server decrypting
check "s_server -async, static RSA" load $port -n 10 -v 1.2 -C AES128-SHA
check "clients that go away leave it serving" "$tools/tlsdrop" -p $port -n 54 -c 1 -v 1.2 -C AES128-SHA -w 2
check "it still serves" load $port -n 2 -v 1.2 -C AES128-SHA
kill $server; wait $server 2>/dev/null
s_server ec -www -Verify 1 -verify_return_error
before=$(signatures)
for version in tls1_2 tls1_3; do
    check "s_client -async, $version" grep -q 'HTTP/1.0 200' <(printf 'GET / HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -async -connect 127.0.0.1:$port \
        -$version -cert $tls/client.crt -key $tls/client.key -CAfile $tls/ca.crt -verify_return_error -ign_eof 2>&1)
done
check "both ends signed in the device" test $(($(signatures) - before)) -eq 4
kill $server; wait $server 2>/dev/null

# speed makes its own keys: in the device, when azihsm is preferred. Forty-eight jobs on one thread share the waiting.
sed -i 's/^providers = provider_list/&\nalg_section = algorithms/' $OPENSSL_CONF
printf '\n[algorithms]\ndefault_properties = ?provider=azihsm\n' >>$OPENSSL_CONF
speed() { # ALGORITHM JOBS: signatures of the device
    local before; before=$(signatures)
    openssl speed -elapsed -seconds 1 -async_jobs "$2" "$1" >$T/speed.log 2>&1 || { cat $T/speed.log >&2; return 1; }
    echo $(($(signatures) - before))
}
one=$(speed ecdsap256 1)
many=$(speed ecdsap256 48)
check "speed -async_jobs 1 signs in the device" test "${one:-0}" -gt 0
check "speed -async_jobs 48: $many signatures in the time of $one, 5 ms each" test "${many:-0}" -gt $((${one:-0} * 4))
finish
