// An HTTPS server whose key is in the device: node server.js PORT CERTIFICATE KEY [CA for client certificates].
// Run it with OPENSSL_CONF=/etc/azihsm/openssl.cnf in the environment; node reads the section named by nodejs_conf there.
// A node with an OpenSSL of its own (not Debian's) looks for modules elsewhere: add OPENSSL_MODULES=, the directory that `openssl version -m` prints.
const fs = require('fs');
const https = require('https');

const [port, certificate, key, ca] = process.argv.slice(2);
const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
if (ca) Object.assign(options, { ca: fs.readFileSync(ca), requestCert: true, rejectUnauthorized: true });
https.createServer(options, (_, response) => response.end('signed in the device\n')).listen(Number(port), '127.0.0.1');
