package gpt2

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
)

const (
	configFile  = "config.json"
	weightsFile = "model.safetensors"
	indexFile   = "model.safetensors.index.json"
	filePrefix  = "transformer." // GPT2LMHeadModel's name for what GPT2Model holds directly
	headName    = "lm_head.weight"

	endOfText = 50256 // <|endoftext|> in GPT-2's vocabulary

	layerNormEpsilon = 1e-5 // GPT-2's; the kernels have no other
)

// ReadDir reads a GPT-2 in Hugging Face's layout: config.json with model.safetensors, or with shards and their
// model.safetensors.index.json. Tensors may be F32, F16 or BF16, with or without the prefix "transformer." and those of
// PyTorch's wrappers ("_orig_mod.", "module."); masks stored as attn.bias and attn.masked_bias are skipped, and so is
// an lm_head.weight that equals wte. Values that are not finite are read as they stand: see [Weights.CheckFinite].
//
// Errors: a missing or malformed file, a model that isn't GPT-2 or uses an option this program lacks (another
// activation, an untied output layer), tensors that are missing, unknown, stored twice, or of another shape than
// config.json says.
func ReadDir(dir string) (*Weights, error) {
	c, err := readConfig(filepath.Join(dir, configFile))
	if err != nil {
		return nil, err
	}
	paths, err := weightFiles(dir)
	if err != nil {
		return nil, err
	}
	var files []*tensorFile
	defer func() {
		for _, f := range files {
			f.close()
		}
	}()
	for _, path := range paths {
		f, err := openTensors(path)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}

	table := Table(c)
	index := make(map[string]int, len(table))
	for i, p := range table {
		index[p.Name] = i
	}
	type source struct {
		file *tensorFile
		fileTensor
	}
	sources := make([]source, len(table))
	var head *source
	for _, f := range files {
		for _, t := range f.tensors {
			name := plainName(t.name)
			if strings.HasSuffix(name, ".attn.bias") || strings.HasSuffix(name, ".attn.masked_bias") {
				continue
			}
			if name == headName {
				if err := f.checkType(t); err != nil {
					return nil, err
				}
				head = &source{f, t}
				continue
			}
			i, ok := index[name]
			if !ok {
				return nil, fileError("read", f.path, unknownHint(t.name),
					"tensor %q: not in a GPT-2 of %d layers", clip(t.name), c.NLayer)
			}
			if sources[i].file != nil {
				return nil, fileError("read", f.path, "remove one of the copies", "tensor %q: stored twice",
					clip(t.name))
			}
			if err := f.checkType(t); err != nil {
				return nil, err
			}
			if want := table[i].fileShape(); !slices.Equal(t.shape, want) {
				hint := "does config.json belong to these weights?"
				if table[i].Conv1D && slices.Equal(t.shape, table[i].Shape) {
					hint = "these are nn.Linear's weights, as nanoGPT has them; Hugging Face's GPT-2 has the " +
						"transpose: see docs/nanogpt_to_hf.py in this program's source"
				}
				return nil, fileError("read", f.path, hint,
					"tensor %q: got shape %v, want %v", clip(t.name), t.shape, want)
			}
			sources[i] = source{f, t}
		}
	}
	for i, s := range sources {
		if s.file == nil {
			hint := "fetch or save the model again; does config.json belong to these weights?"
			if strings.HasSuffix(table[i].Name, ".bias") {
				hint = "GPT-2 has biases: where the model was trained without them, save zeros"
			}
			return nil, fileError("read", dir, hint, "tensor %s: missing, want shape %v", table[i].Name,
				table[i].fileShape())
		}
	}
	if wte := sources[0]; head != nil {
		if !slices.Equal(head.shape, wte.shape) {
			return nil, fileError("read", head.file.path, "only tied output layers are supported",
				"tensor %q: got shape %v, want that of wte, %v", head.name, head.shape, wte.shape)
		}
		if head.dtype != wte.dtype || !bytes.Equal(head.data, wte.data) {
			return nil, fileError("read", head.file.path, "only tied output layers are supported",
				"tensor %q: got values that differ from wte's", head.name)
		}
	}

	w := &Weights{Config: c, Tensors: make([][]float32, len(table))}
	return w, parallel(len(table), func(i int) error {
		s, p := sources[i], table[i]
		w.Tensors[i] = make([]float32, p.Size())
		if p.Conv1D {
			decodeTransposed(w.Tensors[i], s.data, p.Shape[1], p.Shape[0], s.dtype)
		} else {
			decode(w.Tensors[i], s.data, s.dtype)
		}
		return nil
	})
}

