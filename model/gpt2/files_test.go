package gpt2

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nlpodyssey/safetensors"
)

// odd has sizes that fit no tile, padding or vector width.
var odd = Config{NLayer: 3, NHead: 5, NEmbd: 20, BlockSize: 33, VocabSize: 257}

// numbered returns weights whose every value says where it belongs, exact in float16 and bfloat16 alike.
func numbered(c Config) *Weights {
	w := newWeights(c)
	n := uint32(1)
	for _, x := range w.Tensors {
		for j := range x {
			n = n*1664525 + 1013904223
			x[j] = float32(int32(n>>24)-128) / 64
		}
	}
	return w
}

func writeDir(dir string, w *Weights, extra map[string]any) error {
	return WriteDir(dir, w.Config, w.Tensor, extra)
}

func writeTensors(path string, tensors []NamedTensor, metadata map[string]string) error {
	var list []Param
	for _, t := range tensors {
		list = append(list, Param{Name: t.Name, Shape: t.Shape})
	}
	return WriteSafetensors(path, list, func(i int) ([]float32, error) { return tensors[i].Data, nil }, metadata)
}

// metadata returns that of a safetensors file.
func metadata(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := openTensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	return f.metadata
}

func TestDirRoundTrip(t *testing.T) {
	want := Init(odd, 7)
	want.Tensors[3][0] = float32(math.Copysign(0, -1))
	want.Tensors[3][1] = math.Float32frombits(0x7fc12345)
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := writeDir(dir, want, map[string]any{"bos_token_id": 3, "note": "hello"}); err != nil {
		t.Fatal(err)
	}
	got, err := ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameBits(got, want); err != nil {
		t.Error(err)
	}
	// A second write replaces the first and leaves no temporary files.
	if err := writeDir(dir, numbered(odd), nil); err != nil {
		t.Fatal(err)
	}
	if got, err = ReadDir(dir); err != nil {
		t.Fatal(err)
	}
	if err := sameBits(got, numbered(odd)); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("directory holds %v", entries)
	}
}

// TestDirAsPyTorchWrote checks that our files have the tensors of the reference's: same names, shapes and values.
func TestDirAsPyTorchWrote(t *testing.T) {
	w, err := ReadDir("testdata/odd")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := writeDir(dir, w, nil); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSafetensors(filepath.Join(dir, weightsFile))
	if err != nil {
		t.Fatal(err)
	}
	want, err := ReadSafetensors(filepath.Join("testdata/odd", weightsFile))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if meta := metadata(t, filepath.Join(dir, weightsFile)); meta["format"] != "pt" {
		t.Errorf("metadata %v, want format pt, without which transformers refuses the file", meta)
	}
}

