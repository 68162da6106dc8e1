#!/usr/bin/env bash
# Story: PHP: TLS streams as server and client (local_pk), openssl_sign, openssl_csr_new, with keys in the device.
# Covers C-28, apps.md scenario 7.
. "$(dirname "$0")/lib.sh"
need php
php -m | grep -x openssl >/dev/null || skip_story "this PHP has no openssl extension"
start_azihsmd || exit 1
make_tls || exit 1
tls=/etc/azihsm/tls
php $examples/php/server.php 8953 $tls/ec.crt $tls/ec.key >$T/ec.log 2>&1 &
php $examples/php/server.php 8954 $tls/rsa.crt $tls/rsa.key >$T/rsa.log 2>&1 &
check "the servers start" wait_for 20 port_open 8954
wait_for 20 port_open 8953
before=$(signatures)
check "server, ECDSA: 40 handshakes" load 8953 -n 40 -c 4 -r
check "server, RSA: 20 handshakes" load 8954 -n 20 -c 4 -r
check "one signature of the device for every handshake" test $(($(signatures) - before)) -eq 60

cat >$T/client.php <<'PHP'
<?php // a client certificate with its key in the device
$context = stream_context_create(['ssl' => ['cafile' => '/etc/azihsm/tls/ca.crt', 'local_cert' => '/etc/azihsm/tls/client.crt',
    'local_pk' => '/etc/azihsm/tls/client.key', 'peer_name' => 'localhost']]);
$connection = stream_socket_client('tls://127.0.0.1:8955', $code, $text, 10, STREAM_CLIENT_CONNECT, $context);
if (!$connection) exit(1);
fwrite($connection, "GET / HTTP/1.0\r\n\r\n");
exit(str_contains(stream_get_contents($connection), '200 ok') ? 0 : 1);
PHP
openssl s_server -accept 8955 -key $tls/rsa.key -cert $tls/rsa.crt -CAfile $tls/ca.crt -Verify 1 -verify_return_error -quiet -www >$T/server.log 2>&1 &
wait_for 10 port_open 8955
before=$(signatures)
check "client with a client certificate" timeout 30 php $T/client.php
check "both ends signed in the device" test $(($(signatures) - before)) -eq 2

cat >$T/sign.php <<'PHP'
<?php
function must($what, $text) { if (!$what) { echo "$text: ", openssl_error_string(), "\n"; exit(1); } return $what; }
foreach (['ec', 'rsa'] as $kind) {
    $key = must(openssl_pkey_get_private("file:///etc/azihsm/tls/$kind.key"), "read $kind");
    $certificate = file_get_contents("/etc/azihsm/tls/$kind.crt");
    must(openssl_sign('a message', $signature, $key, OPENSSL_ALGO_SHA256), "sign $kind");
    must(openssl_verify('a message', $signature, $certificate, OPENSSL_ALGO_SHA256) === 1, "verify $kind");
    must(openssl_verify('another', $signature, $certificate, OPENSSL_ALGO_SHA256) === 0, "refuse $kind");
    must(openssl_x509_check_private_key($certificate, $key), "match $kind");
    must(!@openssl_pkey_export($key, $out) || !str_contains($out, 'BEGIN PRIVATE KEY'), "no plain export of $kind");
}
$own = must(openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'private_key_bits' => 2048, 'curve_name' => 'prime256v1']), 'own key'); // software beside it
must(openssl_sign('a message', $signature, $own, OPENSSL_ALGO_SHA256), 'own signature');
PHP
before=$(signatures)
check "openssl_pkey_get_private, openssl_sign, openssl_x509_check_private_key" timeout 30 php $T/sign.php
check "two of its signatures are the device's" test $(($(signatures) - before)) -eq 2
finish
