package credential

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"
)

// Record is what a client's Secret says of its client secrets, or of its private keys, beside the present one itself: enough to go on from after any
// crash, and to take those from before for as long as they are valid. It holds digests, so that it gives nobody a secret.
type Record struct {
	Present Version `json:"present"`
	// Request is the last request to rotate that was followed.
	Request string `json:"request,omitempty"`
	// Previous are those from before, the newest first.
	Previous []Version `json:"previous,omitempty"`
}

// Version is one client secret, or one private key, of a client.
type Version struct {
	// Number is 1 for the first, and one more with each rotation.
	Number int64  `json:"version"`
	Digest Digest `json:"sha256"`
	// PublicKey is, of a private key, the public half (PrivateKey.Point); its Digest is the thumbprint. A client secret has none.
	PublicKey []byte `json:"publicKey,omitempty"`
	// Created is when it was made, or first seen. Replaced is when the next one came, and Expires when it ends at the latest; both
	// are zero for the present one, unless somebody else makes it and took it away: then that is when.
	Created  time.Time `json:"created"`
	Replaced time.Time `json:"replaced,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
}

// Versions are the present one and those from before, the newest first.
func (r Record) Versions() []Version { return append([]Version{r.Present}, r.Previous...) }

// MaxPrevious is how many client secrets from before a record holds at most.
const MaxPrevious = 4

// ParseRecord parses what Record.String wrote. The error quotes nothing of it.
func ParseRecord(stored string) (Record, error) {
	var record Record
	if err := json.Unmarshal([]byte(stored), &record); err != nil || record.Present.Number < 1 || len(record.Previous) > MaxPrevious {
		return Record{}, errors.New("the record of client secrets is not one that Kubemint wrote")
	}
	if !record.Present.Expires.IsZero() && record.Present.Expires.Unix() <= 0 {
		return Record{}, errors.New("the record of client secrets has one that was taken away and never ends")
	}
	for _, previous := range record.Previous {
		if previous.Expires.Unix() <= 0 || previous.Number < 1 || previous.Number >= record.Present.Number {
			return Record{}, errors.New("the record of client secrets has one from before that never ends, or is none")
		}
	}
	return record, nil
}

// String returns the record as an annotation holds it.
func (r Record) String() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic("credential: a record did not encode: " + err.Error())
	}
	return string(text)
}

// Accepted returns the client secrets of the record, with their ends. They have no Use: whoever keeps them gives them one.
func (r Record) Accepted() []Accepted {
	accepted := make([]Accepted, 0, 1+len(r.Previous))
	for _, v := range append([]Version{r.Present}, r.Previous...) {
		a := Accepted{Digest: v.Digest, Version: v.Number}
		if !v.Expires.IsZero() {
			a.Expires = v.Expires.Unix()
		}
		accepted = append(accepted, a)
	}
	return accepted
}

// String returns the digest in base64url: of a private key's, that is its kid.
func (d Digest) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, d[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	decoded, err := base64.RawURLEncoding.Strict().AppendDecode(nil, text)
	if err != nil || len(decoded) != len(d) {
		return errors.New("a digest is 32 bytes in base64url")
	}
	copy(d[:], decoded)
	return nil
}
