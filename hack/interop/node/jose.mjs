// jose verifies tokens by the published key set.
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { algorithm, issuer, judge, metadata } from './interop.mjs'

const keys = createRemoteJWKSet(new URL((await metadata()).jwks_uri))

await judge((token, audience) => jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt', algorithms: [algorithm] }))
