package main

import (
	"encoding/base64"
	"fmt"
	"strings"
)

const (
	grantType = "grant_type=client_credentials"
	// maxBody is the longest body that Kubemint reads.
	maxBody = 64 << 10
)

// tokenRequest returns a token request as golang.org/x/oauth2 sends it by HTTP/1.1.
func tokenRequest(clientID, secret, body string) []byte {
	return fmt.Appendf(nil, "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: %d\r\n"+
		"Authorization: Basic %s\r\nContent-Type: application/x-www-form-urlencoded\r\nAccept-Encoding: gzip\r\n\r\n%s",
		len(body), base64.StdEncoding.EncodeToString([]byte(clientID+":"+secret)), body)
}

// padded returns a body of a length, of which all but the grant type is an unknown parameter.
func padded(length int) string {
	const unknown = grantType + "&padding="
	return unknown + strings.Repeat("x", length-len(unknown))
}
