package gpt2

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"slices"
	"sort"
	"strconv"

	"github.com/nlpodyssey/safetensors"

	"github.com/gpt2wgpu/gpt2wgpu/data/filemap"
)

// NamedTensor is a tensor of a safetensors file.
type NamedTensor struct {
	Name  string
	Shape []int     // row-major; empty for a scalar
	Data  []float32 // as many values as Shape says
}

// WriteSafetensors writes tensors as float32 to a safetensors file, in the given order, replacing path in one step. It
// streams: beyond the tensors it holds about a megabyte. metadata may be nil; "format":"pt" makes transformers accept the
// file as weights.
//
// Errors: a name used twice or "__metadata__", data that does not fill its shape, or a failing disk.
func WriteSafetensors(path string, tensors []NamedTensor, metadata map[string]string) error {
	entries := make([]outTensor, len(tensors))
	for i, t := range tensors {
		if !fills(t.Shape, len(t.Data)) {
			return fileError("write", path, "give as many values as the shape has", "tensor %q: got %d values, want shape %v", clip(t.Name), len(t.Data), t.Shape)
		}
		entries[i] = outTensor{t.Name, t.Shape, func(w *bufio.Writer) error { return writeFloats(w, t.Data) }}
	}
	return writeSafetensors(path, entries, metadata)
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

// writeSafetensors writes the header itself because the library would need each tensor as bytes, transposed ones included.
func writeSafetensors(path string, tensors []outTensor, metadata map[string]string) error {
	type entry struct {
		DType   safetensors.DType `json:"dtype"`
		Shape   []int             `json:"shape"`
		Offsets [2]int            `json:"data_offsets"`
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
	const reserved = "__metadata__"
	if len(metadata) > 0 {
		add(reserved, metadata)
	}
	at := 0
	seen := map[string]bool{reserved: true}
	for _, t := range tensors {
		if seen[t.name] {
			return fileError("write", path, "names in a safetensors file are unique and not "+reserved, "tensor %q: the name is taken", clip(t.name))
		}
		seen[t.name] = true
		n := 4
		for _, d := range t.shape {
			n *= d
		}
		add(t.name, entry{safetensors.F32, append([]int{}, t.shape...), [2]int{at, at + n}})
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
// it has none). F16 and BF16 become float32; any other type is an error. The values are copies; the file is closed again.
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
	dtype safetensors.DType
	data  []byte // count values; part of the file, so dead after close
}

func (f *tensorFile) close() { f.file.Close() }

// maxHeader is far above any header seen (XL's is 70 kB) and keeps a corrupt length from costing gigabytes of JSON.
const maxHeader = 32 << 20

// openTensors maps a file and checks its header: lengths, types, shapes and offsets agree and lie inside the file.
func openTensors(path string) (*tensorFile, error) {
	const (
		doing     = "read"
		truncated = "the file is cut short or is no safetensors file: fetch or save it again"
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
		return nil, fileError(doing, path, "name the .safetensors file itself", "got a directory or device, want a file")
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
		return nil, fileError(doing, path, "is this a safetensors file?", "got a header of %d bytes, want at most %d", length, maxHeader)
	}
	_, header, err := safetensors.ReadMetadata(mapping)
	if err != nil {
		return nil, fileError(doing, path, truncated, "bad header (%s)", clip(err.Error()))
	}
	f.metadata = header.Metadata()
	type located struct {
		fileTensor
		at uint64
	}
	var all []located
	data := mapping[8+length:]
	for name, t := range header.Tensors() {
		out := fileTensor{name: name, dtype: t.DType, shape: make([]int, len(t.Shape)), data: data[t.DataOffsets[0]:t.DataOffsets[1]]}
		out.count = len(out.data) / int(t.DType.Size())
		for i, d := range t.Shape {
			if d > 1<<48 { // possible beside a dimension of 0
				return nil, fileError(doing, path, truncated, "tensor %q: got a dimension of %d", clip(name), d)
			}
			out.shape[i] = int(d)
		}
		all = append(all, located{out, t.DataOffsets[0]})
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
	for _, t := range all {
		f.tensors = append(f.tensors, t.fileTensor)
	}
	ok = true
	return f, nil
}

func (f *tensorFile) checkType(t fileTensor) error {
	switch t.dtype {
	case safetensors.F32, safetensors.F16, safetensors.BF16:
		return nil
	}
	return fileError("read", f.path, "save the tensors as float32, float16 or bfloat16", "tensor %q: got type %s, want F32, F16 or BF16", clip(t.name), strconv.Quote(t.dtype.String()))
}
