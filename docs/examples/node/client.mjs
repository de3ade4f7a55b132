// Calls each URL that it is given with an access token, which it gets with the files of a mounted Secret.
// The environment has NODE_EXTRA_CA_CERTS=/var/run/oauth/ca.crt.
import { existsSync, readFileSync } from 'node:fs'
import * as client from 'openid-client'

const { SECRET = '/var/run/oauth', IDENTITY = '/var/run/identity/token' } = process.env

let cached
// accessToken returns the token of before until 30 seconds before it expires. Callers at the same time share one request.
export async function accessToken() {
  if (!cached || ((await cached).expiresIn() ?? 0) < 30) {
    cached = fetchToken()
    cached.catch(() => (cached = undefined))
  }
  return (await cached).access_token
}

// fetchToken reads the files anew, as the client secret rotates.
function fetchToken() {
  const read = key => readFileSync(`${SECRET}/${key}`, 'utf8')
  const authentication = existsSync(IDENTITY) ? serviceAccount : client.ClientSecretBasic(read('client_secret'))
  const server = { issuer: read('issuer'), token_endpoint: read('token_url') }
  const config = new client.Configuration(server, read('client_id'), undefined, authentication)
  return client.clientCredentialsGrant(config, { scope: 'invoices:read' })
}

// serviceAccount proves the client by a projected service account token.
function serviceAccount(server, metadata, body) {
  body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
  body.set('client_assertion', readFileSync(IDENTITY, 'utf8'))
}

for (const url of process.argv.slice(2)) {
  const response = await fetch(url, { headers: { authorization: `Bearer ${await accessToken()}` } })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.headers.get('www-authenticate')}`)
  process.stdout.write(await response.text())
}
