package main

import (
	"encoding/base64"
	"fmt"
)

const (
	grant     = "grant_type=client_credentials"
	assertion = "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion="
)

// byBasic is a token request of a client that sends its secret in a header.
func byBasic(name, secret, body string) []byte {
	credentials := base64.StdEncoding.EncodeToString([]byte(namespace + "." + name + ":" + secret))
	return tokenRequest(body, "Authorization: Basic "+credentials)
}

func tokenRequest(body string, headers ...string) []byte {
	request := []byte("POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\n")
	headers = append(headers, "Content-Type: application/x-www-form-urlencoded", fmt.Sprint("Content-Length: ", len(body)))
	for _, header := range headers {
		request = append(request, header+"\r\n"...)
	}
	return append(request, "\r\n"+body...)
}
