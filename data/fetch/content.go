package fetch

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// What a file must look like to be complete. Where its source publishes no hash, this decides.

// webPage matches what HTML, and the XML of a storage server's errors, begin with.
var webPage = regexp.MustCompile(`^(\x{feff})?\s*<[!?a-zA-Z]`)

// lfsStart begins a Git LFS pointer, a text that stands for the file.
const lfsStart = "version https://git-lfs.github.com/spec/"

// checkContent returns what shows that a file of a data set is not what its name says, or is cut short: by its first
// bytes, its header and its size. nil: nothing does.
func checkContent(d cache.Dataset, file string) error {
	f, err := plainfile.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:n]
	switch {
	case info.Size() == 0:
		return errors.New("it is empty")
	case webPage.Match(head):
		return errors.New("it is a web page (HTML or XML), not the file")
	case bytes.HasPrefix(head, []byte(lfsStart)):
		return errors.New("it is a Git LFS pointer, not the file")
	}
	switch filepath.Ext(file) {
	case ".safetensors":
		return checkSafetensors(f, info)
	case ".json":
		raw, err := plainfile.Read(file, maxJSON)
		if err == nil {
			_, err = exactjson.Object(raw)
		}
		return err
	case ".jsonl":
		tok, err := data.NewTokenizer("bytes")
		if err != nil {
			return err
		}
		got, err := data.ReadHellaSwag(file, tok)
		if err == nil && len(got) != d.Examples {
			err = fmt.Errorf("%d questions, want %d", len(got), d.Examples)
		}
		return err
	case ".bin":
		return data.CheckShard(file)
	}
	return nil
}

const (
	maxJSON   = 1 << 20 // bytes of a config.json
	maxHeader = 1 << 20 // of a safetensors file
)

// checkSafetensors compares the size of a file of weights with what its header says.
func checkSafetensors(f io.ReaderAt, info fs.FileInfo) error {
	var length [8]byte
	if _, err := f.ReadAt(length[:], 0); err != nil {
		return fmt.Errorf("%d bytes, want a safetensors file", info.Size())
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > info.Size()-8 {
		return fmt.Errorf("a header of %d bytes in a file of %d, want a safetensors file", n, info.Size())
	}
	header := make([]byte, n)
	if _, err := f.ReadAt(header, 8); err != nil {
		return err
	}
	tensors, err := exactjson.Object(header)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	end := int64(0)
	for name, raw := range tensors {
		var t struct {
			Offsets []int64 `json:"data_offsets"`
		}
		if name == "__metadata__" {
			continue
		}
		if err := json.Unmarshal(raw, &t); err != nil || len(t.Offsets) != 2 {
			return fmt.Errorf("header: tensor %.80q has no data_offsets", name)
		}
		end = max(end, t.Offsets[1])
	}
	if want := int64(n) + 8 + end; info.Size() != want {
		return fmt.Errorf("%d bytes, want %d", info.Size(), want)
	}
	return nil
}

// limitOf is how many bytes a file of a data set may have.
func limitOf(d cache.Dataset, name string) int64 {
	if path.Ext(name) == ".json" {
		return maxJSON
	}
	return d.Largest
}

// withoutHint is an error's text without its hint.
func withoutHint(err error) string {
	text, _, _ := strings.Cut(err.Error(), "; hint: ")
	return text
}
