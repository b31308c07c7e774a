package data

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// input is one file that Tokenize reads.
type input struct {
	path string
	ID   inputID
}

// inputID recognises an input on the next run, in any place: its size and a checksum of its first and last 64 KiB.
type inputID struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	CRC   uint32 `json:"crc"`
}

const wantInputs = ".txt, .md, .jsonl or .parquet"

// findInputs returns the files among paths and in the directories among them, those of a directory in the order of
// their paths, by the splits in their names.
func findInputs(paths []string) (Parts, error) {
	var files []string
	dir := false
	for _, p := range paths {
		info, err := os.Stat(p)
		found := []string{p}
		switch {
		case err != nil:
			return Parts{}, fmt.Errorf("%s: %w; hint: check the path", p, atomicfile.Reason(err))
		case info.IsDir():
			dir = true
			if found, err = walk(p); err != nil {
				return Parts{}, err
			}
			if found = filter(found, isText); found == nil {
				return Parts{}, fmt.Errorf("%s: no %s file in this directory; hint: check the path", p, wantInputs)
			}
		case !isText(p):
			return Parts{}, fmt.Errorf("%s: extension %q, want %s; hint: %s", p, extension(p), wantInputs, inputHint(p))
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return Parts{}, fmt.Errorf("no input was named; hint: give %s files, or directories of them", wantInputs)
	}
	if len(files) == 1 && !dir {
		return Parts{Train: files}, nil // taken as it is, whatever its name
	}
	root := paths[0]
	if len(paths) > 1 {
		root = commonDir(paths)
	}
	files, cards := withoutCards(files)
	p := partition(root, files)
	p.dir = dir
	p.Left = append(p.Left, cards...)
	if p.Train == nil {
		if dir {
			return Parts{}, p.noTraining(root)
		}
		p.Train, p.Val, p.Left = files, nil, cards // they were named one by one
	}
	return p, nil
}

// withoutCards takes away what describes a data set and isn't part of it: the README and the licence beside .jsonl or
// .parquet files.
func withoutCards(files []string) (rest, cards []string) {
	if len(filter(files, isPlain)) == len(files) {
		return files, nil
	}
	for _, p := range files {
		name := strings.ToLower(strings.TrimSuffix(filepath.Base(p), filepath.Ext(p)))
		if isPlain(p) && slices.Contains([]string{"readme", "license", "licence", "citation", "dataset_card"}, name) {
			cards = append(cards, p)
		} else {
			rest = append(rest, p)
		}
	}
	return rest, cards
}

// inputHint returns what to do with a file of another extension.
func inputHint(path string) string {
	switch ext := extension(path); ext {
	case ".json":
		return "rename it to .jsonl if it has a JSON object per line; a JSON list becomes that by jq -c '.[]' FILE " +
			"> NEW.jsonl"
	case ".gz", ".zst", ".zip", ".xz":
		return "unpack it: " + map[string]string{".gz": "gunzip ", ".zst": "unzstd ", ".zip": "unzip ",
			".xz": "unxz "}[ext] + path
	case ".npy", ".bin":
		return "these are tokens already: give them to train --data"
	case ".csv", ".tsv":
		return `write Parquet instead: python3 -c "import pandas as p; ` +
			`p.read_csv('FILE').to_parquet('NEW.parquet')", with a column "text"`
	}
	return "rename a text to .txt"
}

// identifyAll returns files as inputs.
func identifyAll(files []string) ([]input, error) {
	inputs := make([]input, len(files))
	for i, f := range files {
		id, err := identify(f)
		if err != nil {
			return nil, fmt.Errorf("input: %w; hint: check the path and its permissions", err)
		}
		if err := refuseForeign(f, inputKind(f)); err != nil {
			return nil, err
		}
		inputs[i] = input{f, id}
	}
	return inputs, nil
}

func inputKind(path string) string {
	switch extension(path) {
	case ".jsonl":
		return "a JSON object per line"
	case ".parquet":
		return "Parquet"
	}
	return "text"
}

func identify(path string) (inputID, error) {
	f, err := plainfile.Open(path)
	if err != nil {
		return inputID{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return inputID{}, err
	}
	const edge = 64 << 10
	ends := io.MultiReader(io.NewSectionReader(f, 0, edge), io.NewSectionReader(f, max(0, info.Size()-edge), edge))
	sum := crc32.NewIEEE()
	_, err = io.Copy(sum, ends)
	return inputID{filepath.Base(path), info.Size(), sum.Sum32()}, err
}

// position is a place between two chunks of the inputs.
type position struct {
	File int   `json:"file"`
	At   int64 `json:"at"`            // bytes of .txt and .jsonl, rows of .parquet
	Mid  bool  `json:"mid,omitempty"` // within a document: no separator token comes here
}

// chunk is what one worker encodes at a time: documents, or a piece of a long one.
type chunk struct {
	from position
	to   int64 // how far in the file this chunk reaches, bytes (of .parquet: in proportion to its rows)
	docs []document
}

// document is one text; or, if json is set, a line of JSON that holds it in the field "text".
type document struct {
	text  string
	json  []byte
	at    int64 // for messages: bytes, of .parquet the row
	begin bool  // not the continuation of a document in the chunk before
	null  bool  // a row or a line without a text
}

// chunks returns an input's chunks from a position on, of about size bytes each. Where they begin depends on the
// position, but never the ids that the documents have. After an error no other chunk comes.
func (in input) chunks(from position, separator string, tok Tokenizer, size int) iter.Seq2[chunk, error] {
	return func(yield func(chunk, error) bool) {
		file, err := plainfile.Open(in.path)
		if err != nil {
			yield(chunk{}, fmt.Errorf("input: %w; hint: check the path", err))
			return
		}
		defer file.Close()
		f := io.NewSectionReader(file, 0, in.ID.Bytes) // what is appended meanwhile is not part of the input
		emit := func(c chunk) bool { return yield(c, nil) }
		switch extension(in.path) {
		case ".parquet":
			err = in.readParquet(f, from, size, emit)
		case ".jsonl":
			err = in.readJSONL(f, from, size, emit)
		default:
			err = (&textSource{f: f, sep: []byte(separator), pos: from, size: size, tok: tok}).read(emit)
		}
		if err != nil {
			yield(chunk{}, err)
		}
	}
}

// textSource reads a .txt or .md file: one document, or several with a separator between them.
type textSource struct {
	f    io.ReadSeeker
	sep  []byte
	buf  []byte // what was read and not yet handed out
	pos  position
	eof  bool
	size int // of a chunk, bytes
	tok  Tokenizer
}

// longestRun bounds what textSource keeps in memory while it looks for a place to cut. A longer run of letters, say, is
// cut anyway, the one case in which a chunk's border shows in the ids.
const longestRun = 64 << 20

// fill reads until buf has n bytes or the file ends.
func (s *textSource) fill(n int) error {
	for len(s.buf) < n && !s.eof {
		s.buf = slices.Grow(s.buf, n-len(s.buf))
		m, err := s.f.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+m]
		if errors.Is(err, io.EOF) {
			s.eof = true
		} else if err != nil {
			return fmt.Errorf("input: %w; hint: check the disk", err)
		}
	}
	return nil
}

// read calls emit with the chunks until it returns false.
func (s *textSource) read(emit func(chunk) bool) error {
	if _, err := s.f.Seek(s.pos.At, io.SeekStart); err != nil {
		return fmt.Errorf("input: %w; hint: check the disk", err)
	}
	for {
		c, err := s.next()
		if err != nil {
			return err
		}
		if c.to == c.from.At || !emit(c) {
			return nil
		}
	}
}

// next returns the next chunk, which takes no bytes at the end of the file.
func (s *textSource) next() (chunk, error) {
	c := chunk{from: s.pos, to: s.pos.At}
	for c.to-c.from.At < int64(s.size) {
		if err := s.fill(s.size + len(s.sep) + 1<<12); err != nil {
			return c, err
		}
		if s.pos.At == 0 && bytes.HasPrefix(s.buf, []byte(byteOrderMark)) {
			s.buf, s.pos.At = s.buf[len(byteOrderMark):], int64(len(byteOrderMark))
		}
		if c.to = s.pos.At; len(s.buf) == 0 {
			break
		}
		n, ends, err := s.cut()
		if err != nil {
			return c, err
		}
		text := s.buf[:n]
		if len(s.sep) > 0 { // the line breaks around a separator belong to it
			if !s.pos.Mid {
				text = bytes.TrimLeft(text, "\r\n")
			}
			if ends {
				text = bytes.TrimRight(text, "\r\n")
			}
		}
		if len(text) > 0 {
			c.docs = append(c.docs, document{text: string(text), at: s.pos.At, begin: !s.pos.Mid})
		}
		s.pos.Mid = !ends && (s.pos.Mid || len(text) > 0)
		if ends && n < len(s.buf) {
			n += len(s.sep)
		}
		s.pos.At += int64(n)
		s.buf, c.to = s.buf[n:], s.pos.At
		if len(s.sep) == 0 {
			break
		}
	}
	return c, nil
}

// cut returns how much of buf the next document, or the next piece of a long one, takes; ends says which.
func (s *textSource) cut() (n int, ends bool, err error) {
	for {
		if len(s.sep) > 0 {
			if i := bytes.Index(s.buf, s.sep); i >= 0 {
				return i, true, nil
			}
		}
		if s.eof && len(s.buf) <= s.size {
			return len(s.buf), true, nil
		}
		// Cut where both sides are known, and where no separator can begin.
		known := len(s.buf)
		if !s.eof {
			known -= len(s.sep)
			for i := 1; i < utf8.UTFMax && i <= known; i++ {
				if utf8.RuneStart(s.buf[known-i]) {
					if !utf8.FullRune(s.buf[known-i : known]) {
						known -= i
					}
					break
				}
			}
		}
		if known > s.size {
			back := min(s.size, lookBack(s.tok))
			window := string(s.buf[s.size-back : known])
			if at := cutFor(s.tok, window, back); at < len(window) {
				return s.size - back + at, false, nil
			}
		}
		if s.eof {
			return len(s.buf), true, nil
		}
		if len(s.buf) >= longestRun {
			return known, false, nil
		}
		if err := s.fill(2 * len(s.buf)); err != nil {
			return 0, false, err
		}
	}
}

// line is one line of a .jsonl file, without the white space around it.
type line struct {
	text    []byte
	at, end int64 // bytes: where it begins in the file, and where the next one does
}

const longestLine = 64 << 20 // bytes

// lines returns the lines of r, which stands at byte `at` of its file. Errors: those of r; a line that is too long.
func lines(r io.Reader, at int64) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 1<<20), longestLine)
		s.Split(func(data []byte, last bool) (int, []byte, error) { // bufio.ScanLines hides how long a line is
			n := bytes.IndexByte(data, '\n') + 1
			if n == 0 && last {
				n = len(data)
			}
			if n == 0 {
				return 0, nil, nil
			}
			return n, data[:n], nil
		})
		for s.Scan() {
			l := line{at: at, end: at + int64(len(s.Bytes()))}
			if l.text = s.Bytes(); at == 0 {
				l.text = bytes.TrimPrefix(l.text, []byte(byteOrderMark))
			}
			l.text = bytes.Clone(bytes.TrimSpace(l.text))
			if at = l.end; !yield(l, nil) {
				return
			}
		}
		if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(line{}, fmt.Errorf("byte %d: a line of more than %d bytes; hint: .jsonl is one JSON object a line",
				at, longestLine))
		} else if err != nil {
			yield(line{}, fmt.Errorf("byte %d: %w; hint: check the disk", at, err))
		}
	}
}

