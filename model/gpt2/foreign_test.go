package gpt2

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nlpodyssey/safetensors"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// few is the smallest model.
var few = Config{NLayer: 1, NHead: 1, NEmbd: 4, BlockSize: 2, VocabSize: 3}

// hfDir writes w as Hugging Face's files and returns the directory.
func hfDir(t *testing.T, w *Weights) string {
	t.Helper()
	dir := t.TempDir()
	if err := writeDir(dir, w, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// plain checks that an error has no word of Go.
func plain(t *testing.T, err error) {
	t.Helper()
	for _, word := range []string{"unmarshal", "Go ", " json:", "interface", "map[", "json.Number", "int64",
		"strconv"} {
		if err != nil && strings.Contains(err.Error(), word) {
			t.Errorf("%q speaks of Go: %q", err, word)
		}
	}
}

const lfsPointer = "version https://git-lfs.github.com/spec/v1\noid " +
	"sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 548105171\n"

// TestForeignFiles: what stands in the place of weights is named, with the way to the weights.
func TestForeignFiles(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"LFS pointer": {lfsPointer, []string{"Git LFS pointer", "git lfs pull"}},
		"web page":    {"\n<!DOCTYPE html>\n<html lang=\"en\">", []string{"HTML", "download link"}},
		"empty":       {"", []string{"empty file"}},
		"zip":         {"PK\x03\x04\x00\x00\x08\x08" + strings.Repeat("\x00", 600), []string{"PyTorch checkpoint"}},
		"pickle": {"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + strings.Repeat("\x00", 600),
			[]string{"PyTorch checkpoint"}},
		"GGUF":          {"GGUF\x03\x00\x00\x00" + strings.Repeat("\x00", 600), []string{"GGUF"}},
		"NumPy":         {"\x93NUMPY\x01\x00v\x00{'descr'" + strings.Repeat(" ", 600), []string{"NumPy", "--data"}},
		"TensorFlow":    {"\x89HDF\r\n\x1a\n" + strings.Repeat("\x00", 600), []string{"HDF5", "from_tf=True"}},
		"random":        {strings.Repeat("\xa5\x5a\x17", 600), nil},
		"shorter still": {"ab", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := hfDir(t, numbered(few))
			path := write(t, filepath.Join(dir, weightsFile), c.content)
			_, _, err := Load(dir)
			wantError(t, err, append(c.want, path)...)
			for _, file := range []string{"model.bin", "ckpt.pt", "model.pth", "x.ckpt"} {
				path := write(t, filepath.Join(dir, file), c.content)
				_, _, err := Load(path)
				wantError(t, err, append(c.want, path)...)
				if _, err := Shape(path); err == nil {
					t.Errorf("%s has a shape", path)
				}
			}
			os.RemoveAll(dir)
			dir = hfDir(t, numbered(few))
			path = write(t, filepath.Join(dir, configFile), c.content)
			_, _, err = Load(dir)
			if c.want == nil || strings.Contains(c.want[0], "PyTorch") {
				wantError(t, err, path)
			} else {
				wantError(t, err, append(c.want, path)...)
			}
			plain(t, err)
			write(t, filepath.Join(dir, indexFile), c.content)
			os.Remove(filepath.Join(dir, weightsFile))
			_, err = weightFiles(dir)
			wantError(t, err, indexFile)
			plain(t, err)
		})
	}
	_, _, err := Load(filepath.Join(hfDir(t, numbered(few)), weightsFile)) // the file itself
	wantError(t, err, "name its directory")
}

