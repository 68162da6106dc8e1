#!/usr/bin/env bash
# Story: PostgreSQL, which runs as postgres from the start and checks its key file: key in the device, 60 parallel connections, a client
# certificate with a key in the device (libpq), reload, a user without rights at azihsmd. Covers C-01, C-15, C-28, apps.md scenario 6.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' :)
need initdb postgres psql setpriv
start_azihsmd || exit 1
make_tls || exit 1
usermod -aG azihsm postgres 2>/dev/null || { groupadd -f azihsm; usermod -aG azihsm postgres; }
kill_azihsmd; start_azihsmd # it reads groups at start
data=$T/data
install -d -o postgres -g postgres $data
chmod 755 $T
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups -- "$@"; }
for kind in ec rsa; do install -o postgres -g postgres -m 600 /etc/azihsm/tls/$kind.key /etc/azihsm/tls/postgresql-$kind.key; done
place() { # KIND: the server's key and certificate
    cp -p /etc/azihsm/tls/postgresql-"$1".key /etc/azihsm/tls/postgresql.key && cp /etc/azihsm/tls/"$1".crt /etc/azihsm/tls/postgresql.crt
}
place ec
as_postgres initdb -D $data -A trust --no-sync >$T/initdb.log 2>&1 || { cat $T/initdb.log; exit 1; }
cat >>$data/postgresql.conf <<'CONF'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
include = '/usr/share/azihsm/examples/postgresql/azihsm.conf'
CONF
cat >$data/pg_hba.conf <<'HBA'
hostssl postgres postgres 127.0.0.1/32 cert map=device
hostssl template1 postgres 127.0.0.1/32 trust
HBA
echo "device localhost postgres" >$data/pg_ident.conf
server() { as_postgres pg_ctl -D $data -l $T/postgres.log -w -t 20 "$@"; }
install -o postgres -g postgres -m 600 /dev/null $T/postgres.log
query="sslmode=verify-full sslrootcert=/etc/azihsm/tls/ca.crt host=localhost hostaddr=127.0.0.1 user=postgres"
ask() { software psql -Atq "$query dbname=template1 $*" -c "select 'tls ' || version from pg_stat_ssl where pid = pg_backend_pid()"; }

check "the server starts with its key in the device" server start
before=$(signatures)
check "a connection over TLS 1.3" grep -q 'tls TLSv1.3' <(ask)
check "and over TLS 1.2" grep -q 'tls TLSv1.2' <(ask ssl_max_protocol_version=TLSv1.2)
check "each was signed in the device" test $(($(signatures) - before)) -eq 2
parallel() { # 60 connections at once, each an own process of the server
    local pids="" pid failed=0
    for _ in $(seq 60); do ask >/dev/null 2>>$T/parallel.log & pids="$pids $!"; done
    for pid in $pids; do wait "$pid" || failed=$((failed + 1)); done
    [ $failed -eq 0 ] || { echo "$failed failed"; tail $T/parallel.log; return 1; }
}
before=$(signatures)
check "60 parallel connections" parallel
check "60 signatures" test $(($(signatures) - before)) -eq 60
mtls="sslcert=/etc/azihsm/tls/client.crt sslkey=/etc/azihsm/tls/client.key dbname=postgres"
check "psql authenticates with a client key in the device" psql -Atq "$query $mtls" -c 'select 1'
refuse "and not without it" 'certificate' software psql -Atq "$query dbname=postgres" -c 'select 1'

place rsa
check "reload to an RSA key" server reload
serves() { software openssl s_client -starttls postgres -connect 127.0.0.1:5432 </dev/null 2>/dev/null | grep -qiE "Peer signature type: ($1)"; }
check "it is served" wait_for 10 serves "RSA-PSS|rsa_pss"
check "60 parallel connections, RSA" parallel
kill_azihsmd; start_azihsmd
check "after a restart of azihsmd it signs again" ask
place ec
chmod 640 /etc/azihsm/tls/postgresql.key; chown root:postgres /etc/azihsm/tls/postgresql.key
server reload >/dev/null
check "root's key with mode 0640 and group postgres is accepted" wait_for 10 serves "ECDSA"
check "and a client connects" ask
check "the server stops" server -m fast stop
chmod 644 /etc/azihsm/tls/postgresql.key
refuse "a key that others may read is refused by PostgreSQL" '.' server start
check "and it says why" grep -q 'has group or world access' $T/postgres.log

# Without the right to use azihsmd the server starts (loading a key needs no device) and the log of a connection names the cause.
place ec
gpasswd -d postgres azihsm >/dev/null; kill_azihsmd; start_azihsmd
check "without rights at azihsmd it starts" server start
refuse "a connection then fails" '.' timeout 30 psql -Atq "$query dbname=template1" -c 'select 1'
check "and its log names the cause" grep -E 'azihsm|[Pp]ermission' $T/postgres.log
server -m immediate stop >/dev/null
finish
