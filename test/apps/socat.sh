#!/usr/bin/env bash
# Story: socat OPENSSL-LISTEN,fork: each child frees the key it inherited; the parent and the next child go on signing (apps.md 4.1,
# scenario 4, C-01). Then socat as client, and s_server and speed in async mode (rules D5, scenario 2).
. "$(dirname "$0")/lib.sh"
need socat
start_azihsmd || exit 1
make_tls || exit 1
tls=/etc/azihsm/tls
printf '#!/bin/sh\nread -r request\nprintf "HTTP/1.0 200 OK\\r\\n\\r\\nsigned in the device\\n"\n' >$T/page
chmod 755 $T/page
port=8700
for kind in ec rsa; do
    port=$((port + 1))
    socat "OPENSSL-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr,backlog=32,cert=$tls/$kind.crt,key=$tls/$kind.key,verify=0" EXEC:$T/page 2>$T/socat.log &
    socat=$!
    check "$kind: socat listens" wait_for 10 port_open $port
    before=$(signatures)
    check "$kind: 20 connections, one after the other" load $port -n 20 -c 1 -r
    check "$kind: 20 connections, 8 at a time" load $port -n 20 -c 8 -r
    check "$kind: one signature of the device for every connection" test $(($(signatures) - before)) -eq 40
    kill $socat; wait $socat 2>/dev/null
done

socat "OPENSSL-LISTEN:8710,bind=127.0.0.1,fork,reuseaddr,cert=$tls/rsa.crt,key=$tls/rsa.key,cafile=$tls/ca.crt,verify=1" EXEC:$T/page 2>$T/socat.log &
wait_for 10 port_open 8710
before=$(signatures)
check "as client, with its key in the device" grep -q "signed in the device" \
    <(echo GET | socat -t 10 - "OPENSSL:localhost:8710,pf=ip4,cert=$tls/client.crt,key=$tls/client.key,cafile=$tls/ca.crt")
check "both ends signed in the device" test $(($(signatures) - before)) -eq 2
finish
