package data

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
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
// 10,042 questions. Labels may be numbers or texts. Errors tell the file and the byte.
func ReadHellaSwag(path string, tok Tokenizer, opts ...Option) ([]Example, error) {
	if path == "hellaswag" {
		var o openOptions
		for _, f := range opts {
			f(&o)
		}
		var err error
		if path, _, err = cache.Open(path, o.cache); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("hellaswag: %w; hint: gpt2wgpu data fetch hellaswag, or check the path", err)
	}
	defer f.Close()
	var examples []Example
	switch extension(path) {
	case ".bin":
		if examples, err = readEvalBin(f); err == nil && tok != nil && tok.Name() != "gpt2" && tok.Name() != "ids" {
			err = fmt.Errorf("holds GPT-2 tokens, as llm.c's files do, but the model's tokenizer is %s; hint: take "+
				"the dataset's .jsonl", tok.Name())
		}
	case ".jsonl":
		examples, err = readEvalJSONL(f, tok)
	default:
		hint := "gpt2wgpu data fetch hellaswag"
		switch extension(path) {
		case ".json":
			hint = inputHint(path)
		case ".parquet":
			hint = fmt.Sprintf(
				`write its rows as JSON: python3 -c "import pandas as p; `+
					`p.read_parquet('%s').to_json('hellaswag.jsonl', orient='records', lines=True)"`, path)
		}
		err = fmt.Errorf("extension %q, want .jsonl or .bin; hint: %s", extension(path), hint)
	}
	if err == nil && len(examples) == 0 {
		err = errors.New("holds no questions; hint: gpt2wgpu data fetch hellaswag")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return examples, nil
}

func readEvalJSONL(r io.Reader, tok Tokenizer) ([]Example, error) {
	const hint = "want one JSON object per line with HellaSwag's fields ctx, endings (four) and label (0 to 3); " +
		"gpt2wgpu data fetch hellaswag"
	if tok == nil {
		return nil, errors.New("a text, but no tokenizer was given; hint: --tokenizer gpt2")
	}
	if err := TextError(tok); err != nil {
		return nil, err
	}
	var examples []Example
	in := bufio.NewReaderSize(r, 1<<20)
	for at := int64(0); ; {
		line, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w; hint: check the disk", err)
		}
		text := line
		if at == 0 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
			if err := inPlaceOfQuestions(text); err != nil {
				return nil, err
			}
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			var q struct {
				Ctx     string          `json:"ctx"`
				Endings []*string       `json:"endings"` // nil: null
				Label   json.RawMessage `json:"label"`
			}
			if e := exactjson.Unmarshal(text, &q); e != nil {
				return nil, fmt.Errorf("line at byte %d: %w; hint: %s", at, e, exactjson.Hint(e, hint))
			}
			label, e := evalLabel(q.Label)
			switch {
			case q.Ctx == "":
				return nil, fmt.Errorf("byte %d: no ctx; hint: %s", at, hint)
			case len(q.Endings) != 4:
				return nil, fmt.Errorf("byte %d: %d endings, want 4; hint: %s", at, len(q.Endings), hint)
			case slices.Contains(q.Endings, nil):
				return nil, fmt.Errorf("byte %d: an ending is null, want a text; hint: %s", at, hint)
			case e != nil:
				return nil, fmt.Errorf("byte %d: %w; hint: %s", at, e, hint)
			}
			// a score of other texts than the dataset's would mean nothing
			if i, n := invalidUTF8(string(text)); n > 0 {
				return nil, fmt.Errorf("byte %d: invalid UTF-8; hint: convert the file with iconv -t UTF-8, or "+
					"gpt2wgpu data fetch hellaswag", at+int64(i))
			}
			x := Example{Context: tok.Encode(q.Ctx), Label: label}
			for i, ending := range q.Endings {
				x.Endings[i], x.Chars[i] = tok.Encode(" "+*ending), utf8.RuneCountInString(*ending)
			}
			examples = append(examples, x)
		}
		at += int64(len(line))
		if err != nil {
			return examples, nil
		}
	}
}

// inPlaceOfQuestions says what a file is that begins like text and holds no questions.
func inPlaceOfQuestions(text []byte) error {
	switch {
	case bytes.HasPrefix(text, []byte("version https://git-lfs.github.com/spec/")):
		return errors.New("a Git LFS pointer, a text that stands for the file; hint: git lfs pull, in the directory " +
			"that was cloned, brings the file itself")
	case bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")):
		return errors.New("an HTML or XML page; hint: the download saved a web page: use the file's download link, " +
			"or gpt2wgpu data fetch hellaswag")
	}
	return nil
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
		return 0, fmt.Errorf("label %.40s, want 0 to 3", raw)
	}
	return int(label), nil
}

// readEvalBin reads llm.c's format: a header of 256 int32 (magic, version 1, examples, longest example in bytes), then
// for each example, in uint16: 65535, its size in bytes, its index, the label, the number of endings, and for the
// context and each ending its length and tokens.
func readEvalBin(r io.Reader) ([]Example, error) {
	const hint = "hint: the file is damaged or no HellaSwag; gpt2wgpu data fetch hellaswag"
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%w; hint: check the disk", err)
	}
	if err := inPlaceOfQuestions(raw); err != nil {
		return nil, err
	}
	gpt2, err := NewTokenizer("gpt2")
	if err != nil {
		return nil, err
	}
	word := func(i int) int32 { return int32(binary.LittleEndian.Uint32(raw[4*i:])) }
	if len(raw) < binHeader || word(0) != binEval {
		got := "no header"
		if len(raw) >= 4 {
			got = fmt.Sprintf("magic %d", word(0))
		}
		return nil, fmt.Errorf("byte 0: %s, want llm.c's %d; %s", got, binEval, hint)
	}
	if word(1) != 1 || word(2) < 0 {
		return nil, fmt.Errorf("byte 4: version %d with %d examples, want version 1; %s", word(1), word(2), hint)
	}
	at := binHeader
	left := func() int { return (len(raw) - at) / 2 }
	next := func() int {
		v := int(binary.LittleEndian.Uint16(raw[at:]))
		at += 2
		return v
	}
	var examples []Example
	for i := range int(word(2)) {
		begin := at
		if left() < 6 {
			return nil, fmt.Errorf("byte %d: truncated at example %d of %d; %s", at, i, word(2), hint)
		}
		start, size, _, label, endings := next(), next(), next(), next(), next()
		if start != 0xffff || label > 3 || endings != 4 {
			return nil, fmt.Errorf("byte %d: example %d begins with %d, label %d, %d endings, want 65535, 0 to 3, "+
				"4; %s", begin, i, start, label, endings, hint)
		}
		e := Example{Label: label}
		for k := range 5 {
			n := -1
			if left() > 0 {
				n = next()
			}
			if n < 1 || n > left() {
				return nil, fmt.Errorf("byte %d: part %d of example %d has %d tokens, of %d left in the file; %s", at,
					k, i, n, left(), hint)
			}
			ids := make([]int, n)
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
			return nil, fmt.Errorf("byte %d: example %d takes %d bytes, its header says %d; %s", begin, i, at-begin,
				size, hint)
		}
		examples = append(examples, e)
	}
	if at != len(raw) {
		return nil, fmt.Errorf("byte %d: %d bytes more than %d examples take; %s", at, len(raw)-at, len(examples), hint)
	}
	return examples, nil
}
