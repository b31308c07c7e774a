package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/filemap"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// A shard is one file of tokens or one text.
type shard struct {
	name string       // for messages: the file, or the corpus' own name
	raw  []byte       // the tokens, uint16 little endian, two bytes each
	at   int64        // where raw begins in the file, bytes
	file *filemap.Map // nil for tokens in memory

	first  int64 // of a piece: its first token, counted in the whole shard
	mapped bool  // of a piece: the whole shard has a file
}

func (s *shard) len() int64 { return int64(len(s.raw) / 2) }

// rows is how many rows of T tokens, with the target behind the last, the shard holds.
func (s *shard) rows(T int) int64 { return max(s.len()-1, 0) / int64(T) }

// isMapped reports whether the tokens are in a file, and not in memory.
func (s *shard) isMapped() bool { return s.file != nil || s.mapped }

func (s *shard) token(i int64) uint16 { return binary.LittleEndian.Uint16(s.raw[2*i:]) }

func (s *shard) close() error {
	if s.file == nil {
		return nil
	}
	s.raw = nil
	return s.file.Close()
}

// firstOutside returns the index of the first of tokens begin to end (end not included) that is not an id of a
// vocabulary of that size, or -1. Error: the mapped file cannot be read.
func (s *shard) firstOutside(begin, end int64, vocab int) (at int64, err error) {
	at = -1
	err = guard(s.name, func() {
		for i, raw := 0, s.raw[2*begin:2*end]; vocab < maxVocab && i < len(raw); i += 2 {
			if int(binary.LittleEndian.Uint16(raw[i:])) >= vocab {
				at = begin + int64(i/2)
				return
			}
		}
	})
	return at, err
}

// outside is the error for a token that is not an id of the vocabulary.
// settled: the vocabulary is that of a model.
func (s *shard) outside(i int64, vocab int, settled bool) error {
	where := fmt.Sprintf("token %d", s.first+i)
	if s.isMapped() {
		where += fmt.Sprintf(" at byte %d", s.at+2*i)
	}
	hint := "--tokenizer gpt2, if GPT-2's tokenizer made it, else the one that did, and its --vocab-size"
	switch {
	case settled && s.isMapped():
		hint = "the model has no such token: take shards that its own tokenizer has made"
	case settled:
		hint = "the text's tokenizer has more ids than the model: --tokenizer with the model's own"
	case vocab >= gpt2Vocab || int(s.token(i)) >= gpt2Vocab:
		hint = "the file was made with another tokenizer or is damaged; make it again with gpt2wgpu data tokenize"
	}
	return fmt.Errorf("%s: %s has id %d, want less than the vocabulary's %d; hint: %s", s.name, where, s.token(i),
		vocab, hint)
}

// CheckShard returns what is wrong with a token file's header or size, nil if nothing is.
func CheckShard(path string) error {
	s, err := openShard(path)
	if err != nil {
		return err
	}
	return s.close()
}

