package gpt2

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/filemap"
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

// WriteSafetensors writes tensors as float32 to a safetensors file, in the given order, replacing path in one step. It
// streams: beyond the tensors it holds about a megabyte. metadata may be nil; "format":"pt" makes transformers accept
// the file as weights.
//
// Errors: a name used twice or "__metadata__", data that does not fill its shape, or a failing disk.
func WriteSafetensors(path string, tensors []NamedTensor, metadata map[string]string) error {
	lazy := make([]LazyTensor, len(tensors))
	for i, t := range tensors {
		if err := checkFills(path, t.Name, t.Shape, t.Data); err != nil {
			return err
		}
		lazy[i] = LazyTensor{t.Name, t.Shape, func() ([]float32, error) { return t.Data, nil }}
	}
	return WriteLazily(path, lazy, metadata)
}

// LazyTensor is a tensor whose values are asked for when its turn to be written comes, once. They may be overwritten
// after that.
type LazyTensor struct {
	Name   string
	Shape  []int
	Values func() ([]float32, error) // as many as Shape says
}

// WriteLazily is [WriteSafetensors] for tensors that need not be in memory at once. It asks for their values in order.
func WriteLazily(path string, tensors []LazyTensor, metadata map[string]string) error {
	entries := make([]outTensor, len(tensors))
	for i, t := range tensors {
		entries[i] = outTensor{t.Name, t.Shape, func(w *bufio.Writer) error {
			x, err := t.Values()
			if err == nil {
				err = checkFills(path, t.Name, t.Shape, x)
			}
			if err != nil {
				return err
			}
			return writeFloats(w, x)
		}}
	}
	return writeSafetensors(path, entries, metadata)
}

