package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// State is what a checkpoint holds beside weights and moments: with them, all that decides the rest of the run.
type State struct {
	Step      int        `json:"step"`   // steps done
	Tokens    int64      `json:"tokens"` // tokens seen
	Skipped   int        `json:"skipped_in_a_row"`
	Data      data.State `json:"data"`
	Tokenizer string     `json:"tokenizer"`
	Config    Config     `json:"config"`
	Version   string     `json:"program_version"`
	Tiles     Tiles      `json:"tiles"`
}

const optimizerFile = "optimizer.safetensors" // m.NAME and v.NAME in the shapes of memory

var checkpointName = regexp.MustCompile(`^step-\d{6,}$`)

// saveCheckpoint writes out/checkpoints/step-NNNNNN and makes it the latest: everything goes to a temporary directory, is
// synced and renamed; the name in `latest` moves last. So a kill at any moment leaves the one before usable.
//
// first and second are AdamW's moments; b is that of the outer optimizer, or nil.
func saveCheckpoint(out string, s State, m *model.Model, first, second, b [][]float32, keep int) (dir string, err error) {
	root := filepath.Join(out, gpt2.CheckpointsDir)
	name := fmt.Sprintf("step-%06d", s.Step)
	dir, tmp := filepath.Join(root, name), filepath.Join(root, ".writing-"+name)
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
			err = fmt.Errorf("checkpoint %s: %w; hint: the newest complete one is still in place, see %s", dir, err, filepath.Join(root, gpt2.LatestFile))
		}
	}()
	if err := removeLeftovers(root); err != nil {
		return dir, err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return dir, err
	}
	if err := writeWeights(tmp, m); err != nil {
		return dir, err
	}
	if err := writeMoments(filepath.Join(tmp, optimizerFile), m.Config, first, second); err != nil {
		return dir, err
	}
	if b != nil {
		if err := writeOuter(tmp, m.Config, b); err != nil {
			return dir, err
		}
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return dir, err
	}
	if err := atomicfile.Write(filepath.Join(tmp, gpt2.StateFile), append(raw, '\n')); err != nil {
		return dir, err
	}
	if err := atomicfile.SyncDir(tmp); err != nil {
		return dir, err
	}
	if err := os.RemoveAll(dir); err != nil { // a step that is saved again after a resume
		return dir, err
	}
	if err := atomicfile.Rename(tmp, dir); err != nil {
		return dir, err
	}
	if err := atomicfile.Write(filepath.Join(root, gpt2.LatestFile), []byte(name+"\n")); err != nil {
		return dir, err
	}
	return dir, prune(root, name, keep)
}

func writeWeights(dir string, m *model.Model) error {
	w, err := m.Weights()
	if err != nil {
		return err
	}
	return gpt2.WriteDir(dir, w, nil)
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

// readState returns a checkpoint's state.
func readState(dir string) (s State, err error) {
	path := filepath.Join(dir, gpt2.StateFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("checkpoint: %w; hint: name another complete step in %s", err, filepath.Join(filepath.Dir(dir), gpt2.LatestFile))
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("%s: %w; hint: name another complete step in %s", path, err, filepath.Join(filepath.Dir(dir), gpt2.LatestFile))
	}
	var fields struct {
		Config map[string]json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return s, fmt.Errorf("%s: %w; hint: name another complete step in %s", path, err, filepath.Join(filepath.Dir(dir), gpt2.LatestFile))
	}
	s.Config.asBefore(fields.Config)
	return s, nil
}

// prune removes the oldest checkpoints beyond keep (0: keep all), never the newest.
func prune(root, newest string, keep int) error {
	if keep <= 0 {
		return nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if checkpointName.MatchString(e.Name()) && e.Name() != newest {
			names = append(names, e.Name())
		}
	}
	sort.Slice(names, func(i, j int) bool {
		return len(names[i]) < len(names[j]) || len(names[i]) == len(names[j]) && names[i] < names[j]
	})
	for len(names) >= keep && len(names) > 0 {
		if err := os.RemoveAll(filepath.Join(root, names[0])); err != nil {
			return err
		}
		names = names[1:]
	}
	return nil
}

// removeLeftovers deletes what an interrupted save left behind.
func removeLeftovers(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".writing-") {
			if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return err
			}
		}
	}
	return err
}
