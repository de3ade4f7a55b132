//go:build !timing

package main_test

// propagation is how long a change may take to reach the tokens. Where nothing is timed, as long as anything.
const propagation = patience
