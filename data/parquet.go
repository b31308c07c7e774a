//go:build !js

package data

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// Parquet files are others' files, and the library believes what they say of their sizes: a page header of 20 bytes
// makes it allocate 2 GiB. So footer, page headers and encodings are checked here, and pages are decompressed here,
// into memory of a bounded size. The library gets each page as a small uncompressed file of its own.

// Bounds of what one file may ask for.
const (
	maxFooter     = 16 << 20 // bytes
	maxParts      = 1 << 18  // structs in a footer; FineWeb's have 40,000
	maxNesting    = 64       // of columns
	maxPageHeader = 16 << 20 // bytes; it may quote the page's smallest and largest text
	maxPageValues = 1 << 23  // rows of a page
	freePage      = 32 << 20 // bytes that any page may take, decompressed
	maxPageRatio  = 32       // beyond: times the page's compressed bytes
	maxPage       = 1 << 30  // bytes, decompressed; and compressed
)

// errNotParquet is wrapped by errors that show another kind of file, not damage.
var errNotParquet = errors.New("not a Parquet file")

// readParquet reads the column "text" of a .parquet file, and only that column.
func (in input) readParquet(f io.ReaderAt, from position, size int, emit func(chunk) bool) (err error) {
	hint := "the file must be Parquet with a column \"text\" of strings; download it again if it is"
	c, taken := chunk{from: from}, 0
	pos := from
	defer func() { // the library panics on some damaged files
		if r := recover(); r != nil {
			err = fmt.Errorf("its values cannot be decoded (%v)", r)
		}
		if err != nil {
			err = fmt.Errorf("%s: row %d: %w; hint: %s", in.path, pos.At, err, hint)
		}
	}()
	file, err := openParquet(f, in.ID.Bytes)
	if err != nil {
		return err
	}
	hint = "the file is damaged: download it again"
	for row, err := range file.rows(from.At) {
		if err != nil {
			return err
		}
		d := document{at: pos.At, begin: true, null: row == nil}
		if row != nil {
			d.text = *row
		}
		c.docs = append(c.docs, d)
		taken += len(d.text) + 1
		pos.At++
		if taken >= size {
			c.to = file.at(pos.At)
			if !emit(c) {
				return nil
			}
			c, taken = chunk{from: pos}, 0
		}
	}
	if c.to = file.at(pos.At); len(c.docs) > 0 {
		emit(c)
	}
	return nil
}

// parquetReader is an open file with its column "text".
type parquetReader struct {
	f      io.ReaderAt
	size   int64 // bytes
	meta   format.FileMetaData
	text   format.SchemaElement
	column int // of text, among the leaves
}

// at returns how far in the file, in bytes, a row is, in proportion to its rows.
func (p *parquetReader) at(row int64) int64 {
	return int64(float64(p.size) * float64(row) / float64(max(1, p.meta.NumRows)))
}

