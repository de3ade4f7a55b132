package registry

import (
	"runtime"
	"testing"
	"time"

	"github.com/kubemint/kubemint/api/v1alpha1"
)

// What a list of all objects leaves behind is collected, though nothing else asks for memory.
func TestListIsCollected(t *testing.T) {
	ignore := func(*v1alpha1.OAuthClient) {}
	v := view[*v1alpha1.OAuthClient]{seal: ignore, replace: func(string, []*v1alpha1.OAuthClient) {}, seen: func() {}}
	collected := make(chan struct{})
	func() {
		object := oauthClient("worker", "uid-1")
		runtime.AddCleanup(object, func(done chan struct{}) { close(done) }, collected)
		if err := v.Replace([]any{object}, ""); err != nil {
			t.Fatal(err)
		}
	}()
	select {
	case <-collected:
	case <-time.After(untilListIsGarbage + 5*time.Second):
		t.Error("it is in memory yet")
	}
}
