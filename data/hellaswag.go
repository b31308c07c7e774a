package data

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// Example is one question of HellaSwag: which of four endings continues the context? Label is the right one, 0 to 3.
// The endings begin with a blank, as build-nanogpt renders them, so context and ending can be joined as they are.
type Example struct {
	Context []int
	Endings [4][]int
	Chars   [4]int // characters (code points) of the endings' texts, without the blank before them
	Label   int
}

// ReadHellaSwag reads questions from the dataset's own .jsonl (fields ctx, endings, label), encoded by tok, or from
// llm.c's .bin, which holds GPT-2 tokens. The path "hellaswag" is the validation set fetched before,
// 10,042 questions. Labels may be numbers or texts. Errors name the file and the byte.
func ReadHellaSwag(path string, tok Tokenizer) ([]Example, error) {
	if path == "hellaswag" {
		var err error
		if path, _, err = cache.Open(path); err != nil {
			return nil, err
		}
	}
	var read func(io.Reader, Tokenizer) ([]Example, error)
	switch ext := extension(path); ext {
	case ".bin":
		read = readEvalBin
	case ".jsonl":
		read = readEvalJSONL
	default:
		hint := "gpt2wgpu data fetch hellaswag"
		if ext == ".json" {
			hint = inputHint(path)
		} else if ext == ".parquet" {
			hint = fmt.Sprintf(`write its rows as JSON: python3 -c "import pandas as p; `+
				`p.read_parquet('%s').to_json('hellaswag.jsonl', orient='records', lines=True)"`, path)
		}
		return nil, fmt.Errorf("%s: extension %q, want .jsonl or .bin; hint: %s", path, ext, hint)
	}
	f, err := plainfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("hellaswag: %w; hint: gpt2wgpu data fetch hellaswag, or check the path", err)
	}
	defer f.Close()
	if err := refuseForeign(path, "HellaSwag's questions"); err != nil {
		return nil, err
	}
	examples, err := read(f, tok)
	if err == nil && len(examples) == 0 {
		err = errors.New("holds no questions; hint: gpt2wgpu data fetch hellaswag")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return examples, nil
}

const maxEvalBin = 32 << 20 // bytes; the training set has 13 million

const wantQuestion = "want a JSON object per line with HellaSwag's fields ctx, endings (four) and label (0 to 3), in " +
	"UTF-8; gpt2wgpu data fetch hellaswag"

func readEvalJSONL(r io.Reader, tok Tokenizer) (examples []Example, err error) {
	if tok == nil {
		return nil, errors.New("a text, but no tokenizer was given; hint: --tokenizer gpt2")
	}
	if err := TextError(tok); err != nil {
		return nil, err
	}
	for l, err := range lines(r, 0) {
		if err != nil {
			return nil, err
		}
		if len(l.text) == 0 {
			continue
		}
		x, err := parseQuestion(l.text, tok)
		if err != nil {
			return nil, fmt.Errorf("line at byte %d: %w; hint: %s", l.at, err, exactjson.Hint(err, wantQuestion))
		}
		examples = append(examples, x)
	}
	return examples, nil
}

// parseQuestion reads a line of the dataset.
func parseQuestion(text []byte, tok Tokenizer) (x Example, err error) {
	var q struct {
		Ctx     string          `json:"ctx"`
		Endings []*string       `json:"endings"` // nil: null
		Label   json.RawMessage `json:"label"`
	}
	if err := exactjson.Unmarshal(text, &q); err != nil {
		return x, err
	}
	switch {
	case q.Ctx == "":
		return x, errors.New("no ctx")
	case len(q.Endings) != 4:
		return x, fmt.Errorf("%d endings, want 4", len(q.Endings))
	case slices.Contains(q.Endings, nil):
		return x, errors.New("an ending is null, want a text")
	}
	if x.Label, err = evalLabel(q.Label); err != nil {
		return x, err
	}
	// a score of other texts than the dataset's would mean nothing
	if i, n := invalidUTF8(string(text)); n > 0 {
		return x, fmt.Errorf("invalid UTF-8 in its byte %d", i)
	}
	x.Context = tok.Encode(q.Ctx)
	for i, ending := range q.Endings {
		x.Endings[i], x.Chars[i] = tok.Encode(" "+*ending), utf8.RuneCountInString(*ending)
	}
	return x, nil
}

