package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// Files of a run's directory.
const (
	ConfigFile  = "config.json"
	MetricsFile = "metrics.jsonl"
	ProfileFile = "profile.json"
	CrashFile   = "crash.log"
	lockFile    = "lock"
)

const maxConfig = 1 << 20 // bytes of config.json

// Run is what a directory says of a run.
type Run struct {
	Dir      string
	Settings []Setting // in the order of config.json; none where that cannot be read
	Config             // what of them this package needs

	Train     []metrics.Line // the steps, in order and each once
	Val       []metrics.Line
	Hellaswag []metrics.Line
	Samples   []metrics.Line
	Restarts  int

	State   State
	Changed time.Time // when something was last written
	Trouble []string  // what is damaged, a line each
}

// Config is the part of config.json that this package understands.
type Config struct {
	gpt2.Config
	Tokenizer string `json:"tokenizer"`
	SeqLen    int    `json:"seq_len"`
	Steps     int    `json:"steps"` // that are planned
	Version   string `json:"version"`
	Device    string `json:"device_name"`

	Memory []Memory `json:"memory"` // that was planned; none: a version before it was kept
}

// Memory is the device memory that one role takes.
type Memory struct {
	Role  string `json:"role"`
	Bytes uint64 `json:"bytes"`
}

// Setting is a line of config.json: Value is JSON.
type Setting struct{ Name, Value string }

// State is how a run stands.
type State string

// The states.
const (
	Running  State = "running"   // a process holds its lock
	Finished State = "finished"  // all steps are done
	Stopped  State = "stopped"   // it can be resumed where it ended
	BrokeOff State = "broke off" // killed: a resume does again what came after its newest checkpoint
	Empty    State = "no steps"
)

// Read reads the run in dir. Errors: there is none.
func Read(dir string) (*Run, error) {
	r := &Run{Dir: dir}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: no such directory; hint: gpt2wgpu runs lists the runs below runs/", dir)
	case err != nil:
		return nil, fmt.Errorf("%w; hint: check the path and its permissions", err)
	case !info.IsDir():
		return nil, fmt.Errorf("%s: a file, want a run's directory; hint: %s", dir, filepath.Dir(dir))
	case !gpt2.IsRun(dir):
		return nil, fmt.Errorf("%s: holds no run; hint: a run's directory has %s and %s", dir, ConfigFile, MetricsFile)
	}
	r.Changed = info.ModTime()
	r.readConfig()
	r.readMetrics()
	r.State = r.state()
	return r, nil
}

// Find returns the runs that dirs name, each a run or a directory that holds some, in the order of names. Errors: one
// of dirs is neither.
func Find(dirs []string) (found []string, err error) {
	for _, dir := range dirs {
		if gpt2.IsRun(dir) {
			found = append(found, filepath.Clean(dir))
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("%w; hint: name a run's directory, or one that holds runs", err)
		}
		before := len(found)
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); gpt2.IsRun(path) {
				found = append(found, path)
			}
		}
		if len(found) == before {
			return nil, fmt.Errorf("%s: holds no runs; hint: gpt2wgpu train makes runs/PRESET-N", dir)
		}
		slices.SortStableFunc(found[before:], byNumber)
	}
	return found, nil
}

// byNumber puts tiny-2 before tiny-10.
func byNumber(a, b string) int {
	stem := func(s string) (string, int) {
		i := strings.LastIndexByte(s, '-')
		if n, err := strconv.Atoi(s[i+1:]); i > 0 && err == nil {
			return s[:i], n
		}
		return s, -1
	}
	as, an := stem(a)
	bs, bn := stem(b)
	if c := strings.Compare(as, bs); c != 0 {
		return c
	}
	return an - bn
}

func (r *Run) troublef(format string, args ...any) {
	r.Trouble = append(r.Trouble, fmt.Sprintf(format, args...))
}

// dated makes the time of a file in the directory count as the run's.
func (r *Run) dated(name string) {
	if s := StampOf(r.Dir, name); s.Time.After(r.Changed) {
		r.Changed = s.Time
	}
}

// readConfig reads the settings; those of later versions too.
func (r *Run) readConfig() {
	r.dated(ConfigFile)
	raw, err := plainfile.ReadIn(r.Dir, ConfigFile, maxConfig)
	if err != nil {
		r.troublef("%s: its settings are not known: %v", r.Dir, reason(err))
		return
	}
	if err := r.Describe(raw); err != nil {
		r.troublef("%s: its settings are not known: %s is not as a run writes it (%v)", r.Dir, ConfigFile, err)
	}
}

