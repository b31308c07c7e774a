package train

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

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

	Checksums map[string]checksum `json:"checksums,omitempty"` // of the checkpoint's other files, by name
	SHA256    string              `json:"sha256,omitempty"`    // of state.json without this field; the last one
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

// prune removes the oldest checkpoints beyond keep. Those of later steps, which a run that went back has left behind,
// do not count: they are replaced when the run comes to their steps.
func (c checkpointer) prune(root string, newest int) {
	later := func(name string) bool { return stepOf(name) >= newest }
	before := slices.DeleteFunc(gpt2.Checkpoints(c.out), later) // newest first
	if c.keep <= 0 || len(before) < c.keep {
		return
	}
	for _, name := range before[c.keep-1:] {
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

// checksum is what is known of a checkpoint's file.
type checksum struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}

func checksumOf(path string) (c checksum, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	sum := sha256.New()
	if c.Bytes, err = io.Copy(sum, f); err != nil {
		return c, err
	}
	c.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return c, nil
}

// checksumsOf returns the checksums of files in dir, each computed by a core of its own, and what kept one from being
// read.
func checksumsOf(dir string, names []string) ([]checksum, []error) {
	sums, errs := make([]checksum, len(names)), make([]error, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		wait.Add(1)
		go func() {
			defer wait.Done()
			sums[i], errs[i] = checksumOf(filepath.Join(dir, name))
		}()
	}
	wait.Wait()
	return sums, errs
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
	sums, errs := checksumsOf(dir, names)
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	s.Checksums, s.SHA256 = map[string]checksum{}, ""
	for i, name := range names {
		s.Checksums[name] = sums[i]
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(append(raw, '\n'))
	s.SHA256 = hex.EncodeToString(sum[:])
	if raw, err = json.MarshalIndent(s, "", "  "); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, gpt2.StateFile), append(raw, '\n'))
}

// ownChecksum matches the field of state.json that the checksum leaves out: the last one.
var ownChecksum = regexp.MustCompile(`,\s*"sha256": "([0-9a-f]{64})"\s*\}\s*$`)

// readState returns a checkpoint's state. Errors: a file that cannot be read, is not JSON or is not as it was written.
func readState(dir string) (s State, err error) {
	path := filepath.Join(dir, gpt2.StateFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := exactjson.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("%s: not as it was written: %w", path, err)
	}
	if s.SHA256 != "" {
		at := ownChecksum.FindIndex(raw)
		if at == nil {
			return s, fmt.Errorf("%s: not as it was written: its sha256 is not the last field", path)
		}
		sum := sha256.Sum256(slices.Concat(raw[:at[0]], []byte("\n}\n")))
		if got := hex.EncodeToString(sum[:]); got != s.SHA256 {
			return s, fmt.Errorf("%s: not as it was written: SHA-256 %s, want %s", path, got, s.SHA256)
		}
	}
	var fields struct {
		Config map[string]json.RawMessage `json:"config"`
	}
	if err := exactjson.Unmarshal(raw, &fields); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	s.Config.asBefore(fields.Config)
	if s.Optimizer == "" {
		s.Optimizer = "adamw" // the only one before state.json named it
	}
	return s, nil
}

// verify compares a checkpoint's files with the checksums of its state. Files that a resume does not read, such as the
// tokenizer's, may be changed; changed names them.
func (s State) verify(dir string) (changed []string, err error) {
	names := slices.Sorted(maps.Keys(s.Checksums))
	sums, errs := checksumsOf(dir, names)
	for i, name := range names {
		path, want := filepath.Join(dir, name), s.Checksums[name]
		got, err := sums[i], errs[i]
		switch {
		case err == nil && got == want:
			continue
		case err == nil && got.Bytes != want.Bytes:
			err = fmt.Errorf("%s: not as it was written: %d bytes, want %d", path, got.Bytes, want.Bytes)
		case err == nil:
			err = fmt.Errorf("%s: not as it was written: SHA-256 %s, want %s", path, got.SHA256, want.SHA256)
		}
		if data.IsPath(s.Tokenizer) || name == configFile || strings.HasSuffix(name, ".safetensors") {
			return nil, err
		}
		changed = append(changed, name)
	}
	return changed, nil
}
