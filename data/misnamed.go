package data

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// What stands in the place of data when a download or a conversion went wrong, by the first bytes of the file.

const sniffed = 512 // bytes that misnamed looks at

// misnamed reports a file that is something else than what is wanted ("text", "a token shard"), if its first bytes say
// so.
func misnamed(path string, head []byte, want string) error {
	is := func(what, hint string) error { return fmt.Errorf("%s: %s, want %s; hint: %s", path, what, want, hint) }
	begins := func(s string) bool { return bytes.HasPrefix(head, []byte(s)) }
	unpack := func(name, command string) error {
		return is("compressed with "+name, fmt.Sprintf("unpack it: %s %s", command, path))
	}
	switch extension(path) {
	case ".npy", ".bin", ".parquet", ".jsonl":
		if text := bytes.TrimLeft(head, " \t\r\n"); len(text) > 1 && text[0] == '<' &&
			(text[1] == '!' || text[1] == 'h' || text[1] == 'H' || text[1] == '?') {
			return is("a web page", "the download saved a page: use the file's own address (/resolve/main/, not "+
				"/blob/main/)")
		}
	}
	switch {
	case begins("version https://git-lfs.github.com/spec/"):
		return is("a Git LFS pointer, a text that stands for the file", "git lfs pull, in the directory that was "+
			"cloned, brings the file itself")
	case begins("\x1f\x8b"):
		return unpack("gzip", "gunzip")
	case begins("\x28\xb5\x2f\xfd"):
		return unpack("zstd", "unzstd")
	case begins("\xfd7zXZ\x00"):
		return unpack("xz", "unxz")
	case begins("BZh"):
		return unpack("bzip2", "bunzip2")
	case begins("PK\x03\x04"):
		if extension(path) == ".bin" {
			return is("PyTorch's weights (a zip archive)", "weights belong to --init, as model.safetensors")
		}
		return unpack("zip", "unzip")
	case begins("%PDF-"):
		return is("a PDF document", "extract its text first: pdftotext "+path)
	case begins("PAR1") && extension(path) != ".parquet":
		return is("a Parquet file", "rename it to .parquet, then gpt2wgpu data tokenize")
	case begins("ARROW1"):
		return is("an Arrow file",
			`write Parquet instead: python3 -c "from datasets import load_from_disk as l; `+
				`l('DIR').to_parquet('text.parquet')"`)
	case begins("\x93NUMPY") && extension(path) != ".npy":
		return is("a NumPy array", "rename it to .npy")
	case begins("\xff\xfe") || begins("\xfe\xff"):
		if isText(path) {
			return is("UTF-16, as Windows' editors write it", fmt.Sprintf("convert it: iconv -f UTF-16 -t UTF-8 %s",
				path))
		}
	}
	return nil
}

// refuseForeign is [misnamed] for a file that is not open yet. What can't be read is left to whoever opens it.
func refuseForeign(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, sniffed)
	n, _ := f.Read(head)
	return misnamed(path, head[:n], want)
}

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

// magicNamed reports whether a file begins with one of llm.c's numbers for other files, which parseBin names.
func magicNamed(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	n := binary.LittleEndian.Uint32(head)
	return n == binShardLlama || n == binEval || n == binModel
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
	out := path[:len(path)-len(filepath.Ext(path))] + ".npy"
	return fmt.Sprintf(
		`write its header: python3 -c "import numpy as np; np.save('%s', np.fromfile('%s', np.uint16))", then `+
			`remove the .bin`, out, path)
}
