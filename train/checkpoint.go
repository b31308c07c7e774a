package train

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// State is what a checkpoint holds beside its tensors: with them, all that decides the rest of the run.
type State struct {
	Step      int        `json:"step"`   // steps done
	Tokens    int64      `json:"tokens"` // tokens seen
	Skipped   int        `json:"skipped_in_a_row"`
	Data      data.State `json:"data"`
	DataFiles DataFiles  `json:"data_files"` // nil: written before there were digests
	Tokenizer string     `json:"tokenizer"`
	Config    Config     `json:"config"`
	Version   string     `json:"program_version"`
	Tiles     Tiles      `json:"tiles"`
	Optimizer string     `json:"optimizer"` // whose tensors the checkpoint has

	Checksums map[string]gpt2.Checksum `json:"checksums,omitempty"` // of the checkpoint's other files, by name
	SHA256    string                   `json:"sha256,omitempty"`    // of state.json without this field; the last one
}

// The files of tensors beside the model's: the optimizer's state, and b.NAME of outer steps, in the shapes of memory.
const (
	optimizerFile = "optimizer.safetensors"
	outerFile     = "outer.safetensors"
)

// Prefixes of directories in checkpoints/ that are not yet, or were, checkpoints: what a kill leaves is removed
// later.
const (
	writingPrefix = ".writing-"
	oldPrefix     = ".old-"
)

// checkpointer writes the checkpoints of a run.
type checkpointer struct {
	out    string
	keep   int // newest checkpoints that stay; 0: all
	log    *slog.Logger
	warned map[string]bool // directories that cannot be removed
	before func() error    // what must be on the disk before a checkpoint is complete: the lines of metrics.jsonl
}

// save writes out/checkpoints/step-NNNNNN and makes it the latest: everything goes to a temporary directory, is synced
// and renamed; the name in `latest` moves last. So a kill at any moment, or a full disk, leaves the one before usable.
// Old directories that cannot be removed are only warned about.
//
// Each of files writes what it has into a directory: the model's files, the optimizer's state and the like.
func (c checkpointer) save(s State, files ...func(dir string) error) (dir string, err error) {
	root := filepath.Join(c.out, gpt2.CheckpointsDir)
	name := fmt.Sprintf("step-%06d", s.Step)
	dir, tmp := filepath.Join(root, name), filepath.Join(root, writingPrefix+name)
	c.removeLeftovers(root)
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
			text, _, _ := strings.Cut(err.Error(), "; hint: ") // the caller's is better
			err = fmt.Errorf("checkpoint %s: %s", dir, text)
		}
	}()
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return dir, err
	}
	for _, do := range append(files, s.write, atomicfile.SyncDir, func(string) error { return c.before() }) {
		if err := do(tmp); err != nil {
			return dir, err
		}
	}
	if _, err := os.Lstat(dir); err == nil { // a step that is saved again after a resume
		if err := os.Rename(dir, filepath.Join(root, oldPrefix+name)); err != nil {
			return dir, err
		}
	}
	if err := atomicfile.Rename(tmp, dir); err != nil {
		return dir, err
	}
	if err := atomicfile.Write(filepath.Join(root, gpt2.LatestFile), []byte(name+"\n")); err != nil {
		return dir, err
	}
	c.prune(root, s.Step)
	c.removeOld(root, oldPrefix+name)
	return dir, nil
}

// prune removes checkpoints beyond keep: first those of later steps, which a run that went back has left behind, then
// the oldest.
func (c checkpointer) prune(root string, newest int) {
	all := gpt2.Checkpoints(c.out) // newest first
	surplus := len(all) - c.keep
	if c.keep <= 0 || surplus <= 0 {
		return
	}
	later := slices.IndexFunc(all, func(name string) bool { return stepOf(name) <= newest })
	n := min(later, surplus)
	for _, name := range slices.Concat(all[:n], all[len(all)-(surplus-n):]) {
		path, old := filepath.Join(root, name), filepath.Join(root, oldPrefix+name)
		err := os.Rename(path, old) // so that a kill leaves no half of a checkpoint
		if err == nil {
			if err = remove(old); err != nil {
				os.Rename(old, path) // where its owner looks for it
			}
		}
		c.unremovable(path, err)
	}
}

// unremovable warns about a directory that cannot be removed, once.
func (c checkpointer) unremovable(path string, err error) {
	if err != nil && !c.warned[path] {
		c.warned[path] = true
		c.log.Warn("an old checkpoint cannot be removed: "+path, "reason", atomicfile.Reason(err))
	}
}

// remove is replaced by tests.
var remove = os.RemoveAll

// removeOld removes a directory of checkpoints/ that was a checkpoint or was to be one.
func (c checkpointer) removeOld(root, name string) {
	path := filepath.Join(root, name)
	c.unremovable(path, remove(path))
}