// TestWithoutSafetensors: a directory of other files says which, and the command that converts them.
func TestWithoutSafetensors(t *testing.T) {
	for file, want := range map[string][]string{
		"pytorch_model.bin": {"pytorch_model.bin", "python3 -c", "from_pretrained('",
			"safe_serialization=True"},
		"pytorch_model.bin.index.json":     {"sharded pytorch_model", "python3 -c", "safe_serialization=True"},
		"pytorch_model-00001-of-00002.bin": {"sharded pytorch_model", "python3 -c"},
		"adapter_model.safetensors":        {"adapter (LoRA)", "merge_and_unload"},
		"adapter_config.json":              {"adapter (LoRA)", "merge_and_unload"},
		"gpt2.Q4_0.gguf":                   {"gpt2.Q4_0.gguf", "GGUF"},
		"tf_model.h5":                      {"tf_model.h5", "from_tf=True"},
		"flax_model.msgpack":               {"flax_model.msgpack", "from_flax=True"},
		"ckpt.pt":                          {"ckpt.pt", "nanoGPT"},
		"weights.pth":                      {"weights.pth"},
		"last.ckpt":                        {"last.ckpt"},
		"model-00001-of-00002.safetensors": {"shards without their index", "model.safetensors.index.json"},
		"gpt2-small.safetensors":           {"gpt2-small.safetensors", "rename it to model.safetensors"},
		"README.md":                        {"model.safetensors"},
	} {
		for _, withConfig := range []bool{true, false} {
			dir := filepath.Join(t.TempDir(), "a [b]")
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if withConfig {
				os.Rename(filepath.Join(modelDir(t, few, nil), configFile), filepath.Join(dir, configFile))
			}
			write(t, filepath.Join(dir, file), "x")
			_, _, err := Load(dir)
			wantError(t, err, append(want, dir)...)
		}
	}
	for _, file := range []string{"pytorch_model.bin", "pytorch_model-00001-of-00002.bin"} {
		dir := modelDir(t, few, nil)
		write(t, filepath.Join(dir, file), "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
		_, _, err := Load(dir)
		wantError(t, err, file, "Git LFS pointer", "git lfs pull")
	}
	for below, want := range map[string]string{
		"snapshots/abc/config.json": "snapshots/abc", "first/checkpoints/latest": "first",
		"checkpoint-500/config.json": "checkpoint-500", "metrics.jsonl": "no complete checkpoint yet",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, filepath.FromSlash(below))
		os.MkdirAll(filepath.Dir(path), 0o777)
		write(t, path, "")
		write(t, filepath.Join(dir, configFile), `{"n_layer": 2, "block_size": 64}`) // as a run has it
		_, _, err := Load(dir)
		if wantError(t, err, dir); err != nil && !strings.Contains(filepath.ToSlash(err.Error()), want) {
			t.Errorf("%s: %v", below, err)
		}
	}
	dir := t.TempDir()
	if err := WriteLLMC(filepath.Join(dir, "gpt2_124M.bin"), numbered(few), nil); err != nil {
		t.Fatal(err)
	}
	_, _, err := Load(dir)
	wantError(t, err, "llm.c's gpt2_124M.bin", "name the file")
	os.Rename(filepath.Join(dir, "gpt2_124M.bin"), filepath.Join(dir, "weights"))
	// its first bytes say what it is
	if w, _, err := Load(filepath.Join(dir, "weights")); err != nil || w.Config != few {
		t.Errorf("%v", err)
	}
	dir = hfDir(t, numbered(few))
	os.Remove(filepath.Join(dir, configFile))
	_, _, err = Load(dir)
	wantError(t, err, configFile, "fetch the model's config.json")
}