// openParquet reads the footer, and checks all that the program relies on.
func openParquet(f io.ReaderAt, size int64) (*parquetReader, error) {
	var head, tail [8]byte
	if size < 12 {
		return nil, fmt.Errorf("%w: %d bytes", errNotParquet, size)
	}
	if _, err := f.ReadAt(head[:4], 0); err != nil {
		return nil, err
	}
	if _, err := f.ReadAt(tail[:], size-8); err != nil {
		return nil, err
	}
	switch {
	case string(head[:4]) == "PARE" || string(tail[4:]) == "PARE":
		return nil, errors.New("it is encrypted")
	case string(head[:4]) != "PAR1":
		return nil, fmt.Errorf("%w: it begins with %q, want %q", errNotParquet, head[:4], "PAR1")
	case string(tail[4:]) != "PAR1":
		return nil, fmt.Errorf("%w: it ends with %q, want %q, so it is cut short", errNotParquet, tail[4:], "PAR1")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > size-12 || n > maxFooter {
		return nil, fmt.Errorf("its footer is said to have %d bytes, of %d in the file, want at most %d", n, size,
			maxFooter)
	}
	footer := make([]byte, n)
	if _, err := f.ReadAt(footer, size-8-n); err != nil {
		return nil, err
	}
	end, err := checkThrift(footer, maxParts)
	if err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	p := &parquetReader{f: f, size: size, column: -1}
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), footer[:end], &p.meta); err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	if err := p.findColumn(); err != nil {
		return nil, err
	}
	left := p.meta.NumRows
	for i, g := range p.meta.RowGroups {
		if left -= g.NumRows; g.NumRows < 0 || left < 0 {
			return nil, fmt.Errorf("footer: row group %d has %d rows, of %d in the file", i, g.NumRows, p.meta.NumRows)
		}
		if p.column >= len(g.Columns) {
			return nil, fmt.Errorf("footer: row group %d has %d columns, want the column \"text\"", i, len(g.Columns))
		}
	}
	if left != 0 {
		return nil, fmt.Errorf("footer: the row groups have %d rows, want %d", p.meta.NumRows-left, p.meta.NumRows)
	}
	return p, nil
}

// findColumn sets text and column. Errors: there is no column "text", or it is not of strings.
func (p *parquetReader) findColumn() error {
	if len(p.meta.Schema) == 0 {
		return errors.New("no columns")
	}
	type group struct {
		name string
		left int32 // children that follow
	}
	var path []group
	var have []string
	leaves := 0
	for i, e := range p.meta.Schema {
		children := e.NumChildren.V
		if children < 0 || int(children) > len(p.meta.Schema) || len(path) > maxNesting || i > 0 && len(path) == 0 {
			return fmt.Errorf("footer: column %q is not in a tree of at most %d levels", e.Name, maxNesting)
		}
		if len(path) == 1 && e.Name == "text" {
			if children > 0 || e.RepetitionType.V == format.Repeated {
				return errors.New("column \"text\" is a list, want one string a row")
			}
			p.text, p.column = e, leaves
		}
		if children > 0 || i == 0 {
			path = append(path, group{e.Name, children})
		} else {
			var names []string
			for _, g := range path[1:] {
				names = append(names, g.name)
			}
			if leaves++; len(have) < 20 {
				have = append(have, strings.Join(append(names, e.Name), "."))
			}
			path[len(path)-1].left--
		}
		for len(path) > 0 && path[len(path)-1].left <= 0 {
			if path = path[:len(path)-1]; len(path) > 0 {
				path[len(path)-1].left--
			}
		}
	}
	if leaves > len(have) {
		have = append(have, fmt.Sprintf("%d more", leaves-len(have)))
	}
	switch {
	case p.column < 0:
		return fmt.Errorf("no column \"text\", the columns are %.300s", strings.Join(have, ", "))
	case !p.text.Type.Valid: // pyarrow's type null
		return errors.New("column \"text\" has no type, want one string a row")
	case p.text.Type.V != format.ByteArray:
		return fmt.Errorf("column \"text\" is of type %v, want one string a row", p.text.Type.V)
	}
	if _, decimal := p.text.LogicalType.Value.(*format.DecimalType); decimal {
		return errors.New("column \"text\" is of decimal numbers, want one string a row")
	}
	return nil
}

// rows returns the texts from a row on; nil for a null. After an error no other comes.
func (p *parquetReader) rows(from int64) func(yield func(*string, error) bool) {
	return func(yield func(*string, error) bool) {
		for _, g := range p.meta.RowGroups {
			if from >= g.NumRows {
				from -= g.NumRows
				continue
			}
			if !p.group(g, from, yield) {
				return
			}
			from = 0
		}
	}
}

