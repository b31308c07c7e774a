package gpt2

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
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
// model.safetensors.index.json. Tensors may be F32, F16 or BF16, with or without the prefix "transformer."; masks stored
// as attn.bias and attn.masked_bias are skipped, and so is an lm_head.weight that equals wte.
//
// Errors: a missing or malformed file, a model that isn't GPT-2 or uses an option this program lacks (another activation,
// an untied output layer), tensors that are missing, unknown, stored twice, or of another shape than config.json says.
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
			name := strings.TrimPrefix(t.name, filePrefix)
			if strings.HasSuffix(name, ".attn.bias") || strings.HasSuffix(name, ".attn.masked_bias") {
				continue
			}
			if err := f.checkType(t); err != nil {
				return nil, err
			}
			if name == headName {
				head = &source{f, t}
				continue
			}
			i, ok := index[name]
			if !ok {
				return nil, fileError("read", f.path, "does config.json belong to these weights?",
					"tensor %q: not in a GPT-2 of %d layers", clip(t.name), c.NLayer)
			}
			if sources[i].file != nil {
				return nil, fileError("read", f.path, "remove one of the copies", "tensor %q: stored twice", clip(t.name))
			}
			if want := table[i].fileShape(); !slices.Equal(t.shape, want) {
				return nil, fileError("read", f.path, "does config.json belong to these weights?",
					"tensor %q: got shape %v, want %v", clip(t.name), t.shape, want)
			}
			sources[i] = source{f, t}
		}
	}
	for i, s := range sources {
		if s.file == nil {
			return nil, fileError("read", dir, "fetch or save the model again", "tensor %s: missing, want shape %v", table[i].Name, table[i].fileShape())
		}
	}
	if wte := sources[0]; head != nil {
		if !slices.Equal(head.shape, wte.shape) {
			return nil, fileError("read", head.file.path, "only tied output layers are supported", "tensor %q: got shape %v, want that of wte, %v", head.name, head.shape, wte.shape)
		}
		if head.dtype != wte.dtype || !bytes.Equal(head.data, wte.data) {
			return nil, fileError("read", head.file.path, "only tied output layers are supported", "tensor %q: got values that differ from wte's", head.name)
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

// weightFiles lists the safetensors files of a directory: the one file, or the shards that the index names.
func weightFiles(dir string) ([]string, error) {
	single := filepath.Join(dir, weightsFile)
	_, err := os.Stat(single)
	if err == nil {
		return []string{single}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, osError("read", single, err)
	}
	path := filepath.Join(dir, indexFile)
	text, indexErr := readSmall(path, maxHeader)
	if errors.Is(indexErr, fs.ErrNotExist) {
		hint := "name a directory with config.json and model.safetensors"
		if _, err := os.Stat(filepath.Join(dir, "pytorch_model.bin")); err == nil {
			hint = "pytorch_model.bin is not read here: save the model with safe_serialization=True in transformers"
		}
		return nil, fileError("read", dir, hint, "neither %s nor %s: %w", weightsFile, indexFile, fs.ErrNotExist)
	}
	if indexErr != nil {
		return nil, indexErr
	}
	var parsed struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, fileError("read", path, "fetch the file again", "bad JSON (%s)", clip(err.Error()))
	}
	if len(parsed.WeightMap) == 0 {
		return nil, fileError("read", path, "fetch the file again", `got no "weight_map"`)
	}
	shards := map[string]bool{}
	for tensor, name := range parsed.WeightMap {
		if name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) { // an index must not reach outside its directory
			return nil, fileError("read", path, "fetch the file again", "tensor %q: got shard %q, want a file name", clip(tensor), clip(name))
		}
		shards[filepath.Join(dir, name)] = true
	}
	var paths []string
	for p := range shards {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	return paths, nil
}

// hfConfig is what of a Hugging Face config.json decides whether the model is one of ours. Absent fields have the
// defaults of transformers' GPT2Config, which are GPT-2's.
type hfConfig struct {
	ModelType        *string  `json:"model_type"`
	NLayer           *int     `json:"n_layer"`
	NHead            *int     `json:"n_head"`
	NEmbd            *int     `json:"n_embd"`
	NPositions       *int     `json:"n_positions"`
	NCtx             *int     `json:"n_ctx"` // n_positions' older name
	VocabSize        *int     `json:"vocab_size"`
	NInner           *int     `json:"n_inner"`
	Activation       *string  `json:"activation_function"`
	LayerNormEpsilon *float64 `json:"layer_norm_epsilon"`
	Tie              *bool    `json:"tie_word_embeddings"`
	ScaleWeights     *bool    `json:"scale_attn_weights"`
	ScaleByLayer     *bool    `json:"scale_attn_by_inverse_layer_idx"`
	CrossAttention   *bool    `json:"add_cross_attention"`
}

func readConfig(path string) (Config, error) {
	text, err := readSmall(path, 1<<20)
	if err != nil {
		return Config{}, err
	}
	bad := func(hint, format string, args ...any) (Config, error) {
		return Config{}, fileError("read", path, hint, format, args...)
	}
	var h hfConfig
	if err := json.Unmarshal(text, &h); err != nil {
		return bad("want Hugging Face's config.json of a GPT-2", "bad JSON (%s)", clip(err.Error()))
	}
	if h.ModelType != nil && *h.ModelType != "gpt2" {
		return bad("only GPT-2 models are supported", "model_type: got %q, want gpt2", clip(*h.ModelType))
	}
	if h.NPositions == nil {
		h.NPositions = h.NCtx
	}
	var c Config
	for _, f := range []struct {
		name string
		from *int
		to   *int
	}{
		{"n_layer", h.NLayer, &c.NLayer},
		{"n_head", h.NHead, &c.NHead},
		{"n_embd", h.NEmbd, &c.NEmbd},
		{"n_positions", h.NPositions, &c.BlockSize},
		{"vocab_size", h.VocabSize, &c.VocabSize},
	} {
		if f.from == nil {
			return bad("want Hugging Face's config.json of a GPT-2", "%s: missing", f.name)
		}
		*f.to = *f.from
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("read %s: %w", path, err)
	}
	const fixed = "this program trains GPT-2 as published"
	switch {
	case h.Activation != nil && *h.Activation != "gelu_new" && *h.Activation != "gelu_pytorch_tanh": // two names of one formula
		return bad(fixed, "activation_function: got %q, want gelu_new", clip(*h.Activation))
	case h.LayerNormEpsilon != nil && *h.LayerNormEpsilon != layerNormEpsilon:
		return bad(fixed, "layer_norm_epsilon: got %v, want %v", *h.LayerNormEpsilon, layerNormEpsilon)
	case h.NInner != nil && *h.NInner != 4*c.NEmbd:
		return bad(fixed, "n_inner: got %d, want %d", *h.NInner, 4*c.NEmbd)
	case h.Tie != nil && !*h.Tie:
		return bad(fixed, "tie_word_embeddings: got false, want true")
	case h.ScaleWeights != nil && !*h.ScaleWeights:
		return bad(fixed, "scale_attn_weights: got false, want true")
	case h.ScaleByLayer != nil && *h.ScaleByLayer:
		return bad(fixed, "scale_attn_by_inverse_layer_idx: got true, want false")
	case h.CrossAttention != nil && *h.CrossAttention:
		return bad(fixed, "add_cross_attention: got true, want false")
	}
	return c, nil
}

// WriteDir writes w as a Hugging Face directory, float32, that transformers loads as it stands: model.safetensors in the
// Conv1D layout and a complete config.json. The directory is made if it is missing; each file is replaced in one step,
// config.json last. extra adds fields to config.json, or replaces such as bos_token_id; it may be nil, and must not touch
// what describes the weights.
func WriteDir(dir string, w *Weights, extra map[string]any) error {
	if err := w.Validate(); err != nil {
		return fmt.Errorf("write %s: %w", dir, err)
	}
	config, err := configJSON(w.Config, extra)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, configFile), err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return osError("write", dir, err)
	}
	table := Table(w.Config)
	tensors := make([]outTensor, len(table))
	for i, p := range table {
		x := w.Tensors[i]
		tensors[i] = outTensor{p.Name, p.fileShape(), func(out *bufio.Writer) error {
			if p.Conv1D {
				return writeTransposed(out, x, p.Shape[0], p.Shape[1])
			}
			return writeFloats(out, x)
		}}
	}
	// Without "format" transformers refuses the file.
	if err := writeSafetensors(filepath.Join(dir, weightsFile), tensors, map[string]string{"format": "pt"}); err != nil {
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
	zero := json.Number("0.0") // a Go 0.0 would be written as the integer 0, which typed readers of a dropout rate may refuse
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
