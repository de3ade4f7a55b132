// An API that lets in whoever shows an access token of the issuer with the right scope.
// The environment has NODE_EXTRA_CA_CERTS=/var/run/oauth/ca.crt, and ISSUER.
import { createServer } from 'node:http'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'

const { ISSUER, AUDIENCE = ISSUER, ALGORITHM = 'ES256', PORT = '8080' } = process.env

const keys = createRemoteJWKSet(new URL(`${ISSUER}/oauth2/jwks`), { cacheMaxAge: 300_000 })
const expected = { issuer: ISSUER, audience: AUDIENCE, typ: 'at+jwt', algorithms: [ALGORITHM], requiredClaims: ['exp', 'sub'] }

// Refused is a request without the right token (RFC 6750, section 3).
class Refused extends Error {
  constructor(status, challenge = 'Bearer') {
    super(`${status} ${challenge}`)
    Object.assign(this, { status, challenge })
  }
}

// authorize returns the claims of a request's token.
async function authorize(request, scope) {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ')
  if (scheme.toLowerCase() !== 'bearer' || !token) throw new Refused(401)
  const claims = await verify(token)
  if (!(claims.scope ?? '').split(' ').includes(scope)) throw new Refused(403, `Bearer error="insufficient_scope", scope="${scope}"`)
  return claims
}

async function verify(token) {
  try {
    const { payload } = await jwtVerify(token, keys, expected)
    if (!payload.cnf) return payload // With it, it is bound to a key, and no bearer token.
  } catch (err) {
    if (!(err instanceof errors.JOSEError) || err instanceof errors.JWKSTimeout) throw err // The keys cannot be had.
  }
  throw new Refused(401, 'Bearer error="invalid_token"')
}

const server = createServer(async (request, response) => {
  try {
    const claims = await authorize(request, 'invoices:read')
    response.setHeader('Content-Type', 'application/json')
    response.end(JSON.stringify({ invoices: [4711, 4712], caller: claims.client_id }) + '\n')
  } catch (err) {
    if (err instanceof Refused) response.writeHead(err.status, { 'WWW-Authenticate': err.challenge })
    else response.writeHead(503)
    response.end()
  }
})
server.listen(Number(PORT), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