// group yields the texts of a row group from a row on.
func (p *parquetReader) group(g format.RowGroup, from int64, yield func(*string, error) bool) bool {
	chunk := g.Columns[p.column].MetaData
	at, dict := chunk.DataPageOffset, page{}
	if d := chunk.DictionaryPageOffset; d > 0 && d < at {
		at = d
	}
	for row := int64(0); row < g.NumRows; {
		page, next, err := p.readPage(at, chunk.Codec, g.NumRows-row)
		if err != nil {
			return yield(nil, fmt.Errorf("page at byte %d: %w", at, err))
		}
		at = next
		switch page.header.Type {
		case format.DictionaryPage:
			if err = page.decompress(chunk.Codec); err == nil {
				err = page.check(p.text, nil)
			}
			dict = page
		case format.DataPage, format.DataPageV2:
			if row += page.values; row <= from {
				continue // passed over unread
			}
			if err = page.decompress(chunk.Codec); err == nil {
				err = page.check(p.text, &dict)
			}
			if err == nil && !p.decode(page, dict, max(0, from-(row-page.values)), yield) {
				return false
			}
		}
		if err != nil {
			return yield(nil, fmt.Errorf("page before byte %d: %w", at, err))
		}
	}
	return true
}

// page is a page of the column.
type page struct {
	header     format.PageHeader
	values     int64  // rows, or texts of a dictionary
	data       []byte // compressed until decompress
	compressed int    // bytes
}

// readPage reads the page at a byte. rows is how many it may have at most.
func (p *parquetReader) readPage(at int64, codec format.CompressionCodec, rows int64) (g page, next int64, err error) {
	end := p.size - 8
	if at < 4 || at >= end {
		return g, 0, fmt.Errorf("the file has %d bytes", p.size)
	}
	var head []byte
	n := 0
	for size := int64(512); ; size *= 8 {
		size = min(size, end-at, maxPageHeader)
		head = slices.Grow(head, int(size)-len(head))[:size]
		if _, err := p.f.ReadAt(head, at); err != nil {
			return g, 0, err
		}
		if n, err = checkThrift(head, 64); err == nil {
			break
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || size == min(end-at, maxPageHeader) {
			return g, 0, fmt.Errorf("header: %w", err)
		}
	}
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), head[:n], &g.header); err != nil {
		return g, 0, fmt.Errorf("header: %w", err)
	}
	compressed, size := int64(g.header.CompressedPageSize), int64(g.header.UncompressedPageSize)
	at += int64(n)
	switch h := g.header; {
	case h.Type == format.DataPage && h.DataPageHeader.Valid:
		g.values = int64(h.DataPageHeader.V.NumValues)
	case h.Type == format.DataPageV2 && h.DataPageHeaderV2.Valid:
		v := h.DataPageHeaderV2.V
		g.values = int64(v.NumValues)
		levels := int64(v.DefinitionLevelsByteLength)
		if levels < 0 || v.RepetitionLevelsByteLength != 0 || levels > min(compressed, size) || v.NumNulls < 0 ||
			v.NumNulls > v.NumValues {
			return g, 0, fmt.Errorf("header: levels of %d and %d bytes, %d nulls of %d",
				v.RepetitionLevelsByteLength, levels, v.NumNulls, v.NumValues)
		}
	case h.Type == format.DictionaryPage && h.DictionaryPageHeader.Valid:
		g.values, rows = int64(h.DictionaryPageHeader.V.NumValues), maxPageValues
	case h.Type == format.IndexPage:
	default:
		return g, 0, fmt.Errorf("header: type %v", h.Type)
	}
	most := max(freePage, min(maxPage, maxPageRatio*compressed))
	switch {
	case compressed < 0 || compressed > min(end-at, maxPage):
		return g, 0, fmt.Errorf("it is said to have %d bytes, %d are left in the file", compressed, end-at)
	case size < 0 || size > most:
		return g, 0, fmt.Errorf("%d bytes are said to become %d, want at most %d", compressed, size, most)
	case codec == format.Uncompressed && size != compressed:
		return g, 0, fmt.Errorf("%d bytes are said to be %d", compressed, size)
	case g.values < 0 || g.values > min(rows, maxPageValues):
		return g, 0, fmt.Errorf("%d values, want 0 to %d", g.values, min(rows, maxPageValues))
	case g.values == 0 && g.header.Type != format.DictionaryPage && compressed == 0:
		return g, 0, errors.New("it is empty")
	}
	g.data, g.compressed = make([]byte, compressed), int(compressed)
	if _, err := p.f.ReadAt(g.data, at); err != nil {
		return g, 0, err
	}
	if sum := crc32.ChecksumIEEE(g.data); g.header.CRC != 0 && uint32(g.header.CRC) != sum {
		return g, 0, fmt.Errorf("checksum mismatch: %08x, want %08x", sum, uint32(g.header.CRC))
	}
	return g, at + compressed, nil
}

