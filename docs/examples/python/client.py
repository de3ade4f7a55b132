"""Calls each URL that it is given with an access token, which it gets with the files of a mounted Secret."""

import os
import sys
import threading
import time
from pathlib import Path

import requests
from oauthlib.oauth2 import BackendApplicationClient
from requests.auth import AuthBase, HTTPBasicAuth
from requests_oauthlib import OAuth2Session

SECRET = Path(os.environ.get("SECRET", "/var/run/oauth"))
IDENTITY = Path(os.environ.get("IDENTITY", "/var/run/identity/token"))


class AccessToken(AuthBase):
    """Adds an access token to each request: the one of before until 30 seconds before it expires."""

    def __init__(self, scope):
        self.scope = scope
        self.lock = threading.Lock()
        self.token = {"expires_at": 0}

    def __call__(self, request):
        with self.lock:
            if self.token["expires_at"] - 30 < time.time():
                self.token = fetch_token(self.scope)
            request.headers["Authorization"] = "Bearer " + self.token["access_token"]
        return request


def fetch_token(scope):
    """Gets a token. It reads the files anew, as the client secret rotates."""

    def read(key):
        return (SECRET / key).read_text()

    if IDENTITY.exists():
        proof = {
            "include_client_id": True,  # Else it adds an Authorization header.
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": IDENTITY.read_text(),
        }
    else:
        proof = {"auth": HTTPBasicAuth(read("client_id"), read("client_secret"))}
    session = OAuth2Session(client=BackendApplicationClient(read("client_id"), scope=[scope]))
    return session.fetch_token(read("token_url"), verify=str(SECRET / "ca.crt"), timeout=10, **proof)


def main():
    session = requests.Session()
    session.auth = AccessToken("invoices:read")
    for url in sys.argv[1:]:
        response = session.get(url, timeout=10)
        response.raise_for_status()
        print(response.text, end="")


if __name__ == "__main__":
    main()