// removeLeftovers removes what an interrupted save left behind.
func (c checkpointer) removeLeftovers(root string) {
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), writingPrefix) || strings.HasPrefix(e.Name(), oldPrefix) {
			c.removeOld(root, e.Name())
		}
	}
}

// readTensors returns the values of a file's tensors that list names, in its order. It refuses values that no training
// leaves: what is not finite, and means of squares below zero, whose root is NaN.
func readTensors(path string, list []gpt2.Param) (values [][]float32, err error) {
	file, err := gpt2.ReadSafetensors(path)
	if err != nil {
		return nil, err
	}
	byName := map[string][]float32{}
	for _, t := range file {
		byName[t.Name] = t.Data
	}
	for _, t := range list {
		x, ok := byName[t.Name]
		if !ok || len(x) != t.Size() {
			return nil, fmt.Errorf("%s: %s: %d values, want %d; hint: the checkpoint belongs to another model", path,
				t.Name, len(x), t.Size())
		}
		at, want := gpt2.NotFinite(x), "finite numbers"
		if at < 0 && t.Squares {
			at, want = slices.IndexFunc(x, func(v float32) bool { return v < 0 }), "0 or more (a mean of squares)"
		}
		if at >= 0 {
			return nil, fmt.Errorf("%s: %s: value %d is %v, want %s; hint: the checkpoint is damaged: name another "+
				"complete step in checkpoints/%s", path, t.Name, at, x[at], want, gpt2.LatestFile)
		}
		values = append(values, x)
	}
	return values, nil
}

// outerState lists the tensors of outer steps.
func outerState(c gpt2.Config) (list []gpt2.Param) {
	for _, p := range gpt2.Table(c) {
		list = append(list, gpt2.Param{Name: "b." + p.Name, Shape: p.Shape})
	}
	return list
}

// write writes state.json with the checksums of all that is in dir, and its own.
func (s State) write(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	sums, errs := gpt2.ChecksumsOf(dir, names)
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	s.Checksums, s.SHA256 = map[string]gpt2.Checksum{}, ""
	for i, name := range names {
		s.Checksums[name] = sums[i]
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	s.SHA256 = fmt.Sprintf("%x", sha256.Sum256(append(raw, '\n')))
	if raw, err = json.MarshalIndent(s, "", "  "); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, gpt2.StateFile), append(raw, '\n'))
}

// readState returns a checkpoint's state. Errors: a file that cannot be read, is not JSON, is not as it was written, or
// has a number that no run writes.
func readState(dir string) (s State, err error) {
	raw, err := gpt2.ReadState(dir, &s)
	if err != nil {
		return s, err
	}
	path := filepath.Join(dir, gpt2.StateFile)
	var fields struct {
		Config map[string]json.RawMessage `json:"config"`
	}
	if err := exactjson.Unmarshal(raw, &fields); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	s.Config.asBefore(fields.Config)
	s.Optimizer = cmp.Or(s.Optimizer, "adamw") // the only one before state.json named it
	if err := s.check(); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// mostTokens is more than a run can see, and leaves room to count on.
const mostTokens = 1 << 53

// check returns an error, with the field's name, for numbers that no run writes.
func (s State) check() error {
	for _, f := range []struct {
		field     string
		got, most int64
	}{
		{"step", int64(s.Step), maxCount},
		{"tokens", s.Tokens, mostTokens},
		{"skipped_in_a_row", int64(s.Skipped), maxSkipped},
		{"data.epoch", s.Data.Epoch, mostTokens},
		{"data.shard", int64(s.Data.Shard), maxCount},
		{"data.offset", s.Data.Offset, mostTokens},
		{"data.tokens", s.Data.Tokens, mostTokens},
		{"data.rows", s.Data.Rows, mostTokens},
		{"data.seq_len", int64(s.Data.SeqLen), maxCount},
	} {
		if f.got < 0 || f.got > f.most {
			return fmt.Errorf("%s is %d, want 0 to %d", f.field, f.got, f.most)
		}
	}
	for _, part := range slices.Sorted(maps.Keys(s.DataFiles)) {
		for i, f := range s.DataFiles[part] {
			if f.Bytes < 0 {
				return fmt.Errorf("data_files.%s: file %d: bytes is %d, want 0 or more", part, i, f.Bytes)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Checksums)) {
		if n := s.Checksums[name].Bytes; n < 0 {
			return fmt.Errorf("checksums.%.80s: bytes is %d, want 0 or more", name, n)
		}
	}
	if err := s.Config.Model().Validate(); err != nil {
		text, _, _ := strings.Cut(err.Error(), "; hint: ")
		return fmt.Errorf("config: %s", text)
	}
	return nil
}

// verify compares a checkpoint's files with the checksums of its state. Files that a resume does not read, such as the
// tokenizer's, may be changed; changed names them.
func (s State) verify(dir string) (changed []string, err error) {
	return gpt2.Verify(dir, s.Checksums, func(name string) bool {
		return data.IsPath(s.Tokenizer) || name == configFile || strings.HasSuffix(name, ".safetensors")
	})
}