// TestBrokenLink: an interrupted download leaves links to nothing in the hub's cache.
func TestBrokenLink(t *testing.T) {
	needs.Symlinks(t)
	for _, name := range []string{configFile, weightsFile} {
		dir := hfDir(t, numbered(few))
		os.Remove(filepath.Join(dir, name))
		if err := os.Symlink(filepath.Join(dir, "blobs", "x"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		_, _, err := Load(dir)
		wantError(t, err, name, "a link to a file that is missing")
	}
}

// TestNotFinite: NaN and the infinities, of every type that files have, are refused by tensor, place and kind.
func TestNotFinite(t *testing.T) {
	for _, c := range []struct {
		value float32
		name  string
	}{{float32(math.NaN()), "NaN"}, {math.Float32frombits(0xffc00001), "NaN"}, {float32(math.Inf(1)), "+Inf"},
		{float32(math.Inf(-1)), "-Inf"}} {
		w := numbered(odd)
		w.Get("h.1.attn.c_attn.weight")[2*20+7] = c.value // (OC,K) [2 7]
		dir := hfDir(t, w)
		_, _, err := Load(dir)
		wantError(t, err, dir, "h.1.attn.c_attn.weight", "[7 2]", "[20 60]", c.name)

		file := filepath.Join(t.TempDir(), "m.bin")
		if err := WriteLLMC(file, w, nil); err != nil {
			t.Fatal(err)
		}
		_, _, err = Load(file)
		wantError(t, err, file, "h.1.attn.c_attn.weight", "[7 2]", c.name)
	}
	// Halves: 70000 overflows float16 when it is saved.
	for _, dtype := range []safetensors.DType{safetensors.F16, safetensors.BF16} {
		dir := modelDir(t, few, nil)
		tensors := hfTensors(t, numbered(few), dtype, filePrefix)
		bits := map[safetensors.DType]uint16{safetensors.F16: 0x7c00, safetensors.BF16: 0x7f80}[dtype]
		raw := binary.LittleEndian.AppendUint16(make([]byte, 6), bits)
		tensors["transformer.ln_f.weight"], _ = safetensors.NewTensorView(dtype, []uint64{4}, raw)
		rawFile(t, filepath.Join(dir, weightsFile), tensors)
		_, _, err := Load(dir)
		wantError(t, err, "ln_f.weight", "[3]", "+Inf")
	}
	// The largest numbers are numbers.
	w := numbered(few)
	w.Get("ln_f.bias")[1] = math.MaxFloat32
	if _, _, err := Load(hfDir(t, w)); err != nil {
		t.Error(err)
	}
}

func BenchmarkCheckFinite(b *testing.B) {
	w := newWeights(Config{NLayer: 4, NHead: 12, NEmbd: 768, BlockSize: 1024, VocabSize: 50257})
	b.SetBytes(int64(4 * ParamCount(w.Config)))
	for b.Loop() {
		if err := w.CheckFinite("x"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestWrappedNames strips what torch.compile, DataParallel and FSDP put into names.
func TestWrappedNames(t *testing.T) {
	want := numbered(few)
	for _, prefix := range []string{
		"_orig_mod.", "module.", "_orig_mod.transformer.", "module.transformer.", "module._orig_mod.transformer.",
		"_orig_mod.module.transformer.",
		"_orig_mod.module.", "transformer._orig_mod.", "_fsdp_wrapped_module.transformer.",
	} {
		dir := modelDir(t, few, nil)
		tensors := hfTensors(t, want, safetensors.F32, prefix)
		tensors[strings.TrimSuffix(prefix, filePrefix)+headName] = tensors[prefix+"wte.weight"]
		mask, _ := safetensors.NewTensorView(safetensors.BOOL, []uint64{1, 1, 2, 2}, []byte{1, 0, 1, 1})
		tensors[prefix+"h.0.attn.bias"] = mask
		rawFile(t, filepath.Join(dir, weightsFile), tensors)
		got, _, err := Load(dir)
		if err != nil {
			t.Errorf("%s: %v", prefix, err)
			continue
		}
		if err := sameBits(got, want); err != nil {
			t.Errorf("%s: %v", prefix, err)
		}
	}
	// Per block, as torch.compile does it there.
	tensors := map[string]safetensors.TensorView{}
	for name, v := range hfTensors(t, want, safetensors.F32, "transformer.") {
		tensors[strings.Replace(name, "h.0.", "h.0._orig_mod.", 1)] = v
	}
	dir := modelDir(t, few, nil)
	rawFile(t, filepath.Join(dir, weightsFile), tensors)
	if _, _, err := Load(dir); err != nil {
		t.Error(err)
	}
	// An output layer of its own is refused under every name.
	maps.DeleteFunc(tensors, func(name string, _ safetensors.TensorView) bool { return name == headName })
	tensors["_orig_mod."+headName] = view(t, safetensors.F32, []int{3, 4}, make([]float32, 12))
	rawFile(t, filepath.Join(dir, weightsFile), tensors)
	_, _, err := Load(dir)
	wantError(t, err, "_orig_mod.lm_head.weight", "differ")
}

// TestConfigDefaults: what config.json leaves out is GPT-2's, and transformers' other names are taken.
func TestConfigDefaults(t *testing.T) {
	gpt2, _ := Named("gpt2")
	for text, want := range map[string]Config{
		`{}`:                            gpt2,
		"\ufeff" + `{"n_layer": 12}`:    gpt2,
		`{"n_layer": null, "n_head":6}`: {NLayer: 12, NHead: 6, NEmbd: 768, BlockSize: 1024, VocabSize: 50257},
		`{"model_type":"gpt2","num_hidden_layers":3,"num_attention_heads":5,"hidden_size":20,` +
			`"max_position_embeddings":33,"vocab_size":257}`: odd,
		`{"n_layer":3,"num_hidden_layers":3,"n_head":5,"n_embd":20.0,"n_ctx":33,"vocab_size":257}`: odd,
		`{"n_layer":3,"n_head":5,"n_embd":20,"n_ctx":1024,"n_positions":33,"vocab_size":257,"N_LAYER":7,` +
			`"Vocab_Size":9}`: odd,
		`{"n_inner":null,"activation_function":"gelu_new","layer_norm_epsilon":1e-05,"scale_attn_weights":true,` +
			`"quantization_config":null}`: gpt2,
	} {
		got, err := readConfig(write(t, filepath.Join(t.TempDir(), configFile), text))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string][]string{
		`{"n_layer":3,"num_hidden_layers":4}`:             {"num_hidden_layers", "n_layer", "two names"},
		`{"n_positions":64,"max_position_embeddings":32}`: {"max_position_embeddings", "n_positions"},
		`{"n_embd":"768"}`:                                {"bad JSON", "n_embd", "a string, want a whole number"},
		`{"n_embd":12.5}`:                                 {"n_embd", "12.5", "a whole number"},
		`{"n_embd":[1,2]}`:                                {"n_embd", "a list"},
		`{"layer_norm_epsilon":"1e-5"}`:                   {"layer_norm_epsilon", "a number"},
		`{"model_type":3}`:                                {"model_type", "a number, want a string"},
		`{"model_type":"llama"}`:                          {`"llama"`, "only GPT-2"},
		`{"tie_word_embeddings":"yes"}`:                   {"tie_word_embeddings", "true or false"},
		`{"activation_function":"gelu"}`:                  {"activation_function", `"gelu"`},
		`{"scale_attn_weights":false}`:                    {"scale_attn_weights"},
		`[1]`:                                             {"bad JSON", "a list, want an object"},
		`null`:                                            {"bad JSON", "null"},
		`{"n_layer":2,` + "\n" + ` "initializer_range": NaN}`: {"bad JSON", "byte 36", "NaN", "Python", "null"},
		`{"x": -Infinity}`: {"Infinity", "Python"},
		`{"x": Infinity}`:  {"Infinity", "Python"},
		`{"n_layer":2`:     {"byte 12"},
		`{'n_layer':2}`:    {"bad JSON", "byte 1", "double quotes"},
	} {
		_, err := readConfig(write(t, filepath.Join(t.TempDir(), configFile), text))
		wantError(t, err, append(want, configFile)...)
		plain(t, err)
	}
}

// TestForeignTensors: types and names that are not read say which tensor and what it is.
func TestForeignTensors(t *testing.T) {
	header := func(text string) string {
		return string(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))) + text
	}
	for text, want := range map[string][]string{
		`{"ln_f.bias":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}`: {
			"ln_f.bias", "F8_E4M3", "F32, F16 or BF16", "quantized"},
		`{"ln_f.bias":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[0,4]}}`: {
			"ln_f.bias", "F8_E5M2"},
		`{"ln_f.bias":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}}`: {
			"ln_f.bias", "F4"},
		`{"ln_f.bias":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`: {
			"ln_f.bias", "U8"},
		`{"__metadata__":{"format":"pt","step":100},"ln_f.bias":{"dtype":"F8","shape":[4],"data_offsets":[0,4]}}`: {
			"__metadata__", "step", "a number, want a string", "str("},
		`{"__metadata__":"pt","ln_f.bias":{"dtype":"F8","shape":[4],"data_offsets":[0,4]}}`: {
			"__metadata__", "a string, want an object"},
		`{"__metadata__":{"loss":null},"a":{"dtype":"F8","shape":[4],"data_offsets":[0,4]}}`: {
			"__metadata__", "loss", "null"},
		`{"a":{"dtype":"F16","shape":[1.5],"data_offsets":[0,4]}}`: {
			`\"a\": shape`, "1.5"},
		`{"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}}`: {
			"dtype", "a number, want a string"},
		`{"a":{"shape":[1],"data_offsets":[0,4]}}`: {
			"dtype", "missing"},
		`{"a":[1,2]}`: {"a list, want an object"},
		`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},` +
			`"a2":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`: {"begins at byte 0"},
		`{"base_model.model.transformer.h.0.attn.c_attn.lora_A.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,` +
			`4]}}`: {"lora_A", "merge"},
		`{"model.embed_tokens.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`: {
			"model.embed_tokens.weight", "another architecture"},
		`{"score.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`: {
			"score.weight", "classes"},
		`{"ln_f.bias":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`: {
			"ends at byte 16", "the file has 4", "cut short"},
		`{"h.0.attn.c_attn.weight_scale_inv":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`: {
			"weight_scale_inv", "quantized"},
	} {
		dir := modelDir(t, few, nil)
		write(t, filepath.Join(dir, weightsFile), header(text)+"1234")
		_, _, err := Load(dir)
		for i, w := range want {
			want[i] = strings.ReplaceAll(w, `\"`, `"`)
		}
		wantError(t, err, append(want, weightsFile)...)
		plain(t, err)
	}
	// nanoGPT's layout, and a model without biases.
	dir := modelDir(t, few, nil)
	tensors := hfTensors(t, numbered(few), safetensors.F32, "")
	tensors["h.0.attn.c_attn.weight"] = view(t, safetensors.F32, []int{12, 4}, make([]float32, 48))
	rawFile(t, filepath.Join(dir, weightsFile), tensors)
	_, _, err := Load(dir)
	wantError(t, err, "nn.Linear", "nanoGPT")
	tensors = hfTensors(t, numbered(few), safetensors.F32, "")
	delete(tensors, "h.0.ln_1.bias")
	rawFile(t, filepath.Join(dir, weightsFile), tensors)
	_, _, err = Load(dir)
	wantError(t, err, "h.0.ln_1.bias", "missing", "biases")
}

// TestIndexErrors: the index of shards.
func TestIndexErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"weight_map":{"wte.weight":3}}`: "weight_map", `{"weight_map":[]}`: "weight_map", `[]`: "bad JSON",
		`{}`: "weight_map",
		`{"Weight_Map":{"wte.weight":"model-1.safetensors"}}`: "weight_map",
		`{"weight_map":{"a":"/etc/passwd"}}`:                  "want a file name",
		`{"weight_map":{"wte.weight":"model-1.safetensors"}}`: "fetch every shard",
	} {
		dir := modelDir(t, few, nil)
		write(t, filepath.Join(dir, indexFile), text)
		_, _, err := Load(dir)
		wantError(t, err, want, indexFile)
		plain(t, err)
	}
}

func TestCropAndShape(t *testing.T) {
	w := numbered(odd)
	short := w.Crop(10)
	if err := short.Validate(); err != nil || short.Config.BlockSize != 10 || w.Config.BlockSize != 33 {
		t.Errorf("%+v, %v", short.Config, err)
	}
	if w.Crop(33) != w || w.Crop(40) != w || w.Crop(0) != w {
		t.Error("Crop to the same size or a longer one changed the weights")
	}
	dir := hfDir(t, short)
	file := filepath.Join(t.TempDir(), "m.bin")
	if err := WriteLLMC(file, short, nil); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{dir, file} {
		if c, err := Shape(spec); err != nil || c != short.Config {
			t.Errorf("%s: %+v, %v", spec, c, err)
		}
	}
	if c, err := Shape("gpt2-medium"); err != nil || c.NLayer != 24 {
		t.Errorf("gpt2-medium: %+v, %v", c, err)
	}
	if _, err := Shape("no/such"); err == nil {
		t.Error("a path to nothing has a shape")
	}
	// A run's is its newest checkpoint's, and with it the sequence length it trained with.
	run := t.TempDir()
	step := filepath.Join(run, CheckpointsDir, "step-000003")
	if err := writeDir(step, short, nil); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(run, CheckpointsDir, LatestFile), "step-000003\n")
	state, _ := json.Marshal(map[string]any{"tokenizer": "bytes", "config": map[string]any{"seq_len": 7}})
	write(t, filepath.Join(step, StateFile), string(state))
	if _, src, err := Load(run); err != nil || src.SeqLen != 7 || src.Tokenizer != "bytes" || src.Path != step {
		t.Errorf("%+v, %v", src, err)
	}
	if c, err := Shape(run); err != nil || c != short.Config {
		t.Errorf("%+v, %v", c, err)
	}
	if got := fmt.Sprint(NotFinite([]float32{1, 0}),
		NotFinite([]float32{0, math.MaxFloat32, float32(math.NaN())})); got != "-1 2" {
		t.Error(got)
	}
}