// wrappers are the words that PyTorch's wrappers put into names: torch.compile, DataParallel and
// DistributedDataParallel, FSDP.
var wrappers = []string{"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}

// plainName returns a tensor's name without the words of wrappers, wherever they stand, and without "transformer.".
func plainName(name string) string {
	words := slices.DeleteFunc(strings.Split(name, "."), func(w string) bool { return slices.Contains(wrappers, w) })
	return strings.TrimPrefix(strings.Join(words, "."), filePrefix)
}

// unknownHint says what a tensor is that GPT-2 hasn't, where its name says so.
func unknownHint(name string) string {
	switch {
	case strings.Contains(name, "lora_"):
		return loraHint
	case strings.HasPrefix(name, "model."), strings.HasPrefix(name, "gpt_neox."), strings.HasPrefix(name, "bert."),
		strings.HasPrefix(name, "roberta."):
		return "these are the weights of another architecture; only GPT-2 models are supported"
	case strings.HasPrefix(name, "v_head."):
		return "the model has a value head (TRL's, for reinforcement learning): save the language model in it, " +
			"model.pretrained_model.save_pretrained('OUT')"
	case strings.HasPrefix(name, "score."), strings.HasPrefix(name, "classifier."), strings.HasPrefix(name,
		"multiple_choice_head."):
		return "the model has a head that chooses among classes; only language models are supported"
	case strings.HasSuffix(name, "_scale"), strings.HasSuffix(name, "_scale_inv"), strings.Contains(name, ".SCB"),
		strings.Contains(name, "absmax"), strings.HasSuffix(name, ".qweight"):
		return "a quantized model is not read here: use the float32, float16 or bfloat16 one that it was made from"
	}
	return "does config.json belong to these weights?"
}

// weightFiles lists the safetensors files of a directory: the one file, or the shards that the index names.
func weightFiles(dir string) ([]string, error) {
	single := filepath.Join(dir, weightsFile)
	_, err := os.Stat(single)
	if err == nil {
		return []string{single}, nil
	}
	if _, link := os.Lstat(single); link == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil, osError("read", single, err)
	}
	path := filepath.Join(dir, indexFile)
	text, indexErr := readSmall(path, maxHeader)
	if errors.Is(indexErr, fs.ErrNotExist) {
		found, hint := inPlaceOfWeights(dir)
		if found != "" {
			return nil, fileError("read", dir, hint, "got %s, want %s (%w)", found, weightsFile, fs.ErrNotExist)
		}
		return nil, fileError("read", dir, "name a directory with config.json and model.safetensors",
			"neither %s nor %s: %w", weightsFile, indexFile, fs.ErrNotExist)
	}
	if indexErr != nil {
		return nil, indexErr
	}
	if err := refuseForeign(path, text[:min(sniffed, len(text))], "the index of the shards"); err != nil {
		return nil, err
	}
	var index map[string]json.RawMessage
	var weightMap map[string]string
	if err := parseJSON(text, &index); err != nil {
		return nil, fileError("read", path, exactjson.Hint(err, "fetch the file again"), "bad JSON (%s)",
			clip(err.Error()))
	}
	if index["weight_map"] == nil {
		return nil, fileError("read", path, "fetch the file again", `got no "weight_map"`)
	}
	if err := parseJSON(index["weight_map"], &weightMap); err != nil {
		return nil, fileError("read", path, "fetch the file again", "weight_map: %s", clip(err.Error()))
	}
	if len(weightMap) == 0 {
		return nil, fileError("read", path, "fetch the file again", `got an empty "weight_map"`)
	}
	shards := map[string]bool{}
	for tensor, name := range weightMap {
		// an index must not reach outside its directory
		if name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) {
			return nil, fileError("read", path, "fetch the file again", "tensor %q: got shard %q, want a file name",
				clip(tensor), clip(name))
		}
		shard := filepath.Join(dir, name)
		if _, err := os.Lstat(shard); errors.Is(err, fs.ErrNotExist) {
			return nil, fileError("read", shard, "fetch every shard that the index names, or save the model again",
				"%s names it: %w", indexFile, fs.ErrNotExist)
		}
		shards[shard] = true
	}
	var paths []string
	for p := range shards {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	return paths, nil
}

// settings are the fields of a Hugging Face config.json, read by their exact names.
type settings struct {
	path   string
	fields map[string]json.RawMessage
}

