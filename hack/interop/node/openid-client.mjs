// openid-client discovers the issuer by RFC 8414 and gets tokens.
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { clientID, clientSecret, issuer, tokenURL } from './interop.mjs'

const discover = authentication =>
  client.discovery(new URL(issuer), clientID, undefined, authentication, { algorithm: 'oauth2' })

for (const authentication of [client.ClientSecretBasic, client.ClientSecretPost]) {
  const config = await discover(authentication(clientSecret))
  assert.equal(config.serverMetadata().token_endpoint, tokenURL)
  const token = await client.clientCredentialsGrant(config, { scope: 'invoices:read' })
  assert.equal(token.token_type, 'bearer')
  assert.equal(token.scope, 'invoices:read')
  assert.ok(token.expiresIn() > 0)

  const wrong = await discover(authentication(clientSecret + 'x'))
  const refusal = await client.clientCredentialsGrant(wrong).catch(err => err)
  assert.equal(refusal.status, 401)
  assert.equal((await refusal.response.json()).error, 'invalid_client')
}
