package data

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// crafted is a Parquet file with one data page behind an optional dictionary, of any lies.
type crafted struct {
	codec    format.CompressionCodec
	encoding format.Encoding
	values   int32
	data     []byte // as it is stored
	size     int32  // decompressed; 0: that of data
	dict     []byte
	dictN    int32
	optional bool
	edit     func(*format.FileMetaData)
	header   func(*format.PageHeader)
}

func marshal(v any) []byte {
	raw, err := thrift.Marshal(new(thrift.CompactProtocol), v)
	if err != nil {
		panic(err)
	}
	return raw
}

func (c crafted) bytes() []byte {
	out := []byte("PAR1")
	repetition := format.Required
	if c.optional {
		repetition = format.Optional
	}
	meta := format.ColumnMetaData{Type: format.ByteArray, Encoding: []format.Encoding{c.encoding},
		PathInSchema: []string{"text"}, Codec: c.codec, NumValues: int64(c.values)}
	if c.dict != nil {
		meta.DictionaryPageOffset = int64(len(out))
		h := format.PageHeader{Type: format.DictionaryPage, UncompressedPageSize: int32(len(c.dict)),
			CompressedPageSize: int32(len(c.dict)), DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{
				NumValues: c.dictN, Encoding: format.Plain})}
		out = append(append(out, marshal(h)...), c.dict...)
	}
	meta.DataPageOffset = int64(len(out))
	h := format.PageHeader{Type: format.DataPage, UncompressedPageSize: c.size, CompressedPageSize: int32(len(c.data)),
		DataPageHeader: thrift.New(format.DataPageHeader{NumValues: c.values, Encoding: c.encoding,
			DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE})}
	if c.size == 0 {
		h.UncompressedPageSize = int32(len(c.data))
	}
	if c.header != nil {
		c.header(&h)
	}
	out = append(append(out, marshal(h)...), c.data...)
	meta.TotalCompressedSize, meta.TotalUncompressedSize = int64(len(out)-4), int64(len(out)-4)
	m := format.FileMetaData{Version: 1, NumRows: int64(c.values), Schema: []format.SchemaElement{
		{Name: "root", NumChildren: thrift.New(int32(1))},
		{Name: "text", Type: thrift.New(format.ByteArray), RepetitionType: thrift.New(repetition)}},
		RowGroups: []format.RowGroup{{Columns: []format.ColumnChunk{{MetaData: meta}}, NumRows: int64(c.values)}}}
	if c.edit != nil {
		c.edit(&m)
	}
	return withFooter(out, marshal(m))
}

func withFooter(body, footer []byte) []byte {
	out := append(body, footer...)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(footer))), "PAR1"...)
}

// plain is a page of texts, PLAIN.
func plain(texts ...string) (out []byte) {
	for _, s := range texts {
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(s))), s...)
	}
	return out
}

// repeat is n bytes of a pattern, which each begin with.
func repeat(begin []byte, pattern string, n int) []byte {
	return append(begin, strings.Repeat(pattern, n/len(pattern))...)
}

// levels are definition levels of a page of version 1.
func levels(runs ...byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(runs))), runs...)
}

// deltas is the header of DELTA_BINARY_PACKED that claims n numbers.
func deltas(n uint64, first int64) []byte {
	out := binary.AppendUvarint(binary.AppendUvarint(nil, 128), 4)
	return binary.AppendVarint(binary.AppendUvarint(out, n), first)
}

func zipped(raw []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	w.Write(raw)
	w.Close()
	return b.Bytes()
}

func zstandard(raw []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(raw, nil)
}