const wantConfig = "want Hugging Face's config.json of a GPT-2"

// take decodes a field into to, a pointer to what is there for a field that is absent or null.
func (s settings) take(name string, to any) error {
	raw, ok := s.fields[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	if n, ok := to.(*int); ok { // Python may have written 12.0
		if f := 0.0; parseJSON(raw, &f) == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			*n = int(f)
			return nil
		}
	}
	if err := parseJSON(raw, to); err != nil {
		return s.bad(wantConfig, "bad JSON (%s: %s)", name, clip(err.Error()))
	}
	return nil
}

// takeOne is take for a field that has several names; those that are there must agree.
func (s settings) takeOne(to *int, names ...string) error {
	first := ""
	for _, name := range names {
		v := *to
		if err := s.take(name, &v); err != nil {
			return err
		}
		if raw, ok := s.fields[name]; !ok || string(raw) == "null" {
			continue
		}
		if first != "" && v != *to {
			return s.bad("these are two names of one setting: remove the wrong one", "%s: got %d, but %s is %d", name,
				v, first, *to)
		}
		*to, first = v, name
	}
	return nil
}

func (s settings) bad(hint, format string, args ...any) error {
	return fileError("read", s.path, hint, format, args...)
}

// readConfig reads a config.json. What it leaves out has the default of transformers' GPT2Config, which is GPT-2's.
func readConfig(path string) (Config, error) {
	text, err := readSmall(path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		dir, hint := filepath.Dir(path), "name a directory with config.json and model.safetensors"
		if _, err := os.Stat(filepath.Join(dir, weightsFile)); err == nil {
			hint = "fetch the model's config.json too"
		} else if found, how := inPlaceOfWeights(dir); found != "" {
			return Config{}, fileError("read", dir, how, "got %s, want %s and %s (%w)", found, configFile, weightsFile,
				fs.ErrNotExist)
		}
		if _, link := os.Lstat(path); link != nil {
			return Config{}, fileError("read", path, hint, "%w", fs.ErrNotExist)
		}
	}
	if err != nil {
		return Config{}, err
	}
	if err := refuseForeign(path, text[:min(sniffed, len(text))], "Hugging Face's config.json"); err != nil {
		return Config{}, err
	}
	s := settings{path: path}
	if err := parseJSON(text, &s.fields); err != nil {
		return Config{}, s.bad(exactjson.Hint(err, wantConfig), "bad JSON (%s)", clip(err.Error()))
	}
	model := "gpt2"
	if err := s.take("model_type", &model); err != nil {
		return Config{}, err
	}
	if model != "gpt2" {
		return Config{}, s.bad("only GPT-2 models are supported", "model_type: got %q, want gpt2", clip(model))
	}
	c, _ := Named("gpt2")
	older := c.BlockSize // of n_ctx, which transformers doesn't read any more
	for _, err := range []error{
		s.takeOne(&c.NLayer, "n_layer", "num_hidden_layers"),
		s.takeOne(&c.NHead, "n_head", "num_attention_heads"),
		s.takeOne(&c.NEmbd, "n_embd", "hidden_size"),
		s.take("n_ctx", &older),
	} {
		if err != nil {
			return Config{}, err
		}
	}
	c.BlockSize = older
	if err := s.takeOne(&c.BlockSize, "n_positions", "max_position_embeddings"); err != nil {
		return Config{}, err
	}
	if err := s.take("vocab_size", &c.VocabSize); err != nil {
		return Config{}, err
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, s.checkFixed(c)
}

// checkFixed refuses options of GPT2Config that this program lacks.
func (s settings) checkFixed(c Config) error {
	const fixed = "this program trains GPT-2 as published"
	activation := "gelu_new"
	if err := s.take("activation_function", &activation); err != nil {
		return err
	}
	if activation != "gelu_new" && activation != "gelu_pytorch_tanh" { // two names of one formula
		return s.bad(fixed, "activation_function: got %q, want gelu_new", clip(activation))
	}
	epsilon := layerNormEpsilon
	if err := s.take("layer_norm_epsilon", &epsilon); err != nil {
		return err
	}
	if epsilon != layerNormEpsilon {
		return s.bad(fixed, "layer_norm_epsilon: got %v, want %v", epsilon, layerNormEpsilon)
	}
	inner := 4 * c.NEmbd
	if err := s.take("n_inner", &inner); err != nil {
		return err
	}
	if inner != 4*c.NEmbd {
		return s.bad(fixed, "n_inner: got %d, want %d", inner, 4*c.NEmbd)
	}
	for _, f := range []struct {
		name string
		want bool
	}{
		{"tie_word_embeddings", true}, {"scale_attn_weights", true}, {"scale_attn_by_inverse_layer_idx", false},
		{"add_cross_attention", false},
	} {
		got := f.want
		if err := s.take(f.name, &got); err != nil {
			return err
		}
		if got != f.want {
			return s.bad(fixed, "%s: got %v, want %v", f.name, got, f.want)
		}
	}
	return nil
}

// WriteDir writes w as a Hugging Face directory, float32, that transformers loads as it stands: model.safetensors in
// the Conv1D layout and a complete config.json. The directory is made if it is missing; each file is replaced in one
// step, config.json last. extra adds fields to config.json, or replaces such as bos_token_id; it may be nil, and must
// not touch what describes the weights.
func WriteDir(dir string, w *Weights, extra map[string]any) error {
	if err := w.Validate(); err != nil {
		return fmt.Errorf("write %s: %w", dir, err)
	}
	return WriteDirLazily(dir, w.Config, w.Tensor, extra)
}

// WriteDirLazily is [WriteDir] for weights that need not be in memory at once: it asks for the values of each parameter
// of the table once, in order, and they may be overwritten after that.
func WriteDirLazily(dir string, c Config, values func(i int) ([]float32, error), extra map[string]any) error {
	config, err := configJSON(c, extra)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, configFile), err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return osError("write", dir, err)
	}
	table := Table(c)
	tensors := make([]outTensor, len(table))
	for i, p := range table {
		tensors[i] = outTensor{p.Name, p.fileShape(), func(out *bufio.Writer) error {
			x, err := values(i)
			if err == nil {
				err = checkFills(filepath.Join(dir, weightsFile), p.Name, p.Shape, x)
			}
			if err != nil {
				return err
			}
			if p.Conv1D {
				return writeTransposed(out, x, p.Shape[0], p.Shape[1])
			}
			return writeFloats(out, x)
		}}
	}
	// Without "format" transformers refuses the file.
	if err := writeSafetensors(filepath.Join(dir, weightsFile), tensors,
		map[string]string{"format": "pt"}); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, configFile), func(out *bufio.Writer) error {
		_, err := out.Write(config)
		return err
	})
}