func checkFills(path, name string, shape []int, x []float32) error {
	if fills(shape, len(x)) {
		return nil
	}
	return fileError("write", path, "give as many values as the shape has", "tensor %q: got %d values, want shape %v",
		clip(name), len(x), shape)
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

// outTensor is a float32 tensor about to be written; write must write as many values as shape says.
type outTensor struct {
	name  string
	shape []int
	write func(*bufio.Writer) error
}

// writeSafetensors writes the header itself because the library would need each tensor as bytes, transposed ones
// included.
func writeSafetensors(path string, tensors []outTensor, metadata map[string]string) error {
	type entry struct {
		DType   dataType `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int   `json:"data_offsets"`
	}
	var header bytes.Buffer
	add := func(key string, value any) {
		k, _ := json.Marshal(key) // strings, numbers and maps of strings cannot fail
		v, _ := json.Marshal(value)
		if header.Len() > 0 {
			header.WriteByte(',')
		} else {
			header.WriteByte('{')
		}
		header.Write(k)
		header.WriteByte(':')
		header.Write(v)
	}
	const reserved = metadataKey
	if len(metadata) > 0 {
		add(reserved, metadata)
	}
	at := 0
	seen := map[string]bool{reserved: true}
	for _, t := range tensors {
		if seen[t.name] {
			return fileError("write", path, "names in a safetensors file are unique and not "+reserved,
				"tensor %q: the name is taken", clip(t.name))
		}
		seen[t.name] = true
		n := 4
		for _, d := range t.shape {
			n *= d
		}
		add(t.name, entry{float32Type, append([]int{}, t.shape...), [2]int{at, at + n}})
		at += n
	}
	if header.Len() == 0 {
		header.WriteByte('{')
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 { // readers that map the file want aligned tensors
		header.WriteByte(' ')
	}
	return writeFile(path, func(w *bufio.Writer) error {
		if err := binary.Write(w, binary.LittleEndian, uint64(header.Len())); err != nil {
			return err
		}
		if _, err := w.Write(header.Bytes()); err != nil {
			return err
		}
		for _, t := range tensors {
			if err := t.write(w); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReadSafetensors reads every tensor of a safetensors file, in the order of their data, and the file's metadata (nil if
// it has none). F16 and BF16 become float32; any other type is an error. The values are copies; the file is closed
// again.
func ReadSafetensors(path string) ([]NamedTensor, map[string]string, error) {
	f, err := openTensors(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.close()
	out := make([]NamedTensor, len(f.tensors))
	for i, t := range f.tensors {
		if err := f.checkType(t); err != nil {
			return nil, nil, err
		}
		out[i] = NamedTensor{Name: t.name, Shape: t.shape}
	}
	parallel(len(out), func(i int) error {
		t := f.tensors[i]
		out[i].Data = make([]float32, t.count)
		decode(out[i].Data, t.data, t.dtype)
		return nil
	})
	return out, f.metadata, nil
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
	type located struct {
		fileTensor
		at int
	}
	var all []located
	for name, raw := range entries {
		if name == metadataKey {
			if err := f.readMetadata(raw); err != nil {
				return err
			}
			continue
		}
		var entry map[string]json.RawMessage
		if err := parseJSON(raw, &entry); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		t := located{fileTensor: fileTensor{name: name}}
		var offsets []int
		var shape []uint64
		for key, value := range map[string]any{"dtype": &t.dtype, "shape": &shape, "data_offsets": &offsets} {
			if err := parseJSON(entry[key], value); err != nil {
				return fmt.Errorf("tensor %q: %s: %w", name, key, err)
			}
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
		all = append(all, t)
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.at != b.at {
			return a.at < b.at
		}
		if len(a.data) != len(b.data) {
			return len(a.data) < len(b.data) // empty tensors come before the one that starts in the same place
		}
		return a.name < b.name
	})
	end := 0
	for _, t := range all {
		if t.at != end {
			return fmt.Errorf("tensor %q: begins at byte %d of the data, the one before it ends at %d", t.name, t.at,
				end)
		}
		end += len(t.data)
		f.tensors = append(f.tensors, t.fileTensor)
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

// maxHeader is far above any header seen (XL's is 70 kB) and keeps a corrupt length from costing gigabytes of JSON.
const maxHeader = 32 << 20

// openTensors maps a file and checks its header: lengths, types, shapes and offsets agree and lie inside the file.
func openTensors(path string) (*tensorFile, error) {
	const (
		doing     = "read"
		truncated = "the file is cut short or is not a safetensors file: fetch or save it again"
	)
	file, err := os.Open(path)
	if err != nil {
		return nil, osError(doing, path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, osError(doing, path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fileError(doing, path, "name the .safetensors file itself", "got a directory or device, want a "+
			"file")
	}
	head := make([]byte, min(sniffed, info.Size()))
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, osError(doing, path, err)
	}
	if found, hint := foreign(path, head); found != "" && !bytes.HasPrefix(head[min(8, len(head)):], []byte("{")) {
		return nil, fileError(doing, path, hint, "%s, want safetensors", found)
	}
	if info.Size() < 8 {
		return nil, fileError(doing, path, truncated, "got %d bytes, want at least 8", info.Size())
	}
	if info.Size() != int64(int(info.Size())) {
		return nil, fileError(doing, path, "use a 64-bit build", "got %d bytes, too large to map here", info.Size())
	}
	content, err := filemap.Open(file)
	if err != nil {
		return nil, osError(doing, path, err)
	}
	f, mapping := &tensorFile{path: path, file: content}, content.Bytes
	ok := false
	defer func() {
		if !ok {
			f.close()
		}
	}()

	length := binary.LittleEndian.Uint64(mapping)
	if length > uint64(len(mapping)-8) {
		return nil, fileError(doing, path, truncated, "got a header of %d bytes in a file of %d", length, len(mapping))
	}
	if length > maxHeader {
		return nil, fileError(doing, path, "is this a safetensors file?", "got a header of %d bytes, want at most %d",
			length, maxHeader)
	}
	if err := f.readHeader(mapping[8:8+length], mapping[8+length:]); err != nil {
		hint := truncated
		if errors.Is(err, errMetadata) {
			hint = "the metadata of a safetensors file is texts only: save it again, with str(...) around each value"
		}
		return nil, fileError(doing, path, hint, "bad header (%s)", clip(err.Error()))
	}
	ok = true
	return f, nil
}

func (f *tensorFile) checkType(t fileTensor) error {
	switch t.dtype {
	case float32Type, float16Type, bfloat16Type:
		return nil
	}
	hint := "save the tensors as float32, float16 or bfloat16"
	if strings.HasPrefix(string(t.dtype), "F8") || strings.HasPrefix(string(t.dtype), "F4") {
		hint = "a quantized model is not read here: use the float32, float16 or bfloat16 one that it was made from"
	}
	return fileError("read", f.path, hint, "tensor %q: got type %q, want F32, F16 or BF16", clip(t.name),
		clip(string(t.dtype)))
}
