package gpt2

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// TestFaultyWeights: weights that claim more than they hold are refused, in little memory.
func TestFaultyWeights(t *testing.T) {
	tensors := func(path string) error { _, err := ReadSafetensors(path); return err }
	llmc := func(path string) error { _, err := ReadLLMC(path); return err }
	dir := func(path string) error { _, _, err := Load(filepath.Dir(path)); return err }
	header := func(n int) string { // of n bytes or a little more
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, `"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`, i)
		}
		return "{" + b.String() + `"z":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`
	}
	long := func(n int) func() []byte { return func() []byte { return safetensorsOf(header(n), "1") } }
	f32 := func(shape, offsets string) func() []byte {
		return func() []byte {
			return safetensorsOf(`{"a":{"dtype":"F32","shape":[`+shape+`],"data_offsets":[`+offsets+`]}}`, "12345678")
		}
	}
	for name, x := range map[string]struct {
		file string
		raw  func() []byte
		read func(string) error
		want string
	}{
		"a header of 32 MB": {"a.safetensors", long(32 << 20), tensors, "header"},
		"a header of 1 MB":  {"a.safetensors", long(1<<20 - 200), tensors, "header"},
		"lists in lists": {"a.safetensors", func() []byte {
			return safetensorsOf(strings.Repeat("[", 1<<20), "")
		}, tensors, "in each other"},
		"a header of 2^63": {"a.safetensors", func() []byte {
			return []byte("\x00\x00\x00\x00\x00\x00\x00\x80{}")
		}, tensors, "header"},
		"overlapping": {"a.safetensors", func() []byte {
			return safetensorsOf(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32",`+
				`"shape":[1],"data_offsets":[4,8]}}`, "12345678")
		}, tensors, "begins at byte 4"},
		"beyond the end":           {"a.safetensors", f32("1000000000000", "0,4000000000000"), tensors, "ends at byte"},
		"a shape that overflows":   {"a.safetensors", f32("4611686018427387904,8", "0,8"), tensors, "dimension"},
		"a product that overflows": {"a.safetensors", f32("4294967296,4294967296,2", "0,8"), tensors, "for shape"},
		"falling offsets":          {"a.safetensors", f32("1", "8,4"), tensors, "rise"},
		"one offset":               {"a.safetensors", f32("1", "8"), tensors, "rise"},
		"negative offsets":         {"a.safetensors", f32("1", "-4,0"), tensors, "rise"},
		"an unknown type": {"a.safetensors", func() []byte {
			return safetensorsOf(`{"a":{"dtype":"F4","shape":[9000000000000],"data_offsets":[0,8]}}`, "12345678")
		}, tensors, "F4"},
		"a model of terabytes": {"config.json", func() []byte {
			return []byte(`{"n_layer":4096,"n_head":512,"n_embd":65536,"n_positions":16777216,"vocab_size":16777216}`)
		}, dir, "wte.weight"},
		"a model of 10^99 layers": {"config.json", func() []byte { return []byte(`{"n_layer":1e99}`) }, dir, "n_layer"},
		"a large config":          {"config.json", func() []byte { return make([]byte, 2<<20) }, dir, "more than"},
		"llm.c of terabytes": {"a.bin", func() []byte {
			return append([]byte("\x96\x24\x35\x01\x03\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x10\x00\x00"+
				"\x00\x02\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01"), make([]byte, 992)...)
		}, llmc, "want"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			needs.Fault(t, func(dir string) string {
				path := filepath.Join(dir, x.file)
				if err := os.WriteFile(path, x.raw(), 0o666); err != nil {
					t.Fatal(err)
				}
				if x.file == configFile {
					os.WriteFile(filepath.Join(dir, weightsFile), safetensorsOf("{}", ""), 0o666)
				}
				return path
			}, x.read, x.want)
		})
	}
}

// TestWeightsCutWhileRead: a file that is cut after it was opened is an error, not the end of the process.
func TestWeightsCutWhileRead(t *testing.T) {
	w := Init(Config{NLayer: 2, NHead: 2, NEmbd: 64, BlockSize: 64, VocabSize: 300}, 1)
	path := filepath.Join(t.TempDir(), weightsFile)
	list := Table(w.Config)
	if err := WriteSafetensors(path, list, w.Tensor, nil); err != nil {
		t.Fatal(err)
	}
	f, err := openTensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if err := os.Truncate(path, 4096); err != nil {
		t.Skipf("a mapped file cannot be cut here: %v", err)
	}
	last := f.tensors[len(f.tensors)-1]
	values := make([]float32, last.count)
	err = guard(path, func() error {
		decode(values, last.data, last.dtype)
		return nil
	})
	wantError(t, err, path, "cut short while it was read", "hint: ")
}