// configJSON is GPT2Config as transformers saves it, keys in alphabetical order.
func configJSON(c Config, extra map[string]any) ([]byte, error) {
	model := map[string]any{
		"activation_function":             "gelu_new",
		"add_cross_attention":             false,
		"architectures":                   []string{"GPT2LMHeadModel"},
		"layer_norm_epsilon":              layerNormEpsilon,
		"model_type":                      "gpt2",
		"n_ctx":                           c.BlockSize,
		"n_embd":                          c.NEmbd,
		"n_head":                          c.NHead,
		"n_inner":                         nil, // 4 n_embd
		"n_layer":                         c.NLayer,
		"n_positions":                     c.BlockSize,
		"scale_attn_by_inverse_layer_idx": false,
		"scale_attn_weights":              true,
		"tie_word_embeddings":             true,
		"torch_dtype":                     "float32",
		"vocab_size":                      c.VocabSize,
	}
	// a Go 0.0 would be written as the integer 0, which typed readers of a dropout rate may refuse
	zero := json.Number("0.0")
	all := map[string]any{
		"attn_pdrop":              zero, // this program trains without dropout; GPT2Config's default would be 0.1
		"embd_pdrop":              zero,
		"resid_pdrop":             zero,
		"initializer_range":       initStd,
		"reorder_and_upcast_attn": false,
		"summary_activation":      nil,
		"summary_first_dropout":   0.1,
		"summary_proj_to_labels":  true,
		"summary_type":            "cls_index",
		"summary_use_proj":        true,
		"use_cache":               true,
		"bos_token_id":            nil, // a byte-level vocabulary has no such token
		"eos_token_id":            nil,
	}
	if c.VocabSize > endOfText {
		all["bos_token_id"], all["eos_token_id"] = endOfText, endOfText
	}
	for k, v := range extra {
		if _, ok := model[k]; ok {
			return nil, fmt.Errorf("extra field %q: it describes the weights; hint: leave it out", k)
		}
		all[k] = v
	}
	for k, v := range model {
		all[k] = v
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("extra fields: %s; hint: give values that JSON can hold", clip(err.Error()))
	}
	return append(text, '\n'), nil
}
