package tokenserver

import (
	"fmt"
	"testing"
	"time"
)

func TestFailureBudget(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	b := newFailureBudget(func() time.Time { return now })
	spend := func(source, client string, failures int) {
		t.Helper()
		for i := range failures {
			if wait := b.charge(source, client); wait != 0 {
				t.Fatalf("failure %d from %s must wait %s", i+1, source, wait)
			}
		}
	}
	const each = time.Minute / clientFailures
	spend("10.0.0.1", "billing.worker", clientFailures)
	for range 2 { // What is refused costs nothing.
		if wait := b.charge("10.0.0.1", "billing.worker"); wait != each {
			t.Errorf("A25: one failure too many waits %s, want %s", wait, each)
		}
	}
	spend("10.0.0.1", "billing.other", 1)
	spend("10.0.0.2", "billing.worker", 1)

	now = now.Add(each - 1)
	if wait := b.charge("10.0.0.1", "billing.worker"); wait != 1 {
		t.Errorf("a moment before the budget has room, it waits %s", wait)
	}
	now = now.Add(1)
	spend("10.0.0.1", "billing.worker", 1)
	now = now.Add(time.Hour)
	spend("10.0.0.1", "billing.worker", clientFailures)
	if b.charge("10.0.0.1", "billing.worker") == 0 {
		t.Error("an hour's rest saved up more than a minute's budget")
	}
}

// A source that makes up clients, or names none, runs into its own budget.
func TestFailureBudgetOfASource(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for name, clientOf := range map[string]func(int) string{
		"made up": func(i int) string { return fmt.Sprintf("billing.worker-%d", i) },
		"none":    func(int) string { return "" },
	} {
		b := newFailureBudget(func() time.Time { return now })
		for i := range sourceFailures {
			if wait := b.charge("10.0.0.1", clientOf(i)); wait != 0 {
				t.Fatalf("%s: failure %d waits %s", name, i+1, wait)
			}
		}
		before := len(b.recent)
		if b.charge("10.0.0.1", clientOf(sourceFailures)) == 0 {
			t.Errorf("%s: one failure too many was let through", name)
		}
		if len(b.recent) != before {
			t.Errorf("%s: a source that spent its budget still opens accounts", name)
		}
	}
}

func TestFailureBudgetIsBoundedInMemory(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	b := newFailureBudget(func() time.Time { return now })
	for i := range 3 * maxAccounts {
		b.charge(fmt.Sprintf("10.0.%d.%d", i/256, i%256), "billing.worker")
		b.charge("10.9.9.9", "billing.constant") // Is in use, and so not forgotten.
		if held := len(b.recent) + len(b.old); held > maxAccounts {
			t.Fatalf("after %d sources it holds %d accounts", i+1, held)
		}
	}
	if b.charge("10.9.9.9", "billing.constant") == 0 {
		t.Error("a client that fails all the time was forgotten")
	}
}

func TestSourceOf(t *testing.T) {
	for remoteAddr, want := range map[string]string{
		"10.0.0.1:1234":           "10.0.0.1",
		"[::ffff:10.0.0.1]:1234":  "::ffff:10.0.0.1",
		"[2001:db8:1:2:3::4]:443": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:443":      "fe80::/64",
		"@":                       "@",
	} {
		if got := sourceOf(remoteAddr); got != want {
			t.Errorf("%s is charged to %s, want %s", remoteAddr, got, want)
		}
	}
}
