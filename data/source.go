package data

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
)

// input is one file that Tokenize reads.
type input struct {
	path string
	ID   inputID
}

// inputID recognises an input on the next run, wherever it lies then: its size and a checksum of its first and last 64
// KiB.
type inputID struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	CRC   uint32 `json:"crc"`
}

const wantInputs = ".txt, .md, .jsonl or .parquet"

// findInputs returns the files among paths and in the directories among them, those of a directory in the order of
// their paths, by the splits that their names say.
func findInputs(paths []string) (Parts, error) {
	var files []string
	dir := false
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return Parts{}, fmt.Errorf("%s: %w; hint: check the path", p, cause(err))
		}
		if !info.IsDir() {
			if !isText(p) {
				return Parts{}, fmt.Errorf("%s: extension %q, want %s; hint: %s", p, extension(p), wantInputs,
					inputHint(p))
			}
			files = append(files, p)
			continue
		}
		dir = true
		found, err := walk(p, isText)
		if err != nil {
			return Parts{}, err
		}
		if len(found) == 0 {
			return Parts{}, fmt.Errorf("%s: no %s file in this directory; hint: check the path", p, wantInputs)
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
	p := partition(files, namesBelow(root, files))
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
	if !slices.ContainsFunc(files, func(p string) bool { return !isPlain(p) }) {
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

// inputHint says what to do with a file of another extension.
func inputHint(path string) string {
	switch extension(path) {
	case ".json":
		return "rename it to .jsonl if it has a JSON object per line; a JSON list becomes that by jq -c '.[]' FILE " +
			"> NEW.jsonl"
	case ".gz":
		return "unpack it: gunzip " + path
	case ".zst":
		return "unpack it: unzstd " + path
	case ".zip":
		return "unpack it: unzip " + path
	case ".xz":
		return "unpack it: unxz " + path
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
			return nil, fmt.Errorf("input: %w; hint: check the file's permissions", err)
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
	f, err := os.Open(path)
	if err != nil {
		return inputID{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return inputID{}, err
	}
	const edge = 64 << 10
	sum := crc32.NewIEEE()
	for _, r := range []io.Reader{io.LimitReader(f, edge), io.NewSectionReader(f, max(0, info.Size()-edge), edge)} {
		if _, err := io.Copy(sum, r); err != nil {
			return inputID{}, err
		}
	}
	return inputID{filepath.Base(path), info.Size(), sum.Sum32()}, nil
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
	null  bool  // a row of .parquet without a text
}

// source makes chunks of one input. next returns io.EOF after the last. Where the chunks begin depends on the position
// the source was opened at, but never the ids that the documents have.
type source interface {
	next() (chunk, error)
	close() error
}

func openSource(in input, from position, separator string, tok Tokenizer) (source, error) {
	switch extension(in.path) {
	case ".parquet":
		return openParquet(in, from)
	case ".jsonl":
		return openJSONL(in, from)
	}
	return openText(in, from, separator, tok)
}

// textSource reads a .txt or .md file: one document, or several with a separator between them.
type textSource struct {
	in   input
	f    *os.File
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

func openText(in input, from position, separator string, tok Tokenizer) (*textSource, error) {
	f, err := os.Open(in.path)
	if err == nil {
		_, err = f.Seek(from.At, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("input: %w; hint: check the path", err)
	}
	return &textSource{in: in, f: f, sep: []byte(separator), pos: from, size: encodeChunk, tok: tok}, nil
}

func (s *textSource) close() error { return s.f.Close() }

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

func (s *textSource) next() (chunk, error) {
	c := chunk{from: s.pos}
	taken := 0
	for taken < s.size {
		if err := s.fill(s.size + len(s.sep) + 1<<12); err != nil {
			return c, err
		}
		if s.pos.At == 0 && bytes.HasPrefix(s.buf, []byte(byteOrderMark)) {
			s.buf, s.pos.At, taken = s.buf[len(byteOrderMark):], int64(len(byteOrderMark)), len(byteOrderMark)
		}
		if len(s.buf) == 0 {
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
		taken += n
		s.pos.At += int64(n)
		s.buf = s.buf[n:]
		if len(s.sep) == 0 {
			break
		}
	}
	if taken == 0 {
		return c, io.EOF
	}
	c.to = s.pos.At
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

// jsonlSource reads a .jsonl file: one JSON object a line, the text in its field "text".
type jsonlSource struct {
	in  input
	f   *os.File
	r   *bufio.Reader
	pos position
}

const longestLine = 256 << 20

func openJSONL(in input, from position) (*jsonlSource, error) {
	f, err := os.Open(in.path)
	if err == nil {
		_, err = f.Seek(from.At, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("input: %w; hint: check the path", err)
	}
	return &jsonlSource{in: in, f: f, r: bufio.NewReaderSize(f, 1<<20), pos: from}, nil
}

func (s *jsonlSource) close() error { return s.f.Close() }

func (s *jsonlSource) next() (chunk, error) {
	c := chunk{from: s.pos}
	for s.pos.At-c.from.At < encodeChunk {
		var line []byte
		var err error
		for more := true; more; {
			var part []byte
			part, err = s.r.ReadSlice('\n')
			line = append(line, part...)
			if more = errors.Is(err, bufio.ErrBufferFull); more && len(line) > longestLine {
				return c, fmt.Errorf("%s: byte %d: a line of more than %d bytes; hint: .jsonl is one JSON object a "+
					"line", s.in.path, s.pos.At, longestLine)
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return c, fmt.Errorf("input: %w; hint: check the disk", err)
		}
		at := s.pos.At
		s.pos.At += int64(len(line))
		if at == 0 {
			line = bytes.TrimPrefix(line, []byte(byteOrderMark))
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			c.docs = append(c.docs, document{json: line, at: at, begin: true})
		}
		if err != nil {
			break
		}
	}
	if s.pos.At == c.from.At {
		return c, io.EOF
	}
	c.to = s.pos.At
	return c, nil
}

// jsonText returns the field "text" of a line of JSON, and how many bytes and escapes in it are no valid UTF-8. null:
// the field is there and has no text.
func jsonText(line []byte) (text string, invalid int, null bool, err error) {
	const hint = `.jsonl is a JSON object per line, with the text in the field "text"`
	fields, err := exactjson.Object(line)
	if err != nil {
		other := hint
		if line[0] == '[' {
			other = "this is a JSON list: jq -c '.[]' FILE > NEW.jsonl writes its objects a line each"
		} else if len(line) < 3 {
			other = "this object takes several lines: jq -c . FILE > NEW.jsonl writes it in one"
		}
		return "", 0, false, fmt.Errorf("%w, in %.40q; hint: %s", err, line, exactjson.Hint(err, other))
	}
	raw, ok := fields["text"]
	switch kind := exactjson.Kind(raw); {
	case !ok:
		return "", 0, false, fmt.Errorf("no field \"text\" in %.40q; hint: rename the field that holds the text", line)
	case kind == "null":
		return "", 0, true, nil
	case kind != "a string":
		return "", 0, false, fmt.Errorf("the field \"text\" is %s, want a string, in %.40q; hint: %s", kind, line, hint)
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", 0, false, fmt.Errorf("%w, in %.40q; hint: %s", err, line, hint)
	}
	if strings.Contains(text, "\ufffd") { // what the decoder writes for either
		_, invalid = invalidUTF8(string(raw))
		invalid += loneSurrogates(raw)
	}
	return text, invalid, false, nil
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

// parquetSource reads the column "text" of a .parquet file, and only that column.
type parquetSource struct {
	in     input
	f      *os.File
	file   *parquet.File
	column int
	groups []parquet.RowGroup
	pos    position
	skip   int64         // rows of the first group that were done before
	pages  parquet.Pages // of the current group; nil before the first
	page   parquet.Page
	values parquet.ValueReader
	buf    [256]parquet.Value
}

func openParquet(in input, from position) (s *parquetSource, err error) {
	f, err := os.Open(in.path)
	if err != nil {
		return nil, fmt.Errorf("input: %w; hint: check the path", err)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if err != nil {
			f.Close()
			err = fmt.Errorf("%s: %w; hint: the file must be Parquet with a column \"text\" of strings; download it "+
				"again if it is", in.path, err)
		}
	}()
	file, err := parquet.OpenFile(f, in.ID.Bytes, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true),
		parquet.ReadBufferSize(1<<20))
	if err != nil {
		return nil, err
	}
	leaf, ok := file.Schema().Lookup("text")
	if !ok {
		var have []string
		for _, c := range file.Schema().Columns() {
			have = append(have, strings.Join(c, "."))
		}
		return nil, fmt.Errorf("no column \"text\", the columns are %s", strings.Join(have, ", "))
	}
	switch k := leaf.Node.Type().Kind(); {
	case leaf.MaxRepetitionLevel > 0:
		return nil, errors.New("column \"text\" is a list, want one string a row")
	case k < parquet.Boolean || k > parquet.FixedLenByteArray: // pyarrow's type null
		return nil, errors.New("column \"text\" has no type, want one string a row")
	case k != parquet.ByteArray:
		return nil, fmt.Errorf("column \"text\" is of type %v, want one string a row", k)
	}
	s = &parquetSource{in: in, f: f, file: file, column: leaf.ColumnIndex, groups: file.RowGroups(), pos: from,
		skip: from.At}
	for len(s.groups) > 0 && s.skip >= s.groups[0].NumRows() {
		s.skip -= s.groups[0].NumRows()
		s.groups = s.groups[1:]
	}
	return s, nil
}

func (s *parquetSource) close() error {
	if s.page != nil {
		parquet.Release(s.page)
	}
	if s.pages != nil {
		s.pages.Close()
	}
	return s.f.Close()
}

func (s *parquetSource) next() (c chunk, err error) {
	defer func() { // the library panics on some damaged files
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s: row %d: %w; hint: the file is damaged: download it again", s.in.path, s.pos.At, err)
		}
	}()
	c.from = s.pos
	for taken := 0; taken < encodeChunk; {
		n, err := s.read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return c, err
		}
		for _, v := range s.buf[:n] {
			d := document{at: s.pos.At, begin: true, null: v.IsNull()}
			if !d.null {
				d.text = string(v.ByteArray())
			}
			c.docs = append(c.docs, d)
			taken += len(d.text) + 1
			s.pos.At++
		}
	}
	if len(c.docs) == 0 {
		return c, io.EOF
	}
	c.to = int64(float64(s.in.ID.Bytes) * float64(s.pos.At) / float64(max(1, s.file.NumRows())))
	return c, nil
}

// read reads values into buf and returns how many, at least one, or io.EOF after the last row group.
func (s *parquetSource) read() (int, error) {
	for {
		if s.values != nil {
			n, err := s.values.ReadValues(s.buf[:])
			if n > 0 {
				return n, nil // an error comes again with the next call
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
			parquet.Release(s.page)
			s.page, s.values = nil, nil
		}
		if s.pages == nil {
			if len(s.groups) == 0 {
				return 0, io.EOF
			}
			s.pages = s.groups[0].ColumnChunks()[s.column].Pages()
			s.groups = s.groups[1:]
			if s.skip > 0 {
				if err := s.pages.SeekToRow(s.skip); err != nil {
					return 0, err
				}
				s.skip = 0
			}
		}
		page, err := s.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			s.pages.Close()
			s.pages = nil
			continue
		} else if err != nil {
			return 0, err
		}
		s.page, s.values = page, page.Values()
	}
}