// decompress makes data what the header says that it is; levels of pages of version 2 are not compressed.
func (g *page) decompress(codec format.CompressionCodec) error {
	size, levels := int(g.header.UncompressedPageSize), 0
	if v := g.header.DataPageHeaderV2; v.Valid && g.header.Type == format.DataPageV2 {
		levels = int(v.V.DefinitionLevelsByteLength)
		if v.V.IsCompressed.Valid && !v.V.IsCompressed.V {
			codec = format.Uncompressed
		}
	}
	if codec == format.Uncompressed {
		return nil
	}
	out := make([]byte, levels, size+1) // one byte of room, which must stay empty
	copy(out, g.data)
	body, err := inflate(codec, out[levels:levels:size+1], g.data[levels:])
	if err == nil && levels+len(body) != size {
		err = fmt.Errorf("%d bytes, want %d", levels+len(body), size)
	}
	if err != nil {
		return fmt.Errorf("%v: %w", codec, err)
	}
	g.data = out[:size]
	return nil
}

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(maxPage+1))
	if err != nil {
		panic(err) // options that are constants
	}
	return d
})

// inflate appends to dst, within its capacity, what src is compressed from. A block of no bytes may be left out.
func inflate(codec format.CompressionCodec, dst, src []byte) ([]byte, error) {
	if len(src) == 0 {
		return dst, nil
	}
	room := dst[len(dst):cap(dst)]
	stream := func(r io.Reader) ([]byte, error) {
		n, err := io.ReadFull(r, room)
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = nil
		}
		return room[:n], err
	}
	switch codec {
	case format.Snappy:
		if n, err := snappy.DecodedLen(src); err != nil || n > len(room) {
			return nil, cmp.Or(err, fmt.Errorf("%d bytes", n))
		}
		return snappy.Decode(room, src)
	case format.Zstd:
		return zstdDecoder().DecodeAll(src, room[:0])
	case format.Lz4Raw:
		n, err := lz4.UncompressBlock(src, room)
		return room[:max(n, 0)], err
	case format.Gzip:
		r, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, err
		}
		return stream(r)
	case format.Brotli:
		return stream(brotli.NewReader(bytes.NewReader(src)))
	}
	return nil, fmt.Errorf("a compression that is not read here; write it with snappy, gzip, zstd or lz4_raw")
}

