package data

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// FileID recognises a data file by its content, in any place.
type FileID struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"` // see [Identify]
}

// Same reports whether two files have the same content, as far as their digests see.
func (f FileID) Same(o FileID) bool { return f.Bytes == o.Bytes && f.Digest == o.Digest }

// A digest reads small files whole. Of a larger one it reads digestBlocks blocks of digestBlock bytes, spread evenly
// from the header to the end: 32 KiB per file, so that the shards of ten billion tokens take some 100 reads of 8
// places.
const (
	digestWhole  = 4 << 20
	digestBlocks = 8
	digestBlock  = 4 << 10
)

// Identify returns a file's size and the SHA-256 of its content, in hexadecimal: of the whole content up to 4 MiB, else
// of 8 blocks of 4 KiB: the header, the end and places between them.
func Identify(path string) (FileID, error) {
	f, err := plainfile.Open(path)
	if err != nil {
		return FileID{}, fmt.Errorf("data: %w; hint: check the path and its permissions", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return FileID{}, fmt.Errorf("data: %w; hint: check the disk", err)
	}
	size, blocks, block := info.Size(), int64(digestBlocks), int64(digestBlock)
	if size <= digestWhole {
		blocks, block = 1, size
	}
	var places []io.Reader
	for i := range blocks - 1 {
		places = append(places, io.NewSectionReader(f, (size-block)/(blocks-1)*i, block))
	}
	places = append(places, io.NewSectionReader(f, size-block, block))
	sum := sha256.New()
	if _, err := io.Copy(sum, io.MultiReader(places...)); err != nil {
		return FileID{}, fmt.Errorf("data: %w; hint: check the disk", err)
	}
	return FileID{Path: path, Bytes: size, Digest: fmt.Sprintf("%x", sum.Sum(nil))}, nil
}

// Files identifies the corpus's files, in their order. The embedded text and tokens in memory have none.
func (c *Corpus) Files() ([]FileID, error) {
	ids := make([]FileID, 0, len(c.files))
	for _, path := range c.files {
		id, err := Identify(path)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
