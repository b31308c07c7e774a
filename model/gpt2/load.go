package gpt2

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Source tells where weights came from.
type Source struct {
	Path      string // the directory or file that was read
	Tokenizer string // "gpt2" or "bytes" where a checkpoint of this program says so, else ""
}

// Files of a run directory and of a checkpoint within it.
const (
	CheckpointsDir = "checkpoints"
	LatestFile     = "latest"     // in CheckpointsDir: the name of the newest complete checkpoint
	StateFile      = "state.json" // in a checkpoint: step, data position, tokenizer
)

// Load reads weights as --init and --model name them: a Hugging Face directory or a checkpoint, a run directory (its newest
// checkpoint), or an llm.c .bin file.
func Load(spec string) (*Weights, Source, error) {
	info, err := os.Stat(spec)
	if err != nil {
		if _, ok := Named(spec); ok {
			return nil, Source{}, fmt.Errorf("%s: no such directory here; hint: gpt2wgpu data fetch %s brings it from the Hugging Face hub", spec, spec)
		}
		return nil, Source{}, fmt.Errorf("%s: no such model file or directory; hint: a Hugging Face GPT-2 directory, a run directory, a checkpoint or an llm.c .bin", spec)
	}
	if !info.IsDir() {
		if strings.HasSuffix(spec, ".bin") {
			w, err := ReadLLMC(spec)
			src := Source{Path: spec}
			if err == nil && w.Config.VocabSize > endOfText { // llm.c knows no other; smaller ones are exports of ours
				src.Tokenizer = "gpt2"
			}
			return w, src, err
		}
		return nil, Source{}, fmt.Errorf("%s: a file that is no llm.c .bin; hint: name the directory that holds config.json and model.safetensors", spec)
	}
	dir := spec
	if _, err := os.Stat(filepath.Join(spec, CheckpointsDir)); err == nil {
		if dir, err = LatestCheckpoint(spec); err != nil {
			return nil, Source{}, err
		}
	}
	w, err := ReadDir(dir)
	if err != nil {
		return nil, Source{}, err
	}
	src := Source{Path: dir}
	var state struct {
		Tokenizer string `json:"tokenizer"`
	}
	if raw, err := os.ReadFile(filepath.Join(dir, StateFile)); err == nil {
		if json.Unmarshal(raw, &state) == nil {
			src.Tokenizer = state.Tokenizer
		}
	}
	return w, src, nil
}

// LatestCheckpoint returns the directory of a run's newest complete checkpoint.
func LatestCheckpoint(run string) (string, error) {
	file := filepath.Join(run, CheckpointsDir, LatestFile)
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: no complete checkpoint yet: %v; hint: wait for the first --save-every, or train without --resume", run, err)
	}
	name := strings.TrimSpace(string(raw))
	dir := filepath.Join(run, CheckpointsDir, name)
	if name == "" || name != filepath.Base(name) {
		return "", fmt.Errorf("%s: holds %q, want a checkpoint's name; hint: write the newest step-… directory's name into it", file, name)
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("%s: names %s, which is missing; hint: write the newest step-… directory's name into it", file, name)
	}
	return dir, nil
}
