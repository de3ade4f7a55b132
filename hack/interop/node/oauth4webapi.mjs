// oauth4webapi, which checks every answer against the specifications, discovers the issuer and gets tokens.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { clientID, clientSecret, issuer } from './interop.mjs'

const client = { client_id: clientID }
const discovered = await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2' })
const server = await oauth.processDiscoveryResponse(new URL(issuer), discovered)

async function getToken(authentication, parameters = {}) {
  const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters)
  return oauth.processClientCredentialsResponse(server, client, response)
}

for (const authentication of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
  const token = await getToken(authentication(clientSecret), { scope: 'invoices:read' })
  assert.equal(token.token_type, 'bearer')
  assert.equal(token.scope, 'invoices:read')

  const refusal = await getToken(authentication(clientSecret + 'x')).catch(err => err)
  assert.equal(refusal.code, oauth.WWW_AUTHENTICATE_CHALLENGE)
  assert.equal(refusal.status, 401)
  assert.deepEqual(refusal.cause.map(challenge => challenge.scheme), ['basic'])
  assert.equal(refusal.cause[0].parameters.realm, 'kubemint')
  assert.equal((await refusal.response.json()).error, 'invalid_client')
}
await assert.rejects(getToken(oauth.ClientSecretBasic(clientSecret), { scope: 'invoices:burn' }), { status: 400, error: 'invalid_scope' })
