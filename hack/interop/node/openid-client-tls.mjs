// openid-client gets tokens by mutual TLS (RFC 8705), with no secret, and they are bound to the certificate.
import assert from 'node:assert/strict'
import { X509Certificate, createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as client from 'openid-client'
import * as undici from 'undici'
import { clientID, issuer } from './interop.mjs'

const ca = readFileSync(process.env.NODE_EXTRA_CA_CERTS)

// discover returns a client that shows the certificate in a directory.
function discover(directory) {
  const cert = readFileSync(`${directory}/tls.crt`)
  const agent = new undici.Agent({ connect: { ca, cert, key: readFileSync(`${directory}/tls.key`) } })
  const fetch = (url, options) => undici.fetch(url, { ...options, dispatcher: agent })
  return client.discovery(new URL(issuer), clientID, undefined, client.TlsClientAuth(), { algorithm: 'oauth2', [client.customFetch]: fetch })
}

const config = await discover(process.env.CERTIFICATE)
const metadata = config.serverMetadata()
assert.ok(metadata.token_endpoint_auth_methods_supported.includes('tls_client_auth'))
assert.equal(metadata.tls_client_certificate_bound_access_tokens, true)
assert.equal(metadata.mtls_endpoint_aliases, undefined)

const token = await client.clientCredentialsGrant(config, { scope: 'invoices:read' })
assert.equal(token.token_type, 'bearer')
const { raw } = new X509Certificate(readFileSync(`${process.env.CERTIFICATE}/tls.crt`))
const claims = JSON.parse(Buffer.from(token.access_token.split('.')[1], 'base64url'))
assert.deepEqual(claims.cnf, { 'x5t#S256': createHash('sha256').update(raw).digest('base64url') })

const refusal = await client.clientCredentialsGrant(await discover(process.env.WRONG_CERTIFICATE)).catch(err => err)
assert.equal(refusal.status, 401)
assert.equal((await refusal.response.json()).error, 'invalid_client')
