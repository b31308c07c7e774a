package main

import (
	"archive/zip"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"syscall/js"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// modelsDir holds imported models.
var modelsDir = "/models"

// stored describes a run's or a model's directory.
type stored struct {
	Kind       string        `json:"kind"` // run, model
	Out        string        `json:"out"`
	Step       int           `json:"step"` // of a run's newest checkpoint; 0: none yet
	Steps      int           `json:"steps,omitempty"`
	Tokens     int64         `json:"tokens,omitempty"`
	Loss       metrics.Float `json:"loss"` // of a run's newest step; null: none yet
	Config     any           `json:"config"`
	Parameters int           `json:"parameters"`
	Modified   time.Time     `json:"modified"`
}

// runs lists what is kept, the newest first.
func (s *session) runs(nothing) (any, error) {
	list := []stored{}
	for _, dir := range []string{runsDir, modelsDir} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			out := path.Join(dir, e.Name())
			if r, ok := storedRun(out); dir == runsDir && ok {
				list = append(list, r)
			} else if c, err := gpt2.Shape(out); dir == modelsDir && err == nil && !strings.HasPrefix(e.Name(), ".") {
				list = append(list, stored{Kind: "model", Out: out, Config: c, Parameters: gpt2.ParamCount(c),
					Modified: modified(out, "config.json"), Loss: metrics.Float(math.NaN())})
			}
		}
	}
	slices.SortFunc(list, func(a, b stored) int {
		return cmp.Or(b.Modified.Compare(a.Modified), strings.Compare(a.Out, b.Out))
	})
	return list, nil
}

// storedRun describes the run in a directory, if there is one.
func storedRun(out string) (r stored, ok bool) {
	var c train.Config
	if names, err := train.RunConfig(out, &c); err != nil || len(names) == 0 {
		return r, false
	}
	r = stored{Kind: "run", Out: out, Steps: c.Steps, Loss: metrics.Float(math.NaN()), Config: c,
		Modified: modified(out, "config.json", "metrics.jsonl")}
	if c.Model().Validate() == nil {
		r.Parameters = gpt2.ParamCount(c.Model())
	}
	lines, _, _ := metrics.ReadWhole(path.Join(out, "metrics.jsonl"))
	for _, m := range lines {
		if m.Kind == metrics.KindTrain {
			r.Loss = m.Loss
		}
	}
	if dir, err := gpt2.LatestCheckpoint(out); err == nil {
		r.Step = stepOf(dir)
		var state struct {
			Tokens int64 `json:"tokens"`
		}
		raw, _ := os.ReadFile(path.Join(dir, gpt2.StateFile))
		json.Unmarshal(raw, &state) // tokens stay 0 where the file cannot be read
		r.Tokens = state.Tokens
	}
	return r, true
}

// modified returns when the last of some files in dir was written.
func modified(dir string, names ...string) (when time.Time) {
	for _, name := range names {
		if info, err := os.Stat(path.Join(dir, name)); err == nil && info.ModTime().After(when) {
			when = info.ModTime()
		}
	}
	return when
}

// stepOf returns the step of a checkpoint by its directory's name, 0 for others.
func stepOf(dir string) (step int) {
	fmt.Sscanf(path.Base(dir), "step-%d", &step)
	return step
}

// remove deletes a run's or an imported model's directory. Errors: a directory elsewhere; one in use.
func (s *session) remove(in struct {
	Out string `json:"out"`
}) (any, error) {
	out := path.Clean(in.Out)
	switch dir := path.Dir(out); {
	case dir != runsDir && dir != modelsDir:
		return nil, usagef("out is %q, want a directory in %s or %s", in.Out, runsDir, modelsDir)
	case s.out == out:
		return nil, fmt.Errorf("%w: %s is in use by %s; hint: stop it first", errBusy, out, s.job)
	}
	return nothing{}, os.RemoveAll(out)
}

// state is what a checkpoint has beside a model.
var state = []string{"optimizer.safetensors", "outer.safetensors", gpt2.StateFile}

// zip makes a .zip archive of a model's directory and passes it to f, a function, in Uint8Arrays of up to 1 MiB. It
// returns the archive's name and bytes.
func (s *session) zip(raw []byte, f js.Value) (any, error) {
	in, err := arguments[struct {
		Model     string `json:"model"`
		Optimizer bool   `json:"optimizer"`
	}](raw)
	if err != nil {
		return nil, err
	}
	if f.Type() != js.TypeFunction {
		return nil, usagef("zip needs a function that takes the pieces")
	}
	dir, err := modelDir(in.Model)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	name := path.Base(dir)
	if stepOf(dir) > 0 {
		name = path.Base(path.Dir(path.Dir(dir))) + "-" + name
	}
	out := &pieces{f: f}
	z := zip.NewWriter(out)
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || !in.Optimizer && slices.Contains(state, e.Name()) {
			continue
		}
		if err := store(z, path.Join(name, e.Name()), path.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	if err = z.Close(); err == nil {
		err = out.flush()
	}
	if err != nil {
		return nil, err
	}
	return map[string]any{"name": name, "bytes": out.bytes}, nil
}

// store adds a file to an archive as it is: weights don't shrink.
func store(z *zip.Writer, name, from string) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: time.Now()})
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{file}, make([]byte, piece))
	return err
}

// piece is how many bytes go to the page at a time.
const piece = 1 << 20

