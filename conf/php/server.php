<?php
// A TLS server whose key is in the device: php server.php PORT CERTIFICATE KEY. Nothing in it is special: run it with
// OPENSSL_CONF=/etc/azihsm/openssl.cnf in the environment.
[, $port, $certificate, $key] = $argv;
$context = stream_context_create(['ssl' => ['local_cert' => $certificate, 'local_pk' => $key], 'socket' => ['backlog' => 64]]);
$server = stream_socket_server("tcp://127.0.0.1:$port", $code, $text, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN, $context);
if (!$server) {
    exit("$text\n");
}
while (true) {
    $connection = @stream_socket_accept($server, -1);
    if (!$connection) {
        continue;
    }
    stream_set_timeout($connection, 10);
    if (@stream_socket_enable_crypto($connection, true, STREAM_CRYPTO_METHOD_TLS_SERVER)) {
        fread($connection, 4096);
        fwrite($connection, "HTTP/1.0 200 OK\r\n\r\nsigned in the device\n");
    }
    fclose($connection);
}
