package registry

import "strings"

// pages keep texts, many of them in one piece of memory: the garbage collector comes upon a page in place of hundreds of texts. They are
// written one after the other and never changed, so that who reads one may go on when it counts no more.
type pages struct {
	// size is the length of a page in bytes, unless a single text is longer.
	size int
	// texts are what is written on each page so far, by number: side by side, as each request reads one. details are the rest of each;
	// nil: the number is free.
	texts   []string
	details []*page
	free    []uint32
	// open is the number of the page that is written to.
	open uint32
}

type page struct {
	builder strings.Builder
	// size is how many bytes there may be.
	size int
	// wasted is how many bytes are of texts that count no more.
	wasted int
}

// where is where a text begins: the number of a page, and how many bytes of it are before.
type where uint32

const (
	pageBits = 16
	pageSize = 1 << pageBits
)

func (w where) page() uint32 { return uint32(w) >> pageBits }

func (w where) before() int { return int(w) % pageSize }

// from returns what a page holds from where a text begins: that text, and those after it.
func (p *pages) from(w where) string { return p.texts[w.page()][w.before():] }

// write writes a text, and returns where it begins.
func (p *pages) write(text []byte) where {
	if len(p.texts) == 0 || !p.details[p.open].takes(text) {
		p.add(max(p.size, len(text)))
	}
	builder := &p.details[p.open].builder
	w := where(p.open<<pageBits | uint32(builder.Len())) //nolint:gosec // A page that takes another text is shorter than pageSize.
	builder.Write(text)
	p.texts[p.open] = builder.String()
	return w
}

func (p *page) takes(text []byte) bool { return p.builder.Len()+len(text) <= p.size }

// add adds a page to write to.
func (p *pages) add(size int) {
	added := &page{size: size}
	added.builder.Grow(size)
	p.open, p.free = place(&p.details, p.free, added)
	if int(p.open) == len(p.texts) {
		p.texts = append(p.texts, "")
	}
}

// waste notes that a text counts no more.
func (p *pages) waste(w where, length int) { p.details[w.page()].wasted += length }

// isWasteful reports whether a page is to be given up: a quarter of it is wasted, and it is not written to.
func (p *pages) isWasteful(number uint32) bool {
	page := p.details[number]
	return page != nil && number != p.open && page.wasted >= page.builder.Len()/4
}

// giveUp gives up a page in which no text counts.
func (p *pages) giveUp(number uint32) {
	p.texts[number], p.details[number] = "", nil
	p.free = append(p.free, number)
}

// place puts something where a number is free, or at the end. It returns its number, and what numbers are free then.
func place[T any](all *[]T, free []uint32, one T) (uint32, []uint32) {
	if last := len(free) - 1; last >= 0 {
		(*all)[free[last]] = one
		return free[last], free[:last]
	}
	*all = append(*all, one)
	return uint32(len(*all) - 1), free //nolint:gosec // So many fit into no memory.
}