// Describe sets the settings to those of a config.json. Error: it is damaged, and no setting is known.
func (r *Run) Describe(raw []byte) error {
	r.Config, r.Settings = Config{}, nil
	fields, err := exactjson.Object(raw)
	if err == nil {
		err = json.Unmarshal(raw, &r.Config)
	}
	if err != nil {
		r.Config = Config{}
		return err
	}
	// A decoder keeps the order, which a map does not.
	d := json.NewDecoder(bytes.NewReader(raw))
	d.Token()
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			break
		}
		switch n := name.(string); n {
		case "version", "device_name", "memory":
		default:
			r.Settings = append(r.Settings, Setting{n, string(fields[n])})
		}
	}
	return nil
}

// reason is an error of the file system without the path.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s: %w", filepath.Base(path.Path), path.Err)
	}
	return err
}

// readMetrics reads the curves. What a crash of an old version has left twice counts once, as it was written last.
func (r *Run) readMetrics() {
	r.dated(MetricsFile)
	lines, bad, err := metrics.ReadWhole(filepath.Join(r.Dir, MetricsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.troublef("%s: its curves are not known: %v", r.Dir, reason(err))
	}
	if len(bad) == 1 {
		r.troublef("%s: line %d of %s is damaged and left out", r.Dir, bad[0], MetricsFile)
	} else if len(bad) > 1 {
		r.troublef("%s: %d lines of %s are damaged and left out, the first is line %d", r.Dir, len(bad), MetricsFile,
			bad[0])
	}
	for _, m := range lines {
		r.add(m)
	}
}

// add takes a line. One of a step that is there already takes its place, and that of all after it.
func (r *Run) add(m metrics.Line) {
	switch m.Kind {
	case metrics.KindTrain:
		put(&r.Train, m)
	case metrics.KindVal:
		put(&r.Val, m)
	case metrics.KindHellaswag:
		put(&r.Hellaswag, m)
	case metrics.KindSample:
		put(&r.Samples, m)
	case metrics.KindRestart:
		r.Restarts++
	}
}

func put(to *[]metrics.Line, m metrics.Line) {
	for n := len(*to); n > 0 && (*to)[n-1].Step >= m.Step; n = len(*to) {
		*to = (*to)[:n-1]
	}
	*to = append(*to, m)
}

func (r *Run) state() State {
	if _, held := lock.Held(filepath.Join(r.Dir, lockFile)); held {
		return Running
	}
	return r.Ended()
}

// Ended returns how a run stands that no process works on, or that is about to let go of its lock.
func (r *Run) Ended() State {
	switch {
	case len(r.Train) == 0:
		return Empty
	case r.Steps > 0 && r.Done() >= r.Steps:
		return Finished
	}
	if names := gpt2.Checkpoints(r.Dir); len(names) > 0 {
		if step, err := strconv.Atoi(strings.TrimPrefix(names[0], "step-")); err == nil && step >= r.Done() {
			return Stopped
		}
	}
	return BrokeOff
}

// Done returns how many steps are done.
func (r *Run) Done() int {
	if n := len(r.Train); n > 0 {
		return r.Train[n-1].Step + 1
	}
	return 0
}

// Tokens returns how many tokens the run has seen.
func (r *Run) Tokens() int64 {
	if n := len(r.Train); n > 0 {
		return r.Train[n-1].Tokens
	}
	return 0
}

// Best returns the lowest validation loss; false: there is none.
func (r *Run) Best() (best metrics.Line, ok bool) {
	for _, m := range r.Val {
		if !math.IsNaN(float64(m.Loss)) && (!ok || m.Loss < best.Loss) {
			best, ok = m, true
		}
	}
	return best, ok
}

// rateSteps is over how many steps Rate looks back.
const rateSteps = 100

// Rate returns the newest steps' tokens per second, 0 if it is not known.
func (r *Run) Rate() float64 {
	tokens, ms := 0.0, 0.0
	for _, m := range r.Train[max(0, len(r.Train)-rateSteps):] {
		if t := float64(m.MS); t > 0 && m.TokensPerS > 0 {
			tokens, ms = tokens+t*float64(m.TokensPerS), ms+t
		}
	}
	if ms == 0 {
		return 0
	}
	return tokens / ms
}

// Params returns the number of parameters, 0 where the settings are not known.
func (r *Run) Params() int {
	if r.NLayer == 0 {
		return 0
	}
	return gpt2.ParamCount(r.Config.Config)
}

// BytesPerToken returns the mean bytes of a token's text: exactly for a byte-level run, else as the validations show
// it. ok is false where nothing says it, as with foreign ids.
func (r *Run) BytesPerToken() (bytes float64, ok bool) {
	for _, m := range slices.Backward(r.Val) {
		bytes := float64(m.Loss) / float64(m.BitsPerByte) / math.Ln2
		if m.BitsPerByte > 0 && m.Loss > 0 && !math.IsInf(bytes, 0) {
			return bytes, true
		}
	}
	return 1, r.Tokenizer == "bytes"
}
