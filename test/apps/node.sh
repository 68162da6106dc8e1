#!/usr/bin/env bash
# Story: Node.js: HTTPS server and client, crypto.sign, with keys in the device; node reads the section that nodejs_conf names.
# Covers C-28, apps.md scenario 7.
. "$(dirname "$0")/lib.sh"
need node curl
start_azihsmd || exit 1
# Some builds of node carry an OpenSSL of their own, which looks for modules elsewhere.
OPENSSL_MODULES=$(openssl version -m | sed 's/.*"\(.*\)".*/\1/'); export OPENSSL_MODULES
make_tls || exit 1
tls=/etc/azihsm/tls
node $examples/node/server.js 8943 $tls/ec.crt $tls/ec.key >$T/ec.log 2>&1 &
node $examples/node/server.js 8944 $tls/rsa.crt $tls/rsa.key $tls/ca.crt >$T/rsa.log 2>&1 &
check "the servers start" wait_for 20 port_open 8943
wait_for 20 port_open 8944 || cat $T/rsa.log
before=$(signatures)
check "server, ECDSA, TLS 1.3: 60 handshakes" load 8943 -n 60 -c 8 -v 1.3 -r
check "server, ECDSA, TLS 1.2: 30 handshakes" load 8943 -n 30 -c 8 -v 1.2 -r
check "one signature of the device for every handshake" test $(($(signatures) - before)) -eq 90
mtls="--cacert $tls/ca.crt --cert $tls/client.crt --key $tls/client.key"
check "server, RSA, client certificate with a key in the device" grep -q "signed in the device" <(curl -s --max-time 20 $mtls https://localhost:8944/)

cat >$T/client.js <<'JS'
// A client with its key in the device: ten requests with connections of their own.
const fs = require('fs'), https = require('https');
const tls = '/etc/azihsm/tls/';
const options = { ca: fs.readFileSync(tls + 'ca.crt'), cert: fs.readFileSync(tls + 'client.crt'), key: fs.readFileSync(tls + 'client.key'),
    agent: false, host: 'localhost', port: 8944, family: 4 };
const one = () => new Promise((good, bad) => https.get(options, r => { let s = ''; r.on('data', d => s += d); r.on('end', () => good(s)); }).on('error', bad));
Promise.all(Array.from({ length: 10 }, one)).then(all => process.exit(all.every(s => s === 'signed in the device\n') ? 0 : 1), e => { console.log(e); process.exit(1); });
JS
check "client: ten handshakes at once" timeout 30 node $T/client.js
cat >$T/sign.js <<'JS'
// crypto.sign, in this thread and in node's pool, with EC and RSA keys of the device.
const fs = require('fs'), crypto = require('crypto'), assert = require('assert');
const tls = '/etc/azihsm/tls/', data = Buffer.from('a message');
async function main() {
    for (const [name, extra] of [['ec', {}], ['rsa', {}], ['rsa', { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }]]) {
        const key = { key: fs.readFileSync(tls + name + '.key'), ...extra }, publicKey = { key: fs.readFileSync(tls + name + '.crt'), ...extra };
        assert(crypto.verify('sha256', data, publicKey, crypto.sign('sha256', data, key)));
        assert(!crypto.verify('sha256', Buffer.from('another'), publicKey, crypto.sign('sha256', data, key)));
        const pool = await Promise.all(Array.from({ length: 8 }, () => new Promise((good, bad) => crypto.sign('sha384', data, key, (e, s) => e ? bad(e) : good(s)))));
        assert(pool.every(s => crypto.verify('sha384', data, publicKey, s)));
        const object = crypto.createPrivateKey(fs.readFileSync(tls + name + '.key'));
        assert.strictEqual(object.asymmetricKeyType, name);
        assert(crypto.createPublicKey(object).export({ type: 'spki', format: 'pem' }).includes('PUBLIC KEY'));
        let exported = ''; // as JWK is not asked for: node 20 ends itself at keys whose private value it cannot have
        try { exported = object.export({ type: 'pkcs8', format: 'pem' }); } catch (refused) { }
        assert(!exported.includes('BEGIN PRIVATE KEY'));
    }
    const own = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }); // software keys live beside them
    assert(crypto.verify('sha256', data, own.publicKey, crypto.sign('sha256', data, own.privateKey)));
}
main().then(() => process.exit(0), e => { console.log(e); process.exit(1); });
JS
before=$(signatures)
check "crypto.sign, crypto.verify, createPrivateKey" timeout 60 node $T/sign.js
check "thirty of its signatures are the device's" test $(($(signatures) - before)) -eq 30
refuse "without nodejs_conf node does not know the key" 'unsupported|DECODER' env OPENSSL_CONF=/etc/ssl/openssl.cnf node $T/sign.js
kill_azihsmd; start_azihsmd
check "after a restart of azihsmd the server signs again" load 8943 -n 30 -c 8
finish
