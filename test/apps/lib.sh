# Shell library of the stories in this folder. A story runs inside test/lab (a private copy of the machine with azihsm installed),
# so it may write anywhere, use fixed ports, and leave processes behind: all vanish with the lab.
# shellcheck shell=bash
set -uo pipefail

[ "${AZIHSM_LAB:-}" = inside ] || { echo "run this through test/lab BUILD-DIR $0"; exit 2; }
story_failures=0 story_checks=0
T=/run/story; mkdir -p $T
examples=/usr/share/azihsm/examples
stories=$LAB_ROOT/test/apps
tools=$LAB_BUILD/test-bin
export OPENSSL_CONF=/etc/azihsm/openssl.cnf
software() { OPENSSL_CONF=/etc/ssl/openssl.cnf "$@"; } # the same program without our provider

# check TEXT COMMAND...: the command must succeed. Its output is shown only when it does not.
check() {
    local text=$1; shift
    story_checks=$((story_checks + 1))
    if "$@" >$T/check.log 2>&1; then echo "ok   $text"; else
        echo "FAIL $text (exit $?)"; sed 's/^/     /' $T/check.log | tail -20; story_failures=$((story_failures + 1)); return 1; fi
}
# refuse TEXT PATTERN COMMAND...: the command must fail and its output must match the pattern.
refuse() {
    local text=$1 pattern=$2; shift 2
    story_checks=$((story_checks + 1))
    if "$@" >$T/check.log 2>&1; then echo "FAIL $text: succeeded"; story_failures=$((story_failures + 1)); return 1; fi
    if grep -qE "$pattern" $T/check.log; then echo "ok   $text"; else
        echo "FAIL $text: the message does not say /$pattern/"; sed 's/^/     /' $T/check.log | tail -20; story_failures=$((story_failures + 1)); return 1; fi
}
skip_story() { echo "SKIP: $*"; exit 77; }
need() { for program in "$@"; do command -v "$program" >/dev/null || skip_story "$program is not installed"; done; }
finish() {
    echo "$story_checks checks, $story_failures failed"
    [ $story_failures -eq 0 ] && [ $story_checks -gt 0 ]; exit
}
# wait_for SECONDS COMMAND...: polls until the command succeeds.
wait_for() {
    local tries=$(($1 * 20)); shift
    while [ $tries -gt 0 ]; do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; tries=$((tries - 1)); done
    echo "     waited in vain for: $*"; return 1
}
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The system's daemon with the packaged configuration.
azihsmd_pid=""
start_azihsmd() {
    mkdir -p /etc/azihsm/keys /etc/azihsm/tls
    [ -f /etc/azihsm/azihsmd.conf ] || cp $examples/azihsmd.conf /etc/azihsm/
    [ -f /etc/azihsm/openssl.cnf ] || cp $examples/openssl.cnf /etc/azihsm/
    OPENSSL_CONF=/etc/ssl/openssl.cnf azihsmd "$@" >>$T/azihsmd.log 2>&1 &
    azihsmd_pid=$!
    wait_for 20 azihsm status || { cat $T/azihsmd.log; azihsm status; return 1; }
}
kill_azihsmd() { kill -9 "$azihsmd_pid"; wait "$azihsmd_pid" 2>/dev/null; }
# counter NAME: a number of the daemon's metrics, e.g. counter 'azihsm_commands_total{op="EccSign"}'
counter() { azihsm metrics | awk -v name="$1" 'index($0, name) == 1 && substr($0, length(name) + 1, 1) ~ /[ {]/ { s += $NF } END { print s + 0 }'; }
signatures() { echo $(($(counter 'azihsm_commands_total{op="EccSign"}') + $(counter 'azihsm_commands_total{op="RsaModExp"}'))); }

# A certificate authority in software, certificates over device keys: ec.key rsa.key client.key in /etc/azihsm/tls.
device_key() { # NAME, genpkey arguments...
    local name=$1; shift
    openssl genpkey -propquery provider=azihsm "$@" -out /etc/azihsm/tls/"$name".key
}
make_ca() {
    software openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $T/ca.key -out /etc/azihsm/tls/ca.crt \
        -subj "/CN=story CA" -addext keyUsage=critical,keyCertSign,cRLSign -days 30 2>/dev/null
}
certificate() { # NAME: signed by the CA over the device key NAME.key
    openssl req -new -key /etc/azihsm/tls/"$1".key -subj "/CN=localhost" -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out $T/"$1".csr &&
        software openssl x509 -req -in $T/"$1".csr -CA /etc/azihsm/tls/ca.crt -CAkey $T/ca.key -CAcreateserial -days 30 -copy_extensions copy \
            -out /etc/azihsm/tls/"$1".crt 2>/dev/null
}
make_tls() {
    make_ca && device_key ec -algorithm EC -pkeyopt group:P-256 && device_key rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048 &&
        device_key client -algorithm EC -pkeyopt group:P-384 && certificate ec && certificate rsa && certificate client &&
        cat /etc/azihsm/tls/ec.crt /etc/azihsm/tls/ec.key >/etc/azihsm/tls/ec.pem &&
        cat /etc/azihsm/tls/rsa.crt /etc/azihsm/tls/rsa.key >/etc/azihsm/tls/rsa.pem
}
# load PORT [tlsload arguments...]: full handshakes, every one must succeed.
load() { local port=$1; shift; software "$tools/tlsload" -p "$port" -f /etc/azihsm/tls/ca.crt "$@"; }
# every_handshake PORT SIGNATURES: a server with an EC and an RSA key of the device signs in every way, once a handshake; SIGNATURES is what
# the device had counted before the server was started.
every_handshake() {
    local port=$1 before=$2
    check "TLS 1.3, ECDSA: 200 handshakes, 8 at a time" load "$port" -n 200 -c 8 -v 1.3 -g ECDSA+SHA256 -r
    check "TLS 1.2, ECDSA: 100 handshakes" load "$port" -n 100 -c 8 -v 1.2 -C ECDHE-ECDSA-AES128-GCM-SHA256
    check "TLS 1.3, RSA-PSS: 100 handshakes" load "$port" -n 100 -c 8 -v 1.3 -g RSA-PSS+SHA256
    check "TLS 1.2, RSA PKCS#1: 50 handshakes" load "$port" -n 50 -c 8 -v 1.2 -g RSA+SHA256 -C ECDHE-RSA-AES128-GCM-SHA256
    check "one signature of the device for every handshake" test $(($(signatures) - before)) -eq 450
}