// check compares the numbers in a decompressed page with the number of its values. The library trusts them. dict is the
// page's dictionary so far; nil: it is one itself.
func (g *page) check(text format.SchemaElement, dict *page) error {
	data, encoding := g.data, format.Plain
	nulls := 0
	switch h := g.header; h.Type {
	case format.DictionaryPage:
		encoding = h.DictionaryPageHeader.V.Encoding
	case format.DataPage:
		encoding = h.DataPageHeader.V.Encoding
		if text.RepetitionType.V == format.Optional {
			if h.DataPageHeader.V.DefinitionLevelEncoding != format.RLE || len(data) < 4 {
				return fmt.Errorf("levels by %v, want RLE", h.DataPageHeader.V.DefinitionLevelEncoding)
			}
			n := int64(binary.LittleEndian.Uint32(data))
			if data = data[4:]; n > int64(len(data)) {
				return fmt.Errorf("levels of %d bytes, of %d", n, len(data))
			}
			if err := checkRuns(data[:n], 1, g.values); err != nil {
				return err
			}
			data = data[n:]
		}
	case format.DataPageV2:
		v := h.DataPageHeaderV2.V
		encoding, nulls = v.Encoding, int(v.NumNulls)
		n := v.DefinitionLevelsByteLength
		if text.RepetitionType.V == format.Optional {
			if err := checkRuns(data[:n], 1, g.values); err != nil {
				return err
			}
		}
		data = data[n:]
	}
	most := g.values - int64(nulls)
	switch encoding {
	case format.Plain:
	case format.PlainDictionary, format.RLEDictionary:
		if dict == nil { // of a dictionary: plain
			return nil
		}
		if dict.data == nil && most > 0 {
			return errors.New("no dictionary before it")
		}
		if len(data) == 0 {
			return nil
		}
		if data[0] > 32 {
			return fmt.Errorf("indices of %d bits", data[0])
		}
		return checkRuns(data[1:], int(data[0]), most)
	case format.DeltaLengthByteArray:
		_, _, err := readDeltas(data, most)
		return err
	case format.DeltaByteArray:
		prefixes, rest, err := readDeltas(data, most)
		if err != nil {
			return err
		}
		if _, _, err := readDeltas(rest, most); err != nil {
			return err
		}
		size, limit := int64(len(rest)), max(freePage, min(maxPage, maxPageRatio*int64(g.compressed)))
		for _, n := range prefixes {
			if size += int64(n); n < 0 || size > limit {
				return fmt.Errorf("its texts take more than %d bytes, or a prefix is negative", limit)
			}
		}
	default:
		return fmt.Errorf("encoding %v is not read here", encoding)
	}
	return nil
}

// checkRuns walks runs of RLE and bit-packed numbers of some bits and returns an error if there are more than most, but
// for the padding of bit-packed ones.
func checkRuns(data []byte, bits int, most int64) error {
	for total := int64(0); len(data) > 0; {
		u, n := binary.Uvarint(data)
		if n <= 0 || u>>1 > maxPageValues {
			return errors.New("a damaged run of levels or indices")
		}
		data = data[n:]
		count, size := int64(u>>1), (bits+7)/8
		if u&1 == 1 {
			size, count = int(count)*bits, count*8
		}
		if total += count; total > most+7 && count > 0 {
			return fmt.Errorf("%d levels or indices, want %d", total, most)
		}
		if size > len(data) {
			return errors.New("a run of levels or indices is cut short")
		}
		data = data[size:]
	}
	return nil
}

// readDeltas reads at most `most` numbers of DELTA_BINARY_PACKED, and returns what follows them.
func readDeltas(data []byte, most int64) (values []int32, rest []byte, err error) {
	damaged := func(what string) ([]int32, []byte, error) { return nil, nil, fmt.Errorf("deltas: %s", what) }
	var head [3]uint64 // numbers of a block, its parts, all numbers
	for i := range head {
		u, n := binary.Uvarint(data)
		if n <= 0 {
			return damaged("no header")
		}
		head[i], data = u, data[n:]
	}
	block, parts, total := head[0], head[1], int64(head[2])
	first, n := binary.Varint(data)
	if n <= 0 || block == 0 || block%128 != 0 || block > 1<<16 || parts == 0 || parts > block/32 ||
		block/parts%32 != 0 || total < 0 || total > most {
		return damaged(fmt.Sprintf("%d numbers, %d in a block of %d parts, want at most %d", total, block, parts, most))
	}
	if data = data[n:]; total == 0 {
		return nil, data, nil
	}
	values = append(make([]int32, 0, total), int32(first))
	for int64(len(values)) < total {
		least, n := binary.Varint(data)
		if n <= 0 || len(data)-n < int(parts) {
			return damaged("cut short")
		}
		widths := data[n : n+int(parts)]
		data = data[n+int(parts):]
		for _, bits := range widths {
			if int64(len(values)) == total {
				break
			}
			size := int(block/parts) * int(bits) / 8
			if bits > 32 || size > len(data) {
				return damaged("cut short")
			}
			for i := 0; i < int(block/parts) && int64(len(values)) < total; i++ {
				v := uint64(0)
				for b := range int(bits) {
					at := i*int(bits) + b
					v |= uint64(data[at/8]>>(at%8)&1) << b
				}
				values = append(values, values[len(values)-1]+int32(least)+int32(v))
			}
			data = data[size:]
		}
	}
	return values, data, nil
}

