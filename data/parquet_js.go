package data

import (
	"fmt"
	"io"
)

// readParquet reads nothing: the codecs would be the larger part of a page's program.
func (in input) readParquet(io.ReaderAt, position, int, func(chunk) bool) error {
	return fmt.Errorf("%s: a page reads no Parquet; hint: write it as .txt or .jsonl", in.path)
}
