package data

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// This file recognises what a failed download or conversion left in the place of data, by its first bytes.

const sniffed = 512 // bytes that misnamed looks at

// signatures are what files of other kinds begin with, what they are and the hint, in which FILE is the path.
var signatures = []struct{ begin, found, hint string }{
	{"version https://git-lfs.github.com/spec/", "a Git LFS pointer, a text that stands for the file",
		"git lfs pull, in the directory that was cloned, brings the file itself"},
	{"\x1f\x8b", "compressed with gzip", "unpack it: gunzip FILE"},
	{"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it: unzstd FILE"},
	{"\xfd7zXZ\x00", "compressed with xz", "unpack it: unxz FILE"},
	{"BZh", "compressed with bzip2", "unpack it: bunzip2 FILE"},
	{"PK\x03\x04", "a zip archive, as PyTorch's weights are", "unpack it: unzip FILE; weights belong to --init, as " +
		"model.safetensors"},
	{"%PDF-", "a PDF document", "extract its text first: pdftotext FILE"},
	{"PAR1", "a Parquet file", "rename it to .parquet, then gpt2wgpu data tokenize"},
	{"ARROW1", "an Arrow file", `write Parquet instead: python3 -c "from datasets import load_from_disk as l; ` +
		`l('DIR').to_parquet('text.parquet')"`},
	{"\x93NUMPY", "a NumPy array", "rename it to .npy"},
	{"\xff\xfe", "UTF-16, as Windows' editors write it", "convert it: iconv -f UTF-16 -t UTF-8 FILE"},
	{"\xfe\xff", "UTF-16, as Windows' editors write it", "convert it: iconv -f UTF-16 -t UTF-8 FILE"},
}

// misnamed returns an error if a file's first bytes show that it is not what is wanted ("text", "a token shard").
func misnamed(path string, head []byte, want string) error {
	ext := extension(path)
	for _, s := range signatures {
		own := s.begin == "PAR1" && ext == ".parquet" || s.begin == "\x93NUMPY" && ext == ".npy" ||
			strings.HasPrefix(s.found, "UTF-16") && !isText(path)
		if bytes.HasPrefix(head, []byte(s.begin)) && !own {
			hint := strings.ReplaceAll(s.hint, "FILE", path)
			return fmt.Errorf("%s: %s, want %s; hint: %s", path, s.found, want, hint)
		}
	}
	if webPage.Match(head) && !isPlain(path) {
		return fmt.Errorf("%s: a web page (HTML or XML), want %s; hint: the download saved a page: use the file's own "+
			"address (/resolve/main/, not /blob/main/)", path, want)
	}
	return nil
}

// webPage matches what HTML and the XML of storage servers' errors begin with: <!DOCTYPE, <?xml, <html, <Error>.
var webPage = regexp.MustCompile(`^(\x{feff})?\s*<[!?a-zA-Z]`)

// refuseForeign is [misnamed] for a file that is not open yet.
func refuseForeign(path, want string) error { return misnamed(path, readHead(path), want) }

// readHead returns the first bytes of a file; none if it cannot be read, which its reader reports.
func readHead(path string) []byte { return plainfile.Head(path, sniffed) }

// headerless reports a .bin file that begins with tokens, as nanoGPT's prepare.py writes them: ids below GPT-2's
// vocabulary, in an even number of bytes. Nothing in such a file says what it is, so it is not read as it stands.
func headerless(head []byte, size int64) bool {
	if size%2 != 0 || len(head) < 2 {
		return false
	}
	for i := 0; i+1 < len(head); i += 2 {
		if binary.LittleEndian.Uint16(head[i:]) >= gpt2Vocab {
			return false
		}
	}
	return true
}

// isUTF8Text reports whether a file's first bytes are text, its last character perhaps cut.
func isUTF8Text(head []byte) bool {
	if len(head) < 8 || bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	for range utf8.UTFMax {
		if utf8.Valid(head) {
			return true
		}
		head = head[:len(head)-1]
	}
	return false
}

// headerlessHint is the command that makes a .npy shard of such a file.
func headerlessHint(path string) string {
	return fmt.Sprintf(`write its header: python3 -c "import numpy as np; np.save('%s.npy', np.fromfile('%s', `+
		`np.uint16))", then remove the .bin`, strings.TrimSuffix(path, filepath.Ext(path)), path)
}
