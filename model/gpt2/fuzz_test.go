package gpt2

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// tiny is the smallest model.
var tiny = Config{NLayer: 1, NHead: 1, NEmbd: 4, BlockSize: 2, VocabSize: 3}

func fuzzFile(f *testing.F, name string, read func(path string) error) {
	path := filepath.Join(f.TempDir(), name)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		needs.Bounded(t, func() {
			if err := read(path); err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
		})
	})
}

// content returns a file's content.
func content(f *testing.F, path string, err error) []byte {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return raw
}

// safetensorsOf is a file with that header.
func safetensorsOf(header, data string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+data...)
}

func FuzzSafetensors(f *testing.F) {
	path := filepath.Join(f.TempDir(), "a")
	two := []NamedTensor{{"a", []int{2}, []float32{1, 2}}, {"b", nil, []float32{3}}}
	f.Add(content(f, path, writeTensors(path, two, nil)))
	f.Add(safetensorsOf(`{"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]},"__metadata__":{"x":"y"}}`, "1234"))
	f.Add(safetensorsOf(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, ""))
	f.Add(safetensorsOf(`{"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[-4,0]}}`, "1234"))
	f.Add(binary.LittleEndian.AppendUint64(nil, 1<<63))
	fuzzFile(f, "model.safetensors", func(path string) error { _, err := ReadSafetensors(path); return err })
}

func FuzzWeights(f *testing.F) {
	dir := f.TempDir()
	if err := writeDir(dir, numbered(tiny), nil); err != nil {
		f.Fatal(err)
	}
	config := content(f, filepath.Join(dir, configFile), nil)
	f.Add(config, content(f, filepath.Join(dir, weightsFile), nil), []byte(`{"tokenizer":"bytes"}`))
	f.Add([]byte(`{"n_layer":4096,"n_embd":65536,"n_head":512,"vocab_size":16777216}`), safetensorsOf("{}", ""), []byte(
		`{"checksums":{"../x":{"bytes":-1,"sha256":""}},"sha256":"x"}`))
	f.Fuzz(func(t *testing.T, config, weights, state []byte) {
		for name, raw := range map[string][]byte{configFile: config, weightsFile: weights, StateFile: state} {
			if err := os.WriteFile(filepath.Join(dir, name), raw, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		needs.Bounded(t, func() {
			if _, _, err := Load(dir); err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
			ReadSpecial(dir).Complete(5).IDs("eos_token_id", 10)
		})
	})
}

func FuzzIndex(f *testing.F) {
	dir := f.TempDir()
	if err := writeDir(dir, numbered(tiny), nil); err != nil {
		f.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, weightsFile), filepath.Join(dir, "s.safetensors")); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"weight_map":{"wte.weight":"s.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"wte.weight":"../s.safetensors","x":".","y":"s\u0000"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, indexFile), raw, 0o666); err != nil {
			t.Fatal(err)
		}
		needs.Bounded(t, func() {
			if _, err := ReadDir(dir); err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
		})
	})
}

func FuzzLLMC(f *testing.F) {
	path := filepath.Join(f.TempDir(), "a.bin")
	f.Add(content(f, path, WriteLLMC(path, numbered(tiny), nil)))
	for _, header := range [][]int32{{llmcMagic, 3, 1 << 24, 1 << 24, 4096, 512, 1 << 16, 1 << 24},
		{llmcMagic, 5, -1, -1, -1, -1, -1, -1}} {
		var words [llmcHeaderInts]int32
		copy(words[:], header)
		raw, _ := binary.Append(nil, binary.LittleEndian, words)
		f.Add(raw)
	}
	fuzzFile(f, "model.bin", func(path string) error { _, err := ReadLLMC(path); return err })
}
