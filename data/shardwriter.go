package data

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
)

// shardWriter writes one shard: under a temporary name, until commit.
type shardWriter struct {
	path string
	f    *atomicfile.File
	w    *bufio.Writer
	head func(n int64) []byte // the header for n tokens; its length doesn't depend on n
	n    int64                // tokens so far
}

func (t *tokenizing) newShard(name string) (*shardWriter, error) {
	f, err := atomicfile.Create(filepath.Join(t.o.Out, name))
	if err != nil {
		return nil, fmt.Errorf("%w; hint: check the directory's permissions", err)
	}
	s := &shardWriter{path: filepath.Join(t.o.Out, name), f: f, w: bufio.NewWriterSize(f, 1<<20), head: t.header}
	_, err = s.w.Write(s.head(0))
	return s, s.failed(err)
}

func (t *tokenizing) header(n int64) []byte {
	if t.o.Format == "npy" {
		return npyHead(n)
	}
	return binHead(n)
}

func (s *shardWriter) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("writing %s: %w; hint: check the disk's free space", s.path, err)
}

func (s *shardWriter) append(ids []uint16) error {
	s.n += int64(len(ids))
	return s.failed(binary.Write(s.w, binary.LittleEndian, ids))
}

// moveTail moves the tokens from n on to another shard.
func (s *shardWriter) moveTail(n int64, to *shardWriter) error {
	if err := s.w.Flush(); err != nil {
		return s.failed(err)
	}
	at := int64(len(s.head(0))) + 2*n
	if _, err := io.Copy(to.w, io.NewSectionReader(s.f, at, 2*(s.n-n))); err != nil {
		return to.failed(err)
	}
	if err := s.f.Truncate(at); err != nil {
		return s.failed(err)
	}
	to.n += s.n - n
	s.n = n
	return nil
}

// commit writes the header, brings everything to the disk and gives the file its name.
func (s *shardWriter) commit() error {
	err := s.w.Flush()
	if err == nil {
		_, err = s.f.WriteAt(s.head(s.n), 0)
	}
	if err == nil {
		err = s.f.Commit()
	}
	return s.failed(err)
}

// abandon removes the temporary file. It does nothing after commit, or on nil.
func (s *shardWriter) abandon() {
	if s != nil {
		s.f.Abandon()
	}
}