// decode yields the texts of a page from one of its rows on: the library decodes them from a file of this page.
func (p *parquetReader) decode(g, dict page, from int64, yield func(*string, error) bool) bool {
	values, err := p.values(g, dict)
	var buf [256]parquet.Value
	for at := int64(0); err == nil; {
		var n int
		n, err = values.ReadValues(buf[:])
		for _, v := range buf[:n] {
			if at++; at <= from {
				continue
			}
			var text *string
			if !v.IsNull() {
				s := string(v.ByteArray())
				text = &s
			}
			if !yield(text, nil) {
				return false
			}
		}
		if errors.Is(err, io.EOF) && at != g.values {
			err = fmt.Errorf("%d rows, want %d", at, g.values)
		}
	}
	return errors.Is(err, io.EOF) || yield(nil, err)
}

// values returns a page's values, decoded by the library.
func (p *parquetReader) values(g, dict page) (parquet.ValueReader, error) {
	raw, err := p.single(g, dict)
	if err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)), parquet.SkipPageIndex(true),
		parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	page, err := file.RowGroups()[0].ColumnChunks()[0].Pages().ReadPage()
	if err != nil {
		return nil, err
	}
	return page.Values(), nil
}

// single is a Parquet file with one page, uncompressed, and its dictionary.
func (p *parquetReader) single(g, dict page) ([]byte, error) {
	out := make([]byte, 0, len(g.data)+len(dict.data)+1024)
	out = append(out, "PAR1"...)
	encoding := format.Plain
	switch h := g.header; h.Type {
	case format.DataPage:
		encoding = h.DataPageHeader.V.Encoding
	case format.DataPageV2:
		encoding = h.DataPageHeaderV2.V.Encoding
	}
	meta := format.ColumnMetaData{Type: format.ByteArray, Encoding: []format.Encoding{encoding},
		PathInSchema: []string{"text"}, NumValues: g.values}
	add := func(g page) error {
		h := format.PageHeader{Type: g.header.Type, UncompressedPageSize: int32(len(g.data)),
			CompressedPageSize: int32(len(g.data)), DataPageHeader: g.header.DataPageHeader,
			DictionaryPageHeader: g.header.DictionaryPageHeader, DataPageHeaderV2: g.header.DataPageHeaderV2}
		h.DataPageHeader.V.Statistics, h.DataPageHeaderV2.V.Statistics = format.Statistics{}, format.Statistics{}
		raw, err := thrift.Marshal(new(thrift.CompactProtocol), h)
		out = append(append(out, raw...), g.data...)
		return err
	}
	if dict.data != nil {
		meta.DictionaryPageOffset = int64(len(out))
		if err := add(dict); err != nil {
			return nil, err
		}
	}
	meta.DataPageOffset = int64(len(out))
	if err := add(g); err != nil {
		return nil, err
	}
	meta.TotalCompressedSize, meta.TotalUncompressedSize = int64(len(out)-4), int64(len(out)-4)
	root := format.SchemaElement{Name: "root", NumChildren: thrift.New(int32(1))}
	text := format.SchemaElement{Name: "text", Type: p.text.Type, RepetitionType: p.text.RepetitionType}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), format.FileMetaData{Version: 1,
		Schema: []format.SchemaElement{root, text}, NumRows: g.values, RowGroups: []format.RowGroup{{
			Columns: []format.ColumnChunk{{MetaData: meta}}, NumRows: g.values, TotalByteSize: int64(len(out) - 4),
		}}})
	out = append(out, footer...)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(footer))), "PAR1"...), err
}