// parquetFaults are files that claim more than they hold, by name, and the words of the error.
func parquetFaults() map[string]struct {
	file func() []byte
	want string
} {
	type fault = struct {
		file func() []byte
		want string
	}
	of := func(c crafted, want string) fault { return fault{c.bytes, want} }
	bomb := func(codec format.CompressionCodec, compress func([]byte) []byte, size int32) fault {
		return fault{func() []byte {
			return crafted{codec: codec, values: 1, size: size, data: compress(repeat(nil, "a", 64<<20))}.bytes()
		}, "page "}
	}
	const gigabytes = 1<<31 - 1
	good := plain("a text")
	indexed := func(dictN, values int32, data ...byte) crafted { // of a dictionary with the text "a"
		return crafted{encoding: format.RLEDictionary, dict: plain("a"), dictN: dictN, values: values, data: data}
	}
	delta := func(e format.Encoding, values int32, n uint64) crafted {
		return crafted{encoding: e, values: values, data: deltas(n, 0)}
	}
	return map[string]fault{
		"footer of 4 GiB": {func() []byte {
			return append(append([]byte("PAR1"), make([]byte, 220)...), "\xff\xff\xff\xffPAR1"...)
		}, "4294967295 bytes"},
		"footer of a list of 2^31": {func() []byte {
			return withFooter([]byte("PAR1"), []byte{0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 7})
		}, "footer"},
		"footer of many structs": {func() []byte {
			n := 8 << 20
			footer := append([]byte{0x15, 2, 0x19, 0xfc}, binary.AppendUvarint(nil, uint64(n))...)
			return withFooter([]byte("PAR1"), append(footer, make([]byte, n+100)...))
		}, "more parts"},
		"footer without an end": {func() []byte { return withFooter([]byte("PAR1"), []byte{0x15}) }, "cut short"},
		"footer of a deep thing": {func() []byte {
			return withFooter([]byte("PAR1"), repeat(nil, "\x1c", 1<<20))
		}, "parts"},
		"columns in columns": of(crafted{data: good, values: 1, edit: func(m *format.FileMetaData) {
			m.Schema = append(slices.Repeat(m.Schema[:1], 50_000), m.Schema[1])
		}}, "levels"),
		"decimal text": of(crafted{data: good, values: 1, edit: func(m *format.FileMetaData) {
			m.Schema[1].LogicalType.Value = &format.DecimalType{Scale: 2, Precision: 5}
		}}, "decimal"),
		"row group of 2^62 rows": of(crafted{data: good, values: 1, edit: func(m *format.FileMetaData) {
			m.RowGroups[0].NumRows, m.NumRows = 1<<62, 1<<62
		}}, "damaged"),
		"negative rows": of(crafted{data: good, values: 1, edit: func(m *format.FileMetaData) {
			m.RowGroups[0].NumRows = -1
		}}, "rows"),
		"no columns in a row group": of(crafted{data: good, values: 1, edit: func(m *format.FileMetaData) {
			m.RowGroups[0].Columns = nil
		}}, "0 columns"),
		"page far away": of(crafted{data: good, values: 1, edit: func(m *format.FileMetaData) {
			m.RowGroups[0].Columns[0].MetaData.DataPageOffset = 1 << 62
		}}, "page at byte"),
		"page before the file": of(crafted{data: good, values: 1, edit: func(m *format.FileMetaData) {
			m.RowGroups[0].Columns[0].MetaData.DataPageOffset = -1 << 62
		}}, "page at byte"),
		"page of 2 GiB": of(crafted{data: good, values: 1, header: func(h *format.PageHeader) {
			h.CompressedPageSize, h.UncompressedPageSize = gigabytes, gigabytes
		}}, "are left in the file"),
		"page that becomes 2 GiB": of(crafted{codec: format.Snappy, data: snappy.Encode(nil, good), size: gigabytes,
			values: 1}, "2147483647"),
		"page of 2^31 values": of(crafted{data: good, values: gigabytes}, "values"),
		"negative page": of(crafted{data: good, values: 1, header: func(h *format.PageHeader) {
			h.CompressedPageSize = -5
		}}, "-5"),
		"empty pages": of(crafted{data: []byte{}, values: 1, header: func(h *format.PageHeader) {
			h.DataPageHeader.V.NumValues = 0
		}}, "empty"),
		"snappy claims 4 GiB": of(crafted{codec: format.Snappy, data: []byte{0xff, 0xff, 0xff, 0xff, 15, 0}, size: 100,
			values: 1}, "SNAPPY"),
		"lz4 without an end": of(crafted{codec: format.Lz4Raw, data: repeat(nil, "\xff", 1000), size: 100, values: 1},
			"LZ4_RAW"),
		"lz4 that makes more": of(crafted{codec: format.Lz4Raw, data: append(append([]byte("\x1fa\x01\x00"),
			repeat(nil, "\xff", 100000)...), 0, 0x10, 'a'), size: 100, values: 1}, "LZ4_RAW"),
		"zstd claims 1 TiB": of(crafted{codec: format.Zstd, size: 100, values: 1,
			data: []byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00")}, "ZSTD"),
		"zstd bomb":                 bomb(format.Zstd, zstandard, 100),
		"gzip bomb":                 bomb(format.Gzip, zipped, 100),
		"gzip bomb that is said":    bomb(format.Gzip, zipped, 512<<20),
		"gzip of less":              of(crafted{codec: format.Gzip, data: zipped(good), size: 100, values: 1}, "GZIP"),
		"unknown compression":       of(crafted{codec: 3, data: good, values: 1}, "compression"),
		"unknown encoding":          of(crafted{encoding: 77, data: good, values: 1}, "encoding"),
		"text longer than its page": of(crafted{data: []byte{0xff, 0xff, 0xff, 0x7f, 'a'}, values: 1}, "row 0"),
		"fewer texts than values":   of(crafted{data: good, values: 7}, "row"),
		"levels of 2^32": of(crafted{optional: true, data: append([]byte{0xff, 0xff, 0xff, 0xff}, good...), values: 1},
			"levels"),
		"levels without an end": of(crafted{optional: true, values: 5, data: levels(bytes.Repeat(
			[]byte{0x80, 0x80, 0x80, 8, 1}, 1000)...)}, "levels"),
		"levels of a long run": of(crafted{optional: true, values: 5, data: levels(0xfe, 0xff, 0xff, 0xff, 15, 0)},
			"levels"),
		"indices without an end": of(crafted{encoding: format.RLEDictionary, dict: plain("a", "b"), dictN: 2, values: 5,
			data: append([]byte{1}, bytes.Repeat([]byte{0x80, 0x80, 0x80, 8, 1}, 1000)...)}, "indices"),
		"index outside":       of(indexed(1, 2, 8, 4, 200), "row"),
		"indices of 200 bits": of(indexed(1, 1, 200, 2, 0), "bits"),
		"dictionary of 2^31":  of(indexed(gigabytes, 1, 1, 2, 0), "values"),
		"dictionary of fewer": of(indexed(9, 1, 4, 2, 7), "row"),
		"no dictionary": of(crafted{encoding: format.RLEDictionary, values: 1, data: []byte{1, 2, 0}},
			"dictionary"),
		"2^31 lengths":            of(delta(format.DeltaLengthByteArray, 5, gigabytes), "deltas"),
		"2^31 prefixes":           of(delta(format.DeltaByteArray, 5, gigabytes), "deltas"),
		"prefixes that add up":    {prefixes, "its texts take"},
		"deltas that are cut off": of(delta(format.DeltaByteArray, 500, 500), "deltas"),
	}
}

// prefixes is a page whose texts are all the first one, 1 MiB, by DELTA_BYTE_ARRAY: 50 GiB in 1 MiB.
func prefixes() []byte {
	const n = 50_000
	pack := func(first, second int64) []byte { // first, then n-1 times second
		out := deltas(n, first)
		for left, delta := n-1, second-first; left > 0; left -= 128 {
			out = binary.AppendVarint(out, 0) // the least delta
			if delta != 0 {                   // one number of 32 bits, then zeros
				block := make([]byte, 128)
				binary.LittleEndian.PutUint32(block, uint32(delta))
				out, delta = append(append(out, 32, 0, 0, 0), block...), 0
				continue
			}
			out = append(out, 0, 0, 0, 0)
		}
		return out
	}
	lengths := append(pack(0, 1<<20), pack(1<<20, 0)...)
	return crafted{encoding: format.DeltaByteArray, values: n, data: repeat(lengths, "a", 1<<20)}.bytes()
}

// TestFaultyParquet: a file that asks for gigabytes, or never ends, is refused with a line.
func TestFaultyParquet(t *testing.T) {
	for name, x := range parquetFaults() {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			needs.Fault(t, func(dir string) string { return write(t, filepath.Join(dir, "a.parquet"), x.file()) },
				func(path string) error {
					_, err := Tokenize(context.Background(), []string{path}, TokenizeOptions{ValTokens: -1,
						Out: filepath.Join(filepath.Dir(path), "out"), Tokenizer: byteTokenizer{}})
					return err
				}, "a.parquet", x.want)
		})
	}
}

