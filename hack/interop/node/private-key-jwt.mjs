// openid-client signs assertions with the private key of the Secret.
import assert from 'node:assert/strict'
import { generateKeyPair, importJWK } from 'jose'
import * as client from 'openid-client'
import { clientID, issuer, privateKeyJWK } from './interop.mjs'

const discover = key =>
  client.discovery(new URL(issuer), clientID, undefined, client.PrivateKeyJwt(key), { algorithm: 'oauth2' })

const kid = privateKeyJWK.kid
const config = await discover({ key: await importJWK(privateKeyJWK, 'ES256'), kid })
assert.ok(config.serverMetadata().token_endpoint_auth_methods_supported.includes('private_key_jwt'))
for (let i = 0; i < 2; i++) { // Each request has an assertion of its own.
  const token = await client.clientCredentialsGrant(config, { scope: 'invoices:read' })
  assert.equal(token.scope, 'invoices:read')
}

const { privateKey } = await generateKeyPair('ES256')
const refusal = await client.clientCredentialsGrant(await discover({ key: privateKey, kid })).catch(err => err)
assert.equal(refusal.status, 401)
assert.equal((await refusal.response.json()).error, 'invalid_client')
