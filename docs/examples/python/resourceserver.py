"""An API that lets in whoever shows an access token of the issuer with the right scope.

The environment has SSL_CERT_FILE=/var/run/oauth/ca.crt, and ISSUER.
"""

import json
import os
from wsgiref.simple_server import make_server

import jwt

ISSUER = os.environ["ISSUER"]
AUDIENCE = os.environ.get("AUDIENCE", ISSUER)
ALGORITHM = os.environ.get("ALGORITHM", "ES256")


class Refused(Exception):
    """A request without the right token (RFC 6750, section 3)."""

    def __init__(self, status, challenge="Bearer"):
        super().__init__(status)
        self.status, self.challenge = status, challenge


class Protected:
    """WSGI middleware, so for Flask and Django too: it lets requests through that have a token with the scope."""

    def __init__(self, app, scope):
        self.app, self.scope = app, scope
        self.keys = jwt.PyJWKClient(ISSUER + "/oauth2/jwks")  # It fetches them, and keeps them for 5 minutes.

    def __call__(self, environ, start_response):
        try:
            environ["oauth.claims"] = self.authorize(environ.get("HTTP_AUTHORIZATION", ""))
        except Refused as refused:
            start_response(refused.status, [("WWW-Authenticate", refused.challenge)])
            return []
        return self.app(environ, start_response)

    def authorize(self, authorization):
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("401 Unauthorized")
        claims = self.verify(token)
        if self.scope not in claims.get("scope", "").split():
            raise Refused("403 Forbidden", f'Bearer error="insufficient_scope", scope="{self.scope}"')
        return claims

    def verify(self, token):
        try:
            claims = jwt.decode(
                token,
                self.keys.get_signing_key_from_jwt(token).key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": ["iss", "aud", "exp", "sub"]},
            )
        except jwt.PyJWTError as err:
            raise Refused("401 Unauthorized", 'Bearer error="invalid_token"') from err
        # Other tokens of the issuer are no access tokens, and one with cnf is bound to a key, which is not checked here. The signature,
        # which was verified, covers the header.
        if jwt.get_unverified_header(token).get("typ", "").lower() != "at+jwt" or "cnf" in claims:
            raise Refused("401 Unauthorized", 'Bearer error="invalid_token"')
        return claims


def invoices(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    answer = {"invoices": [4711, 4712], "caller": environ["oauth.claims"]["client_id"]}
    return [json.dumps(answer).encode() + b"\n"]


if __name__ == "__main__":
    server = make_server("127.0.0.1", int(os.environ.get("PORT", "8080")), Protected(invoices, "invoices:read"))
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
