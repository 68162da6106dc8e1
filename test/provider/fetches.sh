#!/usr/bin/env bash
# C-16: nothing is fetched below our entry points on the way of a signature. callgrind counts the calls of libcrypto's fetch
# functions for a hundred signatures: EVP itself fetches the signature algorithm and the digest once for each, and we add
# nothing to that. Nor is an error's text formatted: libcrypto tries to export the key before every signature, and is refused. Also prints the instructions that this process executes for a signature.
# usage: with-device BUILD fetches.sh SIGN_LOOP
set -euo pipefail
command -v valgrind >/dev/null || { echo "SKIP: no valgrind here"; exit 77; }
loop=$1 status=0
out=$AZIHSM_TEST_DIR/callgrind.out

count() { # KIND COUNT [software]: "fetches instructions texts"
    valgrind --quiet --tool=callgrind --compress-strings=no --callgrind-out-file="$out" "$loop" "$AZIHSM_TEST_DIR/default-first.cnf" "$@" >&2
    awk '/^cfn=/ { fetch = $0 ~ /^cfn=EVP_[A-Z_]+_fetch($|.)/; text = $0 ~ /^cfn=BIO_vsnprintf($|.)/; next }
         /^calls=/ { split($1, c, "="); if (fetch) n += c[2]; if (text) m += c[2]; fetch = text = 0 }
         /^totals:/ { t = $2 } END { print n + 0, t, m + 0 }' "$out"
}
each() { # KIND [software]: fetches, instructions and texts of one signature
    local few many
    read -ra few < <(count "$1" 10 "${@:2}")
    read -ra many < <(count "$1" 110 "${@:2}")
    echo $(((many[0] - few[0]) / 100)) $(((many[1] - few[1]) / 100)) $(((many[2] - few[2]) / 100))
}

for kind in P-256 RSA-2048 PSS-2048; do
    read -r ours instructions texts < <(each "$kind")
    read -r software _ _ < <(each "$kind" software)
    echo "$kind: $ours fetches and $instructions instructions per signature; $software fetches with a software key"
    [ "$software" -ge 2 ] || { echo "FAIL callgrind does not see the fetches of EVP itself"; status=1; }
    [ "$texts" -eq 0 ] || { echo "FAIL $texts texts are formatted per signature"; status=1; }
    [ "$ours" -eq 2 ] || { echo "FAIL $((ours - 2)) fetches per signature are ours"; status=1; }
done
exit $status
