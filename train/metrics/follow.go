package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Follower reads lines that are still being written, a piece at a time, and each once. It holds no more than a piece
// and keeps no file open.
type Follower struct {
	open func() (source, error)
	at   Position
}

// source is what a Follower reads.
type source interface {
	io.ReaderAt
	io.Closer
	size() (int64, error)
}

// Position is how far a Follower has read. Mark is a hash of the bytes before Offset: if they have changed, the file
// was replaced, or was cut off and has grown again, as by a resumed run.
type Position struct {
	Offset int64
	Mark   uint64
}

// String returns it as [ParsePosition] reads it.
func (p Position) String() string { return fmt.Sprintf("%d-%x", p.Offset, p.Mark) }

// ParsePosition reads what String returns. Anything else is the start.
func ParsePosition(s string) Position {
	offset, mark, _ := strings.Cut(s, "-")
	var p Position
	var bad [2]error
	p.Offset, bad[0] = strconv.ParseInt(offset, 10, 64)
	p.Mark, bad[1] = strconv.ParseUint(mark, 16, 64)
	if bad[0] != nil || bad[1] != nil || p.Offset < 0 {
		return Position{}
	}
	return p
}

// Piece is what [Follower.Next] has read.
type Piece struct {
	Lines []Line
	Bad   int  // damaged lines, which are left out
	Anew  bool // the file has changed: reading starts over, and what was read before is no longer valid
	More  bool // there is more already
	At    Position
}

// Follow returns a follower of the file at path, which need not exist yet. from is where another one has stood; its
// zero value is the start.
func Follow(path string, from Position) *Follower {
	return &Follower{at: from, open: func() (source, error) {
		f, err := openFile(path, os.O_RDONLY)
		if err != nil {
			return nil, err
		}
		return fileSource{f}, nil
	}}
}

type fileSource struct{ *os.File }

func (f fileSource) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// The bytes that Next reads at once, that a line may have, and that a mark is made of.
const (
	pieceBytes  = 256 << 10
	longestLine = 4 << 20
	markBytes   = 256
)

// Next returns the lines that were written since the last call, or a part of them. A last line without its newline
// waits for the next call. Errors: those of the operating system; a file that does not exist has no lines.
func (f *Follower) Next() (p Piece, err error) {
	src, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		p.Anew = f.at.Offset > 0
		f.at = Position{}
		return p, nil
	}
	if err != nil {
		return p, err
	}
	defer src.Close()
	size, err := src.size()
	if err != nil {
		return p, err
	}
	if f.at.Offset > 0 && (f.at.Offset > size || mark(src, f.at.Offset) != f.at.Mark) {
		f.at, p.Anew = Position{}, true
	}
	p.At = f.at
	if f.at.Offset == size {
		return p, nil
	}
	content, err := readLines(src, f.at.Offset, size)
	if err != nil {
		return p, err
	}
	for line := range bytes.Lines(content) {
		if m, ok := parsed(line); ok {
			p.Lines = append(p.Lines, m)
		} else {
			p.Bad++
		}
	}
	if len(content) > 0 {
		f.at.Offset += int64(len(content))
		f.at.Mark = mark(src, f.at.Offset)
	}
	p.At, p.More = f.at, len(content) > 0 && f.at.Offset < size
	return p, nil
}

// readLines returns whole lines from an offset on, about a piece; or the longest line's beginning, which is damaged.
func readLines(src source, from, size int64) ([]byte, error) {
	for n := int64(pieceBytes); ; n *= 4 {
		content := make([]byte, min(n, size-from))
		got, err := src.ReadAt(content, from)
		if err != nil && err != io.EOF {
			return nil, err
		}
		content = content[:got]
		if end := bytes.LastIndexByte(content, '\n') + 1; end > 0 {
			return content[:end], nil
		}
		if n >= longestLine {
			return content, nil
		}
		if int64(got) < n {
			return nil, nil
		}
	}
}

// mark returns a hash of the 256 bytes before an offset; 0: they cannot be read.
func mark(src source, offset int64) uint64 {
	b := make([]byte, min(offset, markBytes))
	if n, _ := src.ReadAt(b, offset-int64(len(b))); n < len(b) {
		return 0
	}
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// Records holds the lines of a run without a directory, as metrics.jsonl would. Adding to it waits for no reader's
// work.
type Records struct {
	mu    sync.Mutex
	lines []byte
}

// mostRecords bounds the bytes of Records. Beyond it the older half goes.
const mostRecords = 64 << 20

// Add appends a line.
func (r *Records) Add(m Line) {
	line := append(m.JSON(), '\n')
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lines = append(r.lines, line...); len(r.lines) > mostRecords {
		newer := r.lines[len(r.lines)/2:]
		r.lines = bytes.Clone(newer[bytes.IndexByte(newer, '\n')+1:])
	}
}

// Follow returns a follower of the lines. from is as for [Follow].
func (r *Records) Follow(from Position) *Follower {
	return &Follower{at: from, open: func() (source, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return recordSource{bytes.NewReader(r.lines)}, nil // whose bytes never change
	}}
}

type recordSource struct{ *bytes.Reader }

func (recordSource) Close() error           { return nil }
func (r recordSource) size() (int64, error) { return r.Size(), nil }
