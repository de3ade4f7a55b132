package registry

import "iter"

// index finds clients by a key of which it keeps the hash alone: an open-addressed hash table with linear probing, as what stands side by
// side comes from memory at once. A map of Go's would have a request wait twice.
type index struct {
	hash func(string) uint32
	// spots are as many as a power of two, of which no more than three in four are taken.
	spots []spot
	taken int
}

// spot is where a client is.
type spot struct {
	// hash is the key's, with isTaken; 0: nothing is here.
	hash uint32
	// text is where its text begins, slot that of the first of its secrets, if any.
	text where
	slot uint32
}

const (
	isTaken  = 1 << 31
	minSpots = 16
)

// find returns the client by a key: of those that may be, the one that has it.
func (x *index) find(key string, has func(spot) bool) (spot, bool) {
	if x.taken == 0 {
		return spot{}, false
	}
	hash := x.hash(key) | isTaken
	for i := x.home(hash); x.spots[i].hash != 0; i = x.next(i) {
		if at := x.spots[i]; at.hash == hash && has(at) {
			return at, true
		}
	}
	return spot{}, false
}

// all goes through all clients.
func (x *index) all() iter.Seq[spot] {
	return func(yield func(spot) bool) {
		for _, at := range x.spots {
			if at.hash != 0 && !yield(at) {
				return
			}
		}
	}
}

// add adds a client by a key that is new.
func (x *index) add(key string, text where, slot uint32) {
	if 4*(x.taken+1) > 3*len(x.spots) {
		x.grow()
	}
	x.put(spot{x.hash(key) | isTaken, text, slot})
	x.taken++
}

func (x *index) grow() {
	before := x.spots
	x.spots = make([]spot, max(minSpots, 2*len(before)))
	for _, at := range before {
		if at.hash != 0 {
			x.put(at)
		}
	}
}

func (x *index) put(at spot) {
	i := x.home(at.hash)
	for x.spots[i].hash != 0 {
		i = x.next(i)
	}
	x.spots[i] = at
}

// remove removes the client whose text is somewhere by a key that it was added by. Those that it was in the way of move up.
func (x *index) remove(key string, text where) {
	hash := x.hash(key) | isTaken
	free := x.home(hash)
	for x.spots[free].hash != hash || x.spots[free].text != text {
		free = x.next(free)
	}
	for i := x.next(free); x.spots[i].hash != 0; i = x.next(i) {
		if x.distance(x.home(x.spots[i].hash), i) >= x.distance(free, i) {
			x.spots[free] = x.spots[i]
			free = i
		}
	}
	x.spots[free] = spot{}
	x.taken--
}

// home is where a client is by its hash, unless others are in the way.
func (x *index) home(hash uint32) int { return int(hash) & (len(x.spots) - 1) }

func (x *index) next(i int) int { return (i + 1) & (len(x.spots) - 1) }

// distance is how many steps there are from one spot to another.
func (x *index) distance(from, to int) int { return (to - from) & (len(x.spots) - 1) }
