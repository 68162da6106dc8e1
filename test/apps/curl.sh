#!/usr/bin/env bash
# Story: curl with a client key by URI: curl loads the provider by its module's name (--engine azihsm) and asks it for azihsm://NAME; with our
# openssl.cnf, and with none at all. Covers C-28, apps.md scenario 13. curl before 8.12 knows key files only (nginx.sh has those).
. "$(dirname "$0")/lib.sh"
need curl
version=$(curl --version | sed -n '1s/^curl \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
[ "${version% *}" -gt 8 ] || { [ "${version% *}" -eq 8 ] && [ "${version#* }" -ge 12 ]; } || skip_story "curl $(echo "$version" | tr ' ' .) takes no key of a provider by URI"
start_azihsmd || exit 1
make_tls || exit 1
check "an RSA client key" device_key rsaclient -algorithm RSA -pkeyopt rsa_keygen_bits:2048
certificate rsaclient
for name in client rsaclient; do cp /etc/azihsm/tls/$name.key /etc/azihsm/keys/$name.pem; done

# A server that knows nothing of us and shows what the client proved.
software openssl genpkey -algorithm EC -pkeyopt group:P-256 -out /etc/azihsm/tls/server.key
certificate server
software openssl s_server -accept 8600 -cert /etc/azihsm/tls/server.crt -key /etc/azihsm/tls/server.key -CAfile /etc/azihsm/tls/ca.crt -Verify 1 -verify_return_error -www -quiet >/dev/null 2>&1 &
wait_for 10 port_open 8600
fetch() { curl -sS --fail --max-time 20 --cacert /etc/azihsm/tls/ca.crt -o $T/page "$@" https://localhost:8600/; }
by_uri() { fetch --cert "/etc/azihsm/tls/$1.crt" --engine azihsm --key-type PROV --key "azihsm://$1" "${@:2}"; }
signed() { local before; before=$(signatures); "$@" && test $(($(signatures) - before)) -eq 1; }

refuse "without a certificate the server refuses" '.' fetch
for name in client rsaclient; do
    check "$name by URI, TLS 1.3: one signature of the device" signed by_uri $name
    check "the server saw its certificate" grep -q "Verify return code: 0\|Client certificate" $T/page
    check "$name by URI, TLS 1.2" signed by_uri $name --tls-max 1.2
    check "$name by URI, without a configuration: the module by its name" signed env OPENSSL_CONF=/dev/null bash -c "$(declare -f fetch by_uri); T=$T; by_uri $name"
done
refuse "a name that is not there is named" 'nobody|No such file|private key' fetch --cert /etc/azihsm/tls/client.crt --engine azihsm --key-type PROV --key azihsm://nobody
check "the configuration by URI: curlrc-uri" signed curl -sS --fail --max-time 20 -o $T/page -K $examples/curl/curlrc-uri https://localhost:8600/
finish
