#!/usr/bin/env bash
# Signatures under valgrind's memcheck: no invalid access, no use of what was not set, no leak.
# usage: with-device BUILD memcheck.sh SIGN_LOOP
set -euo pipefail
command -v valgrind >/dev/null || { echo "SKIP: no valgrind here"; exit 77; }
for kind in P-256 RSA-2048 PSS-2048; do
    valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect,possible \
        "$1" "$AZIHSM_TEST_DIR/default-first.cnf" "$kind" 25
    echo "ok   $kind"
done