// openShard maps a token file: .npy or .bin by its extension. The header must be right and the size must fit it.
func openShard(path string) (*shard, error) {
	f, err := plainfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("shard: %w; hint: check the path", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("shard: %w; hint: check the path", err)
	}
	size := info.Size()
	head := make([]byte, min(size, 64<<10))
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, fmt.Errorf("shard %s: %w; hint: check the disk", path, err)
	}
	parse := parseBin
	if extension(path) == ".npy" {
		parse = parseNPY
	}
	at, n, err := parse(head)
	first := head[:min(len(head), sniffed)]
	switch {
	case size == 0:
		err = errors.New("the file is empty, want a shard of tokens; hint: make it again with gpt2wgpu data tokenize")
	case err != nil && misnamed(path, first, "a shard of tokens") != nil:
		return nil, misnamed(path, first, "a shard of tokens")
	case errors.Is(err, errNoMagic) && isUTF8Text(first):
		err = errors.New("looks like text, want a shard of tokens; hint: rename it to .txt")
	case errors.Is(err, errNoMagic) && headerless(first, size):
		err = fmt.Errorf("byte 0: no header, want llm.c's %d; it looks like nanoGPT's train.bin of %d tokens; hint: %s",
			binShard, size/2, headerlessHint(path))
	case err == nil && size != at+2*n:
		what := "truncated"
		if size > at+2*n {
			what = "too long"
		}
		err = fmt.Errorf("%s: %d bytes, want %d (a header of %d and %d tokens of 2); hint: make or download it again",
			what, size, at+2*n, at, n)
	case err == nil && n == 0:
		err = errors.New("holds no tokens; hint: remove it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	file, err := filemap.Open(f)
	if err != nil {
		return nil, fmt.Errorf("%s: mapping %d bytes into memory: %w; hint: use smaller or fewer shards", path, size,
			err)
	}
	return &shard{name: path, raw: file.Bytes[at : at+2*n : at+2*n], at: at, file: file}, nil
}

// llm.c's headers are 256 int32: what the file is, a version, and how many tokens or examples it has.
const (
	binHeader = 1024
	binShard  = 20240520 // tokens, uint16
	binEval   = 20240522 // multiple choice (HellaSwag, MMLU)
)

// binOthers are the files of llm.c that are not shards: what they are, and the hint.
var binOthers = map[uint32][2]string{
	20240801: {"a shard of 4-byte Llama tokens", "tokenize the text with gpt2wgpu data tokenize"},
	binEval:  {"a HellaSwag file", "give it to --hellaswag"},
	20240326: {"a model", "give it to --init or --model"},
}

// errNoMagic is wrapped by the error of a file that begins with none of llm.c's numbers.
var errNoMagic = errors.New("hint: .bin files without a header (nanoGPT's) aren't read; make shards from the text " +
	"with gpt2wgpu data tokenize")

// magicOf returns the number that a file of llm.c begins with, and its name for messages.
func magicOf(head []byte) (n uint32, name string) {
	if len(head) < 4 {
		return 0, "no header"
	}
	n = binary.LittleEndian.Uint32(head)
	return n, fmt.Sprintf("magic %d", n)
}

// parseBin reads the header of an llm.c token shard: where the tokens begin, in bytes, and how many there are.
func parseBin(head []byte) (at, n int64, err error) {
	magic, name := magicOf(head)
	if other, ok := binOthers[magic]; ok {
		return 0, 0, fmt.Errorf("byte 0: %s is %s, want %d (2-byte GPT-2 tokens); hint: %s", name, other[0], binShard,
			other[1])
	}
	if magic != binShard {
		return 0, 0, fmt.Errorf("byte 0: %s, want llm.c's %d; %w", name, binShard, errNoMagic)
	}
	version, n, err := binCounts(head)
	if err == nil && version != 1 {
		err = fmt.Errorf("byte 4: version %d, want 1", version)
	} else if err == nil && n < 0 {
		err = fmt.Errorf("byte 8: %d tokens, want 0 or more", n)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%w; hint: make or download the shard again", err)
	}
	return binHeader, n, nil
}

// binCounts returns the version and the count in a header of llm.c.
func binCounts(head []byte) (version, n int64, err error) {
	if len(head) < binHeader {
		return 0, 0, fmt.Errorf("byte 0: %d bytes, want a header of %d", len(head), binHeader)
	}
	word := func(i int) int64 { return int64(int32(binary.LittleEndian.Uint32(head[4*i:]))) }
	return word(1), word(2), nil
}

// binHead is the header that parseBin reads, for n tokens.
func binHead(n int64) []byte {
	head, _ := binary.Append(nil, binary.LittleEndian, [binHeader / 4]uint32{binShard, 1, uint32(n)})
	return head
}

var (
	npyMagic   = []byte("\x93NUMPY")
	npyDescr   = regexp.MustCompile(`'descr':\s*'([ -&(-~]*)'`) // printable ASCII only: errors quote it
	npyFortran = regexp.MustCompile(`'fortran_order':\s*(True|False)`)
	npyShape   = regexp.MustCompile(`'shape':\s*\(([ -(*-~]*)\)`)
)

// parseNPY reads the header of a NumPy file of versions 1 to 3: where the tokens begin, in bytes, and how many there
// are. The header is parsed here and not by npyio, which reads values and doesn't say where they begin.
func parseNPY(head []byte) (at, n int64, err error) {
	const again = "make the shard again with gpt2wgpu data tokenize, or with np.save of a 1-D np.uint16 array"
	if len(head) < 12 || !bytes.HasPrefix(head, npyMagic) {
		return 0, 0, fmt.Errorf("byte 0: not a NumPy file: starts with %q, want %q; hint: %s", head[:min(len(head), 6)],
			npyMagic, again)
	}
	size := int64(binary.LittleEndian.Uint16(head[8:]))
	at = 10
	switch head[6] {
	case 1:
	case 2, 3:
		size, at = int64(binary.LittleEndian.Uint32(head[8:])), 12
	default:
		return 0, 0, fmt.Errorf("byte 6: NumPy format version %d, want 1 to 3; hint: %s", head[6], again)
	}
	if at+size > int64(len(head)) {
		return 0, 0, fmt.Errorf("byte 8: a header of %d bytes, found %d; hint: %s", size, int64(len(head))-at, again)
	}
	dict := head[at : at+size]
	descr, fortran, shape := npyDescr.FindSubmatch(dict), npyFortran.FindSubmatch(dict), npyShape.FindSubmatch(dict)
	if descr == nil || fortran == nil || shape == nil {
		return 0, 0, fmt.Errorf("byte %d: header %.80q, want descr, fortran_order and shape; hint: %s", at, dict, again)
	}
	if string(descr[1]) != "<u2" {
		return 0, 0, fmt.Errorf("byte %d: elements are '%s', want '<u2' (uint16); hint: %s", at, descr[1], again)
	}
	dims := strings.Split(strings.TrimSuffix(strings.TrimSpace(string(shape[1])), ","), ",")
	n, err = strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(dims[0]), "L"), 10, 64)
	if err != nil || len(dims) != 1 || n < 0 || n > 1<<46 {
		return 0, 0, fmt.Errorf("byte %d: shape (%s), want (N,); hint: %s", at, shape[1], again)
	}
	return at + size, n, nil
}

// npyHead is the header that np.save writes for n uint16, byte for byte: 128 bytes, with room for the shape to grow to
// 21 digits.
func npyHead(n int64) []byte {
	dict := fmt.Sprintf("{'descr': '<u2', 'fortran_order': False, 'shape': (%d,), }", n)
	return fmt.Appendf(nil, "%s\x01\x00\x76\x00%-117s\n", npyMagic, dict)
}
