package gpt2

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
)

const ioBuffer = 1 << 20 // bytes

// fileError makes the one-line error of this package: where, got and want, a hint. doing is "read", which goes without
// saying, or "write".
func fileError(doing, path, hint, format string, args ...any) error {
	if doing != "read" {
		path = doing + " " + path
	}
	args = append([]any{path}, append(args, hint)...)
	return fmt.Errorf("%s: "+format+"; hint: %s", args...)
}

// osError is fileError for a failure of the operating system. The path leaves the wrapped error, since fileError has
// it.
func osError(doing, path string, err error) error {
	hint := "check the disk and its free space"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "check the path"
		if _, err := os.Lstat(path); err == nil {
			hint = "the path is a link to a file that is missing: fetch or link the file again"
		}
	case errors.Is(err, fs.ErrPermission):
		hint = "check the permissions"
	}
	return fileError(doing, path, hint, "%w", atomicfile.Reason(err))
}

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
		return osError("write", path, err)
	}
	return nil
}

// readSmall reads a text file that has no business being larger than limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, osError("read", path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, osError("read", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fileError("read", path, "is this the right file?", "got more than %d bytes", limit)
	}
	return data, nil
}

// writeFloats writes x as little-endian float32.
func writeFloats(w *bufio.Writer, x []float32) error {
	for len(x) > 0 {
		if w.Available() < 4 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
		n := min(len(x), w.Available()/4)
		b := w.AvailableBuffer()
		for _, v := range x[:n] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		x = x[n:]
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
	switch dtype {
	case float32Type:
		src = src[:4*len(dst)]
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case bfloat16Type:
		src = src[:2*len(dst)]
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case float16Type:
		src = src[:2*len(dst)]
		for i := range dst {
			dst[i] = fromFloat16(binary.LittleEndian.Uint16(src[2*i:]))
		}
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

// parallel calls f(0) to f(n-1) on all cores and returns the error of the lowest i that failed.
func parallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[i] = f(i)
			}
		}()
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