// TestFaultyFiles: the other files of others.
func TestFaultyFiles(t *testing.T) {
	tokenize := func(path string) error {
		_, err := Tokenize(context.Background(), []string{path}, TokenizeOptions{Out: path + ".out"})
		return err
	}
	open := func(path string) error {
		c, err := Open(path, byteTokenizer{}, 256, nil)
		if err == nil {
			c.Close()
		}
		return err
	}
	hellaswag := func(path string) error { _, err := ReadHellaSwag(path, byteTokenizer{}); return err }
	info := func(path string) error { _, err := Info(path); return err }
	tokenizer := func(path string) error {
		tok, err := NewTokenizer(filepath.Dir(path))
		if err != nil {
			return err
		}
		return TextError(tok)
	}
	for name, x := range map[string]struct {
		file string
		raw  func() []byte
		read func(string) error
		want string
	}{
		"a line without an end": {"a.jsonl", func() []byte {
			return repeat([]byte(`{"text":"`), "a", 100<<20)
		}, tokenize, "a line of more than"},
		"JSON in JSON": {"a.jsonl", func() []byte {
			return repeat([]byte(`{"text":"a","x":`), `{"x":`, 50_000)
		}, tokenize, "byte 0"},
		"questions without an end": {"a.jsonl", func() []byte { return repeat(nil, `{"ctx":`, 80<<20) }, hellaswag,
			"a line of more than"},
		"an XML page": {"a.jsonl", func() []byte { return []byte("<Error><Code>Denied</Code></Error>") }, hellaswag,
			"a web page"},
		"a large eval file": {"a.bin", func() []byte {
			return append(binary.LittleEndian.AppendUint32(nil, binEval), make([]byte, 40<<20)...)
		}, hellaswag, "more than"},
		"an eval file of 2^31": {"a.bin", func() []byte {
			raw, _ := binary.Append(nil, binary.LittleEndian, [256]uint32{binEval, 1, 1<<31 - 1})
			return append(raw, 0xff, 0xff, 1, 0)
		}, info, "example 0"},
		"a shard of 2^31": {"a.bin", func() []byte { return binHead(1<<31 - 1) }, open, "truncated"},
		"a shard of 2^45": {"a.npy", func() []byte { return npyHead(1 << 45) }, open, "truncated"},
		"a header of 4 GiB": {"a.npy", func() []byte { return []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{") }, open,
			"a header of 4294967295"},
		"a shape of lies": {"a.npy", func() []byte {
			h := "{'descr': '<u2', 'fortran_order': False, 'shape': (99999999999999999999,), }"
			return append(binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(h))), h...)
		}, open, "shape"},
		"a large tokenizer": {"tokenizer.json", func() []byte { return repeat(nil, "[", 41<<20) }, tokenizer,
			"more than"},
		"stages in stages": {"tokenizer.json", func() []byte {
			return repeat([]byte(`{"normalizer":`), `{"normalizers":[`, 30<<20)
		}, tokenizer, "in each other"},
		"a tokenizer of texts": {"tokenizer.json", func() []byte {
			return []byte(`{"model":{"type":"BPE","vocab":["a"]}}`)
		}, tokenizer, "no text can be encoded"},
		"a config of numbers": {"tokenizer_config.json", func() []byte { return []byte(`{"tokenizer_class":5}`) },
			func(path string) error {
				write(t, filepath.Join(filepath.Dir(path), "vocab.json"), []byte("{}"))
				return tokenizer(path)
			}, "tokenizer_class"},
		"many added tokens": {"tokenizer.json", func() []byte {
			var added []string
			for i := range 65536 {
				added = append(added, fmt.Sprintf(`{"id":%d,"content":"t%d"}`, i, i))
			}
			return []byte(`{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","b"]]},"pre_tokenizer":{"type":` +
				`"ByteLevel"},"added_tokens":[` + strings.Join(added, ",") + `]}`)
		}, tokenizer, "merge 0"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			create := func(dir string) string { return write(t, filepath.Join(dir, x.file), x.raw()) }
			needs.Fault(t, create, x.read, x.want)
		})
	}
}

