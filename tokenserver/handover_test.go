package tokenserver_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubemint/kubemint/tokenserver"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// K05: a key that this replica has just learnt of is published at once, and signs when the key set without it has ended in every
// cache; a token that would be reused does not outlast that.
func TestK05ReplicaPublishesBeforeItSigns(t *testing.T) {
	former, successor := newKey(t), newKey(t)
	former.Activate(noon.Add(-time.Hour))
	before := ringOf(t, former).TakeOver(nil, noon)
	former.Retire(noon)
	successor.Activate(noon)
	var passed atomic.Int64
	c := newCluster(t, nil)
	c.ring = before
	s := start(t, c, func(config *tokenserver.Config) {
		config.Reuse = tokenserver.MaxReuse
		config.Issuer.Now = func() time.Time { return noon.Add(time.Duration(passed.Load())) }
	})
	signer := func() any {
		header, _ := s.verify(t, s.token(t, post(grantType)).AccessToken)
		return header["kid"]
	}
	if got := signer(); got != former.ID {
		t.Errorf("before, %v signs", got)
	}
	c.change(func() { c.ring = ringOf(t, former, successor).TakeOver(before, noon) })
	for _, moment := range []struct {
		passed time.Duration
		key    signing.Key
	}{
		{0, former},
		{signing.PublishedMaxAge - time.Second, former},
		{signing.PublishedMaxAge, successor},
	} {
		passed.Store(int64(moment.passed))
		if got := signer(); got != moment.key.ID {
			t.Errorf("after %v, %v signs, want %s", moment.passed, got, moment.key.ID)
		}
		if kids := s.kids(t); len(kids) != 2 {
			t.Errorf("after %v, published are %q", moment.passed, kids)
		}
	}
}
