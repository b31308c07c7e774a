package metrics

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// The kinds of a metrics.jsonl line.
const (
	KindTrain     = "train"
	KindVal       = "val"
	KindHellaswag = "hellaswag"
	KindSample    = "sample"
	KindRestart   = "restart"
)

// Float is a float64 that JSON can always hold: NaN and the infinities, which JSON has no numbers for, are null there,
// and null reads as NaN.
type Float float64

// MarshalJSON writes the shortest decimal that reads back as the same float64.
func (f Float) MarshalJSON() ([]byte, error) {
	if v := float64(f); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads a number or null.
func (f *Float) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = Float(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(f))
}

// Step is one optimizer step.
type Step struct {
	Step       int   `json:"step"`
	Loss       Float `json:"loss"` // mean cross-entropy over the step's tokens, before the update
	LR         Float `json:"lr"`
	GradNorm   Float `json:"grad_norm"` // of all gradients together, before clipping
	Tokens     int64 `json:"tokens"`    // seen up to and including this step
	MS         Float `json:"ms"`        // wall time of the step, in milliseconds
	TokensPerS Float `json:"tokens_per_s"`

	*Ranks // nil with one rank
}

// Ranks is where rank 0's time went, in milliseconds: the step's is ComputeMS + CopyMS + ExposedMS, and the computing
// hid the rest of CommMS + WaitMS.
type Ranks struct {
	ComputeMS Float `json:"compute_ms"` // on the device, or on the way to it
	CopyMS    Float `json:"copy_ms"`    // between device and host
	CommMS    Float `json:"comm_ms"`    // sums over the ranks, from when all had come
	WaitMS    Float `json:"wait_ms"`    // for the last rank to come to them
	ExposedMS Float `json:"exposed_ms"` // waiting for sums with nothing else to do
}

// Add adds the times of o.
func (m *Ranks) Add(o Ranks) {
	m.ComputeMS, m.CopyMS, m.CommMS = m.ComputeMS+o.ComputeMS, m.CopyMS+o.CopyMS, m.CommMS+o.CommMS
	m.WaitMS, m.ExposedMS = m.WaitMS+o.WaitMS, m.ExposedMS+o.ExposedMS
}

// Validation is the loss on validation data.
type Validation struct {
	Step        int   `json:"step"`
	Loss        Float `json:"loss"`                    // nats per token
	BitsPerByte Float `json:"bits_per_byte,omitempty"` // of the text; 0: the tokens' lengths are not known
}

// BitsPerByte returns a mean loss, in nats per token, as bits per byte of the text, which compares between tokenizers;
// 0 where the bytes are not known.
func BitsPerByte(loss float64, tokens, bytes int) Float {
	if bytes == 0 {
		return 0
	}
	return Float(loss * float64(tokens) / float64(bytes) / math.Ln2)
}

// Hellaswag is a score at a step.
type Hellaswag struct {
	Step int `json:"step"`
	Score
}

// Score is that of N questions of HellaSwag.
type Score struct {
	N            int   `json:"n"`
	Acc          Float `json:"acc"`
	AccNorm      Float `json:"acc_norm"`       // by the mean loss per token of each ending
	AccNormChars Float `json:"acc_norm_chars"` // by the mean loss per character of each ending
}

// Sample is text that the model wrote.
type Sample struct {
	Step int    `json:"step"`
	Text string `json:"text"`
}

// Restart is a training process that was started again after a crash, and went on at Step.
type Restart struct {
	Step   int    `json:"step"`
	Reason string `json:"reason"`
}

// Writer appends to a run's metrics.jsonl, one JSON object a line. A nil Writer takes everything and writes nothing,
// for runs without a directory. Lines that cannot be written, on a full disk, wait in memory for the next line or
// Flush.
type Writer struct {
	path    string
	log     *slog.Logger // nil: silent
	f       *os.File
	size    int64  // of the complete lines in f
	torn    bool   // f may have part of a line after them
	waiting []byte // lines
}

