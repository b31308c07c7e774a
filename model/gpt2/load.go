package gpt2

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// Source says where weights came from.
type Source struct {
	Path      string // the directory or file that was read
	Tokenizer string // what a checkpoint of this program says it is, else ""
	SeqLen    int    // tokens of a sequence that the run of a checkpoint trained with; 0: not known
	Data      string // what the run of a checkpoint trained on; "": not known

	ValFraction float64 // of Data, that validated and didn't train

	Warning string  // what the user should know of the run that Path is a checkpoint of; usually ""
	Special Special // ids of special tokens
}

// Files of a run directory and of a checkpoint within it.
const (
	CheckpointsDir = "checkpoints"
	LatestFile     = "latest"     // in CheckpointsDir: the name of the newest complete checkpoint
	StateFile      = "state.json" // in a checkpoint: step, data position, tokenizer
)

// Load reads weights as --init and --model name them: a Hugging Face directory or a checkpoint, a run directory (its
// newest checkpoint), or an llm.c .bin file. Values that are not finite are an error, which names the first.
func Load(spec string) (*Weights, Source, error) {
	path, file, err := locate(spec)
	if err != nil {
		return nil, Source{}, err
	}
	src := Source{Path: path}
	if IsRun(spec) {
		_, src.Warning, _ = latestCheckpoint(spec)
	}
	read := ReadDir
	if file {
		read = ReadLLMC
	}
	if !file {
		err = src.readState()
	}
	var w *Weights
	if err == nil {
		w, err = read(path)
	}
	if err == nil {
		err = w.CheckFinite(path)
	}
	if err != nil && IsRun(spec) {
		if before := Checkpoints(spec); len(before) > 1 {
			text, _, _ := strings.Cut(err.Error(), "; hint: ")
			err = fmt.Errorf("%s; hint: name another checkpoint in %s, or give it itself, such as %s", text,
				filepath.Join(spec, CheckpointsDir, LatestFile), filepath.Join(spec, CheckpointsDir, before[1]))
		}
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
	src.Special = ReadSpecial(path)
	return w, src, nil
}

// Published reports whether spec is the name of published weights and of nothing here.
func Published(spec string) bool {
	_, named := Named(spec)
	_, err := os.Stat(spec)
	return named && err != nil
}

// Shape returns the shape of the weights that spec names, as [Load] does, without reading them. Published names have
// theirs, whether or not they were fetched.
func Shape(spec string) (Config, error) {
	if Published(spec) {
		c, _ := Named(spec)
		return c, nil
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
			return "", false, fmt.Errorf("%s: no such directory here; hint: gpt2wgpu data fetch %s brings it from "+
				"the Hugging Face hub", spec, spec)
		}
		return "", false, fmt.Errorf("%s: no such model file or directory; hint: a Hugging Face GPT-2 directory, a "+
			"run directory, a checkpoint or an llm.c .bin", spec)
	}
	if info.IsDir() {
		if IsRun(spec) {
			spec, err = LatestCheckpoint(spec)
		}
		return spec, false, err
	}
	if err := plainfile.Check(spec); err != nil {
		return "", false, osError(spec, err)
	}
	head := plainfile.Head(spec, sniffed)
	if strings.HasSuffix(spec, ".bin") || bytes.HasPrefix(head, llmcStart) {
		return spec, true, nil
	}
	const want = "a model's directory or an llm.c .bin"
	if err := refuseForeign(spec, head, want); err != nil {
		return "", false, err
	}
	return "", false, fmt.Errorf("%s: a file that is not an llm.c .bin, want %s; hint: name the directory that "+
		"holds config.json and model.safetensors", spec, want)
}

// readState takes from a checkpoint's state.json what its weights don't say, and compares the files with their
// checksums. Other directories have none. Errors: a file is not as it was written.
func (s *Source) readState() error {
	var state stateOfWeights
	_, err := ReadState(s.Path, &state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var changed []string
	if err == nil {
		changed, err = state.verify(s.Path)
	}
	if err != nil {
		return fmt.Errorf("%w; hint: the checkpoint is damaged: take another, or restore it from a copy", err)
	}
	if len(changed) > 0 && s.Warning == "" {
		s.Warning = fmt.Sprintf("%s: changed since the checkpoint was written: %s", s.Path, strings.Join(changed, ", "))
	}
	s.Tokenizer, s.SeqLen = state.Tokenizer, state.Config.SeqLen
	s.Data, s.ValFraction = state.Config.Data, state.Config.ValFraction
	return nil
}

// IsRun reports whether dir is a run's directory: it has checkpoints, or no weights of its own and metrics, or settings
// as a run writes them.
func IsRun(dir string) bool {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	switch {
	case has(CheckpointsDir):
		return true
	case has(weightsFile), has(indexFile):
		return false
	case has("metrics.jsonl"):
		return true
	}
	var settings map[string]json.RawMessage
	raw, err := plainfile.Read(filepath.Join(dir, configFile), maxConfig)
	return err == nil && exactjson.Unmarshal(raw, &settings) == nil && settings["total_batch_size"] != nil &&
		settings["model_type"] == nil
}

// checkpointName is that of a directory in CheckpointsDir.
var checkpointName = regexp.MustCompile(`^step-\d{6,}$`)

// Checkpoints returns the names of a run's checkpoints, the newest first.
func Checkpoints(run string) (names []string) {
	entries, _ := os.ReadDir(filepath.Join(run, CheckpointsDir))
	for _, e := range entries {
		if checkpointName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(b, a)) // seven digits follow six
	})
	return names
}

// ErrNoCheckpoint is the error of a run that has not saved yet.
var ErrNoCheckpoint = errors.New("no complete checkpoint yet")

// LatestCheckpoint returns the directory of a run's newest complete checkpoint: the one that `latest` names, or where
// that file is missing or names none, the one of the most steps. Error: [ErrNoCheckpoint], wrapped.
func LatestCheckpoint(run string) (dir string, err error) {
	dir, _, err = latestCheckpoint(run)
	return dir, err
}

// latestCheckpoint also says what is wrong with `latest`, if something is.
func latestCheckpoint(run string) (dir, wrong string, err error) {
	root := filepath.Join(run, CheckpointsDir)
	file := filepath.Join(root, LatestFile)
	raw, readErr := plainfile.ReadIn(root, LatestFile, 1<<10)
	name := strings.TrimSpace(string(raw))
	if readErr == nil && name != "" && name == filepath.Base(name) && filepath.IsLocal(name) {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			return filepath.Join(root, name), "", nil
		}
	}
	names := Checkpoints(run)
	if len(names) == 0 {
		return "", "", fmt.Errorf("%s: %w: this run is at its beginning; hint: if it is running, wait for its first "+
			"checkpoint, else start it with gpt2wgpu train --resume --out %s", run, ErrNoCheckpoint, run)
	}
	wrong = fmt.Sprintf("%s is missing", file)
	if readErr == nil {
		wrong = fmt.Sprintf("%s names %q, which is not there", file, name)
	}
	return filepath.Join(root, names[0]), fmt.Sprintf("%s: %s, the newest, is used", wrong, names[0]), nil
}
