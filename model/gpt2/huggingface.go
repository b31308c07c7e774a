package gpt2

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/parallel"
)

const (
	configFile  = "config.json"
	weightsFile = "model.safetensors"
	indexFile   = "model.safetensors.index.json"
	filePrefix  = "transformer." // GPT2LMHeadModel's name for what GPT2Model holds directly
	headName    = "lm_head.weight"

	endOfText = 50256 // <|endoftext|> in GPT-2's vocabulary

	layerNormEpsilon = 1e-5 // GPT-2's; the kernels have no other

	maxConfig = 1 << 20 // bytes of config.json and generation_config.json
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
	table := Table(c)
	index := make(map[string]int, len(table))
	for i, p := range table {
		index[p.Name] = i
	}
	type source struct {
		file *tensorFile
		fileTensor
	}
	sources := make([]source, len(table)+1) // of the table's, and of the output layer
	index[headName] = len(table)
	for _, path := range paths {
		f, err := openTensors(path)
		if err != nil {
			return nil, err
		}
		defer f.close()
		for _, t := range f.tensors {
			name := plainName(t.name)
			if strings.HasSuffix(name, ".attn.bias") || strings.HasSuffix(name, ".attn.masked_bias") {
				continue
			}
			i, ok := index[name]
			if !ok {
				return nil, fileError(path, unknownHint(t.name), "tensor %q: not in a GPT-2 of %d layers", clip(t.name),
					c.NLayer)
			}
			if sources[i].file != nil {
				return nil, fileError(path, "remove one of the copies", "tensor %q: stored twice", clip(t.name))
			}
			if err := f.checkType(t); err != nil {
				return nil, err
			}
			sources[i] = source{f, t}
		}
	}
	for i, p := range table {
		s, want := sources[i], p.fileShape()
		if s.file == nil {
			hint := "fetch or save the model again; " + otherConfig
			if strings.HasSuffix(p.Name, ".bias") {
				hint = "GPT-2 has biases: where the model was trained without them, save zeros"
			}
			return nil, fileError(dir, hint, "tensor %s: missing, want shape %v", p.Name, want)
		}
		if !slices.Equal(s.shape, want) {
			hint := otherConfig
			if p.Conv1D && slices.Equal(s.shape, p.Shape) {
				hint = "these are nn.Linear's weights, as nanoGPT has them; Hugging Face's GPT-2 has the transpose: " +
					"see docs/nanogpt_to_hf.py in this program's source"
			}
			return nil, fileError(s.file.path, hint, "tensor %q: got shape %v, want %v", clip(s.name), s.shape, want)
		}
	}
	if wte, head := sources[0], sources[len(table)]; head.file != nil {
		same := slices.Equal(head.shape, wte.shape) && head.dtype == wte.dtype
		if err := guard(head.file.path, func() error {
			same = same && bytes.Equal(head.data, wte.data)
			return nil
		}); err != nil {
			return nil, err
		}
		if !same {
			return nil, fileError(head.file.path, "only tied output layers are supported", "tensor %q of shape %v "+
				"differs from wte, of shape %v", clip(head.name), head.shape, wte.shape)
		}
	}

	w := newWeights(c)
	err = parallel.Do(len(table), func(i int) error {
		s, p := sources[i], table[i]
		return guard(s.file.path, func() error {
			if p.Conv1D {
				decodeTransposed(w.Tensors[i], s.data, p.Shape[1], p.Shape[0], s.dtype)
			} else {
				decode(w.Tensors[i], s.data, s.dtype)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// wrappers are the words that PyTorch's wrappers put into names: torch.compile, DataParallel and
// DistributedDataParallel, FSDP.
var wrappers = []string{"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}

// plainName returns a tensor's name without the words of wrappers, wherever they stand, and without "transformer.".
func plainName(name string) string {
	words := slices.DeleteFunc(strings.Split(name, "."), func(w string) bool { return slices.Contains(wrappers, w) })
	return strings.TrimPrefix(strings.Join(words, "."), filePrefix)
}

const quantizedHint = "a quantized model is not read here: use the float32, float16 or bfloat16 one that it was made " +
	"from"

// alien are tensors that GPT-2 hasn't, by a pattern of their names, with what they are.
var alien = []struct {
	pattern *regexp.Regexp
	hint    string
}{
	{regexp.MustCompile(`lora_`), loraHint},
	{regexp.MustCompile(`^(model|gpt_neox|bert|roberta)\.`),
		"these are the weights of another architecture; only GPT-2 models are supported"},
	{regexp.MustCompile(`^v_head\.`), "the model has a value head (TRL's, for reinforcement learning): save the " +
		"language model in it, model.pretrained_model.save_pretrained('OUT')"},
	{regexp.MustCompile(`^(score|classifier|multiple_choice_head)\.`),
		"the model has a head that chooses among classes; only language models are supported"},
	{regexp.MustCompile(`_scale(_inv)?$|\.SCB|absmax|\.qweight$`), quantizedHint},
}

const otherConfig = "does config.json belong to these weights?"

// unknownHint says what a tensor is that GPT-2 hasn't, where its name says so.
func unknownHint(name string) string {
	for _, a := range alien {
		if a.pattern.MatchString(name) {
			return a.hint
		}
	}
	return otherConfig
}

// weightFiles lists the safetensors files of a directory: the one file, or the shards that the index names.
func weightFiles(dir string) ([]string, error) {
	single := filepath.Join(dir, weightsFile)
	_, err := os.Stat(single)
	if err == nil {
		return []string{single}, nil
	}
	if _, link := os.Lstat(single); link == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil, osError(single, err)
	}
	path := filepath.Join(dir, indexFile)
	text, indexErr := readSmall(path, maxHeader)
	if errors.Is(indexErr, fs.ErrNotExist) {
		return nil, noModel(dir)
	}
	if indexErr != nil {
		return nil, indexErr
	}
	if err := refuseForeign(path, text, "the index of the shards"); err != nil {
		return nil, err
	}
	const again = "fetch the file again"
	var index map[string]json.RawMessage
	if err := parseJSON(text, &index); err != nil {
		return nil, fileError(path, exactjson.Hint(err, again), "bad JSON (%s)", clip(err.Error()))
	}
	var weightMap map[string]string
	if err := parseJSON(index["weight_map"], &weightMap); err != nil {
		return nil, fileError(path, again, "weight_map: %s", clip(err.Error()))
	}
	if len(weightMap) == 0 {
		return nil, fileError(path, again, "weight_map: got no tensors")
	}
	shards := map[string]bool{}
	for tensor, name := range weightMap {
		// an index must not reach outside its directory
		if name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) ||
			strings.ContainsFunc(name, unicode.IsControl) {
			return nil, fileError(path, again, "tensor %q: got shard %q, want a file name", clip(tensor), clip(name))
		}
		shard := filepath.Join(dir, name)
		if _, err := os.Lstat(shard); errors.Is(err, fs.ErrNotExist) {
			return nil, fileError(shard, "fetch every shard that the index names, or save the model again",
				"%s names it: %w", indexFile, fs.ErrNotExist)
		}
		shards[shard] = true
	}
	return slices.Sorted(maps.Keys(shards)), nil
}

// noModel says what a directory holds in the place of a model.
func noModel(dir string) error {
	if found, hint := inPlaceOfWeights(dir); found != "" {
		return fileError(dir, hint, "got %s, want %s and %s (%w)", found, configFile, weightsFile, fs.ErrNotExist)
	}
	return fileError(dir, "name a directory with config.json and model.safetensors", "neither %s nor %s with %s: %w",
		weightsFile, indexFile, configFile, fs.ErrNotExist)
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

// fixed refuses a field that is there and has none of the values that this program has; without a hint, the hint says
// that.
func (s settings) fixed(hint, name string, want ...any) error {
	got := reflect.New(reflect.TypeOf(want[0]))
	got.Elem().Set(reflect.ValueOf(want[0]))
	if err := s.take(name, got.Interface()); err != nil {
		return err
	}
	if v := got.Elem().Interface(); !slices.Contains(want, v) {
		return s.bad(cmp.Or(hint, "this program trains GPT-2 as published"), "%s: got %s, want %v", name,
			clip(fmt.Sprintf("%#v", v)), want[0])
	}
	return nil
}

func (s settings) bad(hint, format string, args ...any) error {
	return fileError(s.path, hint, format, args...)
}

// readConfig reads a config.json. What it leaves out has the default of transformers' GPT2Config, which is GPT-2's.
func readConfig(path string) (Config, error) {
	text, err := readSmall(path, maxConfig)
	if _, link := os.Lstat(path); link != nil && errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), weightsFile)); err == nil {
			return Config{}, fileError(path, "fetch the model's config.json too", "%w", fs.ErrNotExist)
		}
		return Config{}, noModel(filepath.Dir(path))
	}
	if err != nil {
		return Config{}, err
	}
	if err := refuseForeign(path, text, "Hugging Face's config.json"); err != nil {
		return Config{}, err
	}
	s := settings{path: path}
	if err := parseJSON(text, &s.fields); err != nil {
		return Config{}, s.bad(exactjson.Hint(err, wantConfig), "bad JSON (%s)", clip(err.Error()))
	}
	c, _ := Named("gpt2")
	if err := cmp.Or(
		s.fixed("only GPT-2 models are supported", "model_type", "gpt2"),
		s.takeOne(&c.NLayer, "n_layer", "num_hidden_layers"),
		s.takeOne(&c.NHead, "n_head", "num_attention_heads"),
		s.takeOne(&c.NEmbd, "n_embd", "hidden_size"),
		s.take("n_ctx", &c.BlockSize), // today's transformers does not read it
		s.takeOne(&c.BlockSize, "n_positions", "max_position_embeddings"),
		s.take("vocab_size", &c.VocabSize),
	); err != nil {
		return Config{}, err
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, cmp.Or(
		s.fixed("", "activation_function", "gelu_new", "gelu_pytorch_tanh"), // two names of one formula
		s.fixed("", "layer_norm_epsilon", layerNormEpsilon),
		s.fixed("", "n_inner", 4*c.NEmbd),
		s.fixed("", "tie_word_embeddings", true),
		s.fixed("", "scale_attn_weights", true),
		s.fixed("", "scale_attn_by_inverse_layer_idx", false),
		s.fixed("", "add_cross_attention", false))
}

// WriteDir writes weights of shape c as a Hugging Face directory, float32, that transformers loads as it stands:
// model.safetensors in the Conv1D layout and a complete config.json. values returns those of parameter i of the table,
// as [WriteSafetensors] asks for them. The directory is made if it is missing; each file is replaced in one step,
// config.json last. extra adds fields to config.json, or replaces such as bos_token_id; it may be nil, and must not
// touch what describes the weights.
func WriteDir(dir string, c Config, values func(i int) ([]float32, error), extra map[string]any) error {
	config, err := configJSON(c, extra)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, configFile), err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("write %w", osError(dir, err))
	}
	// Without "format" transformers refuses the file.
	format := map[string]string{"format": "pt"}
	if err := WriteSafetensors(filepath.Join(dir, weightsFile), Table(c), values, format); err != nil {
		return err
	}
	return writeBytes(filepath.Join(dir, configFile), config)
}

// configJSON is GPT2Config as transformers saves it, keys in alphabetical order.
func configJSON(c Config, extra map[string]any) ([]byte, error) {
	model := map[string]any{ // what describes the weights
		"model_type": "gpt2", "architectures": []string{"GPT2LMHeadModel"}, "torch_dtype": "float32",
		"n_layer": c.NLayer, "n_head": c.NHead, "n_embd": c.NEmbd, "n_inner": nil, // 4 n_embd
		"n_ctx": c.BlockSize, "n_positions": c.BlockSize, "vocab_size": c.VocabSize,
		"activation_function": "gelu_new", "layer_norm_epsilon": layerNormEpsilon,
		"scale_attn_weights": true, "scale_attn_by_inverse_layer_idx": false,
		"tie_word_embeddings": true, "add_cross_attention": false,
	}
	// a Go 0.0 would be written as the integer 0, which typed readers of a dropout rate may refuse
	zero := json.Number("0.0")
	all := map[string]any{
		// this program trains without dropout; GPT2Config's default would be 0.1
		"attn_pdrop": zero, "embd_pdrop": zero, "resid_pdrop": zero,
		"bos_token_id": nil, "eos_token_id": nil, // a byte-level vocabulary has no such tokens
		"initializer_range": initStd, "reorder_and_upcast_attn": false, "use_cache": true,
		"summary_type": "cls_index", "summary_use_proj": true, "summary_proj_to_labels": true,
		"summary_activation": nil, "summary_first_dropout": 0.1,
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
	maps.Copy(all, model)
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("extra fields: %s; hint: give values that JSON can hold", clip(err.Error()))
	}
	return append(text, '\n'), nil
}
