package main

import (
	"runtime"
	"testing"
	"time"
)

func TestAfterEachCollection(t *testing.T) {
	collected := make(chan struct{}, 100)
	afterEachCollection(func() { collected <- struct{}{} })
	for range 5 {
		runtime.GC()
		select {
		case <-collected:
		case <-time.After(time.Minute):
			t.Fatal("not called after a collection")
		}
	}
}
