package gpt2

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/filemap"
	"github.com/gpt2wgpu/gpt2wgpu/data/parallel"
)

// dataType is a type of values as safetensors files name it.
type dataType string

const (
	float32Type  dataType = "F32"
	float16Type  dataType = "F16"
	bfloat16Type dataType = "BF16"
)

// typeSizes has the bytes of a value. Types of less than a byte, such as F4, are absent.
var typeSizes = map[dataType]int{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
	"I16": 2, "U16": 2, float16Type: 2, bfloat16Type: 2,
	"I32": 4, "U32": 4, float32Type: 4,
	"I64": 8, "U64": 8, "F64": 8, "C64": 8,
}

// NamedTensor is a tensor of a safetensors file.
type NamedTensor struct {
	Name  string
	Shape []int     // row-major; empty for a scalar
	Data  []float32 // as many values as Shape says
}

// WriteSafetensors writes tensors as float32 to a safetensors file, in the order of list, replacing path in one step.
// It asks for the values of each once, in order; they may be overwritten after that, so that they need not be in memory
// at once. metadata may be nil; "format":"pt" makes transformers accept the file as weights.
//
// Errors: a name used twice or "__metadata__", values that do not fill their shape, or a failing disk.
func WriteSafetensors(path string, list []Param, values func(i int) ([]float32, error),
	metadata map[string]string) error {
	// The library would need each tensor as bytes, transposed ones included.
	type entry struct {
		DType   dataType `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int   `json:"data_offsets"`
	}
	header := []byte("{")
	add := func(key string, value any) {
		k, _ := json.Marshal(key) // strings, numbers and maps of strings cannot fail
		v, _ := json.Marshal(value)
		header = fmt.Appendf(header, "%s:%s,", k, v)
	}
	if len(metadata) > 0 {
		add(metadataKey, metadata)
	}
	at, taken := 0, map[string]bool{metadataKey: true}
	for _, t := range list {
		if taken[t.Name] {
			return fmt.Errorf("write %w", fileError(path, "names in a safetensors file are unique and not "+metadataKey,
				"tensor %q: the name is taken", clip(t.Name)))
		}
		taken[t.Name] = true
		end := at + 4*t.Size()
		add(t.Name, entry{float32Type, append([]int{}, t.fileShape()...), [2]int{at, end}})
		at = end
	}
	header = append(bytes.TrimSuffix(header, []byte(",")), '}')
	for len(header)%8 != 0 { // readers that map the file want aligned tensors
		header = append(header, ' ')
	}
	return writeFile(path, func(w *bufio.Writer) error {
		w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) // an error stays for the last Write
		w.Write(header)
		for i, t := range list {
			x, err := values(i)
			if err != nil {
				return err
			}
			if !fills(t.Shape, len(x)) {
				return fmt.Errorf("tensor %q: got %d values, want shape %v", clip(t.Name), len(x), t.Shape)
			}
			if t.Conv1D {
				err = writeTransposed(w, x, t.Shape[0], t.Shape[1])
			} else {
				err = writeFloats(w, x)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// fills reports whether n is the product of shape, taken without overflow.
func fills(shape []int, n int) bool {
	if slices.Contains(shape, 0) {
		return n == 0 && slices.Min(shape) == 0
	}
	product := 1
	for _, d := range shape {
		if d < 0 || d > n/product {
			return false
		}
		product *= d
	}
	return product == n
}

// ReadSafetensors reads every tensor of a safetensors file, in the order of their data. F16 and BF16 become float32;
// any other type is an error. The values are copies; the file is closed again.
func ReadSafetensors(path string) ([]NamedTensor, error) {
	f, err := openTensors(path)
	if err != nil {
		return nil, err
	}
	defer f.close()
	out := make([]NamedTensor, len(f.tensors))
	return out, parallel.Do(len(out), func(i int) error {
		t := f.tensors[i]
		if err := f.checkType(t); err != nil {
			return err
		}
		out[i] = NamedTensor{t.name, t.shape, make([]float32, t.count)}
		return guard(path, func() error {
			decode(out[i].Data, t.data, t.dtype)
			return nil
		})
	})
}

// tensorFile is a safetensors file mapped into memory.
type tensorFile struct {
	path     string
	metadata map[string]string
	tensors  []fileTensor // in the order of their data
	file     *filemap.Map
}

type fileTensor struct {
	name  string
	shape []int
	count int // values
	dtype dataType
	at    int    // where data begins, behind the header
	data  []byte // count values; part of the file, so dead after close
}

func (f *tensorFile) close() { f.file.Close() }

const metadataKey = "__metadata__"

var errMetadata = errors.New(metadataKey)

// readHeader fills f.tensors and f.metadata from a file's header, whose offsets point into data. It checks that the
// tensors follow each other without a gap and fill data. A type that this program has no use for, or doesn't know, is
// the reader's to refuse.
func (f *tensorFile) readHeader(header, data []byte) error {
	var entries map[string]json.RawMessage
	if err := parseJSON(header, &entries); err != nil {
		return err
	}
	for name, raw := range entries {
		if name == metadataKey {
			if err := f.readMetadata(raw); err != nil {
				return err
			}
			continue
		}
		t := fileTensor{name: name}
		var offsets []int
		var shape []uint64
		var entry map[string]json.RawMessage
		err := parseJSON(raw, &entry)
		for key, value := range map[string]any{"dtype": &t.dtype, "shape": &shape, "data_offsets": &offsets} {
			if err == nil {
				if err = parseJSON(entry[key], value); err != nil {
					err = fmt.Errorf("%s: %w", key, err)
				}
			}
		}
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		if len(offsets) != 2 || offsets[0] < 0 || offsets[1] < offsets[0] {
			return fmt.Errorf("tensor %q: data_offsets: got %v, want two that rise", name, offsets)
		}
		if offsets[1] > len(data) {
			return fmt.Errorf("tensor %q: ends at byte %d of the data, the file has %d", name, offsets[1], len(data))
		}
		t.at, t.data = offsets[0], data[offsets[0]:offsets[1]]
		t.shape = make([]int, len(shape))
		for i, d := range shape {
			if d > 1<<48 { // possible beside a dimension of 0
				return fmt.Errorf("tensor %q: got a dimension of %d", name, d)
			}
			t.shape[i] = int(d)
		}
		if size := typeSizes[t.dtype]; size > 0 { // else no size is known
			t.count = len(t.data) / size
			if len(t.data)%size != 0 || !fills(t.shape, t.count) {
				return fmt.Errorf("tensor %q: got %d bytes for shape %v of %s", name, len(t.data), t.shape, t.dtype)
			}
		}
		f.tensors = append(f.tensors, t)
	}
	// Empty tensors come before the one that starts in the same place.
	slices.SortFunc(f.tensors, func(a, b fileTensor) int {
		return cmp.Or(a.at-b.at, len(a.data)-len(b.data), strings.Compare(a.name, b.name))
	})
	end := 0
	for _, t := range f.tensors {
		if t.at != end {
			return fmt.Errorf("tensor %q: begins at byte %d of the data, the one before it ends at %d", t.name, t.at,
				end)
		}
		end += len(t.data)
	}
	if end != len(data) {
		return fmt.Errorf("the tensors take %d bytes, the file has %d", end, len(data))
	}
	return nil
}

// readMetadata takes the file's own map of texts to texts.
func (f *tensorFile) readMetadata(raw json.RawMessage) error {
	var values map[string]json.RawMessage
	if err := parseJSON(raw, &values); err != nil {
		return fmt.Errorf("%w: %w", errMetadata, err)
	}
	for key, value := range values {
		var text string
		if err := parseJSON(value, &text); err != nil {
			return fmt.Errorf("%w: %q: %w", errMetadata, key, err)
		}
		if f.metadata == nil {
			f.metadata = map[string]string{}
		}
		f.metadata[key] = text
	}
	return nil
}

// maxHeader is far above any header seen (XL's is 70 kB). One of 1 MB takes a fifth of a second to read.
const maxHeader = 1 << 20

// openTensors maps a file and checks its header: lengths, types, shapes and offsets agree and lie inside the file.
func openTensors(path string) (*tensorFile, error) {
	content, err := mapFile(path, "a safetensors file")
	if err != nil {
		return nil, err
	}
	f := &tensorFile{path: path, file: content}
	if err := guard(path, func() error { return f.readContent(content.Bytes) }); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *tensorFile) readContent(content []byte) error {
	const truncated = "the file is cut short or is not a safetensors file: fetch or save it again"
	if len(content) < 8 {
		return fileError(f.path, truncated, "got %d bytes, want at least 8", len(content))
	}
	length, most := binary.LittleEndian.Uint64(content), uint64(min(len(content)-8, maxHeader))
	if length > most {
		return fileError(f.path, truncated, "got a header of %d bytes, want at most %d", length, most)
	}
	if err := f.readHeader(content[8:8+length], content[8+length:]); err != nil {
		hint := truncated
		if errors.Is(err, errMetadata) {
			hint = "the metadata of a safetensors file is texts only: save it again, with str(...) around each value"
		}
		return fileError(f.path, hint, "bad header (%s)", clip(err.Error()))
	}
	return nil
}

func (f *tensorFile) checkType(t fileTensor) error {
	switch t.dtype {
	case float32Type, float16Type, bfloat16Type:
		return nil
	}
	hint := "save the tensors as float32, float16 or bfloat16"
	if strings.HasPrefix(string(t.dtype), "F8") || strings.HasPrefix(string(t.dtype), "F4") {
		hint = quantizedHint
	}
	return fileError(f.path, hint, "tensor %q: got type %q, want F32, F16 or BF16", clip(t.name), clip(string(t.dtype)))
}