func TestConfigJSON(t *testing.T) {
	read := func(c Config, extra map[string]any) map[string]any {
		text, err := configJSON(c, extra)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	gpt2, _ := Named("gpt2")
	m := read(gpt2, map[string]any{"resid_pdrop": 0.1})
	for key, want := range map[string]any{
		"model_type": "gpt2", "architectures": []any{"GPT2LMHeadModel"}, "activation_function": "gelu_new",
		"n_layer": 12.0, "n_head": 12.0, "n_embd": 768.0, "n_positions": 1024.0, "n_ctx": 1024.0, "vocab_size": 50257.0,
		"layer_norm_epsilon": 1e-5, "tie_word_embeddings": true, "bos_token_id": 50256.0, "eos_token_id": 50256.0,
		"torch_dtype": "float32", "initializer_range": 0.02, "resid_pdrop": 0.1, "embd_pdrop": 0.0,
	} {
		if !cmp.Equal(m[key], want) {
			t.Errorf("%s is %v, want %v", key, m[key], want)
		}
	}
	if m = read(odd, nil); m["eos_token_id"] != nil {
		t.Errorf("a vocabulary of 257 has eos_token_id %v", m["eos_token_id"])
	}
	if _, err := configJSON(odd, map[string]any{"n_layer": 2}); err == nil {
		t.Error("extra may change n_layer")
	}
	if _, err := configJSON(odd, map[string]any{"x": math.NaN()}); err == nil {
		t.Error("NaN in extra passed")
	}
}

// rawFile writes a safetensors file of any types with the library's own writer.
func rawFile(t *testing.T, path string, tensors map[string]safetensors.TensorView) {
	t.Helper()
	data, err := safetensors.Serialize(tensors, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, dtype safetensors.DType, shape []int, x []float32) safetensors.TensorView {
	t.Helper()
	var b []byte
	for _, v := range x {
		switch dtype {
		case safetensors.F32:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		case safetensors.BF16:
			b = binary.LittleEndian.AppendUint16(b, uint16(math.Float32bits(v)>>16))
		case safetensors.F16:
			bits := math.Float32bits(v)
			h := uint16(bits >> 16 & 0x8000)
			if e := int(bits >> 23 & 255); e != 0 { // normal halves and zero are all that numbered makes
				h |= uint16(e-112)<<10 | uint16(bits>>13&1023)
			}
			b = binary.LittleEndian.AppendUint16(b, h)
		}
	}
	var dims []uint64
	for _, d := range shape {
		dims = append(dims, uint64(d))
	}
	v, err := safetensors.NewTensorView(dtype, dims, b)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// hfTensors returns w as the tensors of a Hugging Face file.
func hfTensors(t *testing.T, w *Weights, dtype safetensors.DType, prefix string) map[string]safetensors.TensorView {
	out := map[string]safetensors.TensorView{}
	for i, p := range Table(w.Config) {
		x := w.Tensors[i]
		if p.Conv1D {
			turned := make([]float32, 0, len(x))
			for k := range p.Shape[1] {
				for oc := range p.Shape[0] {
					turned = append(turned, x[oc*p.Shape[1]+k])
				}
			}
			x = turned
		}
		out[prefix+p.Name] = view(t, dtype, p.fileShape(), x)
	}
	return out
}

// modelDir writes config.json for c, changed by edits ("key": nil removes it), and returns the directory.
func modelDir(t *testing.T, c Config, edits map[string]any) string {
	t.Helper()
	text, err := configJSON(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	json.Unmarshal(text, &m)
	for k, v := range edits {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	text, _ = json.Marshal(m)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, configFile), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReadDirVariants(t *testing.T) {
	want := numbered(odd)
	for _, dtype := range []safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16} {
		for _, prefix := range []string{"", filePrefix} {
			t.Run(fmt.Sprintf("%v%s", dtype, prefix), func(t *testing.T) {
				dir := modelDir(t, odd, map[string]any{"n_positions": nil})
				tensors := hfTensors(t, want, dtype, prefix)
				tensors[headName] = tensors[prefix+"wte.weight"]
				// What old checkpoints carry along: the causal mask, as bytes, and its fill value.
				mask, _ := safetensors.NewTensorView(safetensors.U8, []uint64{1, 1, 2, 2}, []byte{1, 0, 1, 1})
				tensors[prefix+"h.0.attn.bias"] = mask
				tensors[prefix+"h.0.attn.masked_bias"] = view(t, safetensors.F32, []int{1}, []float32{-1e4})
				rawFile(t, filepath.Join(dir, weightsFile), tensors)
				got, err := ReadDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				if err := sameBits(got, want); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// shard splits tensors over three files and writes their index.
func shard(t *testing.T, dir string, tensors map[string]safetensors.TensorView) {
	t.Helper()
	parts := [3]map[string]safetensors.TensorView{{}, {}, {}}
	weightMap := map[string]string{}
	i := 0
	for name, v := range tensors {
		parts[i%3][name] = v
		weightMap[name] = fmt.Sprintf("model-%05d-of-00003.safetensors", i%3+1)
		i++
	}
	for i, p := range parts {
		rawFile(t, filepath.Join(dir, fmt.Sprintf("model-%05d-of-00003.safetensors", i+1)), p)
	}
	text, _ := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": 1}, "weight_map": weightMap})
	if err := os.WriteFile(filepath.Join(dir, indexFile), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReadDirShards(t *testing.T) {
	want := numbered(odd)
	dir := modelDir(t, odd, nil)
	shard(t, dir, hfTensors(t, want, safetensors.F16, filePrefix))
	got, err := ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameBits(got, want); err != nil {
		t.Error(err)
	}
	os.Remove(filepath.Join(dir, "model-00002-of-00003.safetensors"))
	_, err = ReadDir(dir)
	wantError(t, err, "model-00002-of-00003.safetensors", "hint:")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	os.WriteFile(filepath.Join(dir, indexFile), []byte(`{"weight_map":{"wte.weight":"../../etc/passwd"}}`), 0o644)
	_, err = ReadDir(dir)
	wantError(t, err, "../../etc/passwd", "want a file name")
}

// wantError checks the contract of errors: one line, the parts named, a hint.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, part := range append(parts, "hint: ") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 800 {
		t.Errorf("error is not one readable line: %q", err)
	}
}

func TestReadDirErrors(t *testing.T) {
	small := Config{NLayer: 1, NHead: 1, NEmbd: 4, BlockSize: 2, VocabSize: 3}
	w := numbered(small)
	for name, c := range map[string]struct {
		config  map[string]any
		tensors func(m map[string]safetensors.TensorView)
		want    []string
	}{
		"other model":    {map[string]any{"model_type": "llama"}, nil, []string{"config.json", `"llama"`}},
		"no layers":      {map[string]any{"n_layer": nil}, nil, []string{"h.1.ln_1.weight", "missing", "config.json"}},
		"huge":           {map[string]any{"n_layer": 1e9}, nil, []string{"--n-layer"}},
		"number as text": {map[string]any{"n_layer": "1"}, nil, []string{"bad JSON"}},
		"activation":     {map[string]any{"activation_function": "relu\n"}, nil, []string{"activation_function"}},
		"untied":         {map[string]any{"tie_word_embeddings": false}, nil, []string{"tie_word_embeddings"}},
		"epsilon":        {map[string]any{"layer_norm_epsilon": 1e-6}, nil, []string{"layer_norm_epsilon"}},
		"n_inner":        {map[string]any{"n_inner": 17}, nil, []string{"n_inner", "16"}},
		"inverse layer":  {map[string]any{"scale_attn_by_inverse_layer_idx": true}, nil, []string{"scale_attn_by"}},
		"heads":          {map[string]any{"n_head": 3}, nil, []string{"--n-head"}},
		"more layers":    {map[string]any{"n_layer": 2}, nil, []string{"h.1.ln_1.weight", "missing", "[4]"}},
		"vocabulary":     {map[string]any{"vocab_size": 4}, nil, []string{"wte.weight", "[3 4]", "[4 4]"}},
		"missing": {nil, func(m map[string]safetensors.TensorView) { delete(m, "ln_f.bias") },
			[]string{"ln_f.bias", "missing"}},
		"unknown": {nil, func(m map[string]safetensors.TensorView) {
			m["score\n.weight"] = view(t, safetensors.F32, []int{1}, []float32{1})
		}, []string{"model.safetensors", "score .weight"}},
		"twice": {nil, func(m map[string]safetensors.TensorView) { m["transformer.ln_f.bias"] = m["ln_f.bias"] },
			[]string{"ln_f.bias", "twice"}},
		"linear layout": {nil, func(m map[string]safetensors.TensorView) {
			m["h.0.attn.c_attn.weight"] = view(t, safetensors.F32, []int{12, 4}, make([]float32, 48))
		}, []string{"h.0.attn.c_attn.weight", "[12 4]", "[4 12]"}},
		"type": {nil, func(m map[string]safetensors.TensorView) {
			m["ln_f.bias"], _ = safetensors.NewTensorView(safetensors.I32, []uint64{4}, make([]byte, 16))
		}, []string{"ln_f.bias", "I32"}},
		"head differs": {nil, func(m map[string]safetensors.TensorView) {
			m[headName] = view(t, safetensors.F32, []int{3, 4}, make([]float32, 12))
		}, []string{headName, "differ"}},
		"head shape": {nil, func(m map[string]safetensors.TensorView) {
			m[headName] = view(t, safetensors.F32, []int{5, 4}, make([]float32, 20))
		}, []string{headName, "[5 4]"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := modelDir(t, small, c.config)
			tensors := hfTensors(t, w, safetensors.F32, "")
			if c.tensors != nil {
				c.tensors(tensors)
			}
			rawFile(t, filepath.Join(dir, weightsFile), tensors)
			_, err := ReadDir(dir)
			wantError(t, err, append(c.want, dir)...)
		})
	}
	dir := modelDir(t, small, nil)
	_, err := ReadDir(dir)
	wantError(t, err, dir, "model.safetensors")
	os.WriteFile(filepath.Join(dir, "pytorch_model.bin"), nil, 0o644)
	_, err = ReadDir(dir)
	wantError(t, err, "safe_serialization")
	_, err = ReadDir(t.TempDir())
	wantError(t, err, "config.json")
}

func TestSafetensorsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "optimizer.safetensors")
	// More than one write buffer, a scalar, an empty tensor, names that JSON must escape.
	want := []NamedTensor{
		{"m/wte", []int{700, 500}, make([]float32, 350000)},
		{"a \"quoted\"\n<name>", []int{2}, []float32{1, float32(math.Inf(-1))}},
		{"empty", []int{0, 3}, []float32{}},
		{"scalar", []int{}, []float32{42}},
	}
	for i := range want[0].Data {
		want[0].Data[i] = float32(i)
	}
	meta := map[string]string{"step": "50", "format": "pt"}
	if err := writeTensors(path, want, meta); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(meta, metadata(t, path)); diff != "" {
		t.Error(diff)
	}
	if err := writeTensors(path, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got, err = ReadSafetensors(path); err != nil || len(got) != 0 || metadata(t, path) != nil {
		t.Errorf("empty file: %v, %v, %v", got, metadata(t, path), err)
	}

	for _, c := range []struct {
		tensors []NamedTensor
		want    string
	}{
		{[]NamedTensor{{"x", []int{2, 2}, make([]float32, 3)}}, `"x"`},
		{[]NamedTensor{{"x", []int{-2, -2}, make([]float32, 4)}}, `"x"`},
		{[]NamedTensor{{"x", []int{1 << 32, 1 << 32}, nil}}, `"x"`},
		{[]NamedTensor{{"x", []int{-1, 0}, nil}}, `"x"`},
		{[]NamedTensor{{"x", nil, []float32{1}}, {"x", nil, []float32{1}}}, "taken"},
		{[]NamedTensor{{"__metadata__", nil, []float32{1}}}, "taken"},
	} {
		wantError(t, writeTensors(path, c.tensors, nil), path, c.want)
	}
	wantError(t, writeTensors(filepath.Join(path, "x"), nil, nil), path)
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("failed writes left %v", entries)
	}
}

func TestSafetensorsCorrupt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	try := func(data string, parts ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := ReadSafetensors(path)
		wantError(t, err, append(parts, path)...)
	}
	header := func(text string) string {
		return string(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))) + text
	}
	try("", "0 bytes")
	try("1234567", "7 bytes")
	try("\xff\xff\xff\xff\xff\xff\xff\xff{}", "18446744073709551615")
	try("\xf8\xff\xff\xff\xff\xff\xff\xff{}", "header")
	try("\x03\x00\x00\x00\x00\x00\x00\x00{}", "header of 3")
	try(header("{"), "bad header")
	try(header("[]"), "bad header")
	try(header(strings.Repeat("[", 20000)), "bad header")
	try(header(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`)+"1234", "bad header")
	try(header(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`)+"12345678x", "bad header")
	try(header(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`)+"12345678", "bad header")
	try(header(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}`)+"12345678", "bad header")
	try(header(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}`)+"12345678", "bad header")
	try(header(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}`), "bad header")
	try(header(`{"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}}`), "dimension")
	try(header(`{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}`)+"12345678", "Q4")
	try(header(`{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`)+"12345678", "I64")
	try(header(`{"a":{"dtype":"F32","shape":"`+strings.Repeat("\n?", 5000)+`","data_offsets":[0,8]}}`)+"12345678",
		"bad header")
	_, err := ReadSafetensors(dir)
	wantError(t, err, dir)
	_, err = ReadSafetensors(filepath.Join(dir, "none"))
	wantError(t, err, "none")
}

func TestFloat16(t *testing.T) {
	for h, want := range map[uint16]float32{
		0x0000: 0, 0x0001: 0x1p-24, 0x03ff: 1023 * 0x1p-24, 0x0400: 0x1p-14, 0x3555: 0x1.554p-2, 0x3c00: 1,
		0xc000: -2, 0x7bff: 65504, 0xfc00: float32(math.Inf(-1)),
	} {
		if got := fromFloat16(h); got != want {
			t.Errorf("%#04x is %v, want %v", h, got, want)
		}
	}
	if got := fromFloat16(0x8000); math.Float32bits(got) != 1<<31 {
		t.Errorf("0x8000 is %v, want -0", got)
	}
	if got := fromFloat16(0x7e00); got == got {
		t.Errorf("0x7e00 is %v, want NaN", got)
	}
}

func TestLLMCRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.bin")
	want := Init(odd, 3)
	if err := WriteLLMC(path, want, nil); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLLMC(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameBits(got, want); err != nil {
		t.Error(err)
	}
	data, _ := os.ReadFile(path)
	var header [8]int32
	binary.Decode(data, binary.LittleEndian, &header)
	if header != [8]int32{20240326, 3, 33, 257, 3, 5, 20, 384} {
		t.Errorf("header %v", header)
	}
	// wte's padding, then wpe; qkvw of all layers after ln1w and ln1b of all layers.
	at := func(i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(data[1024+4*i:])) }
	for i := 257 * 20; i < 384*20; i++ {
		if at(i) != 0 {
			t.Fatalf("padding of wte holds %v", at(i))
		}
	}
	if qkvw := 384*20 + 33*20 + 2*3*20; at(384*20) != want.Tensors[1][0] ||
		at(qkvw+60*20) != want.Get("h.1.attn.c_attn.weight")[0] {
		t.Error("tensors stand in another order than llm.c's")
	}

	// The same in bfloat16.
	n := numbered(odd)
	WriteLLMC(path, n, nil)
	data, _ = os.ReadFile(path)
	half := append([]byte(nil), data[:1024]...)
	half[4] = 5
	for i := 1024; i < len(data); i += 4 {
		half = append(half, data[i+2:i+4]...)
	}
	os.WriteFile(path, half, 0o644)
	if got, err = ReadLLMC(path); err != nil {
		t.Fatal(err)
	}
	if err := sameBits(got, n); err != nil {
		t.Error(err)
	}
}

func TestLLMCErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.bin")
	small := Config{NLayer: 1, NHead: 1, NEmbd: 4, BlockSize: 2, VocabSize: 3}
	if err := WriteLLMC(path, numbered(small), nil); err != nil {
		t.Fatal(err)
	}
	good, _ := os.ReadFile(path)
	try := func(change func(b []byte) []byte, parts ...string) {
		t.Helper()
		os.WriteFile(path, change(append([]byte(nil), good...)), 0o644)
		_, err := ReadLLMC(path)
		wantError(t, err, append(parts, path)...)
	}
	set := func(field int, v int32) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[4*field:], uint32(v)); return b }
	}
	try(set(0, 20240520), "--data")
	try(set(0, 7), "magic number 7")
	try(set(1, 1), "version 1")
	try(set(1, 5), "bytes, want")
	try(set(2, math.MaxInt32), "--block-size")
	try(set(3, -1), "--vocab-size")
	try(set(4, 0), "--n-layer")
	try(set(5, 0), "--n-head")
	try(set(6, 1<<16), "heads of")
	try(set(7, 2), "2 rows")
	try(set(7, math.MaxInt32), "rows")
	try(set(3, 1<<20), "rows")
	try(func(b []byte) []byte { return b[:len(b)-1] }, "bytes, want")
	try(func(b []byte) []byte { return append(b, 0) }, "bytes, want")
	try(func(b []byte) []byte { return b[:1000] }, "1000 bytes")
	try(func(b []byte) []byte { return nil }, "0 bytes")
	_, err := ReadLLMC(filepath.Dir(path))
	wantError(t, err, "directory")
	_, err = ReadLLMC(path + "x")
	wantError(t, err, path)
}

