package main

import "encoding/json"

// exception is a kind of valid vector that is refused on purpose.
type exception struct {
	// algorithm is the alg of the key, comment that of the vector; empty stands for any.
	algorithm, comment string
	why                string
}

const (
	symmetric    = "symmetric: there is to be no secret that two share"
	notSupported = "not supported: ES256, RS256, PS256 and EdDSA are enough for all common clients"
)

var exceptions = []exception{
	{"HS256", "", symmetric},
	{"HS384", "", symmetric},
	{"HS512", "", symmetric},
	{"RS384", "", notSupported},
	{"RS512", "", notSupported},
	{"PS384", "", notSupported},
	{"PS512", "", notSupported},
	{"ES521", "", notSupported + " (the vector's own spelling of ES512)"},
	{"PS256", "Figure20", "its header says PS384, and its key PS256: a key verifies by its own algorithm only"},
}

// exceptionFor returns the index of the exception that a vector is, or -1.
func exceptionFor(key json.RawMessage, vector vector) int {
	var set struct {
		Keys []struct {
			Algorithm string `json:"alg"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(asSet(key), &set); err != nil || len(set.Keys) == 0 {
		return -1
	}
	for i, exception := range exceptions {
		if exception.algorithm == set.Keys[0].Algorithm && (exception.comment == "" || exception.comment == vector.Comment) {
			return i
		}
	}
	return -1
}
