// oauth4webapi verifies tokens by RFC 9068, claim by claim.
import * as oauth from 'oauth4webapi'
import { algorithm, issuer, judge } from './interop.mjs'

const discovered = await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2' })
const server = await oauth.processDiscoveryResponse(new URL(issuer), discovered)

await judge((token, audience) => {
  const request = new Request('https://invoices.example', { headers: { authorization: `Bearer ${token}` } })
  return oauth.validateJwtAccessToken(server, request, audience, { signingAlgorithms: [algorithm] })
})
