package gpu

import (
	"math"
	"unsafe"
)

// PackBF16 returns values as BF16 stores them: rounded to the nearest, of two to the even one, and two to a word, the
// even one low. A NaN stays one and keeps its sign. Behind an odd number of values lies a zero.
func PackBF16(values []float32) []uint32 {
	words := make([]uint32, (len(values)+1)/2)
	for i, v := range values {
		u := math.Float32bits(v)
		if v != v {
			u |= 1 << 22 // rounding would carry some NaNs into infinity
		} else {
			u += 0x7fff + u>>16&1
		}
		words[i/2] |= u >> 16 << (i % 2 * 16)
	}
	return words
}

// UnpackBF16 returns the first n values of words that hold BF16.
func UnpackBF16(words []uint32, n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = math.Float32frombits(words[i/2] >> (i % 2 * 16) << 16)
	}
	return values
}

// BytesOf returns the memory of s.
func BytesOf[E float32 | uint32](s []E) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*4)
}