// checkThrift walks a struct of thrift's compact protocol and returns where it ends. Every list and text in it must lie
// within data, and it may hold at most `parts` parts. Error: what is wrong; io.ErrUnexpectedEOF, wrapped, where data
// ends too early.
func checkThrift(data []byte, parts int) (end int, err error) {
	w := thriftWalk{data: data, parts: parts}
	err = w.value(thriftStruct, 0)
	return w.at, err
}

// thriftWalk is a walk over a value of thrift's compact protocol.
type thriftWalk struct {
	data  []byte
	at    int
	parts int // structs and lists that are left
}

// Types of thrift's compact protocol, by their number in front of a value.
const (
	thriftTrue, thriftFalse, thriftByte, thriftI16, thriftI32, thriftI64 = 1, 2, 3, 4, 5, 6
	thriftDouble, thriftBinary, thriftList, thriftSet, thriftMap         = 7, 8, 9, 10, 11
	thriftStruct                                                         = 12
)

func (w *thriftWalk) skip(n uint64) error {
	if n > uint64(len(w.data)-w.at) {
		return fmt.Errorf("it is cut short: %w", io.ErrUnexpectedEOF)
	}
	w.at += int(n)
	return nil
}

func (w *thriftWalk) uvarint() (uint64, error) {
	u, n := binary.Uvarint(w.data[w.at:])
	if n < 0 {
		return 0, errors.New("a number of more than 64 bits")
	} else if n == 0 {
		return 0, fmt.Errorf("it is cut short: %w", io.ErrUnexpectedEOF)
	}
	w.at += n
	return u, nil
}

func (w *thriftWalk) byte() (byte, error) {
	if err := w.skip(1); err != nil {
		return 0, err
	}
	return w.data[w.at-1], nil
}

// value passes over a value of a type. depth counts the structs and lists around it.
func (w *thriftWalk) value(kind byte, depth int) error {
	switch kind {
	case thriftTrue, thriftFalse: // in the type itself; in a list it takes a byte
		return nil
	case thriftByte:
		return w.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := w.uvarint()
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftBinary:
		n, err := w.uvarint()
		return cmp.Or(err, w.skip(n))
	case thriftList, thriftSet, thriftStruct:
	default:
		return fmt.Errorf("a value of type %d", kind)
	}
	if w.parts--; w.parts < 0 || depth > 16 {
		return errors.New("it has more parts than any file needs")
	}
	if kind == thriftStruct {
		return w.fields(depth)
	}
	b, err := w.byte()
	if err != nil {
		return err
	}
	n := uint64(b >> 4)
	if n == 15 {
		if n, err = w.uvarint(); err != nil {
			return err
		}
	}
	if n > uint64(len(w.data)-w.at) { // an element takes a byte at least
		return fmt.Errorf("a list of %d: %w", n, io.ErrUnexpectedEOF)
	}
	for range n {
		element := b & 15
		if element == thriftTrue || element == thriftFalse {
			element = thriftByte
		}
		if err := w.value(element, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// fields passes over the fields of a struct.
func (w *thriftWalk) fields(depth int) error {
	for {
		b, err := w.byte()
		if err != nil || b == 0 {
			return err
		}
		if b>>4 == 0 { // the field's number follows
			if _, err := w.uvarint(); err != nil {
				return err
			}
		}
		if err := w.value(b&15, depth+1); err != nil {
			return err
		}
	}
}
