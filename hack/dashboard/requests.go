package main

import (
	"encoding/base64"
	"fmt"
)

// byBasic is a token request of a client that sends its secret in a header.
func byBasic(name, secret, body string) []byte {
	credentials := base64.StdEncoding.EncodeToString([]byte(namespace + "." + name + ":" + secret))
	return tokenRequest(body, "Authorization: Basic "+credentials)
}

func tokenRequest(body string, headers ...string) []byte {
	request := fmt.Appendf(nil, "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(body))
	for _, header := range headers {
		request = append(request, header+"\r\n"...)
	}
	return append(request, "\r\n"+body...)
}
