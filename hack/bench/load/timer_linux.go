package load

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timer waits to the microsecond. Go's own waits to the millisecond where there is nothing else to do: its requests would come in
// bursts, and wait for each other.
type timer struct {
	descriptor int
	file       *os.File // The same, for Go's poller.
}

func newTimer() (*timer, error) {
	descriptor, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &timer{descriptor: descriptor, file: os.NewFile(uintptr(descriptor), "timer")}, nil
}

func (t *timer) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if err := unix.TimerfdSettime(t.descriptor, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil); err != nil {
		return os.NewSyscallError("timerfd_settime", err)
	}
	var times [8]byte
	_, err := t.file.Read(times[:])
	return err
}

func (t *timer) stop() { _ = t.file.Close() } // Nothing is lost.
