package registry

import (
	"iter"

	"github.com/kubemint/kubemint/tokenserver/credential"
)

// slots are when client secrets were last used, by number. There are many of them in one piece of memory, with no pointers in it. A slot is
// of one client secret for good: a request that still has it when that is gone writes into nobody else's.
type slots struct {
	// pieces are they by the number of their first slot, divided by slotsInPiece; nil: the number is free.
	pieces []*slotPiece
	free   []uint32
	// open is the number of the piece that slots are taken from.
	open uint32
}

const slotsInPiece = 64

type slotPiece struct {
	uses  [slotsInPiece]credential.Use
	users [slotsInPiece]user
	// taken is how many slots were taken, inUse how many of them are still used.
	taken, inUse uint32
}

// user is the client whose secret a slot is of: where its text is.
type user struct {
	text where
	// alone says that it is the client's only one, used that it is one's at all.
	alone, used bool
}

// take returns the number of a slot that nobody has had.
func (s *slots) take() uint32 {
	if len(s.pieces) == 0 || s.pieces[s.open] == nil || s.pieces[s.open].taken == slotsInPiece {
		s.open, s.free = place(&s.pieces, s.free, &slotPiece{})
	}
	piece := s.pieces[s.open]
	number := s.open*slotsInPiece + piece.taken
	piece.taken++
	piece.inUse++
	return number
}

// giveUp gives up a slot, and with the last one in it the piece.
func (s *slots) giveUp(number uint32) {
	at := number / slotsInPiece
	piece := s.pieces[at]
	piece.users[number%slotsInPiece] = user{}
	piece.inUse--
	if piece.inUse == 0 {
		s.pieces[at] = nil
		s.free = append(s.free, at)
	}
}

// use returns the use in a slot.
func (s *slots) use(number uint32) *credential.Use {
	return &s.pieces[number/slotsInPiece].uses[number%slotsInPiece]
}

// assign says whose slots are, and returns the first of them.
func (s *slots) assign(text where, numbers []uint32) (first uint32) {
	for _, number := range numbers {
		s.pieces[number/slotsInPiece].users[number%slotsInPiece] = user{text: text, alone: len(numbers) == 1, used: true}
	}
	if len(numbers) == 0 {
		return 0
	}
	return numbers[0]
}

// fetch has the processor fetch a slot while it goes on with something else.
func (s *slots) fetch(number uint32) {
	if at := number / slotsInPiece; int(at) < len(s.pieces) && s.pieces[at] != nil {
		s.pieces[at].uses[number%slotsInPiece].Last() // An atomic read, which no compiler leaves out.
	}
}

// all goes through the slots that are somebody's.
func (s *slots) all() iter.Seq2[user, *credential.Use] {
	return func(yield func(user, *credential.Use) bool) {
		for _, piece := range s.pieces {
			if piece == nil {
				continue
			}
			for i := range piece.taken {
				if piece.users[i].used && !yield(piece.users[i], &piece.uses[i]) {
					return
				}
			}
		}
	}
}
