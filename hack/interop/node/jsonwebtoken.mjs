// jsonwebtoken verifies tokens by keys that jwks-rsa gets from the published key set.
import jwt from 'jsonwebtoken'
import { JwksClient } from 'jwks-rsa'
import { promisify } from 'node:util'
import { algorithm, issuer, judge, metadata } from './interop.mjs'

const keys = new JwksClient({ jwksUri: (await metadata()).jwks_uri })
const getKey = (header, done) => keys.getSigningKey(header.kid, (err, key) => done(err, key?.getPublicKey()))
const verify = promisify(jwt.verify)

await judge((token, audience) => verify(token, getKey, { issuer, audience, algorithms: [algorithm] }))
