package localcluster

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Where ports are looked for: below those that the operating system gives to outgoing connections (from 32768 on Linux, from 49152
// elsewhere). One of those could be taken by anybody's connection while a server that has it is started again.
const (
	firstPort = 15_000
	lastPort  = 32_000
)

// freePorts returns ports of the loopback interface that nobody uses now.
func freePorts(count int) ([]int, error) {
	const tries = 100
	var ports []int
	for try := 0; len(ports) < count; try++ {
		port := firstPort + rand.IntN(lastPort-firstPort)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			if try == tries {
				return nil, fmt.Errorf("find a free port: %w", err)
			}
			continue
		}
		defer listener.Close() //nolint:errcheck // Closed after the last was found, so that none is found twice.
		ports = append(ports, port)
	}
	return ports, nil
}
