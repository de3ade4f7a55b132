package localcluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// openLog makes the file that a component writes its log to, across its restarts.
func (c *Cluster) openLog(component string) (*os.File, error) {
	log, err := os.Create(c.logPath(component))
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", component, err)
	}
	c.logs = append(c.logs, log)
	return log, nil
}

// withLogs adds the end of the components' logs to an error: the files may be gone by the time somebody reads it, and a
// server that does not start says why only there.
func (c *Cluster) withLogs(err error, components ...string) error {
	for _, component := range components {
		err = fmt.Errorf("%w\nThe log of %s ends with:\n%s", err, component, lastLines(c.logPath(component), 10))
	}
	return err
}

func lastLines(path string, count int) []byte {
	content, _ := os.ReadFile(path) // of a file that is not there, nothing
	lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-count):], []byte("\n"))
}

func (c *Cluster) logPath(component string) string {
	return filepath.Join(c.dir, component+".log")
}
