package gpt2

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
)

// Source tells where weights came from.
type Source struct {
	Path      string // the directory or file that was read
	Tokenizer string // "gpt2" or "bytes" where a checkpoint of this program says so, else ""
	SeqLen    int    // tokens of a sequence that the run of a checkpoint trained with; 0: not known
}

// Files of a run directory and of a checkpoint within it.
const (
	CheckpointsDir = "checkpoints"
	LatestFile     = "latest"     // in CheckpointsDir: the name of the newest complete checkpoint
	StateFile      = "state.json" // in a checkpoint: step, data position, tokenizer
)

// Load reads weights as --init and --model name them: a Hugging Face directory or a checkpoint, a run directory (its newest
// checkpoint), or an llm.c .bin file. Values that are not finite are an error, which names the first.
func Load(spec string) (*Weights, Source, error) {
	path, file, err := locate(spec)
	if err != nil {
		return nil, Source{}, err
	}
	src := Source{Path: path}
	read := ReadDir
	if file {
		read = ReadLLMC
	}
	w, err := read(path)
	if err == nil {
		err = w.CheckFinite(path)
	}
	if err != nil {
		return nil, Source{}, err
	}
	if file {
		if w.Config.VocabSize > endOfText { // llm.c knows no other; smaller ones are exports of ours
			src.Tokenizer = "gpt2"
		}
		return w, src, nil
	}
	src.readState()
	return w, src, nil
}

// Shape returns the shape of the weights that spec names, as [Load] does, without reading them. Published names have
// theirs, whether or not they were fetched.
func Shape(spec string) (Config, error) {
	if c, ok := Named(spec); ok {
		if _, err := os.Stat(spec); err != nil {
			return c, nil
		}
	}
	path, file, err := locate(spec)
	if err != nil {
		return Config{}, err
	}
	if !file {
		return readConfig(filepath.Join(path, configFile))
	}
	f, err := openLLMC(path)
	if err != nil {
		return Config{}, err
	}
	return f.config, f.Close()
}

// locate returns the directory to read, a run's being its newest checkpoint, or the llm.c file.
func locate(spec string) (path string, file bool, err error) {
	info, err := os.Stat(spec)
	if err != nil {
		if _, ok := Named(spec); ok {
			return "", false, fmt.Errorf("%s: no such directory here; hint: gpt2wgpu data fetch %s brings it from the Hugging Face hub", spec, spec)
		}
		return "", false, fmt.Errorf("%s: no such model file or directory; hint: a Hugging Face GPT-2 directory, a run directory, a checkpoint or an llm.c .bin", spec)
	}
	if info.IsDir() {
		if _, err := os.Stat(filepath.Join(spec, CheckpointsDir)); err == nil {
			spec, err = LatestCheckpoint(spec)
			return spec, false, err
		}
		return spec, false, nil
	}
	head := readHead(spec)
	if strings.HasSuffix(spec, ".bin") || bytes.HasPrefix(head, llmcStart) {
		return spec, true, nil
	}
	const want = "a model's directory or an llm.c .bin"
	if err := refuseForeign(spec, head, want); err != nil {
		return "", false, err
	}
	return "", false, fmt.Errorf("%s: a file that is no llm.c .bin, want %s; hint: name the directory that holds config.json and model.safetensors", spec, want)
}

// readState takes from a checkpoint's state.json what its weights don't say. Other directories have none.
func (s *Source) readState() {
	raw, err := os.ReadFile(filepath.Join(s.Path, StateFile))
	if err != nil {
		return
	}
	var state struct {
		Tokenizer string `json:"tokenizer"`
		Config    struct {
			SeqLen int `json:"seq_len"`
		} `json:"config"`
	}
	if exactjson.Unmarshal(raw, &state) == nil {
		s.Tokenizer, s.SeqLen = state.Tokenizer, state.Config.SeqLen
	}
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