func TestWriteInvalid(t *testing.T) {
	dir := t.TempDir()
	bad := Init(odd, 1)
	bad.Tensors[5] = bad.Tensors[5][1:]
	few := Init(odd, 1)
	few.Tensors = few.Tensors[1:]
	for _, w := range []*Weights{nil, {}, bad, few} {
		wantError(t, WriteLLMC(filepath.Join(dir, "x"), w, nil), dir)
	}
	wantError(t, writeDir(dir, bad, nil), dir)
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("failed writes left %v", entries)
	}
}

// Fuzzing: whatever the bytes, an error or tensors, never a panic.

func FuzzReadSafetensors(f *testing.F) {
	data, err := os.ReadFile("testdata/few/model.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	config, _ := os.ReadFile("testdata/few/config.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, weightsFile)
		os.WriteFile(path, data, 0o644)
		os.WriteFile(filepath.Join(dir, configFile), config, 0o644)
		if _, err := ReadSafetensors(path); err != nil {
			wantError(t, err)
		}
		if _, err := ReadDir(dir); err != nil {
			wantError(t, err)
		}
	})
}

func FuzzReadConfig(f *testing.F) {
	f.Add([]byte(`{"model_type":"gpt2","n_layer":1,"n_head":1,"n_embd":4,"n_positions":2,"vocab_size":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), configFile)
		os.WriteFile(path, data, 0o644)
		if _, err := readConfig(path); err != nil {
			wantError(t, err)
		}
	})
}

func FuzzReadLLMC(f *testing.F) {
	path := filepath.Join(f.TempDir(), "m.bin")
	WriteLLMC(path, numbered(Config{NLayer: 1, NHead: 1, NEmbd: 4, BlockSize: 2, VocabSize: 3}), nil)
	data, _ := os.ReadFile(path)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "m.bin")
		os.WriteFile(path, data, 0o644)
		if _, err := ReadLLMC(path); err != nil {
			wantError(t, err)
		}
	})
}
