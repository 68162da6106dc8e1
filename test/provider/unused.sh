#!/usr/bin/env bash
# A provider that is configured and not used: no socket, no thread, no device, a handful of system calls, although azihsmd is there.
# The same program with a key of the device shows that the trace would see them.
# usage: with-device BUILD unused.sh
set -euo pipefail
command -v strace >/dev/null || { echo "SKIP: strace is not installed"; exit 77; }
cd "$AZIHSM_TEST_DIR"
once=$AZIHSM_TEST_BUILD/test-bin/once status=0
trace() { # CONFIGURATION [KEY]: into the file calls
    OPENSSL_CONF=$1 strace -f -qq -o calls "$once" 0 "${@:2}" >/dev/null || { [ -s calls ] || { echo "SKIP: strace does not work here"; exit 77; }; exit 1; }
}
contacts() { grep -cE '(socket|connect|clone3?|fork)\(|/dev/azihsm|azihsmd\.sock' calls || true; }

OPENSSL_CONF=default-first.cnf openssl genpkey -propquery provider=azihsm -algorithm EC -pkeyopt group:P-256 -out key.pem
trace default-first.cnf key.pem
[ "$(contacts)" -ge 2 ] || { echo "FAIL the trace does not see how a key is used"; status=1; }
trace /dev/null
without=$(wc -l <calls)
trace default-first.cnf
added=$(($(wc -l <calls) - without))
echo "the unused provider adds $added system calls, $(contacts) of them to sockets, threads or devices"
[ "$(contacts)" -eq 0 ] || { grep -E '(socket|connect|clone3?|fork)\(|azihsm' calls; echo "FAIL an unused provider looked for its device"; status=1; }
[ "$added" -le 60 ] || { echo "FAIL more than 60 system calls to read a configuration and load a module"; status=1; }
exit $status
