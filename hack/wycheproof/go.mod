// Wycheproof's vectors, which `make wycheproof` runs through the verifier of assertions. A module of its own, so that 100 MB of
// vectors stay out of the product's go.mod. To renew it:
//
//	go get github.com/c2sp/wycheproof@latest
module github.com/kubemint/kubemint/hack/wycheproof

go 1.26.4

require (
	github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a
	github.com/kubemint/kubemint v0.0.0
)

require github.com/golang-jwt/jwt/v5 v5.3.1 // indirect

replace github.com/kubemint/kubemint => ../..
