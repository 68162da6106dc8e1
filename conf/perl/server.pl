#!/usr/bin/perl
# A TLS server whose key is in the device: perl server.pl PORT CERTIFICATE KEY. Nothing in it is special: run it with
# OPENSSL_CONF=/etc/azihsm/openssl.cnf in the environment. Each connection is served by a child, as many Perl servers do.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::SSL;

my ($port, $certificate, $key) = @ARGV;
my $context = IO::Socket::SSL::SSL_Context->new(SSL_server => 1, SSL_cert_file => $certificate, SSL_key_file => $key)
    or die IO::Socket::SSL::errstr(), "\n";
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64, ReuseAddr => 1)
    or die "$@\n";

$SIG{CHLD} = 'IGNORE';
while (1) {
    my $connection = $server->accept or next;
    my $child = fork;
    next if !defined $child || $child != 0;
    if (IO::Socket::SSL->start_SSL($connection, SSL_server => 1, SSL_reuse_ctx => $context, Timeout => 10)) {
        $connection->sysread(my $request, 4096);
        print $connection "HTTP/1.0 200 OK\r\n\r\nsigned in the device\n";
        $connection->close;
    }
    exit 0;
}
