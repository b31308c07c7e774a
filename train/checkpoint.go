package train

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// State is what a checkpoint holds beside weights and moments: with them, all that decides the rest of the run.
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

	Checksums map[string]checksum `json:"checksums,omitempty"` // of the checkpoint's other files, by name
	SHA256    string              `json:"sha256,omitempty"`    // of state.json without this field; the last one
}

const optimizerFile = "optimizer.safetensors" // m.NAME and v.NAME in the shapes of memory

// Prefixes of directories in checkpoints/ that are no checkpoints (yet, or any more): what a kill leaves is removed later.
const (
	writingPrefix = ".writing-"
	oldPrefix     = ".old-"
)

// checkpointer writes the checkpoints of a run.
type checkpointer struct {
	out    string
	keep   int // newest checkpoints that stay; 0: all
	log    *slog.Logger
	write  func(dir string, w *gpt2.Weights) error // the model's own files
	warned map[string]bool                         // directories that cannot be removed
	before func() error                            // what must be on the disk before a checkpoint is complete: the lines of metrics.jsonl
}

// save writes out/checkpoints/step-NNNNNN and makes it the latest: everything goes to a temporary directory, is synced and
// renamed; the name in `latest` moves last. So a kill at any moment, or a full disk, leaves the one before usable. Old
// directories that cannot be removed are only warned about.
//
// first and second are AdamW's moments; b is that of the outer optimizer, or nil.
func (c checkpointer) save(s State, w *gpt2.Weights, first, second, b [][]float32) (dir string, err error) {
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
	if err := c.write(tmp, w); err != nil {
		return dir, err
	}
	if err := writeMoments(filepath.Join(tmp, optimizerFile), w.Config, first, second); err != nil {
		return dir, err
	}
	if b != nil {
		if err := writeOuter(tmp, w.Config, b); err != nil {
			return dir, err
		}
	}
	if err := writeState(tmp, s); err != nil {
		return dir, err
	}
	if err := atomicfile.SyncDir(tmp); err != nil {
		return dir, err
	}
	if c.before != nil {
		if err := c.before(); err != nil {
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

// prune removes the oldest checkpoints beyond keep. Those of later steps, which a run that went back has left behind, do not
// count: they are replaced when the run comes to their steps.
func (c checkpointer) prune(root string, newest int) {
	var before []string // newest first
	for _, name := range gpt2.Checkpoints(c.out) {
		if stepOf(name) < newest {
			before = append(before, name)
		}
	}
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

// removeOld removes a directory of checkpoints/ that is no checkpoint any more.
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

func writeMoments(path string, c gpt2.Config, first, second [][]float32) error {
	var list []gpt2.NamedTensor
	for i, p := range gpt2.Table(c) {
		list = append(list,
			gpt2.NamedTensor{Name: "m." + p.Name, Shape: p.Shape, Data: first[i]},
			gpt2.NamedTensor{Name: "v." + p.Name, Shape: p.Shape, Data: second[i]})
	}
	return gpt2.WriteSafetensors(path, list, nil)
}

// readMoments returns m and v in the table's order.
func readMoments(dir string, c gpt2.Config) (m, v [][]float32, err error) {
	path := filepath.Join(dir, optimizerFile)
	list, _, err := gpt2.ReadSafetensors(path)
	if err != nil {
		return nil, nil, err
	}
	byName := map[string]gpt2.NamedTensor{}
	for _, t := range list {
		byName[t.Name] = t
	}
	for _, p := range gpt2.Table(c) {
		for prefix, into := range map[string]*[][]float32{"m.": &m, "v.": &v} {
			t, ok := byName[prefix+p.Name]
			if !ok || len(t.Data) != p.Size() {
				return nil, nil, fmt.Errorf("%s: %s%s: %d values, want %d; hint: the checkpoint belongs to another model", path, prefix, p.Name, len(t.Data), p.Size())
			}
			*into = append(*into, t.Data)
		}
	}
	return m, v, checkMoments(path, c, m, v)
}

const damagedHint = "hint: the checkpoint is damaged: name another complete step in checkpoints/" + gpt2.LatestFile

// checkMoments refuses moments that no training leaves: what is not finite, and second moments below zero, whose root is NaN.
func checkMoments(path string, c gpt2.Config, m, v [][]float32) error {
	for i, p := range gpt2.Table(c) {
		for prefix, x := range map[string][]float32{"m.": m[i], "v.": v[i]} {
			if at := gpt2.NotFinite(x); at >= 0 {
				return fmt.Errorf("%s: %s%s: value %d is %s, want finite numbers; %s", path, prefix, p.Name, at, gpt2.NameOf(x[at]), damagedHint)
			}
		}
		for at, x := range v[i] {
			if x < 0 {
				return fmt.Errorf("%s: v.%s: value %d is %v, want 0 or more (a mean of squares); %s", path, p.Name, at, x, damagedHint)
			}
		}
	}
	return nil
}
