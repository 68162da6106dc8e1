#!/usr/bin/env bash
# Story: Perl's IO::Socket::SSL: a server that forks for each connection, and a client with a client certificate, keys in the device.
# Covers C-28, apps.md scenario 7 (and 4: every child frees what it inherited).
. "$(dirname "$0")/lib.sh"
need perl
perl -MIO::Socket::SSL -e 1 2>/dev/null || skip_story "IO::Socket::SSL is not installed"
start_azihsmd || exit 1
make_tls || exit 1
tls=/etc/azihsm/tls
perl $examples/perl/server.pl 8963 $tls/ec.crt $tls/ec.key >$T/ec.log 2>&1 &
perl $examples/perl/server.pl 8964 $tls/rsa.crt $tls/rsa.key >$T/rsa.log 2>&1 &
check "the servers start" wait_for 20 port_open 8963
wait_for 20 port_open 8964
before=$(signatures)
check "server, ECDSA, TLS 1.3: 40 handshakes, each in a child" load 8963 -n 40 -c 4 -v 1.3 -r
check "server, RSA, TLS 1.2: 20 handshakes, each in a child" load 8964 -n 20 -c 4 -v 1.2 -r
check "one signature of the device for every handshake" test $(($(signatures) - before)) -eq 60

cat >$T/client.pl <<'PERL'
use IO::Socket::SSL;
my $connection = IO::Socket::SSL->new(PeerAddr => '127.0.0.1', PeerPort => 8965, SSL_ca_file => '/etc/azihsm/tls/ca.crt',
    SSL_verifycn_name => 'localhost', SSL_cert_file => '/etc/azihsm/tls/client.crt', SSL_key_file => '/etc/azihsm/tls/client.key')
    or die IO::Socket::SSL::errstr();
print $connection "GET / HTTP/1.0\r\n\r\n";
exit((<$connection> // '') =~ /200 ok/ ? 0 : 1);
PERL
openssl s_server -accept 8965 -key $tls/rsa.key -cert $tls/rsa.crt -CAfile $tls/ca.crt -Verify 1 -verify_return_error -quiet -www >$T/server.log 2>&1 &
wait_for 10 port_open 8965
before=$(signatures)
check "client with a client certificate" timeout 30 perl $T/client.pl
check "both ends signed in the device" test $(($(signatures) - before)) -eq 2
finish
