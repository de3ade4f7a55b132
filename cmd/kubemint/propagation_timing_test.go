//go:build timing

package main_test

import "time"

// propagation is how long a change may take to reach the tokens.
const propagation = 5 * time.Second
