package gpt2

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/filemap"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// fileError makes the one-line error of this package: where, got and want, a hint.
func fileError(path, hint, format string, args ...any) error {
	return fmt.Errorf("%s: %w; hint: %s", path, fmt.Errorf(format, args...), hint)
}

// osError is fileError for a failure of the operating system. The path leaves the wrapped error, since fileError has
// it.
func osError(path string, err error) error {
	hint := "check the disk and its free space"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "check the path"
		if _, err := os.Lstat(path); err == nil {
			hint = "the path is a link to a file that is missing: fetch or link the file again"
		}
	case errors.Is(err, fs.ErrPermission):
		hint = "check the permissions"
	case errors.Is(err, plainfile.ErrKind):
		hint = "name the file itself"
	}
	return fileError(path, hint, "%w", atomicfile.Reason(err))
}

// parseJSON decodes text, which must be there and not null, into to. It skips a byte order mark. Errors are
// exactjson's.
func parseJSON(text []byte, to any) error {
	text = bytes.TrimPrefix(text, byteOrderMark)
	switch string(bytes.TrimSpace(text)) {
	case "":
		return errors.New("missing")
	case "null":
		return errors.New("null")
	}
	return exactjson.Unmarshal(text, to)
}

var byteOrderMark = []byte("\ufeff")

// clip fits a text that quotes file contents into a one-line error.
func clip(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "..."
	}
	return text
}

// writeFile replaces path by what write produces, or leaves it as it was (see package atomicfile).
func writeFile(path string, write func(*bufio.Writer) error) error {
	if err := atomicfile.WriteFunc(path, write); err != nil {
		return fmt.Errorf("write %w", osError(path, err))
	}
	return nil
}

func writeBytes(path string, content []byte) error {
	return writeFile(path, func(w *bufio.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// readSmall reads a text file that has no business being larger than limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	data, err := plainfile.Read(path, limit)
	if err != nil {
		return nil, osError(path, err)
	}
	return data, nil
}

// mapFile maps a file of weights into memory. Errors: it is not a regular file, or it is another kind of file.
func mapFile(path, want string) (*filemap.Map, error) {
	file, err := plainfile.Open(path)
	if err != nil {
		return nil, osError(path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, osError(path, err)
	}
	if info.Size() != int64(int(info.Size())) {
		return nil, fileError(path, "use a 64-bit build", "got %d bytes, too large to map here", info.Size())
	}
	content, err := filemap.Open(file)
	if err != nil {
		return nil, osError(path, err)
	}
	err = guard(path, func() error { return refuseForeign(path, content.Bytes, want) })
	if err != nil {
		content.Close()
		return nil, err
	}
	return content, nil
}

// guard runs f, which reads the mapped file at path: see [filemap.Guard].
func guard(path string, f func() error) (err error) {
	if fault := filemap.Guard(func() { err = f() }); fault != nil {
		return fileError(path, "fetch or save the file again, and leave it as it is while it is read", "%w", fault)
	}
	return err
}

// writeFloats writes x as little-endian float32.
func writeFloats(w *bufio.Writer, x []float32) error {
	var raw []byte
	for some := range slices.Chunk(x, 1<<14) {
		raw = raw[:0]
		for _, v := range some { // four times as fast as binary.Append
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

// tile is the side of the squares that transposition works in: 64 rows of 64 float32 are 16 KiB.
const tile = 64

// writeTransposed writes the transpose of x (rows,cols), tile rows of the result at a time.
func writeTransposed(w *bufio.Writer, x []float32, rows, cols int) error {
	strip := make([]float32, min(tile, cols)*rows)
	for c0 := 0; c0 < cols; c0 += tile {
		n := min(tile, cols-c0)
		for r0 := 0; r0 < rows; r0 += tile {
			for r := r0; r < min(r0+tile, rows); r++ {
				for i, v := range x[r*cols+c0 : r*cols+c0+n] {
					strip[i*rows+r] = v
				}
			}
		}
		if err := writeFloats(w, strip[:n*rows]); err != nil {
			return err
		}
	}
	return nil
}

// decode converts len(dst) values of a file.
func decode(dst []float32, src []byte, dtype dataType) {
	widen := fromFloat16
	switch dtype {
	case float32Type:
		for i := range dst { // several times as fast as binary.Decode
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
		return
	case bfloat16Type:
		widen = func(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }
	}
	for i := range dst {
		dst[i] = widen(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

// decodeTransposed converts a file's (rows,cols) into dst (cols,rows).
func decodeTransposed(dst []float32, src []byte, rows, cols int, dtype dataType) {
	size := typeSizes[dtype]
	strip := make([]float32, min(tile, rows)*cols)
	for r0 := 0; r0 < rows; r0 += tile {
		n := min(tile, rows-r0)
		decode(strip[:n*cols], src[r0*cols*size:], dtype)
		for c := range cols {
			out := dst[c*rows+r0 : c*rows+r0+n]
			for i := range out {
				out[i] = strip[i*cols+c]
			}
		}
	}
}

// fromFloat16 widens an IEEE 754 half; exact, subnormals, infinities and NaN included.
func fromFloat16(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h >> 10 & 31)
	frac := uint32(h & 1023)
	switch exp {
	case 0: // frac * 2^-24, which float32 holds as a normal number
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}
