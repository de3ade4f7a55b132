package signing

import "time"

const (
	// PublishedMaxAge is how long verifiers may keep the key set and the metadata. No key may sign before it has been published for
	// that long.
	PublishedMaxAge = 5 * time.Minute
	// MaxHandover bounds how long a key may sign after it was retired, on a replica that learns late of the one that follows it.
	// It stays published for that long beyond the life of its tokens.
	MaxHandover = time.Hour
)

// handover is what a replica knows of its ring beside what the ring says.
type handover struct {
	// publishedSince is when this replica began to publish each key, by kid.
	publishedSince map[string]time.Time
	// former is the key that signs until the active one has been published for long enough; nil where that is so already.
	former *Key
	until  time.Time
}

// TakeOver returns the ring as a replica uses it from now on that has published former until now; nil, it has published none yet.
//
// Replicas see a change at different times, and one that was cut off from the API server may see a key for the first time when it
// is active already. The active key signs here once it has stood in the key set that this replica publishes for PublishedMaxAge;
// until then, the key that signed before does, as long as it is in the ring. A replica that has just started goes by the ring's own
// times: what is active was published by the others.
func (r *Ring) TakeOver(former *Ring, now time.Time) *Ring {
	taken := *r
	taken.handover = handover{publishedSince: make(map[string]time.Time, len(r.Keys))}
	for i := range r.Keys {
		taken.publishedSince[r.Keys[i].ID] = publishedSince(&r.Keys[i], former, now)
	}
	ready := taken.publishedSince[r.active.ID].Add(PublishedMaxAge)
	if predecessor := r.predecessor(former, now); predecessor != nil && now.Before(ready) {
		taken.former, taken.until = predecessor, ready
		if latest := predecessor.Retired.Add(MaxHandover); latest.Before(ready) {
			taken.until = latest
		}
	}
	return &taken
}

func publishedSince(key *Key, former *Ring, now time.Time) time.Time {
	if former == nil {
		if key.State == Prepared { // It may be that nobody was there to publish it.
			return now
		}
		return key.Created
	}
	if since, known := former.publishedSince[key.ID]; known {
		return since
	}
	return now
}

// predecessor returns the retired key that signed here before the active one, or nil.
func (r *Ring) predecessor(former *Ring, now time.Time) *Key {
	for i := range r.Keys {
		key := &r.Keys[i]
		if key.State != Retired {
			continue
		}
		if former == nil && key.Retired.Equal(r.active.Activated) || former != nil && key.ID == former.Signer(now).ID {
			return key
		}
	}
	return nil
}

// Signer returns the key that signs on this replica at a time.
func (r *Ring) Signer(now time.Time) *Key {
	if r.former != nil && now.Before(r.until) {
		return r.former
	}
	return r.active
}
