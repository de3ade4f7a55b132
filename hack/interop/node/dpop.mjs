// openid-client binds its tokens to a key by DPoP, with the nonces that the server wants; jose says which key it is.
import assert from 'node:assert/strict'
import { calculateJwkThumbprint, decodeJwt, exportJWK } from 'jose'
import * as client from 'openid-client'
import { clientID, clientSecret, issuer } from './interop.mjs'

const discover = authentication =>
  client.discovery(new URL(issuer), clientID, undefined, authentication, { algorithm: 'oauth2' })

const config = await discover(client.ClientSecretBasic(clientSecret))
let requests = 0
config[client.customFetch] = (...args) => {
  requests++
  return fetch(...args)
}
assert.deepEqual(config.serverMetadata().dpop_signing_alg_values_supported, ['ES256', 'RS256', 'PS256', 'EdDSA'])

for (const algorithm of ['ES256', 'RS256', 'PS256']) {
  const keys = await client.randomDPoPKeyPair(algorithm)
  const DPoP = client.getDPoPHandle(config, keys)
  const jkt = await calculateJwkThumbprint(await exportJWK(keys.publicKey))
  for (const wanted of [2, 1]) { // The first request learns the nonce, and its answer has that of the next.
    requests = 0
    const token = await client.clientCredentialsGrant(config, { scope: 'invoices:read' }, { DPoP })
    assert.equal(requests, wanted)
    assert.equal(token.token_type, 'dpop')
    assert.deepEqual(decodeJwt(token.access_token).cnf, { jkt })
  }

  const wrong = await discover(client.ClientSecretBasic(clientSecret + 'x'))
  const refusal = await client.clientCredentialsGrant(wrong, {}, { DPoP: client.getDPoPHandle(wrong, keys) }).catch(err => err)
  assert.equal(refusal.status, 401)
  assert.equal((await refusal.response.json()).error, 'invalid_client')
}

const unbound = await client.clientCredentialsGrant(config, { scope: 'invoices:read' })
assert.equal(unbound.token_type, 'bearer')
assert.equal(decodeJwt(unbound.access_token).cnf, undefined)