// evalLabel returns the number of the right ending. The Hugging Face hub's copy of the dataset has it as a text.
func evalLabel(raw json.RawMessage) (int, error) {
	text := string(raw)
	if exactjson.Kind(raw) == "a string" {
		if err := exactjson.Unmarshal(raw, &text); err != nil {
			return 0, err
		}
	}
	if text = strings.TrimSpace(text); text == "" || text == "null" {
		return 0, errors.New("no label (the test set has none)")
	}
	label, err := strconv.ParseFloat(text, 64)
	if err != nil || label < 0 || label > 3 || label != math.Trunc(label) {
		return 0, fmt.Errorf("label %.40s, want 0 to 3", exactjson.OneLine(raw))
	}
	return int(label), nil
}

// readEvalBin reads llm.c's format: a header of 256 int32 (magic, version 1, examples, longest example in bytes), then
// for each example, in uint16: 65535, its size in bytes, its index, the label, the number of endings, and for the
// context and each ending its length and tokens.
func readEvalBin(r io.Reader, tok Tokenizer) ([]Example, error) {
	at := 0
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("byte %d: %w; hint: the file is damaged or no HellaSwag; gpt2wgpu data fetch hellaswag", at,
			fmt.Errorf(format, args...))
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxEvalBin+1))
	if err != nil {
		return nil, fmt.Errorf("%w; hint: check the disk", err)
	}
	if len(raw) > maxEvalBin {
		return nil, damaged("more than %d bytes", maxEvalBin)
	}
	if magic, name := magicOf(raw); magic != binEval {
		return nil, damaged("%s, want llm.c's %d", name, binEval)
	}
	version, n, err := binCounts(raw)
	if err != nil {
		return nil, damaged("%d bytes, want a header of %d", len(raw), binHeader)
	}
	if at = 4; version != 1 || n < 0 {
		return nil, damaged("version %d with %d examples, want version 1", version, n)
	}
	gpt2, err := NewTokenizer("gpt2")
	if err != nil {
		return nil, err
	}
	if tok != nil && tok.Name() != "gpt2" && tok.Name() != "ids" {
		return nil, fmt.Errorf("GPT-2 tokens, want those of the tokenizer %s; hint: the dataset's .jsonl", tok.Name())
	}
	at = binHeader
	next := func() int { // the next uint16; -1 at the end
		if len(raw) < at+2 {
			return -1
		}
		at += 2
		return int(binary.LittleEndian.Uint16(raw[at-2:]))
	}
	var examples []Example
	for i := range n {
		begin := at
		if len(raw)-at < 12 { // five numbers and the length of the context
			return nil, damaged("truncated at example %d of %d", i, n)
		}
		start, size, _, label, endings := next(), next(), next(), next(), next()
		if start != 0xffff || label > 3 || endings != 4 {
			return nil, damaged("example %d of %d begins with %d, label %d, %d endings, want 65535, 0 to 3, 4", i, n,
				start, label, endings)
		}
		e := Example{Label: label}
		for k := range 5 {
			size := next()
			if left := (len(raw) - at) / 2; size < 1 || size > left {
				return nil, damaged("part %d of example %d has %d tokens, of %d left in the file", k, i, size, left)
			}
			ids := make([]int, size)
			for j := range ids {
				ids[j] = next()
			}
			if k == 0 {
				e.Context = ids
			} else {
				e.Endings[k-1] = ids
				e.Chars[k-1] = utf8.RuneCountInString(strings.TrimPrefix(gpt2.Decode(ids), " "))
			}
		}
		if at-begin != size {
			return nil, damaged("example %d takes %d bytes, its header says %d", i, at-begin, size)
		}
		examples = append(examples, e)
	}
	if at != len(raw) {
		return nil, damaged("%d bytes more than %d examples take", len(raw)-at, n)
	}
	return examples, nil
}