// readJSONL reads a .jsonl file: one JSON object a line, the text in its field "text".
func (in input) readJSONL(f io.ReadSeeker, from position, size int, emit func(chunk) bool) error {
	if _, err := f.Seek(from.At, io.SeekStart); err != nil {
		return fmt.Errorf("input: %w; hint: check the disk", err)
	}
	c := chunk{from: from}
	for l, err := range lines(f, from.At) {
		if err != nil {
			return fmt.Errorf("%s: %w", in.path, err)
		}
		if len(l.text) > 0 {
			c.docs = append(c.docs, document{json: l.text, at: l.at, begin: true})
		}
		if c.to = l.end; c.to-c.from.At >= int64(size) {
			if !emit(c) {
				return nil
			}
			c = chunk{from: position{File: from.File, At: l.end}}
		}
	}
	if c.to > 0 {
		emit(c)
	}
	return nil
}

// decode sets text and null by the line of JSON, and returns how many bytes and escapes of its text are not valid
// UTF-8.
func (d *document) decode() (invalid int, err error) {
	const hint = `.jsonl is a JSON object per line, with the text in the field "text"`
	fields, err := exactjson.Object(d.json)
	if err != nil {
		other := hint
		if d.json[0] == '[' {
			other = "this is a JSON list: jq -c '.[]' FILE > NEW.jsonl writes its objects a line each"
		} else if len(d.json) < 3 {
			other = "this object takes several lines: jq -c . FILE > NEW.jsonl writes it in one"
		}
		return 0, fmt.Errorf("%w, in %.40q; hint: %s", err, d.json, exactjson.Hint(err, other))
	}
	raw, ok := fields["text"]
	if !ok {
		return 0, fmt.Errorf("no field \"text\" in %.40q; hint: rename the field that holds the text", d.json)
	}
	if d.null = exactjson.Kind(raw) == "null"; d.null {
		return 0, nil
	}
	if json.Unmarshal(raw, &d.text) != nil {
		err := exactjson.Unmarshal(raw, &d.text) // which says what is wrong, and takes longer
		return 0, fmt.Errorf("the field \"text\" is %w, in %.40q; hint: %s", err, d.json, hint)
	}
	if strings.Contains(d.text, "\ufffd") { // what the decoder writes for either
		_, invalid = invalidUTF8(string(raw))
		invalid += loneSurrogates(raw)
	}
	return invalid, nil
}

var surrogate = regexp.MustCompile(
	`\\(?:\\|u[dD]([89abAB])[0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|u[dD][c-fC-F][0-9a-fA-F]{2})`)

// loneSurrogates counts escapes like \ud83d in a JSON string that are half of a character.
func loneSurrogates(raw []byte) (n int) {
	for _, m := range surrogate.FindAllSubmatch(raw, -1) {
		if string(m[0]) != `\\` && m[2] == nil {
			n++
		}
	}
	return n
}