// TestFaultyManifest: numbers and names that no run writes are refused by their field, before any shard is touched.
func TestFaultyManifest(t *testing.T) {
	in := write(t, filepath.Join(t.TempDir(), "text.txt"), []byte(manyWords(4000)))
	good := t.TempDir()
	options := TokenizeOptions{Out: good, Tokenizer: byteTokenizer{}, ShardTokens: 1000}
	mustTokenize(t, []string{in}, options)
	raw, err := os.ReadFile(filepath.Join(good, "text.tokenize.json"))
	if err != nil {
		t.Fatal(err)
	}
	last := func(m *manifest) *doneShard { return &m.Shards[len(m.Shards)-1] }
	for field, lie := range map[string]func(m *manifest){
		"next.file is -1":        func(m *manifest) { last(m).Next.File = -1 },
		"next.file is 99":        func(m *manifest) { last(m).Next.File = 99 },
		"next.at is -1":          func(m *manifest) { last(m).Next = position{At: -1} },
		"next.at is 4611":        func(m *manifest) { last(m).Next = position{At: 4611686018427387904} },
		"skip is -5":             func(m *manifest) { last(m).Skip = -5 },
		"skip is 4611":           func(m *manifest) { last(m).Skip = 4611686018427387904 },
		"tokens is -1":           func(m *manifest) { last(m).Tokens = -1 },
		"tokens is 4611":         func(m *manifest) { last(m).Tokens = 4611686018427387904 },
		`file is "../x.npy"`:     func(m *manifest) { last(m).File = "../x.npy" },
		`file is "."`:            func(m *manifest) { last(m).File = "." },
		"a count of its texts":   func(m *manifest) { last(m).Documents = -1 },
		"bytes is -7":            func(m *manifest) { m.Inputs[0].Bytes = -7 },
		"settings.split":         func(m *manifest) { m.Settings.Split = "both" },
		"settings.tokenizer":     func(m *manifest) { m.Settings.Tokenizer, m.Settings.Fingerprint = "../../etc", "f" },
		`next.file is 0, want 1`: func(m *manifest) { m.Shards[0].Next, last(m).Next = position{File: 1}, position{} },
	} {
		var m manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		m.Done = false
		lie(&m)
		bad, _ := json.Marshal(m)
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "text.tokenize.json"), bad)
		o := options
		o.Out = dir
		_, err := Tokenize(t.Context(), []string{in}, o)
		if err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "hint: remove this") {
			t.Errorf("%s: %v", field, err)
		}
		if made := makerOf(filepath.Join(dir, m.Shards[0].File)); made != nil {
			t.Errorf("%s: the shards' tokenizer is taken from it: %+v", field, made)
		}
		if len(dirNames(dir)) != len(dirNames(good)) {
			t.Errorf("%s: %v is left of %v", field, dirNames(dir), dirNames(good))
		}
	}
}

