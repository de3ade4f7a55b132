package controllers

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// rotationStory is how one of Kubemint's own Secrets rotates, from a request on.
type rotationStory struct {
	// begin makes everything, and asks for a rotation.
	begin func(*process)
	// moments are when something is to do, from the request on.
	moments []time.Duration
	keep    func(*process) (ctrl.Result, error)
	// observe looks at what is stored, after each reconciliation.
	observe func(now time.Time)
	// end checks how it ended.
	end func()
}

// crash is the write at which a process ends: the n-th of a moment; none where n is 0.
type crash struct {
	moment, n int
	done      bool
}

// tell tells a story, and returns how many writes it took at each moment.
func (s rotationStory) tell(t *testing.T, namespace string, crash crash) (writes []int) {
	t.Helper()
	p := newProcess(t, namespace)
	s.begin(p)
	for m, moment := range s.moments {
		p.now = noon.Add(moment)
		if crash.n > 0 && crash.moment == m {
			reached := cut(p, func(write int) bool { return write >= crash.n }, func(write int) bool { return crash.done && write == crash.n })
			if _, err := s.keep(p); err == nil || !*reached {
				t.Fatalf("it did not crash: %v", err)
			}
			p.freeze()
			s.observe(p.now)
			now := p.now
			p = newProcess(t, namespace)
			p.now = now
		}
		writes = append(writes, s.settle(t, p))
	}
	s.end()
	return writes
}

// settle has a process see to the Secret until nothing is left to do, and returns how many writes it took.
func (s rotationStory) settle(t *testing.T, p *process) int {
	t.Helper()
	from := len(p.wire.written())
	for range 10 {
		before := len(p.wire.written())
		_, err := s.keep(p)
		must(t, err)
		s.observe(p.now)
		if len(p.wire.written()) == before {
			return before - from
		}
	}
	t.Fatal("it writes without end")
	return 0
}

// Whichever write of a rotation a process crashes at, and whether or not that write was done, the next one brings it to the same end:
// one request makes one key (L2), and all that was promised of times holds (L7).
func TestRotationCrashAtAnyWrite(t *testing.T) {
	for name, newStory := range map[string]func(t *testing.T, namespace string) rotationStory{
		"signing keys": signingKeysStory, "CA": authorityStory, "serving certificate": servingStory,
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t)
			writes := newStory(t, namespace).tell(t, namespace, crash{})
			for moment := range writes {
				if writes[moment] == 0 {
					t.Errorf("moment %d: nothing was written", moment)
				}
				for n := 1; n <= writes[moment]; n++ {
					for _, done := range []bool{false, true} {
						t.Run(fmt.Sprintf("moment %d, write %d, done %t", moment, n, done), func(t *testing.T) {
							namespace := newNamespace(t)
							newStory(t, namespace).tell(t, namespace, crash{moment, n, done})
						})
					}
				}
			}
		})
	}
}

// ask writes the annotation by which an administrator asks for something.
func ask(t *testing.T, namespace, name, annotation, value string) {
	t.Helper()
	changeSecret(t, namespace, name, func(s *corev1.Secret) { metav1.SetMetaDataAnnotation(&s.ObjectMeta, annotation, value) })
}

// statusOf returns what is said of one of Kubemint's own Secrets.
func statusOf(t *testing.T, namespace, name string) string {
	t.Helper()
	return getSecret(t, namespace, name).Annotations[v1alpha1.AnnotationStatus]
}