// Open opens path for appending, and makes it if it is missing. A last line that a crash left unfinished is cut off.
// log gets warnings of lines that cannot be written; nil: no warnings. Errors: those of the operating system, wrapped.
func Open(path string, log *slog.Logger) (*Writer, error) {
	m := &Writer{path: path, log: log}
	if err := m.open(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Writer) open() error {
	f, err := openFile(m.path, os.O_RDWR|os.O_CREATE) // no O_APPEND: Windows truncates no such file
	if err != nil {
		return fmt.Errorf("metrics: %w; hint: check the path and its permissions", err)
	}
	content, err := io.ReadAll(f)
	end := int64(bytes.LastIndexByte(content, '\n') + 1)
	if err == nil {
		err = f.Truncate(end)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("metrics %s: cannot find the end of the last line: %w; hint: check the disk", m.path, err)
	}
	m.f, m.size, m.torn = f, end, false
	return nil
}

// A link in the place of metrics.jsonl leads to no file outside of its directory.

func openFile(path string, flag int) (*os.File, error) {
	return plainfile.OpenFileIn(filepath.Dir(path), filepath.Base(path), flag)
}

func readFile(path string) ([]byte, error) {
	return plainfile.ReadIn(filepath.Dir(path), filepath.Base(path), math.MaxInt64)
}

// Train appends a step.
func (m *Writer) Train(v Step) error { return m.write(KindTrain, v) }

// Val appends a validation.
func (m *Writer) Val(v Validation) error { return m.write(KindVal, v) }

// Hellaswag appends a score.
func (m *Writer) Hellaswag(v Hellaswag) error { return m.write(KindHellaswag, v) }

// Sample appends a text. Bytes that aren't UTF-8 (half a character of a byte-level model) become U+FFFD.
func (m *Writer) Sample(v Sample) error {
	v.Text = strings.ToValidUTF8(v.Text, "\uFFFD")
	return m.write(KindSample, v)
}

// Restart appends a restart.
func (m *Writer) Restart(v Restart) error { return m.write(KindRestart, v) }

// write appends a line with kind and the fields of v in one call of the system, so that whoever follows the file sees
// whole lines, and a process that dies later has lost none.
func (m *Writer) write(kind string, v any) error {
	if m == nil {
		return nil
	}
	line, err := format(kind, v)
	if err != nil {
		return fmt.Errorf("metrics %s: %w; hint: report this as a bug", m.path, err)
	}
	before := len(m.waiting)
	m.waiting = append(m.waiting, line...)
	if err := m.writeWaiting(); err != nil && before == 0 && m.log != nil {
		m.log.Warn(fmt.Sprintf("%s cannot be written (%v): its lines wait in memory, and training goes on", m.path,
			atomicfile.Reason(err)))
	} else if err == nil && before > 0 && m.log != nil {
		m.log.Info(m.path + " is written again")
	}
	return nil
}

// format returns a line with kind and the fields of v, and its newline.
func format(kind string, v any) ([]byte, error) {
	var fields bytes.Buffer
	enc := json.NewEncoder(&fields)
	enc.SetEscapeHTML(false) // "<|endoftext|>" as it is
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"kind":%q,%s`, kind, fields.Bytes()[1:]), nil
}

// writeWaiting writes the lines that wait, all of them or none.
func (m *Writer) writeWaiting() error {
	if m.torn {
		if err := m.f.Truncate(m.size); err != nil {
			return err
		}
		m.torn = false
	}
	if _, err := m.f.WriteAt(m.waiting, m.size); err != nil {
		m.torn = m.f.Truncate(m.size) != nil
		return err
	}
	m.size += int64(len(m.waiting))
	m.waiting = m.waiting[:0]
	return nil
}

// Flush writes the lines that wait and brings the file to the disk. Error: it cannot be written.
func (m *Writer) Flush() error {
	if m == nil {
		return nil
	}
	err := m.writeWaiting()
	if err == nil {
		err = atomicfile.Sync(m.f)
	}
	if err != nil {
		return fmt.Errorf("metrics %s: %w", m.path, atomicfile.Reason(err))
	}
	return nil
}

// TruncateFrom drops every line of a step at or past step, for a run that resumes there and will write them again; the
// restarts at step itself stay. Lines kept stay byte for byte as they were. Lines at the end are cut off, which needs
// no space. Else the file is replaced in one go: a crash leaves the old one or the new one.
//
// It warns where lines of steps before are missing. A line that is not a JSON object is removed, with a warning, if no
// step is missing without it; else it is an error, which says what to do.
func (m *Writer) TruncateFrom(step int) error {
	if m == nil {
		return nil
	}
	content, err := readFile(m.path)
	if err != nil {
		return fmt.Errorf("metrics: %w; hint: check the path and its permissions", err)
	}
	var kept []byte
	changed, garbage, n := false, "", 0
	seen := make([]bool, max(step, 0)) // steps that have a line
	for line := range bytes.Lines(content) {
		n++
		sound, at, ok := repaired(line)
		if changed = changed || !ok || len(sound) != len(line); !ok {
			if garbage == "" {
				garbage = fmt.Sprintf("line %d is not a JSON object (%.40q)", n, bytes.TrimSpace(line))
			}
			continue
		}
		if at.Step >= step && !(at.Step == step && at.Kind == KindRestart) {
			changed = true
			continue
		}
		if at.Kind == KindTrain && at.Step >= 0 {
			seen[at.Step] = true
		}
		kept = append(kept, sound...)
	}
	if err := m.reportGaps(seen, garbage); err != nil || !changed {
		return err
	}
	cannot := func(err error) error {
		return fmt.Errorf("metrics: cannot cut off the lines from step %d on: %w; hint: check the disk and its free "+
			"space", step, err)
	}
	if bytes.HasPrefix(content, kept) {
		if err := m.f.Truncate(int64(len(kept))); err != nil {
			return cannot(err)
		}
		m.size, m.torn = int64(len(kept)), false
		return nil
	}
	// Windows renames over no open file.
	if err := m.f.Close(); err != nil {
		return fmt.Errorf("metrics: %w; hint: check the disk and its free space", err)
	}
	if err := atomicfile.Write(m.path, kept); err != nil {
		return cannot(err)
	}
	return m.open()
}

// reportGaps warns of steps without a line and of a line that was removed. Error: both, since the line may be one of
// these steps'.
func (m *Writer) reportGaps(seen []bool, garbage string) error {
	missing, first := 0, 0
	for step, ok := range seen {
		if !ok {
			if missing++; missing == 1 {
				first = step
			}
		}
	}
	gap := fmt.Sprintf("%d of the %d steps before the checkpoint have no line, the first is step %d", missing,
		len(seen), first)
	switch {
	case garbage != "" && missing > 0:
		return fmt.Errorf("metrics %s: %s, and %s; hint: restore the file from a copy, or remove that line to go on "+
			"without these steps", m.path, garbage, gap)
	case m.log == nil:
	case garbage != "":
		m.log.Warn(fmt.Sprintf("%s: %s: it was removed, and no step is missing", m.path, garbage))
	case missing > 0:
		m.log.Warn(fmt.Sprintf("%s: %s: they are lost, and the run goes on", m.path, gap))
	}
	return nil
}

// place says of a line what it is of.
type place struct {
	Kind string `json:"kind"`
	Step int    `json:"step"`
}

// repaired returns a line, or what of it is a line: a crash of the machine may leave zeros, or the beginning of a line
// that another follows.
func repaired(line []byte) (sound []byte, at place, ok bool) {
	if json.Unmarshal(line, &at) == nil && line[0] == '{' {
		return line, at, true
	}
	begin := []byte(`{"kind":`)
	for i := bytes.LastIndex(line, begin); i > 0; i = bytes.LastIndex(line[:i], begin) {
		at = place{}
		if json.Unmarshal(line[i:], &at) == nil {
			return line[i:], at, true
		}
	}
	return nil, at, false
}

// Restore writes the file again, and makes its directory, if they were removed since Open. restored says whether that
// was so. All lines are there again: the open file still has them.
func (m *Writer) Restore() (restored bool, err error) {
	if m == nil {
		return false, nil
	}
	if _, err := os.Stat(m.path); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	content := make([]byte, m.size)
	if _, err := m.f.ReadAt(content, 0); err != nil && m.size > 0 {
		return false, fmt.Errorf("metrics: %w; hint: check the disk", err)
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o755); err != nil {
		return false, fmt.Errorf("metrics: %w; hint: check the directory's permissions", err)
	}
	if err := atomicfile.Write(m.path, content); err != nil {
		return false, fmt.Errorf("metrics: %w; hint: check the disk and its free space", err)
	}
	m.f.Close()
	return true, m.open()
}

// Close writes the lines that wait and closes the file.
func (m *Writer) Close() error {
	if m == nil {
		return nil
	}
	err := m.writeWaiting()
	if err != nil && m.log != nil {
		m.log.Warn("the last lines of the metrics are lost", "file", m.path, "reason", atomicfile.Reason(err))
	}
	return errors.Join(err, m.f.Close())
}

// Line is a line of metrics.jsonl as it is read back: Kind says which fields count.
type Line struct {
	Kind       string `json:"kind"`
	Step       int    `json:"step"`
	Loss       Float  `json:"loss"`
	LR         Float  `json:"lr"`
	GradNorm   Float  `json:"grad_norm"`
	Tokens     int64  `json:"tokens"`
	MS         Float  `json:"ms"`
	TokensPerS Float  `json:"tokens_per_s"`
	Text       string `json:"text"`
	Reason     string `json:"reason"` // of a restart

	BitsPerByte Float `json:"bits_per_byte"` // 0: not known

	Score // AccNormChars is 0 where an old version has not measured it
	Ranks
}

// Read reads metrics.jsonl, also while a run is writing it: a last line without its newline is left out. Fields
// and kinds that this version doesn't know are passed over; a line that is not a JSON object is an error.
func Read(path string) (all []Line, err error) {
	err = eachLine(path, func(_ []byte, m Line) { all = append(all, m) })
	return all, err
}

// Line returns the step as it is read back.
func (v Step) Line() Line {
	l := Line{Kind: KindTrain, Step: v.Step, Loss: v.Loss, LR: v.LR, GradNorm: v.GradNorm, Tokens: v.Tokens, MS: v.MS,
		TokensPerS: v.TokensPerS}
	if v.Ranks != nil {
		l.Ranks = *v.Ranks
	}
	return l
}

// Line returns the validation as it is read back.
func (v Validation) Line() Line {
	return Line{Kind: KindVal, Step: v.Step, Loss: v.Loss, BitsPerByte: v.BitsPerByte}
}

// Line returns the score as it is read back.
func (v Hellaswag) Line() Line { return Line{Kind: KindHellaswag, Step: v.Step, Score: v.Score} }

// Line returns the sample as it is read back.
func (v Sample) Line() Line {
	return Line{Kind: KindSample, Step: v.Step, Text: strings.ToValidUTF8(v.Text, "\uFFFD")}
}

// JSON returns the line as it was written, without its newline.
func (l Line) JSON() []byte {
	var v any
	switch l.Kind {
	case KindTrain:
		s := Step{Step: l.Step, Loss: l.Loss, LR: l.LR, GradNorm: l.GradNorm, Tokens: l.Tokens, MS: l.MS,
			TokensPerS: l.TokensPerS}
		if l.Ranks != (Ranks{}) {
			s.Ranks = &l.Ranks
		}
		v = s
	case KindVal:
		v = Validation{l.Step, l.Loss, l.BitsPerByte}
	case KindHellaswag:
		v = Hellaswag{l.Step, l.Score}
	case KindSample:
		v = Sample{l.Step, l.Text}
	case KindRestart:
		v = Restart{l.Step, l.Reason}
	default:
		v = place{Step: l.Step}
	}
	line, err := format(l.Kind, v)
	if err != nil {
		return nil // no field of a line is anything that JSON lacks
	}
	return bytes.TrimSuffix(line, []byte("\n"))
}

// parsed returns what a line says; ok is false for one that no run writes.
func parsed(line []byte) (m Line, ok bool) {
	const mostMS, mostTokensPerS = 1e12, 1e15 // thirty years; sums and products of what is less are finite
	ok = json.Unmarshal(line, &m) == nil && m.Kind != "" && m.Step >= 0 && m.Step < 1<<53 && m.Tokens >= 0 &&
		!(m.MS > mostMS) && !(m.TokensPerS > mostTokensPerS)
	return m, ok
}

// ReadWhole is Read for who shows a run: damaged lines are left out, and bad has their numbers, from 1. Beside the
// lines it takes no more memory than the longest that is read.
func ReadWhole(path string) (all []Line, bad []int, err error) {
	f, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, longestLine)
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		long := false
		for ; errors.Is(err, bufio.ErrBufferFull); _, err = r.ReadSlice('\n') {
			long = true
		}
		if errors.Is(err, io.EOF) {
			return all, bad, nil // what is left is being written
		}
		if err != nil {
			return all, bad, err
		}
		if m, ok := parsed(line); ok && !long {
			all = append(all, m)
		} else {
			bad = append(bad, n)
		}
	}
}

// eachLine calls f with every complete line of path, its newline included, and with what it says.
func eachLine[T any](path string, f func(line []byte, v T)) error {
	content, err := readFile(path)
	if err != nil {
		return fmt.Errorf("metrics: %w; hint: check the path and its permissions", err)
	}
	n := 0
	for line := range bytes.Lines(content) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		n++
		var v T
		// exactjson is slower, but its errors are in words for people.
		if json.Unmarshal(line, &v) != nil {
			if err := exactjson.Unmarshal(bytes.TrimRight(line, "\r\n"), &v); err != nil {
				return fmt.Errorf("metrics %s: line %d: %w, want a JSON object; hint: remove the line, it was not "+
					"written by this program", path, n, err)
			}
		}
		f(line, v)
	}
	return nil
}

// tail is how many bytes at the end of a file Newest looks at: a line of a step has some 200, one with a text more.
const tail = 256 << 10

// Newest returns the step of the last KindTrain line, also while a run is writing, without reading a long file as a
// whole. ok: there is one near the end.
func Newest(path string) (step int, ok bool) {
	f, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return -1, false
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		f.Seek(-tail, io.SeekEnd)
	}
	content, _ := io.ReadAll(f)
	lines := bytes.Split(content, []byte("\n"))
	for i := len(lines) - 2; i >= 0; i-- {
		var m Line
		if json.Unmarshal(lines[i], &m) == nil && m.Kind == KindTrain {
			return m.Step, true
		}
	}
	return -1, false
}