// pieces is a writer that hands on Uint8Arrays.
type pieces struct {
	f     js.Value
	held  []byte
	bytes int64
}

func (p *pieces) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), piece-len(p.held))
		p.held, rest = append(p.held, rest[:n]...), rest[n:]
		if len(p.held) == piece {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(b), nil
}

func (p *pieces) flush() (err error) {
	if len(p.held) == 0 {
		return nil
	}
	array := js.Global().Get("Uint8Array").New(len(p.held))
	js.CopyBytesToJS(array, p.held)
	p.bytes, p.held = p.bytes+int64(len(p.held)), p.held[:0]
	defer func() {
		r := recover()
		if e, ok := r.(js.Error); ok { // what f throws
			err = e
		} else if r != nil {
			panic(r)
		}
	}()
	return wait(p.f.Invoke(array))
}

// modelFiles are the extensions of the files that an imported model may have.
var modelFiles = []string{".safetensors", ".json", ".txt"}

// importModel makes a model's directory of an uploaded .zip or .safetensors file, and deletes the file. Errors: those
// of reading it; a model that is not a GPT-2.
func (s *session) importModel(in struct {
	Path  string `json:"path"`
	Name  string `json:"name"`
	NHead int    `json:"n_head"` // of bare weights, which don't show it
}) (any, error) {
	name := cmp.Or(in.Name, strings.TrimSuffix(path.Base(in.Path), path.Ext(in.Path)))
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '-'
		}
		return r
	}, strings.TrimLeft(name, "."))
	name = cmp.Or(name, "model")
	dir := path.Join(modelsDir, name)
	for n := 2; exists(dir); n++ {
		dir = path.Join(modelsDir, fmt.Sprintf("%s-%d", name, n))
	}
	tmp := path.Join(modelsDir, ".writing-"+path.Base(dir))
	os.RemoveAll(tmp)
	defer os.RemoveAll(tmp)
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return nil, err
	}
	unpack := unzip
	if path.Ext(in.Path) == ".safetensors" {
		unpack = func(from, to string) error { return adopt(from, to, in.NHead) }
	}
	if err := unpack(in.Path, tmp); err != nil {
		return nil, err
	}
	c, err := gpt2.Shape(tmp)
	if err != nil {
		return nil, err
	}
	tok, err := data.ModelTokenizer("", "", tmp, c.VocabSize)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return nil, err
	}
	os.Remove(in.Path)
	named := tok.Name()
	if data.IsPath(named) {
		named = dir
	}
	return map[string]any{"path": dir, "parameters": gpt2.ParamCount(c), "config": c, "tokenizer": named}, nil
}

// exists reports whether there is a file or a directory at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// unzip writes the files of the one model in an archive to a directory, whatever folder they lie in.
func unzip(from, to string) error {
	z, err := zip.OpenReader(from)
	if err != nil {
		return fmt.Errorf("%s: %w; hint: want a .zip with config.json and model.safetensors, or the latter", from, err)
	}
	defer z.Close()
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	left := mostUnpacked(info.Size())
	folder, found := "", false
	for _, f := range z.File {
		if path.Ext(f.Name) == ".safetensors" && !slices.Contains(state, path.Base(f.Name)) {
			if d := path.Dir(f.Name); found && d != folder {
				return fmt.Errorf("%s: models in %s and %s, want one; hint: an archive for each", from, folder, d)
			}
			folder, found = path.Dir(f.Name), true
		}
	}
	if !found {
		return fmt.Errorf("%s: no .safetensors in it; hint: want a .zip with config.json and model.safetensors", from)
	}
	for _, f := range z.File {
		base := path.Base(f.Name)
		if path.Dir(f.Name) != folder || strings.HasPrefix(base, ".") || slices.Contains(state, base) ||
			!slices.Contains(modelFiles, path.Ext(base)) {
			continue
		}
		to := path.Join(to, base)
		if exists(to) {
			return fmt.Errorf("%s: two files %s, want one; hint: make the archive again", from, f.Name)
		}
		if f.UncompressedSize64 > left {
			return fmt.Errorf("%s: %s: %d bytes, want at most %d of an archive of this size; hint: make the archive "+
				"again", from, f.Name, f.UncompressedSize64, left)
		}
		left -= f.UncompressedSize64
		if err := extract(f, to); err != nil {
			return fmt.Errorf("%s: %s: %w; hint: make the archive again", from, f.Name, err)
		}
	}
	return nil
}

// mostUnpacked is how many bytes may come of an archive of some: 32 times as many, and 32 MiB.
func mostUnpacked(bytes int64) uint64 { return 32 * uint64(bytes+1<<20) }

// extract writes a file of an archive to a path. Errors: its size or its checksum is not what the archive says; those
// of the file system.
func extract(f *zip.File, to string) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	// To the end: only there does r compare the checksum. It returns no more than the size that was declared.
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, piece))
	return errors.Join(err, w.Close())
}

// adopt moves bare weights into a directory and adds their config.json. heads: of a block; 0: see [gpt2.Adopt].
func adopt(from, to string, heads int) error {
	moved := path.Join(to, "model.safetensors")
	if err := os.Rename(from, moved); err != nil {
		return err
	}
	_, err := gpt2.Adopt(to, heads)
	if err != nil {
		os.Rename(moved, from)
	}
	return err
}
