// What the scripts share. They get what a pod gets: the directory of a mounted Secret. NODE_EXTRA_CA_CERTS is its ca.crt.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

// Why a script fails is enough to know; where is not.
process.on('uncaughtException', err => {
  console.error(`${err.name}: ${err.message}`, err.cause ?? '')
  process.exit(1)
})

const secret = key => readFileSync(`${process.env.SECRET}/${key}`, 'utf8')

export const issuer = secret('issuer')
export const clientID = secret('client_id')
export const clientSecret = secret('client_secret')
export const tokenURL = secret('token_url')
export const privateKeyJWK = JSON.parse(secret('private_key_jwk'))
export const algorithm = process.env.ALGORITHM

// metadata gets the issuer's, for libraries that do not do so themselves.
export async function metadata() {
  const response = await fetch(`${issuer}/.well-known/oauth-authorization-server`)
  assert.equal(response.status, 200)
  return response.json()
}

// judge lets verify(token, audience), which throws what it does not accept, judge a genuine token and forgeries of it.
export async function judge(verify) {
  const { genuine, forged } = JSON.parse(process.env.TOKENS)
  const refuses = (token, audience, what) => assert.rejects(async () => verify(token, audience), undefined, `it accepts ${what}`)
  await verify(genuine, issuer)
  await refuses(genuine, process.env.OTHER_AUDIENCE, 'a token for another audience')
  for (const [what, token] of Object.entries(forged)) {
    await refuses(token, issuer, `a forgery: ${what}`)
  }
  await verify(genuine, issuer) // It refused the others for what they are.
}