// TestInputsThatChange: an input that is cut, grows or changes while it is read is an error, and is not marked done.
func TestInputsThatChange(t *testing.T) {
	text := manyWords(3 << 20)
	for what, change := range map[string]func(path string) error{
		"cut":     func(path string) error { return os.Truncate(path, 2<<20) },
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"longer": func(path string) error {
			return os.WriteFile(path, []byte(text+" more"), 0o666)
		},
		"other": func(path string) error {
			return os.WriteFile(path, []byte(strings.ToUpper(text)), 0o666)
		},
		"gone": os.Remove,
	} {
		for _, ext := range []string{".txt", ".jsonl"} {
			in := filepath.Join(t.TempDir(), "in"+ext)
			if ext == ".txt" {
				write(t, in, []byte(text))
			} else {
				write(t, in, jsonLines(strings.SplitAfter(text, ". ")...))
			}
			out := t.TempDir()
			done, possible := false, true
			_, err := Tokenize(t.Context(), []string{in}, TokenizeOptions{Out: out, Tokenizer: byteTokenizer{},
				Workers: 1, ShardTokens: 1 << 19, Progress: func(TokenizeProgress) {
					if !done {
						done = true
						possible = change(in) == nil // Windows removes no open file
					}
				}})
			if !possible {
				continue
			}
			if err == nil || !strings.Contains(err.Error(), "hint: ") || !strings.Contains(err.Error(), in) {
				t.Errorf("%s, %s: %v", what, ext, err)
			}
			var m manifest
			raw, _ := os.ReadFile(filepath.Join(out, "in.tokenize.json"))
			if err := json.Unmarshal(raw, &m); err != nil || m.Done {
				t.Errorf("%s, %s: marked done: %+v, %v", what, ext, m, err)
			}
		}
	}
}
